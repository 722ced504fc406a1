//! The cluster that unit tests talk about.

use windlass_bootstrap::config::{EtcdPorts, EtcdRequests};

use crate::spec::cluster::{
    Api, Backups, Cluster, EbsVolume, Egress, EtcdCluster, EtcdMember, HeldMember, InstanceGroup, Instances,
    Master, Network, NetworkPlugin, Nodes, Permissions, Purchase, ServiceAccounts, SshKey, Subnet,
    SubnetKind,
};
use crate::spec::non_empty::NonEmpty;

/// One master, two nodes, in one zone.
pub(crate) fn cluster() -> Cluster {
    Cluster {
        name: "demo.example.com".to_owned(),
        region: "us-east-1".to_owned(),
        kubernetes_version: "1.36.3".to_owned(),
        emulated_version: None,
        network: Network {
            existing_vpc: None,
            additional_cidrs: Vec::new(),
            interface_endpoints: [].into(),
            subnet_tags_disabled: false,
            cidr: "172.20.0.0/16".parse().unwrap(),
            non_masquerade_cidr: "100.64.0.0/10".parse().unwrap(),
            pod_cidr: Some("100.96.0.0/11".parse().unwrap()),
            service_cidr: "100.64.0.0/13".parse().unwrap(),
            dns_address: "100.64.0.10".parse().unwrap(),
            dns_domain: "cluster.local".to_owned(),
        },
        subnets: vec![subnet()],
        api: Api {
            access: Vec::new(),
            elastic_ip: true,
            load_balancer: None,
            dns: None,
            public_name: None,
            internal_name: None,
            additional_sans: Vec::new(),
            port: 443,
        },
        ssh_access: Vec::new(),
        container_registry: false,
        masters_may: Permissions::default(),
        nodes_may: Permissions::default(),
        bastions_may: Permissions::default(),
        api_servers_may: Permissions::default(),
        bastion: None,
        egress_proxy: None,
        image_source: None,
        node_ports: None,
        service_accounts: ServiceAccounts::default(),
        ssh_key: SshKey::None,
        etcd: NonEmpty::from(etcd()),
        certificate_seconds: None,
        backups: Backups { interval_seconds: 900, retention_days: 90 },
        plugin: NetworkPlugin::Flannel,
        metrics_server: None,
        interruption: None,
        cloud_labels: [].into(),
        instance_groups: vec![
            group("control-plane-us-east-1a", Instances::ControlPlane(master())),
            group("nodes-us-east-1a", Instances::Node(nodes())),
        ],
    }
}

fn subnet() -> Subnet {
    Subnet {
        name: "us-east-1a".to_owned(),
        zone: "us-east-1a".to_owned(),
        cidr: Some("172.20.32.0/19".parse().unwrap()),
        ipv6: None,
        kind: SubnetKind::Public,
        egress: Egress::InternetGateway,
        existing: None,
        additional_routes: [].into(),
    }
}

fn etcd() -> EtcdCluster {
    EtcdCluster {
        name: "main".to_owned(),
        version: "3.6.16".to_owned(),
        members: NonEmpty::from(member()),
        ports: EtcdPorts::default(),
        holds: Vec::new(),
        requests: EtcdRequests::default(),
        heartbeat_milliseconds: None,
        election_milliseconds: None,
        environment: [].into(),
    }
}

fn member() -> EtcdMember {
    EtcdMember { name: "a".to_owned(), private_address: "172.20.32.10".parse().unwrap(), joins: false }
}

fn master() -> Master {
    let held = HeldMember { etcd: Box::new(etcd()), member: member(), volume: volume() };
    Master { subnet: subnet(), members: NonEmpty::from(held) }
}

pub(crate) fn nodes() -> Nodes {
    Nodes { min_size: 2, max_size: 2, subnets: NonEmpty::from(subnet()) }
}

fn group(name: &str, instances: Instances) -> InstanceGroup {
    InstanceGroup {
        name: name.to_owned(),
        instances,
        machine_type: "t3.medium".to_owned(),
        purchase: Purchase::OnDemand,
        image: "ami-1".to_owned(),
        root_volume: volume(),
        associate_public_ip: true,
        volumes: Vec::new(),
        mounts: Vec::new(),
        files: Vec::new(),
        units: Vec::new(),
        ebs_optimized: false,
        metadata_hop_limit: 1,
        detailed_monitoring: false,
        cpu_credits: None,
        max_instance_lifetime: None,
        protected_from_scale_in: false,
        capacity_rebalance: false,
        warm_pool: None,
        dedicated: false,
        kernel_parameters: [].into(),
        user_data: Vec::new(),
        suspended_processes: [].into(),
        security_group: None,
        additional_security_groups: [].into(),
        attached: [].into(),
        instance_profile: None,
        node_labels: [].into(),
        taints: Vec::new(),
        default_taint: false,
        cloud_labels: [].into(),
        max_pods: None,
        components: [].into(),
    }
}

fn volume() -> EbsVolume {
    EbsVolume {
        size: 20,
        kind: "gp3".to_owned(),
        iops: None,
        throughput: None,
        encrypted: true,
        kms_key: None,
    }
}
