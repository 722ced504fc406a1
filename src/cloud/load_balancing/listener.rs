//! Listeners: on which port a load balancer listens, and to which target group it leads.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Certificate as AwsCertificate, Listener as Answer,
};
use futures::future::try_join_all;

use super::super::context::{Context, Identity, Names, ObservedResource};
use super::super::error::{CloudError, field, gone};
use super::super::fields::{Change, Effect, Fields};
use super::super::kinds::{Kind, Resource};
use super::super::look::Look;
use super::super::reference::{Reference, ResourceId};
use super::super::resource_kind::{Creation, Declaration, ResourceKind};
use super::network_load_balancer::{self, NetworkLoadBalancer};
use super::target_group::{LoadBalancerTargetGroup, Protocol};
use crate::aws::During;
use crate::aws::tags::Tags;
use crate::spec::cluster::Certificate;

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancerListener {
    /// `<load balancer>:<port>`.
    pub name: String,
    /// Whose it is.
    pub load_balancer: Reference<NetworkLoadBalancer>,
    /// The port that it listens on.
    pub port: u16,
    /// What it does with what comes.
    pub forwarding: Forwarding,
    /// The tags that it is made with. They aren't compared: a listener is known by its load balancer and its port.
    pub tags: Tags,
}

/// What a listener does with what comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// Where it goes.
    pub target_group: Reference<LoadBalancerTargetGroup>,
    /// The certificate that is shown; without one, TCP is passed through.
    pub certificate: Option<Certificate>,
}

impl Forwarding {
    fn protocol(&self) -> Protocol {
        if self.certificate.is_some() { Protocol::Tls } else { Protocol::Tcp }
    }
}

impl ResourceKind for LoadBalancerListener {
    const KIND: Kind = Kind::LoadBalancerListener;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::NetworkLoadBalancer, Kind::LoadBalancerTargetGroup],
        // The API is reached by it to the end of the old form, and of the cluster.
        deleted_after_steps_of: &[Kind::AutoScalingGroup, Kind::RecordSet],
        creation: Creation::Repeatable,
        ..Declaration::of("load-balancer-listener")
    };
    type Answer = Vec<Answer>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, load_balancer, port, forwarding, tags: _ } = self;
        let Forwarding { target_group, certificate } = forwarding;
        Fields::default()
            .reference("loadBalancer", load_balancer)
            .one("port", port)
            .one("protocol", forwarding.protocol())
            .reference("targetGroup", target_group)
            .maybe("certificate", certificate.as_ref().map(|certificate| &certificate.arn))
            .maybe("tlsPolicy", certificate.as_ref().map(|certificate| &certificate.policy))
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "loadBalancer" | "port" => {
                Effect::Refused("a listener keeps its load balancer and its port for life")
            }
            _ => Effect::InPlace,
        }
    }

    /// The same call again, where its reply was lost, gives back the listener that is there.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let Forwarding { certificate, .. } = &self.forwarding;
        let call = context
            .clients
            .elbv2
            .create_listener()
            .load_balancer_arn(context.ids.of(&self.load_balancer)?)
            .port(self.port.into())
            .protocol(self.forwarding.protocol().in_aws())
            .set_certificates(certificate.as_ref().map(in_aws))
            .set_ssl_policy(certificate.as_ref().map(|certificate| certificate.policy.clone()))
            .default_actions(self.action(context)?)
            .set_tags(Some(super::to_elb(&self.tags)));
        let made = call.send().await.during("elasticloadbalancing", "CreateListener", id)?;
        let arn = made.listeners().first().and_then(Answer::listener_arn);
        Ok(Identity::new(field(arn, id, "its ARN")?))
    }

    async fn update(
        &self,
        _from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let Forwarding { certificate, .. } = &self.forwarding;
        let call = context
            .clients
            .elbv2
            .modify_listener()
            .listener_arn(&identity.id)
            .protocol(self.forwarding.protocol().in_aws())
            .set_certificates(certificate.as_ref().map(in_aws))
            .set_ssl_policy(certificate.as_ref().map(|certificate| certificate.policy.clone()))
            .default_actions(self.action(context)?);
        call.send().await.during("elasticloadbalancing", "ModifyListener", id)?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.elbv2.delete_listener().listener_arn(&identity.id);
        gone(call.send().await.during("elasticloadbalancing", "DeleteListener", id))
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Answer>, CloudError> {
        let balancers = network_load_balancer::arns(look).await?;
        let listeners = balancers.iter().map(|balancer| of_balancer(look.context, balancer));
        Ok(try_join_all(listeners).await?.concat())
    }

    /// What is on the cluster's load balancers is the cluster's.
    fn observed(
        answer: Vec<Answer>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::LoadBalancerListener, context.cluster);
        let mut found = Vec::new();
        for listener in &answer {
            let arn = listener.load_balancer_arn().unwrap_or_default();
            let Some(balancer) = names.known(Kind::NetworkLoadBalancer, arn) else { continue };
            let seen = Self::seen(listener, &balancer.name, names);
            let identity = Identity::new(field(listener.listener_arn(), &id, "a listener's ARN")?);
            found.push(ObservedResource::new(
                seen.name.clone(),
                Resource::LoadBalancerListener(seen),
                identity,
            ));
        }
        Ok(found)
    }
}

impl LoadBalancerListener {
    /// The listener of a load balancer at a port.
    pub fn new(load_balancer: &str, port: u16, forwarding: Forwarding, tags: Tags) -> Self {
        let name = format!("{load_balancer}:{port}");
        Self { name, load_balancer: Reference::to(load_balancer), port, forwarding, tags }
    }

    fn seen(listener: &Answer, balancer: &str, names: &Names) -> Self {
        let port = listener.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        let target_group = listener.default_actions().first().and_then(Action::target_group_arn);
        let certificate = listener.certificates().first().and_then(AwsCertificate::certificate_arn);
        let certificate = certificate.map(|arn| Certificate {
            arn: arn.to_owned(),
            policy: listener.ssl_policy().unwrap_or_default().to_owned(),
        });
        let target_group = names.reference(target_group.unwrap_or_default());
        Self::new(balancer, port, Forwarding { target_group, certificate }, Tags::new())
    }

    fn action(&self, context: &Context<'_>) -> Result<Action, CloudError> {
        let target_group = context.ids.of(&self.forwarding.target_group)?;
        Ok(Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build())
    }
}

fn in_aws(certificate: &Certificate) -> Vec<AwsCertificate> {
    vec![AwsCertificate::builder().certificate_arn(&certificate.arn).build()]
}

async fn of_balancer(context: &Context<'_>, balancer: &str) -> Result<Vec<Answer>, CloudError> {
    let id = ResourceId::new(Kind::LoadBalancerListener, balancer);
    let call = context.clients.elbv2.describe_listeners().load_balancer_arn(balancer);
    match call.into_paginator().items().send().try_collect().await.during(
        "elasticloadbalancing",
        "DescribeListeners",
        &id,
    ) {
        // It went between the two calls, and took its listeners with it.
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listeners => Ok(listeners?),
    }
}
