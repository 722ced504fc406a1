//! What holds for the settings of a component as a whole: fields that need or exclude each other, and what windlass relies on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::value::number;
use super::{Said, list_at, text_at};
use crate::spec::resolve::text;
use crate::spec::shape;
use crate::spec::v1alpha2::ClusterSpec;
use crate::spec::versions::Version;

/// No pod asks for more than it gets at most: Kubernetes would refuse it.
pub(super) fn resources(said: &mut Said) {
    for (resource, field) in [("cpu", "cpuLimit"), ("memory", "memoryLimit")] {
        let amount = |amounts: &std::collections::BTreeMap<String, String>| {
            amounts.get(resource).and_then(|text| number(text))
        };
        let (request, limit) = (amount(&said.settings.requests), amount(&said.settings.limits));
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            said.push(field, "it is less than the request", "a pod gets at least what it asks for");
        }
    }
}

/// kube-apiserver.
pub(super) fn api_server(said: &mut Said) {
    admission(said);
    authorization(said);
    open_id(said);
    let chance = said.settings.flags.get("goaway-chance").and_then(|text| number(text));
    if chance.is_some_and(|chance| chance > 0.02) {
        said.push("goawayChance", "it is more than 0.02", "write a number from 0 to 0.02");
    }
}

/// Admission plug-ins that windlass switches on.
const OWN_PLUGINS: [&str; 2] = ["NodeRestriction", "DenyServiceExternalIPs"];

/// What the specification switches on comes to windlass's own plug-ins; `NodeRestriction` stays, whatever it says.
fn admission(said: &mut Said) {
    let wanted =
        [list_at(&said.settings, &["plugins", "enable"]), list_at(&said.settings, &["plugins", "append"])];
    said.settings.configuration.remove("plugins");
    let off = said.settings.flags.get("disable-admission-plugins").cloned().unwrap_or_default();
    let off: BTreeSet<&str> = off.split(',').filter(|plugin| !plugin.is_empty()).collect();
    if off.contains("NodeRestriction") {
        let hint = "leave it out: without it a node could change other Nodes";
        said.push("disableAdmissionPlugins", "`NodeRestriction` can't be switched off", hint);
    }
    if let Some(both) = wanted.iter().flatten().find(|plugin| off.contains(plugin.as_str())) {
        let message = format!("`{both}` is switched on and off");
        said.push("disableAdmissionPlugins", message, "keep one of the two");
    }
    if wanted.iter().all(Vec::is_empty) && !OWN_PLUGINS.iter().any(|plugin| off.contains(plugin)) {
        return;
    }
    let mut on: Vec<String> =
        OWN_PLUGINS.iter().filter(|plugin| !off.contains(*plugin)).map(|&plugin| plugin.to_owned()).collect();
    for plugin in wanted.into_iter().flatten() {
        if !on.contains(&plugin) {
            on.push(plugin);
        }
    }
    said.settings.flags.insert("enable-admission-plugins".to_owned(), on.join(","));
}

/// Kubelets and the cluster's own roles need `Node` and `RBAC`; the webhook needs its file, and the file the webhook.
fn authorization(said: &mut Said) {
    let modes = said.settings.flags.get("authorization-mode").cloned();
    let has = |mode: &str| modes.as_deref().is_some_and(|modes| modes.split(',').any(|other| other == mode));
    if modes.is_some() && !(has("Node") && has("RBAC")) {
        let hint = "write `Node,RBAC`, with `Webhook` besides if you have one";
        said.push("authorizationMode", "kubelets and windlass itself need `Node` and `RBAC`", hint);
    }
    let file = said.settings.flags.contains_key("authorization-webhook-config-file");
    if has("Webhook") && !file {
        said.push(
            "authorizationMode",
            "`Webhook` needs to know whom it asks",
            "write `authorizationWebhookConfigFile`",
        );
    }
    if file && !has("Webhook") {
        let hint = "write `authorizationMode: Node,RBAC,Webhook`";
        said.push("authorizationWebhookConfigFile", "nobody reads it", hint);
    }
}

