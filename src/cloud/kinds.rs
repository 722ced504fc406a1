//! The list of all kinds, and everything that is done with a resource of whichever kind: `kinds!`, at the end, writes the
//! closed enums [`Kind`] and [`Resource`] from the list, and passes every call on to the kind's own file.

use std::fmt;

use super::blockers::{Blocker, Looker};
use super::context::{Context, Identity, Names, ObservedResource};
use super::error::CloudError;
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::namesakes::Namesake;
use super::reference::ResourceId;
use super::resource_kind::{Declaration, ResourceKind, Unwanted};
use crate::aws::AwsError;
use crate::aws::tags::{Owner, Tags};

impl Kind {
    /// The kind's name in plans: `launch-template`.
    pub const fn name(self) -> &'static str {
        self.declaration().name
    }

    /// What to do where something of its name isn't the cluster's.
    pub(super) const fn foreign_hint(self) -> Option<&'static str> {
        self.declaration().foreign_hint
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Resource {
    /// What it is called.
    pub fn id(&self) -> ResourceId {
        ResourceId::new(self.kind(), self.name())
    }

    /// What must exist before it.
    pub fn references(&self) -> Vec<ResourceId> {
        self.fields().into_references()
    }
}

/// Writes [`Kind`] and [`Resource`] and their dispatch for a list of `module::Type`, in the order in which plans list
/// kinds where nothing else decides.
macro_rules! kinds {
    ($($module:ident::$kind:ident,)*) => {
        /// The kinds of resource that a cluster consists of. Their order is the order in which plans list them where
        /// nothing else decides.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("[`super::", stringify!($module), "::", stringify!($kind), "`]")] $kind,)*
        }

        /// A resource of any kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Resource {
            $(#[doc = concat!("[`super::", stringify!($module), "::", stringify!($kind), "`]")]
            $kind(super::$module::$kind),)*
        }

        /// What AWS answered about everything of one kind, before its ids are turned into names.
        pub(super) enum Reading {
            $(#[doc = concat!("Of [`super::", stringify!($module), "::", stringify!($kind), "`].")]
            $kind(<super::$module::$kind as ResourceKind>::Answer),)*
        }

        // A kind's file says which kind it is.
        $(const _: () = assert!(matches!(<super::$module::$kind as ResourceKind>::KIND, Kind::$kind));)*

        $(impl From<super::$module::$kind> for Resource {
            fn from(resource: super::$module::$kind) -> Self {
                Self::$kind(resource)
            }
        })*

        impl Kind {
            /// Every kind, in order.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// What the kind says of itself.
            pub const fn declaration(self) -> &'static Declaration {
                match self {
                    $(Self::$kind => const { &<super::$module::$kind as ResourceKind>::DECLARATION },)*
                }
            }

            /// Asks AWS for everything of the kind ([`ResourceKind::read`]).
            pub(super) async fn read(self, look: &Look<'_>) -> Result<Reading, CloudError> {
                match self {
                    $(Self::$kind => {
                        Ok(Reading::$kind(<super::$module::$kind as ResourceKind>::read(look).await?))
                    })*
                }
            }

            /// The command that says again whose something is ([`ResourceKind::mark_command`]).
            pub(super) fn mark_command(self, aws_id: &str, owner: &Owner) -> String {
                match self {
                    $(Self::$kind => <super::$module::$kind as ResourceKind>::mark_command(aws_id, owner),)*
                }
            }

            /// The command that gives back a uid ([`ResourceKind::uid_command`]).
            pub(super) fn uid_command(self, name: &str, uid: &str) -> Option<String> {
                match self {
                    $(Self::$kind => <super::$module::$kind as ResourceKind>::uid_command(name, uid),)*
                }
            }
        }

        impl Reading {
            /// The kind that was asked for.
            pub(super) fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// What is the cluster's in the answer ([`ResourceKind::observed`]).
            pub(super) fn observed(
                self,
                context: &Context<'_>,
                names: &Names,
            ) -> Result<Vec<ObservedResource>, CloudError> {
                match self {
                    $(Self::$kind(answer) => {
                        <super::$module::$kind as ResourceKind>::observed(answer, context, names)
                    })*
                }
            }
        }

        impl Resource {
            /// Which of the list it is of.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// Its name, unique within the kind.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$kind(it) => it.name(),)*
                }
            }

            /// Its fields, as they are shown and compared ([`ResourceKind::fields`]).
            pub fn fields(&self) -> Fields {
                match self {
                    $(Self::$kind(it) => it.fields(),)*
                }
            }

            /// Its tags, where AWS lets it have any of its own ([`ResourceKind::tags_mut`]).
            pub fn tags_mut(&mut self) -> Option<&mut Tags> {
                match self {
                    $(Self::$kind(it) => it.tags_mut(),)*
                }
            }

            /// What has to change for `observed` to become this ([`ResourceKind::changes_from`]).
            pub fn changes_from(&self, observed: &Self) -> Vec<Change> {
                match (self, observed) {
                    $((Self::$kind(wanted), Self::$kind(observed)) => wanted.changes_from(observed),)*
                    _ => self.fields().changes_from(&observed.fields()),
                }
            }

            /// What changing a field does, given what is there ([`ResourceKind::effect`]).
            pub fn effect(&self, change: &Change, observed: &Self) -> Effect {
                match (self, observed) {
                    $((Self::$kind(wanted), Self::$kind(observed)) => wanted.effect(change, observed),)*
                    _ => Effect::Refused("what is there is of another kind"),
                }
            }

            /// What a plan's reader should know of what is observed ([`ResourceKind::remark`]).
            pub fn remark(&self) -> Option<String> {
                match self {
                    $(Self::$kind(it) => it.remark(),)*
                }
            }

            /// What an update does with it when it isn't wanted any more ([`ResourceKind::unwanted`]).
            pub fn unwanted(&self) -> Unwanted {
                match self {
                    $(Self::$kind(it) => it.unwanted(),)*
                }
            }

            /// Whether it may still need another resource ([`ResourceKind::may_need`]).
            pub fn may_need(&self, other: &ResourceId) -> bool {
                match self {
                    $(Self::$kind(it) => it.may_need(other),)*
                }
            }

            /// Whether the end of the cluster is its end too ([`ResourceKind::goes_with_cluster`]).
            pub fn goes_with_cluster(&self) -> bool {
                match self {
                    $(Self::$kind(it) => it.goes_with_cluster(),)*
                }
            }

            /// Makes it ([`ResourceKind::create`]).
            pub(super) async fn create(
                &self,
                context: &Context<'_>,
                id: &ResourceId,
            ) -> Result<Identity, CloudError> {
                match self {
                    $(Self::$kind(it) => it.create(context, id).await,)*
                }
            }

            /// Makes it of what is there ([`ResourceKind::update`]). Both must be of one kind; a mixed pair is a resource
            /// that is missing.
            pub(super) async fn update(
                &self,
                from: &Self,
                identity: &Identity,
                context: &Context<'_>,
                id: &ResourceId,
            ) -> Result<Identity, CloudError> {
                match (self, from) {
                    $((Self::$kind(to), Self::$kind(from)) => to.update(from, identity, context, id).await,)*
                    _ => Err(CloudError::Missing(id.clone())),
                }
            }

            /// Deletes it ([`ResourceKind::delete`]).
            pub(super) async fn delete(
                &self,
                identity: &Identity,
                context: &Context<'_>,
                id: &ResourceId,
            ) -> Result<(), CloudError> {
                match self {
                    $(Self::$kind(it) => it.delete(identity, context, id).await,)*
                }
            }

            /// What is in the way of deleting it ([`ResourceKind::blockers`]).
            pub(super) async fn blockers(
                &self,
                aws_id: &str,
                look: &Looker<'_>,
            ) -> Result<Vec<Blocker>, AwsError> {
                match self {
                    $(Self::$kind(it) => it.blockers(aws_id, look).await,)*
                }
            }

            /// What has the name that it was to have ([`ResourceKind::namesake`]).
            pub(super) async fn namesake(
                &self,
                context: &Context<'_>,
                id: &ResourceId,
            ) -> Result<Option<Namesake>, AwsError> {
                match self {
                    $(Self::$kind(it) => it.namesake(context, id).await,)*
                }
            }
        }
    };
}

