//! What unit tests start from.

use std::collections::BTreeMap;

use crate::config::{ApiConfig, CONFIG_VERSION, KubeletConfig, NetworkConfig, NodeConfig};

/// A node of the cluster `demo`.
pub(crate) fn node_config() -> NodeConfig {
    NodeConfig {
        version: CONFIG_VERSION.into(),
        cluster: "demo".into(),
        instance_group: "nodes".into(),
        kubernetes_version: "1.36.3".into(),
        network: NetworkConfig {
            pod_cidr: "100.96.0.0/11".parse().unwrap(),
            service_cidr: "100.64.0.0/13".parse().unwrap(),
            dns_address: "100.64.0.10".parse().unwrap(),
            dns_domain: "cluster.local".into(),
            plugin: "flannel".into(),
        },
        api: ApiConfig {
            private_address: "172.20.32.10".parse().unwrap(),
            port: 443,
            service_account_issuer: "https://api.internal.demo".into(),
            additional_sans: vec![],
        },
        kubernetes_ca: String::new(),
        kubelet: KubeletConfig::default(),
        images: BTreeMap::new(),
        disable_source_dest_check: false,
        control_plane: None,
    }
}