/// An `OpenID` Connect provider: a part of the authentication configuration, beside which the API server takes no flags for it.
/// What is left out means what it means for those flags.
fn open_id(said: &mut Said) {
    let Some(asked) = said.settings.configuration.remove("oidc") else { return };
    let (issuer, client) = (asked["issuer"].as_str(), asked["client"].as_str());
    let (Some(issuer), Some(client)) = (issuer, client) else {
        let field = if issuer.is_none() { "oidcIssuerURL" } else { "oidcClientID" };
        return said.push(
            field,
            "this field is missing",
            "a provider has a URL, and tokens are for a client",
        );
    };
    if !issuer.starts_with("https://") {
        said.push(
            "oidcIssuerURL",
            format!("`{issuer}` is not an https URL"),
            "write it like `https://login.example.com`",
        );
    }
    let claim = asked["usernameClaim"].as_str().unwrap_or("sub");
    let prefix = match asked["usernamePrefix"].as_str() {
        Some("-") => String::new(),
        Some(prefix) => prefix.to_owned(),
        // A name that is unique for its provider alone.
        None if claim != "email" => format!("{issuer}#"),
        None => String::new(),
    };
    let mut mappings = json!({"username": {"claim": claim, "prefix": prefix}});
    if let Some(groups) = asked["groupsClaim"].as_str() {
        let prefix = asked["groupsPrefix"].as_str().unwrap_or_default();
        mappings["groups"] = json!({"claim": groups, "prefix": prefix});
    } else if asked.get("groupsPrefix").is_some() {
        said.push("oidcGroupsPrefix", "nobody reads it", "write `oidcGroupsClaim`, too");
    }
    let mut jwt = json!({"issuer": {"url": issuer, "audiences": [client]}, "claimMappings": mappings});
    let mut required = Vec::new();
    for pair in asked["requiredClaims"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        match pair.split_once('=') {
            Some((claim, value)) if !claim.is_empty() => {
                required.push(json!({"claim": claim, "requiredValue": value}));
            }
            _ => said.push(
                "oidcRequiredClaim",
                format!("`{pair}` has no `=`"),
                "write it like `hd=example.com`",
            ),
        }
    }
    if !required.is_empty() {
        jwt["claimValidationRules"] = Value::Array(required);
    }
    said.settings.configuration.insert("jwt".to_owned(), json!([jwt]));
    if let Some(file) = asked.get("authorityFile") {
        said.settings.configuration.insert("jwtAuthorityFile".to_owned(), file.clone());
    }
}

/// kube-controller-manager.
pub(super) fn controller_manager(said: &mut Said) {
    leader_election(said);
    controllers(said);
}

/// Who may have a kubelet's certificate is decided by the agent, against EC2.
const NEVER: &str = "certificatesigningrequest-approving-controller";

/// Controllers that windlass switches on or off.
const OWN_CONTROLLERS: [&str; 3] =
    ["*", "token-cleaner-controller", "-certificatesigningrequest-approving-controller"];

/// Controllers without which nodes don't join, or pods don't start.
const NEEDED: [&str; 8] = [
    "token-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
];

