//! Which versions run, in contrast to those that were asked for.
//!
//! An update changes launch templates, and replaces no machine: after one from Kubernetes 1.34 to 1.35, masters run 1.34 until
//! they are replaced, and a second one to 1.36 would have them skip 1.35. So a specification with another minor version
//! than what was applied, or begun, is also compared with what the machines run that have an API server or etcd:
//!
//! - A machine runs what is in the image that it was launched from, which says it: the agent refuses to boot with any other
//!   ([`windlass_bootstrap::node`]'s `ensure_image`). What an image doesn't say, because it was deleted meanwhile, a revision
//!   does that was made with it.
//! - Machines that are stopped count: they run it again when they start. So does one that has not come up yet, as what it
//!   will run.
//! - Where nothing says what a machine runs, the step is refused, too.
//!
//! The API of the cluster isn't asked: it may be what is to be mended, or not be reachable from here.
//!
//! Nodes need no such look: kubelets may be three minor versions older than the API server, which is as many as there are
//! ([`crate::spec::versions::KUBERNETES_MINORS`]), and newer ones wait for it (the agent's `ensure_api_not_older`).

pub mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use self::verdict::{Versions, is_of_the_same_minors, judge};
use super::sleep::Machines;
use super::{Located, OperationError};
use crate::aws::facts::image_versions;
use crate::cloud::fleet::Instance;
use crate::spec::cluster::Cluster;
use crate::spec::versions::Version;
use crate::spec::{Documents, default};
use crate::state::ClusterState;
use crate::state::revision::Revision;

/// Compares a specification with what runs, where it asks for another minor version than one of the revisions that were
/// applied or begun.
///
/// # Errors
///
/// Fails where a machine can't take the step, and with what AWS or the state said.
pub async fn check(
    located: &Located,
    state: &ClusterState,
    cluster: &Cluster,
    documents: &Documents,
    before: &[&Documents],
) -> Result<(), OperationError> {
    let wanted = versions_of(documents);
    if before.iter().all(|before| is_of_the_same_minors(versions_of(before), wanted)) {
        return Ok(());
    }
    let fleet = Machines::of(state, located).look().await?;
    let machines: Vec<Instance> =
        fleet.instances.into_iter().filter(|instance| instance.runs_api_server).collect();
    let images: BTreeSet<String> = machines.iter().map(|machine| machine.image.clone()).collect();
    let held = image_versions(&located.clients, &located.place().account, &images).await;
    let mut held = held.map_err(OperationError::look("the images of masters"))?;
    if images.iter().any(|image| held.get(image).is_none_or(|held| held.kubernetes.is_none())) {
        let (revisions, _) = Box::pin(state.history()).await?;
        for (image, versions) in by_revisions(&revisions) {
            held.entry(image).or_insert(versions);
        }
    }
    Ok(judge(&cluster.name, &machines, &held, wanted)?)
}

/// What a specification asks for.
pub fn versions_of(documents: &Documents) -> Versions {
    let (cluster, _) = default::fill(&documents.cluster, &documents.instance_groups);
    let read = |text: Option<&String>| text.and_then(|text| Version::parse(text));
    let etcd = cluster.spec.etcd_clusters.iter().flatten().next();
    Versions {
        kubernetes: read(cluster.spec.kubernetes_version.as_ref()),
        etcd: read(etcd.and_then(|etcd| etcd.version.as_ref())),
    }
}

/// What images hold, by the revisions that were made with them: none is made with an image that holds something else than
/// it asks for.
fn by_revisions(revisions: &[Revision]) -> BTreeMap<String, Versions> {
    let images = revisions.iter().flat_map(|revision| {
        let versions = versions_of(&revision.documents);
        revision.images.values().map(move |image| (image.id.clone(), versions))
    });
    images.collect()
}
