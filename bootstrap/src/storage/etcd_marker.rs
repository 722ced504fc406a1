//! The marker in the state that says that an etcd member was once initialised. It is written when its etcd is first known
//! to be healthy and never removed: from then on an empty volume is a lost one. A volume that takes the place of that one gets
//! a marker of its own.

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::aws::ec2::Volume;
use crate::aws::state::{StateError, StateStore};
use crate::contract::config::{self, CONFIG_VERSION, ControlPlaneConfig, DocumentError, EtcdConfig};
use crate::contract::{keys, tags};
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};
use crate::storage::etcd_data::{self, Data};
use crate::storage::volume::AttachedVolumes;

/// Writes the marker.
pub const STEP: Step = Step::until_done("ensure_etcd_marker").outside();

/// What can go wrong with the marker.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// The marker.
    #[error("the marker of etcd's initialisation can't be used")]
    State(#[source] StateError),
    /// The marker is not one.
    #[error("the state's {key} is not a marker of etcd's initialisation")]
    Format {
        /// The object, as a key of the state store.
        key: String,
        /// Where and why.
        #[source]
        source: DocumentError,
    },
    /// Nothing says yet that etcd has written anything.
    #[error("the etcd cluster {0} has no data yet")]
    NoData(String),
    /// A file of this boot.
    #[error("etcd's data can't be looked at")]
    File(#[source] FileError),
}

impl Classed for MarkerError {
    fn class(&self) -> Class {
        match self {
            Self::Format { .. } => Class::Permanent,
            Self::NoData(_) => Class::Waiting,
            // A store that hides the object does not say that there is none.
            Self::State(error) => error.class(),
            Self::File(_) => Class::Passing,
        }
    }
}

/// What the state holds once a member has been initialised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// [`CONFIG_VERSION`].
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// The etcd cluster's name.
    pub etcd: String,
    /// The member's name.
    pub member: String,
    /// The volume it was initialised on, if there is one.
    pub volume: Option<String>,
    /// When.
    pub initialised: jiff::Timestamp,
}

/// The step. The API answers from `main`, so that is initialised and healthy. Of another etcd cluster, which the API may
/// not even use, its data on the volume says it.
pub async fn run(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    volumes: &AttachedVolumes,
) -> Result<(), StepError> {
    let Agent { host, store, config, .. } = agent;
    let mark = async || {
        let mut changed = false;
        for etcd in control_plane.etcd_clusters() {
            if !etcd.is_main() {
                check_data(host, etcd)?;
            }
            let volume = volumes.get(&etcd.name).map(|attached| attached.volume.id.as_str());
            changed |= ensure(host, store, &config.cluster, etcd, volume).await?;
        }
        Ok::<_, MarkerError>(Done::changed_if(changed))
    };
    STEP.run(&agent.reporter, mark).await
}

fn check_data(host: &Host, etcd: &EtcdConfig) -> Result<(), MarkerError> {
    let data = etcd_data::look(&etcd_data::folder(host, &etcd.name)).map_err(MarkerError::File)?;
    if data == Data::Present { Ok(()) } else { Err(MarkerError::NoData(etcd.name.clone())) }
}

/// Whether the state says that the member has been initialised: on this volume, or else on the first one.
pub async fn read(
    store: &StateStore,
    cluster: &str,
    etcd: &EtcdConfig,
    volume: Option<&str>,
) -> Result<Option<Marker>, MarkerError> {
    let first = read_key(store, keys::etcd_initialised(cluster, &etcd.name, &etcd.member)).await?;
    let (Some(volume), true) = (volume, first.is_some()) else { return Ok(first) };
    let own = keys::etcd_initialised_on(cluster, &etcd.name, &etcd.member, volume);
    Ok(read_key(store, own).await?.or(first))
}

/// Whether this volume was made, by somebody's order, in the place of the one that the marker names, and is blank for that
/// reason. The other members know what was on the lost one.
pub fn is_replaced_by(marker: &Marker, etcd: &EtcdConfig, volume: &Volume) -> bool {
    etcd.members.len() > 1
        && volume.tags.get(tags::REPLACES_LOST) == Some(&etcd.member)
        && marker.volume.as_ref().is_some_and(|lost| *lost != volume.id)
}

async fn read_key(store: &StateStore, key: String) -> Result<Option<Marker>, MarkerError> {
    let Some(bytes) = store.find(&key).await.map_err(MarkerError::State)? else { return Ok(None) };
    config::read(&bytes).map(Some).map_err(|source| MarkerError::Format { key, source })
}

/// Writes the marker unless it is there. To be called once etcd is known to be healthy. Returns whether it was written.
/// The machine remembers until its next start that it is, so that the state isn't asked again.
pub async fn ensure(
    host: &Host,
    store: &StateStore,
    cluster: &str,
    etcd: &EtcdConfig,
    volume: Option<&str>,
) -> Result<bool, MarkerError> {
    let known = host.path(root::RUN).join(format!("etcd-{}-marked", etcd.name));
    if file::read(&known).map_err(MarkerError::File)?.is_some() {
        return Ok(false);
    }
    let written = match (read(store, cluster, etcd, volume).await?, volume) {
        (None, _) => {
            let key = keys::etcd_initialised(cluster, &etcd.name, &etcd.member);
            write(store, key, cluster, etcd, volume).await?
        }
        (Some(marker), Some(id)) if marker.volume.as_deref() != Some(id) => {
            let key = keys::etcd_initialised_on(cluster, &etcd.name, &etcd.member, id);
            write(store, key, cluster, etcd, volume).await?
        }
        _ => false,
    };
    file::ensure(&known, "", file::PUBLIC).map_err(MarkerError::File)?;
    Ok(written)
}

async fn write(
    store: &StateStore,
    key: String,
    cluster: &str,
    etcd: &EtcdConfig,
    volume: Option<&str>,
) -> Result<bool, MarkerError> {
    let marker = Marker {
        version: CONFIG_VERSION.to_owned(),
        cluster: cluster.to_owned(),
        etcd: etcd.name.clone(),
        member: etcd.member.clone(),
        volume: volume.map(ToOwned::to_owned),
        initialised: jiff::Timestamp::now(),
    };
    let bytes = serde_json::to_vec_pretty(&marker)
        .map_err(|source| MarkerError::Format { key: key.clone(), source: DocumentError::Format(source) })?;
    store.put_if_absent(&key, bytes).await.map_err(MarkerError::State)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etcd_cluster_that_the_api_need_not_use_is_marked_once_there_is_a_log_on_its_volume() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let events = EtcdConfig { name: "events".to_owned(), ..EtcdConfig::default() };
        let data = etcd_data::folder(&host, "events").join("member/wal");
        fs_err::create_dir_all(&data).unwrap();
        let error = check_data(&host, &events).unwrap_err();
        assert_eq!((error.class(), error.to_string().contains("events")), (Class::Waiting, true));
        fs_err::write(data.join("0.wal"), "").unwrap();
        check_data(&host, &events).unwrap();
    }
}
