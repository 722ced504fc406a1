//! Applies what the cluster runs besides the control plane: the add-ons, in the order that the configuration gives, by
//! server-side apply.
//!
//! `kubectl`, which the image holds, does the applying: it knows the order of kinds, waits for definitions, and its
//! field ownership is what users expect.

use std::path::PathBuf;
use std::time::Duration;

use crate::agent::Agent;
use crate::aws::state::{StateError, StateStore, sha256};
use crate::contract::config::{AddonRef, NodeConfig};
use crate::contract::keys;
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::kubernetes::api::ADMIN_KUBECONFIG;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Applies the add-ons.
pub const STEP: Step = Step::until_done("ensure_addons").outside();

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum AddonError {
    /// Reading it.
    #[error("the add-on {name} can't be read from the state")]
    Read {
        /// The add-on.
        name: String,
        /// Why.
        #[source]
        source: StateError,
    },
    /// Its file.
    #[error("an add-on's file can't be written")]
    File(#[source] FileError),
    /// Applying.
    #[error("the add-ons can't be applied")]
    Apply(#[source] CommandError),
}

impl Classed for AddonError {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } => source.class(),
            Self::File(_) | Self::Apply(_) => Class::Passing,
        }
    }
}

/// The step.
pub async fn run(agent: &Agent, addons: &[AddonRef]) -> Result<(), StepError> {
    let Agent { host, store, config, .. } = agent;
    let apply = async || ensure(host, store, config, addons).await.map(Done::changed_if);
    STEP.run(&agent.reporter, apply).await
}

/// Applies the add-ons, all in one go. Returns whether there was anything new among them since
/// the machine booted; they are applied all the same.
pub async fn ensure(
    host: &Host,
    store: &StateStore,
    config: &NodeConfig,
    addons: &[AddonRef],
) -> Result<bool, AddonError> {
    let folder = host.path(root::RUN).join("addons");
    let (mut changed, mut files) = (false, Vec::new());
    for (index, addon) in addons.iter().enumerate() {
        let path = folder.join(format!("{:02}-{}.yaml", index + 1, addon.name));
        // What this boot has fetched already is named by its digest, and needs no state.
        let kept = file::read(&path).map_err(AddonError::File)?;
        if kept.is_none_or(|bytes| sha256(&bytes) != addon.sha256) {
            let key = keys::addon(&config.cluster, &addon.name, &addon.sha256);
            let bytes = store.require_digest(&key, &addon.sha256).await;
            let bytes = bytes.map_err(|source| AddonError::Read { name: addon.name.clone(), source })?;
            changed |= file::ensure(&path, bytes, file::PRIVATE).map_err(AddonError::File)?;
        }
        files.push(path);
    }
    if !files.is_empty() {
        apply(host, &files).await.map_err(AddonError::Apply)?;
    }
    Ok(changed)
}

/// Applies files of manifests, in their order. What can be applied is, whatever is wrong with the rest.
pub async fn apply(host: &Host, files: &[PathBuf]) -> Result<(), CommandError> {
    let mut apply = Command::new("/usr/local/bin/kubectl")
        .argument(format!("--kubeconfig={}", host.path(ADMIN_KUBECONFIG).display()))
        .arguments([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=windlass",
            "--request-timeout=60s",
        ])
        .limit(Duration::from_mins(3));
    for file in files {
        apply = apply.argument(format!("--filename={}", file.display()));
    }
    let output = host.run(apply).await?;
    tracing::debug!(output = output.stdout, "applied");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::state::sha256;

    #[tokio::test]
    async fn add_ons_are_applied_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path().join("machine"));
        let store = StateStore::Folder(folder.path().join("state"));
        let mut addons = Vec::new();
        for name in ["flannel", "coredns"] {
            let bytes = format!("kind: {name}\n").into_bytes();
            let addon = AddonRef { name: name.into(), sha256: sha256(&bytes) };
            store.put(&keys::addon("demo", name, &addon.sha256), bytes).await.unwrap();
            addons.push(addon);
        }
        let config =
            crate::contract::config::NodeConfig { cluster: "demo".into(), ..crate::testing::node_config() };
        assert!(ensure(&host, &store, &config, &addons).await.unwrap());
        assert!(!ensure(&host, &store, &config, &addons).await.unwrap());
        let commands = std::fs::read_to_string(host.path("/run/windlass/commands")).unwrap();
        let files: Vec<&str> = commands
            .split_whitespace()
            .filter_map(|word| word.rsplit_once("addons/"))
            .map(|word| word.1)
            .collect();
        assert_eq!(files[..2], ["01-flannel.yaml", "02-coredns.yaml"]);
        assert_eq!(files[..2], files[2..], "applied again, whether it is new or not");

        addons[0].sha256 = addons[1].sha256.clone();
        let error = ensure(&host, &store, &config, &addons).await.unwrap_err();
        assert!(error.to_string().contains("flannel"), "{error}");
    }
}
