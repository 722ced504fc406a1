//! What somebody changed on AWS: seen, mended where windlass answers for it, left alone where it doesn't, and named.

use aws_sdk_ec2::types::{
    IpPermission, IpRange, LaunchTemplatesMonitoring, LaunchTemplatesMonitoringRequest,
    RequestLaunchTemplateData, Tag, UserIdGroupPair,
};
use windlass::cloud::CloudError;
use windlass::plan::PlanError;
use windlass::spec::v1alpha2::EtcdMemberSpec;

use super::*;

/// What a plan does, as `verb resource`.
fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.action.verb(), step.resource)).collect()
}

fn from_range(port: i32, range: &str, description: Option<&str>) -> IpPermission {
    let range = IpRange::builder().cidr_ip(range).set_description(description.map(str::to_owned)).build();
    IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port).ip_ranges(range).build()
}

async fn allow(world: &World, group: &str, rule: IpPermission) {
    let call = world.clients.ec2.authorize_security_group_ingress().group_id(group).ip_permissions(rule);
    call.send().await.unwrap();
}

/// The incoming rules of a group, as `port source description`.
async fn ingress(world: &World, group: &str) -> Vec<String> {
    let answer = world.clients.ec2.describe_security_groups().group_ids(group).send().await.unwrap();
    let mut rules = Vec::new();
    for rule in answer.security_groups()[0].ip_permissions() {
        let port = rule.from_port().unwrap_or_default();
        let ranges = rule.ip_ranges().iter().map(|it| (it.cidr_ip(), it.description()));
        let lists = rule.prefix_list_ids().iter().map(|it| (it.prefix_list_id(), it.description()));
        let groups = rule.user_id_group_pairs().iter().map(|it| (it.group_id(), it.description()));
        rules.extend(
            ranges.chain(lists).chain(groups).map(|(source, said)| {
                format!("{port} {} {}", source.unwrap_or_default(), said.unwrap_or("-"))
            }),
        );
    }
    rules.sort();
    rules
}

/// Whether the latest version of a launch template asks for detailed monitoring; `None` where it says nothing of it.
async fn monitoring(world: &World, template: &str) -> Option<bool> {
    let call = world.clients.ec2.describe_launch_template_versions().launch_template_id(template);
    let answer = call.versions("$Latest").send().await.unwrap();
    let data = answer.launch_template_versions()[0].launch_template_data().unwrap();
    data.monitoring().and_then(LaunchTemplatesMonitoring::enabled)
}

/// Somebody makes a version of a launch template, as the latest but for its monitoring.
async fn monitor_by_hand(world: &World, template: &str, enabled: bool) {
    let monitoring = LaunchTemplatesMonitoringRequest::builder().enabled(enabled).build();
    let data = RequestLaunchTemplateData::builder().monitoring(monitoring).build();
    let call = world.clients.ec2.create_launch_template_version().launch_template_id(template);
    call.source_version("$Latest").launch_template_data(data).send().await.unwrap();
}

