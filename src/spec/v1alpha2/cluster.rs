//! `Cluster`'s specification.

use std::collections::BTreeMap;

use super::{
    AccessSpec, AddonSpec, AuthenticationSpec, AuthorizationSpec, AwsLoadBalancerControllerSpec,
    CertManagerSpec, CloudConfigSpec, CloudControllerManagerSpec, ClusterAutoscalerSpec, ContainerdSpec,
    EtcdClusterSpec, ExternalDnsSpec, IamSpec, InstanceGroupRole, IntOrText, KarpenterSpec,
    KubeApiServerSpec, KubeControllerManagerSpec, KubeDnsSpec, KubeProxySpec, KubeSchedulerSpec, KubeletSpec,
    MetricsServerSpec, NetworkingSpec, NodeProblemDetectorSpec, NodeTerminationHandlerSpec, NtpSpec,
    PodIdentityWebhookSpec, ServiceAccountIssuerDiscoverySpec, SnapshotControllerSpec,
};

wire! {
    /// A cluster.
    pub struct ClusterSpec {
        /// Where recommended versions come from: `stable`. Windlass carries its own list of versions, so this is kept
        /// and has no other meaning.
        channel: String,
        /// The Kubernetes version, such as `1.36.3`; a leading `v` is allowed. The machine image must hold exactly
        /// this version.
        kubernetes_version: String,
        /// The cloud: `aws`.
        cloud_provider: String,
        /// For GCE.
        project: String,
        /// Where kops keeps the cluster's configuration. Windlass keeps it in the state store.
        config_base: String,
        /// Where kops keeps the specification. Windlass keeps it in the state store.
        config_store: String,
        /// Where kops keeps keys. Windlass keeps them in the state store.
        key_store: String,
        /// Where kops keeps secrets. Windlass keeps them in the state store.
        secret_store: String,
        /// The container runtime: `containerd`.
        container_runtime: String,
        /// Docker, which Kubernetes no longer runs.
        docker: serde_json::Value,
        /// kops's gossip, which windlass does not need.
        gossip_config: serde_json::Value,
        /// kops's gossip, which windlass does not need.
        dns_controller_gossip_config: serde_json::Value,
        /// kops's node authorizer. Windlass's masters approve by what EC2 says.
        node_authorization: serde_json::Value,
        /// Whether instances update their own packages: `automatic` or `external`.
        update_policy: String,

        /// The VPC's address range, such as `172.20.0.0/16`: between /16 and /28. It can't be changed once the
        /// cluster runs.
        #[serde(rename = "networkCIDR")]
        network_cidr: String,
        /// Further address ranges of the VPC.
        #[serde(rename = "additionalNetworkCIDRs")]
        additional_network_cidrs: Vec<String>,
        /// The id of an existing VPC to use; a new one is made when this is left out.
        #[serde(rename = "networkID")]
        network_id: String,
        /// The subnets that instance groups refer to by name.
        subnets: Vec<SubnetSpec>,
        /// Whether instances have public addresses, and how names are published.
        topology: TopologySpec,
        /// The Route 53 zone for the cluster's names: its name or its id. When left out, the one that holds the API's
        /// name.
        dns_zone: String,
        /// The range of addresses from which pods and services are cut. Traffic of pods that leaves it is masqueraded, so
        /// it has no address of the VPC in it.
        #[serde(rename = "nonMasqueradeCIDR")]
        non_masquerade_cidr: String,
        /// Pods' addresses, cut into one /24 for each node. They can't be changed once the cluster runs.
        #[serde(rename = "podCIDR")]
        pod_cidr: String,
        /// Services' addresses; the first is the API's, the tenth is the cluster DNS's. They can't be changed once
        /// the cluster runs.
        #[serde(rename = "serviceClusterIPRange")]
        service_cluster_ip_range: String,
        /// The DNS domain of services: `cluster.local` when left out.
        #[serde(rename = "clusterDNSDomain")]
        cluster_dns_domain: String,
        /// The network plug-in: exactly one of its fields is set.
        networking: NetworkingSpec,
        /// Keeps masters off the pod network. Windlass's masters are on it.
        isolate_masters: bool,
        /// Leaves the tags on subnets alone that load balancer controllers look for.
        #[serde(rename = "DisableSubnetTags")]
        disable_subnet_tags: bool,
        /// A forward proxy through which instances reach the Internet.
        egress_proxy: EgressProxySpec,

        /// How the API is reached from outside.
        api: AccessSpec,
        /// Who may reach the API: CIDRs or prefix lists (`pl-…`).
        kubernetes_api_access: Vec<String>,
        /// Who may reach instances by SSH: CIDRs or prefix lists (`pl-…`). Nobody when left out or empty.
        ssh_access: Vec<String>,
        /// Who may reach node ports (30000–32767) of the nodes. Nobody when left out or empty.
        node_port_access: Vec<String>,
        /// The name of a key pair that exists in EC2; without it, the cluster's `SSHCredential` is imported, if
        /// there is one.
        ssh_key_name: String,
        /// The API's public DNS name: it stands in the API server's certificate and, with `api.dns`, in a hosted zone:
        /// that of `dnsZone`, or else the one that holds the name.
        master_public_name: String,
        /// The API's DNS name inside the VPC. Windlass's nodes use the master's stable private address.
        master_internal_name: String,
        /// Further names and addresses for the API's serving certificate.
        additional_sans: Vec<String>,

        /// What instances may do in AWS.
        iam: IamSpec,
        /// Statements for the inline policies, by role: `master`, `node` or `bastion`, each a JSON list as text.
        additional_policies: BTreeMap<String, String>,
        /// ARNs of managed policies for the roles, by role: `master`, `node` or `bastion`.
        external_policies: BTreeMap<String, Vec<String>>,
        /// How users prove who they are besides certificates.
        authentication: AuthenticationSpec,
        /// How requests are authorized: RBAC when left out.
        authorization: AuthorizationSpec,
        /// Publishes the issuer of service account tokens, so that AWS can trust them.
        service_account_issuer_discovery: ServiceAccountIssuerDiscoverySpec,
        /// Injects AWS credentials into pods by their service account.
        pod_identity_webhook: PodIdentityWebhookSpec,

        /// The etcd clusters. Windlass runs one, `main`.
        etcd_clusters: Vec<EtcdClusterSpec>,

        /// kube-apiserver.
        #[serde(rename = "kubeAPIServer")]
        kube_api_server: KubeApiServerSpec,
        /// kube-controller-manager.
        kube_controller_manager: KubeControllerManagerSpec,
        /// The AWS cloud controller manager.
        cloud_controller_manager: CloudControllerManagerSpec,
        /// kube-scheduler.
        kube_scheduler: KubeSchedulerSpec,
        /// kube-proxy.
        kube_proxy: KubeProxySpec,
        /// The kubelet of every instance.
        kubelet: KubeletSpec,
        /// The masters' kubelet, beyond `kubelet`.
        master_kubelet: KubeletSpec,
        /// containerd.
        containerd: ContainerdSpec,
        /// The cluster's DNS.
        #[serde(rename = "kubeDNS")]
        kube_dns: KubeDnsSpec,
        /// Encrypts secrets at rest with a configuration that the user supplies. Windlass always encrypts them with
        /// a key of its own.
        encryption_config: bool,

        /// Files for instances.
        file_assets: Vec<FileAssetSpec>,
        /// Units for instances.
        hooks: Vec<HookSpec>,
        /// Mirrors for files and container images.
        assets: AssetsSpec,
        /// Kernel parameters, as `name=value`.
        sysctl_parameters: Vec<String>,
        /// Debian packages for instances.
        packages: Vec<String>,
        /// Mounts the host's certificate authorities into control plane pods.
        use_host_certificates: bool,
        /// Whether windlass sets up time synchronisation.
        ntp: NtpSpec,
        /// Tags for every AWS resource of the cluster besides windlass's own.
        cloud_labels: BTreeMap<String, String>,
        /// How groups are rolled, unless they say otherwise.
        rolling_update: RollingUpdateSpec,
        /// Warm pools of groups, unless they say otherwise.
        warm_pool: WarmPoolSpec,

        /// Manifests of further add-ons.
        addons: Vec<AddonSpec>,
        /// The AWS Load Balancer Controller.
        aws_load_balancer_controller: AwsLoadBalancerControllerSpec,
        /// The AWS Node Termination Handler.
        node_termination_handler: NodeTerminationHandlerSpec,
        /// The Node Problem Detector.
        node_problem_detector: NodeProblemDetectorSpec,
        /// The metrics server.
        metrics_server: MetricsServerSpec,
        /// cert-manager.
        cert_manager: CertManagerSpec,
        /// The Cluster Autoscaler.
        cluster_autoscaler: ClusterAutoscalerSpec,
        /// The CSI snapshot controller.
        snapshot_controller: SnapshotControllerSpec,
        /// Karpenter.
        karpenter: KarpenterSpec,
        /// Publishes names of services and ingresses.
        external_dns: ExternalDnsSpec,
        /// The cloud provider's integration with AWS.
        cloud_config: CloudConfigSpec,
        /// Settings for Terraform output.
        target: TargetSpec,
    }

    /// A subnet of the VPC.
    pub struct SubnetSpec {
        /// The name by which instance groups refer to it; by custom that of its zone.
        name: String,
        /// The availability zone, such as `us-east-1a`.
        zone: String,
        /// The region; it follows from the zone.
        region: String,
        /// The address range, inside `networkCIDR`. When left out, one is cut from `networkCIDR`.
        cidr: String,
        /// The IPv6 range, or `/64#<number>` to count from the VPC's.
        #[serde(rename = "ipv6CIDR")]
        ipv6_cidr: String,
        /// The id of an existing subnet to use.
        id: String,
        /// How instances of a private subnet reach the Internet: `nat-…`, `eipalloc-…`, `i-…`, `tgw-…` or `External`.
        egress: String,
        /// Whether the subnet has a route to the Internet gateway.
        r#type: SubnetType,
        /// An existing Elastic IP for the subnet's NAT gateway.
        #[serde(rename = "publicIP")]
        public_ip: String,
        /// Further routes.
        additional_routes: Vec<RouteSpec>,
    }

    /// A route.
    pub struct RouteSpec {
        /// Where to.
        cidr: String,
        /// Through what: `pcx-…`, `i-…`, `nat-…`, `tgw-…`, `igw-…` or `eigw-…`.
        target: String,
    }

    /// The topology.
    pub struct TopologySpec {
        /// Deprecated: the subnets' types say it.
        masters: String,
        /// Deprecated: the subnets' types say it.
        nodes: String,
        /// Bastion hosts.
        bastion: BastionSpec,
        /// How the cluster's names are published.
        dns: DnsSpec,
    }

    /// Bastion hosts.
    pub struct BastionSpec {
        /// The bastion's DNS name.
        bastion_public_name: String,
        /// Deprecated: for Classic Load Balancers only.
        idle_timeout_seconds: i64,
        /// The bastion's load balancer.
        load_balancer: BastionLoadBalancerSpec,
    }

    /// The bastion's load balancer.
    pub struct BastionLoadBalancerSpec {
        /// Further security groups.
        additional_security_groups: Vec<String>,
        /// Whether it is reached from the Internet.
        r#type: LoadBalancerType,
    }

    /// How the cluster's names are published.
    pub struct DnsSpec {
        /// `Public` or `Private` for a Route 53 zone, `None` for no names at all.
        r#type: DnsType,
    }

    /// A forward proxy.
    pub struct EgressProxySpec {
        /// Where it is.
        http_proxy: HttpProxySpec,
        /// What is reached without it: a comma-separated list, as in `NO_PROXY`.
        excludes: String,
    }

    /// Where a proxy is.
    pub struct HttpProxySpec {
        /// Its host name or address.
        host: String,
        /// Its port.
        port: u16,
    }

    /// A file for instances.
    pub struct FileAssetSpec {
        /// A name for it.
        name: String,
        /// Where it goes.
        path: String,
        /// On which roles' instances: all when left out.
        roles: Vec<InstanceGroupRole>,
        /// What is in it.
        content: String,
        /// Whether `content` is in base64.
        is_base64: bool,
        /// Its mode in octal: `0440` when left out.
        mode: String,
    }

    /// A unit for instances.
    pub struct HookSpec {
        /// Its name.
        name: String,
        /// Switches it off.
        disabled: bool,
        /// On which roles' instances: all when left out.
        roles: Vec<InstanceGroupRole>,
        /// Units it needs.
        requires: Vec<String>,
        /// Units it runs before.
        before: Vec<String>,
        /// Runs a container.
        exec_container: ExecContainerSpec,
        /// The `[Service]` section of the unit.
        manifest: String,
        /// Whether `manifest` is the whole unit.
        use_raw_manifest: bool,
    }

    /// A container that a hook runs.
    pub struct ExecContainerSpec {
        /// Its image.
        image: String,
        /// Its command.
        command: Vec<String>,
        /// Its environment.
        environment: BTreeMap<String, String>,
    }

    /// Mirrors.
    pub struct AssetsSpec {
        /// A registry that holds copies of all images.
        container_registry: String,
        /// A server that holds copies of all files.
        file_repository: String,
        /// A pull-through proxy for images.
        container_proxy: String,
    }

    /// How a group is rolled.
    pub struct RollingUpdateSpec {
        /// Whether instances are drained and terminated; otherwise the roll only detaches them. True when left out.
        drain_and_terminate: bool,
        /// How many instances may be missing, as a number or a percentage rounded down. 0, or 1 if nothing may surge.
        max_unavailable: IntOrText,
        /// How many instances may be added, as a number or a percentage rounded up. 1; always 0 for masters.
        max_surge: IntOrText,
    }

    /// A warm pool: stopped instances that have booted once.
    pub struct WarmPoolSpec {
        /// Fewest instances in the pool.
        min_size: i64,
        /// Most instances in the pool and the group together; the group's `maxSize` when left out.
        max_size: i64,
        /// Whether an instance joins the pool only when its first boot is through.
        enable_lifecycle_hook: bool,
        /// How long the first boot may take, in seconds.
        lifecycle_hook_timeout: i32,
        /// Images that are pulled in the first boot.
        additional_images: Vec<String>,
    }

    /// Settings for outputs other than AWS itself.
    pub struct TargetSpec {
        /// Terraform's.
        terraform: TerraformSpec,
    }

    /// Settings for Terraform output.
    pub struct TerraformSpec {
        /// Further arguments of the provider block.
        provider_extra_config: BTreeMap<String, String>,
        /// Further arguments of the provider block that writes files.
        files_provider_extra_config: BTreeMap<String, String>,
    }
}

/// Whether a subnet has a route to the Internet gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum SubnetType {
    /// Instances have public addresses.
    Public,
    /// Instances reach the Internet through a NAT gateway.
    Private,
    /// IPv6 through the Internet gateway, IPv4 through a NAT gateway.
    DualStack,
    /// For load balancers and NAT gateways of private subnets.
    Utility,
}

/// How the cluster's names are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum DnsType {
    /// In a public Route 53 zone.
    Public,
    /// In a private Route 53 zone.
    Private,
    /// Not at all.
    None,
}

/// From where a load balancer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum LoadBalancerType {
    /// From the Internet.
    Public,
    /// From the VPC.
    Internal,
}
