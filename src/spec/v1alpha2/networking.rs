//! Network plug-ins.

use std::collections::BTreeMap;

use super::row::{IN_PART, only};
use super::{EnvVarSpec, Quantity};

wire! {
    /// The network plug-in: exactly one field is set.
    pub struct NetworkingSpec {
        /// kubenet.
        kubenet: KubenetSpec,
        /// An external plug-in without CNI.
        external: ExternalSpec,
        /// A plug-in that the user installs.
        cni: CniSpec = IN_PART.hint("use `cni: {}` and install your own"),
        /// flannel, which windlass installs.
        flannel: FlannelSpec = IN_PART.hint("leave it out"),
        /// Calico.
        calico: CalicoSpec,
        /// kube-router.
        kuberouter: KubeRouterSpec,
        /// The Amazon VPC plug-in.
        amazonvpc: AmazonVpcSpec,
        /// Cilium.
        cilium: CiliumSpec,
        /// kindnet.
        kindnet: KindnetSpec,
        /// Canal.
        canal: serde_json::Value,
        /// Romana, which kops no longer installs.
        romana: serde_json::Value,
        /// Weave, which kops no longer installs.
        weave: serde_json::Value,
        /// Lyft's VPC plug-in, which kops no longer installs.
        lyftvpc: serde_json::Value,
        /// kopeio's plug-in, which kops no longer installs.
        kopeio: serde_json::Value,
        /// Deprecated: routes by the cloud provider.
        classic: serde_json::Value,
        /// For GCE only.
        gce: serde_json::Value,
    }

    /// flannel.
    pub struct FlannelSpec {
        /// How packets travel: `vxlan`.
        backend: String = only(["vxlan"]),
        /// Deprecated: it has no effect in kops either.
        disable_tx_checksum_offloading: bool,
        /// How often rules are written, in seconds.
        iptables_resync_seconds: i32,
    }

    /// A plug-in that the user installs. Nodes are not Ready before it runs.
    pub struct CniSpec {
        /// Whether pods have secondary addresses of their instance.
        #[serde(rename = "usesSecondaryIP")]
        uses_secondary_ip: bool = only([false]),
    }

    /// An external plug-in.
    pub struct ExternalSpec {}

    /// kubenet.
    pub struct KubenetSpec {}

    /// kube-router.
    pub struct KubeRouterSpec {
        /// Whether network policies are enforced by nftables.
        #[serde(rename = "useNFTablesForNetpol")]
        use_nf_tables_for_netpol: bool,
    }

    /// The Amazon VPC plug-in: pods have addresses of the VPC.
    pub struct AmazonVpcSpec {
        /// Its image.
        image_name: String,
        /// Its init container's image.
        init_image_name: String,
        /// Its network policy agent's image.
        network_policy_agent_image: String,
        /// Its environment.
        env: Vec<EnvVarSpec>,
    }

    /// Calico.
    pub struct CalicoSpec {
        /// The registry of its images.
        registry: String,
        /// Its version.
        version: String,
        /// Whether containers may forward packets.
        #[serde(rename = "allowIPForwarding")]
        allow_ip_forwarding: bool,
        /// What it does to EC2's source/destination check: `Disable`, `Enable` or `DoNothing`.
        aws_src_dst_check: String,
        /// Whether it uses eBPF.
        bpf_enabled: bool,
        /// How traffic from outside travels: `Tunnel` or `DSR`.
        bpf_external_service_mode: String,
        /// Whether kube-proxy's rules are removed.
        bpf_kube_proxy_iptables_cleanup_enabled: bool,
        /// How much eBPF programs log: `Off`, `Info` or `Debug`.
        bpf_log_level: String,
        /// Where rules go: `insert` or `append`.
        chain_insert_mode: String,
        /// The pods' request for CPU.
        cpu_request: Quantity,
        /// Deprecated: it has no effect in kops either.
        cross_subnet: bool,
        /// How packets travel: `ipip`, `vxlan` or `none`.
        encapsulation_mode: String,
        /// When packets travel in IPIP: `CrossSubnet`, `Always` or `Never`.
        ipip_mode: String,
        /// How an IPv4 address is chosen.
        ipv4_auto_detection_method: String,
        /// How an IPv6 address is chosen.
        ipv6_auto_detection_method: String,
        /// Which iptables is used: `Auto`, `Legacy` or `NFT`.
        iptables_backend: String,
        /// Whether nftables is used: `Auto`, `Enabled` or `Disabled`.
        nftables_mode: String,
        /// How much is logged.
        log_severity_screen: String,
        /// The largest packet.
        mtu: i32,
        /// Whether metrics are served.
        prometheus_metrics_enabled: bool,
        /// Where metrics are served.
        prometheus_metrics_port: i32,
        /// Whether metrics of Go are served.
        prometheus_go_metrics_enabled: bool,
        /// Whether metrics of the process are served.
        prometheus_process_metrics_enabled: bool,
        /// Deprecated: it has no effect in kops either.
        major_version: String,
        /// Whether Typha's metrics are served.
        typha_prometheus_metrics_enabled: bool,
        /// Where Typha's metrics are served.
        typha_prometheus_metrics_port: i32,
        /// How many Typhas there are.
        typha_replicas: i32,
        /// When packets travel in VXLAN: `CrossSubnet`, `Always` or `Never`.
        vxlan_mode: String,
        /// Whether traffic between pods is encrypted.
        wireguard_enabled: bool,
    }

    /// kindnet.
    pub struct KindnetSpec {
        /// Its version.
        version: String,
        /// Whether network policies are enforced.
        network_policies: bool,
        /// Whether administrators' network policies are enforced.
        admin_network_policies: bool,
        /// Whether baseline network policies are enforced.
        baseline_admin_network_policies: bool,
        /// Whether DNS answers are cached.
        dns_caching: bool,
        /// Whether IPv6 pods reach IPv4.
        nat64: bool,
        /// After how many packets a flow takes the fast path.
        fast_path_threshold: i32,
        /// What is masqueraded.
        masquerade: KindnetMasqueradeSpec,
        /// How much is logged.
        log_level: i32,
    }

    /// What kindnet masquerades.
    pub struct KindnetMasqueradeSpec {
        /// Whether it masquerades at all.
        enabled: bool,
        /// Ranges that are not masqueraded.
        #[serde(rename = "nonMasqueradeCIDRs")]
        non_masquerade_cid_rs: Vec<String>,
    }

    /// Cilium.
    pub struct CiliumSpec {
        /// The registry of its images.
        registry: String,
        /// Its version.
        version: String,
        /// The pods' request for memory.
        memory_request: Quantity,
        /// The pods' request for CPU.
        cpu_request: Quantity,
        /// Deprecated: it has no effect.
        access_log: String,
        /// Deprecated: it has no effect.
        agent_labels: Vec<String>,
        /// Where the agent's metrics are served.
        agent_prometheus_port: i64,
        /// Annotations of the agent's pods.
        agent_pod_annotations: BTreeMap<String, String>,
        /// Annotations of the operator's pods.
        operator_pod_annotations: BTreeMap<String, String>,
        /// Deprecated: it has no effect.
        allow_localhost: String,
        /// Deprecated: it has no effect.
        auto_ipv6_node_routes: bool,
        /// Deprecated: it has no effect.
        bpf_root: String,
        /// How it works with another plug-in.
        chaining_mode: String,
        /// Whether other plug-ins' configurations are removed.
        cni_exclusive: bool,
        /// Deprecated: it has no effect.
        container_runtime: Vec<String>,
        /// Deprecated: it has no effect.
        container_runtime_endpoint: BTreeMap<String, String>,
        /// Deprecated: it has no effect.
        container_runtime_labels: String,
        /// Whether it logs everything.
        debug: bool,
        /// Deprecated: it has no effect.
        debug_verbose: Vec<String>,
        /// Deprecated: it has no effect.
        device: String,
        /// Deprecated: it has no effect.
        disable_conntrack: bool,
        /// Whether there are no CiliumEndpoint objects.
        #[serde(rename = "disableEndpointCRD")]
        disable_endpoint_crd: bool,
        /// Deprecated: it has no effect.
        disable_ipv4: bool,
        /// Deprecated: it has no effect.
        disable_k8s_services: bool,
        /// When policies are enforced: `default`, `always` or `never`.
        enable_policy: String,
        /// Whether policies may look into HTTP and the like.
        enable_l7_proxy: bool,
        /// Whether traffic may be redirected to pods of the same Node.
        enable_local_redirect_policy: bool,
        /// Whether eBPF masquerades.
        #[serde(rename = "enableBPFMasquerade")]
        enable_bpf_masquerade: bool,
        /// Whether endpoints' reachability is checked.
        enable_endpoint_health_checking: bool,
        /// Deprecated: it has no effect.
        enable_tracing: bool,
        /// Whether metrics are served.
        enable_prometheus_metrics: bool,
        /// Whether traffic between pods is encrypted.
        enable_encryption: bool,
        /// How it is encrypted: `ipsec` or `wireguard`.
        encryption_type: String,
        /// Whether traffic between Nodes is encrypted.
        node_encryption: bool,
        /// Deprecated: it has no effect.
        envoy_log: String,
        /// Where identities are kept: `crd` or `kvstore`.
        identity_allocation_mode: String,
        /// How long a changed identity waits.
        identity_change_grace_period: String,
        /// Deprecated: it has no effect.
        ipv4_cluster_cidr_mask_size: i64,
        /// Deprecated: it has no effect.
        ipv4_node: String,
        /// Deprecated: it has no effect.
        ipv4_range: String,
        /// Deprecated: it has no effect.
        ipv4_service_range: String,
        /// Deprecated: it has no effect.
        ipv6_cluster_alloc_cidr: String,
        /// Deprecated: it has no effect.
        ipv6_node: String,
        /// Deprecated: it has no effect.
        ipv6_range: String,
        /// Deprecated: it has no effect.
        ipv6_service_range: String,
        /// Deprecated: it has no effect.
        k8s_api_server: String,
        /// Deprecated: it has no effect.
        k8s_kubeconfig_path: String,
        /// Deprecated: it has no effect.
        keep_bpf_templates: bool,
        /// Deprecated: it has no effect.
        keep_config: bool,
        /// Deprecated: it has no effect.
        label_prefix_file: String,
        /// Deprecated: it has no effect.
        labels: Vec<String>,
        /// Deprecated: it has no effect.
        lb: String,
        /// Deprecated: it has no effect.
        lib_dir: String,
        /// Deprecated: it has no effect.
        log_driver: Vec<String>,
        /// Deprecated: it has no effect.
        log_opt: BTreeMap<String, String>,
        /// Deprecated: it has no effect.
        logstash: bool,
        /// Deprecated: it has no effect.
        logstash_agent: String,
        /// Deprecated: it has no effect.
        logstash_probe_timer: u32,
        /// Deprecated: `masquerade`.
        disable_masquerade: bool,
        /// Deprecated: it has no effect.
        nat46_range: String,
        /// Deprecated: it has no effect.
        pprof: bool,
        /// Deprecated: it has no effect.
        prefilter_device: String,
        /// Deprecated: it has no effect.
        prometheus_serve_addr: String,
        /// Deprecated: it has no effect.
        restore: bool,
        /// Deprecated: it has no effect.
        single_cluster_route: bool,
        /// Deprecated: it has no effect.
        socket_path: String,
        /// Deprecated: it has no effect.
        state_dir: String,
        /// Deprecated: it has no effect.
        trace_payloadlen: i64,
        /// How packets travel: `vxlan`, `geneve` or `disabled`.
        tunnel: String,
        /// Deprecated: it has no effect.
        enableipv6: bool,
        /// Deprecated: it has no effect.
        enableipv4: bool,
        /// How far events are summed up: `low`, `medium` or `maximum`.
        monitor_aggregation: String,
        /// How many TCP connections are tracked.
        #[serde(rename = "bpfCTGlobalTCPMax")]
        bpf_ct_global_tcp_max: i64,
        /// How many other connections are tracked.
        #[serde(rename = "bpfCTGlobalAnyMax")]
        bpf_ct_global_any_max: i64,
        /// How endpoints are chosen: `random` or `maglev`.
        #[serde(rename = "bpfLBAlgorithm")]
        bpf_lb_algorithm: String,
        /// The size of the maglev table.
        #[serde(rename = "bpfLBMaglevTableSize")]
        bpf_lb_maglev_table_size: String,
        /// How many translated connections are tracked.
        #[serde(rename = "bpfNATGlobalMax")]
        bpf_nat_global_max: i64,
        /// How many neighbours are known.
        bpf_neigh_global_max: i64,
        /// How many policies an endpoint may have.
        bpf_policy_map_max: i64,
        /// How many services and endpoints there may be.
        #[serde(rename = "bpfLBMapMax")]
        bpf_lb_map_max: i64,
        /// Whether services are translated in sockets of the host only.
        #[serde(rename = "bpfLBSockHostNSOnly")]
        bpf_lb_sock_host_ns_only: bool,
        /// Whether services are translated in sockets.
        #[serde(rename = "bpfLBSock")]
        bpf_lb_sock: bool,
        /// Whether tables have their full size from the start.
        #[serde(rename = "preallocateBPFMaps")]
        preallocate_bpf_maps: bool,
        /// Which image is Istio's proxy.
        sidecar_istio_proxy_image: String,
        /// The cluster's number in a mesh.
        #[serde(rename = "clusterID")]
        cluster_id: i64,
        /// The cluster's name in a mesh.
        cluster_name: String,
        /// What a refused DNS query is answered: `refused` or `nameError`.
        to_fqdns_dns_reject_response_code: String,
        /// Deprecated: it has no effect.
        to_fqdns_enable_poller: bool,
        /// Who chooses pods' addresses: `kubernetes`, `crd` or `eni`.
        ipam: String,
        /// Deprecated: `installIptablesRules`.
        #[serde(rename = "IPTablesRulesNoinstall")]
        ip_tables_rules_noinstall: bool,
        /// Whether Nodes of one subnet route to each other directly.
        auto_direct_node_routes: bool,
        /// Whether services are reached from the host.
        enable_host_reachable_services: bool,
        /// Whether it does kube-proxy's work.
        enable_node_port: bool,
        /// Whether it has an etcd cluster of its own.
        etcd_managed: bool,
        /// Whether other Nodes have an identity of their own.
        enable_remote_node_identity: bool,
        /// Whether addresses of removed pods are refused.
        enable_unreachable_routes: bool,
        /// Whether near endpoints go first.
        enable_service_topology: bool,
        /// Whether policies apply to the host, too.
        enable_host_firewall: bool,
        /// Further settings of its ConfigMap.
        extra_config: BTreeMap<String, String>,
        /// Which metrics are served.
        metrics: Vec<String>,
        /// Deprecated: it has no effect.
        #[serde(rename = "disableCNPStatusUpdates")]
        disable_cnp_status_updates: bool,
        /// Its ingress controller.
        ingress: CiliumIngressSpec,
        /// Its Gateway API controller.
        #[serde(rename = "gatewayAPI")]
        gateway_api: CiliumGatewayApiSpec,
        /// Hubble.
        hubble: HubbleSpec,
        /// Deprecated: it has no effect.
        remove_cbr_bridge: bool,
        /// Deprecated: it has no effect.
        restart_pods: bool,
        /// Deprecated: it has no effect.
        reconfigure_kubelet: bool,
        /// Deprecated: it has no effect.
        node_init_bootstrap_file: String,
        /// Deprecated: it has no effect.
        cni_bin_path: String,
    }

    /// Cilium's ingress controller.
    pub struct CiliumIngressSpec {
        /// Whether it runs.
        enabled: bool,
        /// Whether HTTP is redirected.
        enforce_https: bool,
        /// Whether certificates are copied to one namespace.
        enable_secrets_sync: bool,
        /// Annotations that its services take over.
        load_balancer_annotation_prefixes: String,
        /// Whether ingresses share a load balancer: `shared` or `dedicated`.
        default_load_balancer_mode: String,
        /// The shared load balancer's service.
        shared_load_balancer_service_name: String,
    }

    /// Cilium's Gateway API controller.
    pub struct CiliumGatewayApiSpec {
        /// Whether it runs.
        enabled: bool,
        /// Whether certificates are copied to one namespace.
        enable_secrets_sync: bool,
    }

    /// Hubble.
    pub struct HubbleSpec {
        /// Whether it runs.
        enabled: bool,
        /// Which metrics are served.
        metrics: Vec<String>,
    }
}