/// The only member of etcd, which says what its volume is like.
fn etcd_member(world: &mut World) -> &mut EtcdMemberSpec {
    let clusters = world.documents.cluster.spec.etcd_clusters.as_mut().unwrap();
    &mut clusters[0].etcd_members.as_mut().unwrap()[0]
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn rules_that_somebody_else_made_stay_and_own_ones_go_with_the_specification() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let nodes = world.id(Kind::SecurityGroup, "nodes").await;
        allow(&world, &nodes, from_range(30080, "198.51.100.0/24", Some("kubernetes.io/rule/nlb/client=a")))
            .await;
        allow(&world, &nodes, from_range(9100, "198.51.100.0/24", None)).await;
        let anywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
        let everything = IpPermission::builder().ip_protocol("-1").ip_ranges(anywhere).build();
        allow(&world, &nodes, everything).await;
        let update = world.update().await.succeeded();
        assert!(update.plan.is_empty(), "{}", update.plan);

        world.documents.cluster.spec.ssh_access = Some(Vec::new());
        let update = world.update().await.succeeded();
        assert!(update.plan.to_string().contains("tcp 22, 203.0.113.0/24"), "{}", update.plan);
        let left = ingress(&world, &nodes).await;
        assert!(
            left.contains(&"30080 198.51.100.0/24 kubernetes.io/rule/nlb/client=a".to_owned()),
            "{left:#?}"
        );
        for unmarked in ["9100 198.51.100.0/24 -", "0 0.0.0.0/0 -"] {
            assert!(left.contains(&unmarked.to_owned()), "{left:#?}");
        }
        assert!(!left.iter().any(|rule| rule.starts_with("22 ")), "{left:#?}");
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn rules_of_a_cluster_made_before_there_were_marks_are_known_and_marked() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let ec2 = &world.clients.ec2;
        let (nodes, vpc) = (world.id(Kind::SecurityGroup, "nodes").await, world.id(Kind::Vpc, NAME).await);
        for name in ["masters", "nodes"] {
            let group = world.id(Kind::SecurityGroup, name).await;
            let call = ec2
                .delete_tags()
                .resources(&group)
                .tags(Tag::builder().key("windlass.dev/rules-marked").build());
            call.send().await.unwrap();
            let rules = ec2.describe_security_groups().group_ids(&group).send().await.unwrap();
            let bare = rules.security_groups()[0].ip_permissions().iter().map(without_descriptions).collect();
            let call = ec2.update_security_group_rule_descriptions_ingress().group_id(&group);
            call.set_ip_permissions(Some(bare)).send().await.unwrap();
        }
        let call = ec2.create_security_group().group_name("k8s-elb").description("k8s-elb").vpc_id(&vpc);
        let balancers = call.send().await.unwrap().group_id().unwrap().to_owned();
        let pair = UserIdGroupPair::builder().group_id(&balancers).build();
        let rule = IpPermission::builder().ip_protocol("-1").user_id_group_pairs(pair).build();
        allow(&world, &nodes, rule).await;

        // What was taken out of the specification while the old windlass was replaced goes, too.
        let access = world.documents.cluster.spec.ssh_access.as_mut().unwrap();
        access.retain(|source| source.starts_with("pl-"));
        world.forget_journal().await;
        let update = world.update().await.succeeded();
        assert!(
            steps(&update.plan).iter().all(|step| step.starts_with("update security-group-rules/")),
            "{}",
            update.plan
        );
        let calls = world.journal(true).await;
        assert!(!calls.iter().any(|call| call.contains("Create") && call != "ec2:CreateTags"), "{calls:?}");
        let left = ingress(&world, &nodes).await;
        let unmarked: Vec<_> =
            left.iter().filter(|rule| !rule.ends_with("windlass: demo.example.com")).collect();
        assert_eq!(unmarked, [&format!("0 {balancers} -")], "{left:#?}");
        assert!(!left.iter().any(|rule| rule.contains("203.0.113.0/24")), "{left:#?}");
        assert!(world.plan().await.is_empty());
    }

    fn without_descriptions(rule: &IpPermission) -> IpPermission {
        let ranges =
            rule.ip_ranges().iter().map(|it| IpRange::builder().set_cidr_ip(it.cidr_ip.clone()).build());
        let groups = rule
            .user_id_group_pairs()
            .iter()
            .map(|it| UserIdGroupPair::builder().set_group_id(it.group_id.clone()).build());
        let lists = rule.prefix_list_ids().iter().map(|it| {
            aws_sdk_ec2::types::PrefixListId::builder().set_prefix_list_id(it.prefix_list_id.clone()).build()
        });
        IpPermission::builder()
            .set_ip_protocol(rule.ip_protocol.clone())
            .set_from_port(rule.from_port)
            .set_to_port(rule.to_port)
            .set_ip_ranges(Some(ranges.collect()))
            .set_user_id_group_pairs(Some(groups.collect()))
            .set_prefix_list_ids(Some(lists.collect()))
            .build()
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn policies_that_somebody_gave_a_role_are_shown_and_taken_away_and_those_of_the_specification_stay()
    {
        let mut world = World::new().await;
        let iam = world.clients.iam.clone();
        let make = async |name: &str| {
            let document = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
            let made = iam.create_policy().policy_name(name).policy_document(document).send().await.unwrap();
            (made.policy().unwrap().arn().unwrap().to_owned(), document)
        };
        let (asked_for, _) = make("asked-for").await;
        let attached = BTreeMap::from([("node".to_owned(), vec![asked_for.clone()])]);
        world.documents.cluster.spec.external_policies = Some(attached);
        world.update().await.succeeded();
        assert!(world.plan().await.is_empty());

        let (foreign, document) = make("foreign").await;
        let role = format!("nodes.{NAME}");
        iam.attach_role_policy().role_name(&role).policy_arn(&foreign).send().await.unwrap();
        let call = iam.put_role_policy().role_name(&role).policy_name("everything");
        call.policy_document(document).send().await.unwrap();
        let update = world.update().await.succeeded();
        let shown = update.plan.to_string();
        assert!(shown.contains(&foreign) && shown.contains("everything"), "{shown}");
        assert!(!shown.contains("asked-for"), "{shown}");
        let left = iam.list_attached_role_policies().role_name(&role).send().await.unwrap();
        let left: Vec<_> = left.attached_policies().iter().filter_map(|policy| policy.policy_arn()).collect();
        assert_eq!(left, [asked_for.as_str()]);
        let left = iam.list_role_policies().role_name(&role).send().await.unwrap();
        assert_eq!(left.policy_names(), ["windlass"]);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_renamed_or_untagged_internet_gateway_is_mended_and_not_replaced() {
        let world = World::new().await;
        world.update().await.succeeded();
        let gateway = world.id(Kind::InternetGateway, NAME).await;
        let ec2 = &world.clients.ec2;
        let name = Tag::builder().key("Name").value("edge").build();
        ec2.create_tags().resources(&gateway).tags(name).send().await.unwrap();
        let update = world.update().await.succeeded();
        assert_eq!(steps(&update.plan), [format!("update internet-gateway/{NAME}")]);
        assert!(update.plan.to_string().contains("edge → demo.example.com"), "{}", update.plan);
        assert!(world.plan().await.is_empty());

        let answer = ec2.describe_internet_gateways().internet_gateway_ids(&gateway).send().await.unwrap();
        let all = answer.internet_gateways()[0].tags().to_vec();
        ec2.delete_tags().resources(&gateway).set_tags(Some(all)).send().await.unwrap();
        let update = world.update().await.succeeded();
        assert_eq!(steps(&update.plan), [format!("update internet-gateway/{NAME}")]);
        assert!(world.plan().await.is_empty());
        let all = ec2.describe_internet_gateways().send().await.unwrap();
        assert_eq!(all.internet_gateways().len(), 1);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_group_that_lost_its_tags_is_named_with_the_command_that_gives_them_back() {
        let world = World::new().await;
        world.update().await.succeeded();
        let group = world.id(Kind::AutoScalingGroup, "nodes-us-east-1a").await;
        let autoscaling = &world.clients.autoscaling;
        let tag = || {
            aws_sdk_autoscaling::types::Tag::builder().resource_id(&group).resource_type("auto-scaling-group")
        };
        let gone = tag().key("windlass.dev/cluster").build();
        autoscaling.delete_tags().tags(gone).send().await.unwrap();
        let started = std::time::Instant::now();
        let outcome = world.update().await;
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "it was run into again and again");
        let failure = &outcome.summary.failed[0];
        assert!(matches!(failure.error, CloudError::Unmarked { .. }), "{failure:?}");
        let hint = failure.error.hint().unwrap();
        assert!(
            hint.contains(&format!("ResourceId={group},")) && hint.contains("create-or-update-tags"),
            "{hint}"
        );
        let back = tag().key("windlass.dev/cluster").value(NAME).propagate_at_launch(true).build();
        autoscaling.create_or_update_tags().tags(back).send().await.unwrap();
        world.update().await.succeeded();
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn suspended_processes_are_named_and_left_alone() {
        let world = World::new().await;
        world.update().await.succeeded();
        let group = world.id(Kind::AutoScalingGroup, "nodes-us-east-1a").await;
        let call = world.clients.autoscaling.suspend_processes().auto_scaling_group_name(&group);
        call.scaling_processes("Launch").send().await.unwrap();
        let update = world.update().await.succeeded();
        assert!(update.plan.is_empty(), "{}", update.plan);
        let shown = update.plan.to_string();
        assert!(shown.contains(&format!("auto-scaling-group/{group}: somebody suspended Launch")), "{shown}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_somebody_changed_on_aws_is_not_called_a_wish_of_the_specification() {
        let world = World::new().await;
        world.update().await.succeeded();
        let desired = world.prepare().await.unwrap().prepared.desired;
        let volume = world.id(Kind::Volume, "").await;
        let call = world.clients.ec2.modify_volume().volume_id(&volume).size(100);
        call.send().await.unwrap();
        let error = Plan::update(&desired, &world.observe().await).unwrap_err();
        assert!(
            error.to_string().starts_with("the specification asks for"),
            "without what was applied: {error}"
        );
        let Err(OperationError::Plan(error)) = world.try_plan().await else { panic!("it is planned") };
        assert!(matches!(error, PlanError::Refused { .. }));
        assert!(error.to_string().starts_with("somebody changed on AWS"), "{error}");
        assert!(error.hint().unwrap().starts_with("put it back there, or write"), "{:?}", error.hint());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_volume_that_is_being_changed_is_read_as_what_it_will_be() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        world.region.post("modifications", &json!({"slow": true})).await.unwrap();
        etcd_member(&mut world).volume_size = Some(30);
        let update = world.update().await.succeeded();
        assert_eq!(update.plan.steps.len(), 1, "{}", update.plan);
        let update = world.update().await.succeeded();
        assert!(update.plan.is_empty(), "{}", update.plan);
        world.region.post("modifications", &json!({"slow": false})).await.unwrap();
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_kms_alias_is_resolved_before_anything_is_planned() {
        let mut world = World::new().await;
        let kms = &world.clients.kms;
        let key = kms.create_key().send().await.unwrap().key_metadata().unwrap().clone();
        kms.create_alias().alias_name("alias/etcd").target_key_id(key.key_id()).send().await.unwrap();
        etcd_member(&mut world).kms_key_id = Some("alias/none".to_owned());
        let error = world.refusal().await;
        assert!(error.to_string().contains("there is no KMS key `alias/none` in us-east-1"), "{error}");
        assert!(error.hint().unwrap().contains("list-aliases"), "{:?}", error.hint());

        etcd_member(&mut world).kms_key_id = Some("alias/etcd".to_owned());
        world.update().await.succeeded();
        let again = world.plan().await;
        assert!(again.is_empty(), "{again}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_image_that_another_account_shares_is_found_by_name() {
        let mut world = World::new().await;
        let (owner, name) = ("210987654321", "windlass-1.36.3-debian-13-amd64-etcd-3.6.16-7");
        let image = json!({"name": name, "architecture": "x86_64", "owner": owner});
        world.region.post("images", &image).await.unwrap();
        let images = |world: &mut World, image: &str| {
            let groups = world.documents.instance_groups.iter_mut();
            groups.for_each(|group| group.spec.image = Some(image.to_owned()));
        };
        images(&mut world, &format!("{owner}/{name}"));
        assert!(!world.plan().await.is_empty());

        images(&mut world, &format!("self/{name}"));
        let error = world.refusal().await;
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("if you trust it, write `image: {owner}/{name}`")), "{hint}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_new_bucket_that_is_not_settled_yet_is_waited_for() {
        let world = World::new().await;
        for action in ["CreateBucket", "PutPublicAccessBlock", "PutBucketVersioning", "PutBucketEncryption"] {
            let fault = json!({"service": "s3", "action": action, "code": "OperationAborted", "status": 409, "times": 2});
            world.region.inject(&json!([fault])).await.unwrap();
        }
        assert!(windlass::state::bucket::create_bucket(&world.clients, "new-state", None).await.unwrap());
        let faults: Value = world.region.get("faults").await.unwrap();
        let unused = faults.as_array().unwrap().iter().filter(|fault| fault["times"] != 0).count();
        assert_eq!(unused, 0, "{faults}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn detailed_monitoring_is_in_the_launch_template_and_a_change_of_it_by_hand_is_undone() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let template = world.id(Kind::LaunchTemplate, "nodes").await;
        assert_eq!(monitoring(&world, &template).await, None);
        monitor_by_hand(&world, &template, true).await;
        let update = world.update().await.succeeded();
        assert!(update.plan.to_string().contains("monitoring"), "{}", update.plan);
        assert_eq!(monitoring(&world, &template).await, None);

        world.nodes().spec.detailed_instance_monitoring = Some(true);
        let update = world.update().await.succeeded();
        let changed: Vec<_> = update.plan.steps.iter().map(|step| step.resource.kind).collect();
        assert_eq!(changed, [Kind::LaunchTemplate, Kind::AutoScalingGroup], "{}", update.plan);
        assert_eq!(monitoring(&world, &template).await, Some(true));
        assert!(world.plan().await.is_empty());

        monitor_by_hand(&world, &template, false).await;
        let update = world.update().await.succeeded();
        assert!(update.plan.to_string().contains("monitoring"), "{}", update.plan);
        assert_eq!(monitoring(&world, &template).await, Some(true));
        assert!(world.plan().await.is_empty());
    }
}
