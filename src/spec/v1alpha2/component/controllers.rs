//! The controller managers, the scheduler, and kube-proxy.

use std::collections::BTreeMap;

use crate::spec::v1alpha2::row::{HONOURED, IN_PART, flag, in_file, limit, only, refused, removed, request};
use crate::spec::v1alpha2::setting::{
    Kind, VERBOSITY, at_least, between, cipher_suites, one_of, tls_versions,
};
use crate::spec::v1alpha2::{Duration, Quantity};

wire! {
    /// Flags of kube-controller-manager.
    pub struct KubeControllerManagerSpec {
        /// `--master`: where the API is.
        master: String =
            refused("windlass writes the kubeconfigs, and renews the certificates that they name"),
        /// `--logging-format`: `text` or `json`.
        log_format: String = flag("logging-format", one_of(["text", "json"])),
        /// `--v`: how much is logged.
        log_level: i32 = flag("v", VERBOSITY),
        /// `--service-account-private-key-file`: the key that signs service accounts' tokens.
        service_account_private_key_file: String =
            refused("the keys of service accounts are windlass's keysets"),
        /// The image instead of the machine image's.
        image: String =
            refused("components are those of the machine image, which is tested as a whole: another version is another image"),
        /// Deprecated: `external`.
        cloud_provider: String =
            refused("Kubernetes has no cloud provider of its own any more, and windlass installs none"),
        /// `--cluster-name`: the cluster's name.
        cluster_name: String = refused("it is the cluster's name"),
        /// `--cluster-cidr`: it follows from `spec.podCIDR`.
        #[serde(rename = "clusterCIDR")]
        cluster_cidr: String = refused("it follows from `spec.podCIDR`"),
        /// `--allocate-node-cidrs`: whether Nodes get ranges for pods.
        #[serde(rename = "allocateNodeCIDRs")]
        allocate_node_cid_rs: bool = only([true]),
        /// `--node-cidr-mask-size`: the prefix of a Node's range for pods.
        #[serde(rename = "nodeCIDRMaskSize")]
        node_cidr_mask_size: i32 = only([24]),
        /// `--configure-cloud-routes`: whether the cloud routes Nodes' ranges.
        configure_cloud_routes: bool = only([false]),
        /// `--controllers`: the controllers that run.
        controllers: Vec<String> = flag("controllers", Kind::Words),
        /// `--cidr-allocator-type`: who chooses Nodes' ranges for pods.
        cidr_allocator_type: String = only(["RangeAllocator"]),
        /// `--root-ca-file`: the authority that service accounts are told.
        #[serde(rename = "rootCAFile")]
        root_ca_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// How one of several is chosen.
        leader_election: LeaderElectionSpec = IN_PART,
        /// `--attach-detach-reconcile-sync-period`: how often volumes are compared with the cloud's.
        attach_detach_reconcile_sync_period: Duration =
            flag("attach-detach-reconcile-sync-period", Kind::Duration),
        /// `--disable-attach-detach-reconcile-sync`: whether volumes are never compared with the cloud's.
        disable_attach_detach_reconcile_sync: bool =
            flag("disable-attach-detach-reconcile-sync", Kind::Boolean),
        /// `--terminated-pod-gc-threshold`: how many ended pods are kept.
        #[serde(rename = "terminatedPodGCThreshold")]
        terminated_pod_gc_threshold: i32 = flag("terminated-pod-gc-threshold", at_least(0)),
        /// `--node-monitor-period`: how often Nodes are looked at.
        node_monitor_period: Duration = flag("node-monitor-period", Kind::Duration),
        /// `--node-monitor-grace-period`: how long a Node may be silent.
        node_monitor_grace_period: Duration = flag("node-monitor-grace-period", Kind::Duration),
        /// Deprecated: pods' tolerations say it.
        pod_eviction_timeout: Duration =
            refused("no version of Kubernetes that windlass runs has it any more: pods' tolerations say it, and the API server's `defaultNotReadyTolerationSeconds`"),
        /// `--use-service-account-credentials`: whether each controller has its own account.
        use_service_account_credentials: bool = only([true]),
        /// `--horizontal-pod-autoscaler-sync-period`: how often pods are scaled.
        horizontal_pod_autoscaler_sync_period: Duration =
            flag("horizontal-pod-autoscaler-sync-period", Kind::Duration),
        /// Deprecated: `horizontalPodAutoscalerDownscaleStabilization`.
        horizontal_pod_autoscaler_downscale_delay: Duration = removed(),
        /// `--horizontal-pod-autoscaler-downscale-stabilization`: how far back a scale-down looks.
        horizontal_pod_autoscaler_downscale_stabilization: Duration =
            flag("horizontal-pod-autoscaler-downscale-stabilization", Kind::Duration),
        /// Deprecated: Kubernetes no longer has it.
        horizontal_pod_autoscaler_upscale_delay: Duration = removed(),
        /// `--horizontal-pod-autoscaler-initial-readiness-delay`: how long a pod counts as starting.
        horizontal_pod_autoscaler_initial_readiness_delay: Duration =
            flag("horizontal-pod-autoscaler-initial-readiness-delay", Kind::Duration),
        /// `--horizontal-pod-autoscaler-cpu-initialization-period`: how long a starting pod's CPU is ignored.
        horizontal_pod_autoscaler_cpu_initialization_period: Duration =
            flag("horizontal-pod-autoscaler-cpu-initialization-period", Kind::Duration),
        /// `--horizontal-pod-autoscaler-tolerance`: how far a metric may be off.
        horizontal_pod_autoscaler_tolerance: Quantity =
            flag("horizontal-pod-autoscaler-tolerance", Kind::Decimal),
        /// Deprecated: it always does.
        horizontal_pod_autoscaler_use_rest_clients: bool = only([true]),
        /// Deprecated: `--cluster-signing-duration`.
        experimental_cluster_signing_duration: Duration = HONOURED,
        /// `--cluster-signing-duration`: how long certificates are valid that it signs.
        #[serde(rename = "ClusterSigningDuration")]
        cluster_signing_duration: Duration = HONOURED,
        /// `--feature-gates`: features that are switched on or off.
        feature_gates: BTreeMap<String, String> = flag("feature-gates", Kind::Gates),
        /// `--tls-cert-file`: the serving certificate.
        tls_cert_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// `--tls-cipher-suites`: the cipher suites for TLS 1.2.
        tls_cipher_suites: Vec<String> = flag("tls-cipher-suites", cipher_suites()),
        /// `--tls-min-version`: the oldest version of TLS.
        tls_min_version: String = flag("tls-min-version", tls_versions()),
        /// `--tls-private-key-file`: the serving certificate's key.
        tls_private_key_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// `--min-resync-period`: how often everything is looked at again.
        min_resync_period: String = flag("min-resync-period", Kind::Duration),
        /// `--kube-api-qps`: how many requests it makes in a second.
        #[serde(rename = "kubeAPIQPS")]
        kube_apiqps: Quantity = flag("kube-api-qps", Kind::Decimal),
        /// `--kube-api-burst`: how many requests it makes in a burst.
        #[serde(rename = "kubeAPIBurst")]
        kube_api_burst: i32 = flag("kube-api-burst", at_least(0)),
        /// `--concurrent-deployment-syncs`: how many deployments are worked on at once.
        concurrent_deployment_syncs: i32 = flag("concurrent-deployment-syncs", at_least(0)),
        /// `--concurrent-endpoint-syncs`: how many endpoints are worked on at once.
        concurrent_endpoint_syncs: i32 = flag("concurrent-endpoint-syncs", at_least(0)),
        /// `--endpoint-updates-batch-period`: how long changes of endpoints are gathered.
        endpoint_updates_batch_period: Duration = flag("endpoint-updates-batch-period", Kind::Duration),
        /// `--endpointslice-updates-batch-period`: how long changes of endpoint slices are gathered.
        endpoint_slice_updates_batch_period: Duration =
            flag("endpointslice-updates-batch-period", Kind::Duration),
        /// `--concurrent-namespace-syncs`: how many namespaces are worked on at once.
        concurrent_namespace_syncs: i32 = flag("concurrent-namespace-syncs", at_least(0)),
        /// `--concurrent-replicaset-syncs`: how many replica sets are worked on at once.
        concurrent_replicaset_syncs: i32 = flag("concurrent-replicaset-syncs", at_least(0)),
        /// `--concurrent-service-syncs`: how many services are worked on at once.
        concurrent_service_syncs: i32 = flag("concurrent-service-syncs", at_least(0)),
        /// `--concurrent-resource-quota-syncs`: how many quotas are worked on at once.
        concurrent_resource_quota_syncs: i32 = flag("concurrent-resource-quota-syncs", at_least(0)),
        /// `--concurrent-serviceaccount-token-syncs`: how many service accounts are worked on at once.
        concurrent_serviceaccount_token_syncs: i32 =
            flag("concurrent-serviceaccount-token-syncs", at_least(0)),
        /// `--concurrent-rc-syncs`: how many replication controllers are worked on at once.
        concurrent_rc_syncs: i32 = flag("concurrent-rc-syncs", at_least(0)),
        /// `--concurrent-horizontal-pod-autoscaler-syncs`: how many autoscalers are worked on at once.
        concurrent_horizontal_pod_austoscaler_syncs: i32 =
            flag("concurrent-horizontal-pod-autoscaler-syncs", at_least(0)),
        /// `--concurrent-job-syncs`: how many jobs are worked on at once.
        concurrent_job_syncs: i32 = flag("concurrent-job-syncs", at_least(0)),
        /// `--authentication-kubeconfig`: who is asked about tokens.
        authentication_kubeconfig: String =
            refused("windlass writes the kubeconfigs, and renews the certificates that they name"),
        /// `--authorization-kubeconfig`: who is asked about requests.
        authorization_kubeconfig: String =
            refused("windlass writes the kubeconfigs, and renews the certificates that they name"),
        /// `--authorization-always-allow-paths`: paths that everybody may read.
        authorization_always_allow_paths: Vec<String> = flag("authorization-always-allow-paths", Kind::Words),
        /// Deprecated: Kubernetes no longer has clouds' volume plug-ins.
        external_cloud_volume_plugin: String =
            refused("Kubernetes has no cloud provider of its own any more, and windlass installs none"),
        /// `--profiling`: whether it can be profiled.
        enable_profiling: bool = flag("profiling", Kind::Boolean),
        /// `--contention-profiling`: whether lock contention can be profiled.
        enable_contention_profiling: bool = flag("contention-profiling", Kind::Boolean),
        /// `--enable-leader-migration`: whether controllers move to another manager.
        enable_leader_migration: bool =
            refused("it is for moving to a cloud controller manager, and windlass installs none"),
        /// The pod's request for CPU.
        cpu_request: Quantity = request("cpu"),
        /// The pod's limit of CPU.
        cpu_limit: Quantity = limit("cpu"),
        /// The pod's request for memory.
        memory_request: Quantity = request("memory"),
        /// The pod's limit of memory.
        memory_limit: Quantity = limit("memory"),
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
        master: String =
            refused("windlass writes the kubeconfigs, and renews the certificates that they name"),
        /// `--logging-format`: `text` or `json`.
        log_format: String = flag("logging-format", one_of(["text", "json"])),
        /// `--v`: how much is logged.
        log_level: i32 = flag("v", VERBOSITY),
        /// The image instead of the machine image's.
        image: String =
            refused("components are those of the machine image, which is tested as a whole: another version is another image"),
        /// How one of several is chosen.
        leader_election: LeaderElectionSpec = IN_PART,
        /// Deprecated: Kubernetes no longer has policies.
        use_policy_config_map: bool = only([false]),
        /// `--feature-gates`: features that are switched on or off.
        feature_gates: BTreeMap<String, String> = flag("feature-gates", Kind::Gates),
        /// How many volumes a Node may have.
        max_persistent_volumes: i32 =
            refused("no version of Kubernetes that windlass runs has it any more: CSI drivers say how many volumes a Node may have"),
        /// How many requests it makes in a second.
        qps: Quantity = in_file("clientConnection.qps", Kind::Decimal),
        /// How many requests it makes in a burst.
        burst: i32 = in_file("clientConnection.burst", at_least(0)),
        /// How many requests it makes in a second.
        #[serde(rename = "kubeAPIQPS")]
        kube_apiqps: Quantity = in_file("clientConnection.qps", Kind::Decimal),
        /// How many requests it makes in a burst.
        #[serde(rename = "kubeAPIBurst")]
        kube_api_burst: i32 = in_file("clientConnection.burst", at_least(0)),
        /// `--authentication-kubeconfig`: who is asked about tokens.
        authentication_kubeconfig: String =
            refused("windlass writes the kubeconfigs, and renews the certificates that they name"),
        /// `--authorization-kubeconfig`: who is asked about requests.
        authorization_kubeconfig: String =
            refused("windlass writes the kubeconfigs, and renews the certificates that they name"),
        /// `--authorization-always-allow-paths`: paths that everybody may read.
        authorization_always_allow_paths: Vec<String> = flag("authorization-always-allow-paths", Kind::Words),
        /// `--profiling`: whether it can be profiled.
        enable_profiling: bool = in_file("enableProfiling", Kind::Boolean),
        /// `--contention-profiling`: whether lock contention can be profiled.
        enable_contention_profiling: bool = in_file("enableContentionProfiling", Kind::Boolean),
        /// `--tls-cert-file`: the serving certificate.
        tls_cert_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// `--tls-private-key-file`: the serving certificate's key.
        tls_private_key_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// The pod's request for CPU.
        cpu_request: Quantity = request("cpu"),
        /// The pod's limit of CPU.
        cpu_limit: Quantity = limit("cpu"),
        /// The pod's request for memory.
        memory_request: Quantity = request("memory"),
        /// The pod's limit of memory.
        memory_limit: Quantity = limit("memory"),
    }

    /// How one of several is chosen.
    pub struct LeaderElectionSpec {
        /// `--leader-elect`: whether one is chosen at all.
        leader_elect: bool = flag("leader-elect", one_of(["true"])),
        /// `--leader-elect-lease-duration`: how long the others wait for a silent leader.
        leader_elect_lease_duration: Duration = flag("leader-elect-lease-duration", Kind::Duration),
        /// `--leader-elect-renew-deadline`: how long a leader tries to stay.
        leader_elect_renew_deadline_duration: Duration = flag("leader-elect-renew-deadline", Kind::Duration),
        /// `--leader-elect-resource-lock`: `leases`.
        leader_elect_resource_lock: String = flag("leader-elect-resource-lock", one_of(["leases"])),
        /// `--leader-elect-resource-name`: the lock's name.
        leader_elect_resource_name: String = flag("leader-elect-resource-name", Kind::Word),
        /// `--leader-elect-resource-namespace`: the lock's namespace.
        leader_elect_resource_namespace: String = flag("leader-elect-resource-namespace", Kind::Word),
        /// `--leader-elect-retry-period`: how often the lock is looked at.
        leader_elect_retry_period: Duration = flag("leader-elect-retry-period", Kind::Duration),
    }

    /// Flags of kube-proxy.
    pub struct KubeProxySpec {
        /// The image instead of the machine image's.
        image: String =
            refused("components are those of the machine image, which is tested as a whole: another version is another image"),
        /// The pod's request for CPU.
        cpu_request: Quantity = request("cpu"),
        /// The pod's limit of CPU.
        cpu_limit: Quantity = limit("cpu"),
        /// The pod's request for memory.
        memory_request: Quantity = request("memory"),
        /// The pod's limit of memory.
        memory_limit: Quantity = limit("memory"),
        /// `--v`: how much is logged.
        log_level: i32 = in_file("logging.verbosity", VERBOSITY),
        /// `--cluster-cidr`: it follows from `spec.podCIDR`.
        #[serde(rename = "clusterCIDR")]
        cluster_cidr: String = refused("it follows from `spec.podCIDR`"),
        /// `--hostname-override`: the Node's name.
        hostname_override: String = refused("it is the instance's id"),
        /// `--bind-address`: the address on which it listens.
        bind_address: String = only(["0.0.0.0"]),
        /// `--master`: where the API is.
        master: String =
            refused("windlass writes the kubeconfigs, and renews the certificates that they name"),
        /// `--metrics-bind-address`: where its metrics are.
        metrics_bind_address: String = in_file("metricsBindAddress", Kind::Socket),
        /// Whether it runs; a plug-in such as cilium can do its work.
        enabled: bool = in_file("enabled", Kind::Boolean),
        /// `--proxy-mode`: `iptables`, `ipvs` or `nftables`.
        proxy_mode: String = in_file("mode", one_of(["iptables", "nftables"])),
        /// `--ipvs-exclude-cidrs`: ranges that it leaves alone.
        ipvs_exclude_cidrs: Vec<String> =
            refused("Kubernetes is about to remove the mode `ipvs`, and windlass's kube-proxy has not the rights for it"),
        /// `--ipvs-min-sync-period`: how often rules are written at most.
        ipvs_min_sync_period: Duration =
            refused("Kubernetes is about to remove the mode `ipvs`, and windlass's kube-proxy has not the rights for it"),
        /// `--ipvs-scheduler`: how endpoints are chosen.
        ipvs_scheduler: String =
            refused("Kubernetes is about to remove the mode `ipvs`, and windlass's kube-proxy has not the rights for it"),
        /// `--ipvs-sync-period`: how often rules are written at least.
        ipvs_sync_period: Duration =
            refused("Kubernetes is about to remove the mode `ipvs`, and windlass's kube-proxy has not the rights for it"),
        /// `--feature-gates`: features that are switched on or off.
        feature_gates: BTreeMap<String, String> = in_file("featureGates", Kind::Gates),
        /// `--conntrack-max-per-core`: how many connections are tracked for each CPU.
        conntrack_max_per_core: i32 = in_file("conntrack.maxPerCore", between(0, 1_000_000)),
        /// `--conntrack-min`: how many connections are tracked at least.
        conntrack_min: i32 = in_file("conntrack.min", between(0, 100_000_000)),
    }
}
