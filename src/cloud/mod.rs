//! The objects that a cluster consists of: one file per kind.
//!
//! A kind's struct is used twice: as the wish, made by `model` from the specification, and as the finding, made by
//! `observe` from AWS's answers. Both refer to other resources by name ([`Reference`]); AWS's ids live in
//! [`context::Identities`]. Of each kind there is:
//!
//! - `fields`: every field as text, by destructuring the struct: what is shown and compared;
//! - `references`: what must exist before it;
//! - `effect`: what a change of a field means;
//! - `create`, `update`, `delete`: the calls that make it so. `create` makes the bare object, tagged in the same call,
//!   and goes on as `update` does from the bare object: what a killed run left half made is finished by the next run's
//!   `update`. The id is remembered before any further call, so that one that fails makes nobody look for a name;
//! - `observe`: all of the cluster's, in a number of calls that does not grow with the cluster.

pub mod additional_objects;
pub mod address_reservation;
pub mod auto_scaling_group;
pub mod blockers;
pub mod by_controllers;
pub mod context;
pub mod departures;
pub mod elastic_ip;
pub mod error;
pub mod fields;
pub mod instance_profile;
pub mod internet_gateway;
pub mod key_pair;
pub mod launch_template;
mod launch_template_data;
pub mod namesakes;
pub mod node_groups;
mod observe;
pub mod record_set;
pub mod reference;
pub mod role;
pub mod route_table;
pub mod security_group;
pub mod security_group_rules;
pub mod state_object;
pub mod subnet;
mod tagging;
pub mod volume;
pub mod vpc;

use self::additional_objects::AdditionalObjects;
use self::address_reservation::AddressReservation;
use self::auto_scaling_group::AutoScalingGroup;
use self::by_controllers::{MadeByController, ReclaimMarks};
pub use self::context::{Context, Found, Identities, Identity, Observed, Sought, Strangers};
pub use self::departures::Departures;
use self::elastic_ip::ElasticIp;
pub use self::error::{CloudError, Remedy};
pub use self::fields::{Change, Effect, Fields};
use self::instance_profile::InstanceProfile;
use self::internet_gateway::InternetGateway;
use self::key_pair::KeyPair;
use self::launch_template::LaunchTemplate;
use self::node_groups::NodeGroups;
pub use self::observe::{observe, observe_kind};
use self::record_set::RecordSet;
pub use self::reference::{Kind, Reference, ResourceId};
use self::role::Role;
use self::route_table::RouteTable;
use self::security_group::SecurityGroup;
use self::security_group_rules::SecurityGroupRules;
use self::state_object::StateObject;
use self::subnet::Subnet;
use self::volume::Volume;
use self::vpc::Vpc;
use crate::aws::Class;
use crate::aws::tags::Tags;
pub use crate::state::store::digest;

/// A resource of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the type of its name")]
pub enum Resource {
    Vpc(Vpc),
    InternetGateway(InternetGateway),
    Subnet(Subnet),
    AddressReservation(AddressReservation),
    RouteTable(RouteTable),
    SecurityGroup(SecurityGroup),
    SecurityGroupRules(SecurityGroupRules),
    Role(Role),
    InstanceProfile(InstanceProfile),
    KeyPair(KeyPair),
    Volume(Volume),
    ElasticIp(ElasticIp),
    RecordSet(RecordSet),
    StateObject(StateObject),
    AdditionalObjects(AdditionalObjects),
    NodeGroups(NodeGroups),
    LaunchTemplate(LaunchTemplate),
    AutoScalingGroup(AutoScalingGroup),
    ReclaimMarks(ReclaimMarks),
    MadeByController(MadeByController),
}

/// Does the same with the resource of whichever kind.
macro_rules! for_each_kind {
    ($resource:expr, $it:ident => $act:expr) => {
        match $resource {
            Resource::Vpc($it) => $act,
            Resource::InternetGateway($it) => $act,
            Resource::Subnet($it) => $act,
            Resource::AddressReservation($it) => $act,
            Resource::RouteTable($it) => $act,
            Resource::SecurityGroup($it) => $act,
            Resource::SecurityGroupRules($it) => $act,
            Resource::Role($it) => $act,
            Resource::InstanceProfile($it) => $act,
            Resource::KeyPair($it) => $act,
            Resource::Volume($it) => $act,
            Resource::ElasticIp($it) => $act,
            Resource::RecordSet($it) => $act,
            Resource::StateObject($it) => $act,
            Resource::AdditionalObjects($it) => $act,
            Resource::NodeGroups($it) => $act,
            Resource::LaunchTemplate($it) => $act,
            Resource::AutoScalingGroup($it) => $act,
            Resource::ReclaimMarks($it) => $act,
            Resource::MadeByController($it) => $act,
        }
    };
}

