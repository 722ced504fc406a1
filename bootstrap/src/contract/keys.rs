//! Every key of the state that an instance reads or writes, relative to the state store, spelled once.
//!
//! The CLI's `state::layout` adds the keys that only the CLI uses. Who may read what is decided by prefix:
//!
//! | prefix | nodes | API servers beside the masters | masters |
//! |---|---|---|---|
//! | `<cluster>/public/` | read | read | read |
//! | `<cluster>/nodes/` | read | read | read; write the bootstrap token |
//! | `<cluster>/control-plane/` | – | read the keysets and the encryption configuration | read, list; write only below `etcd/` |
//! | `<cluster>/backups/etcd/` | – | – | write what isn't there yet; read |
//! | `<cluster>/status/` | write their own | write their own | write their own |

use crate::contract::backup;

/// The tag of objects that are written again and again and whose earlier versions say nothing: by it a rule of the
/// bucket lets those expire.
pub const SHORT_LIVED_KEY: &str = "windlass.dev/earlier-versions";
/// The tag's value.
pub const SHORT_LIVED_VALUE: &str = "expire";
/// The tag as a write takes it, in the form of a URL's query.
pub const SHORT_LIVED_TAGGING: &str = "windlass.dev%2Fearlier-versions=expire";

/// The node configuration of an instance group: [`crate::contract::config::NodeConfig`] as JSON.
pub fn node_config(cluster: &str, instance_group: &str, sha256: &str) -> String {
    format!("{cluster}/public/instance-groups/{instance_group}/{sha256}.json")
}

/// The instance group and the digest that a node configuration's key names ([`node_config`]); nothing for any other key.
pub fn of_node_config(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.split('/');
    let folders = [parts.next(), parts.next(), parts.next()];
    let (group, file, end) = (parts.next()?, parts.next()?, parts.next());
    let sha256 = file.strip_suffix(".json")?;
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_one = folders[1..] == [Some("public"), Some("instance-groups")] && is_digest && end.is_none();
    is_one.then_some((group, sha256))
}

/// An add-on's manifests, YAML documents.
pub fn addon(cluster: &str, name: &str, sha256: &str) -> String {
    format!("{cluster}/control-plane/addons/{name}/{sha256}.yaml")
}

/// The objects that the user keeps beside the specification: JSON, one after the other, in the order in which they are
/// to be applied. They may be secret. Unlike a configuration it is not named by its digest: masters follow it.
pub fn additional_objects(cluster: &str) -> String {
    format!("{cluster}/control-plane/additional-objects.json")
}

/// The groups of nodes: [`crate::contract::node_groups::NodeGroups`] as JSON. Masters follow it.
pub fn node_groups(cluster: &str) -> String {
    format!("{cluster}/control-plane/node-groups.json")
}

/// A keyset with its private keys: [`crate::contract::keyset::Keyset`] as JSON. Names: `kubernetes-ca`, `etcd-ca`,
/// `front-proxy-ca`, `service-account`.
pub fn keyset(cluster: &str, name: &str) -> String {
    format!("{cluster}/control-plane/keysets/{name}.json")
}

/// The API server's `EncryptionConfiguration`, as JSON.
pub fn encryption_configuration(cluster: &str) -> String {
    format!("{cluster}/control-plane/encryption-configuration.json")
}

/// The marker that says that an etcd member has once been initialised. Written once, never removed while the
/// cluster lives: it is what forbids an empty new cluster over a lost disk.
pub fn etcd_initialised(cluster: &str, etcd_cluster: &str, member: &str) -> String {
    format!("{cluster}/control-plane/etcd/{etcd_cluster}/{member}.json")
}

/// What the masters shall restore: [`crate::contract::restore::Order`] as JSON. Masters follow it.
pub fn restore_order(cluster: &str) -> String {
    format!("{cluster}/control-plane/restore.json")
}

/// That masters shall clear etcd's alarms: [`crate::contract::etcd_upkeep::Order`] as JSON.
pub fn etcd_upkeep(cluster: &str) -> String {
    format!("{cluster}/control-plane/etcd-upkeep.json")
}

