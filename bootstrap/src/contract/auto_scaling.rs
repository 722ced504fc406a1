//! Which instance group an instance is in, and what for, as Auto Scaling says.
//!
//! Auto Scaling tags each instance that it launches with `aws:autoscaling:groupName`. The prefix `aws:` is AWS's own:
//! nobody can write, change or remove such a tag (EC2 User Guide, "Tag your Amazon EC2 resources"), whereas every other
//! tag belongs to whoever may call `ec2:CreateTags`. A group's name says all that a master needs, so that masters know
//! of a new group of nodes as soon as it has an instance, without any configuration of their own.

use crate::contract::config::Role;

/// What stands between a group's and the cluster's name where the group is one of masters. The names of groups are DNS
/// labels, so that no group of nodes can be called so.
const MASTERS: &str = ".masters";

/// The same of bastions: an instance that the Internet reaches is never taken for a node.
const BASTIONS: &str = ".bastions";

/// The same of API servers beside the masters.
const API_SERVERS: &str = ".apiservers";

/// The instance group that launched an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As the specification calls it: `nodes`, without the cluster's name.
    pub name: String,
    /// What its instances are for.
    pub role: Role,
}

/// The name of an instance group's Auto Scaling group: `<group>.masters.<cluster>` or `<group>.<cluster>`, as in kops, and
/// `<group>.bastions.<cluster>` and `<group>.apiservers.<cluster>`.
pub fn group_name(cluster: &str, group: &str, role: Role) -> String {
    match role {
        Role::ControlPlane => format!("{group}{MASTERS}.{cluster}"),
        Role::Node => format!("{group}.{cluster}"),
        Role::Bastion => format!("{group}{BASTIONS}.{cluster}"),
        Role::ApiServer => format!("{group}{API_SERVERS}.{cluster}"),
    }
}

impl Group {
    /// Reads the name of an Auto Scaling group; `None` if it is not one of this cluster's.
    pub fn read(auto_scaling_group: &str, cluster: &str) -> Option<Self> {
        let name = auto_scaling_group.strip_suffix(cluster)?.strip_suffix('.')?;
        let of_role = |suffix, role| name.strip_suffix(suffix).map(|group| (group, role));
        let special = of_role(MASTERS, Role::ControlPlane)
            .or_else(|| of_role(BASTIONS, Role::Bastion))
            .or_else(|| of_role(API_SERVERS, Role::ApiServer));
        let (group, role) = special.unwrap_or((name, Role::Node));
        let is_label = !group.is_empty() && !group.contains('.');
        is_label.then(|| Self { name: group.to_owned(), role })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_auto_scaling_groups_name_says_group_and_role() {
        for (group, role) in [
            ("nodes-us-east-1a", Role::Node),
            ("masters", Role::Node),
            ("a", Role::ControlPlane),
            ("b", Role::Bastion),
            ("c", Role::ApiServer),
        ] {
            let name = group_name("demo.example.com", group, role);
            let read = Group::read(&name, "demo.example.com").unwrap();
            assert_eq!((read.name.as_str(), read.role), (group, role), "{name}");
        }
    }

    #[test]
    fn another_clusters_group_is_none_of_ours() {
        for name in [
            "nodes.other.example.com",
            "nodes.a.demo.example.com",
            "nodes.masters.masters.demo.example.com",
            "demo.example.com",
            ".demo.example.com",
            ".masters.demo.example.com",
            ".bastions.demo.example.com",
            ".apiservers.demo.example.com",
            "nodesdemo.example.com",
            "nodes.demo.example.com.",
            "",
        ] {
            assert_eq!(Group::read(name, "demo.example.com"), None, "{name}");
        }
    }
}