impl Resource {
    /// What it is called.
    pub fn id(&self) -> ResourceId {
        ResourceId::new(self.kind(), for_each_kind!(self, it => it.name.as_str()))
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Vpc(_) => Kind::Vpc,
            Self::InternetGateway(_) => Kind::InternetGateway,
            Self::Subnet(_) => Kind::Subnet,
            Self::AddressReservation(_) => Kind::AddressReservation,
            Self::RouteTable(_) => Kind::RouteTable,
            Self::SecurityGroup(_) => Kind::SecurityGroup,
            Self::SecurityGroupRules(_) => Kind::SecurityGroupRules,
            Self::Role(_) => Kind::Role,
            Self::InstanceProfile(_) => Kind::InstanceProfile,
            Self::KeyPair(_) => Kind::KeyPair,
            Self::Volume(_) => Kind::Volume,
            Self::ElasticIp(_) => Kind::ElasticIp,
            Self::RecordSet(_) => Kind::RecordSet,
            Self::StateObject(_) => Kind::StateObject,
            Self::AdditionalObjects(_) => Kind::AdditionalObjects,
            Self::NodeGroups(_) => Kind::NodeGroups,
            Self::LaunchTemplate(_) => Kind::LaunchTemplate,
            Self::AutoScalingGroup(_) => Kind::AutoScalingGroup,
            Self::ReclaimMarks(_) => Kind::ReclaimMarks,
            Self::MadeByController(it) => it.kind,
        }
    }

    /// Its fields, as they are shown and compared.
    pub fn fields(&self) -> Fields {
        for_each_kind!(self, it => it.fields())
    }

    /// Its tags, where AWS lets it have any of its own.
    pub fn tags_mut(&mut self) -> Option<&mut Tags> {
        match self {
            Self::Vpc(it) => Some(&mut it.tags),
            Self::InternetGateway(it) => Some(&mut it.tags),
            Self::Subnet(it) => Some(&mut it.tags),
            Self::AddressReservation(it) => Some(&mut it.tags),
            Self::RouteTable(it) => Some(&mut it.tags),
            Self::SecurityGroup(it) => Some(&mut it.tags),
            Self::Role(it) => Some(&mut it.tags),
            Self::InstanceProfile(it) => Some(&mut it.tags),
            Self::KeyPair(it) => Some(&mut it.tags),
            Self::Volume(it) => Some(&mut it.tags),
            Self::ElasticIp(it) => Some(&mut it.tags),
            Self::LaunchTemplate(it) => Some(&mut it.tags),
            Self::AutoScalingGroup(it) => Some(&mut it.tags),
            Self::SecurityGroupRules(_)
            | Self::RecordSet(_)
            | Self::StateObject(_)
            | Self::AdditionalObjects(_)
            | Self::MadeByController(_)
            | Self::ReclaimMarks(_)
            | Self::NodeGroups(_) => None,
        }
    }

    /// What must exist before it.
    pub fn references(&self) -> Vec<ResourceId> {
        for_each_kind!(self, it => it.references())
    }

    /// What has to change for `observed` to become this.
    pub fn changes_from(&self, observed: &Self) -> Vec<Change> {
        match (self, observed) {
            (Self::Volume(wanted), Self::Volume(observed)) => {
                wanted.fields().changes_from(&wanted.without_defaults(observed).fields())
            }
            (Self::AddressReservation(wanted), Self::AddressReservation(observed)) => {
                wanted.fields().changes_from(&wanted.without_unknown(observed).fields())
            }
            (Self::StateObject(wanted), Self::StateObject(observed)) => wanted.changes_from(observed),
            (Self::AdditionalObjects(wanted), Self::AdditionalObjects(observed)) => {
                wanted.changes_from(observed)
            }
            (Self::SecurityGroupRules(wanted), Self::SecurityGroupRules(observed)) => {
                wanted.fields().changes_from(&wanted.with_others(observed).fields())
            }
            // It is given once, for life, and means nothing but to people.
            (Self::SecurityGroup(wanted), Self::SecurityGroup(observed)) => {
                let observed = SecurityGroup { description: wanted.description.clone(), ..observed.clone() };
                wanted.fields().changes_from(&observed.fields())
            }
            _ => self.fields().changes_from(&observed.fields()),
        }
    }

    /// What changing a field does, given what is there.
    pub fn effect(&self, change: &Change, observed: &Self) -> Effect {
        if let (Self::Volume(wanted), Self::Volume(observed), "sizeGiB") =
            (self, observed, change.field.as_str())
            && let Some(why) = wanted.refusal(observed)
        {
            return Effect::Refused(why);
        }
        self.kind().effect(&change.field)
    }
}

