//! A name in a hosted zone, of the API or of bastions: an A record that leads to addresses or, as an alias, to a load
//! balancer, beside it an AAAA record where that has IPv6 addresses, and the TXT record that says whose it is.
//!
//! Both are made, changed and deleted in one batch, which Route 53 does whole or not at all. A batch creates what isn't
//! there and deletes what was read, value for value, so that it fails where somebody else was faster.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::slice;
use std::time::Duration;

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ChangeInfo, ChangeStatus, ResourceRecord,
    ResourceRecordSet, RrType,
};
use futures::future::try_join_all;
use futures::try_join;

use super::context::{Context, Identity, Names, ObservedResource};
use super::elastic_ip::{self, ElasticIp};
use super::error::{CloudError, field};
use super::fields::Fields;
use super::load_balancing::{self, NetworkLoadBalancer};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::{Kind, Resource};
use crate::aws::During;
use crate::aws::error::AwsError;
use crate::aws::hosted_zone::{self, Records};
use crate::aws::retry::{Look as Found, Patience, wait_for};

/// How long resolvers may keep the answer, in seconds: as long as nobody minds waiting when the address changes.
const TTL: i64 = 60;

/// How long a change may take until all of Route 53's servers answer with it; usually it takes less than a minute
/// (API_ChangeResourceRecordSets).
const SYNC: Duration = Duration::from_mins(5);

/// A name in a hosted zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// `<hosted zone's id>/<domain>`: the same domain in another zone is another record set.
    pub name: String,
    /// The hosted zone's id.
    pub zone: String,
    /// Such as `api.demo.example.com`.
    pub domain: String,
    /// What it leads to; absent in what is observed where somebody removed the A record.
    pub leads_to: Option<LeadsTo>,
    /// Whether there is an AAAA record beside the A record, the same alias.
    pub ipv6: bool,
    /// How long resolvers may keep it, in seconds; an alias has its target's.
    pub ttl: Option<i64>,
    /// The text of the TXT record.
    pub owner: String,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadsTo {
    /// Elastic IPs, whichever addresses they are.
    ElasticIps(BTreeSet<Reference<ElasticIp>>),
    /// Addresses that the specification knows.
    Addresses(BTreeSet<Ipv4Addr>),
    /// The addresses of a load balancer, whichever they are.
    LoadBalancer(Reference<NetworkLoadBalancer>),
}

impl ResourceKind for RecordSet {
    const KIND: Kind = Kind::RecordSet;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::ElasticIp, Kind::NetworkLoadBalancer],
        creation: Creation::ReadsFirst,
        ..Declaration::of("record-set")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, zone, domain, leads_to, ipv6, ttl, owner } = self;
        let fields = Fields::default().one("hostedZone", zone).one("name", domain);
        let fields = match leads_to {
            Some(LeadsTo::ElasticIps(addresses)) => fields.references("elasticIps", addresses),
            Some(LeadsTo::Addresses(addresses)) => fields.set("addresses", addresses),
            Some(LeadsTo::LoadBalancer(balancer)) => fields.reference("loadBalancer", balancer),
            None => fields,
        };
        fields.maybe("ipv6", ipv6.then_some(true)).maybe("ttl", *ttl).one("owner", owner)
    }

    /// What is there by now is read first: a call whose reply was lost may have made it, and then all is done.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let there = self.there(context).await?;
        if there.is_foreign_to(&self.owner) {
            return Err(CloudError::ForeignRecords { resource: id.clone(), found: there.described() });
        }
        let mut wanted = vec![
            self.address_record(RrType::A, context, id)?,
            self.record(RrType::Txt, slice::from_ref(&self.owner), id)?,
        ];
        if self.ipv6 {
            wanted.push(self.address_record(RrType::Aaaa, context, id)?);
        }
        let owned = self.owned(&there);
        let gone = owned.iter().filter(|set| !wanted.contains(set)).map(|set| (ChangeAction::Delete, set));
        let new = wanted.iter().filter(|set| !owned.contains(set)).map(|set| (ChangeAction::Create, set));
        self.change(gone.chain(new), context, id).await?;
        Ok(Identity::new(&self.name))
    }

    /// A name that leads elsewhere is turned to a load balancer when that has somebody to lead to.
    async fn update(
        &self,
        from: &Self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        if let Some(LeadsTo::LoadBalancer(balancer)) = &self.leads_to
            && self.leads_to != from.leads_to
            && from.leads_to.is_some()
        {
            load_balancing::wait_until_it_answers(&context.ids.of(balancer)?, context, id).await?;
        }
        self.create(context, id).await
    }

    /// Deletes what is the cluster's by now, and nothing else of the same name.
    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let there = match self.there(context).await {
            // A hosted zone that is gone has taken its record sets with it.
            Err(error) if error.is_not_found() => return Ok(()),
            there => there?,
        };
        if !there.is_owned_by(&self.owner) {
            return Ok(());
        }
        let owned = self.owned(&there);
        self.change(owned.iter().map(|set| (ChangeAction::Delete, set)), context, id).await
    }

    /// Looks where the tags of Elastic IPs and load balancers say. A hosted zone that is gone has taken its record sets with it.
    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let (addresses, balancers) =
            try_join!(elastic_ip::names_in_zones(look), load_balancing::names_in_zones(look))?;
        let places = addresses.union(&balancers).cloned().collect::<Vec<_>>().into_iter();
        let described =
            try_join_all(places.map(|(zone, domain)| describe(look.context, zone, domain))).await?;
        Ok(described.into_iter().flatten().collect())
    }

    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let owner = hosted_zone::owner(context.cluster, &context.clients.region);
        let ours = answer.iter().filter(|described| described.records.is_owned_by(&owner));
        let found = ours.map(|described| {
            let seen = Self::seen(described, names, &owner);
            let identity = Identity::new(&seen.name);
            ObservedResource::new(seen.name.clone(), Resource::RecordSet(seen), identity)
        });
        Ok(found.collect())
    }
}

