//! The model: specification + facts → the set of resources that shall exist. Pure: it reads nothing and asks nobody.
//!
//! | file | what it adds |
//! |---|---|
//! | `network` | VPC, subnets, Internet and NAT gateways, routes, the endpoint of S3 |
//! | `access` | security groups and their rules, the SSH key |
//! | `addresses` | nothing: what masters' Elastic IPs are called |
//! | `identity` | roles and what they may do, instance profiles |
//! | `front` | nothing: which load balancers there are |
//! | `load_balancer` | the load balancers in front of the API and of bastions, their listeners and target groups |
//! | `names` | the names of the API and of bastions in a hosted zone |
//! | `workload_identity` | what service accounts are to AWS: discovery documents, the OIDC provider, roles |
//! | `interruption` | the queue of events about instances and the rules that fill it; groups' lifecycle hooks and warm pools |
//! | `objects` | what instances read: keysets, add-ons, node configurations |
//! | `groups` | each group's launch template and Auto Scaling group |
//! | `control_plane` | of a master besides: its volumes, private address, and Elastic IP |
//! | `roles` | of each role of instances what all of them share: `access` and `identity` make it |
//! | `belonging` | nothing: which instance group a resource is of |
//! | `tag_limits` | nothing: it checks that AWS takes the tags |

mod access;
mod addresses;
mod belonging;
mod control_plane;
mod front;
mod groups;
mod identity;
mod interface_endpoints;
mod interruption;
mod load_balancer;
mod names;
mod network;
mod objects;
mod roles;
mod tag_limits;
mod workload_identity;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;
use windlass_bootstrap::auto_scaling;
use windlass_bootstrap::config::Role;
use windlass_bootstrap::node_labels;
use windlass_bootstrap::tags as shared;

pub use self::addresses::elastic_ips;
pub use self::belonging::{is_of_a_master, is_of_group};
use crate::assets::addons::Addon;
use crate::assets::node_config::NodeConfigError;
use crate::assets::user_data::StateLocation;
use crate::aws::facts::Facts;
use crate::aws::tags::{self, Tags};
use crate::cloud::existing::Existing;
use crate::cloud::state_object::StateObject;
use crate::cloud::{self, Kind, Observed, ObservedResource, Reference, Resource, ResourceId};
use crate::spec::AdditionalObject;
use crate::spec::cluster::{Cluster, InstanceGroup, Taint};

/// Everything that the desired resources are made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The specification.
    pub cluster: &'a Cluster,
    /// The cluster's uid.
    pub uid: &'a str,
    /// What AWS is like.
    pub facts: &'a Facts,
    /// Where instances read their configuration.
    pub state: &'a StateLocation,
    /// The cluster's keys.
    pub keys: &'a Keys,
    /// What masters install, in this order.
    pub addons: &'a [Addon],
    /// What the user wants applied besides.
    pub additional_objects: &'a [AdditionalObject],
}

/// The cluster's keys, as far as other resources depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// PEM bundle of the Kubernetes authorities that are trusted.
    pub kubernetes_ca: String,
    /// The public keys by which tokens of service accounts are verified, as they are published (JWKS).
    pub service_account_jwks: String,
    /// The thumbprints of those authorities.
    pub kubernetes_thumbprints: Vec<String>,
    /// The objects that hold the keys.
    pub objects: Vec<StateObject>,
}

/// The resources that shall exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired(pub BTreeMap<ResourceId, Resource>);

impl Desired {
    /// Keeps the subnets that aren't asked for any more and that something is still in, with their routes: instances that
    /// stay there for a while must reach the Internet for that while. Returns them, and what is in them.
    pub fn keep_occupied(&mut self, observed: &Observed) -> Vec<(ResourceId, Vec<String>)> {
        let mut kept = Vec::new();
        for (id, found) in &observed.0 {
            let Resource::Subnet(_) = &found.resource else { continue };
            if self.0.contains_key(id) || found.used_by.is_empty() || found.duplicate {
                continue;
            }
            let reference: Reference<cloud::subnet::Subnet> = Reference::to(&id.name);
            for (table_id, table) in &mut self.0 {
                let uses = |found: &ObservedResource| match &found.resource {
                    Resource::RouteTable(table) => table.subnets.contains(&reference),
                    _ => false,
                };
                if let Resource::RouteTable(table) = table
                    && observed.0.get(table_id).is_some_and(uses)
                {
                    table.subnets.insert(reference.clone());
                }
            }
            kept.push((id.clone(), found.used_by.clone()));
        }
        for (id, _) in &kept {
            self.keep(id, observed);
            let tables = observed.0.iter().filter(|(table, _)| table.kind == Kind::RouteTable);
            for (table, _) in tables.filter(|(_, found)| found.resource.references().contains(id)) {
                self.keep(table, observed);
            }
        }
        kept.extend(self.keep_rules(observed));
        kept
    }

