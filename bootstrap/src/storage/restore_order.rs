//! What the state orders to be restored, and which restore the data on a volume is of.
//!
//! The generation stands in the data's own folder, so that a rename puts both in place at once. etcd warns of a file there
//! that isn't its own, and lets it be.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::aws::state::{StateError, StateStore};
use crate::contract::backup::BackupId;
use crate::contract::config::{self, CONFIG_VERSION, DocumentError, EtcdConfig};
use crate::contract::keys;
use crate::contract::restore::{Duty, Order, duty};
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::storage::etcd_data;

/// The file that says which restore the data is of.
const FILE: &str = "windlass-restored.json";

/// Why it isn't known what is to be restored.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The state.
    #[error("the state doesn't say whether anything is to be restored")]
    State(#[source] StateError),
    /// The document.
    #[error("what {name} says of a restore can't be used")]
    Format {
        /// The object of the state, or the file.
        name: String,
        /// Where and why.
        #[source]
        source: DocumentError,
    },
    /// The volume.
    #[error("it can't be told which restore etcd's data is of")]
    File(#[source] FileError),
}

impl Classed for OrderError {
    fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            // Somebody has to write another order, or to restore again.
            Self::Format { .. } | Self::File(_) => Class::Passing,
        }
    }
}

/// Which restore the data in its folder is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    version: String,
    generation: u64,
    backup: BackupId,
}

/// What the state orders.
pub async fn read(store: &StateStore, cluster: &str) -> Result<Option<Order>, OrderError> {
    let key = keys::restore_order(cluster);
    let Some(bytes) = store.find(&key).await.map_err(OrderError::State)? else { return Ok(None) };
    Order::read(&bytes).map(Some).map_err(|source| OrderError::Format { name: key, source })
}

/// What an order asks of a member, whose data is where it belongs.
pub async fn duty_of(
    host: &Host,
    store: &StateStore,
    order: &Order,
    etcd: &EtcdConfig,
) -> Result<Duty, OrderError> {
    let generation = generation(&etcd_data::folder(host, &etcd.name))?;
    asked_of(store, order, etcd, generation).await
}

/// Whether a member whose volume is blank is to be restored.
pub async fn is_due(store: &StateStore, cluster: &str, etcd: &EtcdConfig) -> Result<bool, OrderError> {
    let Some(order) = read(store, cluster).await? else { return Ok(false) };
    Ok(asked_of(store, &order, etcd, 0).await? != Duty::None)
}

async fn asked_of(
    store: &StateStore,
    order: &Order,
    etcd: &EtcdConfig,
    generation: u64,
) -> Result<Duty, OrderError> {
    let duty = |restored| duty(order, &etcd.name, &etcd.member, generation, restored);
    if duty(false) == Duty::None {
        return Ok(Duty::None);
    }
    let key = keys::restore_restored(&order.cluster, order.generation, &etcd.name, &etcd.member);
    let answer = store.find(&key).await.map_err(OrderError::State)?;
    Ok(duty(answer.is_some()))
}

/// The generation of what is in a folder of etcd's data; 0 where it was never restored.
pub fn generation(data: &Path) -> Result<u64, OrderError> {
    let path = data.join(FILE);
    let Some(bytes) = file::read(&path).map_err(OrderError::File)? else { return Ok(0) };
    let restored: Result<Restored, DocumentError> = config::read(&bytes);
    let name = path.display().to_string();
    restored.map(|restored| restored.generation).map_err(|source| OrderError::Format { name, source })
}

/// Writes into a folder of etcd's data which restore it is of.
pub fn mark(data: &Path, order: &Order) -> Result<(), OrderError> {
    let restored =
        Restored { version: CONFIG_VERSION.to_owned(), generation: order.generation, backup: order.backup };
    let path = data.join(FILE);
    let bytes = serde_json::to_vec_pretty(&restored).map_err(|source| OrderError::Format {
        name: path.display().to_string(),
        source: DocumentError::Format(source),
    })?;
    file::ensure(&path, bytes, file::PRIVATE).map(drop).map_err(OrderError::File)
}
