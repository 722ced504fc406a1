//! A folder that stands for a machine, with the instance metadata service and the state that it boots from.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail the test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use windlass_bootstrap::aws::state::sha256;
use windlass_bootstrap::bootstrap_token::BootstrapToken;
use windlass_bootstrap::config::{
    ApiConfig, ApiServerConfig, BootConfig, CONFIG_VERSION, ControlPlaneConfig, EtcdConfig, EtcdPorts,
    EtcdServers, KubeletConfig, LIFECYCLE_VERSION, LifecycleHooks, NetworkConfig, NodeConfig,
    ServiceAccountsConfig,
};
use windlass_bootstrap::endpoint::Endpoint;
use windlass_bootstrap::ipv6::MasterIpv6;
use windlass_bootstrap::keys;
use windlass_bootstrap::keyset::{Key, Keyset, Secret};

const CLUSTER: &str = "demo.example.com";
const INSTANCE: &str = "i-0123456789abcdef0";
const TOKEN: &str = "imds-token";
/// Its IPv6 address, where it has one.
const IPV6: &str = "2001:db8:0:113::b";

/// Which addresses the machine's subnet gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subnet {
    Ipv4,
    DualStack,
    Ipv6,
}

/// What the machine is: removed when dropped.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
    metadata: SocketAddr,
    node_config_key: String,
}

impl Machine {
    /// A machine of this configuration that hasn't booted yet.
    pub(crate) async fn start(config: &NodeConfig) -> Self {
        Self::start_in(Subnet::Ipv4, config).await
    }

    /// The same in another subnet.
    pub(crate) async fn start_in(subnet: Subnet, config: &NodeConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes = serde_json::to_vec_pretty(config).unwrap();
        let digest = sha256(&bytes);
        let node_config_key = keys::node_config(CLUSTER, &config.instance_group, &digest);
        let boot = BootConfig {
            version: CONFIG_VERSION.into(),
            cluster: CLUSTER.into(),
            instance_group: config.instance_group.clone(),
            state_store: format!("file://{}", folder.path().join("state").display()),
            region: "us-east-1".into(),
            state_store_owner: None,
            egress_proxy: config.egress_proxy.clone(),
            node_config_sha256: digest,
        };
        let metadata = serve_metadata(serde_json::to_string(&boot).unwrap(), subnet).await;
        let machine = Self { folder, metadata, node_config_key };
        machine.fill_state(&bytes);
        write(&machine.root().join("proc/meminfo"), b"MemTotal:        3943212 kB\n");
        write(&machine.root().join("sys/devices/system/cpu/online"), b"0-1\n");
        write(
            &machine.root().join("etc/windlass/release.json"),
            br#"{"kubernetesVersion": "1.36.3", "etcdVersion": "3.6.16"}"#,
        );
        machine
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("machine")
    }

    fn state(&self, key: &str) -> PathBuf {
        self.folder.path().join("state").join(key)
    }

    fn fill_state(&self, node_config: &[u8]) {
        write(&self.state(&self.node_config_key), node_config);
        for name in ["kubernetes-ca", "etcd-ca", "front-proxy-ca"] {
            write(&self.state(&keys::keyset(CLUSTER, name)), &serde_json::to_vec(&authority(name)).unwrap());
        }
        write(
            &self.state(&keys::keyset(CLUSTER, "service-account")),
            &serde_json::to_vec(&service_account()).unwrap(),
        );
        let encryption = br#"{"kind": "EncryptionConfiguration", "secret": "c2VjcmV0"}"#;
        write(&self.state(&keys::encryption_configuration(CLUSTER)), encryption);
        let token = BootstrapToken {
            version: CONFIG_VERSION.into(),
            token: Secret::new("abcdef.0123456789abcdef"),
            expires: "2199-01-01T00:00:00Z".parse().unwrap(),
        };
        write(&self.state(&keys::bootstrap_token(CLUSTER)), &serde_json::to_vec(&token).unwrap());
    }

    /// Gives the cluster credentials for image registries.
    pub(crate) fn hold_docker_config(&self, text: &str) {
        write(&self.state(&keys::docker_config(CLUSTER)), text.as_bytes());
    }

    /// Gives its image the program that gets credentials for ECR.
    pub(crate) fn hold_ecr_provider(&self) {
        let program = "usr/local/lib/windlass/credential-providers/ecr-credential-provider";
        write(&self.root().join(program), b"#!/bin/sh\n");
    }

    /// From now on the state doesn't answer.
    pub(crate) fn lose_state(&self) {
        let state = self.state("");
        std::fs::remove_dir_all(&state).unwrap();
        std::fs::write(self.folder.path().join("state"), "not a folder").unwrap();
    }

    /// What a node has that has joined: its kubelet's certificate.
    pub(crate) fn join(&self) {
        for path in ["var/lib/kubelet/pki/kubelet-client-current.pem", "var/lib/kubelet/kubeconfig"] {
            write(&self.root().join(path), b"what the kubelet wrote");
        }
    }

