//! Reserved addresses: EC2 hands out an address below an explicit reservation only when asked for that very address,
//! so that the stable private address of a master is never given to another instance while the master is away.
//!
//! EC2 takes tags for a reservation and doesn't show them in its list of a subnet's reservations, so one is known by its
//! subnet, which is the cluster's own, by its range of one address, and by its description, which is its name.

use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{ResourceType, SubnetCidrReservation, SubnetCidrReservationType};
use futures::future::try_join_all;

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Declaration, ResourceKind};
use super::subnet::{self, Subnet};
use super::{Kind, Resource, tagging};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// The reservation of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressReservation {
    /// `<instance group>.masters.<cluster>`.
    pub name: String,
    /// The subnet that the address is part of.
    pub subnet: Reference<Subnet>,
    /// The one address that EC2 gives to nobody of itself.
    pub address: Ipv4Addr,
    /// Its tags; none in what is observed where EC2 doesn't show them.
    pub tags: Tags,
}

impl ResourceKind for AddressReservation {
    const KIND: Kind = Kind::AddressReservation;
    const DECLARATION: Declaration =
        Declaration { observed_after: &[Kind::Subnet], ..Declaration::of("address-reservation") };
    type Answer = Vec<SubnetCidrReservation>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, subnet, address, tags } = self;
        Fields::default().reference("subnet", subnet).one("address", address).map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        self.fields().changes_from(&self.without_unknown(observed).fields())
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "subnet" | "address" => Effect::Refused(
                "a master's private address is in the certificates of etcd and in every node's configuration; it \
                 stays as long as the master's volume does",
            ),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
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

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let from = self.without_unknown(from);
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call =
            context.clients.ec2.delete_subnet_cidr_reservation().subnet_cidr_reservation_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteSubnetCidrReservation", id))
    }

    /// AWS lists reservations subnet by subnet: one call for each, which is one for each zone of the cluster.
    async fn read(look: &Look<'_>) -> Result<Vec<SubnetCidrReservation>, CloudError> {
        let subnets = subnet::ids(look).await?;
        let per_subnet = try_join_all(subnets.iter().map(|subnet| of_subnet(look.context, subnet))).await?;
        Ok(per_subnet.concat())
    }

    fn observed(
        answer: Vec<SubnetCidrReservation>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let found = answer.iter().map(|reservation| read(reservation, context, names));
        found.filter_map(Result::transpose).collect()
    }
}

impl AddressReservation {
    /// What is observed, with the wanted tags where EC2 doesn't show any.
    fn without_unknown(&self, observed: &Self) -> Self {
        let tags = if observed.tags.is_empty() { &self.tags } else { &observed.tags };
        Self { tags: tags.clone(), ..observed.clone() }
    }
}

async fn of_subnet(context: &Context<'_>, subnet: &str) -> Result<Vec<SubnetCidrReservation>, CloudError> {
    let id = ResourceId::new(Kind::AddressReservation, subnet);
    let mut reservations = Vec::new();
    let mut token = None;
    loop {
        let call = context.clients.ec2.get_subnet_cidr_reservations().subnet_id(subnet).set_next_token(token);
        let page = call.send().await.during("ec2", "GetSubnetCidrReservations", &id)?;
        token = page.next_token().map(str::to_owned);
        reservations.extend(page.subnet_ipv4_cidr_reservations.unwrap_or_default());
        if token.is_none() {
            return Ok(reservations);
        }
    }
}

/// A reservation of the cluster's; nothing of one that somebody else made in its subnet.
fn read(
    reservation: &SubnetCidrReservation,
    context: &Context<'_>,
    names: &Names,
) -> Result<Option<ObservedResource>, CloudError> {
    let id = ResourceId::new(Kind::AddressReservation, context.cluster);
    let tags = tags::from_ec2(reservation.tags());
    let description = reservation.description().unwrap_or_default();
    let Some(address) = one_address(reservation.cidr().unwrap_or_default()) else { return Ok(None) };
    let name = if tags.is_empty() {
        if !is_name(description, context.cluster) {
            return Ok(None);
        }
        description.to_owned()
    } else {
        if !context.owner.owns(&tags) {
            return Ok(None);
        }
        tagging::name(&tags, description)
    };
    let reservation_id = field(reservation.subnet_cidr_reservation_id(), &id, "the reservation's id")?;
    let subnet = names.reference(field(reservation.subnet_id(), &id, "the reservation's subnet")?);
    let observed = AddressReservation { name: name.clone(), subnet, address, tags };
    Ok(Some(ObservedResource::new(
        name,
        Resource::AddressReservation(observed),
        Identity::new(reservation_id),
    )))
}

/// The address of a range that has only one.
fn one_address(cidr: &str) -> Option<Ipv4Addr> {
    cidr.strip_suffix("/32")?.parse().ok()
}

/// Whether a description is the name of a reservation of the cluster's.
fn is_name(description: &str, cluster: &str) -> bool {
    description.strip_suffix(cluster).is_some_and(|rest| rest.ends_with(".masters."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_known_by_its_range_and_its_description() {
        assert_eq!(one_address("172.20.0.10/32"), Some(Ipv4Addr::new(172, 20, 0, 10)));
        assert_eq!(one_address("172.20.0.0/28"), None);
        assert!(is_name("control-plane-us-east-1a.masters.demo.example.com", "demo.example.com"));
        assert!(!is_name("control-plane-us-east-1a.masters.demo.example.com", "example.com"));
        assert!(!is_name("reserved by hand", "demo.example.com") && !is_name("", "demo.example.com"));
    }

    #[test]
    fn tags_that_ec2_does_not_show_are_not_compared() {
        let tags = Tags::from([("Name".to_owned(), "a".to_owned())]);
        let address = Ipv4Addr::new(172, 20, 0, 10);
        let wanted = AddressReservation { name: "a".to_owned(), subnet: Reference::to("s"), address, tags };
        let wanted = Resource::AddressReservation(wanted);
        let seen = |tags: Tags| {
            let Resource::AddressReservation(it) = wanted.clone() else { unreachable!() };
            wanted.changes_from(&Resource::AddressReservation(AddressReservation { tags, ..it }))
        };
        assert_eq!(seen(Tags::new()), []);
        let renamed = seen(Tags::from([("Name".to_owned(), "b".to_owned())]));
        assert_eq!(renamed.iter().map(|change| change.field.as_str()).collect::<Vec<_>>(), ["tags.Name"]);
    }
}
