//! Which versions run, in contrast to those that were asked for.
//!
//! An update changes launch templates, and replaces no machine: after one from Kubernetes 1.34 to 1.35, masters run 1.34 until
//! they are replaced, and a second one to 1.36 would have them skip 1.35. So a specification with another minor version
//! than what was applied, or begun, is also compared with what the machines run that have an API server or etcd:
//!
//! - A machine runs what is in the image that it was launched from, which says it: the agent refuses to boot with any other
//!   ([`windlass_bootstrap::node`]'s `ensure_image`). What an image doesn't say, because it was deleted meanwhile, a revision
//!   does that was made with it.
//! - Programs that are newer than what any revision asked a control plane to act as act as that, so that there is a way back.
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

use self::verdict::{Versions, Wanted, is_of_the_same_minors, judge};
use super::sleep::Machines;
use super::{Located, OperationError};
use crate::aws::facts::image_versions;
use crate::cloud::fleet::Instance;
use crate::spec::cluster::Cluster;
use crate::spec::v1alpha2::{InstanceGroupRole, Object as _};
use crate::spec::versions::Version;
use crate::spec::{Documents, control_plane, default};
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
    let wanted = asked_for(documents);
    if before.iter().all(|before| is_of_the_same_minors(asked_for(before), wanted)) {
        return Ok(());
    }
    let fleet = Machines::of(state, located).look().await?;
    let machines: Vec<Instance> =
        fleet.instances.into_iter().filter(|instance| instance.runs_api_server).collect();
    let images: BTreeSet<String> = machines.iter().map(|machine| machine.image.clone()).collect();
    let held = image_versions(&located.clients, &located.place().account, &images).await;
    let mut held = held.map_err(OperationError::look("the images of masters"))?;
    let (revisions, _) = Box::pin(state.history()).await?;
    for (image, versions) in by_revisions(&revisions) {
        let known = held.entry(image).or_default();
        *known = if known.kubernetes.is_some() { *known } else { versions };
    }
    let acted_as = revisions.iter().filter_map(|it| Some(asked_for(&it.documents).kubernetes?.acts_as));
    Ok(judge(&cluster.name, &machines, &held, acted_as.max(), wanted)?)
}

/// What a specification asks for.
fn asked_for(documents: &Documents) -> Wanted {
    let (cluster, _) = default::fill(&documents.cluster, &documents.instance_groups);
    let etcd = cluster.spec.etcd_clusters.iter().flatten().next();
    let etcd = etcd.and_then(|etcd| Version::parse(etcd.version.as_deref()?));
    Wanted { kubernetes: control_plane(&cluster.spec), etcd }
}

/// What images of masters hold, by the revisions that were made with them: none is made with an image that holds something
/// else than it asks for.
fn by_revisions(revisions: &[Revision]) -> BTreeMap<String, Versions> {
    let images = revisions.iter().flat_map(|revision| {
        let Wanted { kubernetes, etcd } = asked_for(&revision.documents);
        let versions = Versions { kubernetes: kubernetes.map(|it| it.programs), etcd };
        let groups = revision.documents.instance_groups.iter();
        let groups = groups.filter(|group| {
            matches!(group.spec.role, Some(InstanceGroupRole::Master | InstanceGroupRole::ApiServer))
        });
        let images = groups.filter_map(|group| revision.images.get(group.name()));
        images.map(move |image| (image.id.clone(), versions)).collect::<Vec<_>>()
    });
    images.collect()
}