    pub(crate) fn tamper_with_node_config(&self) {
        write(&self.state(&self.node_config_key), b"{}");
    }

    /// Boots it.
    pub(crate) fn run(&self) -> Output {
        std::process::Command::new(env!("CARGO_BIN_EXE_windlass-bootstrap"))
            .arg("--root")
            .arg(self.root())
            .env_clear()
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", self.metadata))
            .output()
            .unwrap()
    }

    /// The boot report.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.state(&keys::status(CLUSTER, INSTANCE))).unwrap()).unwrap()
    }

    /// Every file with its bytes, by its path below the root.
    pub(crate) fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.root(), &self.root(), &mut found);
        found
    }

    /// Every file as one text: path, mode, contents; certificates by what they say, keys by their being there.
    pub(crate) fn files(&self) -> String {
        let mut text = String::new();
        for (path, contents) in self.everything() {
            let mode = std::fs::metadata(self.root().join(&path)).unwrap().permissions().mode() & 0o777;
            let shown = match path.as_str() {
                "srv/kubernetes/windlass/secrets.json" => "(the secrets)\n".to_owned(),
                _ => readable(&contents),
            };
            let _ = writeln!(text, "=== /{path} {mode:04o}\n{}", shown.trim_end());
        }
        text
    }
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// PEM blocks are different in every run; what they say is not.
fn readable(contents: &[u8]) -> String {
    if !contents.starts_with(b"-----BEGIN") {
        return String::from_utf8_lossy(contents).into_owned();
    }
    let blocks = x509_parser::pem::Pem::iter_from_buffer(contents).map(Result::unwrap);
    blocks
        .map(|block| {
            if block.label == "CERTIFICATE" {
                describe(&block.parse_x509().unwrap())
            } else {
                format!("({})\n", block.label.to_lowercase())
            }
        })
        .collect()
}

fn describe(certificate: &x509_parser::certificate::X509Certificate<'_>) -> String {
    use x509_parser::extensions::GeneralName;
    let days = (certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp())
        / 86_400;
    let mut text = format!(
        "(certificate of {}\n signed by {}\n for {days} days",
        certificate.subject(),
        certificate.issuer()
    );
    if let Some(usage) = certificate.extended_key_usage().unwrap() {
        let _ =
            write!(text, "\n usage: server {}, client {}", usage.value.server_auth, usage.value.client_auth);
    }
    let names = certificate.subject_alternative_name().unwrap();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::IPAddress(bytes) => {
                let _ = write!(text, "\n {}", windlass_bootstrap::secrets::certificates::ip(bytes).unwrap());
            }
            other => {
                let _ = write!(text, "\n {other}");
            }
        }
    }
    text + ")\n"
}

fn write(path: &Path, contents: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, contents).unwrap();
}

fn authority(name: &str) -> Keyset {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    keyset(name, params.self_signed(&key).unwrap().pem(), &key)
}

fn service_account() -> Keyset {
    let key = KeyPair::generate().unwrap();
    keyset("service-account", key.public_key_pem(), &key)
}

fn keyset(name: &str, public: String, key: &KeyPair) -> Keyset {
    let key = Key { id: "1".into(), public, private: Secret::new(key.serialize_pem()) };
    Keyset { version: CONFIG_VERSION.into(), name: name.into(), primary: "1".into(), keys: vec![key] }
}

/// An instance metadata service of version 2: without a token it says nothing.
async fn serve_metadata(user_data: String, subnet: Subnet) -> SocketAddr {
    let app = Router::new().fallback(answer).with_state((user_data, subnet));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // The binary runs while this thread waits for it, so the service has one of its own.
    let listener = listener.into_std().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
    });
    address
}

