//! From the state and AWS to a plan: what `update cluster` shows and what it applies come from here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use super::losses::Losses;
use super::{Located, OperationError, keys, skew};
use crate::assets::addons::{self, Addon};
use crate::assets::user_data::StateLocation;
use crate::aws::facts::{self, Facts, Image};
use crate::aws::tags::Owner;
use crate::cloud::state_object::{Content, StateObject};
use crate::cloud::{self, Departures, Identities, Observed, Resource, ResourceId, Strangers};
use crate::model::{self, Desired, Inputs, Keys, ModelError};
use crate::plan::{self, Occupied, Part, Plan};
use crate::spec::cluster::Cluster;
use crate::spec::{Documents, check_change};
use crate::state::revision::{Intent, Revision};
use crate::state::{ClusterState, Secrets, SecretsError, specification};

/// What stands in tags for a uid that isn't made yet, in IAM's alphabet. Only a plan ever shows it.
const NO_UID_YET: &str = "made when the cluster is first updated";

/// Everything that a plan is made from, gathered.
pub struct PlanningInput {
    /// What the user wants, as it is written. Boxed: it is large, and this is handed on again and again.
    pub documents: Box<Documents>,
    /// The same, complete.
    pub cluster: Cluster,
    /// The cluster's region and account.
    pub located: Located,
    /// What is there.
    pub observed: Observed,
    /// What of it is to be brought to AWS: everything, unless somebody asks for less.
    pub part: Part,
    /// The generation of the restore for which etcd's volumes that are gone are made anew; 0 for none, and then they aren't.
    pub restore: u64,
    /// What was applied last, where that can still be read.
    applied: Option<Applied>,
    facts: Facts,
    state: StateLocation,
    addons: Vec<Addon>,
    losses: Losses,
}

/// What shall be, and what has to be done for it.
pub struct PreparedUpdate {
    /// The resources that shall exist.
    pub desired: Desired,
    /// The steps.
    pub plan: Plan,
}

impl PreparedUpdate {
    /// What a revision says of it.
    pub fn intent(&self, input: &PlanningInput) -> Result<Intent, OperationError> {
        let plan = serde_json::to_value(&self.plan);
        let plan = plan.map_err(|source| OperationError::Json { what: "the plan", source })?;
        let made: BTreeSet<&ResourceId> = self.plan.steps.iter().map(|step| &step.resource).collect();
        // Of a part, instances are given what there is, and what is made of it.
        let is_there =
            |id: &ResourceId| input.part.is_whole() || made.contains(id) || input.observed.0.contains_key(id);
        let open = self.desired.0.iter().filter(|(id, _)| is_there(id)).filter_map(|(_, resource)| {
            let Resource::StateObject(StateObject { name, content: Some(Content::Open(_)), .. }) = resource
            else {
                return None;
            };
            Some(name.clone())
        });
        let partial = self.plan.left_out.as_ref().map(|left_out| left_out.asked_for.clone());
        let images = input.facts.images.iter().filter(|(group, _)| input.part.has_group(group));
        let images = images.map(|(group, image)| (group.clone(), image.clone())).collect();
        Ok(Intent { plan, objects: open.collect(), images, partial })
    }
}

impl PlanningInput {
    /// Looks at AWS. Changes nothing.
    ///
    /// The documents needn't be those in the state.
    ///
    /// # Errors
    ///
    /// Fails where the specification isn't good or can't be made on AWS, and with what the state or AWS said.
    pub async fn gather(state: &ClusterState, documents: &Documents) -> Result<Self, OperationError> {
        let cluster = specification::resolve(documents)?;
        let Some(bucket) = state.store().bucket() else {
            check_reachable(state, documents).await?;
            return Err(OperationError::NotInS3 { url: state.store().url() });
        };
        // Side by side; of several that fail, always the same one is told.
        let (applied, kms_key, located) = futures::join!(
            check_reachable(state, documents),
            bucket.kms_key(),
            Located::find(state, &cluster.region),
        );
        let applied = applied?;
        let kms_key = kms_key?.map(|key| key.to_string());
        let located = located?;
        let (url, region, owner) =
            (state.store().url(), bucket.region().to_owned(), bucket.owner().to_owned());
        let location = StateLocation { url, region, owner, kms_key };
        let (facts, mut observed) = {
            let facts = async {
                Box::pin(facts::gather(&cluster, &located.clients)).await.map_err(OperationError::NotOnAws)
            };
            let observed = async { observe(&located, state, Strangers::Refuse).await };
            futures::try_join!(facts, observed)?
        };
        let (applied, before) = applied;
        let before: Vec<&Documents> = before.iter().map(|revision| &revision.documents).collect();
        Box::pin(skew::check(&located, state, &cluster, documents, &before)).await?;
        look_into_removed_subnets(&cluster, &located, state, &mut observed).await?;
        let addons = addons::render(&cluster)?;
        addons::check_additional(&cluster, &documents.additional_objects)?;
        let was = applied.as_ref().map(|applied| &applied.cluster);
        let losses = Losses::look(&located, state, &cluster, was, &observed).await?;
        let documents = Box::new(documents.clone());
        let part = Part::default();
        Ok(Self {
            documents,
            cluster,
            located,
            observed,
            part,
            restore: 0,
            applied,
            facts,
            state: location,
            addons,
            losses,
        })
    }

