//! What is neither refused as not supported yet nor filled in by a default is told where it stands.

use serde_json::json;

use super::rules::with;
use super::{complete, told};
use crate::spec::cluster::{
    Cluster, InstanceGroup, Interruption, MachineRequirements, MachineTypes, MetricsServer, MixedInstances,
    Purchase, Range, SpotPrice, WarmPool,
};

#[test]
fn an_internal_range_that_nothing_can_be_cut_from_is_told_at_what_is_missing() {
    let text = include_str!("good.yaml");
    let lines = text.lines().filter(|line| {
        !line.trim_start().starts_with("podCIDR:") && !line.trim_start().starts_with("serviceClusterIPRange:")
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let good = "nonMasqueradeCIDR: 100.64.0.0/10";
    assert!(text.contains(good));
    let said = told(&text.replace(good, "nonMasqueradeCIDR: 100.64.0.0/32"));
    for path in ["spec.podCIDR", "spec.serviceClusterIPRange"] {
        let expected =
            format!("{path}: no range for it can be cut from spec.nonMasqueradeCIDR (`100.64.0.0/32`)");
        assert!(said.contains(&expected), "{path}: {said}");
    }
    assert!(said.contains("hint: write a larger one there"), "{said}");
}

#[test]
fn an_empty_list_in_place_of_a_plug_in_is_no_choice_that_passes() {
    let problems = with("demo.example.com", &json!({"networking": {"flannel": null, "canal": []}}));
    let told: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), &problem.message)).collect();
    assert_eq!(told, [("spec.networking.canal", &"this plug-in is not supported yet".to_owned())]);
    assert!(problems[0].location.is_some() && problems[0].hint.is_some(), "{problems:#?}");
}

#[test]
fn a_range_that_cannot_be_read_is_told_once_and_not_again_at_what_is_cut_from_it() {
    let fields =
        json!({"networkCIDR": "10.0.0.1/8", "subnets": [{"zone": "us-east-1a"}, {"zone": "us-east-1b"}]});
    let problems = with("demo.example.com", &fields);
    let told: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(told, ["spec.networkCIDR"]);
}

