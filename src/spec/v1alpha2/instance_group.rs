//! `InstanceGroup`'s specification.

use std::collections::BTreeMap;

use super::row::{HONOURED, IN_PART, KEPT, not_yet, only};
use super::{
    ContainerdSpec, Duration, FileAssetSpec, HookSpec, KubeletSpec, Quantity, RollingUpdateSpec, WarmPoolSpec,
};

wire! {
    /// A group of instances that are alike.
    pub struct InstanceGroupSpec {
        /// Who looks after the instances: `CloudGroup` (an Auto Scaling group) or `Karpenter`.
        manager: InstanceManager = only(["CloudGroup"]),
        /// What the instances are for.
        role: InstanceGroupRole = only(["Master", "Node", "Bastion", "APIServer"]),
        /// The machine image: an AMI id (`ami-…`), `<owner>/<name>` where the newest match counts and `*` may stand in
        /// the name, or `ssm:<parameter>`, which holds an AMI's id. One of a distribution, such as `ubuntu/…` or `ssm:/aws/service/canonical/…`, means windlass's own, as
        /// does none.
        image: String = HONOURED,
        /// Fewest instances: 1 for masters and bastions, 2 for nodes and API servers when left out.
        min_size: u32 = HONOURED,
        /// Most instances: `minSize` when left out.
        max_size: u32 = HONOURED,
        /// Whether the Cluster Autoscaler may resize the group.
        autoscale: bool,
        /// The group's priority in the Cluster Autoscaler's `priority` expander.
        autoscale_priority: i32,
        /// The EC2 instance type, such as `t3.medium`.
        machine_type: String = HONOURED,
        /// The root volume's size in GiB: 64 for masters, 128 for nodes and API servers, 32 for bastions when left out.
        root_volume_size: u32 = HONOURED,
        /// The root volume's type: `gp3` when left out.
        root_volume_type: String = HONOURED,
        /// The root volume's provisioned operations a second.
        root_volume_iops: u32 = HONOURED,
        /// The root volume's throughput in MiB/s.
        root_volume_throughput: u32 = HONOURED,
        /// Whether the instance is EBS-optimized. Types of today are anyway.
        root_volume_optimization: bool = HONOURED,
        /// Deprecated: the root volume always goes with the instance.
        root_volume_delete_on_termination: bool = only([true]),
        /// Whether the root volume is encrypted: it is when left out.
        root_volume_encryption: bool = HONOURED,
        /// The KMS key for the root volume: AWS's own for EBS when left out.
        root_volume_encryption_key: String = HONOURED,
        /// Further volumes: 20 at most.
        volumes: Vec<VolumeSpec> = HONOURED,
        /// Where volumes are mounted, before containerd and the kubelet start.
        volume_mounts: Vec<VolumeMountSpec> = HONOURED,
        /// The names of the cluster's subnets that the group spans.
        subnets: Vec<String> = HONOURED,
        /// Zones: on AWS the subnets say it.
        zones: Vec<String> = not_yet("leave it out, and name subnets in `subnets`"),
        /// Units for the group's instances.
        hooks: Vec<HookSpec> = HONOURED,
        /// The most that is paid for an instance, in dollars an hour: makes this a group of spot instances.
        max_price: String = HONOURED,
        /// Deprecated: AWS no longer sells spot blocks.
        spot_duration_in_minutes: i64,
        /// The credit option of burstable types: `standard` or `unlimited`.
        cpu_credits: String = HONOURED,
        /// Whether instances get public addresses: they do in public subnets when left out.
        associate_public_ip: bool = HONOURED,
        /// Further security groups (`sg-…`).
        additional_security_groups: Vec<String> = HONOURED,
        /// Tags for the group's resources.
        cloud_labels: BTreeMap<String, String> = HONOURED,
        /// Labels for the Nodes.
        node_labels: BTreeMap<String, String> = HONOURED,
        /// Files for the group's instances.
        file_assets: Vec<FileAssetSpec> = HONOURED,
        /// `default`, or `dedicated`: no other account's instances run on the same hardware.
        tenancy: String = HONOURED,
        /// The kubelet of the group's instances, beyond the cluster's `kubelet`.
        kubelet: KubeletSpec = IN_PART,
        /// containerd of the group's instances, beyond the cluster's `containerd`.
        containerd: ContainerdSpec = IN_PART,
        /// Taints for the Nodes, as `key=value:Effect`. Left out, masters are tainted while the cluster has nodes.
        taints: Vec<String> = HONOURED,
        /// Several instance types, on demand and spot.
        mixed_instances_policy: MixedInstancesPolicySpec = HONOURED,
        /// Whether spot instances at risk are replaced before they are interrupted.
        capacity_rebalance: bool = HONOURED,
        /// Further parts of the user data, for cloud-init: 15 KiB at most.
        additional_user_data: Vec<UserDataSpec> = HONOURED,
        /// Auto Scaling processes that are suspended, such as `AZRebalance`.
        suspend_processes: Vec<String> = HONOURED,
        /// Existing load balancers that the group's instances are put into: 25 at most.
        external_load_balancers: Vec<ExternalLoadBalancerSpec> = HONOURED,
        /// Whether CloudWatch has metrics for each minute.
        detailed_instance_monitoring: bool = HONOURED,
        /// An existing instance profile instead of windlass's own.
        iam: IamProfileSpec = HONOURED,
        /// An existing security group (`sg-…`) instead of windlass's own. Windlass adds to it what must reach the instances; its
        /// other rules, and what goes out, are its owner's.
        security_group_override: String = HONOURED,
        /// Whether instances are protected from scaling in.
        instance_protection: bool = HONOURED,
        /// Kernel parameters, as `name=value`, beyond the cluster's `sysctlParameters`.
        sysctl_parameters: Vec<String> = HONOURED,
        /// How the group is rolled.
        rolling_update: RollingUpdateSpec,
        /// What happens to an interrupted spot instance: `terminate`. EC2 takes `hibernate` and `stop` only for requests that
        /// Auto Scaling doesn't make.
        instance_interruption_behavior: String = only(["terminate"]),
        /// Whether kops's own part of the user data is compressed: windlass's is a few lines.
        compress_user_data: bool = KEPT,
        /// The instance metadata service.
        instance_metadata: InstanceMetadataSpec = IN_PART,
        /// Whether instances update their own packages: `automatic` or `external`.
        update_policy: String = only(["external"]),
        /// The group's warm pool. What it leaves out, the cluster's says.
        warm_pool: WarmPoolSpec = IN_PART,
        /// Debian packages for the group's instances.
        packages: Vec<String> = not_yet("leave it out, and bake the package into the machine image"),
        /// For GCE only.
        guest_accelerators: Vec<AcceleratorSpec>,
        /// How long an instance lives at most: a day to a year; for ever when left out, and with `0s`.
        max_instance_lifetime: Duration = HONOURED,
        /// For GCE only.
        gcp_provisioning_model: String,
    }

    /// The instance metadata service.
    pub struct InstanceMetadataSpec {
        /// How many network hops a token may travel: 1, so that pods don't get the instance's credentials, up to 64.
        http_put_response_hop_limit: u32 = HONOURED,
        /// `required`: windlass refuses `optional`.
        http_tokens: String = only(["required"]),
    }

    /// Several instance types.
    pub struct MixedInstancesPolicySpec {
        /// The types, the preferred first: `machineType` when left out.
        instances: Vec<String>,
        /// What types must have, instead of a list.
        instance_requirements: InstanceRequirementsSpec,
        /// How on-demand types are chosen: `prioritized`, or `lowest-price`, which is the only one with requirements.
        on_demand_allocation_strategy: String,
        /// How many instances are on demand before any is spot: 0 when left out.
        on_demand_base: u32,
        /// The percentage on demand beyond that: 100 when left out.
        on_demand_above_base: u32,
        /// How spot types are chosen: `lowest-price` when left out, `capacity-optimized`, `capacity-optimized-prioritized` or
        /// `price-capacity-optimized`.
        spot_allocation_strategy: String,
        /// How many spot pools are used with `lowest-price`: 2 when left out.
        spot_instance_pools: u32,
    }

    /// What instance types must have.
    pub struct InstanceRequirementsSpec {
        /// CPUs.
        cpu: MinMaxSpec,
        /// Memory.
        memory: MinMaxSpec,
        /// Types that are left out, such as `t2.*`.
        excluded_instance_types: Vec<String>,
    }

    /// A range.
    pub struct MinMaxSpec {
        /// At least.
        min: Quantity,
        /// At most.
        max: Quantity,
    }

    /// A part of the user data.
    pub struct UserDataSpec {
        /// The file name that cloud-init tells parts apart by.
        name: String,
        /// Its MIME type, such as `text/x-shellscript`.
        r#type: String,
        /// What is in it.
        content: String,
    }

    /// A further volume.
    pub struct VolumeSpec {
        /// Whether it goes with the instance: it does when left out.
        delete_on_termination: bool,
        /// Its device name: `/dev/sdb` to `/dev/sdz`, or `/dev/xvdb` to `/dev/xvdz`.
        device: String,
        /// Whether it is encrypted: it is when left out.
        encrypted: bool,
        /// Its provisioned operations a second.
        iops: u32,
        /// Its throughput in MiB/s.
        throughput: u32,
        /// The KMS key: AWS's own for EBS when left out.
        key: String,
        /// Its size in GiB.
        size: u32,
        /// Its type: `gp3` when left out.
        r#type: String,
    }

    /// Where a volume is mounted.
    pub struct VolumeMountSpec {
        /// Its device name, which one of `volumes` has.
        device: String,
        /// Its file system, `ext4` or `xfs`: made where the volume is blank.
        filesystem: String,
        /// Options for making the file system.
        format_options: Vec<String>,
        /// Options for mounting it.
        mount_options: Vec<String>,
        /// Where.
        path: String,
    }

    /// An existing instance profile.
    pub struct IamProfileSpec {
        /// Its ARN, or its name. Its role must allow what windlass's own does.
        profile: String,
    }

    /// An existing load balancer: one of its fields is set.
    pub struct ExternalLoadBalancerSpec {
        /// A Classic Load Balancer's name.
        load_balancer_name: String,
        /// A target group's ARN.
        target_group_arn: String,
    }

    /// For GCE only.
    pub struct AcceleratorSpec {
        /// How many.
        accelerator_count: i64,
        /// Which.
        accelerator_type: String,
    }

}

/// What instances are for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum InstanceGroupRole {
    /// etcd and the control plane.
    Master,
    /// Workloads.
    Node,
    /// The way in by SSH.
    Bastion,
    /// Further API servers, beside the masters'.
    #[serde(rename = "APIServer")]
    ApiServer,
}

/// Who looks after instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum InstanceManager {
    /// An Auto Scaling group.
    CloudGroup,
    /// Karpenter.
    Karpenter,
}
