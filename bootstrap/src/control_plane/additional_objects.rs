//! Applies the objects that the user keeps beside the specification, as soon as they change.
//!
//! They are no part of the boot: what is wrong with one of them must not keep a master from coming up. Those that can
//! be applied are, whatever is wrong with others. What is gone from them stays in the cluster until somebody deletes
//! it there.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::Agent;
use crate::aws::state::{StateError, StateStore, sha256};
use crate::background::every::{Every, every};
use crate::contract::keys;
use crate::control_plane::addons;
use crate::host::Host;
use crate::host::command::CommandError;
use crate::host::file::{self, FileError};
use crate::host::root;

/// Applies them when they change; what is wrong with them is looked at no sooner than a change.
pub const TASK: Every = every("apply_additional_objects", PERIOD).at_once().after_error(PERIOD);

/// How often they are looked at.
const PERIOD: Duration = Duration::from_secs(20);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum AdditionalObjectsError {
    /// Reading them.
    #[error("the additional objects can't be read from the state")]
    Read(#[source] StateError),
    /// Their file.
    #[error("the additional objects' file can't be written")]
    File(#[source] FileError),
    /// Applying.
    #[error("not all additional objects can be applied")]
    Apply(#[source] CommandError),
}

/// The task.
pub async fn follow(agent: Arc<Agent>) {
    let mut applied = None;
    let mut rounds = TASK.rounds(&agent.reporter);
    loop {
        rounds.next().await;
        let outcome = ensure(&agent.host, &agent.store, &agent.config.cluster, &mut applied).await;
        if rounds.tell(outcome) == Some(true) {
            tracing::info!("the additional objects are applied");
        }
    }
}

/// Applies them unless these very ones have been applied already. `applied` is the digest of what was applied last;
/// returns whether something was.
pub async fn ensure(
    host: &Host,
    store: &StateStore,
    cluster: &str,
    applied: &mut Option<String>,
) -> Result<bool, AdditionalObjectsError> {
    let bytes = store.find(&keys::additional_objects(cluster)).await;
    let bytes = bytes.map_err(AdditionalObjectsError::Read)?;
    let path = host.path(root::RUN).join("addons/additional-objects.json");
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
        *applied = None;
        file::ensure_absent(&path).map_err(AdditionalObjectsError::File)?;
        return Ok(false);
    };
    let digest = sha256(&bytes);
    if applied.as_ref() == Some(&digest) {
        return Ok(false);
    }
    file::ensure(&path, bytes, file::PRIVATE).map_err(AdditionalObjectsError::File)?;
    addons::apply(host, &[path]).await.map_err(AdditionalObjectsError::Apply)?;
    *applied = Some(digest);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "demo/control-plane/additional-objects.json";

    struct World {
        host: Host,
        store: StateStore,
        applied: Option<String>,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let host = Host::folder(folder.path().join("machine"));
            let store = StateStore::Folder(folder.path().join("state"));
            Self { host, store, applied: None, _folder: folder }
        }

        async fn ensure(&mut self) -> Result<bool, AdditionalObjectsError> {
            ensure(&self.host, &self.store, "demo", &mut self.applied).await
        }

        fn runs(&self) -> usize {
            let commands =
                std::fs::read_to_string(self.host.path("/run/windlass/commands")).unwrap_or_default();
            commands.matches("addons/additional-objects.json").count()
        }
    }

    #[tokio::test]
    async fn objects_are_applied_once_and_again_when_they_change() {
        let mut world = World::new();
        assert!(!world.ensure().await.unwrap(), "there are none");
        world.store.put(KEY, b"{\"kind\": \"A\"}\n".to_vec()).await.unwrap();
        assert!(world.ensure().await.unwrap());
        assert!(!world.ensure().await.unwrap());
        assert_eq!(world.runs(), 1);
        world.store.put(KEY, b"{\"kind\": \"B\"}\n".to_vec()).await.unwrap();
        assert!(world.ensure().await.unwrap());
        assert_eq!(world.runs(), 2);
        let path = world.host.path("/run/windlass/addons/additional-objects.json");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "there may be secrets among them");
        let folder = match &world.store {
            StateStore::Folder(folder) => folder.join(KEY),
            StateStore::S3 { .. } => unreachable!(),
        };
        std::fs::remove_file(folder).unwrap();
        assert!(!world.ensure().await.unwrap());
        assert!(!path.exists(), "what is gone must not stay on the machine");
    }

    #[tokio::test]
    async fn what_could_not_be_applied_is_tried_again() {
        let mut world = World::new();
        world.store.put(KEY, b"{}".to_vec()).await.unwrap();
        // A folder where the file of commands shall be: nothing can be run.
        let commands = world.host.path("/run/windlass/commands");
        std::fs::create_dir_all(&commands).unwrap();
        assert!(matches!(world.ensure().await, Err(AdditionalObjectsError::Apply(_))));
        std::fs::remove_dir(&commands).unwrap();
        assert!(world.ensure().await.unwrap());
    }
}
