//! `Cluster`'s specification.

use std::collections::BTreeMap;

use super::row::{HONOURED, IN_PART, KEPT, not_yet, only, refused};
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
        channel: String = KEPT,
        /// The Kubernetes version, such as `1.36.3`; a leading `v` is allowed. The machine image must hold exactly
        /// this version.
        kubernetes_version: String = HONOURED,
        /// The version as which the control plane acts, and which nodes stay at, while masters run `kubernetesVersion`, which is the
        /// next minor version: until it is taken away, or goes back to being the version, what is stored can be read by
        /// both. `windlass upgrade cluster --soak` writes it.
        emulated_version: String = HONOURED,
        /// The cloud: `aws`.
        cloud_provider: String = only(["aws"]),
        /// For GCE.
        project: String,
        /// Where kops keeps the cluster's configuration. Windlass keeps it in the state store.
        config_base: String = KEPT,
        /// Where kops keeps the specification. Windlass keeps it in the state store.
        config_store: String = KEPT,
        /// Where kops keeps keys. Windlass keeps them in the state store.
        key_store: String = KEPT,
        /// Where kops keeps secrets. Windlass keeps them in the state store.
        secret_store: String = KEPT,
        /// The container runtime: `containerd`.
        container_runtime: String = only(["containerd"]),
        /// Docker, which Kubernetes no longer runs.
        docker: serde_json::Value,
        /// kops's gossip, which windlass does not need.
        gossip_config: serde_json::Value,
        /// kops's gossip, which windlass does not need.
        dns_controller_gossip_config: serde_json::Value,
        /// kops's node authorizer. Windlass's masters approve by what EC2 says.
        node_authorization: serde_json::Value,
        /// Whether instances update their own packages: `automatic` or `external`.
        update_policy: String = only(["external"]),

        /// The VPC's address range, such as `172.20.0.0/16`: between /16 and /28. It can't be changed once the
        /// cluster runs.
        #[serde(rename = "networkCIDR")]
        network_cidr: String = HONOURED,
        /// Further address ranges of the VPC.
        #[serde(rename = "additionalNetworkCIDRs")]
        additional_network_cidrs: Vec<String> = HONOURED,
        /// The id of an existing VPC to use; a new one is made when this is left out.
        #[serde(rename = "networkID")]
        network_id: String = HONOURED,
        /// The subnets that instance groups refer to by name.
        subnets: Vec<SubnetSpec> = IN_PART,
        /// Whether instances have public addresses, and how names are published.
        topology: TopologySpec = IN_PART,
        /// The Route 53 zone for the cluster's names: its name or its id. When left out, the one that holds the API's
        /// name.
        dns_zone: String = HONOURED,
        /// The range of addresses from which pods and services are cut. Traffic of pods that leaves it is masqueraded, so
        /// it has no address of the VPC in it.
        #[serde(rename = "nonMasqueradeCIDR")]
        non_masquerade_cidr: String = HONOURED,
        /// Pods' addresses, cut into one /24 for each node. They can't be changed once the cluster runs.
        #[serde(rename = "podCIDR")]
        pod_cidr: String = HONOURED,
        /// Services' addresses; the first is the API's, the tenth is the cluster DNS's. They can't be changed once
        /// the cluster runs.
        #[serde(rename = "serviceClusterIPRange")]
        service_cluster_ip_range: String = HONOURED,
        /// The DNS domain of services: `cluster.local` when left out.
        #[serde(rename = "clusterDNSDomain")]
        cluster_dns_domain: String = HONOURED,
        /// The network plug-in: exactly one of its fields is set.
        networking: NetworkingSpec = IN_PART.hint("use `flannel: {}`, or `cni: {}` and install your own"),
        /// Keeps masters off the pod network. Windlass's masters are on it.
        isolate_masters: bool = only([false]),
        /// Leaves the tags on subnets alone that load balancer controllers look for.
        #[serde(rename = "DisableSubnetTags")]
        disable_subnet_tags: bool = HONOURED,
        /// Services of AWS's that instances reach by endpoints in the VPC, with names such as `ec2`, `sts` or `ecr.api`, and not by a
        /// NAT gateway: windlass makes an interface endpoint of each. S3 has a gateway endpoint in any case.
        interface_endpoints: Vec<String> = HONOURED,
        /// A forward proxy through which instances reach the Internet.
        egress_proxy: EgressProxySpec = HONOURED,

        /// How the API is reached from outside.
        api: AccessSpec = IN_PART,
        /// Who may reach the API: CIDRs or prefix lists (`pl-…`).
        kubernetes_api_access: Vec<String> = HONOURED,
        /// Who may reach instances by SSH: CIDRs or prefix lists (`pl-…`). Nobody when left out or empty.
        ssh_access: Vec<String> = HONOURED,
        /// Who may reach node ports (30000–32767, or `kubeAPIServer.serviceNodePortRange`) of the nodes: CIDRs or prefix lists
        /// (`pl-…`). Nobody when left out or empty.
        node_port_access: Vec<String> = HONOURED,
        /// The name of a key pair that exists in EC2; without it, the cluster's `SSHCredential` is imported, if
        /// there is one.
        ssh_key_name: String = HONOURED,
        /// The API's public DNS name: it stands in the API server's certificate and, with `api.dns`, in a hosted zone:
        /// that of `dnsZone`, or else the one that holds the name.
        master_public_name: String = HONOURED,
        /// The API's DNS name inside the VPC, else `api.internal.<cluster>`: it stands in the API server's certificate and,
        /// where a hosted zone has the API's name, in that, too. Nodes of several masters use it.
        master_internal_name: String = HONOURED,
        /// Further names and addresses for the API's serving certificate.
        additional_sans: Vec<String> = HONOURED,

        /// What instances may do in AWS.
        iam: IamSpec = IN_PART,
        /// Statements for the inline policies, by role: `master`, `node`, `bastion` or `apiserver`, each a JSON list as text.
        additional_policies: BTreeMap<String, String> = HONOURED,
        /// ARNs of managed policies for the roles, by role: `master`, `node`, `bastion` or `apiserver`.
        external_policies: BTreeMap<String, Vec<String>> = HONOURED,
        /// How users prove who they are besides certificates.
        authentication: AuthenticationSpec =
            not_yet("leave it out: users prove who they are with certificates"),
        /// How requests are authorized: RBAC when left out.
        authorization: AuthorizationSpec = IN_PART,
        /// Publishes the issuer of service account tokens, so that AWS can trust them.
        service_account_issuer_discovery: ServiceAccountIssuerDiscoverySpec = IN_PART,
        /// Injects AWS credentials into pods by their service account.
        pod_identity_webhook: PodIdentityWebhookSpec = IN_PART,

        /// The etcd clusters: `main`, and others beside it.
        etcd_clusters: Vec<EtcdClusterSpec> = IN_PART,

        /// kube-apiserver.
        #[serde(rename = "kubeAPIServer")]
        kube_api_server: KubeApiServerSpec = IN_PART,
        /// kube-controller-manager.
        kube_controller_manager: KubeControllerManagerSpec = IN_PART,
        /// The AWS cloud controller manager.
        cloud_controller_manager: CloudControllerManagerSpec,
        /// kube-scheduler.
        kube_scheduler: KubeSchedulerSpec = IN_PART,
        /// kube-proxy.
        kube_proxy: KubeProxySpec = IN_PART,
        /// The kubelet of every instance.
        kubelet: KubeletSpec = IN_PART,
        /// The masters' kubelet, beyond `kubelet`.
        master_kubelet: KubeletSpec = IN_PART,
        /// containerd.
        containerd: ContainerdSpec = IN_PART,
        /// The cluster's DNS.
        #[serde(rename = "kubeDNS")]
        kube_dns: KubeDnsSpec = IN_PART,
        /// Encrypts secrets at rest with a configuration that the user supplies. Windlass always encrypts them with
        /// a key of its own.
        encryption_config: bool = not_yet("leave it out: what secrets are encrypted with is windlass's own"),

        /// Files for instances. Of one path, a group's own goes before the cluster's.
        file_assets: Vec<FileAssetSpec> = HONOURED,
        /// Units for instances. Of one name, a group's own goes before the cluster's.
        hooks: Vec<HookSpec> = HONOURED,
        /// Mirrors for files and container images.
        assets: AssetsSpec = IN_PART,
        /// Kernel parameters, as `name=value`.
        sysctl_parameters: Vec<String> = HONOURED,
        /// Debian packages for instances.
        packages: Vec<String>,
        /// Mounts the host's certificate authorities into control plane pods.
        use_host_certificates: bool = only([false]),
        /// Whether windlass sets up time synchronisation.
        ntp: NtpSpec,
        /// Tags for every AWS resource of the cluster besides windlass's own.
        cloud_labels: BTreeMap<String, String> = HONOURED,
        /// How groups are rolled, unless they say otherwise.
        rolling_update: RollingUpdateSpec,
        /// Warm pools of groups of nodes, unless they say otherwise.
        warm_pool: WarmPoolSpec = IN_PART,

        /// Manifests of further add-ons.
        addons: Vec<AddonSpec> =
            not_yet("leave it out, and apply the manifests with kubectl when the cluster is up"),
        /// The AWS Load Balancer Controller.
        aws_load_balancer_controller: AwsLoadBalancerControllerSpec = IN_PART,
        /// What is done about instances that are going, as kops does with the AWS Node Termination Handler.
        node_termination_handler: NodeTerminationHandlerSpec = IN_PART,
        /// The Node Problem Detector.
        node_problem_detector: NodeProblemDetectorSpec = IN_PART,
        /// The metrics server.
        metrics_server: MetricsServerSpec = IN_PART,
        /// cert-manager.
        cert_manager: CertManagerSpec = IN_PART,
        /// The Cluster Autoscaler.
        cluster_autoscaler: ClusterAutoscalerSpec = IN_PART,
        /// The CSI snapshot controller.
        snapshot_controller: SnapshotControllerSpec = IN_PART,
        /// Karpenter.
        karpenter: KarpenterSpec = IN_PART,
        /// Publishes names of services and ingresses.
        external_dns: ExternalDnsSpec = IN_PART,
        /// The cloud provider's integration with AWS.
        cloud_config: CloudConfigSpec = IN_PART,
        /// Settings for Terraform output.
        target: TargetSpec,
    }

    /// A subnet of the VPC.
    pub struct SubnetSpec {
        /// The name by which instance groups refer to it; by custom that of its zone.
        name: String = HONOURED,
        /// The availability zone, such as `us-east-1a`.
        zone: String = HONOURED,
        /// The region; it follows from the zone.
        region: String = HONOURED,
        /// The address range, inside `networkCIDR`. When left out, one is cut from `networkCIDR`.
        cidr: String = HONOURED,
        /// The IPv6 range, or `/64#<number>` to count from the block that Amazon gives the VPC, in hexadecimal. A private
        /// subnet that has one and no `cidr` has no IPv4 addresses.
        #[serde(rename = "ipv6CIDR")]
        ipv6_cidr: String = HONOURED,
        /// The id of an existing subnet to use.
        id: String = HONOURED,
        /// How instances of a private subnet reach the Internet: `nat-…`, `eipalloc-…`, `i-…`, `tgw-…` or `External`. A NAT
        /// gateway with a new Elastic IP in a utility subnet, of the same zone where there is one, when left out.
        egress: String = HONOURED,
        /// Whether the subnet has a route to the Internet gateway (`Public`; `Utility` for load balancers, NAT gateways and
        /// bastions alone) or not (`Private`; `DualStack` with IPv4 and IPv6 addresses).
        r#type: SubnetType = HONOURED,
        /// The address of an existing Elastic IP for the private subnet's NAT gateway.
        #[serde(rename = "publicIP")]
        public_ip: String = HONOURED,
        /// Further routes of the private subnets of its zone, which share a route table.
        additional_routes: Vec<RouteSpec> = HONOURED,
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
        masters: String = only(["public", "private"]),
        /// Deprecated: the subnets' types say it.
        nodes: String = only(["public", "private"]),
        /// Bastion hosts.
        bastion: BastionSpec = IN_PART,
        /// How the cluster's names are published.
        dns: DnsSpec = IN_PART,
    }

    /// Bastion hosts.
    pub struct BastionSpec {
        /// The bastions' DNS name, in the hosted zone of the API's name.
        bastion_public_name: String = HONOURED,
        /// Deprecated: for Classic Load Balancers only.
        idle_timeout_seconds: i64,
        /// The bastion's load balancer.
        load_balancer: BastionLoadBalancerSpec = HONOURED,
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
        r#type: DnsType = HONOURED,
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
        /// The TCP port that it listens on.
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
        /// What is in it: no secret, as every instance may read it in the state store.
        content: String,
        /// Whether `content` is in base64.
        is_base64: bool,
        /// Its mode in octal: `0440` when left out.
        mode: String,
    }

    /// A unit for instances.
    pub struct HookSpec {
        /// What the unit is called: `windlass-hook-<number>` when left out. Without an ending, it is a service.
        name: String,
        /// Stops the unit of this name and keeps it from starting.
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
        container_registry: String = HONOURED,
        /// A server that holds copies of all files.
        file_repository: String = refused("the machine image holds all programs, and a machine downloads none"),
        /// A pull-through proxy for images.
        container_proxy: String = HONOURED,
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
        /// Fewest instances in the pool: 0 when left out.
        min_size: i64 = HONOURED,
        /// Most instances in the pool and the group together; the group's `maxSize` when left out. With 0 there is no pool.
        max_size: i64 = HONOURED,
        /// Whether an instance joins the pool only when its first boot is through.
        enable_lifecycle_hook: bool = HONOURED,
        /// How long the first boot may take, in seconds: 600 when left out.
        lifecycle_hook_timeout: i32 = HONOURED,
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
    /// IPv6 through an egress-only Internet gateway, IPv4 through a NAT gateway.
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