async fn answer(
    State((user_data, subnet)): State<(String, Subnet)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> (StatusCode, HeaderMap, String) {
    let mut answer = HeaderMap::new();
    if method == Method::PUT && uri.path() == "/latest/api/token" {
        answer.insert("x-aws-ec2-metadata-token-ttl-seconds", "21600".parse().unwrap());
        return (StatusCode::OK, answer, TOKEN.into());
    }
    if headers.get("x-aws-ec2-metadata-token").is_none_or(|token| token != TOKEN) {
        return (StatusCode::UNAUTHORIZED, answer, String::new());
    }
    let value = match uri.path().trim_start_matches("/latest/") {
        "user-data" => user_data.as_str(),
        "meta-data/instance-id" => INSTANCE,
        "meta-data/placement/region" => "us-east-1",
        "meta-data/placement/availability-zone" => "us-east-1a",
        "meta-data/instance-type" => "t3.medium",
        "meta-data/local-ipv4" if subnet != Subnet::Ipv6 => "172.20.32.11",
        "meta-data/network/interfaces/macs/02:00:00:00:00:01/ipv6s" if subnet != Subnet::Ipv4 => IPV6,
        "meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-ipv6-cidr-blocks" => "2001:db8:0:100::/56",
        "meta-data/mac" => "02:00:00:00:00:01",
        "meta-data/network/interfaces/macs/02:00:00:00:00:01/interface-id" => "eni-0123456789abcdef0",
        _ => return (StatusCode::NOT_FOUND, answer, String::new()),
    };
    (StatusCode::OK, answer, value.to_owned())
}

/// A node.
pub(crate) fn node_config() -> NodeConfig {
    NodeConfig {
        version: CONFIG_VERSION.into(),
        cluster: CLUSTER.into(),
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
            endpoint: Endpoint { host: "172.20.32.10".into(), port: 443 },
            masters: vec![],
            masters_ipv6: vec![],
            service_account_issuer: "https://api.internal.demo.example.com".into(),
            additional_sans: vec!["k8s.example.com".into(), "198.51.100.9".into()],
        },
        kubernetes_ca: "(the authorities' certificates)\n".into(),
        kubelet: KubeletConfig {
            labels: [("windlass.dev/instance-group".to_owned(), "nodes".to_owned())].into(),
            taints: vec![],
            max_pods: Some(110),
            ecr_credentials: false,
        },
        images: [("kube-proxy".to_owned(), "registry.k8s.io/kube-proxy:v1.36.3".to_owned())].into(),
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

/// The same in an IPv6 cluster, whose nodes reach the API by a name.
pub(crate) fn in_ipv6(config: NodeConfig) -> NodeConfig {
    NodeConfig {
        version: LIFECYCLE_VERSION.into(),
        network: NetworkConfig {
            pod_cidr: None,
            service_cidr: "fd00:5e4f:ce::/108".parse().unwrap(),
            dns_address: "fd00:5e4f:ce::a".parse().unwrap(),
            plugin: "external".into(),
            ..config.network
        },
        api: ApiConfig {
            endpoint: Endpoint { host: "api.internal.demo.example.com".into(), port: 443 },
            masters: vec![],
            masters_ipv6: vec![MasterIpv6 {
                subnet: "/64#13".parse().unwrap(),
                private_address: "172.20.32.10".parse().unwrap(),
            }],
            ..config.api
        },
        ..config
    }
}

/// A node with an API server, beside two masters that hold two etcd clusters.
pub(crate) fn api_server_config() -> NodeConfig {
    let addresses = ["172.20.32.10", "172.20.64.10"].map(|address| address.parse().unwrap());
    let etcd = |place, holds: &[&str]| EtcdServers {
        addresses: addresses.to_vec(),
        port: EtcdPorts::of(place).client,
        holds: holds.iter().map(|&resource| resource.to_owned()).collect(),
    };
    NodeConfig {
        version: LIFECYCLE_VERSION.into(),
        instance_group: "apiserver".into(),
        api: ApiConfig { masters: addresses.to_vec(), ..node_config().api },
        kubelet: KubeletConfig {
            taints: vec!["node-role.kubernetes.io/api-server=:NoSchedule".into()],
            ..node_config().kubelet
        },
        api_server: Some(ApiServerConfig {
            image: "registry.k8s.io/kube-apiserver:v1.36.3".into(),
            port: 443,
            etcd: vec![etcd(0, &[]), etcd(1, &["/events", "coordination.k8s.io/leases"])],
            service_accounts: ServiceAccountsConfig::default(),
        }),
        ..node_config()
    }
}

/// The only master of a cluster.
pub(crate) fn master_config() -> NodeConfig {
    let image = |name: &str| (name.to_owned(), format!("registry.k8s.io/{name}:v1.36.3"));
    let mut images: BTreeMap<String, String> =
        ["kube-apiserver", "kube-controller-manager", "kube-scheduler"].map(image).into();
    images.insert("etcd".into(), "registry.k8s.io/etcd:3.6.16-0".into());
    NodeConfig {
        instance_group: "control-plane-us-east-1a".into(),
        kubelet: KubeletConfig {
            labels: BTreeMap::new(),
            taints: vec!["node-role.kubernetes.io/control-plane=:NoSchedule".into()],
            max_pods: None,
            ecr_credentials: false,
        },
        control_plane: Some(ControlPlaneConfig {
            etcd: EtcdConfig {
                name: "main".into(),
                member: "a".into(),
                members: [("a".to_owned(), "172.20.32.10".parse().unwrap())].into(),
                version: "3.6.16".into(),
                ..EtcdConfig::default()
            },
            further_etcd: vec![],
            elastic_ip: true,
            masters: 1,
            images,
            default_taint: true,
            addons: vec![],
            certificate_seconds: None,
            service_accounts: ServiceAccountsConfig::default(),
            further_api_servers: false,
            interruption_queue: None,
            backups: None,
        }),
        ..node_config()
    }
}
