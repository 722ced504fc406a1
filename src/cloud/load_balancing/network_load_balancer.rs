//! Network Load Balancers, without what they listen to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use aws_sdk_elasticloadbalancingv2::types::{
    AvailabilityZone, IpAddressType, LoadBalancer as Answer, LoadBalancerAttribute, LoadBalancerSchemeEnum,
    LoadBalancerTypeEnum, SubnetMapping,
};
use futures::future::try_join_all;

use super::super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::super::error::{CloudError, field, gone};
use super::super::fields::{Change, Effect, Fields};
use super::super::kinds::{Kind, Resource};
use super::super::look::{Look, TaggedLoadBalancer as Tagged};
use super::super::names_in_zones;
use super::super::namesakes::Namesake;
use super::super::reference::{Reference, ResourceId};
use super::super::resource_kind::{Creation, Declaration, ResourceKind};
use super::super::security_group::SecurityGroup;
use super::super::subnet::Subnet;
use super::super::tagging;
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};
use crate::spec::cluster::AccessLog;

const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
const LOGS: &str = "access_logs.s3.enabled";
const LOGS_BUCKET: &str = "access_logs.s3.bucket";
const LOGS_PREFIX: &str = "access_logs.s3.prefix";

/// A Network Load Balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkLoadBalancer {
    /// As [`super::name_of`] makes it.
    pub name: String,
    /// Whether it has addresses of the VPC alone.
    pub internal: bool,
    /// Whether it has an IPv6 address beside the IPv4 address in each of its subnets.
    pub dual_stack: bool,
    /// Where it is.
    pub subnets: BTreeSet<Mapping>,
    /// Who may reach it.
    pub security_groups: BTreeSet<Reference<SecurityGroup>>,
    /// Whether each of its addresses leads to targets in all zones.
    pub cross_zone: bool,
    /// Where its access log is written.
    pub access_log: Option<AccessLog>,
    /// What leads it to the Internet, which must be there first where windlass makes it. Not compared.
    pub way_out: Option<ResourceId>,
    /// Its tags.
    pub tags: Tags,
}

/// A subnet that a load balancer is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// The subnet.
    pub subnet: Reference<Subnet>,
    /// Its own address there, or the allocation of an Elastic IP, where it isn't AWS's choice.
    pub address: Option<String>,
}

impl fmt::Display for Mapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(formatter, "{} ({address})", self.subnet),
            None => self.subnet.fmt(formatter),
        }
    }
}

/// One with all that is compared.
pub struct Described {
    tagged: Tagged,
    attributes: BTreeMap<String, String>,
}

