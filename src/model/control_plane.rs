//! A master: what moves with the one instance of its group.

use std::collections::BTreeSet;

use windlass_bootstrap::tags as shared;

use super::{Desired, Inputs, ModelError, addresses, group_name, named, names, network};
use crate::aws::tags::Tags;
use crate::cloud::address_reservation::AddressReservation;
use crate::cloud::auto_scaling_group::Maintenance;
use crate::cloud::elastic_ip::ElasticIp;
use crate::cloud::volume::Volume;
use crate::spec::cluster::{Cluster, HeldMember, InstanceGroup, Master, Subnet};

/// Terminate before launch: a new master that waits for a volume which the old one holds until the new one is
/// healthy would wait for ever.
const TERMINATE_FIRST: Maintenance = Maintenance { min_healthy: 0, max_healthy: 100 };

/// What gp3 has when nothing is asked for: said, so that taking a setting back sets it back.
const GP3_IOPS: u32 = 3000;
const GP3_THROUGHPUT: u32 = 125;

/// Adds what a master has besides its group; returns how the group may replace it.
pub(super) fn add(
    inputs: &Inputs<'_>,
    group: &InstanceGroup,
    master: &Master,
    desired: &mut Desired,
) -> Result<Maintenance, ModelError> {
    let cluster = inputs.cluster;
    let Master { subnet, members } = master;
    let mut private_addresses = BTreeSet::new();
    for held in members {
        desired.insert(volume(inputs, group, held, subnet)?)?;
        private_addresses.insert(held.member.private_address);
    }
    // Reservations are found by the tags of their subnets.
    let found_again = subnet.existing.is_none() || !cluster.network.subnet_tags_disabled;
    for address in private_addresses.into_iter().filter(|_| found_again) {
        let name = group_name(cluster, group);
        desired.insert(AddressReservation {
            subnet: network::subnet(cluster, subnet),
            address,
            tags: masters_own(cluster, group, &name)?,
            name,
        })?;
    }
    if cluster.api.elastic_ip {
        let name = addresses::elastic_ip(cluster, group, master);
        let mut tags = masters_own(cluster, group, &name)?;
        tags.extend(names::tags(inputs));
        desired.insert(ElasticIp { name, tags })?;
    }
    Ok(TERMINATE_FIRST)
}

/// The tags of what moves with a master.
fn masters_own(cluster: &Cluster, group: &InstanceGroup, name: &str) -> Result<Tags, ModelError> {
    let mut tags = named(cluster, name)?;
    tags.insert(shared::MASTER.to_owned(), group.name.clone());
    Ok(tags)
}

fn volume(
    inputs: &Inputs<'_>,
    group: &InstanceGroup,
    held: &HeldMember,
    subnet: &Subnet,
) -> Result<Volume, ModelError> {
    let cluster = inputs.cluster;
    let HeldMember { etcd, member, volume } = held;
    let name = Volume::name_of(&member.name, &etcd.name, &cluster.name);
    let mut tags = named(cluster, &name)?;
    tags.insert(shared::MASTER.to_owned(), group.name.clone());
    tags.insert(shared::etcd_volume(&etcd.name), member.name.clone());
    tags.insert("k8s.io/role/control-plane".to_owned(), "1".to_owned());
    let mut ebs = inputs.facts.with_key_arn(volume);
    if ebs.kind == "gp3" {
        ebs.iops.get_or_insert(GP3_IOPS);
        ebs.throughput.get_or_insert(GP3_THROUGHPUT);
    }
    Ok(Volume { name, zone: subnet.zone.clone(), ebs, tags })
}
