use snapbox::{assert_data_eq, file};

use crate::spec::{Source, check_change, read};

const GOOD: &str = include_str!("good.yaml");

/// What is told about a change of the good specification.
fn told(changes: &[(&str, &str)]) -> String {
    let mut text = GOOD.to_owned();
    for (good, changed) in changes {
        assert!(text.contains(good), "{good:?} does not stand in the good specification");
        text = text.replacen(good, changed, 1);
    }
    let source = |text: &str| vec![Source { name: "cluster.yaml".to_owned(), text: text.to_owned() }];
    let documents = |text: &str| read(source(text)).unwrap_or_else(|problems| panic!("{problems}"));
    let (old, new) = (documents(GOOD), documents(&text));
    let checked = check_change(&old.whole().unwrap(), &new.whole().unwrap());
    checked
        .map_or_else(|problems| format!("{}\n", new.locate(problems)), |()| "nothing is wrong\n".to_owned())
}

#[test]
fn what_a_running_cluster_can_not_change_is_told_with_the_reason() {
    let changes = [
        ("kubernetesVersion: 1.36.3", "kubernetesVersion: 1.35.9"),
        ("networkCIDR: 172.20.0.0/16", "networkCIDR: 172.20.0.0/17"),
        ("podCIDR: 100.96.0.0/11", "podCIDR: 100.80.0.0/12"),
        ("serviceClusterIPRange: 100.64.0.0/13", "serviceClusterIPRange: 100.72.0.0/13"),
        ("clusterDNSDomain: cluster.local", "clusterDNSDomain: other.local"),
        ("    flannel:\n      backend: vxlan", "    cni: {}"),
        ("      kmsKeyId: alias/etcd\n", ""),
        ("encryptedVolume: true", "encryptedVolume: false"),
        ("privateAddress: 172.20.32.10", "privateAddress: 172.20.32.11"),
        ("volumeSize: 40", "volumeSize: 20"),
        ("cidr: 172.20.64.0/19", "cidr: 172.20.96.0/19"),
        ("  networkCIDR:", "  networkID: vpc-0123456789abcdef0\n  networkCIDR:"),
        (
            "    type: Public\n    zone: us-east-1b",
            "    id: subnet-0123456789abcdef0\n    type: Private\n    zone: us-east-1b",
        ),
        (
            "rootVolumeType: gp3\n  subnets:\n  - us-east-1a",
            "rootVolumeType: gp3\n  subnets:\n  - us-east-1b",
        ),
        ("role: Node", "role: Master"),
    ];
    assert_data_eq!(told(&changes), file!["change/refused.txt"]);
}

#[test]
fn members_and_etcd_clusters_stay() {
    let renamed = told(&[("      name: a\n", "      name: b\n")]);
    let removed = told(&[("    name: main", "    name: other")]);
    let added = told(&[("    name: main", "    - {name: b, instanceGroup: nodes}\n    name: main")]);
    let moved = told(&[("instanceGroup: control-plane-us-east-1a", "instanceGroup: nodes")]);
    let all = [renamed, removed, added, moved].join("\n");
    assert_data_eq!(all, file!["change/etcd.txt"]);
}

#[test]
fn a_cluster_keeps_its_name_and_a_subnet_its_zone() {
    let told = told(&[
        ("  name: demo.example.com\n", "  name: other.example.com\n"),
        ("zone: us-east-1b", "zone: us-east-1c"),
    ]);
    assert_data_eq!(told, file!["change/name.txt"]);
}

#[test]
fn a_minor_version_is_not_skipped() {
    let told = told(&[("kubernetesVersion: 1.36.3", "kubernetesVersion: 1.38.0")]);
    assert!(told.contains("`1.36.3` can't be changed to `1.38.0`: a control plane goes up one"), "{told}");
    assert!(told.contains("hint: first go to 1.37"), "{told}");
}

#[test]
fn etcd_is_not_taken_back_to_an_older_minor_version() {
    let told = told(&[("version: 3.6.16", "version: 3.5.33")]);
    assert!(
        told.contains("spec.etcdClusters[0].version: etcd `3.6.16` can't be changed to `3.5.33`"),
        "{told}"
    );
    assert!(told.contains("hint: stay at 3.6"), "{told}");
}

#[test]
fn what_can_be_changed_is_let_through() {
    assert_eq!(told(&[("kubernetesVersion: 1.36.3", "kubernetesVersion: 1.36.1")]), "nothing is wrong\n");
    let changes = [
        ("kubernetesVersion: 1.36.3", "kubernetesVersion: 1.36.4"),
        ("volumeSize: 40", "volumeSize: 80"),
        ("maxSize: 5", "maxSize: 9"),
        ("- 10.0.0.0/8", "- 10.0.0.0/16"),
    ];
    assert_eq!(told(&changes), "nothing is wrong\n");
    assert_eq!(told(&[]), "nothing is wrong\n");
}
