//! The kubelet.

use std::collections::BTreeMap;

use crate::spec::v1alpha2::Duration;
use crate::spec::v1alpha2::row::{HONOURED, flag, in_file, only, refused, removed};
use crate::spec::v1alpha2::setting::{
    Kind, VERBOSITY, at_least, between, cipher_suites, comma_separated, one_of, tls_versions,
};

wire! {
    /// Settings of the kubelet.
    pub struct KubeletSpec {
        /// Deprecated: the kubeconfig says it.
        api_servers: String = removed(),
        /// Whether requests without credentials are looked at. They never are.
        anonymous_auth: bool = only([false]),
        /// Who decides about requests: `Webhook`.
        authorization_mode: String = only(["Webhook"]),
        /// The kubeconfig with which it joins.
        bootstrap_kubeconfig: String =
            refused("how a kubelet joins, and with which certificates, is windlass's"),
        /// Whom clients' certificates are signed by.
        client_ca_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// The serving certificate.
        tls_cert_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// The serving certificate's key.
        tls_private_key_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// The cipher suites for TLS 1.2.
        tls_cipher_suites: Vec<String> = in_file("tlsCipherSuites", cipher_suites()),
        /// The oldest version of TLS.
        tls_min_version: String = in_file("tlsMinVersion", tls_versions()),
        /// The kubeconfig.
        kubeconfig_path: String = refused("how a kubelet joins, and with which certificates, is windlass's"),
        /// Deprecated: it always needs one.
        require_kubeconfig: bool = only([true]),
        /// `text` or `json`.
        log_format: String = in_file("logging.format", one_of(["text", "json"])),
        /// How much is logged.
        log_level: i32 = in_file("logging.verbosity", VERBOSITY),
        /// Where static pods are.
        pod_manifest_path: String = only(["/etc/kubernetes/manifests"]),
        /// The Node's name.
        hostname_override: String = refused("it is the instance's id"),
        /// The image that holds a pod's network.
        pod_infra_container_image: String = refused("it is in the machine image"),
        /// Whether containers get the runtime's seccomp profile unless they say otherwise.
        seccomp_default: bool = in_file("seccompDefault", Kind::Boolean),
        /// Where seccomp profiles are.
        seccomp_profile_root: String = removed(),
        /// Deprecated: admission decides it.
        allow_privileged: bool = removed(),
        /// Whether logs, exec and the like are served.
        enable_debugging_handlers: bool = in_file("enableDebuggingHandlers", Kind::Boolean),
        /// Whether it registers its Node.
        register_node: bool = only([true]),
        /// How often it says that it is there.
        node_status_update_frequency: Duration = in_file("nodeStatusUpdateFrequency", Kind::Duration),
        /// The DNS domain of services.
        cluster_domain: String = refused("it follows from `spec.clusterDNSDomain`"),
        /// The DNS service's address.
        #[serde(rename = "clusterDNS")]
        cluster_dns: String = refused("it is the tenth address of `spec.serviceClusterIPRange`"),
        /// Deprecated: the container runtime says it.
        network_plugin_name: String = removed(),
        /// Deprecated: `external`.
        cloud_provider: String =
            refused("Kubernetes has no cloud provider of its own any more, and windlass installs none"),
        /// The kubelet's cgroup.
        kubelet_cgroups: String = in_file("kubeletCgroups", Kind::Word),
        /// The container runtime's cgroup.
        runtime_cgroups: String = flag("runtime-cgroups", Kind::Word),
        /// The port for reading without credentials: 0, which is none.
        read_only_port: i32 = only([0]),
        /// The cgroup of other processes.
        system_cgroups: String = in_file("systemCgroups", Kind::Word),
        /// The cgroup under which pods are.
        cgroup_root: String = in_file("cgroupRoot", Kind::Word),
        /// Deprecated.
        configure_cbr0: bool = removed(),
        /// How a pod reaches itself by its service.
        hairpin_mode: String = in_file("hairpinMode", one_of(["promiscuous-bridge", "hairpin-veth", "none"])),
        /// Deprecated.
        babysit_daemons: bool = removed(),
        /// How many pods the Node may have.
        max_pods: u32 = HONOURED,
        /// Deprecated: device plug-ins say it.
        #[serde(rename = "nvidiaGPUs")]
        nvidia_gp_us: i32 = removed(),
        /// The range of pods on a kubelet without an API.
        #[serde(rename = "podCIDR")]
        pod_cidr: String = refused("kube-controller-manager gives each Node its range"),
        /// The resolver's configuration that pods' is made from.
        resolv_conf: String = in_file("resolvConf", Kind::Path),
        /// Deprecated.
        #[serde(rename = "reconcileCIDR")]
        reconcile_cidr: bool = removed(),
        /// Deprecated: taints say it.
        register_schedulable: bool = removed(),
        /// Whether images are pulled one by one.
        serialize_image_pulls: bool = in_file("serializeImagePulls", Kind::Boolean),
        /// How many images are pulled at once.
        max_parallel_image_pulls: i32 = in_file("maxParallelImagePulls", at_least(1)),
        /// Labels for the Node; groups' `nodeLabels` are the place for them.
        node_labels: BTreeMap<String, String> = refused("labels are a group's: write its `nodeLabels`"),
        /// Deprecated: the network plug-in says it.
        #[serde(rename = "nonMasqueradeCIDR")]
        non_masquerade_cidr: String = removed(),
        /// Deprecated.
        enable_custom_metrics: bool = removed(),
        /// Deprecated: the network plug-in says it.
        #[serde(rename = "networkPluginMTU")]
        network_plugin_mtu: i32 = removed(),
        /// How old an unused image must be before it is removed.
        #[serde(rename = "imageMinimumGCAge")]
        image_minimum_gc_age: Duration = in_file("imageMinimumGCAge", Kind::Duration),
        /// How long an image may be unused before it is removed.
        #[serde(rename = "imageMaximumGCAge")]
        image_maximum_gc_age: Duration = in_file("imageMaximumGCAge", Kind::Duration),
        /// How full the disk is when unused images are removed.
        #[serde(rename = "imageGCHighThresholdPercent")]
        image_gc_high_threshold_percent: i32 = in_file("imageGCHighThresholdPercent", between(0, 100)),
        /// How full the disk is when images are left alone again.
        #[serde(rename = "imageGCLowThresholdPercent")]
        image_gc_low_threshold_percent: i32 = in_file("imageGCLowThresholdPercent", between(0, 100)),
        /// Deprecated.
        image_pull_progress_deadline: Duration = removed(),
        /// When pods are evicted at once, such as `memory.available<100Mi`.
        eviction_hard: String = in_file("evictionHard", Kind::Thresholds),
        /// When pods are evicted after a while.
        eviction_soft: String = in_file("evictionSoft", Kind::Thresholds),
        /// How long that while is.
        eviction_soft_grace_period: String = in_file("evictionSoftGracePeriod", Kind::GracePeriods),
        /// How long a Node stays under pressure.
        eviction_pressure_transition_period: Duration =
            in_file("evictionPressureTransitionPeriod", Kind::Duration),
        /// How many seconds evicted pods have to end.
        eviction_max_pod_grace_period: i32 = in_file("evictionMaxPodGracePeriod", at_least(0)),
        /// How much an eviction must free.
        eviction_minimum_reclaim: String = in_file("evictionMinimumReclaim", Kind::Amounts),
        /// Where further volume plug-ins are.
        volume_plugin_directory: String = in_file("volumePluginDir", Kind::Path),
        /// Taints for the Node; groups' `taints` are the place for them.
        taints: Vec<String> = refused("taints are a group's: write its `taints`"),
        /// Features that are switched on or off.
        feature_gates: BTreeMap<String, String> = in_file("featureGates", Kind::Gates),
        /// Whether the kernel says when memory is short.
        kernel_memcg_notification: bool = in_file("kernelMemcgNotification", Kind::Boolean),
        /// What is kept for Kubernetes itself, such as `memory: 200Mi`.
        kube_reserved: BTreeMap<String, String> = in_file("kubeReserved", Kind::Reservations),
        /// The cgroup of Kubernetes itself.
        kube_reserved_cgroup: String = in_file("kubeReservedCgroup", Kind::Word),
        /// What is kept for the system.
        system_reserved: BTreeMap<String, String> = in_file("systemReserved", Kind::Reservations),
        /// The cgroup of the system.
        system_reserved_cgroup: String = in_file("systemReservedCgroup", Kind::Word),
        /// What is held to its share: `pods`, `kube-reserved`, `system-reserved`.
        enforce_node_allocatable: String =
            in_file("enforceNodeAllocatable", comma_separated(["none", "pods", "kube-reserved", "system-reserved"])),
        /// How long the container runtime may take.
        runtime_request_timeout: Duration = in_file("runtimeRequestTimeout", Kind::Duration),
        /// How often volumes are measured.
        volume_stats_agg_period: Duration = in_file("volumeStatsAggPeriod", Kind::Duration),
        /// Whether it refuses to start with swap.
        fail_swap_on: bool =
            refused("windlass turns swap off before the first secret comes, which could get onto a disk by it"),
        /// How pods may use swap.
        memory_swap_behavior: String =
            refused("windlass turns swap off before the first secret comes, which could get onto a disk by it"),
        /// Deprecated: `allowedUnsafeSysctls`.
        experimental_allowed_unsafe_sysctls: Vec<String> = removed(),
        /// Unsafe kernel parameters that pods may set.
        allowed_unsafe_sysctls: Vec<String> = in_file("allowedUnsafeSysctls", Kind::Words),
        /// How long an idle exec or port-forward stays open.
        streaming_connection_idle_timeout: Duration =
            in_file("streamingConnectionIdleTimeout", Kind::Duration),
        /// Deprecated.
        #[serde(rename = "dockerDisableSharedPID")]
        docker_disable_shared_pid: bool = removed(),
        /// Where its files are.
        root_dir: String = only(["/var/lib/kubelet"]),
        /// Whether the API is asked about tokens.
        authentication_token_webhook: bool = only([true]),
        /// How long answers about tokens hold.
        authentication_token_webhook_cache_ttl: Duration =
            in_file("authentication.webhook.cacheTTL", Kind::Duration),
        /// Whether limits of CPU are enforced.
        #[serde(rename = "cpuCFSQuota")]
        cpu_cfs_quota: bool = in_file("cpuCFSQuota", Kind::Boolean),
        /// In which period limits of CPU are measured.
        #[serde(rename = "cpuCFSQuotaPeriod")]
        cpu_cfs_quota_period: Duration = in_file("cpuCFSQuotaPeriod", Kind::Duration),
        /// How CPUs are given to pods: `none` or `static`.
        cpu_manager_policy: String = in_file("cpuManagerPolicy", one_of(["none", "static"])),
        /// How many images are pulled in a second.
        #[serde(rename = "registryPullQPS")]
        registry_pull_qps: i32 = in_file("registryPullQPS", at_least(0)),
        /// How many images are pulled in a burst.
        registry_burst: i32 = in_file("registryBurst", at_least(0)),
        /// How resources that are near each other are given out.
        topology_manager_policy: String =
            in_file("topologyManagerPolicy", one_of(["none", "best-effort", "restricted", "single-numa-node"])),
        /// Whether the client certificate is renewed. It always is.
        rotate_certificates: bool = only([true]),
        /// Whether it refuses to start with other kernel parameters than it wants.
        protect_kernel_defaults: bool = in_file("protectKernelDefaults", Kind::Boolean),
        /// Who manages cgroups: `systemd`.
        cgroup_driver: String = only(["systemd"]),
        /// How often containers are measured.
        housekeeping_interval: Duration = flag("housekeeping-interval", Kind::Duration),
        /// How many events are sent in a second.
        #[serde(rename = "eventQPS")]
        event_qps: i32 = in_file("eventRecordQPS", at_least(0)),
        /// How many events are sent in a burst.
        event_burst: i32 = in_file("eventBurst", at_least(0)),
        /// How many events are sent in a second, by its newer name.
        #[serde(rename = "eventRecordQPS")]
        event_record_qps: i32 = in_file("eventRecordQPS", at_least(0)),
        /// How many requests are made to the API in a second.
        #[serde(rename = "kubeAPIQPS")]
        kube_api_qps: i32 = in_file("kubeAPIQPS", at_least(0)),
        /// How long a Node counts as alive without a sign of life, in seconds.
        node_lease_duration_seconds: i32 = in_file("nodeLeaseDurationSeconds", at_least(1)),
        /// How long a container that crashes again and again waits at most.
        crash_loop_back_off_max_container_restart_period: Duration =
            in_file("crashLoopBackOff.maxContainerRestartPeriod", Kind::Duration),
        /// Deprecated.
        experimental_allocatable_ignore_eviction: bool = removed(),
        /// How large a container's log may be, such as `10Mi`.
        container_log_max_size: String = in_file("containerLogMaxSize", Kind::Quantity),
        /// How many logs of a container are kept.
        container_log_max_files: i32 = in_file("containerLogMaxFiles", at_least(2)),
        /// Deprecated.
        enable_cadvisor_json_endpoints: bool = removed(),
        /// How many processes a pod may have.
        pod_pids_limit: i64 = in_file("podPidsLimit", at_least(-1)),
        /// How long a shutdown waits for pods.
        shutdown_grace_period: Duration = in_file("shutdownGracePeriod", Kind::Duration),
        /// How much of that is for critical pods.
        shutdown_grace_period_critical_pods: Duration =
            in_file("shutdownGracePeriodCriticalPods", Kind::Duration),
    }
}
