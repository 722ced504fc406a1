//! Brings the secrets of masters, and of API servers beside them, from the state into tmpfs, where only the components that
//! need each can see it.

use std::path::Path;

use rustix::fs::{FsWord, statfs};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::aws::state::{StateError, StateStore};
use crate::contract::config::{self, DocumentError, NodeConfig};
use crate::contract::keys;
use crate::contract::keyset::{Keyset, Secret};
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::kubernetes::manifests::{self, Credentials, ManifestError};
use crate::progress::retry::{Class, Classed, chain};
use crate::progress::step::{Done, Step, StepError};

/// Brings the secrets into tmpfs.
pub const STEP: Step = Step::until_done("ensure_secrets").outside();

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS: FsWord = 0x0102_1994;

/// What can go wrong with the secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// tmpfs could not be mounted.
    #[error("{} can't be made a tmpfs", root::SECRETS)]
    Mount(#[source] CommandError),
    /// After mounting it still isn't one.
    #[error("{} is not a tmpfs: secrets are never written to a disk", root::SECRETS)]
    NotTmpfs,
    /// Reading from the state.
    #[error("a secret can't be read from the state")]
    Read(#[source] StateError),
    /// The state doesn't answer, and since this machine's start nothing was read from it.
    #[error(
        "this machine's secrets are in memory only while it runs, and the state, which holds them, does not answer: it is \
         waited for"
    )]
    Unreachable(#[source] StateError),
    /// What the state holds is not what it should be. Deliberately without the parser's words, which may quote it.
    #[error("the state's {0} is not a keyset that this agent understands")]
    Format(String),
    /// What the state holds is of another major version.
    #[error("the state's {key} is of version `{found}`, which takes an image with a newer agent")]
    Version {
        /// The object, as a key of the state store.
        key: String,
        /// Its version.
        found: String,
    },
    /// The encryption configuration isn't text.
    #[error("the state's encryption configuration is not text")]
    Encryption,
    /// A keyset without its primary key.
    #[error("the keyset {0} has no primary key")]
    NoPrimary(String),
    /// A kubeconfig.
    #[error("a kubeconfig can't be rendered")]
    Kubeconfig(#[source] ManifestError),
    /// A file.
    #[error("a secret's file can't be written")]
    File(#[source] FileError),
}

impl Classed for SecretsError {
    fn class(&self) -> Class {
        match self {
            Self::Read(error) => error.class(),
            Self::Unreachable(_) => Class::Waiting,
            Self::Mount(_) | Self::File(_) => Class::Passing,
            _ => Class::Permanent,
        }
    }
}

/// Which authority signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Kubernetes.
    Kubernetes,
    /// etcd's own.
    Etcd,
    /// The front proxy's own.
    FrontProxy,
}

/// What a master reads from the state, and what runs an API server beside the masters: it signs its certificates itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Secrets {
    kubernetes: Keyset,
    etcd: Keyset,
    front_proxy: Keyset,
    service_account: Keyset,
    encryption_configuration: Secret,
}

impl Secrets {
    /// An authority's keyset.
    pub fn authority(&self, authority: Authority) -> &Keyset {
        match authority {
            Authority::Kubernetes => &self.kubernetes,
            Authority::Etcd => &self.etcd,
            Authority::FrontProxy => &self.front_proxy,
        }
    }
}

/// What was read from the state last, on tmpfs: a reboot forgets it.
const REMEMBERED: &str = "/srv/kubernetes/windlass/secrets.json";

/// The step.
pub async fn run(agent: &Agent) -> Result<Secrets, StepError> {
    let bring = async || {
        let (value, changed) = obtain(&agent.host, &agent.store, &agent.config).await?;
        Ok::<_, SecretsError>(Done { value, changed })
    };
    STEP.run(&agent.reporter, bring).await
}

