//! The kubelet.

use std::collections::BTreeMap;

use crate::spec::v1alpha2::Duration;
use crate::spec::v1alpha2::row::{HONOURED, only};

wire! {
    /// Settings of the kubelet.
    pub struct KubeletSpec {
        /// Deprecated: the kubeconfig says it.
        api_servers: String,
        /// Whether requests without credentials are looked at. They never are.
        anonymous_auth: bool = only([false]),
        /// Who decides about requests: `Webhook`.
        authorization_mode: String = only(["Webhook"]),
        /// The kubeconfig with which it joins.
        bootstrap_kubeconfig: String,
        /// Whom clients' certificates are signed by.
        client_ca_file: String,
        /// The serving certificate.
        tls_cert_file: String,
        /// The serving certificate's key.
        tls_private_key_file: String,
        /// The cipher suites for TLS 1.2.
        tls_cipher_suites: Vec<String>,
        /// The oldest version of TLS.
        tls_min_version: String,
        /// The kubeconfig.
        kubeconfig_path: String,
        /// Deprecated: it always needs one.
        require_kubeconfig: bool,
        /// `text` or `json`.
        log_format: String,
        /// How much is logged.
        log_level: i32,
        /// Where static pods are.
        pod_manifest_path: String,
        /// The Node's name.
        hostname_override: String,
        /// The image that holds a pod's network.
        pod_infra_container_image: String,
        /// Whether containers get the runtime's seccomp profile unless they say otherwise.
        seccomp_default: bool,
        /// Where seccomp profiles are.
        seccomp_profile_root: String,
        /// Deprecated: admission decides it.
        allow_privileged: bool,
        /// Whether logs, exec and the like are served.
        enable_debugging_handlers: bool,
        /// Whether it registers its Node.
        register_node: bool,
        /// How often it says that it is there.
        node_status_update_frequency: Duration,
        /// The DNS domain of services.
        cluster_domain: String,
        /// The DNS service's address.
        #[serde(rename = "clusterDNS")]
        cluster_dns: String,
        /// Deprecated: the container runtime says it.
        network_plugin_name: String,
        /// Deprecated: `external`.
        cloud_provider: String,
        /// The kubelet's cgroup.
        kubelet_cgroups: String,
        /// The container runtime's cgroup.
        runtime_cgroups: String,
        /// The port for reading without credentials: 0, which is none.
        read_only_port: i32 = only([0]),
        /// The cgroup of other processes.
        system_cgroups: String,
        /// The cgroup under which pods are.
        cgroup_root: String,
        /// Deprecated.
        configure_cbr0: bool,
        /// How a pod reaches itself by its service.
        hairpin_mode: String,
        /// Deprecated.
        babysit_daemons: bool,
        /// How many pods the Node may have.
        max_pods: u32 = HONOURED,
        /// Deprecated: device plug-ins say it.
        #[serde(rename = "nvidiaGPUs")]
        nvidia_gp_us: i32,
        /// The range of pods on a kubelet without an API.
        #[serde(rename = "podCIDR")]
        pod_cidr: String,
        /// The resolver's configuration that pods' is made from.
        resolv_conf: String,
        /// Deprecated.
        #[serde(rename = "reconcileCIDR")]
        reconcile_cidr: bool,
        /// Deprecated: taints say it.
        register_schedulable: bool,
        /// Whether images are pulled one by one.
        serialize_image_pulls: bool,
        /// How many images are pulled at once.
        max_parallel_image_pulls: i32,
        /// Labels for the Node; groups' `nodeLabels` are the place for them.
        node_labels: BTreeMap<String, String>,
        /// Deprecated: the network plug-in says it.
        #[serde(rename = "nonMasqueradeCIDR")]
        non_masquerade_cidr: String,
        /// Deprecated.
        enable_custom_metrics: bool,
        /// Deprecated: the network plug-in says it.
        #[serde(rename = "networkPluginMTU")]
        network_plugin_mtu: i32,
        /// How old an unused image must be before it is removed.
        #[serde(rename = "imageMinimumGCAge")]
        image_minimum_gc_age: Duration,
        /// How long an image may be unused before it is removed.
        #[serde(rename = "imageMaximumGCAge")]
        image_maximum_gc_age: Duration,
        /// How full the disk is when unused images are removed.
        #[serde(rename = "imageGCHighThresholdPercent")]
        image_gc_high_threshold_percent: i32,
        /// How full the disk is when images are left alone again.
        #[serde(rename = "imageGCLowThresholdPercent")]
        image_gc_low_threshold_percent: i32,
        /// Deprecated.
        image_pull_progress_deadline: Duration,
        /// When pods are evicted at once, such as `memory.available<100Mi`.
        eviction_hard: String,
        /// When pods are evicted after a while.
        eviction_soft: String,
        /// How long that while is.
        eviction_soft_grace_period: String,
        /// How long a Node stays under pressure.
        eviction_pressure_transition_period: Duration,
        /// How many seconds evicted pods have to end.
        eviction_max_pod_grace_period: i32,
        /// How much an eviction must free.
        eviction_minimum_reclaim: String,
        /// Where further volume plug-ins are.
        volume_plugin_directory: String,
        /// Taints for the Node; groups' `taints` are the place for them.
        taints: Vec<String>,
        /// Features that are switched on or off.
        feature_gates: BTreeMap<String, String>,
        /// Whether the kernel says when memory is short.
        kernel_memcg_notification: bool,
        /// What is kept for Kubernetes itself, such as `memory: 200Mi`.
        kube_reserved: BTreeMap<String, String>,
        /// The cgroup of Kubernetes itself.
        kube_reserved_cgroup: String,
        /// What is kept for the system.
        system_reserved: BTreeMap<String, String>,
        /// The cgroup of the system.
        system_reserved_cgroup: String,
        /// What is held to its share: `pods`, `kube-reserved`, `system-reserved`.
        enforce_node_allocatable: String,
        /// How long the container runtime may take.
        runtime_request_timeout: Duration,
        /// How often volumes are measured.
        volume_stats_agg_period: Duration,
        /// Whether it refuses to start with swap.
        fail_swap_on: bool,
        /// How pods may use swap.
        memory_swap_behavior: String,
        /// Deprecated: `allowedUnsafeSysctls`.
        experimental_allowed_unsafe_sysctls: Vec<String>,
        /// Unsafe kernel parameters that pods may set.
        allowed_unsafe_sysctls: Vec<String>,
        /// How long an idle exec or port-forward stays open.
        streaming_connection_idle_timeout: Duration,
        /// Deprecated.
        #[serde(rename = "dockerDisableSharedPID")]
        docker_disable_shared_pid: bool,
        /// Where its files are.
        root_dir: String,
        /// Whether the API is asked about tokens.
        authentication_token_webhook: bool = only([true]),
        /// How long answers about tokens hold.
        authentication_token_webhook_cache_ttl: Duration,
        /// Whether limits of CPU are enforced.
        #[serde(rename = "cpuCFSQuota")]
        cpu_cfs_quota: bool,
        /// In which period limits of CPU are measured.
        #[serde(rename = "cpuCFSQuotaPeriod")]
        cpu_cfs_quota_period: Duration,
        /// How CPUs are given to pods: `none` or `static`.
        cpu_manager_policy: String,
        /// How many images are pulled in a second.
        #[serde(rename = "registryPullQPS")]
        registry_pull_qps: i32,
        /// How many images are pulled in a burst.
        registry_burst: i32,
        /// How resources that are near each other are given out.
        topology_manager_policy: String,
        /// Whether the client certificate is renewed. It always is.
        rotate_certificates: bool = only([true]),
        /// Whether it refuses to start with other kernel parameters than it wants.
        protect_kernel_defaults: bool,
        /// Who manages cgroups: `systemd`.
        cgroup_driver: String = only(["systemd"]),
        /// How often containers are measured.
        housekeeping_interval: Duration,
        /// How many events are sent in a second.
        #[serde(rename = "eventQPS")]
        event_qps: i32,
        /// How many events are sent in a burst.
        event_burst: i32,
        /// How many events are sent in a second, by its newer name.
        #[serde(rename = "eventRecordQPS")]
        event_record_qps: i32,
        /// How many requests are made to the API in a second.
        #[serde(rename = "kubeAPIQPS")]
        kube_api_qps: i32,
        /// How long a Node counts as alive without a sign of life, in seconds.
        node_lease_duration_seconds: i32,
        /// How long a container that crashes again and again waits at most.
        crash_loop_back_off_max_container_restart_period: Duration,
        /// Deprecated.
        experimental_allocatable_ignore_eviction: bool,
        /// How large a container's log may be, such as `10Mi`.
        container_log_max_size: String,
        /// How many logs of a container are kept.
        container_log_max_files: i32,
        /// Deprecated.
        enable_cadvisor_json_endpoints: bool,
        /// How many processes a pod may have.
        pod_pids_limit: i64,
        /// How long a shutdown waits for pods.
        shutdown_grace_period: Duration,
        /// How much of that is for critical pods.
        shutdown_grace_period_critical_pods: Duration,
    }
}