    /// Keeps the rules in security groups of others that aren't asked for any more and that instances are still in, and what
    /// lets those instances in elsewhere: until they are replaced they must reach each other.
    fn keep_rules(&mut self, observed: &Observed) -> Vec<(ResourceId, Vec<String>)> {
        let mut kept = Vec::new();
        for (id, found) in &observed.0 {
            let Resource::ExistingGroupRules(group) = &found.resource else { continue };
            if self.0.contains_key(id) || found.used_by.is_empty() || group.ingress.is_empty() {
                continue;
            }
            self.keep(id, observed);
            for (other, wanted) in &mut self.0 {
                let found = observed.0.get(other).map(|found| &found.resource);
                match (wanted, found) {
                    (Resource::SecurityGroupRules(wanted), Some(Resource::SecurityGroupRules(found))) => {
                        wanted.ingress.extend(group.as_peer_in(&found.ingress));
                    }
                    (Resource::ExistingGroupRules(wanted), Some(Resource::ExistingGroupRules(found))) => {
                        wanted.ingress.extend(group.as_peer_in(&found.ingress));
                    }
                    _ => {}
                }
            }
            kept.push((id.clone(), found.used_by.clone()));
        }
        kept
    }

    /// Keeps what isn't asked for any more as it is, with all that it refers to.
    fn keep(&mut self, id: &ResourceId, observed: &Observed) {
        let Some(found) = observed.0.get(id).filter(|_| !self.0.contains_key(id)) else { return };
        self.0.insert(id.clone(), found.resource.clone());
        for other in found.resource.references() {
            self.keep(&other, observed);
        }
    }

    /// Adds a resource.
    ///
    /// # Errors
    ///
    /// Fails where there is one of its kind and name already: on AWS there would be one of the two.
    pub fn insert(&mut self, resource: impl Into<Resource>) -> Result<(), ModelError> {
        let resource = resource.into();
        match self.0.entry(resource.id()) {
            Entry::Vacant(place) => {
                place.insert(resource);
                Ok(())
            }
            Entry::Occupied(place) => Err(ModelError::Twice { resource: place.key().clone() }),
        }
    }

    /// Adds what exists without the cluster and needs no tags of it, so that others can refer to it. Several may.
    pub fn refer_to_existing(&mut self, aws_id: &str) {
        let existing = Resource::Existing(Existing { name: aws_id.to_owned(), tags: Tags::new() });
        self.0.entry(existing.id()).or_insert(existing);
    }

    /// Adds resources.
    ///
    /// # Errors
    ///
    /// Fails with the first one of whose kind and name there is one already.
    pub fn extend(&mut self, resources: impl IntoIterator<Item = Resource>) -> Result<(), ModelError> {
        resources.into_iter().try_for_each(|resource| self.insert(resource))
    }
}

