//! The credentials with which the kubelet pulls images from private registries: from the state into tmpfs.
//!
//! The kubelet reads `config.json` in its own folder, and reads it again within five minutes. What stands there is a
//! link into tmpfs, so that nothing secret is on a disk.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;

use crate::agent::Agent;
use crate::aws::state::{StateError, StateStore};
use crate::background::every::{Every, every};
use crate::contract::docker_config::NONE;
use crate::contract::keys;
use crate::host::Host;
use crate::host::file::{self, FileError};
#[cfg(test)]
use crate::host::root;
use crate::progress::retry::{Class, Classed, chain};
use crate::progress::step::{Done, Step, StepError};
use crate::secrets::stored::{self, SecretsError};

/// Where the kubelet looks.
pub const LINK: &str = "/var/lib/kubelet/config.json";
/// Where they are.
pub const CREDENTIALS: &str = "/srv/kubernetes/registry/config.json";
/// What the link says: the same place, seen from the kubelet's folder, so that it holds below any root.
const TARGET: &str = "../../../srv/kubernetes/registry/config.json";

/// Brings them before the kubelet starts, which looks for them then, and from then on only every five minutes.
pub const STEP: Step = Step::new(TASK.name(), Duration::from_mins(1)).outside();

/// A user may change them at any time, and the boot may have gone on without them.
pub const TASK: Every = every("ensure_registry_credentials", Duration::from_mins(5)).at_once();

