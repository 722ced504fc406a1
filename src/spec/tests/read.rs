use snapbox::{assert_data_eq, file, str};

use super::told;
use crate::spec::v1alpha2::Cluster;
use crate::spec::{Source, read, to_yaml};

#[test]
fn every_problem_of_a_file_is_told_at_once_and_where_it_stands() {
    let text = "\
apiVersion: kops.k8s.io/v1alpha2
kind: Cluster
metadata:
  name: demo.example.com
spec:
  kubernetsVersion: 1.36.3
  networkCIDR: [10.0.0.0/16]
  iam:
    legacy: yes
  subnets:
  - name: a
    zone: us-east-1a
    type: Publik
    type: Public
---
apiVersion: kops.k8s.io/v1alpha2
kind: InstanceGroup
metadata:
  name: nodes
spec:
  role: Node
  minSize: \"2\"
  maxSize: -1
";
    assert_data_eq!(told(text), file!["read/several.txt"]);
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    let text = "\
apiVersion: kops.k8s.io/v1alpha2
kind: Cluster
metadata: {name: demo.example.com}
spec:
  kubernetesVersion: 1.36.3
  networking: {flannel: {backend: udp}}
  api:
    loadBalancer: {class: Network, type: Public}
  networkID: vpc-1
  snapshotController: {enabled: true}
  certManager: {enabled: false}
  subnets:
  - {name: a, zone: us-east-1a, type: Private}
---
apiVersion: kops.k8s.io/v1alpha2
kind: InstanceGroup
metadata: {name: master}
spec: {role: Master, maxPrice: '0.1'}
---
apiVersion: kops.k8s.io/v1alpha2
kind: InstanceGroup
metadata: {name: bastions}
spec: {role: Bastion}
";
    assert_data_eq!(told(text), file!["read/unsupported.txt"]);
}

#[test]
fn a_tab_is_called_a_tab() {
    assert_data_eq!(
        told("apiVersion: kops.k8s.io/v1alpha2\nkind: Cluster\nspec:\n\tchannel: stable\n"),
        str![[r"
cluster.yaml:4:1: a tab can't indent YAML
  |
4 |  channel: stable
  | ^
  hint: indent with spaces

"]]
    );
}

/// What windlass writes, it reads again as it was.
fn round_trip(name: &str) {
    let cluster = Cluster::named(name);
    let text = to_yaml(&cluster);
    let again = read(vec![Source { name: "-".to_owned(), text: text.clone() }]);
    let again = again.unwrap_or_else(|problems| panic!("{name:?}: {problems}\n{text}")).documents.cluster;
    assert_eq!(again, vec![cluster], "{text}");
}

#[test]
fn every_text_is_read_again_as_it_was_written() {
    let odd = [
        "a\u{2028}b",
        "\u{2029}",
        "a \u{85} b",
        "a\n\u{2028}\nb",
        "\\u2028\u{2028}",
        "\u{feff}a",
        "\u{7f}\u{0}",
    ];
    let plain = [
        "",
        " ",
        "~",
        "null",
        "1e3",
        "0o17",
        "yes",
        "- a",
        "a: b",
        "a #b",
        "'",
        "\"",
        "<<",
        "*a",
        "a\n b\n\n",
        "\t",
    ];
    for text in odd.into_iter().chain(plain) {
        round_trip(text);
    }
}

#[test]
fn bytes_that_are_no_text_are_told_where_they_stand() {
    for mark in ["", "\u{feff}"] {
        let bytes = [mark.as_bytes(), b"kind: a\nspec: \xff"].concat();
        let problems = Source::from_bytes("cluster.yaml", bytes).err().unwrap_or_default();
        let place =
            problems.0[0].location.as_ref().map(|it| (it.line, it.column, it.span.clone(), it.text.len()));
        assert_eq!(place, Some((2, 7, 14..14, 14)), "{problems}");
        assert!(problems.to_string().contains("hint: save the file as UTF-8"), "{problems}");
    }
}
