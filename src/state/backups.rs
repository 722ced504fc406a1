//! The backups of a cluster's etcd that are in its state.

use std::collections::BTreeMap;

use serde::Serialize;
use windlass_bootstrap::backup::{self, Backup, BackupId, Class, DESCRIPTION, PROOF, Proof};
use windlass_bootstrap::keys;

use super::cluster_state::ClusterState;
use super::error::StateError;
use super::store::Store;
use super::store_error::StoreError;

/// A backup as a listing tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedBackup {
    /// Its name.
    pub id: BackupId,
    /// For how long it is kept.
    pub class: Class,
    /// Whether it is whole: what it is was written last.
    pub is_complete: bool,
    /// Whether somebody has tried to restore it.
    pub is_tried: bool,
}

/// The backups below a cluster's prefix, the newest first. What isn't windlass's is left out.
///
/// # Errors
///
/// Fails with what the store said.
pub async fn list(store: &Store, cluster: &str) -> Result<Vec<ListedBackup>, StoreError> {
    let prefix = keys::backups_prefix(cluster);
    let mut found: BTreeMap<(BackupId, Class), ListedBackup> = BTreeMap::new();
    for key in store.list(&prefix).await? {
        let Some((class, id, file)) = key.strip_prefix(&prefix).and_then(backup::place) else { continue };
        let listed = found.entry((id, class));
        let listed =
            listed.or_insert_with(|| ListedBackup { id, class, is_complete: false, is_tried: false });
        listed.is_complete |= file == DESCRIPTION;
        listed.is_tried |= file == PROOF;
    }
    Ok(found.into_values().rev().collect())
}

/// The proof of a backup; nothing where there is none, or one that this windlass can't read.
///
/// # Errors
///
/// Fails with what the store said.
pub async fn proof(store: &Store, cluster: &str, listed: &ListedBackup) -> Result<Option<Proof>, StoreError> {
    let key = keys::backup(cluster, listed.class, listed.id, PROOF);
    Ok(store.get(&key).await?.and_then(|found| Proof::read(&found.bytes).ok()))
}

impl ClusterState {
    /// The backups, the newest first.
    ///
    /// # Errors
    ///
    /// Fails with what the store said.
    pub async fn backups(&self) -> Result<Vec<ListedBackup>, StateError> {
        list(self.store(), self.name()).await.map_err(self.failed())
    }

    /// What a backup is, and how its proof went, where there is one.
    ///
    /// # Errors
    ///
    /// Fails with what the store said, and where the description can't be read.
    pub async fn backup(&self, listed: &ListedBackup) -> Result<(Option<Backup>, Option<Proof>), StateError> {
        let key = keys::backup(self.name(), listed.class, listed.id, DESCRIPTION);
        let read = async {
            let found = self.store().get(&key).await.map_err(self.failed())?;
            let read = found.map(|found| Backup::read(&found.bytes)).transpose();
            read.map_err(|error| StateError::Malformed { key: key.clone(), reason: error.to_string() })
        };
        let proof = async {
            if listed.is_tried {
                proof(self.store(), self.name(), listed).await.map_err(self.failed())
            } else {
                Ok(None)
            }
        };
        futures::future::try_join(read, proof).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Condition;

    #[tokio::test]
    async fn the_newest_backup_comes_first_and_one_without_a_description_is_not_whole() {
        let store = Store::memory();
        let cluster = "demo.example.com";
        for key in [
            "daily/2026-11-23T00-00-00Z/main.0.gz",
            "daily/2026-11-23T00-00-00Z/backup.json",
            "daily/2026-11-23T00-00-00Z/proof.json",
            "frequent/2026-11-23T00-15-00Z/main.1.gz",
            "frequent/notes.txt",
        ] {
            let key = format!("{}{key}", keys::backups_prefix(cluster));
            store.put(&key, b"{}".to_vec(), Condition::Absent).await.unwrap();
        }
        let listed = list(&store, cluster).await.unwrap();
        let told: Vec<_> =
            listed.iter().map(|it| (it.id.to_string(), it.class, it.is_complete, it.is_tried)).collect();
        assert_eq!(
            told,
            [
                ("2026-11-23T00-15-00Z".to_owned(), Class::Frequent, false, false),
                ("2026-11-23T00-00-00Z".to_owned(), Class::Daily, true, true)
            ]
        );
        assert_eq!(proof(&store, cluster, &listed[1]).await.unwrap(), None, "it isn't one");
    }
}
