//! The order to clear etcd's alarms.

use windlass_bootstrap::etcd_upkeep::Order;
use windlass_bootstrap::keys;

use super::cluster_state::ClusterState;
use super::error::StateError;
use super::object::Condition;

impl ClusterState {
    /// Writes an order in the place of the last one.
    ///
    /// # Errors
    ///
    /// Fails with what the store said, and where somebody else writes one at the same moment.
    pub async fn order_etcd_upkeep(&self, order: &Order) -> Result<(), StateError> {
        let key = keys::etcd_upkeep(self.name());
        let bytes = serde_json::to_vec_pretty(order);
        let bytes =
            bytes.map_err(|error| StateError::Malformed { key: key.clone(), reason: error.to_string() })?;
        // Whatever is there, readable or not: an order is only good for a while.
        let last = self.store().get(&key).await.map_err(self.failed())?;
        let condition = last.map_or(Condition::Absent, |last| Condition::Unchanged(last.version));
        self.store().put(&key, bytes, condition).await.map(drop).map_err(self.failed())
    }
}
