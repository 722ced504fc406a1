//! What acts on resources are given, and what they give: clients and ids in, identities out.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use super::departures::Departures;
use super::error::{CloudError, field};
use super::kinds::{Kind, Resource};
use super::reference::{Reference, ResourceId};
use super::resource_kind::ResourceKind;
use super::slot::Slot;
use crate::aws::Clients;
use crate::aws::tags::Owner;
use crate::state::Store;

/// What `observe` makes of something that has one of the cluster's names in the account or its region, and belongs to
/// somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// It is in the way: nothing may be made beside it.
    Refuse,
    /// It is left alone: nothing is going to be made.
    Ignore,
}

/// What `observe` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought<'a> {
    /// All of the cluster's, by its tags. EC2's filters see what was just made only after a while.
    All,
    /// The one that AWS calls so. Kinds that are looked up by their names go by those.
    Id(&'a str),
}

/// What every act needs.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// AWS.
    pub clients: &'a Clients,
    /// The state.
    pub store: &'a Store,
    /// The cluster's name.
    pub cluster: &'a str,
    /// Which of what carries that name is this cluster's.
    pub owner: &'a Owner,
    /// The ids of what exists.
    pub ids: &'a Identities,
    /// The Auto Scaling groups that were asked to go.
    pub departures: &'a Departures,
    /// What is looked for.
    pub sought: Sought<'a>,
    /// What it means that something of a name that must be the cluster's belongs to somebody else.
    pub strangers: Strangers,
    /// What entitles this step to make calls, where a plan is carried out.
    pub slot: Option<&'a Slot>,
    /// Different in every run, so that most client tokens of one run never meet those of another.
    pub run: &'a str,
    /// The restore of the cluster that this is for; 0 where it is for none. What was made once in the cluster's life is made
    /// once more for each.
    pub restore: u64,
}

/// EC2 remembers a client token for a day or longer and answers a second call with what the first one made, even where
/// that was deleted since, and with an error where the calls differ (EC2 Developer Guide, "Ensuring idempotency in Amazon
/// EC2 API requests"). So a token outlives a run only for what windlass never makes a second time: volumes. Route tables
/// and launch templates come and go with the specification, and two runs may rightly make the same one. Of VPCs, Internet
/// gateways, subnets, reservations, security groups, key pairs and addresses EC2 takes no token at all. Where a run is
/// killed between such a call and EC2's showing what it made, the next one, begun within these seconds, makes a second
/// VPC, gateway or address; then every plan says so ([`crate::plan::PlanError::Duplicate`]) until one of them is taken away.
impl<'a> Context<'a> {
    /// For a look at all of the cluster's, in which what belongs to somebody else is in the way.
    pub fn new(
        clients: &'a Clients,
        store: &'a Store,
        owner: &'a Owner,
        ids: &'a Identities,
        departures: &'a Departures,
    ) -> Self {
        let (sought, strangers) = (Sought::All, Strangers::Refuse);
        Self {
            clients,
            store,
            cluster: &owner.cluster,
            owner,
            ids,
            departures,
            sought,
            strangers,
            slot: None,
            run: "",
            restore: 0,
        }
    }

    /// Waits for AWS, which holds no slot meanwhile: of what takes AWS minutes, any number is under way at once.
    pub async fn waiting<T>(&self, waiting: impl Future<Output = T>) -> T {
        match self.slot {
            Some(slot) => slot.given_back_during(waiting).await,
            None => waiting.await,
        }
    }

    /// The client token for making a resource: the same at every attempt of this run.
    pub fn token(&self, id: &ResourceId) -> String {
        self.token_of(self.run, id, "")
    }

    /// The client token for making something that is made once in the life of its cluster: the same in every run. `made`
    /// is all that the call asks for, and whether an earlier token is spent.
    pub fn lasting_token(&self, id: &ResourceId, made: &str) -> String {
        let scope = self.owner.uid.as_deref().unwrap_or(self.run);
        match self.restore {
            0 => self.token_of(scope, id, made),
            restore => self.token_of(&format!("{scope}\nrestore {restore}"), id, made),
        }
    }

