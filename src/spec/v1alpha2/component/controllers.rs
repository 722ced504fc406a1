//! The controller managers, the scheduler, and kube-proxy.

use std::collections::BTreeMap;

use crate::spec::v1alpha2::row::{HONOURED, only};
use crate::spec::v1alpha2::{Duration, Quantity};

wire! {
    /// Flags of kube-controller-manager.
    pub struct KubeControllerManagerSpec {
        /// `--master`: where the API is.
        master: String,
        /// `--logging-format`: `text` or `json`.
        log_format: String,
        /// `--v`: how much is logged.
        log_level: i32,
        /// `--service-account-private-key-file`: the key that signs service accounts' tokens.
        service_account_private_key_file: String,
        /// The image instead of the machine image's.
        image: String,
        /// Deprecated: `external`.
        cloud_provider: String,
        /// `--cluster-name`: the cluster's name.
        cluster_name: String,
        /// `--cluster-cidr`: it follows from `spec.podCIDR`.
        #[serde(rename = "clusterCIDR")]
        cluster_cidr: String,
        /// `--allocate-node-cidrs`: whether Nodes get ranges for pods.
        #[serde(rename = "allocateNodeCIDRs")]
        allocate_node_cid_rs: bool,
        /// `--node-cidr-mask-size`: the prefix of a Node's range for pods.
        #[serde(rename = "nodeCIDRMaskSize")]
        node_cidr_mask_size: i32,
        /// `--configure-cloud-routes`: whether the cloud routes Nodes' ranges.
        configure_cloud_routes: bool,
        /// `--controllers`: the controllers that run.
        controllers: Vec<String>,
        /// `--cidr-allocator-type`: who chooses Nodes' ranges for pods.
        cidr_allocator_type: String,
        /// `--root-ca-file`: the authority that service accounts are told.
        #[serde(rename = "rootCAFile")]
        root_ca_file: String,
        /// How one of several is chosen.
        leader_election: LeaderElectionSpec,
        /// `--attach-detach-reconcile-sync-period`: how often volumes are compared with the cloud's.
        attach_detach_reconcile_sync_period: Duration,
        /// `--disable-attach-detach-reconcile-sync`: whether volumes are never compared with the cloud's.
        disable_attach_detach_reconcile_sync: bool,
        /// `--terminated-pod-gc-threshold`: how many ended pods are kept.
        #[serde(rename = "terminatedPodGCThreshold")]
        terminated_pod_gc_threshold: i32,
        /// `--node-monitor-period`: how often Nodes are looked at.
        node_monitor_period: Duration,
        /// `--node-monitor-grace-period`: how long a Node may be silent.
        node_monitor_grace_period: Duration,
        /// Deprecated: pods' tolerations say it.
        pod_eviction_timeout: Duration,
        /// `--use-service-account-credentials`: whether each controller has its own account.
        use_service_account_credentials: bool,
        /// `--horizontal-pod-autoscaler-sync-period`: how often pods are scaled.
        horizontal_pod_autoscaler_sync_period: Duration,
        /// Deprecated: `horizontalPodAutoscalerDownscaleStabilization`.
        horizontal_pod_autoscaler_downscale_delay: Duration,
        /// `--horizontal-pod-autoscaler-downscale-stabilization`: how far back a scale-down looks.
        horizontal_pod_autoscaler_downscale_stabilization: Duration,
        /// Deprecated: Kubernetes no longer has it.
        horizontal_pod_autoscaler_upscale_delay: Duration,
        /// `--horizontal-pod-autoscaler-initial-readiness-delay`: how long a pod counts as starting.
        horizontal_pod_autoscaler_initial_readiness_delay: Duration,
        /// `--horizontal-pod-autoscaler-cpu-initialization-period`: how long a starting pod's CPU is ignored.
        horizontal_pod_autoscaler_cpu_initialization_period: Duration,
        /// `--horizontal-pod-autoscaler-tolerance`: how far a metric may be off.
        horizontal_pod_autoscaler_tolerance: Quantity,
        /// Deprecated: it always does.
        horizontal_pod_autoscaler_use_rest_clients: bool,
        /// Deprecated: `--cluster-signing-duration`.
        experimental_cluster_signing_duration: Duration = HONOURED,
        /// `--cluster-signing-duration`: how long certificates are valid that it signs.
        #[serde(rename = "ClusterSigningDuration")]
        cluster_signing_duration: Duration,
        /// `--feature-gates`: features that are switched on or off.
        feature_gates: BTreeMap<String, String>,
        /// `--tls-cert-file`: the serving certificate.
        tls_cert_file: String,
        /// `--tls-cipher-suites`: the cipher suites for TLS 1.2.
        tls_cipher_suites: Vec<String>,
        /// `--tls-min-version`: the oldest version of TLS.
        tls_min_version: String,
        /// `--tls-private-key-file`: the serving certificate's key.
        tls_private_key_file: String,
        /// `--min-resync-period`: how often everything is looked at again.
        min_resync_period: String,
        /// `--kube-api-qps`: how many requests it makes in a second.
        #[serde(rename = "kubeAPIQPS")]
        kube_apiqps: Quantity,
        /// `--kube-api-burst`: how many requests it makes in a burst.
        #[serde(rename = "kubeAPIBurst")]
        kube_api_burst: i32,
        /// `--concurrent-deployment-syncs`: how many deployments are worked on at once.
        concurrent_deployment_syncs: i32,
        /// `--concurrent-endpoint-syncs`: how many endpoints are worked on at once.
        concurrent_endpoint_syncs: i32,
        /// `--endpoint-updates-batch-period`: how long changes of endpoints are gathered.
        endpoint_updates_batch_period: Duration,
        /// `--endpointslice-updates-batch-period`: how long changes of endpoint slices are gathered.
        endpoint_slice_updates_batch_period: Duration,
        /// `--concurrent-namespace-syncs`: how many namespaces are worked on at once.
        concurrent_namespace_syncs: i32,
        /// `--concurrent-replicaset-syncs`: how many replica sets are worked on at once.
        concurrent_replicaset_syncs: i32,
        /// `--concurrent-service-syncs`: how many services are worked on at once.
        concurrent_service_syncs: i32,
        /// `--concurrent-resource-quota-syncs`: how many quotas are worked on at once.
        concurrent_resource_quota_syncs: i32,
        /// `--concurrent-serviceaccount-token-syncs`: how many service accounts are worked on at once.
        concurrent_serviceaccount_token_syncs: i32,
        /// `--concurrent-rc-syncs`: how many replication controllers are worked on at once.
        concurrent_rc_syncs: i32,
        /// `--concurrent-horizontal-pod-autoscaler-syncs`: how many autoscalers are worked on at once.
        concurrent_horizontal_pod_austoscaler_syncs: i32,
        /// `--concurrent-job-syncs`: how many jobs are worked on at once.
        concurrent_job_syncs: i32,
        /// `--authentication-kubeconfig`: who is asked about tokens.
        authentication_kubeconfig: String,
        /// `--authorization-kubeconfig`: who is asked about requests.
        authorization_kubeconfig: String,
        /// `--authorization-always-allow-paths`: paths that everybody may read.
        authorization_always_allow_paths: Vec<String>,
        /// Deprecated: Kubernetes no longer has clouds' volume plug-ins.
        external_cloud_volume_plugin: String,
        /// `--profiling`: whether it can be profiled.
        enable_profiling: bool,
        /// `--contention-profiling`: whether lock contention can be profiled.
        enable_contention_profiling: bool,
        /// `--enable-leader-migration`: whether controllers move to another manager.
        enable_leader_migration: bool,
        /// The pod's request for CPU.
        cpu_request: Quantity,
        /// The pod's limit of CPU.
        cpu_limit: Quantity,
        /// The pod's request for memory.
        memory_request: Quantity,
        /// The pod's limit of memory.
        memory_limit: Quantity,
    }

    /// Flags of the AWS cloud controller manager.
    pub struct CloudControllerManagerSpec {
        /// `--master`: where the API is.
        master: String,
        /// `--v`: how much is logged.
        log_level: i32,
        /// Its image.
        image: String,
        /// For Azure.
        azure_node_manager_image: String,
        /// `--cloud-provider`: `aws`.
        cloud_provider: String,
        /// `--cluster-name`: the cluster's name.
        cluster_name: String,
        /// `--allow-untagged-cloud`: whether resources without the cluster's tag are used.
        allow_untagged_cloud: bool,
        /// `--cluster-cidr`: it follows from `spec.podCIDR`.
        #[serde(rename = "clusterCIDR")]
        cluster_cidr: String,
        /// `--allocate-node-cidrs`: whether Nodes get ranges for pods.
        #[serde(rename = "allocateNodeCIDRs")]
        allocate_node_cid_rs: bool,
        /// `--configure-cloud-routes`: whether the VPC routes Nodes' ranges.
        configure_cloud_routes: bool,
        /// `--controllers`: the controllers that run.
        controllers: Vec<String>,
        /// `--cidr-allocator-type`: who chooses Nodes' ranges for pods.
        cidr_allocator_type: String,
        /// How one of several is chosen.
        leader_election: LeaderElectionSpec,
        /// `--use-service-account-credentials`: whether each controller has its own account.
        use_service_account_credentials: bool,
        /// `--enable-leader-migration`: whether controllers move to this manager.
        enable_leader_migration: bool,
        /// The pod's request for CPU.
        cpu_request: Quantity,
        /// `--node-status-update-frequency`: how often Nodes' addresses are looked at.
        node_status_update_frequency: Duration,
        /// `--concurrent-node-syncs`: how many Nodes are worked on at once.
        concurrent_node_syncs: i32,
    }

    /// Flags of kube-scheduler.
    pub struct KubeSchedulerSpec {
        /// `--master`: where the API is.
        master: String,
        /// `--logging-format`: `text` or `json`.
        log_format: String,
        /// `--v`: how much is logged.
        log_level: i32,
        /// The image instead of the machine image's.
        image: String,
        /// How one of several is chosen.
        leader_election: LeaderElectionSpec,
        /// Deprecated: Kubernetes no longer has policies.
        use_policy_config_map: bool,
        /// `--feature-gates`: features that are switched on or off.
        feature_gates: BTreeMap<String, String>,
        /// How many volumes a Node may have.
        max_persistent_volumes: i32,
        /// How many requests it makes in a second.
        qps: Quantity,
        /// How many requests it makes in a burst.
        burst: i32,
        /// How many requests it makes in a second.
        #[serde(rename = "kubeAPIQPS")]
        kube_apiqps: Quantity,
        /// How many requests it makes in a burst.
        #[serde(rename = "kubeAPIBurst")]
        kube_api_burst: i32,
        /// `--authentication-kubeconfig`: who is asked about tokens.
        authentication_kubeconfig: String,
        /// `--authorization-kubeconfig`: who is asked about requests.
        authorization_kubeconfig: String,
        /// `--authorization-always-allow-paths`: paths that everybody may read.
        authorization_always_allow_paths: Vec<String>,
        /// `--profiling`: whether it can be profiled.
        enable_profiling: bool,
        /// `--contention-profiling`: whether lock contention can be profiled.
        enable_contention_profiling: bool,
        /// `--tls-cert-file`: the serving certificate.
        tls_cert_file: String,
        /// `--tls-private-key-file`: the serving certificate's key.
        tls_private_key_file: String,
        /// The pod's request for CPU.
        cpu_request: Quantity,
        /// The pod's limit of CPU.
        cpu_limit: Quantity,
        /// The pod's request for memory.
        memory_request: Quantity,
        /// The pod's limit of memory.
        memory_limit: Quantity,
    }

    /// How one of several is chosen.
    pub struct LeaderElectionSpec {
        /// `--leader-elect`: whether one is chosen at all.
        leader_elect: bool,
        /// `--leader-elect-lease-duration`: how long the others wait for a silent leader.
        leader_elect_lease_duration: Duration,
        /// `--leader-elect-renew-deadline`: how long a leader tries to stay.
        leader_elect_renew_deadline_duration: Duration,
        /// `--leader-elect-resource-lock`: `leases`.
        leader_elect_resource_lock: String,
        /// `--leader-elect-resource-name`: the lock's name.
        leader_elect_resource_name: String,
        /// `--leader-elect-resource-namespace`: the lock's namespace.
        leader_elect_resource_namespace: String,
        /// `--leader-elect-retry-period`: how often the lock is looked at.
        leader_elect_retry_period: Duration,
    }

    /// Flags of kube-proxy.
    pub struct KubeProxySpec {
        /// The image instead of the machine image's.
        image: String,
        /// The pod's request for CPU.
        cpu_request: Quantity,
        /// The pod's limit of CPU.
        cpu_limit: Quantity,
        /// The pod's request for memory.
        memory_request: Quantity,
        /// The pod's limit of memory.
        memory_limit: Quantity,
        /// `--v`: how much is logged.
        log_level: i32,
        /// `--cluster-cidr`: it follows from `spec.podCIDR`.
        #[serde(rename = "clusterCIDR")]
        cluster_cidr: String,
        /// `--hostname-override`: the Node's name.
        hostname_override: String,
        /// `--bind-address`: the address on which it listens.
        bind_address: String,
        /// `--master`: where the API is.
        master: String,
        /// `--metrics-bind-address`: where its metrics are.
        metrics_bind_address: String,
        /// Whether it runs; a plug-in such as cilium can do its work.
        enabled: bool = only([true]),
        /// `--proxy-mode`: `iptables`, `ipvs` or `nftables`.
        proxy_mode: String,
        /// `--ipvs-exclude-cidrs`: ranges that it leaves alone.
        ipvs_exclude_cidrs: Vec<String>,
        /// `--ipvs-min-sync-period`: how often rules are written at most.
        ipvs_min_sync_period: Duration,
        /// `--ipvs-scheduler`: how endpoints are chosen.
        ipvs_scheduler: String,
        /// `--ipvs-sync-period`: how often rules are written at least.
        ipvs_sync_period: Duration,
        /// `--feature-gates`: features that are switched on or off.
        feature_gates: BTreeMap<String, String>,
        /// `--conntrack-max-per-core`: how many connections are tracked for each CPU.
        conntrack_max_per_core: i32,
        /// `--conntrack-min`: how many connections are tracked at least.
        conntrack_min: i32,
    }
}
