//! The tags by which the agent finds what belongs to its cluster; the CLI writes exactly these.

/// `KubernetesCluster=<cluster>`: on every resource.
pub const CLUSTER: &str = "KubernetesCluster";

/// `windlass.dev/instance-group=<group>`: on instances and what belongs to a group.
pub const INSTANCE_GROUP: &str = "windlass.dev/instance-group";

/// `aws:autoscaling:groupName=<Auto Scaling group>`: on the instances that the group launched, by Auto Scaling itself.
pub const AUTO_SCALING_GROUP: &str = "aws:autoscaling:groupName";

/// `windlass.dev/master=<instance group>`: on the volume, the Elastic IP and whatever else moves with a master.
pub const MASTER: &str = "windlass.dev/master";

/// `kubernetes.io/cluster/<cluster>=owned`: on every resource.
pub fn ownership(cluster: &str) -> String {
    format!("kubernetes.io/cluster/{cluster}")
}

/// `windlass.dev/etcd/<etcd cluster>=<member>`: on an etcd member's volume.
pub fn etcd_volume(etcd_cluster: &str) -> String {
    format!("windlass.dev/etcd/{etcd_cluster}")
}

/// `windlass.dev/formatted=<cluster>`: on a volume that the agent has formatted; it is never formatted again.
pub const FORMATTED: &str = "windlass.dev/formatted";

/// The value of [`FORMATTED`] from the moment the agent has proven a volume blank until its file system is made.
pub const FORMATTING: &str = "formatting";

/// `windlass.dev/replaces-lost=<member>`: on an etcd member's volume that was made, by somebody's order, in the place of one that
/// is lost. Only there a member that was initialised before may begin without data, and only by joining the others.
pub const REPLACES_LOST: &str = "windlass.dev/replaces-lost";
