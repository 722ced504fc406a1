//! Hosted zones of Route 53, and whose the record sets of a name are.
//!
//! Record sets have no tags. What windlass makes is a pair of the same name, made and deleted in one batch: the
//! address, and a TXT record that says which cluster it belongs to. A name at which there is anything and not that
//! TXT record is somebody else's, and nothing of it is touched.

use aws_sdk_route53::types::{
    HostedZone as Described, HostedZoneConfig, ResourceRecord, ResourceRecordSet, RrType, Vpc,
};
use futures::future::try_join_all;
use thiserror::Error;

use super::{AwsError, Class, Clients, During};
use crate::spec::cluster::{ApiName, Cluster, DnsZone, Visibility, is_in_zone};

/// Record sets in one answer. A name has about a dozen types at most; more than one of a type is somebody else's.
const PAGE: i32 = 50;

/// A hosted zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedZone {
    /// Such as `Z0123456789ABCDEFGHIJ`.
    pub id: String,
    /// Such as `example.com`.
    pub name: String,
}

/// Why the API's name can't be in the hosted zone.
#[derive(Debug, Error)]
pub enum HostedZoneError {
    /// A call failed.
    #[error("{0}")]
    Aws(#[from] AwsError),
    /// There is none.
    #[error("the account has no {visibility} hosted zone `{written}`")]
    Missing {
        /// As written.
        written: String,
        /// What it is to be.
        visibility: Visibility,
    },
    /// None holds the API's name.
    #[error("no {visibility} hosted zone of the account holds the API's name `{name}`")]
    NoneHolds {
        /// The API's name.
        name: String,
        /// What it is to be.
        visibility: Visibility,
    },
    /// There is one that others see than those that it is meant for.
    #[error(
        "the hosted zone `{written}` is {}, and `topology.dns.type` asks for a {visibility} one",
        if visibility.is_public() { Visibility::Private } else { Visibility::Public }
    )]
    Otherwise {
        /// As written.
        written: String,
        /// What it is to be.
        visibility: Visibility,
    },
    /// A private zone isn't for the VPC that exists already.
    #[error("the private hosted zone `{}` ({}) is not associated with the VPC `{vpc}`", zone.name, zone.id)]
    NotAssociated {
        /// The zone.
        zone: HostedZone,
        /// The VPC's id.
        vpc: String,
        /// The VPC's region.
        region: String,
    },
    /// There are several of that name.
    #[error("there are {} {visibility} hosted zones `{written}`: {}", ids.len(), ids.join(", "))]
    Several {
        /// As written.
        written: String,
        /// What they are.
        visibility: Visibility,
        /// Their ids.
        ids: Vec<String>,
    },
    /// The name belongs elsewhere.
    #[error("the name `{name}` is not in the hosted zone `{}` ({})", zone.name, zone.id)]
    Elsewhere {
        /// Of the API, or of bastions.
        name: String,
        /// The one that would have to hold it.
        zone: HostedZone,
    },
    /// Somebody else has made records of that name.
    #[error(
        "`{name}` is taken in the hosted zone `{}` ({}): {} that this cluster didn't make", zone.name, zone.id,
        found.join(", ")
    )]
    Taken {
        /// Of the API, or of bastions.
        name: String,
        /// The one that holds the records.
        zone: HostedZone,
        /// The record sets, as `A 192.0.2.1`.
        found: Vec<String>,
    },
}

