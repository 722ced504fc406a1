//! What the instance metadata service says about an instance: a pure tree of paths.
//!
//! The paths and forms are those of EC2's documentation, "Instance metadata categories".

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::world::{Instance, Interruption, World};

/// What lies below `/latest/`, by path without a leading slash.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// The account that the region's resources belong to, where the instance's profile doesn't tell.
const ACCOUNT: &str = "123456789012";

/// Everything that the service says about an instance; `credentials` are its role's, in IMDS's form.
pub fn tree(world: &World, instance: &Instance, credentials: Option<&Value>) -> Tree {
    let mut tree = Tree::new();
    let mut put = |path: &str, value: &str| {
        tree.insert(format!("meta-data/{path}"), value.as_bytes().to_vec());
    };
    identity(instance, &mut put);
    addresses(world, instance, &mut put);
    if let Some(role) = &instance.role {
        profile(instance, role, credentials, &mut put);
    }
    if let Some(key) = &instance.public_key {
        put("public-keys/0/openssh-key", key);
    }
    if instance.metadata.instance_tags == "enabled" {
        for (key, value) in &instance.tags {
            put(&format!("tags/instance/{key}"), value);
        }
    }
    if instance.auto_scaling_group.is_some() {
        put("autoscaling/target-lifecycle-state", lifecycle(instance));
    }
    notices(instance, &mut put);
    tree.insert("dynamic/instance-identity/document".to_owned(), document(instance));
    let engine = base64::engine::general_purpose::STANDARD;
    if let Some(user_data) = instance.user_data.as_deref().and_then(|text| engine.decode(text).ok()) {
        tree.insert("user-data".to_owned(), user_data);
    }
    tree
}

fn lifecycle(instance: &Instance) -> &str {
    match &instance.target_lifecycle_state {
        Some(state) if instance.state.is_alive() => state,
        None if instance.state.is_alive() => "InService",
        _ => "Terminated",
    }
}

/// What the instance is told before it is taken (EC2 User Guide, "Spot Instance interruption notices", "Monitor for instance
/// rebalance recommendation signals"). Without a notice the paths aren't there.
fn notices(instance: &Instance, put: &mut impl FnMut(&str, &str)) {
    if let Some(Interruption { action, time }) = &instance.interruption {
        put("spot/instance-action", &json!({ "action": action, "time": time }).to_string());
        if action == "terminate" {
            put("spot/termination-time", time);
        }
    }
    if let Some(time) = &instance.rebalance {
        put("events/recommendations/rebalance", &json!({ "noticeTime": time }).to_string());
    }
}

fn identity(instance: &Instance, put: &mut impl FnMut(&str, &str)) {
    let name = format!("{}.{}", instance.host_name(), instance.domain());
    put("ami-id", &instance.image);
    put("ami-launch-index", "0");
    put("hostname", &name);
    put("instance-action", "none");
    put("instance-id", &instance.id);
    put("instance-life-cycle", instance.lifecycle.as_deref().unwrap_or("on-demand"));
    put("instance-type", &instance.instance_type);
    put("local-hostname", &name);
    put("placement/availability-zone", &instance.zone);
    put("placement/region", instance.region());
    put("profile", "default-hvm");
    put("services/domain", "amazonaws.com");
    put("services/partition", "aws");
}

fn addresses(world: &World, instance: &Instance, put: &mut impl FnMut(&str, &str)) {
    put("local-ipv4", &instance.private_ip.to_string());
    put("mac", &instance.mac);
    let public = |private: Ipv4Addr| instance.public_ips.get(&private);
    if let Some(public) = public(instance.private_ip) {
        put("public-ipv4", &public.to_string());
    }
    let mut interface = |key: &str, value: &str| {
        put(&format!("network/interfaces/macs/{}/{key}", instance.mac), value);
    };
    interface("device-number", "0");
    interface("interface-id", &instance.network_interface);
    interface("local-hostname", &format!("{}.{}", instance.host_name(), instance.domain()));
    interface("local-ipv4s", &lines(instance.private_addresses().map(|address| address.to_string())));
    interface("mac", &instance.mac);
    interface("owner-id", account(instance));
    interface("security-group-ids", &lines(instance.security_groups.iter().cloned()));
    interface("subnet-id", &instance.subnet);
    interface("vpc-id", &instance.vpc);
    if let Some(subnet) = world.subnets.iter().find(|subnet| subnet.id == instance.subnet) {
        interface("subnet-ipv4-cidr-block", &subnet.cidr.to_string());
    }
    if let Some(vpc) = world.vpcs.iter().find(|vpc| vpc.id == instance.vpc) {
        interface("vpc-ipv4-cidr-block", &vpc.cidr.to_string());
        interface("vpc-ipv4-cidr-blocks", &vpc.cidr.to_string());
    }
    if !instance.public_ips.is_empty() {
        interface("public-ipv4s", &lines(instance.public_ips.values().map(Ipv4Addr::to_string)));
    }
    for (private, public) in &instance.public_ips {
        interface(&format!("ipv4-associations/{public}"), &private.to_string());
    }
}

fn lines(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join("\n")
}

fn profile(instance: &Instance, role: &str, credentials: Option<&Value>, put: &mut impl FnMut(&str, &str)) {
    let updated = credentials.and_then(|c| c.get("LastUpdated")).and_then(Value::as_str);
    let info = json!({
        "Code": "Success",
        "LastUpdated": updated.or(instance.launch_time.as_deref()),
        "InstanceProfileArn": instance.profile_arn,
        "InstanceProfileId": format!("AIPA{:0>16}", instance.id.replace('-', "").to_uppercase()),
    });
    put("iam/info", &pretty(&info));
    if let Some(credentials) = credentials {
        put(&format!("iam/security-credentials/{role}"), &pretty(credentials));
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The account's id: the fifth part of the profile's ARN.
fn account(instance: &Instance) -> &str {
    instance.profile_arn.as_deref().and_then(|arn| arn.split(':').nth(4)).unwrap_or(ACCOUNT)
}

fn document(instance: &Instance) -> Vec<u8> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let document = json!({
        "accountId": account(instance),
        "architecture": architecture,
        "availabilityZone": instance.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": null,
        "marketplaceProductCodes": null,
        "pendingTime": instance.launch_time,
        "privateIp": instance.private_ip,
        "ramdiskId": null,
        "region": instance.region(),
        "version": "2017-09-30",
    });
    pretty(&document).into_bytes()
}

/// The answer to a path below `/latest/`: a value, or a directory's listing, in which directories end in a slash.
pub fn look_up(tree: &Tree, path: &str) -> Option<Vec<u8>> {
    let path = path.trim_matches('/');
    if let Some(value) = tree.get(path) {
        return Some(value.clone());
    }
    let below = if path.is_empty() { String::new() } else { format!("{path}/") };
    let mut names: Vec<String> = Vec::new();
    for rest in tree.keys().filter_map(|key| key.strip_prefix(&below)) {
        let name = match rest.split_once('/') {
            // EC2 lists keys by number and name.
            Some((number, _)) if path == "meta-data/public-keys" => format!("{number}=key"),
            // Credentials are listed by role, without a slash.
            Some((directory, _)) => format!("{directory}/"),
            None => rest.to_owned(),
        };
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join("\n").into_bytes())
}
