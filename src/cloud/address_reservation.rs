//! Reserved addresses: EC2 hands out an address below an explicit reservation only when asked for that very address,
//! so that the stable private address of a master is never given to another instance while the master is away.

use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{ResourceType, SubnetCidrReservationType};
use futures::future::try_join_all;

use super::context::{Context, Found, Identity, Names};
use super::error::{CloudError, field, gone};
use super::fields::{Effect, Fields};
use super::reference::{Described, Kind, Reference, ResourceId};
use super::subnet::Subnet;
use super::{Resource, tagging};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// The reservation of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressReservation {
    /// `<instance group>.masters.<cluster>`.
    pub name: String,
    /// The subnet that the address is part of.
    pub subnet: Reference<Subnet>,
    /// The address.
    pub address: Ipv4Addr,
    /// Its tags.
    pub tags: Tags,
}

impl Described for AddressReservation {
    const KIND: Kind = Kind::AddressReservation;
}

impl AddressReservation {
    pub(super) fn fields(&self) -> Fields {
        let Self { name: _, subnet, address, tags } = self;
        Fields::default().one("subnet", subnet).one("address", address).map("tags", tags)
    }

    pub(super) fn references(&self) -> Vec<ResourceId> {
        let Self { name: _, subnet, address: _, tags: _ } = self;
        vec![subnet.id()]
    }

    pub(super) fn effect(path: &str) -> Effect {
        match path {
            "subnet" | "address" => Effect::Refused(
                "a master's private address is in the certificates of etcd and in every node's configuration; it \
                 stays as long as the master's volume does",
            ),
            _ => Effect::InPlace,
        }
    }

    pub(super) async fn create(
        &self,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .create_subnet_cidr_reservation()
            .subnet_id(context.ids.of(&self.subnet)?)
            .cidr(format!("{}/32", self.address))
            .reservation_type(SubnetCidrReservationType::Explicit)
            .description(&self.name)
            .tag_specifications(tags::specification(ResourceType::SubnetCidrReservation, &self.tags));
        let made = call.send().await.during("ec2", "CreateSubnetCidrReservation", id)?;
        let reservation = made.subnet_cidr_reservation().and_then(|made| made.subnet_cidr_reservation_id());
        Ok(Identity::new(field(reservation, id, "the reservation's id")?))
    }

    pub(super) async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await
    }

    pub(super) async fn delete(
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call =
            context.clients.ec2.delete_subnet_cidr_reservation().subnet_cidr_reservation_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteSubnetCidrReservation", id))
    }

    /// AWS lists reservations subnet by subnet: one call for each, which is one for each zone of the cluster.
    pub(super) async fn observe(context: &Context<'_>, names: &Names) -> Result<Vec<Found>, CloudError> {
        let subnets = names.ids_of(Kind::Subnet);
        let per_subnet = try_join_all(subnets.iter().map(|subnet| of_subnet(context, names, subnet))).await?;
        Ok(per_subnet.into_iter().flatten().collect())
    }
}

async fn of_subnet(context: &Context<'_>, names: &Names, subnet: &str) -> Result<Vec<Found>, CloudError> {
    let id = ResourceId::new(Kind::AddressReservation, subnet);
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let call = context.clients.ec2.get_subnet_cidr_reservations().subnet_id(subnet).set_next_token(token);
        let page = call.send().await.during("ec2", "GetSubnetCidrReservations", &id)?;
        for reservation in page.subnet_ipv4_cidr_reservations() {
            let tags = tags::from_ec2(reservation.tags());
            if tags.get(tags::MANAGED).map(String::as_str) != Some(context.cluster) {
                continue;
            }
            let reservation_id =
                field(reservation.subnet_cidr_reservation_id(), &id, "the reservation's id")?;
            let address = reservation.cidr().and_then(|cidr| cidr.split('/').next()?.parse().ok());
            let observed = AddressReservation {
                name: tagging::name(&tags, reservation_id),
                subnet: names.reference(reservation.subnet_id().unwrap_or(subnet)),
                address: field(address, &id, "the reserved address")?,
                tags,
            };
            let name = observed.name.clone();
            found.push(Found::new(
                name,
                Resource::AddressReservation(observed),
                Identity::new(reservation_id),
            ));
        }
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
}