fn controllers(said: &mut Said) {
    let Some(written) = said.settings.flags.remove("controllers") else { return };
    let mut all: Vec<&str> = OWN_CONTROLLERS.into();
    for name in written.split(',') {
        let plain = name.strip_prefix('-').unwrap_or(name);
        let is_off = plain.len() < name.len();
        if name != "*" && !KNOWN_CONTROLLERS.contains(&plain) {
            let near = shape::nearest(plain, KNOWN_CONTROLLERS.into_iter());
            let hint = near.map_or_else(
                || "`kube-controller-manager --help` lists them".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            said.push("controllers", format!("there is no controller `{plain}`"), hint);
        } else if (is_off && NEEDED.contains(&plain)) || name == NEVER {
            let hint = "leave it out: windlass relies on it";
            said.push("controllers", format!("`{name}` can't be chosen"), hint);
        } else if !all.contains(&name) {
            all.push(name);
        }
    }
    if !written.split(',').any(|name| name == "*") {
        said.push(
            "controllers",
            "`*` is missing",
            "write it, too, and switch off what you don't want with `-`",
        );
    }
    said.settings.flags.insert("controllers".to_owned(), all.join(","));
}

/// The controllers that all versions have which windlass runs.
const KNOWN_CONTROLLERS: [&str; 50] = [
    "bootstrap-signer-controller",
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "cloud-node-lifecycle-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "ephemeral-volume-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "namespace-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "node-route-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "podcertificaterequest-cleaner-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "resourceclaim-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "selinux-warning-controller",
    "service-cidr-controller",
    "service-lb-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "taint-eviction-controller",
    "token-cleaner-controller",
    "ttl-after-finished-controller",
    "ttl-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];

/// The times of a leader's lease: kube-controller-manager and kube-scheduler don't start with others.
pub(super) fn leader_election(said: &mut Said) {
    let time = |flag: &str, default: u64| {
        said.settings.flags.get(flag).and_then(|text| text::milliseconds(text)).unwrap_or(default)
    };
    let lease = time("leader-elect-lease-duration", 15_000);
    let renew = time("leader-elect-renew-deadline", 10_000);
    let retry = time("leader-elect-retry-period", 2_000);
    if lease <= renew {
        let hint = "15s and 10s are the defaults";
        said.push("leaderElection.leaderElectLeaseDuration", "it is no longer than the renew deadline", hint);
    }
    if renew * 10 <= retry * 12 {
        let hint = "at least 1.2 times as long: 10s and 2s are the defaults";
        said.push(
            "leaderElection.leaderElectRenewDeadlineDuration",
            "it is too short for the retry period",
            hint,
        );
    }
}

/// kube-proxy: without it, another plug-in must route services.
pub(super) fn proxy(said: &mut Said, spec: &ClusterSpec) {
    match said.settings.field(&["enabled"]).and_then(Value::as_bool) {
        Some(true) => drop(said.settings.configuration.remove("enabled")),
        Some(false) if spec.networking.as_ref().is_some_and(|networking| networking.flannel.is_some()) => {
            said.push("enabled", "nothing else routes services", "use `cni: {}` with a plug-in that does");
        }
        _ => {}
    }
}

/// The kubelet.
pub(super) fn kubelet(said: &mut Said, version: Option<Version>) {
    behind_features(said, version);
    images(said);
    eviction(said);
    reserved(said);
    shutdown(said);
    cgroups(said);
}

/// Settings with which a kubelet starts only where a feature is on: the field, where it is in the configuration, the feature,
/// and the minor version of Kubernetes since which it is on by default (`pkg/kubelet/apis/config/validation` and `pkg/features`
/// of Kubernetes 1.33 to 1.36).
const BEHIND_FEATURES: [(&str, &[&str], &str, u32); 2] = [
    ("cpuCFSQuotaPeriod", &["cpuCFSQuotaPeriod"], "CustomCPUCFSQuotaPeriod", 36),
    (
        "crashLoopBackOffMaxContainerRestartPeriod",
        &["crashLoopBackOff", "maxContainerRestartPeriod"],
        "KubeletCrashLoopBackOffMax",
        35,
    ),
];

fn behind_features(said: &mut Said, version: Option<Version>) {
    let Some(version) = version else { return };
    for (field, place, feature, since) in BEHIND_FEATURES {
        let is_on = said.settings.field(&["featureGates", feature]).and_then(Value::as_bool) == Some(true);
        if version.minor < since && said.settings.field(place).is_some() && !is_on {
            let message = format!("a kubelet of {version} doesn't start with it");
            let hint =
                format!("leave it out, or switch the feature on: `featureGates: {{{feature}: \"true\"}}`");
            said.push(field, message, hint);
        }
    }
}

fn integer(said: &Said, field: &str) -> Option<i64> {
    said.settings.field(&[field]).and_then(Value::as_i64)
}

fn milliseconds(said: &Said, field: &str) -> Option<u64> {
    text_at(&said.settings, &[field]).and_then(text::milliseconds)
}

fn images(said: &mut Said) {
    let high = integer(said, "imageGCHighThresholdPercent").unwrap_or(85);
    let low = integer(said, "imageGCLowThresholdPercent").unwrap_or(80);
    if low >= high {
        let hint = "85 and 80 are the defaults";
        said.push(
            "imageGCLowThresholdPercent",
            format!("{low} is not less than the high threshold, {high}"),
            hint,
        );
    }
    let least = milliseconds(said, "imageMinimumGCAge").unwrap_or(120_000);
    if milliseconds(said, "imageMaximumGCAge").is_some_and(|most| most != 0 && most <= least) {
        said.push(
            "imageMaximumGCAge",
            "it is no longer than `imageMinimumGCAge`",
            "which is `2m` when left out",
        );
    }
    let serial = said.settings.field(&["serializeImagePulls"]) == Some(&json!(true));
    if serial && integer(said, "maxParallelImagePulls").is_some_and(|pulls| pulls > 1) {
        let hint = "leave one of the two out";
        said.push("maxParallelImagePulls", "images are pulled one by one (`serializeImagePulls`)", hint);
    }
}

fn eviction(said: &mut Said) {
    let keys = |field: &str| -> BTreeSet<String> {
        let signals = said.settings.field(&[field]).and_then(Value::as_object);
        signals.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let (soft, periods) = (keys("evictionSoft"), keys("evictionSoftGracePeriod"));
    if let Some(signal) = soft.difference(&periods).next() {
        let message = format!("`{signal}` has no grace period");
        said.push(
            "evictionSoft",
            message,
            "write it into `evictionSoftGracePeriod`, such as `memory.available=1m`",
        );
    }
}

fn reserved(said: &mut Said) {
    let enforced = list_at(&said.settings, &["enforceNodeAllocatable"]);
    for (word, field) in
        [("kube-reserved", "kubeReservedCgroup"), ("system-reserved", "systemReservedCgroup")]
    {
        if enforced.iter().any(|enforced| enforced == word) && text_at(&said.settings, &[field]).is_none() {
            said.push(
                "enforceNodeAllocatable",
                format!("`{word}` needs a cgroup"),
                format!("write `{field}`, too"),
            );
        }
    }
    if enforced.len() > 1 && enforced.iter().any(|enforced| enforced == "none") {
        said.push("enforceNodeAllocatable", "`none` stands beside others", "write it alone");
    }
}

fn shutdown(said: &mut Said) {
    let whole = milliseconds(said, "shutdownGracePeriod").unwrap_or(30_000);
    let critical = milliseconds(said, "shutdownGracePeriodCriticalPods").unwrap_or(10_000);
    if critical > whole || (whole > 0) != (critical > 0) {
        let hint = "30s, of which 10s are for critical pods, are the defaults; both are 0 or none is";
        said.push("shutdownGracePeriod", "it is too short for `shutdownGracePeriodCriticalPods`", hint);
    }
}

fn cgroups(said: &mut Said) {
    if text_at(&said.settings, &["systemCgroups"]).is_some()
        && text_at(&said.settings, &["cgroupRoot"]).is_none()
    {
        said.push("systemCgroups", "it needs `cgroupRoot`", "write it, too, such as `/`");
    }
    let period = milliseconds(said, "cpuCFSQuotaPeriod");
    if period.is_some_and(|period| !(1..=1000).contains(&period)) {
        said.push("cpuCFSQuotaPeriod", "it is not from 1ms to 1s", "100ms is the default");
    }
}
