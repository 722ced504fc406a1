//! What to do instead of a field that windlass does not support yet.

/// Fields, by their names without indices, and what to write instead. A row holds for everything under its field
/// that has no row of its own.
const HINTS: &[(&str, &str)] = &[
    ("spec.additionalNetworkCIDRs", "leave it out, and cut the subnets from spec.networkCIDR"),
    ("spec.addons", "leave it out, and apply the manifests with kubectl when the cluster is up"),
    ("spec.api.loadBalancer", "write `elasticIP: {}`"),
    ("spec.authentication", "leave it out: users prove who they are with certificates"),
    ("spec.authorization.alwaysAllow", "leave it out: requests are authorized by RBAC"),
    ("spec.encryptionConfig", "leave it out: what secrets are encrypted with is windlass's own"),
    (
        "spec.etcdClusters.backups",
        "leave it out, and take snapshots with `etcdctl snapshot save`: windlass takes none yet",
    ),
    ("spec.etcdClusters.cpuRequest", "leave it out: windlass's static pods have requests of their own"),
    ("spec.etcdClusters.image", "leave it out: etcd comes with the machine image; `version` names it"),
    ("spec.etcdClusters.manager", "leave it out: the agent does etcd-manager's work"),
    ("spec.etcdClusters.memoryRequest", "leave it out: windlass's static pods have requests of their own"),
    ("spec.etcdClusters.provider", "leave it out: the agent does etcd-manager's work"),
    ("spec.networkID", "leave it out: windlass makes a VPC for each cluster"),
    ("spec.networking", "use `flannel: {}`, or `cni: {}` and install your own"),
    ("spec.networking.cni", "use `cni: {}` and install your own"),
    ("spec.networking.flannel", "leave it out"),
    ("spec.subnets.egress", "leave it out: instances in public subnets have addresses of their own"),
    ("spec.subnets.id", "leave it out: windlass makes the subnets of each cluster"),
    ("spec.subnets.ipv6CIDR", "leave it out: the cluster's addresses are IPv4"),
    ("spec.warmPool", "leave it out: instances start when they are needed"),
];

/// The same for instance groups.
const GROUP_HINTS: &[(&str, &str)] = &[
    ("spec.fileAssets", "leave it out, and bake the file into the machine image"),
    ("spec.maxPrice", "leave it out: instances are on demand"),
    ("spec.mixedInstancesPolicy", "leave it out: a group has one instance type, in `machineType`"),
    ("spec.packages", "leave it out, and bake the package into the machine image"),
    ("spec.warmPool", "leave it out: instances start when they are needed"),
    ("spec.zones", "leave it out, and name subnets in `subnets`"),
];

/// What to do instead of a field of a `Cluster` or an `InstanceGroup`; `None` where there is nothing better to say than
/// to leave it out.
pub(super) fn hint(cluster: bool, path: &str) -> Option<&'static str> {
    let names = without_indices(path);
    let rows = if cluster { HINTS } else { GROUP_HINTS };
    let within = |row: &&(&str, &str)| {
        names.strip_prefix(row.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    rows.iter().filter(within).max_by_key(|row| row.0.len()).map(|row| row.1)
}

/// `spec.subnets.id` of `spec.subnets[1].id`.
fn without_indices(path: &str) -> String {
    let mut depth = 0;
    let outside = |character: &char| {
        match character {
            '[' => depth += 1,
            ']' => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    path.chars().filter(outside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::shape::{Shape, of_kind};

    #[test]
    fn the_nearest_row_holds() {
        let plugin = Some("use `flannel: {}`, or `cni: {}` and install your own");
        assert_eq!(hint(true, "spec.networking.calico"), plugin);
        assert_eq!(hint(true, "spec.networking.cilium.hubble"), plugin);
        assert_eq!(hint(true, "spec.networking.flannel.x"), Some("leave it out"));
        assert_eq!(hint(true, "spec.networkingX"), None);
        assert!(hint(true, "spec.etcdClusters[0].backups.image").is_some_and(|it| it.contains("snapshot")));
        assert_eq!(hint(false, "spec.networking"), None);
    }

    #[test]
    fn every_row_names_a_field_that_there_is() {
        for (kind, rows) in [("Cluster", HINTS), ("InstanceGroup", GROUP_HINTS)] {
            for (path, hint) in rows {
                let mut shape = of_kind(kind).cloned().unwrap_or(Shape::Any);
                for name in path.split('.') {
                    if let Shape::List(item) = shape {
                        shape = (*item).clone();
                    }
                    let Shape::Object(fields) = &shape else { panic!("{path} goes on behind a value") };
                    let field = fields.fields.get(name).unwrap_or_else(|| panic!("no field {path}"));
                    shape = field.shape.clone();
                }
                assert!(!hint.is_empty());
            }
        }
    }
}
