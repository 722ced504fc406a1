use crate::spec::set::{assignments, paths, set, unset};
use crate::spec::v1alpha2::{Cluster, InstanceGroup};
use crate::spec::{CreateOptions, create};

fn demo() -> Cluster {
    let zones = vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()];
    let options = CreateOptions { name: "demo.example.com".to_owned(), zones, ..CreateOptions::default() };
    create(&options).map_or_else(|problems| panic!("{problems}"), |manifests| manifests.cluster)
}

/// A field of a cluster after an assignment, or what is said about the assignment.
fn after(assignment: &str, pointer: &str) -> serde_json::Value {
    let mut cluster = demo();
    match set(&mut cluster, assignment) {
        Ok(()) => {
            serde_json::to_value(cluster).unwrap_or_default().pointer(pointer).cloned().unwrap_or_default()
        }
        Err(error) => format!("{error}: {}", error.hint().unwrap_or_default()).into(),
    }
}

#[test]
fn a_value_is_read_as_its_field_wants_it() {
    assert_eq!(after("spec.kubernetesVersion=1.30", "/spec/kubernetesVersion"), "1.30");
    assert_eq!(after("cluster.spec.isolateMasters=true", "/spec/isolateMasters"), true);
    assert_eq!(after("spec.rollingUpdate.maxSurge=30%", "/spec/rollingUpdate/maxSurge"), "30%");
    assert_eq!(after("spec.rollingUpdate.maxSurge=2", "/spec/rollingUpdate/maxSurge"), 2);
    assert_eq!(after("spec.warmPool.minSize=2", "/spec/warmPool/minSize"), 2);
    let both = serde_json::json!(["10.0.0.0/8", "::/0"]);
    assert_eq!(after("spec.sshAccess=10.0.0.0/8,::/0", "/spec/sshAccess"), both);
    assert_eq!(after("spec.sshAccess=", "/spec/sshAccess"), serde_json::json!([]));
    assert_eq!(
        after("spec.cloudLabels[\"example.com/team\"]=a=b", "/spec/cloudLabels/example.com~1team"),
        "a=b"
    );
}

#[test]
fn items_are_set_added_and_set_all_at_once() {
    assert_eq!(after("spec.subnets[1].zone=us-east-1c", "/spec/subnets/1/zone"), "us-east-1c");
    assert_eq!(after("spec.subnets[2].zone=us-east-1c", "/spec/subnets/2/zone"), "us-east-1c");
    assert_eq!(after("spec.subnets[*].type=Private", "/spec/subnets/1/type"), "Private");
}

#[test]
fn one_flag_may_hold_several_assignments_or_paths() {
    let several = |flag: &str| assignments(flag).join(" ; ");
    assert_eq!(several("spec.a=1,spec.b=2"), "spec.a=1 ; spec.b=2");
    assert_eq!(
        several("cluster.spec.a=1, spec.b=2,metadata.c=3"),
        "cluster.spec.a=1 ;  spec.b=2 ; metadata.c=3"
    );
    assert_eq!(
        several("spec.sshAccess=10.0.0.0/8,::/0,spec.b=2"),
        "spec.sshAccess=10.0.0.0/8,::/0 ; spec.b=2"
    );
    assert_eq!(several("spec.cloudLabels[\"a,b\"]=c=d,e=f"), "spec.cloudLabels[\"a,b\"]=c=d,e=f");
    assert_eq!(several("\"spec.a=x,spec.b=y\",spec.c=\"z\""), "spec.a=x,spec.b=y ; spec.c=\"z\"");
    assert_eq!(several("\"spec.a=\"\"q\"\"\""), "spec.a=\"q\"");
    assert_eq!(several("spec.a"), "spec.a");
    assert_eq!(several(""), "");
    assert_eq!(paths("spec.a,spec.b[0],spec.c[\"x,y\"]"), ["spec.a", "spec.b[0]", "spec.c[\"x,y\"]"]);
}

#[test]
fn flags_with_several_assignments_or_paths_make_all_of_them() {
    let zones = vec!["us-east-1a".to_owned()];
    let options = CreateOptions {
        name: "demo.example.com".to_owned(),
        zones,
        set: vec!["spec.kubernetesVersion=1.35.7,spec.sshAccess=10.0.0.0/8,::/0".to_owned()],
        unset: vec!["spec.channel,spec.cloudProvider".to_owned()],
        ..CreateOptions::default()
    };
    let spec = create(&options).unwrap().cluster.spec;
    assert_eq!(spec.kubernetes_version.as_deref(), Some("1.35.7"));
    assert_eq!(spec.ssh_access.unwrap(), ["10.0.0.0/8", "::/0"]);
    assert_eq!((spec.channel, spec.cloud_provider), (None, None));
}

#[test]
fn what_can_not_be_set_is_said() {
    let said = [
        (
            "spec.networkCIDR",
            "`spec.networkCIDR` is not of the form `path=value`: write `--set spec.networkCIDR=<value>`",
        ),
        (
            "spec.networkCidr=x",
            "there is no field `networkCidr` in `spec.networkCidr`: did you mean `networkCIDR`?",
        ),
        (
            "spec.subnets[3].zone=x",
            "`spec.subnets[3].zone` has 2 items, and there is no item 3: index 2 adds an item",
        ),
        ("spec.channel.x=y", "`spec.channel.x` goes on behind a text: "),
        (
            "spec.subnets=a",
            "`spec.subnets` is a list, and can't be set as a whole: set its fields, such as `spec.subnets[0].<name>`, or edit the file",
        ),
        ("spec..x=y", "the path can't be understood: "),
        (
            "spec.isolateMasters=yes",
            "`spec.isolateMasters`: expected `true` or `false`, found `yes` (write `true`, without quotes): ",
        ),
    ];
    for (assignment, message) in said {
        assert_eq!(after(assignment, ""), message);
    }
}

#[test]
fn unset_removes_fields_items_and_entries() {
    let mut group = InstanceGroup::named("nodes");
    for assignment in ["spec.minSize=2", "spec.subnets=a,b,c", "spec.nodeLabels.team=a"] {
        assert!(set(&mut group, assignment).is_ok());
    }
    for path in ["spec.minSize", "spec.subnets[1]", "spec.nodeLabels.team", "spec.maxPrice", "spec.kubelet"] {
        let unset = unset(&mut group, path);
        assert!(unset.is_ok() || path == "spec.kubelet", "{path}: {unset:?}");
    }
    assert_eq!(group.spec.min_size, None);
    assert_eq!(group.spec.subnets, Some(vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(group.spec.node_labels, Some(std::collections::BTreeMap::new()));
    assert!(unset(&mut group, "spec.subnets[7]").is_err());
}
