//! Brings the master's secrets from the state into tmpfs, where only the components that need each can see it.

use std::path::Path;

use rustix::fs::{FsWord, statfs};

use crate::certificates::Authority;
use crate::command::{Command, CommandError};
use crate::config::{CONFIG_VERSION, NodeConfig};
use crate::file::{self, FileError};
use crate::host::Host;
use crate::keys;
use crate::keyset::{Keyset, Secret};
use crate::manifests::{self, Credentials, ManifestError};
use crate::retry::{Class, Classed};
use crate::root;
use crate::state::{StateError, StateStore};

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
    /// What the state holds is not what it should be. Deliberately without the parser's words, which may quote it.
    #[error("the state's {0} is not a keyset that this agent understands")]
    Format(String),
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
            Self::Mount(_) | Self::File(_) => Class::Passing,
            _ => Class::Permanent,
        }
    }
}

/// What a master reads from the state.
#[derive(Clone, Debug)]
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

/// Reads the secrets from the state, all at once.
pub async fn fetch(store: &StateStore, cluster: &str) -> Result<Secrets, SecretsError> {
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
    match serde_json::from_slice::<Keyset>(&bytes) {
        Ok(keyset) if keyset.version != CONFIG_VERSION || keyset.name != name => {
            Err(SecretsError::Format(key))
        }
        Ok(keyset) if keyset.primary().is_none() => Err(SecretsError::NoPrimary(keyset.name)),
        Ok(keyset) => Ok(keyset),
        Err(_) => Err(SecretsError::Format(key)),
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

/// Writes the secrets that components share with the state: authorities, signing keys, the encryption configuration.
pub async fn ensure(host: &Host, secrets: &Secrets) -> Result<bool, SecretsError> {
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
    for (folder, name, contents) in files {
        let folder = host.path(root::SECRETS).join(folder);
        changed |= file::ensure_folder(&folder, 0o700).map_err(SecretsError::File)?;
        changed |= file::ensure(&folder.join(name), contents, file::PRIVATE).map_err(SecretsError::File)?;
    }
    Ok(changed)
}

/// Writes the kubeconfigs of what runs on a master; all talk to the API on this machine.
pub fn ensure_kubeconfigs(host: &Host, config: &NodeConfig) -> Result<bool, SecretsError> {
    let server = format!("https://127.0.0.1:{}", config.api.port);
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

fn primary(keyset: &Keyset) -> Result<&crate::keyset::Key, SecretsError> {
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

    #[tokio::test]
    async fn a_broken_keyset_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        store.put(&keys::keyset("demo", "etcd-ca"), b"{\"private\": \"very secret\"".to_vec()).await.unwrap();
        let error = fetch_keyset(&store, "demo", "etcd-ca").await.unwrap_err();
        assert!(!crate::retry::chain(&error).contains("secret\""), "{error}");
        assert!(error.to_string().contains("demo/control-plane/keysets/etcd-ca.json"));
        let missing = fetch_keyset(&store, "demo", "kubernetes-ca").await.unwrap_err();
        assert_eq!(missing.class(), Class::Passing);
    }
}
