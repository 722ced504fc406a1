//! What acts on resources are given, and what they give: clients and ids in, identities out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::Resource;
use super::auto_scaling_group::TemplateVersion;
use super::departures::Departures;
use super::elastic_ip::ElasticIp;
use super::error::CloudError;
use super::launch_template::LaunchTemplate;
use super::reference::{Described, Kind, Reference, ResourceId};
use crate::aws::Clients;
use crate::aws::tags::{self, Owner};
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
    /// Different in every run, so that most client tokens of one run never meet those of another.
    pub run: &'a str,
}

/// EC2 remembers a client token for a day or longer and answers a second call with what the first one made, even where
/// that was deleted since, and with an error where the calls differ (EC2 Developer Guide, "Ensuring idempotency in Amazon
/// EC2 API requests"). So a token outlives a run only for what windlass never makes a second time: volumes. Route tables
/// and launch templates come and go with the specification, and two runs may rightly make the same one. Of VPCs, Internet
/// gateways, subnets, reservations, security groups, key pairs and addresses EC2 takes no token at all. Where a run is
/// killed between such a call and EC2's showing what it made, the next one, begun within these seconds, makes a second
/// VPC, gateway or address; then every plan says so ([`crate::plan::PlanError::Double`]) until one of them is taken away.
impl Context<'_> {
    /// The client token for making a resource: the same at every attempt of this run.
    pub fn token(&self, id: &ResourceId) -> String {
        self.token_of(self.run, id, "")
    }

    /// The client token for making something that is made once in the life of its cluster: the same in every run. `made`
    /// is all that the call asks for, and whether an earlier token is spent.
    pub fn lasting_token(&self, id: &ResourceId, made: &str) -> String {
        self.token_of(self.owner.uid.as_deref().unwrap_or(self.run), id, made)
    }

    fn token_of(&self, scope: &str, id: &ResourceId, made: &str) -> String {
        super::digest(format!("{scope}\n{}\n{id}\n{made}", self.cluster).as_bytes())[..32].to_owned()
    }
}

/// What AWS calls a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// AWS's id, or the name where AWS knows it by that.
    pub id: String,
    /// A launch template's latest version.
    pub version: Option<i64>,
    /// An Elastic IP's address.
    pub address: Option<String>,
}

