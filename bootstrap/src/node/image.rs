//! Whether the machine image holds what the cluster is specified to run.

use std::time::Duration;

use serde::Deserialize;

use crate::agent::Agent;
use crate::contract::config::NodeConfig;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Checks the image.
pub const STEP: Step = Step::new("ensure_image", Duration::from_mins(1));

/// What can be wrong with the image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not an image of windlass.
    #[error("the machine image has no {}: it was not made by windlass's image build", root::RELEASE)]
    NotOurs,
    /// It can't be read.
    #[error("what the machine image holds can't be read")]
    Read(#[source] FileError),
    /// It isn't what it should be.
    #[error("{} of the machine image can't be understood", root::RELEASE)]
    Format(#[source] serde_json::Error),
    /// Another version.
    #[error(
        "the machine image holds Kubernetes {image}, the instance group {instance_group} is specified to run {specified}: \
         build an image for {specified}, or set kubernetesVersion to {image}, then update the cluster"
    )]
    KubernetesVersion {
        /// What the image holds.
        image: String,
        /// What is specified.
        specified: String,
        /// For which group.
        instance_group: String,
    },
    /// Another etcd.
    #[error(
        "the machine image holds etcd {image}, the etcd cluster {etcd} is specified to run {specified}: build an image that \
         holds etcd {specified}, or set its version to {image}, then update the cluster"
    )]
    EtcdVersion {
        /// What the image holds.
        image: String,
        /// What is specified.
        specified: String,
        /// For which etcd cluster.
        etcd: String,
    },
}

impl Classed for ImageError {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

/// What the agent needs to know of `/etc/windlass/release.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Release {
    kubernetes_version: String,
    etcd_version: Option<String>,
}

/// The step.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    STEP.run(&agent.reporter, async || check(&agent.host, &agent.config).map(Done::unchanged)).await
}

/// Checks the image against the specification.
fn check(host: &Host, config: &NodeConfig) -> Result<(), ImageError> {
    let bytes =
        file::read(&host.path(root::RELEASE)).map_err(ImageError::Read)?.ok_or(ImageError::NotOurs)?;
    let release: Release = serde_json::from_slice(&bytes).map_err(ImageError::Format)?;
    if release.kubernetes_version != config.kubernetes_version {
        return Err(ImageError::KubernetesVersion {
            image: release.kubernetes_version,
            specified: config.kubernetes_version.clone(),
            instance_group: config.instance_group.clone(),
        });
    }
    let etcd = config.control_plane.as_ref().map(|control_plane| &control_plane.etcd);
    match (etcd, release.etcd_version) {
        (Some(etcd), Some(image)) if image != etcd.version => {
            Err(ImageError::EtcdVersion { image, specified: etcd.version.clone(), etcd: etcd.name.clone() })
        }
        _ => Ok(()),
    }
}