kinds! {
    existing::Existing,
    vpc::Vpc,
    internet_gateway::InternetGateway,
    egress_only_internet_gateway::EgressOnlyInternetGateway,
    subnet::Subnet,
    address_reservation::AddressReservation,
    nat_gateway::NatGateway,
    route_table::RouteTable,
    gateway_endpoint::GatewayEndpoint,
    security_group::SecurityGroup,
    security_group_rules::SecurityGroupRules,
    interface_endpoint::InterfaceEndpoint,
    existing_group_rules::ExistingGroupRules,
    role::Role,
    instance_profile::InstanceProfile,
    discovery_document::DiscoveryDocument,
    oidc_provider::OidcProvider,
    service_account_role::ServiceAccountRole,
    queue::Queue,
    event_rule::EventRule,
    key_pair::KeyPair,
    volume::Volume,
    elastic_ip::ElasticIp,
    load_balancing::LoadBalancerTargetGroup,
    load_balancing::NetworkLoadBalancer,
    load_balancing::LoadBalancerListener,
    hosted_zone_association::HostedZoneAssociation,
    record_set::RecordSet,
    state_object::StateObject,
    additional_objects::AdditionalObjects,
    node_groups::NodeGroups,
    backup_expiry::BackupExpiry,
    launch_template::LaunchTemplate,
    auto_scaling_group::AutoScalingGroup,
    by_controllers::ReclaimMarks,
    by_controllers::PersistentVolume,
    by_controllers::LoadBalancer,
    by_controllers::ClassicLoadBalancer,
    by_controllers::TargetGroup,
    by_controllers::ControllersSecurityGroup,
    by_controllers::NetworkInterface,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_kinds_have_one_name() {
        let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn what_a_kind_declares_of_others_is_never_about_itself() {
        for kind in Kind::ALL {
            let declared = kind.declaration();
            let others = [
                declared.observed_after,
                declared.deleted_after,
                declared.deleted_after_steps_of,
                declared.changed_after_deletion_of,
            ];
            assert!(others.iter().all(|others| !others.contains(kind)), "{kind}");
            assert_ne!(declared.asked_by, Some(*kind), "{kind}");
        }
    }
}