    /// The same with the keys, where they are all made.
    ///
    /// # Errors
    ///
    /// As [`Self::gather`] and [`stored`].
    pub async fn gather_with_keys(
        state: &ClusterState,
        documents: &Documents,
    ) -> Result<(Self, Option<Secrets>), OperationError> {
        // Side by side; of two that fail, always the same one is told.
        let (input, secrets) =
            futures::join!(Box::pin(Self::gather(state, documents)), Box::pin(stored(state)));
        Ok((input?, secrets?))
    }

    /// Decides what has to be done. Without keys the plan shows that they will be made.
    ///
    /// # Errors
    ///
    /// Fails where there is no model or no plan, and with what the state said of objects that it had to read.
    pub async fn decide(
        &mut self,
        state: &ClusterState,
        secrets: Option<&Secrets>,
    ) -> Result<PreparedUpdate, OperationError> {
        let keys = match secrets {
            Some(secrets) => keys::made(&self.cluster.name, secrets)?,
            None => keys::not_made(&self.cluster.name),
        };
        let mut desired = self.desired(&self.cluster, &keys)?;
        self.part.leave_other_groups(&mut desired, &self.observed);
        let looked = cloud::state_object::look_into(desired.0.values(), state.store(), &mut self.observed);
        let what = || format!("the objects of `{}`", state.name());
        looked.await.map_err(|source| OperationError::Read { what: what(), source })?;
        let clients = &self.located.clients;
        let looked = cloud::existing::look_into(desired.0.values(), clients, &mut self.observed);
        looked.await.map_err(OperationError::look("what the cluster uses and isn't its own"))?;
        let look = Look::new(&self.located, state);
        let context = look.context(&self.located, state);
        // What rules there are in security groups of others is known only to who wants some in them.
        let looked = cloud::existing_group_rules::look_into(desired.0.values(), &context, &mut self.observed);
        looked.await.map_err(OperationError::look("the rules in security groups that exist already"))?;
        let looked = cloud::adoption::look_into(desired.0.values(), &context, &mut self.observed);
        let looked = Box::pin(looked).await;
        looked.map_err(OperationError::look(format!("what there is of `{}`", state.name())))?;
        self.plan(desired, &keys)
    }

    fn plan(&self, mut desired: Desired, keys: &Keys) -> Result<PreparedUpdate, OperationError> {
        plan::replace_lost_volumes(&mut desired, &self.observed, &self.part.replace_lost)?;
        let occupied = desired.keep_occupied(&self.observed);
        let mut plan = Plan::update(&desired, &self.observed).map_err(|error| {
            // What was applied, and is wanted still, nobody asked to change: it was changed on AWS.
            let applied = self.applied.as_ref().and_then(|applied| self.desired_then(applied, keys).ok());
            match applied {
                Some(applied) => error.told_apart(&applied),
                None => error,
            }
        })?;
        plan.occupied = occupied.into_iter().map(|(resource, by)| Occupied { resource, by }).collect();
        let owner = self.located.owner_of(&self.cluster.name);
        self.losses.refuse(&plan, &desired, &owner, self.restore > 0)?;
        let plan = self.part.of(plan, &self.cluster, &desired, &self.observed)?;
        Ok(PreparedUpdate { desired, plan })
    }

    fn desired(&self, cluster: &Cluster, keys: &Keys) -> Result<Desired, ModelError> {
        self.desired_with(cluster, &self.facts, keys)
    }