/// What can't be modelled.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A node configuration can't be made.
    #[error(transparent)]
    NodeConfig(#[from] NodeConfigError),
    /// Instances must be able to read their configuration.
    #[error("instances can't read the state store `{0}`")]
    StateStore(String),
    /// No image was found for a group.
    #[error("no image was looked up for instance group `{group}`")]
    NoImage {
        /// The group.
        group: String,
    },
    /// The discovery store wasn't looked at.
    #[error("no discovery store was looked up for the issuer of service accounts' tokens")]
    NoDiscoveryStore,
    /// Nothing that a NAT gateway could stand in.
    #[error("there is no subnet for the NAT gateway of {zone}")]
    NoPlaceForNatGateway {
        /// The zone.
        zone: String,
    },
    /// The block of IPv6 addresses of an existing VPC wasn't looked up, or doesn't hold a subnet's range.
    #[error("no block of IPv6 addresses was looked up that holds the subnets' ranges")]
    NoIpv6Block,
    /// The egress-only Internet gateway of an existing VPC wasn't looked up.
    #[error("no egress-only Internet gateway was looked up")]
    NoEgressOnlyGateway,
    /// The address of a NAT gateway wasn't looked up.
    #[error("no Elastic IP was looked up for the address {address}")]
    NoAllocation {
        /// The address.
        address: std::net::Ipv4Addr,
    },
    /// Two parts of the specification give one resource its name.
    #[error("two parts of the specification ask for a resource called `{resource}`")]
    Twice {
        /// The resource.
        resource: ResourceId,
    },
    /// A resource can't have such a tag.
    #[error("`{resource}` can't have the tag `{key}`: {why}")]
    Tag {
        /// The resource.
        resource: ResourceId,
        /// The tag's key.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// A resource has more tags than AWS allows.
    #[error("`{resource}` would have {count} tags, and AWS allows {}", tag_limits::MOST)]
    TooManyTags {
        /// The resource.
        resource: ResourceId,
        /// How many.
        count: usize,
    },
    /// The keys of all labels must fit into one tag.
    #[error("the keys of all `cloudLabels` of {of} have more than {} characters together", tags::VALUE_LIMIT)]
    TooManyLabels {
        /// The cluster, or an instance group.
        of: String,
    },
}

impl ModelError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::StateStore(_) => {
                Some("a cluster on AWS needs a state store in S3: `--state s3://<bucket>`".to_owned())
            }
            Self::Tag { .. } => Some(
                "change `cloudLabels` or `nodeLabels` with `windlass edit`; each becomes a tag".to_owned(),
            ),
            Self::TooManyTags { .. } => Some(
                "remove some `cloudLabels` or `nodeLabels` with `windlass edit`; each becomes a tag"
                    .to_owned(),
            ),
            Self::TooManyLabels { .. } => Some("remove some with `windlass edit cluster`".to_owned()),
            Self::Twice { .. } => Some(
                "names of resources are made of the names of instance groups, subnets and etcd members: give one of the \
                 two another name"
                    .to_owned(),
            ),
            Self::NoPlaceForNatGateway { .. } => {
                Some("add a subnet with `type: Utility` with `windlass edit cluster`".to_owned())
            }
            Self::NodeConfig(_)
            | Self::NoImage { .. }
            | Self::NoAllocation { .. }
            | Self::NoIpv6Block
            | Self::NoEgressOnlyGateway
            | Self::NoDiscoveryStore => None,
        }
    }
}

/// Makes the set of resources that shall exist.
pub fn build(inputs: &Inputs<'_>) -> Result<Desired, ModelError> {
    let mut desired = Desired::default();
    network::add(inputs, &mut desired)?;
    interface_endpoints::add(inputs.cluster, &mut desired)?;
    access::add_ssh_key(inputs.cluster, &mut desired)?;
    roles::add(inputs, &mut desired)?;
    workload_identity::add(inputs, &mut desired)?;
    interruption::add(inputs, &mut desired)?;
    load_balancer::add(inputs, &mut desired)?;
    names::add(inputs, &mut desired)?;
    for (group, configuration) in objects::add(inputs, &mut desired)? {
        groups::add(inputs, group, &configuration, &mut desired)?;
    }
    identify(&mut desired, inputs.uid);
    tag_limits::check(&desired)?;
    Ok(desired)
}

/// Says on every resource whose and which it is, by tags that nobody has a reason to edit.
fn identify(desired: &mut Desired, uid: &str) {
    for (id, resource) in &mut desired.0 {
        if let Some(tags) = resource.tags_mut() {
            tags.insert(tags::UID.to_owned(), uid.to_owned());
            tags.insert(tags::NAME.to_owned(), id.name.clone());
        }
    }
}

/// The name of a group's Auto Scaling group and launch template.
pub fn group_name(cluster: &Cluster, group: &InstanceGroup) -> String {
    auto_scaling::group_name(&cluster.name, &group.name, group.role())
}

/// The prefix of what all instances of a role share: `masters`, `nodes`.
fn role_prefix(role: Role) -> &'static str {
    roles::of(role).prefix
}

/// The tags of everything, without `Name`. Fails where the labels' keys don't fit.
fn cluster_tags(cluster: &Cluster) -> Result<Tags, ModelError> {
    labelled(&cluster.cloud_labels, &cluster.name, || format!("cluster `{}`", cluster.name))
}

/// The tags of one resource of the cluster.
fn named(cluster: &Cluster, name: &str) -> Result<Tags, ModelError> {
    let mut tags = cluster_tags(cluster)?;
    tags.insert("Name".to_owned(), name.to_owned());
    Ok(tags)
}

