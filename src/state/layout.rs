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
//! <cluster>/encryption-writers.json       which keys etcd's data may be encrypted with: names and digests
//! <cluster>/revisions/<n>/…               what was applied; immutable
//! <cluster>/public/…  nodes/…  control-plane/…  status/…  backups/…
//! ```

use crate::spec::{DocumentName, ObjectKey};

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
    format!("{cluster}/{IDENTITY_FILE}")
}

/// The last part of [`identity`]'s key.
pub const IDENTITY_FILE: &str = "identity.json";

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

/// A document of a cluster's specification.
pub fn document(cluster: &str, name: &DocumentName) -> String {
    match name {
        DocumentName::Cluster(name) => self::cluster(name),
        DocumentName::InstanceGroup(name) => instance_group(cluster, name),
        DocumentName::SshCredential(name) => ssh_credential(cluster, name),
        DocumentName::AdditionalObject(key) => additional_object(cluster, key),
    }
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

/// The record of the keys that etcd's data may be encrypted with.
pub fn encryption_writers(cluster: &str) -> String {
    format!("{cluster}/encryption-writers.json")
}

/// Where the revisions are.
pub fn revisions_prefix(cluster: &str) -> String {
    format!("{cluster}/revisions/")
}

/// A revision. Numbers are padded, so that listing is in order.
pub fn revision(cluster: &str, number: u64) -> String {
    format!("{cluster}/revisions/{number:08}.json")
}

/// The number of the revision that a key is of; `None` where it is of none, but somebody else's.
pub fn revision_number(cluster: &str, key: &str) -> Option<u64> {
    let number = key.strip_prefix(&revisions_prefix(cluster))?.strip_suffix(".json")?.parse().ok()?;
    (number > 0 && revision(cluster, number) == key).then_some(number)
}

/// Whether a key is one of an object that is written again and again, whose earlier versions say nothing.
pub fn is_short_lived(key: &str) -> bool {
    key.ends_with("/lock") && key.matches('/').count() == 1
}

/// What is written again and again: the lease, the token of joining nodes, and all instances' reports.
pub fn short_lived(cluster: &str) -> [String; 3] {
    [
        lock(cluster),
        windlass_bootstrap::keys::bootstrap_token(cluster),
        windlass_bootstrap::keys::status_prefix(cluster),
    ]
}

/// Whether a name directly below a cluster's prefix says that AWS was touched for the cluster: an intent was recorded, or
/// instances were given something to read, or have written.
pub fn is_trace_of_an_update(name: &str) -> bool {
    matches!(name, "applied" | "revisions/" | "public/" | "status/" | "backups/")
}

/// Whether a key below a cluster's prefix is one of a document beside the `Cluster`, as windlass writes them. What else
/// is found there, such as the markers that consoles make for folders, is none of the specification.
pub fn is_specification(rest: &str) -> bool {
    let Some(name) = rest.strip_suffix(".yaml") else { return false };
    let parts: Vec<&str> = name.split('/').collect();
    !parts.contains(&"")
        && matches!(parts.as_slice(), ["instancegroups" | "sshcredentials", _] | ["objects", _, _, _, _])
}

/// Whether a name directly below a cluster's prefix is that of an object that every plan is made from.
pub fn is_of_every_plan(name: &str) -> bool {
    matches!(name, "format.json" | CLUSTER_FILE | IDENTITY_FILE | "journal" | "applied")
}

/// Whether the names directly below a cluster's prefix are those that kops writes.
pub fn is_of_kops<'a>(children: impl IntoIterator<Item = &'a str>) -> bool {
    children.into_iter().any(|name| {
        matches!(name, "config" | "cluster-completed.spec" | "kops-version.txt" | "instancegroup/")
    })
}
