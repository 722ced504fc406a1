//! What the cluster had, and what may be it where it isn't found any more: etcd's volumes and masters' Elastic IPs.

use std::collections::BTreeSet;

use super::{Located, OperationError};
use crate::aws::tags::Owner;
use crate::cloud::elastic_ip;
use crate::cloud::volume::{self, Volume};
use crate::cloud::{Kind, Observed, ResourceId};
use crate::model::{self, Desired};
use crate::plan::{Plan, PlanError};
use crate::spec::cluster::Cluster;
use crate::state::ClusterState;

/// What was there, and what there is that carries no mark of the cluster.
pub struct Losses {
    /// The names of the volumes that hold what etcd of this cluster has written.
    known_volumes: BTreeSet<String>,
    /// Where one of them is missing: the volumes that could be it.
    volumes: Vec<volume::Stray>,
    /// The names of the Elastic IPs that masters had when the cluster was last applied.
    known_addresses: BTreeSet<String>,
    /// Where one is wanted and not found: the addresses that could be it.
    addresses: Vec<elastic_ip::Stray>,
}

impl Losses {
    /// Looks in AWS for what could be it only where something is missing.
    pub async fn look(
        located: &Located,
        state: &ClusterState,
        cluster: &Cluster,
        applied: Option<&Cluster>,
        observed: &Observed,
    ) -> Result<Self, OperationError> {
        let known_volumes = known_volumes(state, applied).await?;
        let volumes = volumes(located, state, cluster, &known_volumes, observed).await?;
        let addresses = addresses(located, state, cluster, observed).await?;
        let known_addresses = applied.map(addresses_of).unwrap_or_default();
        Ok(Self { known_volumes, volumes, known_addresses, addresses })
    }

    /// Refuses a plan that makes anew what was there; volumes only where they aren't to be restored.
    pub fn refuse(
        &self,
        plan: &Plan,
        desired: &Desired,
        owner: &Owner,
        makes_volumes: bool,
    ) -> Result<(), PlanError> {
        if !makes_volumes {
            plan.refuse_lost_volumes(desired, &self.known_volumes, &self.volumes, owner)?;
        }
        plan.refuse_lost_address(desired, &self.known_addresses, &self.addresses, owner)
    }
}

/// The names of the volumes that hold what etcd of this cluster has written: those of the specification that was
/// applied, and those of members that masters have marked as initialised.
async fn known_volumes(
    state: &ClusterState,
    applied: Option<&Cluster>,
) -> Result<BTreeSet<String>, OperationError> {
    let initialised = state.initialised_etcd_members().await?;
    let mut known: BTreeSet<String> =
        initialised.iter().map(|(etcd, member)| Volume::name_of(member, etcd, state.name())).collect();
    // What an older windlass applied may be refused by now; then the marks of the masters are what is known.
    for etcd in applied.iter().flat_map(|cluster| &cluster.etcd) {
        known.extend(etcd.members.iter().map(|it| Volume::name_of(&it.name, &etcd.name, state.name())));
    }
    Ok(known)
}

/// Where a volume is missing that was there: all volumes that could be it.
async fn volumes(
    located: &Located,
    state: &ClusterState,
    cluster: &Cluster,
    known: &BTreeSet<String>,
    observed: &Observed,
) -> Result<Vec<volume::Stray>, OperationError> {
    let is_there = |name: &String| observed.0.contains_key(&ResourceId::new(Kind::Volume, name));
    if known.iter().all(is_there) {
        return Ok(Vec::new());
    }
    let zones: BTreeSet<String> = cluster.subnets.iter().map(|subnet| subnet.zone.clone()).collect();
    let strays = volume::strays(&located.clients, &located.owner(state), zones).await;
    strays.map_err(OperationError::look(format!("lost volumes of `{}`", state.name())))
}

/// The names of masters' Elastic IPs.
fn addresses_of(cluster: &Cluster) -> BTreeSet<String> {
    model::elastic_ips(cluster).iter().map(|address| address.name().to_owned()).collect()
}

/// Where a master's address is wanted and not found: all addresses that could be it.
async fn addresses(
    located: &Located,
    state: &ClusterState,
    cluster: &Cluster,
    observed: &Observed,
) -> Result<Vec<elastic_ip::Stray>, OperationError> {
    let is_there = |name: &String| observed.0.contains_key(&ResourceId::new(Kind::ElasticIp, name));
    if addresses_of(cluster).iter().all(is_there) {
        return Ok(Vec::new());
    }
    let strays = elastic_ip::strays(&located.clients, &located.owner(state)).await;
    strays.map_err(OperationError::look(format!("the lost address of `{}`", state.name())))
}
