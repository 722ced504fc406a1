//! Which fields windlass honours. One table: whoever teaches windlass a field changes its row here.
//!
//! A field that is not in the table is known, and refused as not supported yet. Nothing is silently dropped.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::hints;
use super::problem::{ObjectId, Problem, Problems};
use super::v1alpha2::{Cluster, InstanceGroup, Object};
use super::yaml::join;

/// What windlass makes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what the field says.
    Honoured,
    /// It does one thing, which is what these values ask for; written as JSON.
    Fixed(&'static [&'static str]),
    /// The field has no meaning for windlass, and none is lost by keeping it.
    Kept,
}

use Support::{Fixed, Honoured, Kept};

/// `[]` stands for any item of a list; everything under a field in the table has the same support.
const CLUSTER: &[(&str, Support)] = &[
    ("apiVersion", Honoured),
    ("kind", Honoured),
    ("metadata", Honoured),
    ("spec.additionalPolicies", Honoured),
    ("spec.additionalSans", Honoured),
    ("spec.api.dns", Honoured),
    ("spec.api.elasticIP", Honoured),
    ("spec.authorization.rbac", Honoured),
    ("spec.awsLoadBalancerController.enabled", Fixed(&["false"])),
    ("spec.certManager.enabled", Fixed(&["false"])),
    ("spec.channel", Kept),
    ("spec.cloudConfig.useIPBasedNodeNames", Fixed(&["false"])),
    ("spec.cloudLabels", Honoured),
    ("spec.cloudProvider", Fixed(&["\"aws\""])),
    ("spec.clusterAutoscaler.enabled", Fixed(&["false"])),
    ("spec.clusterDNSDomain", Honoured),
    ("spec.configBase", Kept),
    ("spec.configStore", Kept),
    ("spec.containerd.gvisor.enabled", Fixed(&["false"])),
    ("spec.containerd.installCriCtl", Fixed(&["false"])),
    ("spec.containerd.installNerdCtl", Fixed(&["false"])),
    ("spec.containerRuntime", Fixed(&["\"containerd\""])),
    ("spec.DisableSubnetTags", Fixed(&["false"])),
    ("spec.dnsZone", Honoured),
    ("spec.etcdClusters[].enableEtcdTLS", Fixed(&["true"])),
    ("spec.etcdClusters[].enableTLSAuth", Fixed(&["true"])),
    ("spec.etcdClusters[].etcdMembers", Honoured),
    ("spec.etcdClusters[].name", Honoured),
    ("spec.etcdClusters[].provider", Fixed(&["\"Manager\""])),
    ("spec.etcdClusters[].version", Honoured),
    ("spec.externalDns.provider", Fixed(&["\"none\""])),
    ("spec.externalPolicies", Honoured),
    ("spec.iam.allowContainerRegistry", Honoured),
    ("spec.iam.legacy", Fixed(&["false"])),
    ("spec.isolateMasters", Fixed(&["false"])),
    ("spec.karpenter.enabled", Fixed(&["false"])),
    ("spec.keyStore", Kept),
    ("spec.kubeControllerManager.experimentalClusterSigningDuration", Honoured),
    ("spec.kubeDNS.provider", Fixed(&["\"CoreDNS\""])),
    ("spec.kubelet.anonymousAuth", Fixed(&["false"])),
    ("spec.kubelet.authenticationTokenWebhook", Fixed(&["true"])),
    ("spec.kubelet.authorizationMode", Fixed(&["\"Webhook\""])),
    ("spec.kubelet.cgroupDriver", Fixed(&["\"systemd\""])),
    ("spec.kubelet.maxPods", Honoured),
    ("spec.kubelet.readOnlyPort", Fixed(&["0"])),
    ("spec.kubelet.rotateCertificates", Fixed(&["true"])),
    ("spec.kubeProxy.enabled", Fixed(&["true"])),
    ("spec.kubernetesApiAccess", Honoured),
    ("spec.kubernetesVersion", Honoured),
    ("spec.masterPublicName", Honoured),
    ("spec.metricsServer.enabled", Fixed(&["false"])),
    ("spec.networkCIDR", Honoured),
    ("spec.networking.cni.usesSecondaryIP", Fixed(&["false"])),
    ("spec.networking.cni", Honoured),
    ("spec.networking.flannel.backend", Fixed(&["\"vxlan\""])),
    ("spec.networking.flannel", Honoured),
    ("spec.nodeProblemDetector.enabled", Fixed(&["false"])),
    ("spec.nodeTerminationHandler.enabled", Fixed(&["false"])),
    ("spec.nonMasqueradeCIDR", Honoured),
    ("spec.podCIDR", Honoured),
    ("spec.podIdentityWebhook.enabled", Fixed(&["false"])),
    ("spec.secretStore", Kept),
    ("spec.serviceClusterIPRange", Honoured),
    ("spec.snapshotController.enabled", Fixed(&["false"])),
    ("spec.sshAccess", Honoured),
    ("spec.sshKeyName", Honoured),
    ("spec.subnets[].cidr", Honoured),
    ("spec.subnets[].name", Honoured),
    ("spec.subnets[].region", Honoured),
    ("spec.subnets[].type", Fixed(&["\"Public\""])),
    ("spec.subnets[].zone", Honoured),
    ("spec.topology.dns.type", Fixed(&["\"None\"", "\"Public\""])),
    ("spec.topology.masters", Fixed(&["\"public\""])),
    ("spec.topology.nodes", Fixed(&["\"public\""])),
    ("spec.updatePolicy", Fixed(&["\"external\""])),
    ("spec.useHostCertificates", Fixed(&["false"])),
];