impl ResourceKind for NetworkLoadBalancer {
    const KIND: Kind = Kind::NetworkLoadBalancer;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Subnet, Kind::SecurityGroup],
        // What comes in its place answers first: it has its targets, and names lead to it.
        deleted_after_steps_of: &[Kind::AutoScalingGroup, Kind::RecordSet],
        // Its tags say where its record set is: that must be gone before they say something else.
        changed_after_deletion_of: &[Kind::RecordSet],
        creation: Creation::Repeatable,
        ..Declaration::of("network-load-balancer")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self {
            name: _,
            internal,
            dual_stack,
            subnets,
            security_groups,
            cross_zone,
            access_log,
            way_out,
            tags,
        } = self;
        let log = access_log.as_ref().map(|AccessLog { bucket, prefix }| format!("s3://{bucket}/{prefix}"));
        Fields::default()
            .one("scheme", scheme(*internal).as_str())
            .maybe("addresses", dual_stack.then_some(IpAddressType::Dualstack.as_str()))
            .members("subnets", subnets.iter().map(|mapping| (mapping, Some(mapping.subnet.id()))))
            .references("securityGroups", security_groups)
            .one("crossZone", cross_zone)
            .maybe("accessLog", log)
            .needs(way_out.clone())
            .map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    /// API_SetSubnets: a Network Load Balancer keeps the subnets that it has, with their addresses.
    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "subnets" if change.to.is_none() => Effect::Refused(
                "a Network Load Balancer can't leave a subnet or change its address there: keep both as they are, or \
                 give the API another form for a while (`type`)",
            ),
            "scheme" => Effect::Refused("a load balancer is public or internal for life"),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .elbv2
            .create_load_balancer()
            .name(&self.name)
            .r#type(LoadBalancerTypeEnum::Network)
            .scheme(scheme(self.internal))
            .set_ip_address_type(self.dual_stack.then_some(IpAddressType::Dualstack))
            .set_subnet_mappings(Some(self.mappings(context)?))
            .set_security_groups(Some(self.group_ids(context)?))
            .set_tags(Some(super::to_elb(&self.tags)));
        let made = call.send().await.during("elasticloadbalancing", "CreateLoadBalancer", id)?;
        let identity = self.identity(field(made.load_balancers().first(), id, "the load balancer")?, id)?;
        context.ids.insert(id.clone(), identity.clone());
        let bare = Self { cross_zone: false, access_log: None, ..self.clone() };
        self.update(&bare, &identity, context, id).await?;
        Ok(identity)
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let elb = &context.clients.elbv2;
        if self.subnets != from.subnets {
            let call = elb.set_subnets().load_balancer_arn(&identity.id);
            let call = call.set_subnet_mappings(Some(self.mappings(context)?));
            call.send().await.during("elasticloadbalancing", "SetSubnets", id)?;
        }
        if self.dual_stack != from.dual_stack {
            let kind = if self.dual_stack { IpAddressType::Dualstack } else { IpAddressType::Ipv4 };
            let call = elb.set_ip_address_type().load_balancer_arn(&identity.id).ip_address_type(kind);
            call.send().await.during("elasticloadbalancing", "SetIpAddressType", id)?;
        }
        if self.security_groups != from.security_groups {
            let call = elb.set_security_groups().load_balancer_arn(&identity.id);
            let call = call.set_security_groups(Some(self.group_ids(context)?));
            call.send().await.during("elasticloadbalancing", "SetSecurityGroups", id)?;
        }
        if (self.cross_zone, &self.access_log) != (from.cross_zone, &from.access_log) {
            let call = elb.modify_load_balancer_attributes().load_balancer_arn(&identity.id);
            let call = call.set_attributes(Some(self.attributes()));
            call.send().await.during("elasticloadbalancing", "ModifyLoadBalancerAttributes", id)?;
        }
        super::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(names_in_zones::with_names(identity.clone(), &self.tags))
    }

    /// Its listeners go with it.
    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.elbv2.delete_load_balancer().load_balancer_arn(&identity.id);
        gone(call.send().await.during("elasticloadbalancing", "DeleteLoadBalancer", id))
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let tagged = tagged(look).await?;
        let attributes = tagged.iter().map(|it| attributes(look.context, &it.balancer));
        let attributes = try_join_all(attributes).await?;
        let described = tagged.iter().cloned().zip(attributes);
        Ok(described.map(|(tagged, attributes)| Described { tagged, attributes }).collect())
    }

    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let mut found = Vec::new();
        for described in &answer {
            let Tagged { balancer, tags } = &described.tagged;
            let name = balancer.load_balancer_name().unwrap_or_default().to_owned();
            let id = ResourceId::new(Kind::NetworkLoadBalancer, &name);
            if !tagging::is_ours(context, tags, &id)? {
                continue;
            }
            let seen = Self::seen(described, names);
            let identity = seen.identity(balancer, &id)?;
            found.push(ObservedResource::new(name, Resource::NetworkLoadBalancer(seen), identity));
        }
        Ok(found)
    }

    async fn namesake(&self, context: &Context<'_>, id: &ResourceId) -> Result<Option<Namesake>, AwsError> {
        let call = context.clients.elbv2.describe_load_balancers().names(&self.name);
        let answer = call.send().await.during("elasticloadbalancing", "DescribeLoadBalancers", id)?;
        let arn = answer.load_balancers().first().and_then(Answer::load_balancer_arn).map(str::to_owned);
        Ok(arn.map(|aws_id| Namesake { aws_id, tags: Tags::new() }))
    }
}

impl NetworkLoadBalancer {
    /// The output that says by which name it is reached.
    pub const DNS_NAME: &'static str = "its DNS name";

    /// The output that says in which hosted zone of AWS's that name is: what an alias refers to.
    pub const ALIAS_ZONE: &'static str = "the hosted zone of its DNS name";

