//! The kinds of objects that a cluster's state consists of, in one table: by which keys each is known, and what reads it.
//!
//! Whether an object, or a version of it, is sound is asked of the parser that its readers use: what they can't use is no
//! way back. A key that belongs to no kind is somebody else's, of which nothing is known.

use windlass_bootstrap::bootstrap_token::BootstrapToken;
use windlass_bootstrap::etcd_upkeep;
use windlass_bootstrap::keys;
use windlass_bootstrap::node_groups::NodeGroups;
use windlass_bootstrap::restore::Order;

use super::object::digest;
use super::stored_secrets::SecretKind;
use super::{
    cluster_state, encryption_writers, format, identity, journal, layout, lease, revision, secrets,
    stored_secrets,
};
use crate::pki::docker_config;
use crate::spec::AdditionalObject;

/// An object: the cluster's name, the object's key, its bytes.
struct Known<'a> {
    cluster: &'a str,
    key: &'a str,
    bytes: &'a [u8],
}

impl Known<'_> {
    /// The key without the cluster's prefix.
    fn rest(&self) -> &str {
        self.key.strip_prefix(&layout::cluster_prefix(self.cluster)).unwrap_or_default()
    }

    fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(self.bytes).map_err(|_| "it is not UTF-8".to_owned())
    }

    /// What is named by the SHA-256 of its content: the last part of its key, without the ending.
    fn is_what_its_name_says(&self) -> Result<(), String> {
        let name = self.rest().rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
        if digest(self.bytes) == name { Ok(()) } else { Err(OTHER_CONTENT.to_owned()) }
    }
}

/// What is wrong with an object that is named by the digest of its content, and holds something else.
const OTHER_CONTENT: &str = "its content is not the one that its name says";