/// The tags of what belongs to an instance group.
fn group_tags(cluster: &Cluster, group: &InstanceGroup, name: &str) -> Result<Tags, ModelError> {
    let mut labels = cluster.cloud_labels.clone();
    labels.extend(group.cloud_labels.clone());
    let mut tags = labelled(&labels, &cluster.name, || format!("instance group `{}`", group.name))?;
    tags.insert("Name".to_owned(), name.to_owned());
    tags.insert(shared::INSTANCE_GROUP.to_owned(), group.name.clone());
    tags.insert(roles::of(group.role()).tag.to_owned(), "1".to_owned());
    tags.insert(node_labels::GROUP.to_owned(), group.name.clone());
    tags.extend(autoscaler_tags(group));
    Ok(tags)
}

/// What the cluster autoscaler must know of a group without instances: the labels and taints of its Nodes (cluster
/// autoscaler, "Auto-Discovery Setup" on AWS). A master's default taint isn't among them: it comes and goes while its
/// tags stay, and nobody scales masters.
fn autoscaler_tags(group: &InstanceGroup) -> Tags {
    const PREFIX: &str = "k8s.io/cluster-autoscaler/node-template";
    if group.role() == Role::Bastion {
        return Tags::new();
    }
    let role = node_labels::role_label(group.role());
    let own = [(role, String::new()), (node_labels::GROUP, group.name.clone())];
    let labels = group.node_labels.iter().map(|(label, value)| (label.as_str(), value.clone()));
    let labels = labels.chain(own).map(|(label, value)| (format!("{PREFIX}/label/{label}"), value));
    let taints = group.taints.iter().filter(|_| !group.default_taint);
    let taints = taints.map(|Taint { key, value, effect }| {
        (format!("{PREFIX}/taint/{key}"), format!("{}:{effect}", value.as_deref().unwrap_or_default()))
    });
    labels.chain(taints).collect()
}

fn labelled(
    labels: &BTreeMap<String, String>,
    cluster: &str,
    of: impl FnOnce() -> String,
) -> Result<Tags, ModelError> {
    let mut tags = labels.clone();
    tags.insert(shared::CLUSTER.to_owned(), cluster.to_owned());
    tags.insert(shared::ownership(cluster), "owned".to_owned());
    tags.insert(tags::MANAGED.to_owned(), cluster.to_owned());
    if !labels.is_empty() {
        let keys = tags::join_keys(labels.keys());
        if keys.chars().count() > tags::VALUE_LIMIT {
            return Err(ModelError::TooManyLabels { of: of() });
        }
        tags.insert(tags::CLOUD_LABELS.to_owned(), keys);
    }
    Ok(tags)
}

/// The tags of a group's instances, their volumes and network interfaces. They aren't windlass's to change or delete
/// one by one, so they don't carry its mark.
fn instance_tags(group_tags: &Tags) -> Tags {
    group_tags
        .iter()
        .filter(|(key, _)| *key != tags::MANAGED)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The names of the subnets on AWS.
pub fn subnet_names(cluster: &Cluster) -> BTreeSet<String> {
    cluster.subnets.iter().map(|subnet| subnet_name(cluster, &subnet.name)).collect()
}

/// A subnet's name on AWS.
fn subnet_name(cluster: &Cluster, subnet: &str) -> String {
    format!("{subnet}.{}", cluster.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::key_pair::KeyPair;
    use crate::cloud::vpc::Vpc;

    fn vpc(cidr: &str) -> Resource {
        let (name, tags) = ("demo".to_owned(), Tags::new());
        let additional_cidrs = BTreeSet::new();
        Vpc {
            name,
            cidr: cidr.parse().unwrap(),
            additional_cidrs,
            ipv6: false,
            dns_hostnames: true,
            dns_support: true,
            tags,
        }
        .into()
    }

    fn key_pair() -> Resource {
        KeyPair { name: "demo".to_owned(), public_key: "ssh-ed25519 A".to_owned(), tags: Tags::new() }.into()
    }

    #[test]
    fn two_resources_of_one_kind_and_name_are_refused_and_the_first_one_stays() {
        let mut desired = Desired::default();
        desired.extend([vpc("10.0.0.0/16"), key_pair()]).unwrap();
        for again in ["10.0.0.0/16", "10.1.0.0/16"] {
            let error = desired.insert(vpc(again)).unwrap_err();
            assert_eq!(
                error.to_string(),
                "two parts of the specification ask for a resource called `vpc/demo`"
            );
        }
        assert!(desired.extend([key_pair()]).unwrap_err().hint().is_some());
        assert_eq!(desired.0.values().cloned().collect::<Vec<_>>(), [vpc("10.0.0.0/16"), key_pair()]);
    }
}
