//! What kops's checks let through, or refuse by mistake, or fail over; windlass doesn't.

use serde_json::json;

use super::rules::with;
use super::told;
use crate::spec::problem::Problem;

/// The problem with a field, which must be there.
fn problem<'a>(problems: &'a [Problem], path: &str) -> &'a Problem {
    let found = problems.iter().find(|problem| problem.path == path);
    found.unwrap_or_else(|| panic!("no problem with {path}: {problems:#?}"))
}

#[test]
fn a_device_that_two_volumes_have_does_not_pass() {
    let volume = json!({"device": "/dev/sdb", "size": 10, "type": "gp3"});
    let mount = json!({"device": "/dev/sdb", "path": "/a", "filesystem": "ext4"});
    let problems = with("nodes", &json!({"volumes": [volume, volume], "volumeMounts": [mount, mount]}));
    problem(&problems, "spec.volumes[1].device");
    problem(&problems, "spec.volumeMounts[1]");
}

#[test]
fn two_etcd_clusters_can_not_share_a_backup_store() {
    let cluster = |name: &str| {
        json!({"name": name, "backups": {"backupStore": "s3://b/same"},
               "etcdMembers": [{"name": "a", "instanceGroup": "control-plane-us-east-1a"}]})
    };
    let problems = with("demo.example.com", &json!({"etcdClusters": [cluster("main"), cluster("events")]}));
    let backups = problem(&problems, "spec.etcdClusters[0].backups");
    assert!(
        backups.hint.as_deref().is_some_and(|hint| hint.contains("in the cluster's state")),
        "{backups:?}"
    );
    problem(&problems, "spec.etcdClusters[1].backups");
}

#[test]
fn a_percentage_is_not_refused_for_what_it_rounds_to() {
    let problems = with("nodes", &json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "30%"}}));
    assert!(problems.iter().all(|problem| problem.message.contains("not supported")), "{problems:#?}");
}

#[test]
fn api_servers_beside_the_masters_take_what_a_group_of_nodes_takes() {
    assert_eq!(with("nodes", &json!({"role": "APIServer"})), []);
    assert_eq!(with("nodes", &json!({"role": "APIServer", "minSize": 0, "maxSize": 7})), []);
}

#[test]
fn bastions_have_a_name_only_where_there_is_a_hosted_zone_and_settings_only_where_there_are_bastions() {
    assert_eq!(with("nodes", &json!({"role": "Bastion"})), []);
    let bastion = json!({"topology": {"bastion": {"bastionPublicName": "jump.example.com"}}});
    let problems = with("demo.example.com", &bastion);
    assert!(problem(&problems, "spec.topology.bastion").message.contains("no bastions"), "{problems:#?}");
}

#[test]
fn karpenter_without_iam_is_refused_and_nothing_falls_over() {
    let problems = with("demo.example.com", &json!({"iam": null, "karpenter": {"enabled": true}}));
    problem(&problems, "spec.karpenter.enabled");
}

#[test]
fn a_role_of_kops_experiments_is_refused_where_it_is_read() {
    for role in ["Etcd", "Scheduler", "KubeControllerManager"] {
        let problems = with("nodes", &json!({"role": role}));
        let role = problem(&problems, "spec.role");
        assert!(role.message.contains("expected one of"), "{role:?}");
    }
}

#[test]
fn a_load_balancer_without_a_class_or_a_type_is_a_public_network_load_balancer() {
    for balancer in [json!({}), json!({"type": "Public"}), json!({"class": "Network"})] {
        let fields = json!({"api": {"elasticIP": null, "loadBalancer": balancer}});
        assert_eq!(with("demo.example.com", &fields), []);
    }
}

#[test]
fn any_specification_without_a_field_is_read_to_its_end() {
    let said =
        told("apiVersion: kops.k8s.io/v1alpha2\nkind: Cluster\nmetadata: {name: a.example.com}\nspec: {}\n");
    assert!(said.contains("spec.subnets: this field is missing"), "{said}");
    assert!(said.contains("spec.networking: this field is missing"), "{said}");
}
