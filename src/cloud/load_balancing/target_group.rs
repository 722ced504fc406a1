//! Target groups of windlass's load balancers: which port of instances they lead to, and when an instance is well. Auto
//! Scaling registers the instances of its groups, and takes them away before it terminates them.
//!
//! An API server says by `/readyz` that it is going to end, half a minute before it stops answering (the agent's
//! `control_plane/api_server_pod.rs`): it is looked at that way, so that it is taken out by then. What is open to it stays open
//! for longer than it takes to end, where there is another one: a load balancer would cut all of it at once. A TCP connection
//! is all that a bastion can be looked at by.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_elasticloadbalancingv2::types::{
    ProtocolEnum, TargetGroup as Answer, TargetGroupAttribute, TargetTypeEnum,
};
use futures::future::try_join_all;
use futures::try_join;

use super::super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::super::error::{CloudError, field, gone};
use super::super::fields::{Change, Effect, Fields};
use super::super::kinds::{Kind, Resource};
use super::super::look::Look;
use super::super::reference::{Reference, ResourceId};
use super::super::resource_kind::{Creation, Declaration, ResourceKind};
use super::super::tagging;
use super::super::vpc::Vpc;
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// What a target group does with the connections of an instance that goes: after half a minute it ends them, so that clients
/// connect anew to another one (API_TargetGroupAttribute).
const ATTRIBUTES: [(&str, &str); 2] =
    [("deregistration_delay.connection_termination.enabled", "true"), (DEREGISTRATION, "30")];

const DEREGISTRATION: &str = "deregistration_delay.timeout_seconds";

/// The same where one API server goes of several: it takes half a minute and what is under way then until it ends by itself,
/// which it begins to when Auto Scaling takes it out, or when it fails its checks. One that has died keeps its clients waiting
/// for as long, unless they look for themselves whether it lives, as those of Kubernetes do.
const AMONG_SEVERAL: [(&str, &str); 3] =
    [(DEREGISTRATION, "60"), (UNHEALTHY_TERMINATION, "false"), (UNHEALTHY_DRAINING, "60")];

const UNHEALTHY_TERMINATION: &str = "target_health_state.unhealthy.connection_termination.enabled";
const UNHEALTHY_DRAINING: &str = "target_health_state.unhealthy.draining_interval_seconds";

/// What AWS does where nothing is said, of those attributes that aren't said of every target group.
const DEFAULTS: [(&str, &str); 2] = [(UNHEALTHY_TERMINATION, "true"), (UNHEALTHY_DRAINING, "0")];

/// A target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancerTargetGroup {
    /// As [`super::name_of`] makes it.
    pub name: String,
    /// The VPC that its instances are in.
    pub vpc: Reference<Vpc>,
    /// How instances are spoken to.
    pub protocol: Protocol,
    /// The port of instances.
    pub port: u16,
    /// How targets are looked at.
    pub health_check: HealthCheck,
    /// Those of AWS's attributes that windlass sets.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: Tags,
}

/// How targets are looked at, on the port that they are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// By what.
    pub protocol: ProtocolEnum,
    /// What is asked for by HTTPS.
    pub path: Option<String>,
    /// How often, in seconds.
    pub interval: i32,
    /// After how many seconds a look has failed; fewer than `interval`.
    pub timeout: i32,
    /// After how many looks that succeed a target is well.
    pub healthy: i32,
    /// After how many that fail it is unwell.
    pub unhealthy: i32,
}

/// What is behind a target group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// One API server.
    ApiServer,
    /// Several API servers.
    ApiServers,
    /// Bastions.
    Bastions,
}

impl Behind {
    fn health_check(self) -> HealthCheck {
        let by = |protocol, path: Option<&str>, interval, timeout| {
            let path = path.map(str::to_owned);
            HealthCheck { protocol, path, interval, timeout, healthy: 2, unhealthy: 2 }
        };
        match self {
            Self::ApiServer | Self::ApiServers => by(ProtocolEnum::Https, Some("/readyz"), 5, 4),
            Self::Bastions => by(ProtocolEnum::Tcp, None, 10, 5),
        }
    }

