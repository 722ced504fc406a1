//! The hosted zone, and the API's name in it.

use super::{Report, text};
use crate::spec::cluster::{DnsZone, is_in_zone};
use crate::spec::complete::api_name;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{Cluster, ClusterSpec, DnsType};

const ZONE: &str = "spec.dnsZone";

/// The longest id that Route 53's API takes.
const LONGEST_ID: usize = 32;

pub(super) fn check(cluster: &Cluster, report: &mut Report<'_>) {
    let spec = &cluster.spec;
    let named = spec.api.as_ref().is_some_and(|api| api.dns.is_some());
    match (kind(spec), spec.dns_zone.as_deref()) {
        (DnsType::None, None) if !named => {}
        (DnsType::None, _) => {
            let asking = if named { "api.dns" } else { "dnsZone" };
            let message = format!("`None` publishes no names, and `{asking}` asks for one");
            let hint = "write `Public`, with `dnsZone` and `api: {dns: {}}`; or leave both out";
            report.push(Problem::at("spec.topology.dns.type", message).hint(hint));
        }
        // The zone is the one that holds the API's name: which that is, AWS alone knows.
        (_, None) if named => {}
        (kind, None) => {
            let message = format!("`{kind:?}` publishes the API's name, and `api` asks for no name");
            let hint = "write `api: {dns: {}}`, which has an Elastic IP too, or `None`";
            report.push(Problem::at("spec.topology.dns.type", message).hint(hint));
        }
        (_, Some(written)) => {
            zone(cluster, written, report);
            if spec.api.as_ref().is_some_and(|api| api.elastic_ip.is_some() && !named) {
                let message = "nothing would be written into the hosted zone";
                let hint = "write `api: {dns: {}}`, which has an Elastic IP too, or leave `dnsZone` out";
                report.push(Problem::at(ZONE, message).hint(hint));
            }
        }
    }
}

fn kind(spec: &ClusterSpec) -> DnsType {
    let dns = spec.topology.as_ref().and_then(|topology| topology.dns.as_ref());
    dns.and_then(|dns| dns.r#type).unwrap_or(DnsType::None)
}

/// What a zone's name says about the API's name; of an id, AWS alone knows the name.
fn zone(cluster: &Cluster, written: &str, report: &mut Report<'_>) {
    match DnsZone::read(written) {
        DnsZone::Name(zone) => {
            let name = api_name(cluster);
            if report.read(ZONE, Some(&zone), text::dns_name).is_some() && !is_in_zone(&name, &zone) {
                let message = format!("the API's name `{name}` is not in the zone `{zone}`");
                let hint = "name the zone that holds it, or set `masterPublicName` to a name in this zone";
                report.push(Problem::at(ZONE, message).hint(hint));
            }
        }
        DnsZone::Nearest => {}
        DnsZone::Id(id) => {
            let letters = id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
            if id.is_empty() || id.len() > LONGEST_ID || !letters {
                let message = format!("`{written}` is neither the name nor the id of a hosted zone");
                let hint = "write one such as `example.com` or `Z0123456789ABCDEFGHIJ`";
                report.push(Problem::at(ZONE, message).hint(hint));
            }
        }
    }
}