/// A kind of object.
struct ObjectKind {
    /// Whether a key of a cluster is one of this kind.
    covers: fn(&Known<'_>) -> bool,
    /// Reads it as its readers do. Nothing of its content is in the answer, which may be secret.
    check: fn(&Known<'_>) -> Result<(), String>,
}

/// Every kind. What is written below a cluster's prefix has a row here; a test over all that an applied cluster consists
/// of sees to that.
const KINDS: [ObjectKind; 21] = [
    ObjectKind { covers: |it| it.key == layout::format(it.cluster), check: |it| format::check(it.bytes) },
    ObjectKind { covers: |it| it.key == layout::identity(it.cluster), check: |it| identity::check(it.bytes) },
    ObjectKind {
        covers: |it| it.rest() == layout::CLUSTER_FILE || layout::is_specification(it.rest()),
        check: |it| cluster_state::check_document(it.cluster, it.key, it.bytes),
    },
    ObjectKind { covers: |it| it.key == layout::lock(it.cluster), check: |it| lease::check(it.bytes) },
    ObjectKind { covers: |it| it.key == layout::journal(it.cluster), check: |it| journal::check(it.bytes) },
    ObjectKind {
        covers: |it| it.key == layout::applied(it.cluster),
        check: |it| revision::check_applied(it.bytes),
    },
    ObjectKind {
        covers: |it| it.key == layout::encryption_writers(it.cluster),
        check: |it| encryption_writers::check(it.bytes),
    },
    ObjectKind {
        covers: |it| layout::revision_number(it.cluster, it.key).is_some(),
        check: |it| revision::check(it.cluster, it.key, it.bytes),
    },
    ObjectKind {
        covers: |it| secrets::keyset_of(it.cluster, it.key).is_some(),
        check: |it| {
            secrets::check_keyset(secrets::keyset_of(it.cluster, it.key).unwrap_or_default(), it.bytes)
        },
    },
    ObjectKind {
        covers: |it| it.key == keys::encryption_configuration(it.cluster),
        check: |it| it.text().and_then(secrets::check_encryption),
    },
    ObjectKind { covers: |it| it.key == keys::docker_config(it.cluster), check: check_docker_config },
    ObjectKind {
        covers: |it| it.key == keys::bootstrap_token(it.cluster),
        check: |it| {
            // serde_json's own words may quote what it found.
            let token = serde_json::from_slice::<BootstrapToken>(it.bytes);
            token.map(drop).map_err(|_| "it is not a bootstrap token".to_owned())
        },
    },
    ObjectKind {
        covers: |it| it.rest().starts_with("public/instance-groups/"),
        check: |it| it.is_what_its_name_says(),
    },
    ObjectKind {
        covers: |it| it.rest().starts_with("control-plane/addons/"),
        check: |it| it.is_what_its_name_says(),
    },
    ObjectKind {
        covers: |it| it.key == keys::additional_objects(it.cluster),
        check: |it| {
            let mut read = serde_json::Deserializer::from_slice(it.bytes).into_iter::<AdditionalObject>();
            let all_good = read.all(|object| object.is_ok());
            if all_good { Ok(()) } else { Err("it does not hold objects, one after the other".to_owned()) }
        },
    },
    ObjectKind {
        covers: |it| it.key == keys::node_groups(it.cluster),
        check: |it| {
            let read = NodeGroups::read(it.bytes);
            read.map(drop).ok_or_else(|| "it does not hold the groups of nodes".to_owned())
        },
    },
    ObjectKind {
        covers: |it| it.key == keys::restore_order(it.cluster),
        check: |it| Order::read(it.bytes).map(drop).map_err(|error| error.to_string()),
    },
    ObjectKind {
        covers: |it| it.key == keys::etcd_upkeep(it.cluster),
        check: |it| etcd_upkeep::Order::read(it.bytes).map(drop).map_err(|error| error.to_string()),
    },
    // That it is there is what it says.
    ObjectKind { covers: |it| it.rest().starts_with("control-plane/etcd/"), check: |_| Ok(()) },
    // What instances say of themselves is looked at by whoever shows it.
    ObjectKind { covers: |it| it.rest().starts_with("status/"), check: |_| Ok(()) },
    // Snapshots carry a digest of their own, which etcd checks.
    ObjectKind { covers: |it| it.rest().starts_with("backups/"), check: |_| Ok(()) },
];

fn check_docker_config(it: &Known<'_>) -> Result<(), String> {
    if stored_secrets::is_none(SecretKind::DockerConfig, it.bytes) {
        return Ok(());
    }
    docker_config::parse(it.text()?).map(drop).map_err(|problems| problems.to_string())
}

/// Whether a key of a cluster is one that windlass writes.
pub fn is_known(cluster: &str, key: &str) -> bool {
    let it = Known { cluster, key, bytes: &[] };
    KINDS.iter().any(|kind| (kind.covers)(&it))
}

/// What is wrong with an object of a cluster, if anything is; nothing of its content is in the answer, which may be
/// secret. Of what is somebody else's only emptiness is wrong.
pub fn fault(cluster: &str, key: &str, bytes: &[u8]) -> Option<String> {
    // Where there are no additional objects any more, there is nothing in it.
    if bytes.is_empty() && key != keys::additional_objects(cluster) {
        return Some("it is empty".to_owned());
    }
    let it = Known { cluster, key, bytes };
    KINDS.iter().find(|kind| (kind.covers)(&it)).and_then(|kind| (kind.check)(&it).err())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "demo.example.com";

    /// Every key that the two files of keys can make.
    fn keys() -> Vec<String> {
        let sha = "0".repeat(64);
        vec![
            layout::format(NAME),
            layout::identity(NAME),
            layout::cluster(NAME),
            layout::instance_group(NAME, "nodes"),
            layout::ssh_credential(NAME, "admin"),
            format!("{NAME}/objects/core/Secret/_/a.yaml"),
            layout::lock(NAME),
            layout::journal(NAME),
            layout::applied(NAME),
            layout::encryption_writers(NAME),
            layout::revision(NAME, 7),
            keys::keyset(NAME, "etcd-ca"),
            keys::encryption_configuration(NAME),
            keys::docker_config(NAME),
            keys::bootstrap_token(NAME),
            keys::node_config(NAME, "nodes", &sha),
            keys::addon(NAME, "coredns", &sha),
            keys::additional_objects(NAME),
            keys::node_groups(NAME),
        ]
    }

    #[test]
    fn of_every_kind_only_what_its_own_reader_can_read_is_sound() {
        for key in keys() {
            assert!(is_known(NAME, &key), "{key}");
            let unreadable = [&b"\xff\xfe"[..], b"[1, 2", b"[\"x\"]", b"{\"version\": 99}"];
            for bytes in unreadable {
                assert!(fault(NAME, &key, bytes).is_some(), "{key}: {}", String::from_utf8_lossy(bytes));
            }
        }
        for key in ["notes.txt", "revisions/x.json", "revisions/12.json"] {
            assert!(!is_known(NAME, &format!("{NAME}/{key}")), "{key}");
        }
    }

    #[test]
    fn what_a_newer_windlass_wrote_is_no_version_to_go_back_to() {
        let newer = [
            (layout::format(NAME), r#"{"version": 2, "writtenBy": "9.1.0"}"#),
            (
                layout::identity(NAME),
                r#"{"version": 2, "account": "123456789012", "region": "us-east-1", "uid": "0"}"#,
            ),
            (layout::encryption_writers(NAME), r#"{"version": 2, "writers": []}"#),
            (
                layout::journal(NAME),
                r#"{"version": 2, "user": "a", "host": "b", "command": "c", "since": "2026-01-01T00:00:00Z",
                    "work": "deletion"}"#,
            ),
        ];
        for (key, text) in newer {
            let fault = fault(NAME, &key, text.as_bytes()).unwrap_or_default();
            assert!(fault.contains('2'), "{key}: {fault}");
            let older = text.replace("\"version\": 2", "\"version\": 1");
            assert_eq!(super::fault(NAME, &key, older.as_bytes()), None, "{key}");
        }
    }
}
