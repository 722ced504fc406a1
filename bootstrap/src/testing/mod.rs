//! What unit tests start from.

pub(crate) mod fake_api;
pub(crate) mod fake_auto_scaling;
pub(crate) mod fake_ec2;
pub(crate) mod fake_metadata;
pub(crate) mod fake_queue;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::agent::Agent;
use crate::aws::Access;
use crate::aws::ec2::Ec2;
use crate::aws::identity::InstanceIdentity;
use crate::aws::state::StateStore;
use crate::contract::config::{
    ApiConfig, CONFIG_VERSION, ControlPlaneConfig, EtcdConfig, KubeletConfig, LifecycleHooks, NetworkConfig,
    NodeConfig, ServiceAccountsConfig,
};
use crate::contract::endpoint::Endpoint;
use crate::host::Host;
use crate::progress::notify::Notify;
use crate::progress::reporter::Reporter;

/// A file as a block device, which stands for a volume's; taken away when dropped, or when it is mounted no more.
pub(crate) struct LoopDevice(pub(crate) PathBuf);

impl LoopDevice {
    pub(crate) fn new(file: &Path) -> Self {
        let mut losetup = std::process::Command::new("/usr/sbin/losetup");
        let output = losetup.args(["--find", "--show"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = std::process::Command::new("/usr/sbin/losetup").arg("--detach").arg(&self.0).status();
    }
}

/// An agent in a folder: its machine is in `machine`, its state in `state`.
pub(crate) async fn agent(folder: &Path, config: NodeConfig) -> Agent {
    Agent {
        host: Host::folder(folder.join("machine")),
        reporter: Reporter::new(Notify::nobody()),
        identity: identity(),
        config,
        store: StateStore::Folder(folder.join("state")),
        ec2: Ec2::open("us-east-1", "demo", &Access::default()).await,
        access: Access::default(),
    }
}

/// An instance of the cluster `demo`.
pub(crate) fn identity() -> InstanceIdentity {
    InstanceIdentity {
        id: "i-0123456789abcdef0".into(),
        region: "us-east-1".into(),
        zone: "us-east-1a".into(),
        machine_type: "t3.medium".into(),
        private_address: Some(Ipv4Addr::LOCALHOST),
        ipv6_addresses: vec![],
        vpc_ipv6_blocks: vec![],
        mac: String::new(),
        network_interface: "eni-1".into(),
    }
}

/// The network of an IPv6 cluster.
pub(crate) fn ipv6_network() -> NetworkConfig {
    NetworkConfig {
        pod_cidr: None,
        service_cidr: "fd00:5e4f:ce::/108".parse().unwrap(),
        dns_address: "fd00:5e4f:ce::a".parse().unwrap(),
        dns_domain: "cluster.local".into(),
        plugin: "external".into(),
    }
}

/// The only member of `main`.
pub(crate) fn etcd_config() -> EtcdConfig {
    EtcdConfig {
        name: "main".into(),
        member: "a".into(),
        members: [("a".to_owned(), "172.20.32.10".parse().unwrap())].into(),
        version: "3.6.16".into(),
        ..EtcdConfig::default()
    }
}

/// A master of the cluster `demo`, whose network somebody else brings.
pub(crate) fn master_config() -> NodeConfig {
    let mut config = node_config();
    config.network.plugin = "external".into();
    config.images = [("kube-proxy".to_owned(), "registry.k8s.io/kube-proxy:v1.36.3".to_owned())].into();
    let image = |name: &str| (name.to_owned(), format!("registry.k8s.io/{name}:v1.36.3"));
    let control_plane = ControlPlaneConfig {
        etcd: etcd_config(),
        further_etcd: vec![],
        elastic_ip: true,
        masters: 1,
        images: ["kube-controller-manager", "kube-scheduler"].map(image).into(),
        default_taint: true,
        addons: vec![],
        certificate_seconds: None,
        service_accounts: ServiceAccountsConfig::default(),
        further_api_servers: false,
        interruption_queue: None,
        backups: None,
    };
    NodeConfig { control_plane: Some(control_plane), ..config }
}

/// A node of the cluster `demo`.
pub(crate) fn node_config() -> NodeConfig {
    NodeConfig {
        version: CONFIG_VERSION.into(),
        cluster: "demo".into(),
        instance_group: "nodes".into(),
        kubernetes_version: "1.36.3".into(),
        network: NetworkConfig {
            pod_cidr: Some("100.96.0.0/11".parse().unwrap()),
            service_cidr: "100.64.0.0/13".parse().unwrap(),
            dns_address: "100.64.0.10".parse().unwrap(),
            dns_domain: "cluster.local".into(),
            plugin: "flannel".into(),
        },
        api: ApiConfig {
            // Whatever a test does with it stays on this machine.
            endpoint: Endpoint { host: Ipv4Addr::LOCALHOST.into(), port: 443 },
            masters: vec![],
            masters_ipv6: vec![],
            service_account_issuer: "https://api.internal.demo".into(),
            additional_sans: vec![],
        },
        kubernetes_ca: String::new(),
        kubelet: KubeletConfig::default(),
        images: BTreeMap::new(),
        components: BTreeMap::new(),
        egress_proxy: None,
        image_source: None,
        lifecycle_hooks: LifecycleHooks::default(),
        kernel_parameters: [].into(),
        mounts: Vec::new(),
        files: Vec::new(),
        units: Vec::new(),
        disable_source_dest_check: false,
        control_plane: None,
        api_server: None,
        bastion: false,
    }
}
