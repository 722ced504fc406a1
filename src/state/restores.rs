//! The order to restore a cluster, and what its masters have answered.

use std::collections::BTreeSet;

use windlass_bootstrap::keys;
use windlass_bootstrap::restore::Order;

use super::cluster_state::ClusterState;
use super::error::StateError;
use super::object::{Condition, Version};

/// What masters have answered to an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The instances that run neither etcd nor an API server any more.
    pub stopped: BTreeSet<String>,
    /// The members of which the data was restored, each with its etcd cluster before it.
    pub restored: BTreeSet<(String, String)>,
}

impl Answers {
    /// What keys below the folder of the answers say.
    fn of<'a>(rests: impl Iterator<Item = &'a str>) -> Self {
        let mut answers = Self::default();
        for rest in rests.filter_map(|rest| rest.strip_suffix(".json")) {
            match rest.split('/').collect::<Vec<_>>().as_slice() {
                ["stopped", instance] => drop(answers.stopped.insert((*instance).to_owned())),
                ["restored", etcd, member] => {
                    answers.restored.insert(((*etcd).to_owned(), (*member).to_owned()));
                }
                _ => {}
            }
        }
        answers
    }
}

impl ClusterState {
    /// The last order, with the version that it was read at.
    ///
    /// # Errors
    ///
    /// Fails with what the store said, and where it can't be read.
    pub async fn restore_order(&self) -> Result<Option<(Order, Version)>, StateError> {
        let key = keys::restore_order(self.name());
        let Some(found) = self.store().get(&key).await.map_err(self.failed())? else { return Ok(None) };
        match Order::read(&found.bytes) {
            Ok(order) => Ok(Some((order, found.version))),
            Err(error) => Err(StateError::Malformed { key, reason: error.to_string() }),
        }
    }

    /// Writes an order in the place of the one that was read.
    ///
    /// # Errors
    ///
    /// Fails with what the store said, and where somebody else has written meanwhile.
    pub async fn write_restore_order(
        &self,
        order: &Order,
        read: Option<&Version>,
    ) -> Result<Version, StateError> {
        let key = keys::restore_order(self.name());
        let failed =
            |error: serde_json::Error| StateError::Malformed { key: key.clone(), reason: error.to_string() };
        let bytes = serde_json::to_vec_pretty(order).map_err(failed)?;
        let condition = read.map_or(Condition::Absent, |read| Condition::Unchanged(read.clone()));
        self.store().put(&key, bytes, condition).await.map_err(self.failed())
    }

    /// What masters have answered to the order of a generation, asked anew.
    ///
    /// # Errors
    ///
    /// Fails with what the store said.
    pub async fn restore_answers(&self, generation: u64) -> Result<Answers, StateError> {
        let prefix = keys::restore_answers_prefix(self.name(), generation);
        self.store().forget();
        let found = self.store().list(&prefix).await.map_err(self.failed())?;
        Ok(Answers::of(found.iter().filter_map(|key| key.strip_prefix(&prefix))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_off_their_keys_as_masters_write_them() {
        let prefix = keys::restore_answers_prefix("demo", 3);
        let keys = [
            keys::restore_stopped("demo", 3, "i-1"),
            keys::restore_restored("demo", 3, "main", "a"),
            format!("{prefix}notes.txt"),
        ];
        let answers = Answers::of(keys.iter().map(|key| key.strip_prefix(&prefix).unwrap()));
        assert_eq!(answers.stopped, ["i-1".to_owned()].into());
        assert_eq!(answers.restored, [("main".to_owned(), "a".to_owned())].into());
    }
}
