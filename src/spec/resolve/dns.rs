//! The hosted zone, and the API's name in it.

use windlass_bootstrap::endpoint;

use super::{Report, Resolved, text};
use crate::spec::cluster::{ApiName, DnsZone, Visibility, is_in_zone};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{Cluster, ClusterSpec, DnsType, Object};

const ZONE: &str = "spec.dnsZone";

/// The longest id that Route 53's API takes.
const LONGEST_ID: usize = 32;

/// The API's name in a hosted zone, where it has one.
pub(super) fn resolve(cluster: &Cluster, report: &mut Report<'_>) -> Resolved<Option<ApiName>> {
    let spec = &cluster.spec;
    let named = is_named(spec);
    let sees_addresses = private_name(spec, report);
    let zone = match (kind(spec), spec.dns_zone.as_deref()) {
        (DnsType::None, None) if !named => return Ok(None),
        (DnsType::None, _) => {
            let asking = if named { "api.dns" } else { "dnsZone" };
            let message = format!("`None` publishes no names, and `{asking}` asks for one");
            let hint = "write `Public`, with `dnsZone` and `api: {dns: {}}`; or leave both out";
            return Err(report.push(Problem::at("spec.topology.dns.type", message).hint(hint)));
        }
        // The zone is the one that holds the API's name: which that is, AWS alone knows.
        (_, None) if named => DnsZone::Nearest,
        (kind, None) => {
            let message = format!("`{kind:?}` publishes the API's name, and `api` asks for no name");
            let hint = match kind {
                DnsType::Private => "write `api: {loadBalancer: {type: Internal}}`, or `None`",
                _ => {
                    "write `api: {dns: {}}`, which has an Elastic IP too, `api: {loadBalancer: {}}`, or `None`"
                }
            };
            return Err(report.push(Problem::at("spec.topology.dns.type", message).hint(hint)));
        }
        (_, Some(written)) => {
            let zone = zone(cluster, written, report);
            if spec.api.as_ref().is_some_and(|api| api.elastic_ip.is_some() && !named) {
                let message = "nothing would be written into the hosted zone";
                let hint = match kind(spec) {
                    DnsType::Private => {
                        "write `api: {loadBalancer: {type: Internal}}`, or leave `dnsZone` and `Private` out"
                    }
                    _ => "write `api: {dns: {}}`, which has an Elastic IP too, or leave `dnsZone` out",
                };
                report.push(Problem::at(ZONE, message).hint(hint));
            }
            zone?
        }
    };
    sees_addresses?;
    let visibility = match kind(spec) {
        DnsType::Private => Visibility::Private,
        DnsType::Public | DnsType::None => Visibility::Public,
    };
    Ok(named.then(|| ApiName { name: api_name(cluster), zone, visibility }))
}

/// Only the VPC sees a name in a private zone, and from there nobody needs to leave it for an Elastic IP.
fn private_name(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<()> {
    let asks = spec.api.as_ref().is_some_and(|api| api.dns.is_some());
    if kind(spec) != DnsType::Private || !asks {
        return Ok(());
    }
    let message = "the name would be seen from the VPC alone, and lead to Elastic IPs, which are for those outside of it";
    let hint = "write `api: {loadBalancer: {type: Internal}}`; the masters' private addresses have the internal name in any \
                case";
    Err(report.push(Problem::at("spec.api.dns", message).hint(hint)))
}

/// Whether a hosted zone is to have a name for the API: `api.dns` asks for one, and a load balancer has one wherever names are
/// published.
pub(super) fn is_named(spec: &ClusterSpec) -> bool {
    let published = kind(spec) != DnsType::None;
    spec.api.as_ref().is_some_and(|api| api.dns.is_some() || (api.load_balancer.is_some() && published))
}

/// The name of the API in a hosted zone.
fn api_name(cluster: &Cluster) -> String {
    let public = cluster.spec.master_public_name.clone();
    public.unwrap_or_else(|| endpoint::public_name(cluster.name()))
}

fn kind(spec: &ClusterSpec) -> DnsType {
    let dns = spec.topology.as_ref().and_then(|topology| topology.dns.as_ref());
    dns.and_then(|dns| dns.r#type).unwrap_or(DnsType::None)
}

/// What a zone's name says about the API's name; of an id, AWS alone knows the name.
fn zone(cluster: &Cluster, written: &str, report: &mut Report<'_>) -> Resolved<DnsZone> {
    let zone = DnsZone::read(written);
    match &zone {
        DnsZone::Name(zone) => {
            let name = api_name(cluster);
            report.read(ZONE, zone, text::dns_name)?;
            if !is_in_zone(&name, zone) {
                let message = format!("the API's name `{name}` is not in the zone `{zone}`");
                let hint = "name the zone that holds it, or set `masterPublicName` to a name in this zone";
                return Err(report.push(Problem::at(ZONE, message).hint(hint)));
            }
        }
        DnsZone::Nearest => {}
        DnsZone::Id(id) => {
            let letters = id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
            if id.is_empty() || id.len() > LONGEST_ID || !letters {
                let message = format!("`{written}` is neither the name nor the id of a hosted zone");
                let hint = "write one such as `example.com` or `Z0123456789ABCDEFGHIJ`";
                return Err(report.push(Problem::at(ZONE, message).hint(hint)));
            }
        }
    }
    Ok(zone)
}
