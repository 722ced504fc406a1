//! From the state and AWS to a plan: what `update cluster` shows and what it applies come from here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use windlass_bootstrap::keys;
use windlass_bootstrap::keyset::{Keyset, Secret};

use super::context::Context;
use super::diagnostic::Refusal;
use super::located::Located;
use super::lost::Losses;
use crate::assets::addons::{self, Addon};
use crate::assets::user_data::StateLocation;
use crate::aws::facts::{self, Facts, Image};
use crate::cloud::state_object::{Content, StateObject};
use crate::cloud::{self, Departures, Identities, Observed, Resource, Sought, Strangers};
use crate::model::{self, Desired, Inputs, Keys, ModelError};
use crate::pki::keyset::KEYSETS;
use crate::plan::{Occupied, Plan};
use crate::spec::cluster::Cluster;
use crate::spec::{self, check_change};
use crate::state::revision::Intent;
use crate::state::{ClusterState, Secrets, SecretsError, Specification};

/// What stands in a node configuration for authorities that aren't made yet. Only a plan ever shows it.
const NOT_MADE_YET: &str = "(made when the cluster is first updated)";

/// What stands in tags for a uid that isn't made yet, in IAM's alphabet. Only a plan ever shows it.
const NO_UID_YET: &str = "made when the cluster is first updated";

/// Everything that a decision needs, gathered.
pub(crate) struct Grounds {
    /// What the user wants, as it was read.
    pub(crate) specification: Specification,
    /// The same, complete.
    pub(crate) cluster: Cluster,
    /// The cluster's region and account.
    pub(crate) located: Located,
    /// What is there.
    pub(crate) observed: Observed,
    /// What was applied last, where that can still be read.
    applied: Option<Applied>,
    facts: Facts,
    state: StateLocation,
    addons: Vec<Addon>,
    losses: Losses,
}

/// What shall be, and what has to be done for it.
pub(crate) struct Wish {
    /// The resources that shall exist.
    pub(crate) desired: Desired,
    /// The steps.
    pub(crate) plan: Plan,
}

impl Wish {
    /// What a revision says of it.
    pub(crate) fn intent(&self, grounds: &Grounds) -> anyhow::Result<Intent> {
        let plan = serde_json::to_value(&self.plan).context("could not write the plan as JSON")?;
        let open = self.desired.0.values().filter_map(|resource| match resource {
            Resource::StateObject(StateObject { name, content: Some(Content::Open(_)), .. }) => {
                Some(name.clone())
            }
            _ => None,
        });
        Ok(Intent { plan, objects: open.collect(), images: grounds.facts.images.clone() })
    }
}

impl Grounds {
    /// Reads the specification and looks at AWS. Changes nothing.
    pub(crate) async fn gather(context: &Context, state: &ClusterState) -> anyhow::Result<Self> {
        Self::of(context, state, context.read(state).await?).await
    }

    /// The same for a specification that needn't be the one in the state.
    pub(crate) async fn of(
        context: &Context,
        state: &ClusterState,
        specification: Specification,
    ) -> anyhow::Result<Self> {
        let cluster = specification.complete()?;
        let applied = check_reachable(state, &specification).await?;
        let bucket = state.store().bucket().ok_or_else(|| {
            Refusal::new(format!("instances can't read the state store {}", state.store().url()))
                .hint("a cluster on AWS needs a state store in S3: --state s3://BUCKET")
        })?;
        let kms_key = bucket.kms_key().await?.map(|key| key.to_string());
        let (url, region, owner) =
            (state.store().url(), bucket.region().to_owned(), bucket.owner().to_owned());
        let location = StateLocation { url, region, owner, kms_key };
        let located = Located::find(context, state, &cluster.region).await?;
        let (facts, mut observed) = {
            let facts = async {
                let facts = facts::gather(&cluster, &located.clients).await;
                facts.context("the specification can't be made on AWS")
            };
            let observed = async { observe(&located, state, Strangers::Refuse).await };
            futures::try_join!(facts, observed)?
        };
        look_into_removed_subnets(&cluster, &located, state, &mut observed).await?;
        let addons = addons::render(&cluster)?;
        addons::check_additional(&cluster, &specification.objects())?;
        let was = applied.as_ref().map(|applied| &applied.cluster);
        let losses = Losses::look(&located, state, &cluster, was, &observed).await?;
        Ok(Self {
            specification,
            cluster,
            located,
            observed,
            applied,
            facts,
            state: location,
            addons,
            losses,
        })
    }

    /// Decides what has to be done. Without keys the plan shows that they will be made.
    pub(crate) async fn decide(
        &mut self,
        state: &ClusterState,
        secrets: Option<&Secrets>,
    ) -> anyhow::Result<Wish> {
        let keys = match secrets {
            Some(secrets) => made(&self.cluster.name, secrets)?,
            None => not_made(&self.cluster.name),
        };
        let desired = self.desired(&self.cluster, &keys)?;
        cloud::state_object::look_into(desired.0.values(), state.store(), &mut self.observed).await?;
        self.plan(desired, &keys)
    }

