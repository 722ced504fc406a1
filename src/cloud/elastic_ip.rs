//! Elastic IPs: the API's address where there is one master, which the master's agent associates; and those of NAT gateways.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use aws_sdk_ec2::types::{Address, DomainType, ResourceType};

use windlass_bootstrap::tags as shared;

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::Fields;
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Declaration, ResourceKind, Unwanted};
use super::{Kind, Resource, names_in_zones, tagging};
use crate::aws::tags::{self, Owner, Ownership, Tags};
use crate::aws::{AwsError, Clients, During};

/// An Elastic IP. Which address it is, AWS decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticIp {
    /// `api.<cluster>`, or `<zone>.<cluster>` of a NAT gateway.
    pub name: String,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for ElasticIp {
    const KIND: Kind = Kind::ElasticIp;
    const DECLARATION: Declaration = Declaration {
        // Instances take an address by its tags, not by a reference, and hold it as long as they live.
        deleted_after: &[Kind::AutoScalingGroup],
        // Its tags say where its record set is: that must be gone before they say something else.
        changed_after_deletion_of: &[Kind::RecordSet],
        unwanted: Unwanted::Kept("nobody gets an address back; only `delete cluster` gives it up"),
        ..Declaration::of("elastic-ip")
    };
    type Answer = Arc<[Address]>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, tags } = self;
        Fields::default().map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let tags = tags::specification(ResourceType::ElasticIp, &self.tags);
        let call = context.clients.ec2.allocate_address().domain(DomainType::Vpc).tag_specifications(tags);
        let made = call.send().await.during("ec2", "AllocateAddress", id)?;
        Ok(self.identity(field(made.allocation_id(), id, "the allocation's id")?, made.public_ip()))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(self.identity(&identity.id, identity.output(Self::ADDRESS)))
    }

    /// An address that is still associated is taken from whom it is associated with: that instance is going too.
    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let ec2 = &context.clients.ec2;
        let call = ec2.describe_addresses().allocation_ids(&identity.id);
        let answer = match call.send().await.during("ec2", "DescribeAddresses", id) {
            Err(error) if error.is_not_found() => return Ok(()),
            answer => answer?,
        };
        for association in answer.addresses().iter().filter_map(|address| address.association_id()) {
            let call = ec2.disassociate_address().association_id(association);
            gone(call.send().await.during("ec2", "DisassociateAddress", id))?;
        }
        let call = ec2.release_address().allocation_id(&identity.id);
        gone(call.send().await.during("ec2", "ReleaseAddress", id))
    }

    async fn read(look: &Look<'_>) -> Result<Arc<[Address]>, CloudError> {
        list(look).await
    }

    fn observed(
        answer: Arc<[Address]>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::ElasticIp, context.cluster);
        let found = |address: &Address| {
            let tags = tags::from_ec2(address.tags());
            let allocation = field(address.allocation_id(), &id, "the allocation's id")?;
            let name = if tags.contains_key(shared::MASTER) {
                tagging::only_name(&tags, &Self::name_of(context.cluster))
            } else {
                tagging::name(&tags, allocation)
            };
            let observed = Self { name: name.clone(), tags };
            let identity = observed.identity(allocation, address.public_ip());
            let found = ObservedResource::new(name, Resource::ElasticIp(observed), identity);
            Ok(found.with_circumstances(circumstances(address)))
        };
        answer.iter().map(found).collect()
    }
}

impl ElasticIp {
    /// The output that says which address it is.
    pub const ADDRESS: &'static str = "its address";

    fn identity(&self, allocation: &str, address: Option<&str>) -> Identity {
        names_in_zones::with_names(Identity::new(allocation).with(Self::ADDRESS, address), &self.tags)
    }

    /// What the API's address is called.
    pub fn name_of(cluster: &str) -> String {
        format!("api.{cluster}")
    }
}

/// The cluster's addresses.
async fn list(look: &Look<'_>) -> Result<Arc<[Address]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::ElasticIp, context.cluster);
        let call = context.clients.ec2.describe_addresses();
        let call = match context.sought {
            Sought::All => call.filters(tags::of_cluster(context.cluster)),
            Sought::Id(id) => call.allocation_ids(id),
        };
        let answer = call.send().await.during("ec2", "DescribeAddresses", &id)?;
        let mut addresses = answer.addresses.unwrap_or_default();
        addresses.retain(|address| context.owner.owns(&tags::from_ec2(address.tags())));
        Ok(addresses)
    };
    look.answers.addresses.or_ask(ask).await
}