/// Where masters answer to the order of a generation.
pub fn restore_answers_prefix(cluster: &str, generation: u64) -> String {
    format!("{cluster}/control-plane/etcd/restores/{generation}/")
}

/// The answer of a master that runs neither etcd nor an API server any more: [`crate::contract::restore::Answer`] as JSON.
pub fn restore_stopped(cluster: &str, generation: u64, instance: &str) -> String {
    format!("{}stopped/{instance}.json", restore_answers_prefix(cluster, generation))
}

/// The answer for a member of which the data was restored.
pub fn restore_restored(cluster: &str, generation: u64, etcd: &str, member: &str) -> String {
    format!("{}restored/{etcd}/{member}.json", restore_answers_prefix(cluster, generation))
}

/// The same of a volume that came in the place of the first one.
pub fn etcd_initialised_on(cluster: &str, etcd_cluster: &str, member: &str, volume: &str) -> String {
    format!("{cluster}/control-plane/etcd/{etcd_cluster}/{member}/{volume}.json")
}

/// Where all backups of etcd are: folders of [`crate::contract::backup`].
pub fn backups_prefix(cluster: &str) -> String {
    format!("{cluster}/backups/etcd/")
}

/// A file of a backup.
pub fn backup(cluster: &str, class: backup::Class, id: backup::BackupId, file: &str) -> String {
    format!("{}{}/{id}/{file}", backups_prefix(cluster), class.folder())
}

/// The short-lived token with which nodes ask for their first certificate:
/// [`crate::contract::bootstrap_token::BootstrapToken`] as JSON, rewritten by the masters.
pub fn bootstrap_token(cluster: &str) -> String {
    format!("{cluster}/nodes/bootstrap-token.json")
}

/// The credentials with which kubelets pull images, in the form of docker's `config.json`.
pub fn docker_config(cluster: &str) -> String {
    format!("{cluster}/nodes/docker-config.json")
}

/// An instance's report: [`crate::contract::report::Status`] as JSON. `writer` is what IAM calls `aws:userid`, which for an
/// instance's role is `<role id>:<instance id>`: its policy lets every instance write the object of that name only, so
/// that no instance can speak for another. Agents before that, and those that run into a folder, write `<instance id>`.
pub fn status(cluster: &str, writer: &str) -> String {
    format!("{}{writer}.json", status_prefix(cluster))
}

/// Where instances report.
pub fn status_prefix(cluster: &str) -> String {
    format!("{cluster}/status/")
}

/// The instance that a key of [`status`] is about, and whether IAM vouches that it wrote it.
pub fn reporter<'a>(cluster: &str, key: &'a str) -> Option<(&'a str, bool)> {
    let writer = key.strip_prefix(&status_prefix(cluster))?.strip_suffix(".json")?;
    Some(writer.rsplit_once(':').map_or((writer, false), |(_, instance)| (instance, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_configuration_s_key_names_its_instance_group_and_its_digest() {
        let digest = "0f".repeat(32);
        assert_eq!(of_node_config(&node_config("demo", "nodes", &digest)), Some(("nodes", digest.as_str())));
        for other in [
            node_config("demo", "nodes", "mine"),
            format!("{}.old", node_config("demo", "nodes", &digest)),
            format!("demo/public/instance-groups/nodes/more/{digest}.json"),
            format!("demo/nodes/instance-groups/nodes/{digest}.json"),
            addon("demo", "coredns", &digest),
        ] {
            assert_eq!(of_node_config(&other), None, "{other}");
        }
    }

    #[test]
    fn a_report_s_key_names_its_instance() {
        assert_eq!(reporter("demo", &status("demo", "AROA7:i-1")), Some(("i-1", true)));
        assert_eq!(reporter("demo", &status("demo", "i-1")), Some(("i-1", false)));
        assert_eq!(reporter("demo", "other/status/i-1.json"), None);
        assert_eq!(reporter("demo", "demo/status/i-1"), None);
    }
}