    fn plan(&self, mut desired: Desired, keys: &Keys) -> anyhow::Result<Wish> {
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
        self.losses.refuse(&plan, &desired, &owner)?;
        Ok(Wish { desired, plan })
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
            additional_objects: &self.specification.objects(),
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
/// step is refused in several.
async fn check_reachable(
    state: &ClusterState,
    specification: &Specification,
) -> anyhow::Result<Option<Applied>> {
    let Some(number) = state.applied().await? else { return Ok(None) };
    let revision = state.revision(number).await?;
    let (cluster, groups, _) = specification.documents();
    let applied = (&revision.cluster, revision.instance_groups.as_slice());
    check_change(applied, (&cluster, &groups)).with_context(|| {
        format!("what was applied to `{}` as revision {number} can't become what is asked for", state.name())
    })?;
    let cluster = spec::complete(&revision.cluster, &revision.instance_groups, &revision.ssh_credentials);
    Ok(cluster.ok().map(|cluster| Applied { cluster, images: revision.images }))
}

/// A subnet goes when it is empty, which only AWS knows.
async fn look_into_removed_subnets(
    cluster: &Cluster,
    located: &Located,
    state: &ClusterState,
    observed: &mut Observed,
) -> anyhow::Result<()> {
    let (ids, departures, owner) = (Identities::default(), Departures::default(), located.owner(state));
    let context = cloud::Context {
        clients: &located.clients,
        store: state.store(),
        cluster: state.name(),
        owner: &owner,
        ids: &ids,
        departures: &departures,
        sought: Sought::All,
        strangers: Strangers::Refuse,
        run: "",
    };
    let groups = cluster.instance_groups.iter().map(|group| group.name.as_str()).collect();
    cloud::subnet::find_occupants(&context, &model::subnet_names(cluster), &groups, observed)
        .await
        .context("could not look for what is in subnets that are not asked for any more")
}

/// Finds everything that is there of a cluster.
pub(crate) async fn observe(
    located: &Located,
    state: &ClusterState,
    strangers: Strangers,
) -> anyhow::Result<Observed> {
    let (ids, departures, owner) = (Identities::default(), Departures::default(), located.owner(state));
    let context = cloud::Context {
        clients: &located.clients,
        store: state.store(),
        cluster: state.name(),
        owner: &owner,
        ids: &ids,
        departures: &departures,
        sought: Sought::All,
        strangers,
        run: "",
    };
    let failed = || format!("could not look for what there is of `{}`", state.name());
    cloud::observe(&context).await.with_context(failed)
}

/// The keys, where they are all made. Fails where the cluster was applied and one of them is missing.
pub(crate) async fn stored(state: &ClusterState) -> anyhow::Result<Option<Secrets>> {
    match state.secrets().await {
        Ok(secrets) => Ok(Some(secrets)),
        Err(SecretsError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The keys; before a cluster is first applied, those that are missing are made and kept.
pub(crate) async fn ensured(state: &ClusterState) -> anyhow::Result<Secrets> {
    Ok(state.ensure_secrets(SystemTime::now()).await?)
}

/// Different for every run.
pub(crate) fn run_id() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), since.as_nanos())
}

fn made(cluster: &str, secrets: &Secrets) -> anyhow::Result<Keys> {
    let Secrets { kubernetes_ca, etcd_ca, front_proxy_ca, service_account, encryption_configuration } =
        secrets;
    let keysets = [kubernetes_ca, etcd_ca, front_proxy_ca, service_account];
    let mut objects =
        keysets.map(|keyset| keyset_object(cluster, keyset)).into_iter().collect::<Result<Vec<_>, _>>()?;
    objects.push(encryption_object(cluster, encryption_configuration.clone()));
    Ok(Keys { kubernetes_ca: kubernetes_ca.bundle(), objects })
}

fn keyset_object(cluster: &str, keyset: &Keyset) -> anyhow::Result<StateObject> {
    let text = serde_json::to_string(keyset).context("could not write a keyset as JSON")?;
    let ids = keyset.keys.iter().map(|key| key.id.clone()).collect();
    Ok(secret_object(
        keys::keyset(cluster, &keyset.name),
        format!("the keyset {}", keyset.name),
        ids,
        Secret::new(text),
    ))
}

fn encryption_object(cluster: &str, text: Secret) -> StateObject {
    let describes = "the key with which etcd's secrets are encrypted".to_owned();
    secret_object(keys::encryption_configuration(cluster), describes, Vec::new(), text)
}

fn not_made(cluster: &str) -> Keys {
    let keyset = |name: &&str| {
        secret_object(keys::keyset(cluster, name), format!("the keyset {name}"), Vec::new(), Secret::new(""))
    };
    let mut objects: Vec<StateObject> = KEYSETS.iter().map(keyset).collect();
    objects.push(encryption_object(cluster, Secret::new("")));
    Keys { kubernetes_ca: NOT_MADE_YET.to_owned(), objects }
}

fn secret_object(name: String, describes: String, keys: Vec<String>, text: Secret) -> StateObject {
    StateObject { name, describes, names: BTreeSet::new(), content: Some(Content::Secret { keys, text }) }
}