const INSTANCE_GROUP: &[(&str, Support)] = &[
    ("apiVersion", Honoured),
    ("kind", Honoured),
    ("metadata", Honoured),
    ("spec.associatePublicIp", Honoured),
    ("spec.capacityRebalance", Fixed(&["false"])),
    ("spec.cloudLabels", Honoured),
    ("spec.compressUserData", Fixed(&["false"])),
    ("spec.containerd.gvisor.enabled", Fixed(&["false"])),
    ("spec.containerd.installCriCtl", Fixed(&["false"])),
    ("spec.containerd.installNerdCtl", Fixed(&["false"])),
    ("spec.detailedInstanceMonitoring", Fixed(&["false"])),
    ("spec.image", Honoured),
    ("spec.instanceMetadata.httpPutResponseHopLimit", Honoured),
    ("spec.instanceMetadata.httpTokens", Fixed(&["\"required\""])),
    ("spec.instanceProtection", Fixed(&["false"])),
    ("spec.kubelet.anonymousAuth", Fixed(&["false"])),
    ("spec.kubelet.authenticationTokenWebhook", Fixed(&["true"])),
    ("spec.kubelet.authorizationMode", Fixed(&["\"Webhook\""])),
    ("spec.kubelet.cgroupDriver", Fixed(&["\"systemd\""])),
    ("spec.kubelet.maxPods", Honoured),
    ("spec.kubelet.readOnlyPort", Fixed(&["0"])),
    ("spec.kubelet.rotateCertificates", Fixed(&["true"])),
    ("spec.machineType", Honoured),
    ("spec.manager", Fixed(&["\"CloudGroup\""])),
    ("spec.maxSize", Honoured),
    ("spec.minSize", Honoured),
    ("spec.nodeLabels", Honoured),
    ("spec.role", Fixed(&["\"Master\"", "\"Node\""])),
    ("spec.rootVolumeDeleteOnTermination", Fixed(&["true"])),
    ("spec.rootVolumeEncryption", Honoured),
    ("spec.rootVolumeEncryptionKey", Honoured),
    ("spec.rootVolumeIops", Honoured),
    ("spec.rootVolumeSize", Honoured),
    ("spec.rootVolumeThroughput", Honoured),
    ("spec.rootVolumeType", Honoured),
    ("spec.subnets", Honoured),
    ("spec.taints", Honoured),
    ("spec.tenancy", Fixed(&["\"default\""])),
    ("spec.updatePolicy", Fixed(&["\"external\""])),
];

/// The table as a tree.
#[derive(Debug, Default)]
struct Rows {
    support: Option<Support>,
    under: BTreeMap<String, Rows>,
}