/// How long the boot waits for them: it can do without.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can go wrong with them.
#[derive(Debug, thiserror::Error)]
pub enum RegistryCredentialsError {
    /// Reading from the state.
    #[error("the credentials for image registries can't be read from the state")]
    Read(#[source] StateError),
    /// tmpfs.
    #[error("there is no place for the credentials for image registries")]
    Tmpfs(#[source] SecretsError),
    /// Their file.
    #[error("the credentials for image registries can't be written")]
    File(#[source] FileError),
}

impl Classed for RegistryCredentialsError {
    fn class(&self) -> Class {
        match self {
            Self::Read(error) => error.class(),
            Self::Tmpfs(error) => error.class(),
            Self::File(_) => Class::Passing,
        }
    }
}

/// The step. What is wrong is reported as the task's failure, which tries again after the boot.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Agent { host, reporter, config, store, .. } = agent;
    let bring = async || {
        let ensure = ensure(host, store, &config.cluster);
        let problem = match tokio::time::timeout(PATIENCE, ensure).await {
            Ok(Ok(changed)) => return Ok::<_, Infallible>(Done::changed_if(changed)),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("the state did not answer within {} s", PATIENCE.as_secs()),
        };
        reporter.task(TASK.name(), Some(&problem));
        Ok(Done::changed_if(false))
    };
    STEP.run(reporter, bring).await
}

/// The task.
pub async fn follow(agent: Arc<Agent>) {
    follow_as(TASK, &agent).await;
}

async fn follow_as(task: Every, agent: &Agent) {
    let Agent { host, config, store, .. } = agent;
    task.run(&agent.reporter, || async { ensure(host, store, &config.cluster).await.map(drop) }).await;
}

/// Makes what the kubelet reads the same as what the state holds; where it holds none, there is none. A file that the
/// image brought is replaced by credentials of the state, and is left alone while there are none.
async fn ensure(host: &Host, store: &StateStore, cluster: &str) -> Result<bool, RegistryCredentialsError> {
    let held = store.get(&keys::docker_config(cluster)).await.map_err(RegistryCredentialsError::Read)?;
    let held = held.filter(|held| held != NONE.as_bytes());
    let (link, path) = (host.path(LINK), host.path(CREDENTIALS));
    let Some(held) = held.map(zeroize::Zeroizing::new) else {
        return remove(&link, &path).map_err(RegistryCredentialsError::File);
    };
    let mut changed = stored::ensure_tmpfs(host).await.map_err(RegistryCredentialsError::Tmpfs)?;
    if let Some(folder) = path.parent() {
        changed |= file::ensure_folder(folder, 0o700).map_err(RegistryCredentialsError::File)?;
    }
    changed |= file::ensure(&path, held.as_slice(), file::PRIVATE).map_err(RegistryCredentialsError::File)?;
    changed |= ensure_link(&link, Path::new(TARGET)).map_err(RegistryCredentialsError::File)?;
    Ok(changed)
}

fn remove(link: &Path, path: &Path) -> Result<bool, FileError> {
    let ours = fs::read_link(link).is_ok_and(|target| target == Path::new(TARGET));
    let mut changed = ours && file::ensure_absent(link)?;
    changed |= file::ensure_absent(path)?;
    Ok(changed)
}

/// Makes a link, in the place of whatever is there.
fn ensure_link(link: &Path, target: &Path) -> Result<bool, FileError> {
    if fs::read_link(link).is_ok_and(|found| found == target) {
        return Ok(false);
    }
    let failed = |source| FileError::Write { path: link.to_owned(), source };
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let temporary = link.with_extension("json.new");
    file::ensure_absent(&temporary)?;
    std::os::unix::fs::symlink(target, &temporary).map_err(failed)?;
    fs::rename(&temporary, link).map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::contract::report::FailingTask;
    use crate::progress::reporter::Reporter;
    use crate::testing::{agent, node_config};

    struct World {
        _folder: tempfile::TempDir,
        host: Host,
        store: StateStore,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let host = Host::folder(folder.path().join("machine"));
            let store = StateStore::Folder(folder.path().join("state"));
            Self { _folder: folder, host, store }
        }

        async fn ensure(&self) -> bool {
            ensure(&self.host, &self.store, "demo").await.unwrap()
        }

        async fn hold(&self, text: &str) {
            self.store.put(&keys::docker_config("demo"), text.into()).await.unwrap();
        }

        fn credentials(&self) -> Option<String> {
            std::fs::read_to_string(self.host.path(CREDENTIALS)).ok()
        }

        fn link(&self) -> Option<std::path::PathBuf> {
            std::fs::read_link(self.host.path(LINK)).ok()
        }
    }

    #[tokio::test]
    async fn credentials_of_the_state_are_in_tmpfs_and_the_kubelet_finds_them() {
        const HELD: &str = r#"{"auths": {"r": {}}}"#;
        let world = World::new();
        world.hold(HELD).await;
        assert!(world.ensure().await);
        assert_eq!(world.credentials().as_deref(), Some(HELD));
        assert_eq!(world.link().as_deref(), Some(Path::new(TARGET)));
        assert_eq!(std::fs::read(world.host.path(LINK)).unwrap(), HELD.as_bytes());
        assert!(CREDENTIALS.starts_with(root::SECRETS) && LINK.starts_with(root::KUBELET));
        let mode = std::fs::metadata(world.host.path(CREDENTIALS)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!world.ensure().await, "what is right is left alone");
    }

    #[tokio::test]
    async fn what_changes_in_the_state_changes_here_and_what_goes_goes() {
        let world = World::new();
        world.hold("one").await;
        world.ensure().await;
        world.hold("two").await;
        assert!(world.ensure().await);
        assert_eq!(world.credentials().as_deref(), Some("two"));
        let StateStore::Folder(folder) = &world.store else { panic!("not a folder") };
        std::fs::remove_file(folder.join(keys::docker_config("demo"))).unwrap();
        assert!(world.ensure().await);
        assert_eq!((world.credentials(), world.link()), (None, None));
        assert!(!world.ensure().await);
        world.hold("three").await;
        assert!(world.ensure().await);
        world.hold(NONE).await;
        assert!(world.ensure().await, "that there are none is said by an object, too");
        assert_eq!((world.credentials(), world.link()), (None, None));
    }

    #[tokio::test]
    async fn a_file_of_the_image_is_left_alone_until_there_are_credentials() {
        let world = World::new();
        let path = world.host.path(LINK);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "baked").unwrap();
        assert!(!world.ensure().await);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "baked");
        world.hold("held").await;
        assert!(world.ensure().await);
        assert_eq!(world.link().as_deref(), Some(Path::new(TARGET)));
    }

    /// Waits until the report names exactly these tasks as failing.
    async fn failing(reporter: &Reporter, wanted: &[&str]) -> Vec<FailingTask> {
        for _ in 0..400 {
            let failing = reporter.status().failing;
            if failing.iter().map(|task| task.name.as_str()).eq(wanted.iter().copied()) {
                return failing;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never was {wanted:?} failing: {:?}", reporter.status().failing);
    }

    #[tokio::test]
    async fn a_task_that_fails_is_in_the_report_until_it_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let agent = Arc::new(agent(folder.path(), node_config()).await);
        let state = folder.path().join("state");
        std::fs::write(&state, "not a folder").unwrap();
        let follow = {
            let agent = agent.clone();
            async move { follow_as(TASK.after_error(Duration::from_millis(5)), &agent).await }
        };
        let task = tokio::spawn(follow);
        let told = failing(&agent.reporter, &[TASK.name()]).await;
        assert!(told[0].error.contains("can't be read from the state"), "{}", told[0].error);
        std::fs::remove_file(&state).unwrap();
        failing(&agent.reporter, &[]).await;
        task.abort();
    }
}
