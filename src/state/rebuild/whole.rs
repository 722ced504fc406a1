//! Whether objects are a whole state: read as every command reads them, out of a store in memory.

use std::collections::BTreeMap;

use crate::state::error::StateError;
use crate::state::object::{Bytes, Condition};
use crate::state::secrets::SecretsError;
use crate::state::{ClusterState, Damage, Store};

/// What is wrong with the objects of a cluster together, a line each.
pub(super) async fn faults(
    cluster: &str,
    objects: BTreeMap<String, Bytes>,
) -> Result<Vec<String>, StateError> {
    let state = ClusterState::new(Store::memory(), cluster);
    for (key, bytes) in objects {
        let put = state.store().put(&key, bytes.into_vec(), Condition::Absent).await;
        put.map_err(|source| StateError::Store { cluster: cluster.to_owned(), source })?;
    }
    let mut faults = Vec::new();
    faults.extend(Box::pin(state.read()).await.err().map(plain));
    faults.extend(Box::pin(state.whereabouts()).await.err().map(plain));
    match Box::pin(state.running()).await {
        Ok(Some(revision)) => {
            faults.extend(Box::pin(state.contents(&revision)).await.err().map(plain));
        }
        Ok(None) => {}
        Err(error) => faults.push(plain(error)),
    }
    match Box::pin(state.secrets()).await {
        // Before a cluster is first applied it has no keys.
        Ok(_) | Err(SecretsError::Missing { .. }) => {}
        Err(SecretsError::Damaged { damages, .. }) => faults.extend(damages.iter().map(of)),
        Err(other) => faults.push(other.to_string()),
    }
    faults.dedup();
    Ok(faults)
}

fn plain(error: StateError) -> String {
    match error {
        StateError::Damaged(damage) => of(&damage),
        other => other.to_string(),
    }
}

/// Without the address of the store, which is none that anybody knows.
fn of(Damage { key, fault, .. }: &Damage) -> String {
    format!("`{key}`: {fault}")
}