/// Where the cluster's addresses have names, by what their tags say: hosted zones' ids, and names in them.
pub(super) async fn names_in_zones(look: &Look<'_>) -> Result<BTreeSet<(String, String)>, CloudError> {
    if let Some(known) = look.known {
        return Ok(names_in_zones::of_known(Kind::ElasticIp, known));
    }
    let addresses = list(look).await?;
    Ok(addresses
        .iter()
        .flat_map(|address| names_in_zones::of_tags(&tags::from_ec2(address.tags())))
        .collect())
}

/// EC2 doesn't say since when an address is allocated.
fn circumstances(address: &Address) -> String {
    let ip = address.public_ip().unwrap_or_default();
    match holder(address) {
        Some(holder) => format!("{ip}, associated with {holder}"),
        None => format!("{ip}, associated with nothing"),
    }
}

/// What an address is associated with. Empty strings stand for nothing in some of EC2's answers.
fn holder(address: &Address) -> Option<&str> {
    [address.instance_id(), address.network_interface_id()].into_iter().flatten().find(|id| !id.is_empty())
}

/// An Elastic IP that could be one which the cluster has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// AWS's id.
    pub id: String,
    /// The public address.
    pub ip: String,
    /// Its `Name`.
    pub name: Option<String>,
    /// What it is associated with.
    pub holder: Option<String>,
    /// The private address that it stands for.
    pub private_address: Option<Ipv4Addr>,
    /// The master whose agent looks for it: it carries the tags that agents go by.
    pub master: Option<String>,
    /// The uid of another cluster of this name that it is marked as belonging to.
    pub other_uid: Option<String>,
}

impl fmt::Display for Stray {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, ip, name, holder, private_address, master, other_uid } = self;
        write!(formatter, "{id}: {ip}")?;
        match name {
            Some(name) => write!(formatter, ", called {name}")?,
            None => write!(formatter, ", without a name")?,
        }
        if let Some(master) = master {
            write!(formatter, ", tagged {}={master}", shared::MASTER)?;
        }
        if let Some(uid) = other_uid {
            write!(formatter, ", tagged {}={uid}", tags::UID)?;
        }
        match (holder, private_address) {
            (Some(holder), Some(address)) => write!(formatter, ", associated with {address} of {holder}"),
            (Some(holder), None) => write!(formatter, ", associated with {holder}"),
            (None, _) => write!(formatter, ", associated with nothing"),
        }
    }
}

/// The Elastic IPs of the region but those that say they are for a cluster of another name.
pub async fn strays(clients: &Clients, owner: &Owner) -> Result<Vec<Stray>, AwsError> {
    let answer = clients.ec2.describe_addresses().send().await;
    let answer = answer.during("ec2", "DescribeAddresses", &owner.cluster)?;
    Ok(answer.addresses().iter().filter_map(|address| stray(address, owner)).collect())
}

fn stray(address: &Address, owner: &Owner) -> Option<Stray> {
    let tags = tags::all_from_ec2(address.tags());
    let is_another_s = |key| tags.get(key).is_some_and(|cluster: &String| *cluster != owner.cluster);
    if is_another_s(tags::MANAGED) || is_another_s(shared::CLUSTER) {
        return None;
    }
    let found_by_agents = tags.contains_key(shared::CLUSTER);
    let is_namesake_s = owner.of(&tags) == Ownership::Namesake;
    Some(Stray {
        id: address.allocation_id()?.to_owned(),
        ip: address.public_ip().unwrap_or_default().to_owned(),
        name: tags.get("Name").cloned(),
        holder: holder(address).map(str::to_owned),
        private_address: address.private_ip_address().and_then(|address| address.parse().ok()),
        master: tags.get(shared::MASTER).filter(|_| found_by_agents).cloned(),
        other_uid: tags.get(tags::UID).filter(|_| is_namesake_s).cloned(),
    })
}