    fn attributes(self) -> BTreeMap<String, String> {
        let more = if self == Self::ApiServers { AMONG_SEVERAL.as_slice() } else { &[] };
        ATTRIBUTES.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}

/// How instances are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// What comes is passed on.
    Tcp,
    /// It is encrypted anew.
    Tls,
}

impl Protocol {
    pub(super) fn in_aws(self) -> ProtocolEnum {
        match self {
            Self::Tcp => ProtocolEnum::Tcp,
            Self::Tls => ProtocolEnum::Tls,
        }
    }

    pub(super) fn observed(protocol: Option<&ProtocolEnum>) -> Self {
        if protocol == Some(&ProtocolEnum::Tls) { Self::Tls } else { Self::Tcp }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.in_aws().as_str())
    }
}

/// One with all that is compared.
pub struct Described {
    group: Answer,
    attributes: BTreeMap<String, String>,
    tags: Tags,
}

impl ResourceKind for LoadBalancerTargetGroup {
    const KIND: Kind = Kind::LoadBalancerTargetGroup;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc],
        creation: Creation::Repeatable,
        ..Declaration::of("load-balancer-target-group")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, vpc, protocol, port, health_check, attributes, tags } = self;
        let HealthCheck { protocol: by, path, interval, timeout, healthy, unhealthy } = health_check;
        Fields::default()
            .reference("vpc", vpc)
            .one("protocol", protocol)
            .one("port", port)
            .one("healthCheck.protocol", by)
            .maybe("healthCheck.path", path.as_ref())
            .one("healthCheck.intervalSeconds", interval)
            .one("healthCheck.timeoutSeconds", timeout)
            .one("healthCheck.healthyThreshold", healthy)
            .one("healthCheck.unhealthyThreshold", unhealthy)
            .map("attributes", attributes)
            .map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "vpc" | "protocol" | "port" => {
                Effect::Refused("a target group keeps its VPC, protocol and port for life")
            }
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let HealthCheck { protocol, path, interval, timeout, healthy, unhealthy } = self.health_check.clone();
        let call = context
            .clients
            .elbv2
            .create_target_group()
            .name(&self.name)
            .vpc_id(context.ids.of(&self.vpc)?)
            .protocol(self.protocol.in_aws())
            .port(self.port.into())
            .target_type(TargetTypeEnum::Instance)
            .health_check_protocol(protocol)
            .set_health_check_path(path)
            .health_check_interval_seconds(interval)
            .health_check_timeout_seconds(timeout)
            .healthy_threshold_count(healthy)
            .unhealthy_threshold_count(unhealthy)
            .set_tags(Some(super::to_elb(&self.tags)));
        let made = call.send().await.during("elasticloadbalancing", "CreateTargetGroup", id)?;
        let arn = made.target_groups().first().and_then(Answer::target_group_arn);
        let identity = Identity::new(field(arn, id, "its ARN")?);
        context.ids.insert(id.clone(), identity.clone());
        let bare = Self { attributes: BTreeMap::new(), ..self.clone() };
        self.update(&bare, &identity, context, id).await
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let elb = &context.clients.elbv2;
        if self.health_check != from.health_check {
            let HealthCheck { protocol, path, interval, timeout, healthy, unhealthy } =
                self.health_check.clone();
            let call = elb.modify_target_group().target_group_arn(&identity.id);
            let call = call.health_check_protocol(protocol).set_health_check_path(path);
            let call = call.health_check_interval_seconds(interval).health_check_timeout_seconds(timeout);
            let call = call.healthy_threshold_count(healthy).unhealthy_threshold_count(unhealthy);
            call.send().await.during("elasticloadbalancing", "ModifyTargetGroup", id)?;
        }
        if self.attributes != from.attributes {
            let is_dropped = |(key, _): &(&str, &str)| {
                from.attributes.contains_key(*key) && !self.attributes.contains_key(*key)
            };
            let attributes = self.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let attributes = attributes.chain(DEFAULTS.into_iter().filter(is_dropped));
            let attribute =
                |(key, value): (&str, &str)| TargetGroupAttribute::builder().key(key).value(value).build();
            let call = elb.modify_target_group_attributes().target_group_arn(&identity.id);
            let call = call.set_attributes(Some(attributes.map(attribute).collect()));
            call.send().await.during("elasticloadbalancing", "ModifyTargetGroupAttributes", id)?;
        }
        super::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.elbv2.delete_target_group().target_group_arn(&identity.id);
        gone(call.send().await.during("elasticloadbalancing", "DeleteTargetGroup", id))
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::LoadBalancerTargetGroup, context.cluster);
        let all = super::target_groups(look).await?;
        let is_sought = |group: &&Answer| match context.sought {
            Sought::All => super::may_be_ours(group.target_group_name(), &Self::PURPOSES, context.cluster),
            Sought::Id(arn) => group.target_group_arn() == Some(arn),
        };
        let sought: Vec<&Answer> = all.iter().filter(is_sought).collect();
        let arns: Vec<&str> = sought.iter().filter_map(|group| group.target_group_arn()).collect();
        let (mut tags, attributes) = try_join!(
            super::tags_of(context, &id, arns.clone()),
            try_join_all(arns.iter().map(|arn| attributes(context, &id, arn))),
        )?;
        let described = sought.into_iter().zip(attributes).map(|(group, attributes)| {
            let tags = tags.remove(group.target_group_arn().unwrap_or_default()).unwrap_or_default();
            Described { group: group.clone(), attributes, tags: tags::managed(tags) }
        });
        Ok(described.collect())
    }

    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let mut found = Vec::new();
        for Described { group, attributes, tags } in answer {
            let name = group.target_group_name().unwrap_or_default().to_owned();
            let id = ResourceId::new(Kind::LoadBalancerTargetGroup, &name);
            if !tagging::is_ours(context, &tags, &id)? {
                continue;
            }
            let seen = Self {
                name: name.clone(),
                vpc: names.reference(group.vpc_id().unwrap_or_default()),
                protocol: Protocol::observed(group.protocol()),
                port: group.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
                health_check: HealthCheck {
                    protocol: group.health_check_protocol().cloned().unwrap_or(ProtocolEnum::Tcp),
                    path: group.health_check_path().map(str::to_owned),
                    interval: group.health_check_interval_seconds().unwrap_or_default(),
                    timeout: group.health_check_timeout_seconds().unwrap_or_default(),
                    healthy: group.healthy_threshold_count().unwrap_or_default(),
                    unhealthy: group.unhealthy_threshold_count().unwrap_or_default(),
                },
                attributes,
                tags,
            };
            let identity = Identity::new(field(group.target_group_arn(), &id, "its ARN")?);
            found.push(ObservedResource::new(name, Resource::LoadBalancerTargetGroup(seen), identity));
        }
        Ok(found)
    }
}

