//! Bastions: the load balancer in front of them, and their name.

use super::load_balancer::{best_subnets, is_in_every_zone, subnets_of};
use super::network::Networks;
use super::{Report, Resolved, all, dns, text};
use crate::spec::cluster::{BastionAccess, LoadBalancer, Subnet};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{
    BastionLoadBalancerSpec, BastionSpec, ClusterSpec, InstanceGroup, InstanceGroupRole, LoadBalancerType,
};

const PATH: &str = "spec.topology.bastion";

/// How bastions are reached; nothing where there are none.
pub(super) fn resolve(
    spec: &ClusterSpec,
    groups: &[InstanceGroup],
    network: &Networks,
    report: &mut Report<'_>,
) -> Resolved<Option<BastionAccess>> {
    let written = spec.topology.as_ref().and_then(|topology| topology.bastion.as_ref());
    if !groups.iter().any(|group| group.spec.role == Some(InstanceGroupRole::Bastion)) {
        if written.is_some() {
            let message = "the cluster has no bastions";
            let hint = "add an InstanceGroup with `role: Bastion`, or leave this out";
            return Err(report.push(Problem::at(PATH, message).hint(hint)));
        }
        return Ok(None);
    }
    let name = name(spec, written, report);
    let balancer = written.and_then(|bastion| bastion.load_balancer.as_ref());
    let load_balancer = load_balancer(balancer, groups, network, report);
    Ok(Some(BastionAccess { load_balancer: load_balancer?, name: name? }))
}

/// Their name, for which there has to be a hosted zone.
fn name(
    spec: &ClusterSpec,
    written: Option<&BastionSpec>,
    report: &mut Report<'_>,
) -> Resolved<Option<String>> {
    let Some(name) = written.and_then(|bastion| bastion.bastion_public_name.as_ref()) else {
        return Ok(None);
    };
    let path = format!("{PATH}.bastionPublicName");
    let name = report.read(&path, name, text::dns_name)?;
    if dns::is_named(spec) {
        return Ok(Some(name));
    }
    let message = "the name would be in the hosted zone of the API's name, and there is none";
    let hint = "write `dnsZone`, or leave it out: bastions are then reached by the load balancer's own name";
    Err(report.push(Problem::at(path, message).hint(hint)))
}

fn load_balancer(
    written: Option<&BastionLoadBalancerSpec>,
    groups: &[InstanceGroup],
    network: &Networks,
    report: &mut Report<'_>,
) -> Resolved<LoadBalancer> {
    let path = format!("{PATH}.loadBalancer");
    let internal = written.and_then(|balancer| balancer.r#type) == Some(LoadBalancerType::Internal);
    let known: Vec<&Subnet> = network.subnets.iter().flatten().collect();
    let bastions = subnets_of(InstanceGroupRole::Bastion, groups, &known);
    let chosen = match network.subnets.iter().find_map(|subnet| subnet.as_ref().err()) {
        // What is wrong with a subnet is told; which of the others are meant can't be said without it.
        Some(told) => Err(*told),
        None => best_subnets(&path, internal, &bastions, &known, report),
    };
    if let Ok(chosen) = &chosen {
        is_in_every_zone(&path, chosen, &bastions, report);
    }
    let further = written.and_then(|balancer| balancer.additional_security_groups.as_ref());
    let further = all(further.into_iter().flatten().enumerate().map(|(index, id)| {
        let path = format!("{path}.additionalSecurityGroups[{index}]");
        report.read(&path, id, |id| text::aws_id("sg", id))
    }));
    Ok(LoadBalancer {
        internal,
        subnets: chosen?,
        certificate: None,
        cross_zone: false,
        for_nodes: false,
        access_log: None,
        security_group: None,
        additional_security_groups: further?.into_iter().collect(),
    })
}
