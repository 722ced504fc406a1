//! Every key of the state that only the CLI uses, relative to the state store, spelled once. Those that instances use
//! too are in [`windlass_bootstrap::keys`].
//!
//! ```text
//! <cluster>/format.json                   which windlass may read this
//! <cluster>/identity.json                 account, region and uid; written once, before anything is made in AWS
//! <cluster>/cluster.yaml                  what the user wants; its presence makes the cluster exist
//! <cluster>/instancegroups/<name>.yaml
//! <cluster>/sshcredentials/<name>.yaml
//! <cluster>/objects/<group>/<kind>/<namespace>/<name>.yaml
//! <cluster>/lock                          the lease
//! <cluster>/journal                       a change of several objects, until it is done; or a deletion
//! <cluster>/applied                       the revision that AWS was last brought to
//! <cluster>/revisions/<n>/…               what was applied; immutable
//! <cluster>/public/…  nodes/…  control-plane/…  status/…  backups/…
//! ```

use crate::spec::ObjectKey;

/// Everything of a cluster is below this.
pub fn cluster_prefix(cluster: &str) -> String {
    format!("{cluster}/")
}

/// The marker of the format's version.
pub fn format(cluster: &str) -> String {
    format!("{cluster}/format.json")
}

/// The `Cluster`, as the user wrote it.
pub fn cluster(cluster: &str) -> String {
    format!("{cluster}/{CLUSTER_FILE}")
}

/// The last part of [`cluster`]'s key.
pub const CLUSTER_FILE: &str = "cluster.yaml";

/// Who the cluster is: account, region and uid.
pub fn identity(cluster: &str) -> String {
    format!("{cluster}/identity.json")
}

/// Where the instance groups are.
pub fn instance_groups_prefix(cluster: &str) -> String {
    format!("{cluster}/instancegroups/")
}

/// An `InstanceGroup`, as the user wrote it.
pub fn instance_group(cluster: &str, name: &str) -> String {
    format!("{cluster}/instancegroups/{name}.yaml")
}

/// Where the SSH keys are.
pub fn ssh_credentials_prefix(cluster: &str) -> String {
    format!("{cluster}/sshcredentials/")
}

/// An `SSHCredential`.
pub fn ssh_credential(cluster: &str, name: &str) -> String {
    format!("{cluster}/sshcredentials/{name}.yaml")
}

/// Where the additional objects are.
pub fn additional_objects_prefix(cluster: &str) -> String {
    format!("{cluster}/objects/")
}

/// An additional object. Its group is `core` where it has no name, its namespace `_` where it is none or `default`: no
/// group and no namespace can be called so.
pub fn additional_object(cluster: &str, key: &ObjectKey) -> String {
    let ObjectKey { group, kind, namespace, name } = key;
    let group = if group.is_empty() { "core" } else { group };
    let namespace = namespace.as_deref().unwrap_or("_");
    format!("{cluster}/objects/{group}/{kind}/{namespace}/{name}.yaml")
}

/// The lease: who works on the cluster.
pub fn lock(cluster: &str) -> String {
    format!("{cluster}/lock")
}

/// Whether a key is that of a lease.
pub fn is_lock(key: &str) -> bool {
    key.ends_with("/lock")
}

/// The journal of a change of several objects.
pub fn journal(cluster: &str) -> String {
    format!("{cluster}/journal")
}

/// The pointer to the revision that AWS was last brought to.
pub fn applied(cluster: &str) -> String {
    format!("{cluster}/applied")
}

/// Where the revisions are.
pub fn revisions_prefix(cluster: &str) -> String {
    format!("{cluster}/revisions/")
}

/// A revision. Numbers are padded, so that listing is in order.
pub fn revision(cluster: &str, number: u64) -> String {
    format!("{cluster}/revisions/{number:08}.json")
}

/// Where instances report.
pub fn status_prefix(cluster: &str) -> String {
    format!("{cluster}/status/")
}

/// Whether the names directly below a cluster's prefix are those that kops writes.
pub fn is_of_kops<'a>(children: impl IntoIterator<Item = &'a str>) -> bool {
    children.into_iter().any(|name| {
        matches!(name, "config" | "cluster-completed.spec" | "kops-version.txt" | "instancegroup/")
    })
}