    fn token_of(&self, scope: &str, id: &ResourceId, made: &str) -> String {
        super::digest(format!("{scope}\n{}\n{id}\n{made}", self.cluster).as_bytes())[..32].to_owned()
    }
}

/// What AWS calls a resource, and what others need of it besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// AWS's id, or the name where AWS knows it by that.
    pub id: String,
    /// What AWS decides or counts and others refer to, such as an Elastic IP's address; the kind names its outputs.
    pub outputs: BTreeMap<&'static str, String>,
}

impl Identity {
    /// An identity without outputs.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), outputs: BTreeMap::new() }
    }

    /// With an output, in the place of an earlier one; without it where there is no value.
    #[must_use]
    pub fn with(mut self, output: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.outputs.insert(output, value.to_string()),
            None => self.outputs.remove(output),
        };
        self
    }

    /// The value of an output.
    pub fn output(&self, output: &str) -> Option<&str> {
        self.outputs.get(output).map(String::as_str)
    }
}

/// The identities of what exists: those that were observed, and those of what was made since.
#[derive(Debug, Default)]
pub struct Identities(Mutex<BTreeMap<ResourceId, Identity>>);

impl Identities {
    /// Starts from what was observed.
    pub fn new(observed: &Observed) -> Self {
        let known = observed.0.iter().map(|(id, found)| (id.clone(), found.identity.clone()));
        Self(Mutex::new(known.collect()))
    }

    /// Remembers an identity.
    pub fn insert(&self, id: ResourceId, identity: Identity) {
        self.locked().insert(id, identity);
    }

    /// Forgets what was deleted.
    pub fn remove(&self, id: &ResourceId) {
        self.locked().remove(id);
    }

    /// The identity of a resource.
    pub fn identity(&self, id: &ResourceId) -> Result<Identity, CloudError> {
        self.locked().get(id).cloned().ok_or_else(|| CloudError::Missing(id.clone()))
    }

    /// The identity of a resource, where there is one.
    pub fn known(&self, id: &ResourceId) -> Option<Identity> {
        self.locked().get(id).cloned()
    }

    /// Whether the resource of this name is another one by now than the one that was observed.
    pub fn has_another(&self, id: &ResourceId, observed: &Identity) -> bool {
        self.locked().get(id).is_some_and(|now| now.id != observed.id)
    }

    /// AWS's id of what is referred to.
    ///
    /// # Errors
    ///
    /// Fails where it isn't there.
    pub fn of<T: ResourceKind>(&self, reference: &Reference<T>) -> Result<String, CloudError> {
        Ok(self.identity(&reference.id())?.id)
    }

    /// AWS's id of what is referred to; what isn't ours is referred to by AWS's id already.
    pub fn resolve<T: ResourceKind>(&self, reference: &Reference<T>) -> String {
        self.of(reference).unwrap_or_else(|_| reference.name().to_owned())
    }

