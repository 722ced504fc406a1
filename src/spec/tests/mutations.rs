//! Every line of a good specification made wrong in turn, and every rule broken once: what is told about it.

use std::fmt::Write as _;

use snapbox::{assert_data_eq, file};

use super::{complete, told};

/// A specification without a mistake, which uses most of what windlass honours.
const GOOD: &str = include_str!("good.yaml");

/// Lines under which any key is right.
const FREE: [&str; 3] = ["team:", "example.com/tier:", "kops.k8s.io/cluster:"];

/// The lines of the good specification that are `key: value`: number, indentation with dashes, key, value.
fn fields() -> Vec<(usize, &'static str, &'static str, &'static str)> {
    let line = |(number, line): (usize, &'static str)| {
        let bare = line.trim_start_matches([' ', '-']);
        let (key, value) = bare.split_once(": ")?;
        Some((number, &line[..line.len() - bare.len()], key, value))
    };
    let free = |key: &str| FREE.iter().any(|free| free.trim_end_matches(':') == key);
    GOOD.lines().enumerate().filter_map(line).filter(|(.., key, _)| !free(key)).collect()
}

/// The good specification with one line replaced.
fn with_line(number: usize, line: &str) -> String {
    let lines = GOOD.lines().enumerate().map(|(index, good)| if index == number { line } else { good });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// What is told about each of some bad specifications, which must all be refused.
fn corpus(cases: impl IntoIterator<Item = (String, String)>) -> (usize, String) {
    let (mut count, mut all) = (0, String::new());
    for (title, text) in cases {
        assert!(complete(&text).is_err(), "nothing is wrong with {title}");
        let _ = write!(all, "### {title}\n{}\n", told(&text));
        count += 1;
    }
    (count, all)
}

#[test]
fn the_good_specification_is_good() {
    assert!(complete(GOOD).is_ok(), "{}", told(GOOD));
}

#[test]
fn every_misspelled_field_is_told() {
    let misspelled = |(number, indentation, key, value): (usize, &str, &str, &str)| {
        let half = key.len() / 2;
        let wrong = format!("{}{}", &key[..half], &key[half + 1..]);
        (format!("{key} as {wrong}"), with_line(number, &format!("{indentation}{wrong}: {value}")))
    };
    let (count, told) = corpus(fields().into_iter().map(misspelled));
    assert!(count >= 70, "only {count}");
    assert_data_eq!(told, file!["mutations/misspelled.txt"]);
}

#[test]
fn every_field_of_the_wrong_type_is_told() {
    let wrong = |(number, indentation, key, _): (usize, &str, &str, &str)| {
        let line = format!("{indentation}{key}: [[{{}}]]");
        (format!("{key} as a list"), with_line(number, &line))
    };
    let (count, told) = corpus(fields().into_iter().map(wrong));
    assert!(count >= 70, "only {count}");
    assert_data_eq!(told, file!["mutations/wrong-type.txt"]);
}

#[test]
fn every_field_that_stands_twice_is_told() {
    let twice = |(number, indentation, key, value): (usize, &str, &str, &str)| {
        let again = indentation.replace('-', " ");
        let line = format!("{indentation}{key}: {value}\n{again}{key}: {value}");
        (format!("{key} twice"), with_line(number, &line))
    };
    let (count, told) = corpus(fields().into_iter().map(twice));
    assert!(count >= 70, "only {count}");
    assert_data_eq!(told, file!["mutations/twice.txt"]);
}

#[test]
fn every_field_with_a_value_that_makes_no_sense_is_told() {
    /// What may be any text.
    const ANY: [&str; 4] = ["channel", "configBase", "sshKeyName", "publicKey"];
    let nonsense = |(number, indentation, key, _): (usize, &str, &str, &str)| {
        (format!("{key} as ?!"), with_line(number, &format!("{indentation}{key}: '?!'")))
    };
    let cases = fields().into_iter().filter(|(.., key, _)| !ANY.contains(key)).map(nonsense);
    let (count, told) = corpus(cases);
    assert!(count >= 60, "only {count}");
    assert_data_eq!(told, file!["mutations/nonsense.txt"]);
}

/// Rules, each broken by replacing a text that stands in the good specification.
const RULES: &[(&str, &str, &str)] = &[
    (
        "an API version of another time",
        "kops.k8s.io/v1alpha2\nkind: Cluster",
        "kops.k8s.io/v1alpha3\nkind: Cluster",
    ),
    ("a kind that there is not", "kind: SSHCredential", "kind: SSHCredentials"),
    ("a name without a dot", "name: demo.example.com\n", "name: demo\n"),
    ("a name in capitals", "name: demo.example.com\n", "name: Demo.example.com\n"),
    (
        "a name that is too long",
        "name: demo.example.com\n",
        "name: a-name-that-is-much-too-long-for-the-key-of-the-tag-by-which-kubernetes-knows-what-is.of-the-cluster.eu.example.com\n",
    ),
    ("an alternative name that is none", "- demo.example.org", "- demo_example"),
    ("two ways to the API", "elasticIP: {}", "elasticIP: {}\n    dns: {}"),
    (
        "a discovery store that is no bucket",
        "  networkCIDR: 172.20.0.0/16",
        "  serviceAccountIssuerDiscovery: {discoveryStore: gs://discovery/demo}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "a discovery store with a dot in its bucket's name",
        "  networkCIDR: 172.20.0.0/16",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery.example.com/demo}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "a discovery store with an empty part",
        "  networkCIDR: 172.20.0.0/16",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery/a//b}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "a provider that could ask nobody",
        "  networkCIDR: 172.20.0.0/16",
        "  serviceAccountIssuerDiscovery: {enableAWSOIDCProvider: true}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "audiences of no provider",
        "  networkCIDR: 172.20.0.0/16",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery, additionalAudiences: [a]}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "an audience that is two",
        "  networkCIDR: 172.20.0.0/16",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery, enableAWSOIDCProvider: true, additionalAudiences: ['a,b']}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "a service that publishes discovery documents",
        "  networkCIDR: 172.20.0.0/16",
        "  serviceAccountIssuerDiscovery: {discoveryService: {url: https://a.example.com}}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "an issuer that is no URL",
        "  networkCIDR: 172.20.0.0/16",
        "  kubeAPIServer: {serviceAccountIssuer: a.example.com}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "an issuer with a slash at its end",
        "  networkCIDR: 172.20.0.0/16",
        "  kubeAPIServer: {additionalServiceAccountIssuers: ['https://a.example.com/']}\n  networkCIDR: 172.20.0.0/16",
    ),
    (
        "a role of a service account without a provider",
        "  iam:\n",
        "  iam:\n    serviceAccountExternalPermissions: [{name: web, namespace: default, aws: {policyARNs: ['arn:aws:iam::aws:policy/ReadOnlyAccess']}}]\n",
    ),
    (
        "a role of several service accounts",
        "  iam:\n",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery, enableAWSOIDCProvider: true}\n  iam:\n    serviceAccountExternalPermissions: [{name: 'web*', namespace: default, aws: {policyARNs: ['arn:aws:iam::aws:policy/ReadOnlyAccess']}}]\n",
    ),
    (
        "a role of a service account of no namespace",
        "  iam:\n",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery, enableAWSOIDCProvider: true}\n  iam:\n    serviceAccountExternalPermissions: [{name: web, aws: {policyARNs: ['arn:aws:iam::aws:policy/ReadOnlyAccess']}}]\n",
    ),
    (
        "a role with both kinds of policies",
        "  iam:\n",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery, enableAWSOIDCProvider: true}\n  iam:\n    serviceAccountExternalPermissions: [{name: web, namespace: 'a-*', aws: {policyARNs: ['arn:aws:iam::aws:policy/ReadOnlyAccess'], inlinePolicy: '[]'}}]\n",
    ),
    (
        "a role without policies",
        "  iam:\n",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery, enableAWSOIDCProvider: true}\n  iam:\n    serviceAccountExternalPermissions: [{name: web, namespace: default, aws: {}}]\n",
    ),
    (
        "a role with a policy that is none",
        "  iam:\n",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery, enableAWSOIDCProvider: true}\n  iam:\n    serviceAccountExternalPermissions: [{name: web, namespace: default, aws: {inlinePolicy: '{}'}}]\n",
    ),
    (
        "a service account that stands twice",
        "  iam:\n",
        "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery, enableAWSOIDCProvider: true}\n  iam:\n    serviceAccountExternalPermissions: [{name: web, namespace: 'a-*', aws: {inlinePolicy: '[{\"Effect\": \"Allow\", \"Action\": \"s3:*\"}]'}}, {name: web, namespace: 'a-wildcard', aws: {inlinePolicy: '[{\"Effect\": \"Allow\", \"Action\": \"s3:*\"}]'}}]\n",
    ),
    ("a load balancer of no kind", "elasticIP: {}", "loadBalancer: {class: Gateway}"),
    (
        "a load balancer by which nodes go",
        "elasticIP: {}",
        "loadBalancer: {type: Internal, useForInternalApi: true}",
    ),
    (
        "a load balancer's subnet that there is not",
        "elasticIP: {}",
        "loadBalancer: {subnets: [{name: us-east-1c}]}",
    ),
    (
        "a load balancer's subnet without a name",
        "elasticIP: {}",
        "loadBalancer: {subnets: [{allocationId: eipalloc-0123456789abcdef0}]}",
    ),
    (
        "a load balancer twice in a zone",
        "elasticIP: {}",
        "loadBalancer: {subnets: [{name: us-east-1a}, {name: us-east-1a}]}",
    ),
    (
        "a load balancer elsewhere than the master",
        "elasticIP: {}",
        "loadBalancer: {subnets: [{name: us-east-1b}]}",
    ),
    (
        "an address of its own that is public",
        "elasticIP: {}",
        "loadBalancer: {subnets: [{name: us-east-1a, privateIPv4Address: 172.20.32.9}]}",
    ),
    (
        "an address outside of its subnet",
        "elasticIP: {}",
        "loadBalancer: {type: Internal, subnets: [{name: us-east-1a, privateIPv4Address: 10.0.0.1}]}",
    ),
    (
        "an Elastic IP of an internal load balancer",
        "elasticIP: {}",
        "loadBalancer: {type: Internal, subnets: [{name: us-east-1a, allocationId: eipalloc-0123456789abcdef0}]}",
    ),
    ("a certificate that is none", "elasticIP: {}", "loadBalancer: {sslCertificate: mine}"),
    (
        "a policy without a certificate",
        "elasticIP: {}",
        "loadBalancer: {sslPolicy: ELBSecurityPolicy-2016-08}",
    ),
    ("an access log without a bucket", "elasticIP: {}", "loadBalancer: {accessLog: {bucketPrefix: api}}"),
    ("a security group that is none", "elasticIP: {}", "loadBalancer: {securityGroupOverride: mine}"),
    (
        "a further security group that is none",
        "elasticIP: {}",
        "loadBalancer: {additionalSecurityGroups: [mine]}",
    ),
    ("a connection that idles", "elasticIP: {}", "loadBalancer: {idleTimeoutSeconds: 60}"),
    ("a Classic Load Balancer", "elasticIP: {}", "loadBalancer: {class: Classic}"),
    ("everything allowed", "rbac: {}", "alwaysAllow: {}"),
    ("a reserved tag", "team: platform", "KubernetesCluster: mine"),
    ("a reserved tag's prefix", "team: platform", "kubernetes.io/cluster/x: owned"),
    ("a tag of kops's", "team: platform", "kops.k8s.io/x: mine"),
    ("a tag of windlass's", "team: platform", "windlass.dev/x: mine"),
    ("a tag of AWS's", "team: platform", "aws:x: mine"),
    ("a tag that says a role", "team: platform", "k8s.io/role/x: mine"),
    ("the tag Name", "team: platform", "Name: mine"),
    ("two ways to be authorized", "rbac: {}", "rbac: {}\n    alwaysAllow: {}"),
    ("another cloud", "cloudProvider: aws", "cloudProvider: gce"),
    ("an even number of members", "    name: main", "    - {name: b, instanceGroup: nodes}\n    name: main"),
    ("a member on nodes", "instanceGroup: control-plane-us-east-1a", "instanceGroup: nodes"),
    ("a member without a group", "      instanceGroup: control-plane-us-east-1a\n", ""),
    (
        "two members on a master",
        "    name: main",
        "    - {name: b, instanceGroup: control-plane-us-east-1a}\n    - {name: c}\n    name: main",
    ),
    (
        "two members of one name",
        "    name: main",
        "    - {name: a, instanceGroup: nodes}\n    - {name: c}\n    name: main",
    ),
    (
        "nine members",
        "    name: main",
        "    - &m {name: b, instanceGroup: nodes}\n    - *m\n    - *m\n    - *m\n    - *m\n    - *m\n    - *m\n    - *m\n    name: main",
    ),
    ("an etcd cluster of another name", "    name: main", "    name: other"),
    (
        "two etcd clusters of two versions",
        "    version: 3.6.16",
        "    version: 3.6.16\n  - {name: events, version: 3.5.9, etcdMembers: [{name: a, instanceGroup: control-plane-us-east-1a}]}",
    ),
    ("an address of AWS's own", "172.20.32.10", "172.20.32.2"),
    ("an address outside of the subnet", "172.20.32.10", "172.20.64.10"),
    ("too few operations a second", "volumeIops: 4000", "volumeIops: 100"),
    ("a volume that is too large", "volumeSize: 40", "volumeSize: 70000"),
    (
        "a type that must say its operations",
        "volumeIops: 4000\n      volumeSize: 40\n      volumeThroughput: 200\n      volumeType: gp3",
        "volumeType: io1",
    ),
    ("a setting that gp2 does not have", "volumeType: gp3", "volumeType: gp2"),
    ("magnetic disks", "volumeType: gp3", "volumeType: standard"),
    ("a key for a volume that is not encrypted", "encryptedVolume: true", "encryptedVolume: false"),
    ("a key that is none", "kmsKeyId: alias/etcd", "kmsKeyId: my key"),
    ("a life of an hour", "  role: Node\n", "  role: Node\n  maxInstanceLifetime: 1h\n"),
    ("a life of half a second", "  role: Node\n", "  role: Node\n  maxInstanceLifetime: 500ms\n"),
    ("a life of no length", "  role: Node\n", "  role: Node\n  maxInstanceLifetime: long\n"),
    (
        "load balancers of others that are none",
        "  role: Node\n",
        "  role: Node\n  externalLoadBalancers: [{}, {targetGroupArn: web}, {loadBalancerName: -web}, {loadBalancerName: a}, \
         {loadBalancerName: a}]\n",
    ),
    (
        "a security group in the place of windlass's own that is none",
        "  role: Node\n",
        "  role: Node\n  securityGroupOverride: nodes\n",
    ),
    (
        "a security group in two places",
        "  role: Node\n",
        "  role: Node\n  securityGroupOverride: sg-0123456789abcdef0\n  additionalSecurityGroups: [sg-0123456789abcdef0]\n",
    ),
    ("node ports for nobody's addresses", "sshAccess:", "nodePortAccess: [home]\n  sshAccess:"),
    (
        "volumes that are none",
        "  role: Node\n",
        "  role: Node\n  volumes: [{}, {device: /dev/sda, size: 0}, {device: /dev/sdb, size: 1}, {device: /dev/xvdb, size: 1}]\n",
    ),
    (
        "mounts of nothing",
        "  role: Node\n",
        "  role: Node\n  volumeMounts: [{}, {device: /dev/sdb, filesystem: ntfs, path: data, formatOptions: [-m 0]}]\n",
    ),
    (
        "mounts that hide what is needed, or each other",
        "  role: Node\n",
        "  role: Node\n  volumes: [{device: /dev/sdb, size: 1}, {device: /dev/sdc, size: 1}]\n  volumeMounts: [{device: /dev/sdb, \
         filesystem: xfs, path: /var/lib}, {device: /dev/sdb, filesystem: xfs, path: /etc/app}, {device: /dev/sdc, filesystem: \
         ext4, path: /data}, {device: /dev/sdc, filesystem: ext4, path: /var/lib/etcd-main}]\n",
    ),
    (
        "files that are none",
        "  role: Node\n",
        "  role: Node\n  fileAssets: [{}, {name: a, path: a, content: a, mode: 9}, {name: a, path: /run/a, content: '?', isBase64: \
         true}, {name: a, path: /a, content: a}, {name: b, path: /a, content: b}]\n",
    ),
    (
        "hooks that are none",
        "  role: Node\n",
        "  role: Node\n  hooks: [{}, {name: kubelet, manifest: a}, {name: a/b, manifest: '[Unit]', before: [kubelet]}, {disabled: true}, \
         {name: a, manifest: a, useRawManifest: true, requires: [b.service]}, {name: a, execContainer: {}}]\n",
    ),
    ("a file of the cluster's that is none", "sshAccess:", "fileAssets: [{}]\n  sshAccess:"),
    ("a hook of the cluster's that is none", "sshAccess:", "hooks: [{}]\n  sshAccess:"),
    ("credits of another name", "  role: Node\n", "  role: Node\n  cpuCredits: endless\n"),
    (
        "twelve etcd clusters",
        "    version: 3.6.16",
        "    version: 3.6.16\n  - &e {name: events, etcdMembers: [{name: a, instanceGroup: control-plane-us-east-1a}]}\n  - *e\n  - *e\n  \
         - *e\n  - *e\n  - *e\n  - *e\n  - *e\n  - *e\n  - *e\n  - *e",
    ),
    (
        "an election before the fifth heartbeat",
        "    name: main",
        "    name: main\n    heartbeatInterval: 250ms",
    ),
    ("an election that never comes", "    name: main", "    name: main\n    leaderElectionTimeout: 2m"),
    ("a heartbeat of no length", "    name: main", "    name: main\n    heartbeatInterval: quick"),
    ("no etcd cluster main", "    name: main", "    name: events"),
    (
        "a member of another address than its master's",
        "    version: 3.6.16",
        "    version: 3.6.16\n  - {name: events, etcdMembers: [{name: a, instanceGroup: control-plane-us-east-1a, \
         privateAddress: 172.20.32.77}]}",
    ),
    (
        "a request that is no quantity",
        "    name: main",
        "    name: main\n    cpuRequest: 1 core\n    memoryRequest: 100mb",
    ),
    ("an etcd that is too old", "version: 3.6.16", "version: 3.4.3"),
    ("an etcd version that is none", "version: 3.6.16", "version: latest"),
    ("old policies", "legacy: false", "legacy: true"),
    ("isolated masters", "isolateMasters: false", "isolateMasters: true"),
    ("a kubelet for everybody", "anonymousAuth: false", "anonymousAuth: true"),
    ("more pods than addresses", "maxPods: 110", "maxPods: 500"),
    ("an API that nobody reaches", "kubernetesApiAccess:\n  - 0.0.0.0/0", "kubernetesApiAccess: []"),
    ("an address instead of a range", "- 0.0.0.0/0", "- 203.0.113.7"),
    ("bits behind a prefix", "- 10.0.0.0/8", "- 10.1.0.0/8"),
    ("a prefix list", "- 10.0.0.0/8", "- pl-0123"),
    ("a prefix that there is not", "- 10.0.0.0/8", "- 10.0.0.0/40"),
    ("a Kubernetes that is too old", "kubernetesVersion: 1.36.3", "kubernetesVersion: 1.30.0"),
    ("a Kubernetes that is too new", "kubernetesVersion: 1.36.3", "kubernetesVersion: 1.99.0"),
    ("a Kubernetes without a patch", "kubernetesVersion: 1.36.3", "kubernetesVersion: 1.36"),
    ("a public name that is none", "api.demo.example.com", "https://api.demo.example.com"),
    ("a VPC that is too large", "networkCIDR: 172.20.0.0/16", "networkCIDR: 172.16.0.0/12"),
    ("a VPC that pods are in", "networkCIDR: 172.20.0.0/16", "networkCIDR: 100.96.0.0/16"),
    ("a VPC in IPv6", "networkCIDR: 172.20.0.0/16", "networkCIDR: 2001:db8::/56"),
    ("another backend", "backend: vxlan", "backend: udp"),
    ("two plug-ins", "    flannel:", "    cni: {}\n    flannel:"),
    ("cilium", "    flannel:\n      backend: vxlan", "    cilium: {}"),
    ("no plug-in", "    flannel:\n      backend: vxlan", "    {}"),
    (
        "an internal range that the VPC is in",
        "nonMasqueradeCIDR: 100.64.0.0/10",
        "nonMasqueradeCIDR: 0.0.0.0/0",
    ),
    ("pods outside of the internal range", "podCIDR: 100.96.0.0/11", "podCIDR: 10.0.0.0/16"),
    ("pods among services", "podCIDR: 100.96.0.0/11", "podCIDR: 100.64.0.0/13"),
    ("pods of three nodes", "podCIDR: 100.96.0.0/11", "podCIDR: 100.96.0.0/23"),
    ("too many services", "serviceClusterIPRange: 100.64.0.0/13", "serviceClusterIPRange: 100.64.0.0/11"),
    ("services outside of the internal range", "100.64.0.0/13", "10.0.0.0/16"),
    ("a subnet among pods' addresses", "cidr: 172.20.64.0/19", "cidr: 100.96.0.0/19"),
    ("a subnet among services' addresses", "cidr: 172.20.64.0/19", "cidr: 100.64.0.0/19"),
    ("a subnet outside of the VPC", "cidr: 172.20.64.0/19", "cidr: 172.21.64.0/19"),
    ("a subnet that overlaps another", "cidr: 172.20.64.0/19", "cidr: 172.20.32.0/20"),
    ("a subnet that is too small", "cidr: 172.20.64.0/19", "cidr: 172.20.64.0/29"),
    ("two subnets of one name", "    name: us-east-1b", "    name: us-east-1a"),
    ("a subnet without a zone", "    zone: us-east-1b\n", ""),
    ("a zone that is a region", "zone: us-east-1b", "zone: us-east-1"),
    ("a zone of another region", "zone: us-east-1b", "zone: eu-west-1b"),
    ("a region that is not the zone's", "region: us-east-1", "region: eu-west-1"),
    (
        "a public and a private subnet in one group",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    zone: us-east-1b",
    ),
    ("IPv6 and IPv4", "type: Public\n    zone: us-east-1b", "type: DualStack\n    zone: us-east-1b"),
    (
        "a way to the Internet that is none",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    egress: somewhere\n    zone: us-east-1b",
    ),
    (
        "a NAT gateway's id that is none",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    egress: nat-X\n    zone: us-east-1b",
    ),
    (
        "a NAT gateway for a public subnet",
        "type: Public\n    zone: us-east-1b",
        "type: Public\n    egress: nat-0123456789abcdef0\n    zone: us-east-1b",
    ),
    (
        "an address that no NAT gateway has",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    egress: External\n    publicIP: 192.0.2.1\n    zone: us-east-1b",
    ),
    (
        "an address of a NAT gateway that exists",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    egress: nat-0123456789abcdef0\n    publicIP: 192.0.2.1\n    zone: us-east-1b",
    ),
    (
        "an address that is none",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    publicIP: here\n    zone: us-east-1b",
    ),
    (
        "a route of a public subnet",
        "type: Public\n    zone: us-east-1b",
        "type: Public\n    additionalRoutes: [{cidr: 10.0.0.0/8, target: pcx-0123456789abcdef0}]\n    zone: us-east-1b",
    ),
    (
        "a route to nowhere",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    additionalRoutes: [{cidr: 10.0.0.0/8, target: x}]\n    zone: us-east-1b",
    ),
    (
        "a route without an end",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    additionalRoutes: [{target: pcx-0123456789abcdef0}]\n    zone: us-east-1b",
    ),
    (
        "a route twice",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    additionalRoutes: [{cidr: 10.0.0.0/8, target: pcx-0123456789abcdef0}, {cidr: 10.0.0.0/8, target: tgw-0123456789abcdef0}]\n    zone: us-east-1b",
    ),
    (
        "a route for everything",
        "type: Public\n    zone: us-east-1b",
        "type: Private\n    additionalRoutes: [{cidr: 0.0.0.0/0, target: pcx-0123456789abcdef0}]\n    zone: us-east-1b",
    ),
    (
        "an existing subnet of a VPC that is made",
        "type: Public\n    zone: us-east-1b",
        "type: Public\n    id: subnet-0123456789abcdef0\n    zone: us-east-1b",
    ),
    (
        "private subnets without a place for their NAT gateway",
        "type: Public\n    zone: us-east-1a\n  - cidr: 172.20.64.0/19\n    name: us-east-1b\n    type: Public",
        "type: Private\n    zone: us-east-1a\n  - cidr: 172.20.64.0/19\n    name: us-east-1b\n    type: Private",
    ),
    (
        "two ways out of a zone",
        "  topology:",
        "  - {name: one, zone: us-east-1c, cidr: 172.20.96.0/19, type: Private}\n  - {name: other, zone: us-east-1c, cidr: \
         172.20.128.0/19, type: Private, egress: tgw-0123456789abcdef0}\n  topology:",
    ),
    (
        "an Elastic IP of a private master",
        "type: Public\n    zone: us-east-1a",
        "type: Private\n    zone: us-east-1a",
    ),
    ("a name that nothing asks for", "type: None", "type: Public"),
    ("names that only the VPC sees", "type: None", "type: Private\n  dnsZone: example.com"),
    ("a zone without names", "type: None", "type: None\n  dnsZone: example.com"),
    ("a zone beside an Elastic IP", "type: None", "type: Public\n  dnsZone: example.com"),
    ("the API by a name that nobody publishes", "    elasticIP: {}", "    dns: {}"),
    ("an existing VPC's id that is none", "  networkCIDR:", "  networkID: mine\n  networkCIDR:"),
    (
        "a new subnet of an existing VPC without a range",
        "  subnets:\n  - cidr: 172.20.32.0/19\n    name: us-east-1a",
        "  networkID: vpc-0123456789abcdef0\n  subnets:\n  - name: us-east-1a",
    ),
    (
        "a further range that is none",
        "  networkCIDR:",
        "  additionalNetworkCIDRs: [10.0.0.5/8]\n  networkCIDR:",
    ),
    (
        "a further range of the VPC that is pods'",
        "  networkCIDR:",
        "  additionalNetworkCIDRs: [100.96.0.0/16]\n  networkCIDR:",
    ),
    (
        "a further range that no VPC has",
        "  networkCIDR:",
        "  additionalNetworkCIDRs: [10.0.0.0/8]\n  networkCIDR:",
    ),
    (
        "a group of another cluster",
        "kops.k8s.io/cluster: demo.example.com\n  name: nodes",
        "kops.k8s.io/cluster: prod.example.com\n  name: nodes",
    ),
    (
        "a key of another cluster",
        "  name: admin",
        "  labels: {kops.k8s.io/cluster: prod.example.com}\n  name: admin",
    ),
    ("two groups of one name", "  name: nodes", "  name: control-plane-us-east-1a"),
    ("a group without a name", "  name: nodes\n", ""),
    ("a group without a role", "  role: Node\n", ""),
    ("an API server", "role: Node", "role: APIServer"),
    ("no master", "role: Master", "role: Node"),
    ("a second master", "role: Node", "role: Master"),
    ("three masters in a group", "maxSize: 1", "maxSize: 3"),
    ("fewer than none", "minSize: 2", "minSize: -2"),
    ("more at least than at most", "minSize: 2", "minSize: 7"),
    ("more than a cluster can have", "maxSize: 5", "maxSize: 50000"),
    ("a subnet that there is not", "  - us-east-1b\n  taints", "  - us-east-1c\n  taints"),
    ("a subnet twice", "  - us-east-1b\n  taints", "  - us-east-1a\n  taints"),
    (
        "a master in two subnets",
        "rootVolumeType: gp3\n  subnets:\n",
        "rootVolumeType: gp3\n  subnets:\n  - us-east-1b\n",
    ),
    ("several instance types", "machineType: m6g.large", "machineType: m6g.large,m6g.xlarge"),
    ("an instance type without a size", "machineType: m6g.large", "machineType: m6g"),
    ("an image that is none", "image: self/windlass-1.36.3-debian-13-*", "image: ubuntu"),
    ("an image in a parameter", "image: self/windlass-1.36.3-debian-13-*", "image: ssm:/aws/x"),
    ("an image's id that is none", "image: ami-0123456789abcdef0", "image: ami-xyz"),
    ("a metadata service without tokens", "httpTokens: required", "httpTokens: optional"),
    ("a hop too many", "httpPutResponseHopLimit: 2", "httpPutResponseHopLimit: 65"),
    ("no public address", "associatePublicIp: true", "associatePublicIp: false"),
    ("a label that a kubelet may not set", "example.com/tier: web", "node-role.kubernetes.io/web: 'true'"),
    ("a label's value that is none", "example.com/tier: web", "example.com/tier: a b"),
    ("a label's key that is none", "example.com/tier: web", "example.com/tier/x: web"),
    ("a taint without an effect", "tier=web:NoSchedule", "tier=web"),
    ("a taint's effect that there is not", "tier=web:NoSchedule", "tier=web:Never"),
    ("a taint twice", "  tenancy: default", "  - example.com/tier=api:NoSchedule\n  tenancy: default"),
    ("dedicated hosts", "tenancy: default", "tenancy: host"),
    (
        "security groups that are none, and one twice",
        "  tenancy: default",
        "  additionalSecurityGroups: [web, sg-0123456789abcdef0, sg-0123456789abcdef0]",
    ),
    (
        "a role in place of an instance profile",
        "  tenancy: default",
        "  iam: {profile: 'arn:aws:iam::123456789012:role/nodes'}",
    ),
    ("a process that there is not", "  tenancy: default", "  suspendProcesses: [Launch, Sleep]"),
    (
        "user data without a type, and of one that cloud-init has no use for",
        "  tenancy: default",
        "  additionalUserData: [{name: a.sh, content: x}, {name: a b, type: text/html, content: ''}]",
    ),
    (
        "two parts of one name",
        "  tenancy: default",
        "  additionalUserData: [&a {name: a.sh, type: text/x-shellscript, content: x}, *a]",
    ),
    ("a kernel parameter without a name", "  tenancy: default", "  sysctlParameters: ['=1']"),
    ("a price that is none", "  tenancy: default", "  maxPrice: cheap"),
    ("a price that EC2 refuses", "  tenancy: default", "  maxPrice: 0.0001"),
    (
        "types that are listed and chosen",
        "  tenancy: default",
        "  mixedInstancesPolicy: {instances: [m5.large], instanceRequirements: {}}",
    ),
    (
        "types twice, and one that is none",
        "  tenancy: default",
        "  mixedInstancesPolicy: {instances: [m5.large, m5.large, large]}",
    ),
    (
        "more on demand than there are",
        "  tenancy: default",
        "  mixedInstancesPolicy: {onDemandBase: 6, onDemandAboveBase: 101}",
    ),
    (
        "strategies that there are not",
        "  tenancy: default",
        "  mixedInstancesPolicy: {spotAllocationStrategy: diversified, onDemandAllocationStrategy: cheap}",
    ),
    (
        "an order of types that are not listed",
        "  tenancy: default",
        "  mixedInstancesPolicy: {instanceRequirements: {}, onDemandAllocationStrategy: prioritized}",
    ),
    (
        "pools without the cheapest",
        "  tenancy: default",
        "  mixedInstancesPolicy: {spotAllocationStrategy: capacity-optimized, spotInstancePools: 2}",
    ),
    ("too many pools", "  tenancy: default", "  mixedInstancesPolicy: {spotInstancePools: 21}"),
    (
        "requirements that nothing meets",
        "  tenancy: default",
        "  mixedInstancesPolicy: {instanceRequirements: {cpu: {min: 500m}, memory: {min: 4Gi, max: 2Gi}, \
         excludedInstanceTypes: [T2]}}",
    ),
    ("a spot instance that sleeps", "  tenancy: default", "  instanceInterruptionBehavior: hibernate"),
    ("a spot instance for an hour", "  tenancy: default", "  spotDurationInMinutes: 60"),
    ("a private key", "publicKey: ssh-ed25519", "publicKey: -----BEGIN OPENSSH PRIVATE KEY-----"),
    ("a key that is cut off", "AAAAC3NzaC1lZDI1NTE5AAAAI", "AAAA"),
    ("a key of another kind", "ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 AAAA"),
    ("a tab", "    elasticIP: {}", "\telasticIP: {}"),
    ("a bracket that is not closed", "elasticIP: {}", "elasticIP: {"),
    ("an anchor that there is not", "elasticIP: {}", "elasticIP: *nowhere"),
    ("a quote that is not closed", "channel: stable", "channel: 'stable"),
    ("a document without a kind", "kind: SSHCredential\n", ""),
    (
        "a list instead of a document",
        "apiVersion: kops.k8s.io/v1alpha2\nkind: SSHCredential",
        "- a\n---\napiVersion: kops.k8s.io/v1alpha2\nkind: SSHCredential",
    ),
];

#[test]
fn every_broken_rule_is_told() {
    let broken = |(title, good, bad): &(&str, &str, &str)| {
        assert!(GOOD.contains(good), "{title}: {good:?} does not stand in the good specification");
        ((*title).to_owned(), GOOD.replacen(good, bad, 1))
    };
    let (count, told) = corpus(RULES.iter().map(broken));
    assert!(count >= 90, "only {count}");
    assert_data_eq!(told, file!["mutations/rules.txt"]);
}
