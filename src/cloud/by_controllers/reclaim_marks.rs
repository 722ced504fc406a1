//! The marks that say which volumes of PersistentVolumes go with the cluster.
//!
//! Whether a volume goes is its PersistentVolume's reclaim policy, which only the Kubernetes API knows, and the API goes
//! with the masters. So what it said is written onto the volumes first: a `delete cluster` that is run again, after it
//! was killed, still knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ec2::types::{Tag, Volume};

use super::super::context::{Context, Identity, Names, ObservedResource};
use super::super::error::CloudError;
use super::super::fields::Fields;
use super::super::kinds::{Kind, Resource};
use super::super::look::Look;
use super::super::reference::ResourceId;
use super::super::resource_kind::{Creation, Declaration, ObservedFor, ResourceKind, Unwanted};
use super::volumes;
use crate::aws::{During, tags};

/// How many resources one CreateTags takes (API_CreateTags: 1,000).
const MARKED_PER_CALL: usize = 500;

/// The marks on all volumes that go with the cluster, as one thing: they are made in one call, before the first master
/// goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReclaimMarks {
    /// The cluster's name.
    pub name: String,
    /// The volumes that go, by AWS's id, each with what it is called.
    pub volumes: BTreeMap<String, String>,
}

impl ResourceKind for ReclaimMarks {
    const KIND: Kind = Kind::ReclaimMarks;
    const DECLARATION: Declaration = Declaration {
        observed_for: ObservedFor::Deletion,
        unwanted: Unwanted::LeftAlone,
        has_deletion_step: false,
        creation: Creation::Repeatable,
        ..Declaration::of("reclaim-marks")
    };
    type Answer = Arc<[Volume]>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let names: BTreeSet<&String> = self.volumes.values().collect();
        Fields::default().set("deletedWithCluster", &names)
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let identity = Identity::new(context.cluster);
        let none = Self { volumes: BTreeMap::new(), ..self.clone() };
        self.update(&none, &identity, context, id).await?;
        Ok(identity)
    }

    /// A mark is never taken away again: a volume that was to go is one whose claim nobody has any more.
    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let unmarked: Vec<String> =
            self.volumes.keys().filter(|volume| !from.volumes.contains_key(*volume)).cloned().collect();
        for some in unmarked.chunks(MARKED_PER_CALL) {
            let mark = Tag::builder().key(tags::RECLAIM).value(tags::RECLAIM_DELETE).build();
            let call = context.clients.ec2.create_tags().set_resources(Some(some.to_vec())).tags(mark);
            call.send().await.during("ec2", "CreateTags", id)?;
        }
        Ok(identity.clone())
    }

    /// The marks go with the volumes that carry them.
    async fn delete(
        &self,
        _identity: &Identity,
        _context: &Context<'_>,
        _id: &ResourceId,
    ) -> Result<(), CloudError> {
        Ok(())
    }

    async fn read(look: &Look<'_>) -> Result<Arc<[Volume]>, CloudError> {
        volumes::list(look).await
    }

    /// The marks that are there.
    fn observed(
        answer: Arc<[Volume]>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let marked = answer.iter().filter(|volume| volumes::is_marked(volume)).filter_map(|volume| {
            let volume_id = volume.volume_id()?;
            Some((volume_id.to_owned(), volumes::name(volume, volume_id)))
        });
        let marks = Self { name: context.cluster.to_owned(), volumes: marked.collect() };
        if marks.volumes.is_empty() {
            return Ok(Vec::new());
        }
        let found = ObservedResource::new(
            context.cluster,
            Resource::ReclaimMarks(marks),
            Identity::new(context.cluster),
        );
        Ok(vec![found])
    }
}