impl Rows {
    fn of(table: &[(&str, Support)]) -> Self {
        let mut rows = Self::default();
        for (path, support) in table {
            let mut at = &mut rows;
            for name in path.replace("[]", ".[]").split('.') {
                at = at.under.entry(name.to_owned()).or_default();
            }
            at.support = Some(*support);
        }
        rows
    }
}

static CLUSTER_ROWS: LazyLock<Rows> = LazyLock::new(|| Rows::of(CLUSTER));
static INSTANCE_GROUP_ROWS: LazyLock<Rows> = LazyLock::new(|| Rows::of(INSTANCE_GROUP));

/// What a cluster asks for that windlass can't do yet.
pub fn check_cluster(cluster: &Cluster) -> Problems {
    check(cluster, &CLUSTER_ROWS)
}

/// What an instance group asks for that windlass can't do yet.
pub fn check_instance_group(group: &InstanceGroup) -> Problems {
    check(group, &INSTANCE_GROUP_ROWS)
}

fn check<T: Object>(document: &T, rows: &Rows) -> Problems {
    let object = ObjectId { kind: T::KIND.to_owned(), name: document.name().to_owned() };
    let mut problems = Problems::new();
    match serde_json::to_value(document) {
        Ok(value) => walk(&value, rows, "", &mut problems),
        Err(error) => problems.push(Problem::at("", error.to_string())),
    }
    let finish = |mut problem: Problem| {
        let general = || hints::hint(T::KIND == Cluster::KIND, &problem.path).unwrap_or("leave it out");
        problem.hint = problem.hint.take().or_else(|| Some(general().to_owned()));
        problem.of(&object)
    };
    Problems(problems.0.into_iter().map(finish).collect())
}

fn walk(value: &Value, rows: &Rows, path: &str, problems: &mut Problems) {
    match rows.support {
        Some(Fixed(values)) if !values.contains(&value.to_string().as_str()) => {
            let values = values.iter().map(|value| format!("`{}`", value.trim_matches('"')));
            let hint = format!("for now it can only be {}", values.collect::<Vec<_>>().join(" or "));
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            problems.push(Problem::at(path, format!("`{shown}` is not supported yet")).hint(hint));
        }
        Some(_) if rows.under.is_empty() => {}
        support => under(value, rows, path, support.is_some(), problems),
    }
}

/// Fields of a value whose row does not say everything.
fn under(value: &Value, rows: &Rows, path: &str, known: bool, problems: &mut Problems) {
    let refuse = |path: &str| Problem::at(path, "this field is not supported yet");
    match value {
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) if rows.under.contains_key("[]") => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &rows.under["[]"], &format!("{path}[{index}]"), problems);
            }
        }
        Value::Object(fields) if !rows.under.is_empty() => {
            for (name, field) in fields {
                match rows.under.get(name) {
                    Some(row) => walk(field, row, &join(path, name), problems),
                    None if field.as_array().is_some_and(Vec::is_empty) => {}
                    None => problems.push(refuse(&join(path, name))),
                }
            }
        }
        _ if known => {}
        _ => problems.push(refuse(path)),
    }
}

/// How far a field is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not yet.
    NotYet,
    /// Some of its fields are.
    InPart,
    /// As the table says.
    Whole(Support),
}

/// How far windlass supports a field, for `explain`: its path has names only, such as `spec.subnets.zone`.
pub fn of_field(kind: &str, path: &str) -> Standing {
    let mut rows: &Rows = match kind {
        Cluster::KIND => &CLUSTER_ROWS,
        InstanceGroup::KIND => &INSTANCE_GROUP_ROWS,
        _ => return Standing::Whole(Honoured),
    };
    for name in path.split('.') {
        if let (Some(support), true) = (rows.support, rows.under.is_empty()) {
            return Standing::Whole(support);
        }
        match rows.under.get("[]").unwrap_or(rows).under.get(name) {
            Some(under) => rows = under,
            None => return Standing::NotYet,
        }
    }
    rows.support.map_or(Standing::InPart, Standing::Whole)
}