impl HostedZoneError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => error.hint(),
            Self::Missing { visibility: Visibility::Private, .. } => Some(
                "`aws route53 list-hosted-zones` shows those that there are; a private one is made for a VPC, which may be \
                 any of the account's; or leave `dnsZone` and `topology.dns` out: the API then has no name in a zone"
                    .to_owned(),
            ),
            Self::Missing { .. } => Some(
                "`aws route53 list-hosted-zones` shows those that there are; or leave `dnsZone` and `api.dns` out: the \
                 API is then reached at its Elastic IP"
                    .to_owned(),
            ),
            Self::NoneHolds { name, visibility: Visibility::Private } => {
                let parent = parent(name).unwrap_or(name);
                Some(format!(
                    "create one, such as `{parent}`; or set `masterPublicName` to a name in a zone that there is; or leave \
                     `topology.dns` out, for no name at all"
                ))
            }
            Self::NoneHolds { name, .. } => {
                let parent = parent(name).unwrap_or(name);
                Some(format!(
                    "create one, such as `{parent}`; or set `masterPublicName` to a name in a zone that there is; or \
                     write `api: {{elasticIP: {{}}}}` instead of `dns`, for no name at all"
                ))
            }
            Self::Otherwise { visibility: Visibility::Private, .. } => {
                Some("name a private zone, or write `topology: {dns: {type: Public}}`".to_owned())
            }
            Self::NotAssociated { zone, vpc, region } => Some(format!(
                "the zone and the VPC are yours, and windlass doesn't change them: aws route53 \
                 associate-vpc-with-hosted-zone --hosted-zone-id {} --vpc VPCRegion={region},VPCId={vpc}",
                zone.id
            )),
            Self::Otherwise { .. } => Some(
                "name a public zone, or write `topology: {dns: {type: Private}}`; or leave `dnsZone` and `api.dns` out: the API is then reached at its Elastic IP"
                    .to_owned(),
            ),
            Self::Several { ids, .. } => {
                Some(format!("write the id of the one that is meant, such as `dnsZone: {}`", ids.first()?))
            }
            Self::Elsewhere { .. } => {
                Some(
                "name the zone that holds it, or set `masterPublicName`, `masterInternalName` or `bastionPublicName` to a \
                 name in this zone"
                    .to_owned(),
            )
            }
            Self::Taken { .. } => Some(
                "delete them if nobody needs them, or set `masterPublicName` to another name of the zone; nothing was \
                 changed"
                    .to_owned(),
            ),
        }
    }
}

/// Finds the hosted zone that a specification names. Fails unless it is the only one of its name that is as public or private
/// as is asked for, the API's name is in it, the API's names are free or the cluster's own, and a private one is associated
/// with the VPC where that exists already.
pub async fn find(
    clients: &Clients,
    api: &ApiName,
    cluster: &Cluster,
) -> Result<HostedZone, HostedZoneError> {
    let zone = match &api.zone {
        DnsZone::Name(name) => by_name(clients, name, api.visibility).await?,
        DnsZone::Id(id) => by_id(clients, id, api.visibility).await?,
        DnsZone::Nearest => nearest(clients, api).await?,
    };
    if !is_in_zone(&api.name, &zone.name) {
        return Err(HostedZoneError::Elsewhere { name: api.name.clone(), zone });
    }
    let internal = internal_name(cluster, &zone);
    if internal.is_none() && cluster.api.load_balancer.as_ref().is_some_and(|balancer| balancer.for_nodes) {
        return Err(HostedZoneError::Elsewhere { name: cluster.internal_name(), zone });
    }
    let owner = owner(&cluster.name, &clients.region);
    let bastions = cluster.bastion.as_ref().and_then(|bastion| bastion.name.clone());
    if let Some(name) = bastions.as_ref().filter(|name| !is_in_zone(name, &zone.name)) {
        return Err(HostedZoneError::Elsewhere { name: name.clone(), zone });
    }
    if let (Visibility::Private, Some(vpc)) = (api.visibility, &cluster.network.existing_vpc)
        && !is_associated(clients, &zone.id, vpc).await?
    {
        let (vpc, region) = (vpc.clone(), cluster.region.clone());
        return Err(HostedZoneError::NotAssociated { zone, vpc, region });
    }
    let names = std::iter::once(api.name.clone()).chain(internal).chain(bastions);
    let read =
        names.map(async |name| Ok::<_, AwsError>((Records::read(clients, &zone.id, &name).await?, name)));
    for (there, name) in try_join_all(read).await? {
        if there.is_foreign_to(&owner) {
            return Err(HostedZoneError::Taken { name, zone, found: there.described() });
        }
    }
    Ok(zone)
}