impl LoadBalancerTargetGroup {
    /// For what the cluster has target groups.
    pub const PURPOSES: [&'static str; 3] = ["tcp", "tls", "bastion"];

    /// A target group with windlass's health check and attributes for what is behind it.
    pub fn new(
        name: String,
        vpc: Reference<Vpc>,
        (protocol, port): (Protocol, u16),
        behind: Behind,
        tags: Tags,
    ) -> Self {
        let (health_check, attributes) = (behind.health_check(), behind.attributes());
        Self { name, vpc, protocol, port, health_check, attributes, tags }
    }
}

/// Those of a target group's attributes that windlass sets.
async fn attributes(
    context: &Context<'_>,
    id: &ResourceId,
    arn: &str,
) -> Result<BTreeMap<String, String>, CloudError> {
    let call = context.clients.elbv2.describe_target_group_attributes().target_group_arn(arn);
    let answer = call.send().await.during("elasticloadbalancing", "DescribeTargetGroupAttributes", id)?;
    let is_set = |key: &str| ATTRIBUTES.iter().chain(&AMONG_SEVERAL).any(|(known, _)| *known == key);
    let pair = |attribute: &TargetGroupAttribute| {
        let (key, value) = (attribute.key()?, attribute.value().unwrap_or_default());
        let is_told = is_set(key) && !DEFAULTS.contains(&(key, value));
        is_told.then(|| (key.to_owned(), value.to_owned()))
    };
    Ok(answer.attributes().iter().filter_map(pair).collect())
}
