//! kops's rules for fields that windlass does not support: whatever stands in such a field, it is refused by name.
//! Rules for the other fields are broken in `mutations`; what stands where is told in `docs/specification.md`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::complete;
use crate::spec::problem::Problem;
use crate::spec::{Source, read};

const GOOD: &str = include_str!("good.yaml");

/// The problems of the good specification with fields put into its cluster or one of its groups.
pub(super) fn with(document: &str, fields: &Value) -> Vec<Problem> {
    let mut text = String::new();
    for yaml in GOOD.split("---\n") {
        let mut value = crate::spec::yaml::to_json(yaml).unwrap_or_else(|error| panic!("{error}"));
        if value["metadata"]["name"] == document {
            merge(&mut value["spec"], fields);
        }
        let _ = write!(text, "---\n{value}\n");
    }
    complete(&text).map_or_else(|problems| problems.0, |_| Vec::new())
}

/// Mappings are merged, anything else is replaced.
fn merge(value: &mut Value, fields: &Value) {
    match (value, fields) {
        (Value::Object(value), Value::Object(fields)) => {
            for (name, field) in fields {
                merge(value.entry(name.clone()).or_insert(Value::Null), field);
            }
        }
        (value, fields) => *value = fields.clone(),
    }
}

/// A rule of kops, a field that breaks it, and where the field stands.
type Broken = (&'static str, Value, &'static str);

#[expect(clippy::too_many_lines, reason = "one table")]
fn of_clusters() -> Vec<Broken> {
    let api = |balancer: Value| json!({"api": {"elasticIP": null, "loadBalancer": balancer}});
    let subnet = |field: Value| {
        let mut subnet = json!({"name": "us-east-1a", "zone": "us-east-1a", "cidr": "172.20.32.0/19"});
        merge(&mut subnet, &field);
        let other = json!({"name": "us-east-1b", "zone": "us-east-1b", "cidr": "172.20.64.0/19"});
        json!({"subnets": [subnet, other]})
    };
    let etcd = |field: Value| {
        let mut main = json!({"name": "main", "etcdMembers": [
            {"name": "a", "instanceGroup": "control-plane-us-east-1a"},
        ]});
        merge(&mut main, &field);
        json!({"etcdClusters": [main]})
    };
    vec![
        (
            "a range that is none",
            json!({"additionalNetworkCIDRs": ["10.0.0.5/8"]}),
            "spec.additionalNetworkCIDRs",
        ),
        ("an id without networkID", subnet(json!({"id": "subnet-1"})), "spec.subnets[0].id"),
        ("networkID that is none", json!({"networkID": "mine"}), "spec.networkID"),
        (
            "pods outside",
            json!({"kubeControllerManager": {"clusterCIDR": "10.0.0.0/8"}}),
            "spec.kubeControllerManager",
        ),
        (
            "a certificate that nobody can renew in time",
            json!({"kubeControllerManager": {"experimentalClusterSigningDuration": "30s"}}),
            "spec.kubeControllerManager.experimentalClusterSigningDuration",
        ),
        (
            "a duration that is none",
            json!({"kubeControllerManager": {"experimentalClusterSigningDuration": "a week"}}),
            "spec.kubeControllerManager.experimentalClusterSigningDuration",
        ),
        ("DNS outside", json!({"kubeDNS": {"serverIP": "10.0.0.10"}}), "spec.kubeDNS.serverIP"),
        ("egress that is none", subnet(json!({"egress": "somewhere"})), "spec.subnets[0].egress"),
        (
            "a route to nowhere",
            subnet(json!({"additionalRoutes": [{"cidr": "10.0.0.0/8", "target": "x"}]})),
            "spec.subnets[0].additionalRoutes",
        ),
        ("hairpin", api(json!({"type": "Internal", "useForInternalApi": true})), "spec.api.loadBalancer"),
        ("a policy without a certificate", api(json!({"sslPolicy": "x"})), "spec.api.loadBalancer"),
        ("Classic", api(json!({"class": "Classic"})), "spec.api.loadBalancer"),
        ("a group that is none", api(json!({"securityGroupOverride": "x"})), "spec.api.loadBalancer"),
        (
            "an address outside",
            api(json!({"subnets": [{"name": "us-east-1a", "privateIPv4Address": "10.0.0.1"}]})),
            "spec.api.loadBalancer",
        ),
        ("an image of etcd's", etcd(json!({"image": "etcd:3"})), "spec.etcdClusters[0].image"),
        ("legacy etcd", etcd(json!({"provider": "Legacy"})), "spec.etcdClusters[0].provider"),
        ("a policy that is no JSON", json!({"additionalPolicies": {"node": "{"}}), "spec.additionalPolicies"),
        (
            "a policy's ARN that is none",
            json!({"externalPolicies": {"node": ["x"]}}),
            "spec.externalPolicies",
        ),
        ("a hook without a name", json!({"hooks": [{}]}), "spec.hooks"),
        (
            "a file's mode that is none",
            json!({"fileAssets": [{"name": "a", "mode": "9"}]}),
            "spec.fileAssets",
        ),
        ("an add-on without a manifest", json!({"addons": [{}]}), "spec.addons"),
        (
            "a load balancer controller without cert-manager",
            json!({"awsLoadBalancerController": {"enabled": true}}),
            "spec.awsLoadBalancerController",
        ),
        (
            "metrics over a checked certificate without cert-manager",
            json!({"metricsServer": {"enabled": true, "insecure": false}}),
            "spec.metricsServer.insecure",
        ),
        (
            "two that drain nodes",
            json!({"nodeTerminationHandler": {"enabled": true}, "karpenter": {"enabled": true}}),
            "spec.karpenter",
        ),
        (
            "no EBS driver",
            json!({"cloudConfig": {"awsEBSCSIDriver": {"enabled": false}}}),
            "spec.cloudConfig",
        ),
        (
            "a bucket with dots",
            json!({"serviceAccountIssuerDiscovery": {"discoveryStore": "s3://a.b"}}),
            "spec.serviceAccountIssuerDiscovery",
        ),
        ("a gate that is none", json!({"kubeAPIServer": {"featureGates": {"a": "?"}}}), "spec.kubeAPIServer"),
        (
            "a kubelet's gate that is none",
            json!({"kubelet": {"featureGates": {"a": "?"}}}),
            "spec.kubelet.featureGates",
        ),
        ("a sysctl without a value", json!({"sysctlParameters": ["a"]}), "spec.sysctlParameters"),
        ("a warm pool that is none", json!({"warmPool": {"minSize": -1}}), "spec.warmPool"),
        (
            "a disruption of everything",
            json!({"rollingUpdate": {"maxUnavailable": "200%"}}),
            "spec.rollingUpdate",
        ),
    ]
}