    /// An output of what is referred to.
    ///
    /// # Errors
    ///
    /// Fails where it isn't there, or AWS's answer about it lacked the output.
    pub fn output<T: ResourceKind>(
        &self,
        reference: &Reference<T>,
        output: &'static str,
    ) -> Result<String, CloudError> {
        let id = reference.id();
        let value = self.identity(&id)?.outputs.remove(output);
        field(value, &id, output)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<ResourceId, Identity>> {
        // A map of strings is whole whatever happened to a thread that held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A resource as it was found in AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedResource {
    /// By which the desired resource of its kind is compared with it.
    pub name: String,
    /// What it is like, with references by name where what it refers to is ours.
    pub resource: Resource,
    /// What AWS calls it.
    pub identity: Identity,
    /// What tells it from another one that has the same name, where AWS says it: since when it exists, what it is
    /// attached to and since when.
    pub circumstances: Option<String>,
    /// Whether another one of its kind has the same name and is taken for the real one.
    pub duplicate: bool,
    /// Of a subnet that isn't wanted any more: what is in it and stays ([`super::subnet::find_occupants`]).
    pub used_by: Vec<String>,
}

impl ObservedResource {
    /// One that was found.
    pub fn new(name: impl Into<String>, resource: Resource, identity: Identity) -> Self {
        Self {
            name: name.into(),
            resource,
            identity,
            circumstances: None,
            duplicate: false,
            used_by: Vec::new(),
        }
    }

    /// With what tells it from another one that has the same name.
    #[must_use]
    pub fn with_circumstances(mut self, circumstances: impl Into<String>) -> Self {
        self.circumstances = Some(circumstances.into());
        self
    }

    /// AWS's id, with what is known besides.
    pub fn described(&self) -> String {
        match &self.circumstances {
            Some(circumstances) => format!("{}: {circumstances}", self.identity.id),
            None => self.identity.id.clone(),
        }
    }
}

/// Everything that was found of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed(pub BTreeMap<ResourceId, ObservedResource>);

impl Observed {
    /// Adds what was found. AWS does not keep names unique (two VPCs may be called alike): the one whose id comes first has
    /// the name, another one is known by its id too.
    pub fn extend(&mut self, kind: Kind, mut found: Vec<ObservedResource>) {
        found.sort_by(|a, b| a.identity.id.cmp(&b.identity.id));
        for mut found in found {
            let plain = ResourceId::new(kind, &found.name);
            let id = match self.0.get(&plain) {
                Some(other) if other.identity.id != found.identity.id => {
                    found.duplicate = true;
                    ResourceId::new(kind, format!("{} ({})", found.name, found.identity.id))
                }
                _ => plain,
            };
            self.0.insert(id, found);
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Turns AWS's ids and outputs back into names, from what was observed so far.
#[derive(Debug, Default)]
pub struct Names {
    by_id: BTreeMap<(Kind, String), String>,
    outputs: BTreeMap<ResourceId, BTreeMap<&'static str, String>>,
}

impl Names {
    /// The names of what was observed.
    pub fn new(observed: &Observed) -> Self {
        let mut names = Self::default();
        for (id, found) in &observed.0 {
            names.add(id, &found.identity);
        }
        names
    }

    /// The names of what was observed, and of what was made since. What was replaced since has its name no more: what
    /// still refers to it doesn't refer to what is wanted.
    pub fn of_known(observed: &Observed, ids: &Identities) -> Self {
        let mut names = Self::default();
        for (id, found) in observed.0.iter().filter(|(id, found)| !ids.has_another(id, &found.identity)) {
            names.add(id, &found.identity);
        }
        for (id, identity) in ids.locked().iter() {
            names.add(id, identity);
        }
        names
    }

    fn add(&mut self, id: &ResourceId, identity: &Identity) {
        self.by_id.insert((id.kind, identity.id.clone()), id.name.clone());
        self.outputs.insert(id.clone(), identity.outputs.clone());
    }

    /// A reference to what AWS calls by this id; to the id itself where it isn't ours.
    pub fn reference<T: ResourceKind>(&self, aws_id: &str) -> Reference<T> {
        let name = self.by_id.get(&(T::KIND, aws_id.to_owned()));
        Reference::to(name.map_or(aws_id, String::as_str))
    }

    /// A reference to the resource that has this output; to the value itself where none of ours has it.
    pub fn reference_by_output<T: ResourceKind>(&self, output: &str, value: &str) -> Reference<T> {
        let mut all = self.outputs_of(T::KIND);
        let found = all.find(|(_, outputs)| outputs.get(output).is_some_and(|found| found == value));
        Reference::to(found.map_or(value, |(name, _)| name))
    }

    /// An output of what is referred to, where that is known.
    pub fn output<T: ResourceKind>(&self, reference: &Reference<T>, output: &str) -> Option<&str> {
        self.outputs.get(&reference.id())?.get(output).map(String::as_str)
    }

    /// The names of all resources of a kind, each with its outputs.
    pub fn outputs_of(&self, kind: Kind) -> impl Iterator<Item = (&str, &BTreeMap<&'static str, String>)> {
        let all = self.outputs.iter().filter(move |(id, _)| id.kind == kind);
        all.map(|(id, outputs)| (id.name.as_str(), outputs))
    }

    /// What AWS calls by this id, where it is known.
    pub fn known(&self, kind: Kind, aws_id: &str) -> Option<ResourceId> {
        let name = self.by_id.get(&(kind, aws_id.to_owned()))?;
        Some(ResourceId::new(kind, name))
    }

    /// Whether there is a resource of this name.
    pub fn has(&self, kind: Kind, name: &str) -> bool {
        self.by_id.iter().any(|((known, _), known_name)| *known == kind && known_name == name)
    }

    /// AWS's ids of all resources of a kind.
    pub fn ids_of(&self, kind: Kind) -> Vec<String> {
        self.by_id.keys().filter(|(known, _)| *known == kind).map(|(_, id)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::elastic_ip::ElasticIp;
    use crate::cloud::launch_template::LaunchTemplate;

    #[test]
    fn of_two_that_are_called_alike_both_are_known() {
        let found = |aws_id: &str| {
            let address = ElasticIp { name: "api".to_owned(), tags: BTreeMap::new() };
            ObservedResource::new("api", Resource::ElasticIp(address), Identity::new(aws_id))
        };
        let mut observed = Observed::default();
        observed.extend(Kind::ElasticIp, vec![found("eipalloc-2"), found("eipalloc-1")]);
        let ids: Vec<_> = observed.0.iter().map(|(id, found)| (id.name.as_str(), found.duplicate)).collect();
        assert_eq!(ids, [("api", false), ("api (eipalloc-2)", true)]);
    }
    #[test]
    fn an_output_of_one_resource_is_used_by_others_through_the_identities_and_turns_back_into_its_name() {
        const ADDRESS: &str = "the address";
        let api: Reference<ElasticIp> = Reference::to("api");
        let ids = Identities::default();
        assert!(matches!(ids.output(&api, ADDRESS), Err(CloudError::Missing(_))));
        ids.insert(api.id(), Identity::new("eipalloc-1"));
        let error = ids.output(&api, ADDRESS).unwrap_err();
        assert_eq!(error.to_string(), "AWS's answer about `elastic-ip/api` lacks the address");
        ids.insert(api.id(), Identity::new("eipalloc-1").with(ADDRESS, Some("198.51.100.7")));
        assert_eq!(ids.output(&api, ADDRESS).unwrap(), "198.51.100.7");
        let names = Names::of_known(&Observed::default(), &ids);
        assert_eq!(names.output(&api, ADDRESS), Some("198.51.100.7"));
        assert_eq!(names.reference_by_output(ADDRESS, "198.51.100.7"), api);
        let foreign: Reference<ElasticIp> = names.reference_by_output(ADDRESS, "192.0.2.1");
        assert_eq!(foreign.name(), "192.0.2.1");
        let another_kind: Reference<LaunchTemplate> = names.reference_by_output(ADDRESS, "198.51.100.7");
        assert_eq!(another_kind.name(), "198.51.100.7");
    }

    #[test]
    fn what_was_made_since_counts_more_than_what_was_observed() {
        let template = ResourceId::new(Kind::LaunchTemplate, "nodes");
        let version = |number| Identity::new("lt-1").with("version", Some(number));
        let ids = Identities::default();
        ids.insert(template.clone(), version(1));
        ids.insert(template, version(2));
        let names = Names::of_known(&Observed::default(), &ids);
        let nodes: Reference<LaunchTemplate> = Reference::to("nodes");
        assert_eq!(names.output(&nodes, "version"), Some("2"));
    }
}
