//! The labels of a Node that say where, what and whose it is: kubelets set some of them, masters the others, and the CLI
//! tells autoscalers of them by tags.

use crate::contract::config::Role;

/// The label with the zone, on every Node (Kubernetes, "Well-Known Labels, Annotations and Taints").
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The label with the region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The label with the machine type.
pub const MACHINE_TYPE: &str = "node.kubernetes.io/instance-type";
/// kops's label with the instance group's name.
pub const GROUP: &str = "kops.k8s.io/instancegroup";
/// The key of masters' default taint, and the label of their role.
pub const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// The key of the default taint of API servers' Nodes, and the label of their role: kops's.
pub const API_SERVER: &str = "node-role.kubernetes.io/api-server";

/// The label of a role; bastions are no Nodes, and none has theirs.
pub fn role_label(role: Role) -> &'static str {
    match role {
        Role::ControlPlane => CONTROL_PLANE,
        Role::Node => "node-role.kubernetes.io/node",
        Role::Bastion => "node-role.kubernetes.io/bastion",
        Role::ApiServer => API_SERVER,
    }
}