impl RecordSet {
    /// A name in the hosted zone of this id.
    pub fn new(zone: &str, domain: &str, leads_to: LeadsTo, ipv6: bool, owner: String) -> Self {
        let (name, zone, domain) = (format!("{zone}/{domain}"), zone.to_owned(), domain.to_owned());
        let ttl = if matches!(leads_to, LeadsTo::LoadBalancer(_)) { None } else { Some(TTL) };
        Self { name, zone, domain, leads_to: Some(leads_to), ipv6, ttl, owner }
    }

    fn seen(described: &Described, names: &Names, owner: &str) -> Self {
        let Described { zone, domain, records } = described;
        let addresses: Vec<&ResourceRecordSet> = records.of_type(&RrType::A).collect();
        let leads_to = (!addresses.is_empty()).then(|| leads_to(&addresses, names));
        Self {
            name: format!("{zone}/{domain}"),
            zone: zone.clone(),
            domain: domain.clone(),
            leads_to,
            ipv6: aliases_beside(records).next().is_some(),
            ttl: addresses.first().and_then(|set| set.ttl()),
            owner: owner.to_owned(),
        }
    }

    /// What there is of this name by now.
    async fn there(&self, context: &Context<'_>) -> Result<Records, AwsError> {
        Records::read(context.clients, &self.zone, &self.domain).await
    }

    /// Of a name that is the cluster's, what is its own: the addresses and the TXT record. Nothing of a name that isn't. An AAAA
    /// record that somebody made is in the way of one that is wanted, and is left alone otherwise.
    fn owned(&self, there: &Records) -> Vec<ResourceRecordSet> {
        if !there.is_owned_by(&self.owner) {
            return Vec::new();
        }
        let is_mark = |set: &&ResourceRecordSet| hosted_zone::values(set) == [self.owner.as_str()];
        let own = there.of_type(&RrType::A).chain(there.of_type(&RrType::Txt).filter(is_mark));
        if self.ipv6 {
            own.chain(there.of_type(&RrType::Aaaa)).cloned().collect()
        } else {
            own.chain(aliases_beside(there)).cloned().collect()
        }
    }

    fn address_record(
        &self,
        kind: RrType,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<ResourceRecordSet, CloudError> {
        match field(self.leads_to.as_ref(), id, "what it leads to")? {
            LeadsTo::ElasticIps(addresses) => {
                let addresses =
                    addresses.iter().map(|address| context.ids.output(address, ElasticIp::ADDRESS));
                self.record(kind, &addresses.collect::<Result<Vec<String>, _>>()?, id)
            }
            LeadsTo::Addresses(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
                self.record(kind, &addresses, id)
            }
            LeadsTo::LoadBalancer(balancer) => {
                // Route 53 compares aliases as it writes them, in lower case with the root's dot behind.
                let name = context.ids.output(balancer, NetworkLoadBalancer::DNS_NAME)?.to_ascii_lowercase();
                let target = AliasTarget::builder()
                    .dns_name(format!("{name}."))
                    .hosted_zone_id(context.ids.output(balancer, NetworkLoadBalancer::ALIAS_ZONE)?)
                    .evaluate_target_health(false);
                let target = target.build().map_err(|error| incomplete(&error, id))?;
                let set = ResourceRecordSet::builder().name(format!("{}.", self.domain)).r#type(kind);
                set.alias_target(target).build().map_err(|error| incomplete(&error, id))
            }
        }
    }

    /// One with these values, in their order: Route 53 gives them back in one of its own.
    fn record(
        &self,
        kind: RrType,
        values: &[String],
        id: &ResourceId,
    ) -> Result<ResourceRecordSet, CloudError> {
        let records = values.iter().map(|value| ResourceRecord::builder().value(value).build());
        let records: Result<Vec<ResourceRecord>, _> = records.collect();
        let records = records.map_err(|error| incomplete(&error, id))?;
        // As Route 53 writes names, so that what is there and what shall be compare.
        let set = ResourceRecordSet::builder().name(format!("{}.", self.domain)).r#type(kind);
        set.ttl(TTL).set_resource_records(Some(records)).build().map_err(|error| incomplete(&error, id))
    }

    /// Makes all changes at once; none is none.
    async fn change<'a>(
        &self,
        changes: impl Iterator<Item = (ChangeAction, &'a ResourceRecordSet)>,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let change = |(action, set): (ChangeAction, &ResourceRecordSet)| {
            Change::builder().action(action).resource_record_set(set.clone()).build()
        };
        let changes: Result<Vec<Change>, _> = changes.map(change).collect();
        let changes = changes.map_err(|error| incomplete(&error, id))?;
        if changes.is_empty() {
            return Ok(());
        }
        let batch = ChangeBatch::builder().comment(format!("windlass: {}", context.cluster));
        let batch = batch.set_changes(Some(changes)).build().map_err(|error| incomplete(&error, id))?;
        let call = context.clients.route53.change_resource_record_sets();
        let call = call.hosted_zone_id(&self.zone).change_batch(batch);
        let made = call.send().await.during("route53", "ChangeResourceRecordSets", id)?;
        until_in_sync(context, id, made.change_info(), &self.domain).await
    }
}