#[test]
fn detailed_monitoring_is_on_where_a_group_asks_for_it_and_off_otherwise() {
    let good = include_str!("good.yaml");
    let of_nodes = |written: &str| {
        let text = good.replacen("  role: Node\n", &format!("  role: Node\n{written}"), 1);
        let cluster = complete(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let groups = cluster.instance_groups.into_iter();
        groups.map(|group| (group.name, group.detailed_monitoring)).collect::<Vec<_>>()
    };
    let groups = |nodes: bool| [("control-plane-us-east-1a".to_owned(), false), ("nodes".to_owned(), nodes)];
    assert_eq!(of_nodes("  detailedInstanceMonitoring: true\n"), groups(true));
    assert_eq!(of_nodes("  detailedInstanceMonitoring: false\n"), groups(false));
    assert_eq!(of_nodes(""), groups(false));
}

#[test]
fn the_metrics_server_runs_where_it_is_enabled_and_not_otherwise() {
    let good = include_str!("good.yaml");
    let of = |written: &str| {
        let text = good.replacen("spec:\n", &format!("spec:\n  metricsServer: {written}\n"), 1);
        complete(&text).unwrap_or_else(|problems| panic!("{problems}")).metrics_server
    };
    let own = Some("registry.example.com:5000/metrics-server@sha256:00".to_owned());
    assert_eq!(of("{enabled: true}"), Some(MetricsServer { image: None }));
    assert_eq!(
        of("{enabled: true, insecure: true, image: 'registry.example.com:5000/metrics-server@sha256:00'}"),
        Some(MetricsServer { image: own })
    );
    for nothing in ["{}", "{enabled: false}", "{enabled: false, insecure: false}", "{image: 'a:1'}"] {
        assert_eq!(of(nothing), None, "{nothing}");
    }
}

#[test]
fn what_the_metrics_server_can_not_be_is_told() {
    let told = |written| {
        let problems = with("demo.example.com", &json!({"metricsServer": written}));
        problems.into_iter().map(|problem| (problem.path, problem.hint.is_some())).collect::<Vec<_>>()
    };
    let at = |field: &str| vec![(format!("spec.metricsServer.{field}"), true)];
    assert_eq!(told(json!({"enabled": true, "image": "two words"})), at("image"));
    assert_eq!(told(json!({"enabled": true, "image": ""})), at("image"));
    assert_eq!(told(json!({"enabled": true, "insecure": false})), at("insecure"));
}

#[test]
fn hooks_come_with_the_handler_and_the_queue_only_where_it_is_asked_for() {
    let good = include_str!("good.yaml");
    let of = |written: &str| {
        let text = good.replacen("spec:\n", &format!("spec:\n  nodeTerminationHandler: {written}\n"), 1);
        complete(&text).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let hooks = |cluster: &Cluster| {
        let groups = cluster.instance_groups.iter();
        let names = groups.filter_map(|group| cluster.lifecycle_hooks(group).terminating);
        names.collect::<Vec<_>>()
    };
    for nothing in ["{}", "{enabled: false}", "{enableSQSTerminationDraining: true}"] {
        let cluster = of(nothing);
        assert_eq!((cluster.interruption, hooks(&cluster)), (None, Vec::new()), "{nothing}");
    }
    let cluster = of("{enabled: true, enableSQSTerminationDraining: false, version: v1.2.3}");
    assert_eq!(cluster.interruption, Some(Interruption { queue: false }));
    assert_eq!(hooks(&cluster), ["nodes-NTHLifecycleHook"], "masters have none");
    let versions = |cluster: &Cluster| {
        let groups = cluster.instance_groups.iter();
        groups.map(|group| cluster.node_config_version(group)).collect::<Vec<_>>()
    };
    assert_eq!(versions(&cluster), ["windlass/v1", "windlass/v5"]);
    let cluster =
        of("{enabled: true, enableSQSTerminationDraining: true, enableScheduledEventDraining: true}");
    assert_eq!(cluster.interruption, Some(Interruption { queue: true }));
    assert_eq!(versions(&cluster), ["windlass/v5", "windlass/v5"]);
}

#[test]
fn what_the_handler_can_not_be_is_told() {
    let told = |written: serde_json::Value| {
        let mut written = written;
        written["enabled"] = true.into();
        let problems = with("demo.example.com", &json!({"nodeTerminationHandler": written}));
        problems.into_iter().map(|problem| (problem.path, problem.hint.is_some())).collect::<Vec<_>>()
    };
    let at = |field: &str| vec![(format!("spec.nodeTerminationHandler.{field}"), true)];
    for (written, field) in [
        (json!({"enableSpotInterruptionDraining": false}), "enableSpotInterruptionDraining"),
        (json!({"enableScheduledEventDraining": true}), "enableScheduledEventDraining"),
        (
            json!({"enableScheduledEventDraining": false, "enableSQSTerminationDraining": true}),
            "enableScheduledEventDraining",
        ),
        (json!({"enableRebalanceDraining": true}), "enableRebalanceDraining"),
        (json!({"prometheusEnable": true}), "prometheusEnable"),
        (json!({"managedASGTag": "mine"}), "managedASGTag"),
        (json!({"webhookURL": "https://example.com"}), "webhookURL"),
    ] {
        assert_eq!(told(written), at(field), "{field}");
    }
}

#[test]
fn a_warm_pool_is_what_a_group_says_and_else_what_the_cluster_says() {
    let good = include_str!("good.yaml");
    let of = |cluster: &str, group: &str| {
        let text = good.replacen("spec:\n", &format!("spec:\n{cluster}"), 1);
        let text = text.replacen("  role: Node\n", &format!("  role: Node\n{group}"), 1);
        let cluster = complete(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let groups = cluster.instance_groups.into_iter();
        groups.map(|group| group.warm_pool).collect::<Vec<_>>()
    };
    let pool = |min_size, max_size, first_boot_seconds| {
        vec![None, Some(WarmPool { min_size, max_size, first_boot_seconds })]
    };
    assert_eq!(of("", ""), [None, None]);
    assert_eq!(of("", "  warmPool: {}\n"), pool(0, None, None));
    let general = "  warmPool: {minSize: 1, enableLifecycleHook: true}\n";
    assert_eq!(of(general, ""), pool(1, None, Some(600)), "masters have none");
    assert_eq!(
        of(general, "  warmPool: {minSize: 2, maxSize: 5, lifecycleHookTimeout: 30}\n"),
        pool(2, Some(5), Some(30))
    );
    assert_eq!(of(general, "  warmPool: {enableLifecycleHook: false}\n"), pool(1, None, None));
    assert_eq!(of(general, "  warmPool: {maxSize: 0}\n"), [None, None]);
}

#[test]
fn what_a_warm_pool_can_not_be_is_told() {
    let told = |fields: serde_json::Value| {
        let problems = with("nodes", &fields);
        problems.into_iter().map(|problem| (problem.path, problem.hint.is_some())).collect::<Vec<_>>()
    };
    let at = |path: &str| vec![(format!("spec.warmPool{path}"), true)];
    assert_eq!(told(json!({"warmPool": {"minSize": 3, "maxSize": 2}})), at(".minSize"));
    assert_eq!(told(json!({"warmPool": {"maxSize": -1}})), at(".maxSize"));
    assert_eq!(told(json!({"warmPool": {"lifecycleHookTimeout": 29}})), at(".lifecycleHookTimeout"));
    assert_eq!(told(json!({"warmPool": {"additionalImages": ["a"]}})), at(".additionalImages"));
    assert_eq!(told(json!({"warmPool": {}, "mixedInstancesPolicy": {"instances": ["t3.large"]}})), at(""));
    let problems = with("control-plane-us-east-1a", &json!({"warmPool": {}}));
    assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), ["spec.warmPool"]);
}

/// The group of nodes of the good specification, with more written in it.
fn nodes_with(written: &str) -> InstanceGroup {
    let good = include_str!("good.yaml");
    let text = good.replacen("  role: Node\n", &format!("  role: Node\n{written}"), 1);
    let cluster = complete(&text).unwrap_or_else(|problems| panic!("{problems}"));
    cluster.instance_groups.into_iter().find(|group| group.name == "nodes").unwrap()
}

#[test]
fn a_price_makes_a_group_of_spot_instances() {
    let price = SpotPrice::read("0.05").unwrap();
    assert_eq!(nodes_with("  maxPrice: 0.050\n").purchase, Purchase::Spot(price.clone()));
    assert_eq!(nodes_with("  maxPrice: '0.05'\n").purchase, Purchase::Spot(price));
    assert_eq!(nodes_with("  instanceInterruptionBehavior: terminate\n").purchase, Purchase::OnDemand);
}

#[test]
fn a_policy_says_what_auto_scaling_takes_for_what_is_left_out() {
    let of = |policy: &str| {
        let group = nodes_with(&format!("  mixedInstancesPolicy: {policy}\n"));
        group.purchase.mixed().cloned().unwrap()
    };
    let plain = of("{}");
    let usual = MixedInstances {
        types: MachineTypes::These(vec!["m6g.large".to_owned()]),
        on_demand_base: 0,
        on_demand_percent: 100,
        on_demand_allocation: "prioritized".to_owned(),
        spot_allocation: "lowest-price".to_owned(),
        spot_pools: Some(2),
        spot_price: None,
    };
    assert_eq!(plain, usual);
    let written = of("{instances: [m6g.large, m7g.large], onDemandBase: 1, onDemandAboveBase: 0, \
                      spotAllocationStrategy: price-capacity-optimized}\n  maxPrice: 0.10");
    let types = vec!["m6g.large".to_owned(), "m7g.large".to_owned()];
    assert_eq!(written.types, MachineTypes::These(types));
    assert_eq!((written.on_demand_base, written.on_demand_percent, written.spot_pools), (1, 0, None));
    assert_eq!(written.spot_price, SpotPrice::read("0.1"));
    let by_requirements = of("{instanceRequirements: {cpu: {min: 2, max: 4}, memory: {min: 1G}, \
                              excludedInstanceTypes: ['t2.*']}}");
    assert_eq!(by_requirements.on_demand_allocation, "lowest-price");
    let requirements = MachineRequirements {
        cpus: Range { min: 2, max: Some(4) },
        memory: Range { min: 954, max: None },
        excluded: ["t2.*".to_owned()].into(),
    };
    assert_eq!(by_requirements.types, MachineTypes::With(requirements));
}

#[test]
fn an_instance_profile_is_named_by_itself_or_by_its_arn() {
    let of = |written: &str| nodes_with(&format!("  iam: {{profile: '{written}'}}\n")).instance_profile;
    assert_eq!(of("arn:aws:iam::123456789012:instance-profile/team/web").as_deref(), Some("web"));
    assert_eq!(of("arn:aws-cn:iam::123456789012:instance-profile/web").as_deref(), Some("web"));
    assert_eq!(of("web").as_deref(), Some("web"));
    assert_eq!(nodes_with("  iam: {}\n").instance_profile, None);
}

#[test]
fn an_image_of_a_distribution_means_windlass_s_own() {
    let good = include_str!("good.yaml");
    let of = |image: &str| {
        let text = good.replacen("image: self/windlass-1.36.3-debian-13-*", image, 1);
        let cluster = complete(&text).unwrap_or_else(|problems| panic!("{problems}"));
        cluster.instance_groups.into_iter().find(|group| group.name == "nodes").unwrap().image
    };
    let own = "self/windlass-1.36.3-debian-13-*";
    assert_eq!(
        of("image: 099720109477/ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20261014"),
        own
    );
    assert_eq!(of("image: debian/debian-13-arm64"), own);
    assert_eq!(of("image: 123456789012/ours"), "123456789012/ours");
}

#[test]
fn user_data_is_as_long_as_ec2_takes_beside_windlass_s_own() {
    let with_script = |length: usize| {
        let script = "x".repeat(length);
        json!({"additionalUserData": [{"name": "a", "type": "text/x-shellscript", "content": script}]})
    };
    assert_eq!(with("nodes", &with_script(14 * 1024)), []);
    let problems = with("nodes", &with_script(15 * 1024));
    let told: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(told, ["spec.additionalUserData"]);
    assert!(problems[0].hint.is_some());
}

#[test]
fn a_groups_kernel_parameters_go_before_those_of_the_cluster() {
    let good = include_str!("good.yaml");
    let text =
        good.replacen("spec:\n", "spec:\n  sysctlParameters: [vm.swappiness=10, kernel.pid_max=65536]\n", 1);
    let own =
        "  role: Node\n  sysctlParameters: ['vm.swappiness = 60', net.ipv4.ip_local_port_range=1024 65000]\n";
    let cluster =
        complete(&text.replacen("  role: Node\n", own, 1)).unwrap_or_else(|problems| panic!("{problems}"));
    let of = |name: &str| {
        let group = cluster.instance_groups.iter().find(|group| group.name == name).unwrap();
        let all = group.kernel_parameters.iter().map(|(name, value)| format!("{name}={value}"));
        (all.collect::<Vec<_>>().join(";"), group.node_config_version())
    };
    assert_eq!(
        of("control-plane-us-east-1a"),
        ("kernel.pid_max=65536;vm.swappiness=10".to_owned(), "windlass/v3")
    );
    let nodes = "kernel.pid_max=65536;net.ipv4.ip_local_port_range=1024 65000;vm.swappiness=60";
    assert_eq!(of("nodes").0, nodes);
}

/// The good specification with more fields, resolved.
fn with_fields(fields: &str) -> crate::spec::cluster::Cluster {
    let text = include_str!("good.yaml").replacen("spec:\n", &format!("spec:\n{fields}"), 1);
    complete(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn who_issues_tokens_is_what_is_written_or_the_store_or_an_api_that_everybody_reaches() {
    use crate::spec::cluster::{DiscoveryStore, Issuer};
    let of = |fields: &str| with_fields(fields).service_accounts;
    assert!(of("").are_usual());
    let store = "  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery/a/b/, enableAWSOIDCProvider: true}\n";
    let accounts = of(store);
    assert_eq!(accounts.issuer, Issuer::DiscoveryStore);
    let (bucket, prefix) = ("discovery".to_owned(), "a/b".to_owned());
    assert_eq!(accounts.discovery_store, Some(DiscoveryStore::S3 { bucket, prefix }));
    assert_eq!(accounts.aws_audiences, Some(["amazonaws.com".to_owned()].into()));
    let written = of(&format!("{store}  kubeAPIServer: {{serviceAccountIssuer: https://a.example.com/b}}\n"));
    assert_eq!(written.issuer, Issuer::Written("https://a.example.com/b".to_owned()));
    // kops's own tests publish nowhere, which is refused when AWS is looked at.
    let memory = of(
        "  serviceAccountIssuerDiscovery: {discoveryStore: memfs://discovery.example.com/a, enableAWSOIDCProvider: true}\n",
    );
    assert_eq!(memory.discovery_store.unwrap().url("us-east-1"), "https://discovery.example.com/a");
    let gate = of(
        "  kubeAPIServer: {anonymousAuth: true, featureGates: {ServiceAccountIssuerDiscovery: \"true\"}}\n",
    );
    assert!(gate.anonymous_discovery);
}

#[test]
fn only_masters_need_an_agent_that_knows_of_issuers() {
    let cluster = with_fields("  serviceAccountIssuerDiscovery: {discoveryStore: s3://discovery}\n");
    let versions: Vec<_> =
        cluster.instance_groups.iter().map(|group| cluster.node_config_version(group)).collect();
    assert!(versions.contains(&"windlass/v4") && versions.iter().any(|version| *version != "windlass/v4"));
}
