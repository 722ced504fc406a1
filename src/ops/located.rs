//! AWS as one cluster sees it: clients of its region, once account and region are known to be the cluster's.

use super::OperationError;
use crate::aws::tags::Owner;
use crate::aws::{Clients, facts};
use crate::state::identity::{ClusterIdentity, Place, Whereabouts};
use crate::state::{ClusterState, StateError};

/// The place in AWS where a cluster is.
#[derive(Debug)]
pub struct Located {
    /// Clients of the cluster's region.
    pub clients: Clients,
    place: Place,
    whereabouts: Whereabouts,
}

impl Located {
    /// Finds out where the credentials lead to, and fails where the cluster isn't there.
    pub async fn find(state: &ClusterState, region: &str) -> Result<Self, OperationError> {
        Self::compare(state, region, state.whereabouts().await?).await
    }

    /// The same where what the state says is known already.
    pub async fn compare(
        state: &ClusterState,
        region: &str,
        whereabouts: Whereabouts,
    ) -> Result<Self, OperationError> {
        // Whose the credentials are is known already where they opened the state.
        let clients = match state.store().bucket() {
            Some(bucket) => bucket.clients_in(region),
            None => Clients::load(Some(region)).await?,
        };
        let (_, account) = facts::caller(&clients).await?;
        let place = Place { account, region: region.to_owned() };
        whereabouts.check(state.name(), &place)?;
        Ok(Self { clients, place, whereabouts })
    }

    /// Where this is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What the state says of it.
    pub fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    /// Which resources are the cluster's.
    pub fn owner(&self, state: &ClusterState) -> Owner {
        self.owner_of(state.name())
    }

    /// The same by the cluster's name.
    pub fn owner_of(&self, cluster: &str) -> Owner {
        self.whereabouts.owner(cluster)
    }

    /// Records that the cluster is here, where that isn't recorded yet. Before anything is made.
    pub async fn settle(&mut self, state: &ClusterState) -> Result<(), StateError> {
        self.whereabouts = Whereabouts::Recorded(state.settle(&self.place).await?);
        Ok(())
    }

    /// The cluster's uid, where it has one.
    pub fn uid(&self) -> Option<&str> {
        match &self.whereabouts {
            Whereabouts::Recorded(ClusterIdentity { uid, .. }) => Some(uid),
            Whereabouts::Unrecorded(_) | Whereabouts::Nowhere => None,
        }
    }
}
