use snapbox::{assert_data_eq, file, str};

use super::told;

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
  metricsServer: {enabled: true}
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
