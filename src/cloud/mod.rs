//! The objects that a cluster consists of: one file per kind, in which all stands that is to be known of the kind.
//!
//! A kind's struct is used twice: as what is wanted, made by `model` from the specification, and as what is observed,
//! made from AWS's answers. Both refer to other resources by name ([`Reference`]); AWS's ids live in [`Identities`].
//!
//! [`ResourceKind`] is what a kind's file implements: what the resource is like (fields, references, tags), what a
//! change of it means, the calls that find, make, change and delete it, and a [`Declaration`] of what everybody else
//! must know: what it is named after, what orders its steps besides references, what becomes of it when nobody wants it
//! any more. The list in `kinds` makes the closed enums [`Kind`] and [`Resource`] of all kinds, and passes every call on
//! to the kind's file; nothing else lists kinds. `CONTRIBUTING.md` says how a kind is added.

pub mod additional_objects;
pub mod address_reservation;
pub mod adoption;
pub mod auto_scaling_group;
pub mod backup_expiry;
pub mod blockers;
pub mod by_controllers;
pub mod context;
pub mod departures;
pub mod discovery_document;
mod ebs;
pub mod egress_only_internet_gateway;
pub mod elastic_ip;
pub mod error;
pub mod event_rule;
pub mod existing;
pub mod existing_group_rules;
pub mod fields;
pub mod fleet;
pub mod gateway_endpoint;
pub mod hosted_zone_association;
pub mod instance_profile;
pub mod interface_endpoint;
pub mod internet_gateway;
pub mod key_pair;
mod kinds;
pub mod launch_template;
pub mod load_balancing;
pub mod look;
mod name_limit;
mod names_in_zones;
pub mod namesakes;
pub mod nat_gateway;
pub mod node_groups;
mod observe;
pub mod oidc_provider;
pub mod queue;
pub mod record_set;
pub mod reference;
pub mod resource_kind;
pub mod role;
pub mod route_table;
pub mod security_group;
pub mod security_group_rules;
pub mod service_account_role;
pub mod slot;
pub mod state_object;
pub mod subnet;
mod tagging;
pub mod volume;
pub mod vpc;

pub use self::context::{Context, Identities, Identity, Observed, ObservedResource, Sought, Strangers};
pub use self::departures::Departures;
pub use self::error::{CloudError, RetryDecision};
pub use self::fields::{Change, Effect, Fields};
pub use self::kinds::{Kind, Resource};
pub use self::observe::{observe, observe_for_deletion, observe_kind};
pub use self::reference::{Reference, ResourceId};
pub use self::resource_kind::{Creation, Declaration, ObservedFor, ResourceKind, TagRules, Unwanted};
use crate::aws::Class;
pub use crate::state::object::digest;

/// Makes a resource. May be called again after it failed halfway only once the resource has been looked for.
///
/// # Errors
///
/// Fails with what AWS said, and where the name is taken with whose it is.
pub async fn create(resource: &Resource, context: &Context<'_>) -> Result<Identity, CloudError> {
    match resource.create(context, &resource.id()).await {
        Err(CloudError::Aws(source)) if source.class == Class::AlreadyExists => {
            Err(namesakes::explain(source, resource, context).await)
        }
        outcome => outcome,
    }
}

/// Makes of what is there what is wanted. Returns its identity, with what it is known by from now on.
///
/// # Errors
///
/// Fails with what AWS said. Both must be of one kind; a mixed pair is a resource that is missing.
pub async fn update(
    wanted: &Resource,
    found: &ObservedResource,
    context: &Context<'_>,
) -> Result<Identity, CloudError> {
    wanted.update(&found.resource, &found.identity, context, &wanted.id()).await
}

/// Gives what was found another name, under which it stays until nothing refers to it any more: its own is another one's
/// from now on. A run that ends after this leaves something that isn't wanted and something that is missing, of which every
/// later plan makes the same.
///
/// # Errors
///
/// Fails with what AWS said, and for what has no tags and so no other name.
pub async fn set_aside(
    found: &ObservedResource,
    former: &ResourceId,
    context: &Context<'_>,
) -> Result<(), CloudError> {
    let mut renamed = found.resource.clone();
    let Some(tags) = renamed.tags_mut() else { return Err(CloudError::Missing(former.clone())) };
    tags.insert(crate::aws::tags::NAME.to_owned(), former.name.clone());
    renamed.update(&found.resource, &found.identity, context, former).await.map(drop)
}

/// Deletes what was found. That it is gone already is what was wanted.
///
/// # Errors
///
/// Fails with what AWS said, and where something is in the way with what that is.
pub async fn delete(found: &ObservedResource, context: &Context<'_>) -> Result<(), CloudError> {
    let id = ResourceId::new(found.resource.kind(), &found.name);
    match found.resource.delete(&found.identity, context, &id).await {
        Err(CloudError::Aws(source)) if source.class == Class::Dependency => {
            Err(blockers::explain(source, found, context).await)
        }
        outcome => outcome,
    }
}
