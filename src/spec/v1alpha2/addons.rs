//! Add-ons and components of the cluster.

use std::collections::BTreeMap;

use super::Quantity;
use super::row::{HONOURED, KEPT, only};

/// The tag by which kops's handler knows its groups, where nothing else is said.
const DEFAULT_MANAGED_TAG: &str = "aws-node-termination-handler/managed";

wire! {
    /// A further add-on.
    pub struct AddonSpec {
        /// Where its manifest is.
        manifest: String,
    }

    /// Time synchronisation.
    pub struct NtpSpec {
        /// Whether the image's is left alone.
        managed: bool,
    }

    /// The cluster's DNS.
    pub struct KubeDnsSpec {
        /// For kube-dns only.
        cache_max_size: i64,
        /// For kube-dns only.
        cache_max_concurrent: i64,
        /// Tolerations of the pods.
        tolerations: Vec<serde_json::Value>,
        /// Affinity of the pods.
        affinity: serde_json::Value,
        /// CoreDNS's image.
        #[serde(rename = "coreDNSImage")]
        core_dns_image: String,
        /// The proportional autoscaler's image.
        cpa_image: String,
        /// The DNS domain of services.
        domain: String,
        /// A whole Corefile instead of windlass's.
        external_core_file: String,
        /// Deprecated.
        image: String,
        /// Deprecated.
        replicas: i64,
        /// `CoreDNS`.
        provider: String = only(["CoreDNS"]),
        /// The DNS service's address.
        #[serde(rename = "serverIP")]
        server_ip: String,
        /// Other DNS servers for some domains.
        stub_domains: BTreeMap<String, Vec<String>>,
        /// DNS servers for everything outside the cluster.
        upstream_nameservers: Vec<String>,
        /// The pods' request for memory.
        memory_request: Quantity,
        /// The pods' request for CPU.
        cpu_request: Quantity,
        /// The pods' limit of memory.
        memory_limit: Quantity,
        /// A cache on every node.
        #[serde(rename = "nodeLocalDNS")]
        node_local_dns: NodeLocalDnsSpec,
        /// Annotations of its pods.
        pod_annotations: BTreeMap<String, String>,
    }

    /// A DNS cache on every node.
    pub struct NodeLocalDnsSpec {
        /// Whether it runs.
        enabled: bool,
        /// Its image.
        image: String,
        /// Its address on the node.
        #[serde(rename = "localIP")]
        local_ip: String,
        /// Whether it forwards to the cluster's DNS.
        #[serde(rename = "forwardToKubeDNS")]
        forward_to_kube_dns: bool,
        /// The pods' request for memory.
        memory_request: Quantity,
        /// The pods' request for CPU.
        cpu_request: Quantity,
        /// A whole Corefile instead of windlass's.
        external_core_file: String,
        /// Further settings of the Corefile.
        additional_config: String,
        /// Annotations of the pods.
        pod_annotations: BTreeMap<String, String>,
    }
}