    /// What was applied, made of the images that its groups had: what is asked for now may have other groups.
    fn desired_then(&self, applied: &Applied, keys: &Keys) -> Result<Desired, ModelError> {
        let mut facts = self.facts.clone();
        for (group, image) in &applied.images {
            facts.images.entry(group.clone()).or_insert_with(|| image.clone());
        }
        self.desired_with(&applied.cluster, &facts, keys)
    }

    fn desired_with(&self, cluster: &Cluster, facts: &Facts, keys: &Keys) -> Result<Desired, ModelError> {
        model::build(&Inputs {
            cluster,
            uid: self.located.uid().unwrap_or(NO_UID_YET),
            facts,
            state: &self.state,
            keys,
            addons: &self.addons,
            additional_objects: &self.documents.additional_objects,
        })
    }
}

/// What was applied last.
struct Applied {
    cluster: Cluster,
    /// The image of each of its groups; empty where an older windlass applied it.
    images: BTreeMap<String, Image>,
}

/// The specification may have been changed several times since it was last applied, or by hand: what is refused in one
/// step is refused in several. Returns what was applied, and all revisions of which something may be there.
async fn check_reachable(
    state: &ClusterState,
    documents: &Documents,
) -> Result<(Option<Applied>, Vec<Revision>), OperationError> {
    // A part of what was begun may be there, too.
    let begun = state.begun().await?;
    if let Some(begun) = begun.as_ref().filter(|begun| begun.partial.is_some()) {
        check_change_from(state, begun, documents)?;
    }
    let mut there: Vec<Revision> = begun.into_iter().collect();
    let Some(number) = state.applied().await? else { return Ok((None, there)) };
    let revision = state.revision(number).await?;
    check_change_from(state, &revision, documents)?;
    let cluster = revision.documents.resolve().ok();
    let applied = cluster.map(|cluster| Applied { cluster, images: revision.images.clone() });
    there.push(revision);
    Ok((applied, there))
}

fn check_change_from(
    state: &ClusterState,
    revision: &Revision,
    documents: &Documents,
) -> Result<(), OperationError> {
    check_change(&revision.documents, documents).map_err(|source| OperationError::Unreachable {
        cluster: state.name().to_owned(),
        revision: revision.number,
        source,
    })
}

/// A subnet goes when it is empty, which only AWS knows.
async fn look_into_removed_subnets(
    cluster: &Cluster,
    located: &Located,
    state: &ClusterState,
    observed: &mut Observed,
) -> Result<(), OperationError> {
    let look = Look::new(located, state);
    let context = look.context(located, state);
    let groups = cluster.instance_groups.iter().map(|group| group.name.as_str()).collect();
    cloud::subnet::find_occupants(&context, &model::subnet_names(cluster), &groups, observed)
        .await
        .map_err(OperationError::look("what is in subnets that are not asked for any more"))
}

/// What a look at AWS besides the observation is made with.
struct Look {
    ids: Identities,
    departures: Departures,
    owner: Owner,
}

impl Look {
    fn new(located: &Located, state: &ClusterState) -> Self {
        let owner = located.owner(state);
        Self { ids: Identities::default(), departures: Departures::default(), owner }
    }

    fn context<'a>(&'a self, located: &'a Located, state: &'a ClusterState) -> cloud::Context<'a> {
        cloud::Context::new(&located.clients, state.store(), &self.owner, &self.ids, &self.departures)
    }
}

/// Finds everything that is there of a cluster.
pub async fn observe(
    located: &Located,
    state: &ClusterState,
    strangers: Strangers,
) -> Result<Observed, OperationError> {
    let look = Look::new(located, state);
    let context = cloud::Context { strangers, ..look.context(located, state) };
    let observed = cloud::observe(&context).await;
    observed.map_err(OperationError::look(format!("what there is of `{}`", state.name())))
}

/// The keys, where they are all made. Fails where the cluster was applied and one of them is missing.
pub async fn stored(state: &ClusterState) -> Result<Option<Secrets>, OperationError> {
    match state.secrets().await {
        Ok(secrets) => Ok(Some(secrets)),
        Err(SecretsError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The keys; before a cluster is first applied, those that are missing are made and kept.
pub async fn ensured(state: &ClusterState) -> Result<Secrets, OperationError> {
    Ok(state.ensure_secrets(SystemTime::now()).await?)
}

/// Different for every run.
pub fn run_id() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), since.as_nanos())
}