/// The API's name inside of the VPC, where the hosted zone can have it: where the API's name was chosen to be in another zone
/// than the cluster's name, it can't, and nobody but nodes needs it.
pub fn internal_name(cluster: &Cluster, zone: &HostedZone) -> Option<String> {
    Some(cluster.internal_name()).filter(|name| is_in_zone(name, &zone.name))
}

/// The VPCs that see a private hosted zone.
pub async fn associated_vpcs(clients: &Clients, zone: &str) -> Result<Vec<Vpc>, AwsError> {
    let call = clients.route53.get_hosted_zone().id(zone);
    let answer = call.send().await.during("route53", "GetHostedZone", zone)?;
    Ok(answer.vpcs.unwrap_or_default())
}

async fn is_associated(clients: &Clients, zone: &str, vpc: &str) -> Result<bool, AwsError> {
    let vpcs = associated_vpcs(clients, zone).await?;
    Ok(vpcs.iter().any(|associated| associated.vpc_id() == Some(vpc)))
}

/// The zone with the longest name that a name is in, as kops finds it where `dnsZone` is left out. Where a public one is asked
/// for, private ones don't count, and the other way round.
async fn nearest(clients: &Clients, api: &ApiName) -> Result<HostedZone, HostedZoneError> {
    let ApiName { name, visibility, .. } = api;
    for zone in ancestors(name) {
        match by_name(clients, zone, *visibility).await {
            Err(HostedZoneError::Missing { .. } | HostedZoneError::Otherwise { .. }) => {}
            found => return found,
        }
    }
    Err(HostedZoneError::NoneHolds { name: name.clone(), visibility: *visibility })
}

/// The names of the zones that may hold a name, the longest first: `demo.example.com`, `example.com`, `com`.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(name), |zone| parent(zone))
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

async fn by_name(
    clients: &Clients,
    name: &str,
    visibility: Visibility,
) -> Result<HostedZone, HostedZoneError> {
    let call = clients.route53.list_hosted_zones_by_name().dns_name(name);
    let answer = call.send().await.during("route53", "ListHostedZonesByName", name)?;
    // What is listed begins with the name, and goes on with those behind it.
    let (fitting, others): (Vec<&Described>, Vec<&Described>) = answer
        .hosted_zones()
        .iter()
        .filter(|zone| plain(zone.name()) == name)
        .partition(|zone| visibility_of(zone) == visibility);
    let written = name.to_owned();
    match fitting.as_slice() {
        [zone] => Ok(described(zone)),
        [] if others.is_empty() => Err(HostedZoneError::Missing { written, visibility }),
        [] => Err(HostedZoneError::Otherwise { written, visibility }),
        several => {
            let ids = several.iter().map(|zone| described(zone).id).collect();
            Err(HostedZoneError::Several { written, visibility, ids })
        }
    }
}

