//! Applies what the cluster runs besides the control plane: the add-ons, in the order that the configuration gives, by
//! server-side apply.
//!
//! `kubectl`, which the image holds, does the applying: it knows the order of kinds, waits for definitions, and its
//! field ownership is what users expect. It deletes nothing: [`addon_objects`] does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;

use crate::agent::Agent;
use crate::aws::state::{StateError, StateStore, sha256};
use crate::contract::config::{AddonRef, NodeConfig};
use crate::contract::keys;
use crate::control_plane::addon_objects::{self, AddonObject};
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::kubernetes::api::{ADMIN_KUBECONFIG, ApiError};
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
    /// Its manifest is none.
    #[error("the manifest of the add-on {name} can't be read")]
    Manifest {
        /// The add-on.
        name: String,
        /// What is wrong, and where.
        #[source]
        source: serde_yaml::Error,
    },
    /// Recording what it consists of.
    #[error("the objects of the add-ons can't be recorded")]
    Record(#[source] ApiError),
    /// Applying.
    #[error("the add-ons can't be applied")]
    Apply(#[source] CommandError),
}

impl Classed for AddonError {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } => source.class(),
            Self::Record(error) => error.class(),
            Self::Manifest { .. } => Class::Permanent,
            Self::File(_) | Self::Apply(_) => Class::Passing,
        }
    }
}

/// The step. Returns the objects that the add-ons consist of.
pub async fn run(agent: &Agent, client: &Client, addons: &[AddonRef]) -> Result<Vec<AddonObject>, StepError> {
    let Agent { host, store, config, .. } = agent;
    let apply = async || {
        let Fetched { changed, files, objects } = fetch(host, store, config, addons).await?;
        // First, so that whatever is applied is in the record, whenever this machine ends.
        addon_objects::record(client, &objects).await.map_err(AddonError::Record)?;
        if !files.is_empty() {
            self::apply(host, &files).await.map_err(AddonError::Apply)?;
        }
        Ok::<_, AddonError>(Done { value: objects, changed })
    };
    STEP.run(&agent.reporter, apply).await
}

/// The add-ons' manifests.
struct Fetched {
    /// Whether one of them is new since the machine booted.
    changed: bool,
    /// The files that they are in, in their order.
    files: Vec<PathBuf>,
    /// What is in them.
    objects: Vec<AddonObject>,
}

/// Brings the add-ons' manifests to this machine.
async fn fetch(
    host: &Host,
    store: &StateStore,
    config: &NodeConfig,
    addons: &[AddonRef],
) -> Result<Fetched, AddonError> {
    let folder = host.path(root::RUN).join("addons");
    let (mut changed, mut files, mut objects) = (false, Vec::new(), Vec::new());
    for (index, addon) in addons.iter().enumerate() {
        let path = folder.join(format!("{:02}-{}.yaml", index + 1, addon.name));
        let (manifest, new) = fetch_one(store, config, addon, &path).await?;
        changed |= new;
        let found = addon_objects::of_manifest(&manifest);
        objects.extend(found.map_err(|source| AddonError::Manifest { name: addon.name.clone(), source })?);
        files.push(path);
    }
    Ok(Fetched { changed, files, objects })
}

/// Brings an add-on's manifest to its file. Returns it, and whether it is new since the machine booted.
async fn fetch_one(
    store: &StateStore,
    config: &NodeConfig,
    addon: &AddonRef,
    path: &Path,
) -> Result<(Vec<u8>, bool), AddonError> {
    // What this boot has fetched already is named by its digest, and needs no state.
    let kept = file::read(path).map_err(AddonError::File)?;
    if let Some(bytes) = kept.filter(|bytes| sha256(bytes) == addon.sha256) {
        return Ok((bytes, false));
    }
    let key = keys::addon(&config.cluster, &addon.name, &addon.sha256);
    let bytes = store.require_digest(&key, &addon.sha256).await;
    let bytes = bytes.map_err(|source| AddonError::Read { name: addon.name.clone(), source })?;
    let new = file::ensure(path, &bytes, file::PRIVATE).map_err(AddonError::File)?;
    Ok((bytes, new))
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
    use crate::kubernetes::api::connect_as_admin;
    use crate::testing::fake_api::FakeApi;
    use crate::testing::{agent, node_config};

    const TOKEN: &str = "abcdef.0123456789abcdef";

    #[tokio::test]
    async fn add_ons_are_recorded_and_applied_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let config = NodeConfig { cluster: "demo".into(), ..node_config() };
        let agent = agent(folder.path(), config).await;
        let Agent { host, store, config, .. } = &agent;
        let mut addons = Vec::new();
        for name in ["flannel", "coredns"] {
            let bytes = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n").into_bytes();
            let addon = AddonRef { name: name.into(), sha256: sha256(&bytes) };
            store.put(&keys::addon("demo", name, &addon.sha256), bytes).await.unwrap();
            addons.push(addon);
        }
        assert!(fetch(host, store, config, &addons).await.unwrap().changed);
        assert!(!fetch(host, store, config, &addons).await.unwrap().changed);
        let api = FakeApi::start().await;
        api.know(TOKEN);
        file::ensure(&host.path(ADMIN_KUBECONFIG), api.kubeconfig(TOKEN), file::PRIVATE).unwrap();
        let client = connect_as_admin(host).await.unwrap();
        for _ in 0..2 {
            assert_eq!(run(&agent, &client, &addons).await.unwrap().len(), 2);
        }
        assert_eq!(api.held(), ["/api/v1/namespaces/kube-system/configmaps/windlass-addons"]);
        let commands = std::fs::read_to_string(host.path("/run/windlass/commands")).unwrap();
        let files: Vec<&str> = commands
            .split_whitespace()
            .filter_map(|word| word.rsplit_once("addons/"))
            .map(|word| word.1)
            .collect();
        assert_eq!(files[..2], ["01-flannel.yaml", "02-coredns.yaml"]);
        assert_eq!(files[..2], files[2..], "applied again, whether it is new or not");

        addons[0].sha256 = addons[1].sha256.clone();
        let error = fetch(host, store, config, &addons).await.err().unwrap();
        assert!(error.to_string().contains("flannel"), "{error}");
    }
}
