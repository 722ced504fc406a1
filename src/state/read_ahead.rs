//! Reading ahead: what every plan is made from, in one round of calls.

use super::cluster_state::ClusterState;
use super::error::StateError;
use super::layout;
use super::secrets::objects_of_keys;

impl ClusterState {
    /// Asks for all at once that a plan is made from: documents, keys, what was applied, who the cluster is, and how the
    /// bucket encrypts. Whoever reads them then finds them known. What the credentials may not read is asked for again by
    /// whoever needs it, if anybody does; any other failure ends the command here, as it would a moment later.
    pub async fn read_ahead(&self) -> Result<(), StateError> {
        self.look_once().await?;
        let prefix = layout::cluster_prefix(self.name());
        let there = self.store().list(&prefix).await.map_err(self.failed())?;
        let keys = objects_of_keys(self.name());
        let newest = there.iter().rfind(|key| layout::revision_number(self.name(), key).is_some());
        let is_planned_from = |key: &&String| {
            let rest = key.strip_prefix(&prefix);
            rest.is_some_and(|rest| layout::is_specification(rest) || layout::is_of_every_plan(rest))
                || keys.contains(key)
                || Some(*key) == newest
        };
        let ahead: Vec<String> = there.iter().filter(is_planned_from).cloned().collect();
        let kms_key = async {
            match self.store().bucket() {
                Some(bucket) => bucket.kms_key().await.map(drop),
                None => Ok(()),
            }
        };
        let objects = async { self.store().get_all(&ahead).await.map(drop) };
        match futures::try_join!(objects, kms_key) {
            Err(error) if !error.is_denied() => Err(self.failed()(error)),
            _ => Ok(()),
        }
    }
}