/// Waits until all of Route 53's servers know of a change.
pub(super) async fn until_in_sync(
    context: &Context<'_>,
    id: &ResourceId,
    change: Option<&ChangeInfo>,
    of: &str,
) -> Result<(), CloudError> {
    let Some(change) = change.filter(|change| *change.status() != ChangeStatus::Insync) else {
        return Ok(());
    };
    let what = format!("all of Route 53's servers to answer with the change of `{of}`");
    let change = change.id().trim_start_matches("/change/").to_owned();
    let look = || in_sync(context, id, &change);
    Ok(context.waiting(wait_for(what, Patience::of(SYNC), look)).await?)
}

async fn in_sync(context: &Context<'_>, id: &ResourceId, change: &str) -> Result<Found<()>, AwsError> {
    let answer = context.clients.route53.get_change().id(change).send().await;
    let answer = answer.during("route53", "GetChange", id)?;
    let is_in_sync = answer.change_info().is_some_and(|change| *change.status() == ChangeStatus::Insync);
    Ok(if is_in_sync { Found::Done(()) } else { Found::Wait("the change is pending".to_owned()) })
}

/// The AAAA records that are the same alias as the A record beside them.
fn aliases_beside(records: &Records) -> impl Iterator<Item = &ResourceRecordSet> {
    let alias = records.of_type(&RrType::A).find_map(ResourceRecordSet::alias_target);
    let same = move |set: &&ResourceRecordSet| {
        let both = set.alias_target().zip(alias);
        both.is_some_and(|(beside, alias)| beside.dns_name() == alias.dns_name())
    };
    records.of_type(&RrType::Aaaa).filter(same)
}

/// What A records lead to: an alias's name is looked for among those of load balancers. There are several only where somebody
/// gave them weights or places; then what they say isn't what windlass makes, whatever it is.
fn leads_to(sets: &[&ResourceRecordSet], names: &Names) -> LeadsTo {
    if let [set] = sets
        && let Some(target) = set.alias_target()
    {
        let name = target.dns_name().trim_end_matches('.').to_ascii_lowercase();
        let name = name.strip_prefix("dualstack.").unwrap_or(&name);
        return LeadsTo::LoadBalancer(names.reference_by_output(NetworkLoadBalancer::DNS_NAME, name));
    }
    let values: BTreeSet<&str> = match sets {
        [set] => hosted_zone::values(set).into_iter().collect(),
        _ => BTreeSet::new(),
    };
    // Which addresses are private can't be told by their ranges: a VPC may have any.
    let addresses: Option<BTreeSet<Ipv4Addr>> = values.iter().map(|value| value.parse().ok()).collect();
    let elastic: BTreeSet<&str> = names
        .outputs_of(Kind::ElasticIp)
        .filter_map(|(_, outputs)| outputs.get(ElasticIp::ADDRESS).map(String::as_str))
        .collect();
    if let Some(addresses) = addresses.filter(|it| !it.is_empty() && values.is_disjoint(&elastic)) {
        return LeadsTo::Addresses(addresses);
    }
    let shown: Vec<String> = match sets {
        [_] => values.into_iter().map(str::to_owned).collect(),
        several => vec![several.iter().map(|set| hosted_zone::shown(set)).collect::<Vec<_>>().join(" ")],
    };
    let addresses = shown.iter().map(|value| names.reference_by_output(ElasticIp::ADDRESS, value));
    LeadsTo::ElasticIps(addresses.collect())
}

/// What there is of a name.
pub struct Described {
    zone: String,
    domain: String,
    records: Records,
}

/// What there is of a name in a hosted zone; nothing where there is no such zone.
async fn describe(
    context: &Context<'_>,
    zone: String,
    domain: String,
) -> Result<Option<Described>, CloudError> {
    match Records::read(context.clients, &zone, &domain).await {
        Ok(records) => Ok(Some(Described { zone, domain, records })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A request that the SDK doesn't take.
fn incomplete(error: &aws_sdk_route53::error::BuildError, id: &ResourceId) -> CloudError {
    AwsError::unexpected("route53", "ChangeResourceRecordSets", id, error.to_string()).into()
}
