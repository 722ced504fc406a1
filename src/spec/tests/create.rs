use snapbox::{assert_data_eq, file};

use crate::spec::create::{DIFFERENCES, ExistingNetwork, ExistingSubnet};
use crate::spec::default::assign_ranges;
use crate::spec::v1alpha2::SubnetSpec;
use crate::spec::{CreateOptions, Documents, create, to_yaml};

fn demo() -> CreateOptions {
    CreateOptions {
        name: "demo.example.com".to_owned(),
        zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        ..CreateOptions::default()
    }
}

fn written(options: &CreateOptions) -> String {
    match create(options) {
        Ok(documents) => documents.to_yaml(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn the_fewest_flags_make_a_cluster_of_one_master_and_a_node_in_each_zone() {
    assert_data_eq!(written(&demo()), file!["create/demo.yaml"]);
}

#[test]
fn a_cluster_of_one_machine_is_complete_with_empty_groups_of_nodes_and_with_none() {
    let mut documents = create(&CreateOptions { node_count: Some(0), ..demo() }).unwrap();
    let sizes: Vec<_> =
        documents.instance_groups.iter().map(|group| (group.spec.min_size, group.spec.max_size)).collect();
    assert_eq!(sizes, [(Some(1), Some(1)), (Some(0), Some(0)), (Some(0), Some(0))]);
    assert!(documents.resolve().is_ok());
    documents.instance_groups.truncate(1);
    assert_eq!(documents.resolve().unwrap().instance_groups.len(), 1);
}

#[test]
fn a_master_has_the_default_taint_only_where_none_is_written() {
    let mut documents = create(&demo()).unwrap();
    let of = |documents: &Documents| {
        let mut groups = documents.resolve().unwrap().instance_groups;
        let nodes = groups.pop().unwrap();
        assert!(nodes.taints.is_empty() && !nodes.default_taint);
        let master = groups.swap_remove(0);
        (master.taints.iter().map(ToString::to_string).collect::<Vec<_>>(), master.default_taint)
    };
    assert_eq!(of(&documents), (vec!["node-role.kubernetes.io/control-plane=:NoSchedule".to_owned()], true));
    for written in [vec![], vec!["team=a:NoExecute".to_owned()]] {
        documents.instance_groups[0].spec.taints = Some(written.clone());
        assert_eq!(of(&documents), (written, false), "what is written is honoured exactly");
    }
}

#[test]
fn what_is_created_completes_without_a_problem() {
    let complete = create(&demo()).and_then(|documents| documents.resolve());
    let shown = complete.as_ref().map_or_else(ToString::to_string, to_yaml);
    assert_data_eq!(shown, file!["create/demo-complete.yaml"]);
}

#[test]
fn every_bad_flag_is_named() {
    let options = CreateOptions {
        name: "Demo".to_owned(),
        zones: vec!["us-east-1".to_owned()],
        control_plane_zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        control_plane_count: Some(1),
        networking: Some("cillium".to_owned()),
        topology: Some("publick".to_owned()),
        bastion: true,
        instance_manager: Some("karpenter".to_owned()),
        network_cidr: vec!["10.0.0.1/16".to_owned()],
        ssh_public_key: Some("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned()),
        ..CreateOptions::default()
    };
    assert_data_eq!(written(&options), file!["create/bad-flags.txt"]);
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What is written, and what of it can't be built yet.
fn written_and_refused(options: &CreateOptions) -> String {
    let refused = create(options).and_then(|documents| documents.resolve());
    let refused =
        refused.map_or_else(|problems| problems.to_string(), |_| "everything can be built".to_owned());
    format!("{}---\n# {}\n", written(options), refused.replace('\n', "\n# ").replace("# \n", "#\n"))
}

#[test]
fn three_masters_get_a_load_balancer_and_three_etcd_members() {
    let options = CreateOptions {
        name: "ha.example.com".to_owned(),
        zones: texts(&["us-test-1a", "us-test-1b", "us-test-1c"]),
        control_plane_zones: texts(&["us-test-1a", "us-test-1b", "us-test-1c"]),
        networking: Some("cilium".to_owned()),
        ..CreateOptions::default()
    };
    assert_data_eq!(written_and_refused(&options), file!["create/ha.yaml"]);
}

#[test]
fn masters_that_share_zones_are_numbered() {
    let options = CreateOptions {
        name: "ha.example.com".to_owned(),
        zones: texts(&["us-test-1a", "us-test-1b"]),
        control_plane_count: Some(5),
        node_count: Some(3),
        etcd_clusters: texts(&["main", "events"]),
        ..CreateOptions::default()
    };
    let documents = create(&options).unwrap_or_else(|problems| panic!("{problems}"));
    let members = documents.cluster.spec.etcd_clusters.unwrap_or_default();
    let members: Vec<_> = members
        .iter()
        .flat_map(|cluster| cluster.etcd_members.iter().flatten())
        .filter_map(|member| Some((member.name.clone()?, member.instance_group.clone()?)))
        .collect();
    let expected = [
        ("a-1", "control-plane-us-test-1a-1"),
        ("b-1", "control-plane-us-test-1b-1"),
        ("a-2", "control-plane-us-test-1a-2"),
        ("b-2", "control-plane-us-test-1b-2"),
        ("a-3", "control-plane-us-test-1a-3"),
    ];
    let expected = expected.map(|(name, group)| (name.to_owned(), group.to_owned()));
    assert_eq!(members[..5], expected);
    assert_eq!(members[5..], expected);
    let nodes: Vec<_> = documents.instance_groups[5..]
        .iter()
        .map(|group| (group.metadata.name.as_deref().unwrap_or_default(), group.spec.min_size))
        .collect();
    assert_eq!(nodes, [("nodes-us-test-1a", Some(2)), ("nodes-us-test-1b", Some(1))]);
}

#[test]
fn where_written_ranges_are_in_the_way_all_other_subnets_get_one_or_none_does() {
    let ranges = |network: &str, written: &[&str], more: usize| {
        let subnet = |cidr: Option<String>| SubnetSpec { cidr, ..SubnetSpec::default() };
        let written = written.iter().map(|cidr| subnet(Some((*cidr).to_owned())));
        let mut subnets: Vec<SubnetSpec> = written.chain((0..more).map(|_| subnet(None))).collect();
        let network = network.parse().unwrap();
        assign_ranges(network, &mut subnets);
        let once = subnets.clone();
        assign_ranges(network, &mut subnets);
        assert_eq!(subnets, once, "a second time gave others");
        subnets.into_iter().filter_map(|subnet| subnet.cidr).collect::<Vec<_>>()
    };
    // Two written ranges that lie in three of the four blocks: one is left, so the blocks are halved.
    let written = ["10.0.0.0/17", "10.0.128.0/20"];
    let all = ["10.0.0.0/17", "10.0.128.0/20", "10.0.160.0/19", "10.0.192.0/19"];
    assert_eq!(ranges("10.0.0.0/16", &written, 2), all);
    let full = ["10.0.0.0/17", "10.0.128.0/17"];
    assert_eq!(ranges("10.0.0.0/16", &full, 1), full);
}

#[test]
fn an_ipv6_cluster_has_kops_s_ranges() {
    let options = CreateOptions {
        name: "six.example.com".to_owned(),
        zones: texts(&["us-test-1a", "us-test-1b", "us-test-1c"]),
        network_cidr: texts(&["172.20.0.0/16"]),
        ipv6: true,
        ..CreateOptions::default()
    };
    // The private subnets have no IPv4 range, and yet their blocks stay free.
    let expected = [
        ("dualstack-us-test-1a", "172.20.32.0/19"),
        ("dualstack-us-test-1b", "172.20.64.0/19"),
        ("dualstack-us-test-1c", "172.20.96.0/19"),
        ("utility-us-test-1a", "172.20.0.0/22"),
        ("utility-us-test-1b", "172.20.4.0/22"),
        ("utility-us-test-1c", "172.20.8.0/22"),
    ];
    assert_eq!(subnets(&options), expected.map(|(name, cidr)| (name.to_owned(), cidr.to_owned())));
    let spec = create(&options).unwrap().cluster.spec;
    let sixes: Vec<_> = spec.subnets.into_iter().flatten().filter_map(|subnet| subnet.ipv6_cidr).collect();
    assert_eq!(sixes, (0..9).map(|index| format!("/64#{index}")).collect::<Vec<_>>());
    assert_eq!(spec.non_masquerade_cidr.as_deref(), Some("::/0"));
}

#[test]
fn pods_of_amazonvpc_are_in_the_range_of_the_vpc() {
    let options = |networking: &str| CreateOptions {
        networking: Some(networking.to_owned()),
        network_cidr: texts(&["10.9.0.0/16"]),
        ..demo()
    };
    let internal = |networking: &str| create(&options(networking)).unwrap().cluster.spec.non_masquerade_cidr;
    assert_eq!(internal("amazonvpc").as_deref(), Some("10.9.0.0/16"));
    assert_eq!(internal("flannel").as_deref(), Some("100.64.0.0/10"));
}

#[test]
fn a_network_that_nobody_names_is_refused() {
    let told = written(&CreateOptions { networking: Some("overlay".to_owned()), ..demo() });
    assert!(told.starts_with("--networking: `overlay` is not known\n"), "{told}");
}

#[test]
fn every_group_says_its_name_in_kops_s_label() {
    let documents = create(&demo()).unwrap();
    assert!(documents.instance_groups.len() > 2);
    for group in documents.instance_groups {
        let labels = group.spec.node_labels.unwrap_or_default();
        let label = labels.get("kops.k8s.io/instancegroup");
        assert_eq!(label, group.metadata.name.as_ref());
    }
    assert_eq!(documents.cluster.spec.iam.unwrap().allow_container_registry, Some(true));
}

/// Names and ranges of the subnets that flags make.
fn subnets(options: &CreateOptions) -> Vec<(String, String)> {
    let documents = create(options).unwrap_or_else(|problems| panic!("{problems}"));
    let subnets = documents.cluster.spec.subnets.unwrap_or_default();
    subnets.into_iter().filter_map(|subnet| Some((subnet.name?, subnet.cidr?))).collect()
}

#[test]
fn a_private_topology_cuts_its_utility_subnets_from_the_first_block() {
    let options = CreateOptions {
        name: "complex.example.com".to_owned(),
        zones: texts(&["us-test-1a", "us-test-1b", "us-test-1c"]),
        network_cidr: texts(&["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"]),
        networking: Some("cni".to_owned()),
        topology: Some("private".to_owned()),
        bastion: true,
        control_plane_count: Some(3),
        node_count: Some(10),
        ssh_access: texts(&["1.2.3.4/32"]),
        ..CreateOptions::default()
    };
    let expected = [
        ("us-test-1a", "10.0.64.0/18"),
        ("us-test-1b", "10.0.128.0/18"),
        ("us-test-1c", "10.0.192.0/18"),
        ("us-test-1a-1", "10.1.0.0/16"),
        ("us-test-1b-2", "10.2.0.0/16"),
        ("us-test-1c-3", "10.3.0.0/16"),
        ("us-test-1a-4", "10.4.0.0/16"),
        ("utility-us-test-1a", "10.0.0.0/21"),
        ("utility-us-test-1b", "10.0.24.0/21"),
        ("utility-us-test-1c", "10.0.40.0/21"),
        ("utility-us-test-1a-1", "10.0.8.0/21"),
        ("utility-us-test-1b-2", "10.0.32.0/21"),
        ("utility-us-test-1c-3", "10.0.48.0/21"),
        ("utility-us-test-1a-4", "10.0.16.0/21"),
    ];
    assert_eq!(subnets(&options), expected.map(|(name, cidr)| (name.to_owned(), cidr.to_owned())));
    assert_data_eq!(written_and_refused(&options), file!["create/private.yaml"]);
}

#[test]
fn every_difference_from_kops_stands_in_the_documentation() {
    let documentation = include_str!("../../../docs/specification.md");
    for (field, reason) in DIFFERENCES {
        assert!(documentation.contains(&format!("| `{field}` | {reason} |")), "{field}: {reason}");
    }
}

#[test]
fn every_flag_finds_its_field() {
    let existing = |id: &str, cidr: &str| ExistingSubnet {
        id: id.to_owned(),
        vpc: "vpc-1".to_owned(),
        zone: "us-test-1a".to_owned(),
        cidr: cidr.to_owned(),
    };
    let options = CreateOptions {
        name: "all.example.com".to_owned(),
        channel: Some("alpha".to_owned()),
        kubernetes_version: Some("1.35.7".to_owned()),
        kubernetes_feature_gates: texts(&["One", "+Two", "-Three"]),
        cloud_labels: [("team".to_owned(), "a".to_owned())].into(),
        zones: texts(&["us-test-1a"]),
        network_cidr: texts(&["10.0.0.0/16", "10.9.0.0/16"]),
        network_id: Some("vpc-1".to_owned()),
        existing_network: Some(ExistingNetwork {
            id: "vpc-1".to_owned(),
            ranges: texts(&["10.0.0.0/16", "10.9.0.0/16"]),
        }),
        subnets: vec![existing("subnet-1", "10.0.1.0/24")],
        utility_subnets: vec![existing("subnet-2", "10.0.2.0/24")],
        topology: Some("private".to_owned()),
        networking: Some("cilium-etcd".to_owned()),
        ipv6: true,
        associate_public_ip: Some(false),
        disable_subnet_tags: true,
        dns: Some("private".to_owned()),
        dns_zone: Some("example.com".to_owned()),
        api_loadbalancer_type: Some("internal".to_owned()),
        api_public_name: Some("api.example.com".to_owned()),
        api_ssl_certificate: Some("arn:aws:acm:us-test-1:1:certificate/1".to_owned()),
        admin_access: texts(&["10.0.0.0/8"]),
        ssh_access: texts(&["pl-0123456789abcdef0"]),
        ssh_public_key: Some(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdW1PWyFUQk2gk3E1WjC7sVAkBTsmnrlIyNvMfHuR5b me\n"
                .to_owned(),
        ),
        bastion: true,
        bastion_image: Some("ami-00000001".to_owned()),
        image: Some("ami-00000002".to_owned()),
        instance_manager: Some("cloudgroups".to_owned()),
        control_plane_zones: texts(&["us-test-1a"]),
        control_plane_count: None,
        control_plane_size: texts(&["m5.large"]),
        control_plane_image: Some("ami-00000003".to_owned()),
        control_plane_tenancy: Some("dedicated".to_owned()),
        control_plane_volume_size: Some(50),
        control_plane_volume_type: Some("io2".to_owned()),
        control_plane_security_groups: texts(&["sg-0000000000000000a", "sg-0000000000000000b"]),
        node_count: None,
        node_size: texts(&["c5.large", "c6i.large"]),
        node_image: Some("ami-00000004".to_owned()),
        node_tenancy: Some("dedicated".to_owned()),
        node_volume_size: Some(50),
        node_volume_type: Some("io2".to_owned()),
        node_security_groups: texts(&["sg-0000000000000000a", "sg-0000000000000000b"]),
        etcd_clusters: texts(&["main", "events"]),
        encrypt_etcd_storage: Some(false),
        etcd_storage_type: Some("io1".to_owned()),
        authorization: Some("AlwaysAllow".to_owned()),
        discovery_store: Some("s3://discovery/".to_owned()),
        set: texts(&["spec.kubelet.maxPods=50", "spec.etcdClusters[*].version=3.5.9"]),
        unset: texts(&["spec.channel"]),
    };
    assert_data_eq!(written_and_refused(&options), file!["create/every-flag.yaml"]);
}

#[test]
fn zones_and_vpc_follow_from_existing_subnets() {
    let existing = |id: &str, zone: &str, cidr: &str| ExistingSubnet {
        id: id.to_owned(),
        vpc: "vpc-1".to_owned(),
        zone: zone.to_owned(),
        cidr: cidr.to_owned(),
    };
    let mut options = CreateOptions {
        name: "demo.example.com".to_owned(),
        subnets: vec![
            existing("subnet-b", "us-east-1b", "10.9.1.0/24"),
            existing("subnet-a", "us-east-1a", "10.0.1.0/24"),
        ],
        existing_network: Some(ExistingNetwork {
            id: "vpc-1".to_owned(),
            ranges: texts(&["10.0.0.0/16", "10.9.0.0/16"]),
        }),
        ..CreateOptions::default()
    };
    let spec = create(&options).unwrap_or_else(|problems| panic!("{problems}")).cluster.spec;
    assert_eq!(spec.network_id.as_deref(), Some("vpc-1"));
    assert_eq!(spec.network_cidr.as_deref(), Some("10.0.0.0/16"));
    assert_eq!(spec.additional_network_cidrs, Some(texts(&["10.9.0.0/16"])));
    let subnets = spec.subnets.unwrap_or_default();
    let found: Vec<_> =
        subnets.iter().map(|it| (it.zone.as_deref(), it.id.as_deref(), it.cidr.as_deref())).collect();
    let expected = [
        (Some("us-east-1a"), Some("subnet-a"), Some("10.0.1.0/24")),
        (Some("us-east-1b"), Some("subnet-b"), Some("10.9.1.0/24")),
    ];
    assert_eq!(found, expected);

    options.zones = texts(&["us-east-1a", "us-east-1c"]);
    options.network_id = Some("vpc-2".to_owned());
    options.network_cidr = texts(&["10.0.0.0/8"]);
    let problems = create(&options).err().unwrap_or_default().to_string();
    for said in [
        "--subnets: `subnet-a` is in vpc-1, and not in vpc-2",
        "--subnets: `subnet-b` is in us-east-1b, where the cluster has no subnet",
        "hint: add us-east-1b to --zones",
        "--subnets: none of these subnets is in us-east-1c",
        "--network-cidr: `vpc-1` has 10.0.0.0/16, 10.9.0.0/16",
    ] {
        assert!(problems.contains(said), "{said}: {problems}");
    }
}