async fn by_id(clients: &Clients, id: &str, visibility: Visibility) -> Result<HostedZone, HostedZoneError> {
    let call = clients.route53.get_hosted_zone().id(id);
    let written = id.to_owned();
    let zone = match call.send().await.during("route53", "GetHostedZone", id) {
        Ok(answer) => answer.hosted_zone,
        Err(error) if error.class == Class::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    match zone {
        None => Err(HostedZoneError::Missing { written, visibility }),
        Some(zone) if visibility_of(&zone) != visibility => {
            Err(HostedZoneError::Otherwise { written, visibility })
        }
        Some(zone) => Ok(described(&zone)),
    }
}

fn visibility_of(zone: &Described) -> Visibility {
    let is_private = zone.config().is_some_and(HostedZoneConfig::private_zone);
    if is_private { Visibility::Private } else { Visibility::Public }
}

fn described(zone: &Described) -> HostedZone {
    HostedZone {
        id: zone.id().trim_start_matches("/hostedzone/").to_owned(),
        name: plain(zone.name()).to_owned(),
    }
}

/// A name as people write it: Route 53 puts the root's dot behind it.
fn plain(name: &str) -> &str {
    name.trim_end_matches('.')
}

/// The text of the TXT record that marks a name as a cluster's: of the field's form, which begins with `heritage=`.
pub fn owner(cluster: &str, region: &str) -> String {
    format!("\"heritage=windlass,windlass.dev/cluster={cluster},windlass.dev/region={region}\"")
}

/// The record sets of one name in a hosted zone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records(pub Vec<ResourceRecordSet>);

impl Records {
    /// Reads them.
    pub async fn read(clients: &Clients, zone: &str, name: &str) -> Result<Self, AwsError> {
        let call = clients.route53.list_resource_record_sets().hosted_zone_id(zone).start_record_name(name);
        let call = call.max_items(PAGE);
        let answer = call.send().await.during("route53", "ListResourceRecordSets", name)?;
        let of_name = answer.resource_record_sets.into_iter().filter(|set| plain(set.name()) == name);
        Ok(Self(of_name.collect()))
    }

    /// Whether there is anything, and no TXT record that says this owner.
    pub fn is_foreign_to(&self, owner: &str) -> bool {
        !self.0.is_empty() && !self.is_owned_by(owner)
    }

    /// Whether the TXT record is there that says this owner, and nothing else.
    pub fn is_owned_by(&self, owner: &str) -> bool {
        self.of_type(&RrType::Txt).any(|set| values(set) == [owner])
    }

    /// The record sets of a type: more than one only where they are weighted, or chosen by place.
    pub fn of_type(&self, kind: &RrType) -> impl Iterator<Item = &ResourceRecordSet> {
        self.0.iter().filter(move |set| set.r#type() == kind)
    }

    /// As people read them, such as `A 192.0.2.1`.
    pub fn described(&self) -> Vec<String> {
        let describe = |set: &ResourceRecordSet| format!("{} {}", set.r#type().as_str(), shown(set));
        self.0.iter().map(describe).collect()
    }
}

/// The values of a record set, as people read them: an alias's is the name it stands for.
pub fn shown(set: &ResourceRecordSet) -> String {
    match set.alias_target() {
        Some(target) => format!("alias of {}", plain(target.dns_name())),
        None => values(set).join(" "),
    }
}

/// The values of a record set.
pub fn values(set: &ResourceRecordSet) -> Vec<&str> {
    set.resource_records().iter().map(ResourceRecord::value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: RrType, texts: &[&str]) -> ResourceRecordSet {
        let record = |text: &&str| ResourceRecord::builder().value(*text).build().unwrap();
        let records = texts.iter().map(record).collect();
        let set = ResourceRecordSet::builder().name("api.demo.example.com.").r#type(kind);
        set.set_resource_records(Some(records)).build().unwrap()
    }

    #[test]
    fn a_name_is_free_or_marked_as_one_cluster_s_or_somebody_else_s() {
        let ours = owner("demo.example.com", "us-east-1");
        let address = || set(RrType::A, &["192.0.2.1"]);
        let marked = Records(vec![address(), set(RrType::Txt, &[&ours])]);
        assert!(!Records::default().is_foreign_to(&ours));
        assert!(!marked.is_foreign_to(&ours));
        assert!(marked.is_foreign_to(&owner("demo.example.com", "eu-west-1")));
        assert!(marked.is_foreign_to(&owner("other.example.com", "us-east-1")));
        for foreign in
            [vec![address()], vec![set(RrType::Txt, &["\"x\""])], vec![set(RrType::Txt, &[&ours, "\"x\""])]]
        {
            assert!(Records(foreign.clone()).is_foreign_to(&ours), "{foreign:?}");
        }
    }

    #[test]
    fn the_nearest_zone_is_looked_for_from_the_longest_name_on() {
        let zones: Vec<&str> = ancestors("api.demo.example.com").collect();
        assert_eq!(zones, ["demo.example.com", "example.com", "com"]);
        let (name, visibility) = ("api.demo.example.com".to_owned(), Visibility::Public);
        let hint = HostedZoneError::NoneHolds { name, visibility }.hint().unwrap();
        assert!(hint.contains("such as `demo.example.com`"), "{hint}");
    }

    #[test]
    fn a_mark_fits_into_one_text_of_255_characters() {
        let cluster = format!("{}.example.com", "a".repeat(63));
        assert!(owner(&cluster, "ap-southeast-1").len() <= 255 + 2);
    }
}