wire! {
    /// The AWS Load Balancer Controller.
    pub struct AwsLoadBalancerControllerSpec {
        /// Whether it runs.
        enabled: bool = only([false]),
        /// Its version.
        version: String,
        /// Its request for CPU.
        cpu_request: Quantity,
        /// Its limit of CPU.
        cpu_limit: Quantity,
        /// Its request for memory.
        memory_request: Quantity,
        /// Its limit of memory.
        memory_limit: Quantity,
        /// Whether load balancers may have AWS WAF.
        #[serde(rename = "enableWAF")]
        enable_waf: bool,
        /// Whether load balancers may have AWS WAFv2.
        #[serde(rename = "enableWAFv2")]
        enable_waf_v2: bool,
        /// Whether load balancers may have AWS Shield.
        enable_shield: bool,
    }

    /// What is done about instances that are going. The agent on each machine is the handler: there is no pod.
    pub struct NodeTerminationHandlerSpec {
        /// Whether events for instances that are no Nodes are taken from the queue. Those that nobody takes run out after five
        /// minutes.
        #[serde(rename = "deleteSQSMsgIfNodeNotFound")]
        delete_sqs_msg_if_node_not_found: bool = KEPT,
        /// Whether Auto Scaling waits, up to five minutes, until an instance that it ends is drained: not when left out.
        enabled: bool = HONOURED,
        /// Whether nodes are drained at notices of spot interruptions, which the agent always heeds.
        enable_spot_interruption_draining: bool = only([true]),
        /// Whether nodes are drained before scheduled maintenance: with the queue, and not without.
        enable_scheduled_event_draining: bool = HONOURED,
        /// Whether it acts on recommendations to rebalance, by cordoning.
        enable_rebalance_monitoring: bool =
            only([false]).hint("leave it out; `capacityRebalance` of a group lets Auto Scaling replace what is at risk"),
        /// Whether it acts on recommendations to rebalance, by draining.
        enable_rebalance_draining: bool =
            only([false]).hint("leave it out; `capacityRebalance` of a group lets Auto Scaling replace what is at risk"),
        /// Whether it serves metrics.
        #[serde(rename = "prometheusEnable")]
        enable_prometheus_metrics: bool = only([false]),
        /// Whether masters read AWS's events about instances from a queue, besides what each instance is told itself: not when
        /// left out.
        #[serde(rename = "enableSQSTerminationDraining")]
        enable_sqs_termination_draining: bool = HONOURED,
        /// Whether spot instances at risk are excluded from load balancers.
        exclude_from_load_balancers: bool = only([false]),
        /// The tag of groups it looks after: windlass looks after the cluster's, whatever tags they have.
        #[serde(rename = "managedASGTag")]
        managed_asg_tag: String = only([DEFAULT_MANAGED_TAG]),
        /// How long pods have to end, in seconds: as long as they say themselves.
        pod_termination_grace_period: i32 = only([-1]),
        /// Whether it taints nodes.
        taint_node: bool = only([false]),
        /// Whether Nodes that shut down get the out-of-service taint.
        enable_out_of_service_taint: bool = only([false]),
        /// For the pod, which there is none of.
        memory_request: Quantity = KEPT,
        /// For the pod, which there is none of.
        memory_limit: Quantity = KEPT,
        /// For the pod, which there is none of.
        cpu_request: Quantity = KEPT,
        /// For the pod, which there is none of.
        version: String = KEPT,
        /// A URL that is told of every event.
        #[serde(rename = "webhookURL")]
        webhook_url: String,
        /// What the URL is told.
        webhook_template: String,
    }

    /// The Node Problem Detector.
    pub struct NodeProblemDetectorSpec {
        /// Whether it runs.
        enabled: bool = only([false]),
        /// Its image.
        image: String,
        /// Its request for memory.
        memory_request: Quantity,
        /// Its request for CPU.
        cpu_request: Quantity,
        /// Its limit of memory.
        memory_limit: Quantity,
        /// Its limit of CPU.
        cpu_limit: Quantity,
    }

    /// The metrics server.
    pub struct MetricsServerSpec {
        /// Whether it runs: not when left out.
        enabled: bool = HONOURED,
        /// Its image, in place of windlass's.
        image: String = HONOURED,
        /// Whether the API server takes its certificate unchecked: it does when left out. To check it needs cert-manager.
        /// Kubelets' certificates are always checked.
        insecure: bool = HONOURED,
    }

    /// cert-manager.
    pub struct CertManagerSpec {
        /// Whether it runs.
        enabled: bool = only([false]),
        /// Whether it is windlass's to install.
        managed: bool,
        /// Its image.
        image: String,
        /// The issuer of certificates that name none.
        default_issuer: String,
        /// DNS servers for its own checks.
        nameservers: Vec<String>,
        /// Hosted zones that it may write to.
        #[serde(rename = "hostedZoneIDs")]
        hosted_zone_ids: Vec<String>,
        /// Its feature gates.
        feature_gates: BTreeMap<String, bool>,
    }

    /// The Cluster Autoscaler.
    pub struct ClusterAutoscalerSpec {
        /// Whether it runs.
        enabled: bool = only([false]),
        /// How it chooses a group: `random`, `least-waste`, `most-pods`, `price` or `priority`.
        expander: String,
        /// Whether groups that are alike are kept at the same size.
        balance_similar_node_groups: bool,
        /// Whether the demand of daemon sets counts for a node's use.
        ignore_daemon_sets_utilization: bool,
        /// Below which use a node may go.
        scale_down_utilization_threshold: String,
        /// Whether nodes with pods that use local storage stay.
        skip_nodes_with_local_storage: bool,
        /// Whether nodes with pods of kube-system stay.
        skip_nodes_with_system_pods: bool,
        /// Whether nodes with pods that no controller made stay.
        skip_nodes_with_custom_controller_pods: bool,
        /// How old an unschedulable pod must be.
        new_pod_scale_up_delay: String,
        /// How long after a scale-up no node goes.
        scale_down_delay_after_add: String,
        /// How long a node must be unneeded.
        scale_down_unneeded_time: String,
        /// How long an unready node must be unneeded.
        scale_down_unready_time: String,
        /// Whether daemon sets' pods are evicted from empty nodes.
        cordon_node_before_terminating: bool,
        /// The most nodes that it makes.
        max_node_provision_time: String,
        /// Its image.
        image: String,
        /// Its request for memory.
        memory_request: Quantity,
        /// Its request for CPU.
        cpu_request: Quantity,
        /// Annotations of its pods.
        pod_annotations: BTreeMap<String, String>,
        /// The `priority` expander's own configuration.
        custom_priority_expander_config: BTreeMap<String, Vec<String>>,
        /// Whether it creates the `priority` expander's configuration.
        create_priority_expander_config: bool,
        /// Whether it emits an event for each unschedulable pod.
        emit_per_nodegroup_metrics: bool,
        /// Use a static list of instance types.
        aws_use_static_instance_list: bool,
    }

    /// The CSI snapshot controller.
    pub struct SnapshotControllerSpec {
        /// Whether it runs.
        enabled: bool = only([false]),
        /// Whether a default `VolumeSnapshotClass` is made.
        install_default_class: bool,
    }

    /// Karpenter.
    pub struct KarpenterSpec {
        /// Whether it runs.
        enabled: bool = only([false]),
        /// How it logs.
        log_encoding: String,
        /// How much it logs.
        log_level: String,
        /// Its image.
        image: String,
        /// Its request for memory.
        memory_request: Quantity,
        /// Its limit of memory.
        memory_limit: Quantity,
        /// Its request for CPU.
        cpu_request: Quantity,
        /// Its feature gates.
        feature_gates: String,
    }

    /// Publishes names of services and ingresses.
    pub struct ExternalDnsSpec {
        /// Deprecated: `provider: none`.
        disable: bool,
        /// Whether names of ingresses are published.
        watch_ingress: bool,
        /// The only namespace that may publish names.
        watch_namespace: String,
        /// `dns-controller`, `external-dns` or `none`.
        provider: String = only(["none"]),
        /// Its priority class.
        priority_class_name: String,
    }

    /// The integration with AWS.
    pub struct CloudConfigSpec {
        /// Whether default storage classes are made.
        manage_storage_classes: bool,
        /// For other clouds.
        multizone: bool,
        /// For other clouds.
        node_tags: String,
        /// For other clouds.
        node_instance_prefix: String,
        /// For GCE.
        gce_service_account: String,
        /// For GCE.
        gce_use_startup_script: bool,
        /// For GCE.
        #[serde(rename = "gcpPDCSIDriver")]
        gcp_pd_csi_driver: serde_json::Value,
        /// For Azure.
        azure: serde_json::Value,
        /// For OpenStack.
        openstack: serde_json::Value,
        /// For Spot by NetApp.
        spotinst_product: String,
        /// For Spot by NetApp.
        spotinst_orientation: String,
        /// For vSphere.
        #[serde(rename = "vSphereUsername")]
        v_sphere_username: String,
        /// For vSphere.
        #[serde(rename = "vSpherePassword")]
        v_sphere_password: String,
        /// For vSphere.
        #[serde(rename = "vSphereServer")]
        v_sphere_server: String,
        /// For vSphere.
        #[serde(rename = "vSphereDatacenter")]
        v_sphere_datacenter: String,
        /// For vSphere.
        #[serde(rename = "vSphereResourcePool")]
        v_sphere_resource_pool: String,
        /// For vSphere.
        #[serde(rename = "vSphereDatastore")]
        v_sphere_datastore: String,
        /// For vSphere.
        #[serde(rename = "vSphereCoreDNSServer")]
        v_sphere_core_dns_server: String,
        /// Whether Nodes are called by their address. Windlass's are called by their instance's id.
        #[serde(rename = "useIPBasedNodeNames")]
        use_ip_based_node_names: bool = only([false]),
        /// Whether load balancers' security groups are left out of the nodes'.
        disable_security_group_ingress: bool,
        /// An existing security group for Classic Load Balancers.
        elb_security_group: String,
        /// How security groups of Network Load Balancers are handled.
        nlb_security_group_mode: String,
        /// Which IP families nodes have.
        #[serde(rename = "nodeIPFamilies")]
        node_ip_families: Vec<String>,
        /// The EBS CSI driver.
        #[serde(rename = "awsEBSCSIDriver")]
        aws_ebs_csi_driver: AwsEbsCsiDriverSpec,
    }

    /// The EBS CSI driver.
    pub struct AwsEbsCsiDriverSpec {
        /// Whether it runs.
        enabled: bool,
        /// Whether it is windlass's to install.
        managed: bool,
        /// Its version.
        version: String,
        /// How many volumes a node may have.
        volume_attach_limit: i64,
        /// Whether it runs in the host's network.
        host_network: bool,
        /// Annotations of its pods.
        pod_annotations: BTreeMap<String, String>,
        /// How many requests it makes to the API in a burst.
        #[serde(rename = "kubeAPIBurst")]
        kube_api_burst: i32,
        /// How many requests it makes to the API in a second.
        #[serde(rename = "kubeAPIQPS")]
        kube_api_qps: Quantity,
    }
}