fn of_groups() -> Vec<Broken> {
    vec![
        ("a warm pool of spot instances", json!({"warmPool": {}, "maxPrice": "1"}), "spec.warmPool"),
        ("a life that is too short", json!({"maxInstanceLifetime": "1h"}), "spec.maxInstanceLifetime"),
        (
            "more on demand than at most",
            json!({"mixedInstancesPolicy": {"onDemandBase": 99}}),
            "spec.mixedInstancesPolicy",
        ),
        ("a volume without a device", json!({"volumes": [{"size": 0}]}), "spec.volumes"),
        ("a mount without a path", json!({"volumeMounts": [{"device": "/dev/sdb"}]}), "spec.volumeMounts"),
        ("a profile that is none", json!({"iam": {"profile": "a role"}}), "spec.iam"),
        ("a sysctl without a value", json!({"sysctlParameters": ["a"]}), "spec.sysctlParameters"),
        ("gVisor", json!({"containerd": {"gvisor": {"enabled": true}}}), "spec.containerd.gvisor.enabled"),
        (
            "a load balancer without a name",
            json!({"externalLoadBalancers": [{}]}),
            "spec.externalLoadBalancers",
        ),
        ("types with and without a GPU", json!({"machineType": "g5.xlarge,m5.large"}), "spec.machineType"),
        (
            "tokens that may be",
            json!({"instanceMetadata": {"httpTokens": "maybe"}}),
            "spec.instanceMetadata.httpTokens",
        ),
        (
            "a security group that is none",
            json!({"securityGroupOverride": "x"}),
            "spec.securityGroupOverride",
        ),
        ("a hook without a name", json!({"hooks": [{}]}), "spec.hooks"),
        ("user data without a name", json!({"additionalUserData": [{}]}), "spec.additionalUserData"),
    ]
}

#[test]
fn what_breaks_a_rule_of_an_unsupported_field_is_refused_by_name() {
    assert_eq!(with("nobody", &json!({})), [], "the good specification as JSON is good");
    let clusters = of_clusters().into_iter().map(|broken| ("demo.example.com", broken));
    let groups = of_groups().into_iter().map(|broken| ("nodes", broken));
    let documentation = include_str!("../../../docs/specification.md");
    for (document, (rule, fields, path)) in clusters.chain(groups) {
        let problems = with(document, &fields);
        let named = problems.iter().find(|problem| problem.path.starts_with(path));
        let named = named.unwrap_or_else(|| panic!("{rule}: {path} is not named in {problems:#?}"));
        assert!(named.location.is_some() && named.hint.is_some(), "{rule}: {named:?}");
        let field = path.split(['[', '.']).nth(1).unwrap_or_default();
        assert!(documentation.contains(field), "{field} does not stand in the documentation");
    }
}

#[test]
fn problems_of_supported_and_unsupported_fields_are_told_together() {
    let fields = json!({"networkCIDR": "10.0.0.1/8", "hooks": [{}], "sshAccess": ["x"]});
    let problems = with("demo.example.com", &fields);
    for path in ["spec.networkCIDR", "spec.hooks[0]", "spec.sshAccess[0]"] {
        assert!(problems.iter().any(|problem| problem.path == path), "{path}: {problems:#?}");
    }
}

#[test]
fn a_specification_of_kops_needs_no_change_where_nothing_is_lost() {
    let fields = json!({
        "iam": {"allowContainerRegistry": true, "legacy": false},
        "channel": "stable", "configBase": "s3://state/demo.example.com",
        "sshAccess": ["pl-0123456789abcdef0", "::/0"],
    });
    assert_eq!(with("demo.example.com", &fields), []);
    let source = Source { name: "-".to_owned(), text: GOOD.to_owned() };
    let documents = read(vec![source]).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(
        !documents.resolve().is_ok_and(|cluster| cluster.container_registry),
        "it is off unless asked for"
    );
}