impl Identity {
    /// An identity.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), version: None, address: None }
    }

    /// With a launch template's latest version.
    #[must_use]
    pub fn with_version(mut self, version: Option<i64>) -> Self {
        self.version = version;
        self
    }

    /// With an Elastic IP's address.
    #[must_use]
    pub fn with_address(mut self, address: Option<&str>) -> Self {
        self.address = address.map(str::to_owned);
        self
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

    /// AWS's id of what is referred to.
    pub fn of<T: Described>(&self, reference: &Reference<T>) -> Result<String, CloudError> {
        Ok(self.identity(&reference.id())?.id)
    }

    /// AWS's id of what is referred to; what isn't ours is referred to by AWS's id already.
    pub fn resolve<T: Described>(&self, reference: &Reference<T>) -> String {
        self.of(reference).unwrap_or_else(|_| reference.name().to_owned())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<ResourceId, Identity>> {
        // A map of strings is whole whatever happened to a thread that held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A resource as it was found in AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What it is like, with references by name where what it refers to is ours.
    pub resource: Resource,
    /// What AWS calls it.
    pub identity: Identity,
    /// What tells it from another one that has the same name, where AWS says it: since when it exists, what it is
    /// attached to and since when.
    pub circumstances: Option<String>,
    /// Whether another one of its kind has the same name and is taken for the real one.
    pub double: bool,
    /// Of a subnet that isn't wanted any more: what is in it and stays ([`super::subnet::find_occupants`]).
    pub used_by: Vec<String>,
}

impl Found {
    /// A finding.
    pub fn new(name: impl Into<String>, resource: Resource, identity: Identity) -> Self {
        Self {
            name: name.into(),
            resource,
            identity,
            circumstances: None,
            double: false,
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
pub struct Observed(pub BTreeMap<ResourceId, Found>);

impl Observed {
    /// Adds findings. AWS does not keep names unique (two VPCs may be called alike): the one whose id comes first has
    /// the name, another one is known by its id too.
    pub fn extend(&mut self, kind: Kind, mut found: Vec<Found>) {
        found.sort_by(|a, b| a.identity.id.cmp(&b.identity.id));
        for mut found in found {
            let plain = ResourceId::new(kind, &found.name);
            let id = match self.0.get(&plain) {
                Some(other) if other.identity.id != found.identity.id => {
                    found.double = true;
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

/// Turns AWS's ids back into names, from what was observed so far.
#[derive(Debug, Default)]
pub struct Names {
    by_id: BTreeMap<(Kind, String), String>,
    latest_versions: BTreeMap<String, (i64, String)>,
    by_address: BTreeMap<String, String>,
    record_sets: BTreeSet<(String, String)>,
}

impl Names {
    /// The names of what was observed.
    pub fn new(observed: &Observed) -> Self {
        let mut names = Self::default();
        for (id, found) in &observed.0 {
            names.by_id.insert((id.kind, found.identity.id.clone()), id.name.clone());
            if let (Resource::LaunchTemplate(template), Some(version)) =
                (&found.resource, found.identity.version)
            {
                names.latest_versions.insert(id.name.clone(), (version, template.version_digest()));
            }
            if let Resource::ElasticIp(ElasticIp { name: _, tags }) = &found.resource {
                let address = found.identity.address.iter().cloned();
                names.by_address.extend(address.map(|address| (address, id.name.clone())));
                let tag = |key| tags.get(key).cloned();
                names.record_sets.extend(tag(tags::HOSTED_ZONE).zip(tag(tags::API_NAME)));
            }
        }
        names
    }

    /// The names of what was observed, and of what was made since.
    pub fn of_known(observed: &Observed, ids: &Identities) -> Self {
        let mut names = Self::new(observed);
        for (id, identity) in ids.locked().iter() {
            names.by_id.insert((id.kind, identity.id.clone()), id.name.clone());
        }
        names
    }

    /// A reference to what AWS calls by this id; to the id itself where it isn't ours.
    pub fn reference<T: Described>(&self, aws_id: &str) -> Reference<T> {
        let name = self.by_id.get(&(T::KIND, aws_id.to_owned()));
        Reference::to(name.map_or(aws_id, String::as_str))
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

    /// A reference to the Elastic IP that has this address; to the address itself where it isn't ours.
    pub fn elastic_ip(&self, address: &str) -> Reference<ElasticIp> {
        Reference::to(self.by_address.get(address).map_or(address, String::as_str))
    }

    /// Where record sets may be: hosted zones' ids and names in them, out of the tags of Elastic IPs.
    pub fn record_sets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.record_sets.iter().map(|(zone, name)| (zone.as_str(), name.as_str()))
    }

    /// What a version number of a template means.
    pub fn template_version(&self, template: &Reference<LaunchTemplate>, number: &str) -> TemplateVersion {
        match self.latest_versions.get(template.name()) {
            Some((latest, digest)) if latest.to_string() == number => {
                TemplateVersion::Content(digest.clone())
            }
            _ => TemplateVersion::Older(number.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::elastic_ip::ElasticIp;

    #[test]
    fn of_two_that_are_called_alike_both_are_known() {
        let found = |aws_id: &str| {
            let address = ElasticIp { name: "api".to_owned(), tags: BTreeMap::new() };
            Found::new("api", Resource::ElasticIp(address), Identity::new(aws_id))
        };
        let mut observed = Observed::default();
        observed.extend(Kind::ElasticIp, vec![found("eipalloc-2"), found("eipalloc-1")]);
        let ids: Vec<_> = observed.0.iter().map(|(id, found)| (id.name.as_str(), found.double)).collect();
        assert_eq!(ids, [("api", false), ("api (eipalloc-2)", true)]);
    }
}