/// Reads the secrets from the state and brings them to where the components read them. While the state doesn't answer,
/// those that were read since the machine started are used, so that an agent that is started again goes on. Returns
/// whether anything had to be changed.
pub async fn obtain(
    host: &Host,
    store: &StateStore,
    config: &NodeConfig,
) -> Result<(Secrets, bool), SecretsError> {
    let secrets = match fetch(store, &config.cluster).await {
        Err(SecretsError::Read(error)) if error.is_outage() => match remembered(host)? {
            Some(secrets) => {
                tracing::warn!(
                    error = chain(&error),
                    "the state does not answer: the secrets are those read before"
                );
                secrets
            }
            None => return Err(SecretsError::Unreachable(error)),
        },
        other => other?,
    };
    let mut changed = ensure(host, config, &secrets).await?;
    changed |= remember(host, &secrets)?;
    Ok((secrets, changed))
}

fn remembered(host: &Host) -> Result<Option<Secrets>, SecretsError> {
    let bytes = file::read(&host.path(REMEMBERED)).map_err(SecretsError::File)?.map(zeroize::Zeroizing::new);
    // What can't be understood, as after a newer agent, is as good as nothing.
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// To be called once the folder of secrets is known to be a tmpfs.
fn remember(host: &Host, secrets: &Secrets) -> Result<bool, SecretsError> {
    let path = host.path(REMEMBERED);
    let bytes = serde_json::to_vec(secrets).map(zeroize::Zeroizing::new);
    let bytes = bytes.map_err(|_| SecretsError::Format(REMEMBERED.to_owned()))?;
    if let Some(folder) = path.parent() {
        file::ensure_folder(folder, 0o700).map_err(SecretsError::File)?;
    }
    file::ensure(&path, bytes.as_slice(), file::PRIVATE).map_err(SecretsError::File)
}

/// Reads the secrets from the state, all at once.
async fn fetch(store: &StateStore, cluster: &str) -> Result<Secrets, SecretsError> {
    let (kubernetes, etcd, front_proxy, service_account, encryption_configuration) = futures::try_join!(
        fetch_keyset(store, cluster, "kubernetes-ca"),
        fetch_keyset(store, cluster, "etcd-ca"),
        fetch_keyset(store, cluster, "front-proxy-ca"),
        fetch_keyset(store, cluster, "service-account"),
        fetch_encryption_configuration(store, cluster),
    )?;
    Ok(Secrets { kubernetes, etcd, front_proxy, service_account, encryption_configuration })
}

async fn fetch_keyset(store: &StateStore, cluster: &str, name: &str) -> Result<Keyset, SecretsError> {
    let key = keys::keyset(cluster, name);
    let bytes = zeroize::Zeroizing::new(store.require(&key).await.map_err(SecretsError::Read)?);
    match config::read::<Keyset>(&bytes) {
        Ok(keyset) if keyset.name != name => Err(SecretsError::Format(key)),
        Ok(keyset) if keyset.primary().is_none() => Err(SecretsError::NoPrimary(keyset.name)),
        Ok(keyset) => Ok(keyset),
        Err(DocumentError::Version(found)) => Err(SecretsError::Version { key, found }),
        Err(DocumentError::Format(_)) => Err(SecretsError::Format(key)),
    }
}

async fn fetch_encryption_configuration(store: &StateStore, cluster: &str) -> Result<Secret, SecretsError> {
    let bytes = store.require(&keys::encryption_configuration(cluster)).await.map_err(SecretsError::Read)?;
    String::from_utf8(bytes).map(Secret::new).map_err(|_| SecretsError::Encryption)
}

/// Makes sure that the folder of secrets is a tmpfs. In a folder that stands for a machine there is nothing to mount.
pub async fn ensure_tmpfs(host: &Host) -> Result<bool, SecretsError> {
    let path = host.path(root::SECRETS);
    if !host.is_machine() || is_tmpfs(&path) {
        return file::ensure_folder(&path, 0o700).map_err(SecretsError::File);
    }
    file::ensure_folder(&path, 0o700).map_err(SecretsError::File)?;
    let mount = Command::new("/usr/bin/mount").arguments([
        "-t",
        "tmpfs",
        "-o",
        "size=16m,mode=0700,nosuid,nodev,noexec",
        "tmpfs",
        root::SECRETS,
    ]);
    host.run(mount).await.map_err(SecretsError::Mount)?;
    if is_tmpfs(&path) { Ok(true) } else { Err(SecretsError::NotTmpfs) }
}

fn is_tmpfs(path: &Path) -> bool {
    statfs(path).is_ok_and(|filesystem| filesystem.f_type == TMPFS)
}

/// The component that runs where there is an API server beside the masters'; each has a folder of its own.
const API_SERVER: &str = "kube-apiserver";

/// Writes the secrets that components of this instance share with the state: authorities, signing keys, the encryption
/// configuration.
async fn ensure(host: &Host, config: &NodeConfig, secrets: &Secrets) -> Result<bool, SecretsError> {
    let mut changed = ensure_tmpfs(host).await?;
    let kubernetes = secrets.kubernetes.bundle();
    let service_account = primary(&secrets.service_account)?;
    let signer = primary(&secrets.kubernetes)?;
    let etcd = secrets.etcd.bundle();
    let front_proxy = secrets.front_proxy.bundle();
    let service_account_public = secrets.service_account.bundle();
    let files: [(&str, &str, &str); 14] = [
        ("etcd", "ca.crt", &etcd),
        ("kube-apiserver", "ca.crt", &kubernetes),
        ("kube-apiserver", "etcd-ca.crt", &etcd),
        ("kube-apiserver", "front-proxy-ca.crt", &front_proxy),
        ("kube-apiserver", "service-account.pub", &service_account_public),
        ("kube-apiserver", "service-account.key", service_account.private.expose()),
        ("kube-apiserver", "encryption-configuration.json", secrets.encryption_configuration.expose()),
        ("kube-controller-manager", "ca.crt", &kubernetes),
        ("kube-controller-manager", "signing-ca.crt", &signer.public),
        ("kube-controller-manager", "signing-ca.key", signer.private.expose()),
        ("kube-controller-manager", "service-account.key", service_account.private.expose()),
        ("kube-scheduler", "ca.crt", &kubernetes),
        ("kube-proxy", "ca.crt", &kubernetes),
        ("admin", "ca.crt", &kubernetes),
    ];
    let runs = |component: &str| config.control_plane.is_some() || component == API_SERVER;
    for (folder, name, contents) in files.into_iter().filter(|(component, ..)| runs(component)) {
        let folder = host.path(root::SECRETS).join(folder);
        changed |= file::ensure_folder(&folder, 0o700).map_err(SecretsError::File)?;
        changed |= file::ensure(&folder.join(name), contents, file::PRIVATE).map_err(SecretsError::File)?;
    }
    Ok(changed)
}

/// Writes the kubeconfigs of what runs on a master; all talk to the API on this machine.
pub fn ensure_kubeconfigs(host: &Host, config: &NodeConfig) -> Result<bool, SecretsError> {
    let server = config.api_endpoint().url_with_port();
    let mut changed = false;
    for component in ["kube-controller-manager", "kube-scheduler", "kube-proxy", "admin", "kubelet"] {
        let folder = format!("{}/{component}", root::SECRETS);
        let authority =
            if component == "kubelet" { KUBERNETES_CA.to_owned() } else { format!("{folder}/ca.crt") };
        let (certificate, key) = (format!("{folder}/client.crt"), format!("{folder}/client.key"));
        let credentials = Credentials { certificate: &certificate, key: &key };
        let text = manifests::kubeconfig(&config.cluster, &server, &authority, component, &credentials)
            .map_err(SecretsError::Kubeconfig)?;
        let path = host.path(&folder).join("kubeconfig");
        changed |= file::ensure(&path, text, file::PRIVATE).map_err(SecretsError::File)?;
    }
    Ok(changed)
}

/// Where the authorities stand that every instance trusts: public certificates, so on the disk.
pub const KUBERNETES_CA: &str = "/etc/kubernetes/ca.crt";

/// Writes the authorities that every instance trusts.
pub fn ensure_authorities(host: &Host, config: &NodeConfig) -> Result<bool, SecretsError> {
    file::ensure(&host.path(KUBERNETES_CA), &config.kubernetes_ca, file::PUBLIC).map_err(SecretsError::File)
}

fn primary(keyset: &Keyset) -> Result<&crate::contract::keyset::Key, SecretsError> {
    keyset.primary().ok_or_else(|| SecretsError::NoPrimary(keyset.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tmpfs_is_taken_for_one() {
        assert!(!is_tmpfs(Path::new("/proc")));
        assert!(!is_tmpfs(Path::new("/nowhere")));
    }

    /// A state with a master's secrets, and a way to take it away.
    struct World {
        folder: tempfile::TempDir,
        host: Host,
        store: StateStore,
    }

    impl World {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let host = Host::folder(folder.path().join("machine"));
            let store = StateStore::Folder(folder.path().join("state"));
            for name in ["kubernetes-ca", "etcd-ca", "front-proxy-ca", "service-account"] {
                let keyset = serde_json::json!({"version": "windlass/v1", "name": name, "primary": "1",
                    "keys": [{"id": "1", "public": "public\n", "private": "private"}]});
                store.put(&keys::keyset("demo", name), keyset.to_string().into_bytes()).await.unwrap();
            }
            store.put(&keys::encryption_configuration("demo"), b"{}".to_vec()).await.unwrap();
            Self { folder, host, store }
        }

        /// From now on the state doesn't answer.
        fn outage(&self) {
            let state = self.folder.path().join("state");
            std::fs::remove_dir_all(&state).unwrap();
            std::fs::write(state, "not a folder").unwrap();
        }

        async fn obtain(&self) -> Result<(Secrets, bool), SecretsError> {
            obtain(&self.host, &self.store, &crate::testing::master_config()).await
        }
    }

    #[tokio::test]
    async fn an_agent_that_is_started_again_goes_on_with_the_secrets_in_memory_while_the_state_is_away() {
        let world = World::new().await;
        assert!(world.obtain().await.unwrap().1);
        world.outage();
        let (secrets, changed) = world.obtain().await.unwrap();
        assert_eq!(secrets.authority(Authority::Etcd).name, "etcd-ca");
        assert!(!changed, "what is there is left alone");
    }

    #[tokio::test]
    async fn a_rebooted_master_waits_for_the_state_and_says_so() {
        let world = World::new().await;
        world.obtain().await.unwrap();
        world.outage();
        // A reboot: nothing of a tmpfs is left.
        std::fs::remove_dir_all(world.host.path(root::SECRETS)).unwrap();
        let error = world.obtain().await.unwrap_err();
        assert_eq!(error.class(), Class::Waiting);
        assert!(
            error.to_string().contains("in memory only") && error.to_string().contains("does not answer")
        );
    }

    #[tokio::test]
    async fn a_keyset_of_a_newer_major_version_is_refused_by_name() {
        let world = World::new().await;
        let newer = br#"{"version": "windlass/v2", "anything": "else"}"#.to_vec();
        world.store.put(&keys::keyset("demo", "etcd-ca"), newer).await.unwrap();
        let error = world.obtain().await.unwrap_err();
        assert!(matches!(&error, SecretsError::Version { found, .. } if found == "windlass/v2"), "{error}");
    }

    #[tokio::test]
    async fn a_broken_keyset_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        store.put(&keys::keyset("demo", "etcd-ca"), b"{\"private\": \"very secret\"".to_vec()).await.unwrap();
        let error = fetch_keyset(&store, "demo", "etcd-ca").await.unwrap_err();
        assert!(!crate::progress::retry::chain(&error).contains("secret\""), "{error}");
        assert!(error.to_string().contains("demo/control-plane/keysets/etcd-ca.json"));
        let missing = fetch_keyset(&store, "demo", "kubernetes-ca").await.unwrap_err();
        assert_eq!(missing.class(), Class::Passing);
    }
}