    /// For what the cluster has load balancers.
    pub const PURPOSES: [&'static str; 2] = ["api", "bastion"];

    fn identity(&self, answer: &Answer, id: &ResourceId) -> Result<Identity, CloudError> {
        let identity = Identity::new(field(answer.load_balancer_arn(), id, "its ARN")?)
            .with(Self::DNS_NAME, answer.dns_name().map(str::to_ascii_lowercase))
            .with(Self::ALIAS_ZONE, answer.canonical_hosted_zone_id());
        Ok(names_in_zones::with_names(identity, &self.tags))
    }

    fn seen(described: &Described, names: &Names) -> Self {
        let Described { tagged: Tagged { balancer, tags }, attributes } = described;
        let is_on = |key: &str| attributes.get(key).is_some_and(|value| value == "true");
        let text = |key: &str| attributes.get(key).cloned().unwrap_or_default();
        Self {
            name: balancer.load_balancer_name().unwrap_or_default().to_owned(),
            internal: balancer.scheme() == Some(&LoadBalancerSchemeEnum::Internal),
            dual_stack: balancer.ip_address_type() == Some(&IpAddressType::Dualstack),
            subnets: balancer.availability_zones().iter().filter_map(|zone| mapping(zone, names)).collect(),
            security_groups: balancer.security_groups().iter().map(|id| names.reference(id)).collect(),
            cross_zone: is_on(CROSS_ZONE),
            access_log: is_on(LOGS)
                .then(|| AccessLog { bucket: text(LOGS_BUCKET), prefix: text(LOGS_PREFIX) }),
            way_out: None,
            tags: tags.clone(),
        }
    }

    fn mappings(&self, context: &Context<'_>) -> Result<Vec<SubnetMapping>, CloudError> {
        let mapping = |mapping: &Mapping| {
            let made = SubnetMapping::builder().subnet_id(context.ids.of(&mapping.subnet)?);
            let made = match &mapping.address {
                Some(allocation) if allocation.starts_with("eipalloc-") => made.allocation_id(allocation),
                address => made.set_private_ipv4_address(address.clone()),
            };
            Ok(made.build())
        };
        self.subnets.iter().map(mapping).collect()
    }

    fn group_ids(&self, context: &Context<'_>) -> Result<Vec<String>, CloudError> {
        self.security_groups.iter().map(|group| context.ids.of(group)).collect()
    }

    fn attributes(&self) -> Vec<LoadBalancerAttribute> {
        let mut attributes =
            vec![(CROSS_ZONE, self.cross_zone.to_string()), (LOGS, self.access_log.is_some().to_string())];
        if let Some(AccessLog { bucket, prefix }) = &self.access_log {
            attributes.extend([(LOGS_BUCKET, bucket.clone()), (LOGS_PREFIX, prefix.clone())]);
        }
        let built = attributes.into_iter();
        built.map(|(key, value)| LoadBalancerAttribute::builder().key(key).value(value).build()).collect()
    }
}

fn scheme(internal: bool) -> LoadBalancerSchemeEnum {
    if internal { LoadBalancerSchemeEnum::Internal } else { LoadBalancerSchemeEnum::InternetFacing }
}

/// A subnet as Elastic Load Balancing describes it: an address stands there only where it was asked for
/// (API_LoadBalancerAddress).
fn mapping(zone: &AvailabilityZone, names: &Names) -> Option<Mapping> {
    let addresses = zone.load_balancer_addresses().iter();
    let mut given =
        addresses.filter_map(|address| address.allocation_id().or(address.private_ipv4_address()));
    Some(Mapping {
        subnet: names.reference(zone.subnet_id()?),
        address: given.next().filter(|address| !address.is_empty()).map(str::to_owned),
    })
}

/// The load balancers that may be the cluster's, by their names.
async fn tagged(look: &Look<'_>) -> Result<Arc<[Tagged]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::NetworkLoadBalancer, context.cluster);
        let all = super::load_balancers(look).await?;
        let is_sought = |balancer: &&Answer| match context.sought {
            Sought::All => {
                let name = balancer.load_balancer_name();
                super::may_be_ours(name, &NetworkLoadBalancer::PURPOSES, context.cluster)
            }
            Sought::Id(arn) => balancer.load_balancer_arn() == Some(arn),
        };
        let sought: Vec<&Answer> = all.iter().filter(is_sought).collect();
        let arns = sought.iter().filter_map(|balancer| balancer.load_balancer_arn()).collect();
        let mut tags = super::tags_of(context, &id, arns).await?;
        let tagged = sought.into_iter().map(|balancer| {
            let tags = tags.remove(balancer.load_balancer_arn().unwrap_or_default()).unwrap_or_default();
            Tagged { balancer: balancer.clone(), tags: tags::managed(tags) }
        });
        Ok(tagged.collect())
    };
    look.answers.tagged_load_balancers.or_ask(ask).await
}

async fn attributes(
    context: &Context<'_>,
    balancer: &Answer,
) -> Result<BTreeMap<String, String>, CloudError> {
    let id = ResourceId::new(Kind::NetworkLoadBalancer, balancer.load_balancer_name().unwrap_or_default());
    let arn = field(balancer.load_balancer_arn(), &id, "its ARN")?;
    let call = context.clients.elbv2.describe_load_balancer_attributes().load_balancer_arn(arn);
    let answer = call.send().await.during("elasticloadbalancing", "DescribeLoadBalancerAttributes", &id)?;
    let attributes = answer.attributes().iter();
    let pair = |attribute: &LoadBalancerAttribute| {
        Some((attribute.key()?.to_owned(), attribute.value().unwrap_or_default().to_owned()))
    };
    Ok(attributes.filter_map(pair).collect())
}

/// The ARNs of the cluster's load balancers.
pub(super) async fn arns(look: &Look<'_>) -> Result<Vec<String>, CloudError> {
    if let Some(names) = look.known {
        return Ok(names.ids_of(Kind::NetworkLoadBalancer));
    }
    let tagged = tagged(look).await?;
    let own = tagged.iter().filter(|it| look.context.owner.owns(&it.tags));
    Ok(own.filter_map(|it| it.balancer.load_balancer_arn().map(str::to_owned)).collect())
}

/// Where the cluster's load balancers have names, by what their tags say: hosted zones' ids, and names in them.
pub async fn names_in_zones(look: &Look<'_>) -> Result<BTreeSet<(String, String)>, CloudError> {
    if let Some(known) = look.known {
        return Ok(names_in_zones::of_known(Kind::NetworkLoadBalancer, known));
    }
    let tagged = tagged(look).await?;
    let own = tagged.iter().map(|it| &it.tags).filter(|tags| look.context.owner.owns(tags));
    Ok(own.flat_map(names_in_zones::of_tags).collect())
}