impl Kind {
    fn effect(self, path: &str) -> Effect {
        match self {
            Self::Vpc => Vpc::effect(path),
            Self::InternetGateway => InternetGateway::effect(path),
            Self::Subnet => Subnet::effect(path),
            Self::AddressReservation => AddressReservation::effect(path),
            Self::RouteTable => RouteTable::effect(path),
            Self::SecurityGroup => SecurityGroup::effect(path),
            Self::SecurityGroupRules => SecurityGroupRules::effect(path),
            Self::Role => Role::effect(path),
            Self::InstanceProfile => InstanceProfile::effect(path),
            Self::KeyPair => KeyPair::effect(path),
            Self::Volume => Volume::effect(path),
            Self::ElasticIp => ElasticIp::effect(path),
            Self::RecordSet => RecordSet::effect(path),
            Self::StateObject => StateObject::effect(path),
            Self::AdditionalObjects => AdditionalObjects::effect(path),
            Self::NodeGroups => NodeGroups::effect(path),
            Self::LaunchTemplate => LaunchTemplate::effect(path),
            Self::AutoScalingGroup => AutoScalingGroup::effect(path),
            Self::ReclaimMarks => ReclaimMarks::effect(path),
            Self::PersistentVolume
            | Self::LoadBalancer
            | Self::ClassicLoadBalancer
            | Self::TargetGroup
            | Self::ControllersSecurityGroup
            | Self::NetworkInterface => MadeByController::effect(path),
        }
    }
}

/// Makes a resource. May be called again after it failed halfway only once the resource has been looked for.
pub async fn create(resource: &Resource, context: &Context<'_>) -> Result<Identity, CloudError> {
    let id = resource.id();
    match for_each_kind!(resource, it => it.create(context, &id).await) {
        Err(CloudError::Aws(source)) if source.class == Class::AlreadyExists => {
            Err(namesakes::explain(source, resource, context).await)
        }
        outcome => outcome,
    }
}

/// Makes of what is there what is wanted. Returns its identity, which is the same but for a launch template's version.
///
/// # Errors
///
/// Fails with what AWS said. Both must be of one kind; a mixed pair is a resource that is missing.
pub async fn update(wanted: &Resource, found: &Found, context: &Context<'_>) -> Result<Identity, CloudError> {
    let id = wanted.id();
    let identity = &found.identity;
    macro_rules! update {
        ($($kind:ident),*) => {
            match (wanted, &found.resource) {
                (Resource::LaunchTemplate(to), Resource::LaunchTemplate(from)) => {
                    return to.update(from, identity, context, &id).await;
                }
                $((Resource::$kind(to), Resource::$kind(from)) => to.update(from, identity, context, &id).await?,)*
                _ => return Err(CloudError::Missing(id)),
            }
        };
    }
    update!(
        Vpc,
        InternetGateway,
        Subnet,
        AddressReservation,
        RouteTable,
        SecurityGroup,
        SecurityGroupRules,
        Role,
        InstanceProfile,
        KeyPair,
        Volume,
        ElasticIp,
        RecordSet,
        StateObject,
        AdditionalObjects,
        NodeGroups,
        AutoScalingGroup,
        ReclaimMarks
    );
    Ok(identity.clone())
}

/// Deletes what was found. That it is gone already is what was wanted; of a deletion that takes several calls, only the
/// last one's "not found" says so.
pub async fn delete(found: &Found, context: &Context<'_>) -> Result<(), CloudError> {
    match delete_found(found, context).await {
        Err(CloudError::Aws(source)) if source.class == Class::Dependency => {
            Err(blockers::explain(source, found, context).await)
        }
        outcome => outcome,
    }
}

async fn delete_found(found: &Found, context: &Context<'_>) -> Result<(), CloudError> {
    let id = ResourceId::new(found.resource.kind(), &found.name);
    let identity = &found.identity;
    match &found.resource {
        Resource::Vpc(_) => Vpc::delete(identity, context, &id).await,
        Resource::InternetGateway(it) => it.delete(identity, context, &id).await,
        Resource::Subnet(_) => Subnet::delete(identity, context, &id).await,
        Resource::AddressReservation(_) => AddressReservation::delete(identity, context, &id).await,
        Resource::RouteTable(_) => RouteTable::delete(identity, context, &id).await,
        Resource::SecurityGroup(_) => SecurityGroup::delete(identity, context, &id).await,
        Resource::SecurityGroupRules(it) => it.delete(identity, context, &id).await,
        Resource::Role(it) => it.delete(context, &id).await,
        Resource::InstanceProfile(it) => it.delete(context, &id).await,
        Resource::KeyPair(it) => it.delete(context, &id).await,
        Resource::Volume(_) => Volume::delete(identity, context, &id).await,
        Resource::ElasticIp(_) => ElasticIp::delete(identity, context, &id).await,
        Resource::RecordSet(it) => it.delete(context, &id).await,
        Resource::StateObject(it) => it.delete(context, &id).await,
        Resource::AdditionalObjects(it) => it.delete(identity, context, &id).await,
        Resource::NodeGroups(it) => it.delete(identity, context, &id).await,
        Resource::LaunchTemplate(_) => LaunchTemplate::delete(identity, context, &id).await,
        Resource::AutoScalingGroup(it) => it.delete(context, &id).await,
        // The marks go with the volumes that carry them.
        Resource::ReclaimMarks(_) => Ok(()),
        Resource::MadeByController(it) => it.delete(identity, context, &id).await,
    }
}
