//! Finding everything that exists of a cluster.

use futures::future::try_join_all;

use super::additional_objects::AdditionalObjects;
use super::address_reservation::AddressReservation;
use super::auto_scaling_group::AutoScalingGroup;
use super::by_controllers;
use super::context::{Context, Found, Names, Observed};
use super::elastic_ip::ElasticIp;
use super::error::CloudError;
use super::instance_profile::InstanceProfile;
use super::internet_gateway::InternetGateway;
use super::key_pair::KeyPair;
use super::launch_template::LaunchTemplate;
use super::node_groups::NodeGroups;
use super::record_set::RecordSet;
use super::reference::Kind;
use super::role::Role;
use super::route_table::RouteTable;
use super::security_group::SecurityGroup;
use super::security_group_rules::SecurityGroupRules;
use super::state_object::StateObject;
use super::subnet::Subnet;
use super::volume::Volume;
use super::vpc::Vpc;

/// The kinds in the order in which they can be read: a kind that refers to others comes in a later round than they
/// do, because AWS's ids turn into names only once what they name is known. Each round is made at once.
const ROUNDS: [&[Kind]; 4] = [
    &[
        Kind::Vpc,
        Kind::Role,
        Kind::KeyPair,
        Kind::Volume,
        Kind::ElasticIp,
        Kind::StateObject,
        Kind::AdditionalObjects,
        Kind::NodeGroups,
    ],
    &[Kind::InternetGateway, Kind::Subnet, Kind::SecurityGroup, Kind::InstanceProfile, Kind::RecordSet],
    &[Kind::AddressReservation, Kind::RouteTable, Kind::SecurityGroupRules, Kind::LaunchTemplate],
    &[Kind::AutoScalingGroup],
];

/// Finds everything that windlass made for the cluster. The number of calls grows with the number of kinds, not with
/// the number of instance groups or instances.
pub async fn observe(context: &Context<'_>) -> Result<Observed, CloudError> {
    let mut observed = Observed::default();
    for round in ROUNDS {
        let names = Names::new(&observed);
        let found = try_join_all(round.iter().map(|kind| observe_kind(*kind, context, &names))).await?;
        for (kind, found) in round.iter().zip(found) {
            observed.extend(*kind, found);
        }
    }
    Ok(observed)
}

/// Finds everything of one kind.
pub async fn observe_kind(
    kind: Kind,
    context: &Context<'_>,
    names: &Names,
) -> Result<Vec<Found>, CloudError> {
    match kind {
        Kind::Vpc => Vpc::observe(context, names).await,
        Kind::InternetGateway => InternetGateway::observe(context, names).await,
        Kind::Subnet => Subnet::observe(context, names).await,
        Kind::AddressReservation => AddressReservation::observe(context, names).await,
        Kind::RouteTable => RouteTable::observe(context, names).await,
        Kind::SecurityGroup => SecurityGroup::observe(context, names).await,
        Kind::SecurityGroupRules => SecurityGroupRules::observe(context, names).await,
        Kind::Role => Role::observe(context, names).await,
        Kind::InstanceProfile => InstanceProfile::observe(context, names).await,
        Kind::KeyPair => KeyPair::observe(context, names).await,
        Kind::Volume => Volume::observe(context, names).await,
        Kind::ElasticIp => ElasticIp::observe(context, names).await,
        Kind::RecordSet => RecordSet::observe(context, names).await,
        Kind::StateObject => StateObject::observe(context, names).await,
        Kind::AdditionalObjects => AdditionalObjects::observe(context, names).await,
        Kind::NodeGroups => NodeGroups::observe(context, names).await,
        Kind::LaunchTemplate => LaunchTemplate::observe(context, names).await,
        Kind::AutoScalingGroup => AutoScalingGroup::observe(context, names).await,
        Kind::ReclaimMarks
        | Kind::PersistentVolume
        | Kind::LoadBalancer
        | Kind::ClassicLoadBalancer
        | Kind::TargetGroup
        | Kind::ControllersSecurityGroup
        | Kind::NetworkInterface => by_controllers::observe_kind(kind, context, names).await,
    }
}
