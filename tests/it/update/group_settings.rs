//! What groups ask for of AWS: made, set back where somebody changed it, and gone when the specification doesn't ask for it
//! any more.

use aws_sdk_ec2::types::{
    LaunchTemplateInstanceMarketOptionsRequest, LaunchTemplateSpotMarketOptionsRequest,
    RequestLaunchTemplateData,
};
use windlass::spec::v1alpha2::{
    Duration, IamProfileSpec, MixedInstancesPolicySpec, UserDataSpec, VolumeSpec,
};

use super::*;

/// How many steps a plan has.
fn steps(plan: &Plan) -> usize {
    plan.steps.len()
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn processes_are_suspended_and_resumed_with_the_specification_and_those_of_others_are_left_alone() {
        let mut world = World::new().await;
        world.nodes().spec.suspend_processes = Some(vec!["AZRebalance".to_owned(), "Launch".to_owned()]);
        world.update().await.succeeded();
        let group = world.id(Kind::AutoScalingGroup, "nodes-us-east-1a").await;
        let autoscaling = world.clients.autoscaling.clone();
        let suspended = async || {
            let call = autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&group);
            let answer = call.send().await.unwrap();
            let all = answer.auto_scaling_groups()[0].suspended_processes().iter();
            let mut all: Vec<String> = all.map(|it| it.process_name().unwrap().to_owned()).collect();
            all.sort();
            all.join(" ")
        };
        assert_eq!(suspended().await, "AZRebalance Launch");
        assert!(world.plan().await.is_empty());

        // One is resumed by hand, and another one suspended.
        let call = autoscaling.resume_processes().auto_scaling_group_name(&group);
        call.scaling_processes("Launch").send().await.unwrap();
        let call = autoscaling.suspend_processes().auto_scaling_group_name(&group);
        call.scaling_processes("Terminate").send().await.unwrap();
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains("Launch") && shown.contains("somebody suspended Terminate;"), "{shown}");
        assert_eq!(suspended().await, "AZRebalance Launch Terminate");
        assert!(world.plan().await.is_empty());

        world.nodes().spec.suspend_processes = Some(vec!["Launch".to_owned()]);
        world.update().await.succeeded();
        assert_eq!(suspended().await, "Launch Terminate");
        world.nodes().spec.suspend_processes = None;
        world.update().await.succeeded();
        assert_eq!(suspended().await, "Terminate");
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_a_group_asks_of_auto_scaling_is_set_and_taken_back_with_the_specification_and_undone_by_hand()
     {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let group = world.id(Kind::AutoScalingGroup, "nodes").await;
        let autoscaling = world.clients.autoscaling.clone();
        let settings = async || {
            let call = autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&group);
            let answer = call.send().await.unwrap();
            let group = &answer.auto_scaling_groups()[0];
            let lifetime = group.max_instance_lifetime().filter(|seconds| *seconds > 0);
            let protected = group.new_instances_protected_from_scale_in() == Some(true);
            (lifetime, protected, group.capacity_rebalance() == Some(true))
        };
        assert_eq!(settings().await, (None, false, false));
        let spec = &mut world.nodes().spec;
        spec.max_instance_lifetime = Some(Duration("48h0m0s".to_owned()));
        (spec.instance_protection, spec.capacity_rebalance) = (Some(true), Some(true));
        let update = world.update().await.succeeded();
        assert_eq!(steps(&update.plan), 1, "{}", update.plan);
        assert_eq!(settings().await, (Some(172_800), true, true));
        assert!(world.plan().await.is_empty());

        let call = world.clients.autoscaling.update_auto_scaling_group().auto_scaling_group_name(&group);
        call.max_instance_lifetime(0).capacity_rebalance(false).send().await.unwrap();
        let update = world.update().await.succeeded();
        assert!(update.plan.to_string().contains("maxInstanceLifetimeSeconds"), "{}", update.plan);
        assert_eq!(settings().await, (Some(172_800), true, true));

        let spec = &mut world.nodes().spec;
        spec.max_instance_lifetime = None;
        (spec.instance_protection, spec.capacity_rebalance) = (None, Some(false));
        world.update().await.succeeded();
        assert_eq!(settings().await, (None, false, false));
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn credits_and_tenancy_are_in_the_launch_template_and_other_types_than_burstable_ones_are_refused()
    {
        let mut world = World::new().await;
        world.nodes().spec.cpu_credits = Some("unlimited".to_owned());
        world.nodes().spec.tenancy = Some("dedicated".to_owned());
        world.nodes().spec.root_volume_optimization = Some(true);
        world.update().await.succeeded();
        let template = world.id(Kind::LaunchTemplate, "nodes").await;
        let call = world.clients.ec2.describe_launch_template_versions().launch_template_id(&template);
        let answer = call.versions("$Latest").send().await.unwrap();
        let data = answer.launch_template_versions()[0].launch_template_data().unwrap();
        assert_eq!(data.credit_specification().unwrap().cpu_credits(), Some("unlimited"));
        assert_eq!(data.placement().unwrap().tenancy().unwrap().as_str(), "dedicated");
        assert_eq!(data.ebs_optimized(), Some(true));
        assert!(world.plan().await.is_empty());

        (world.nodes().spec.cpu_credits, world.nodes().spec.tenancy) = (None, None);
        world.nodes().spec.root_volume_optimization = None;
        let update = world.update().await.succeeded();
        let shown = update.plan.to_string();
        assert!(
            ["cpuCredits", "tenancy", "ebsOptimized"].iter().all(|field| shown.contains(field)),
            "{shown}"
        );
        assert!(world.plan().await.is_empty());

        world.nodes().spec.cpu_credits = Some("standard".to_owned());
        world.nodes().spec.machine_type = Some("m5.large".to_owned());
        let refused = PlanningInput::gather(&world.state, &world.documents).await.err().unwrap();
        assert!(format!("{refused:?}").contains("NotBurstable"), "{refused:?}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn further_volumes_are_in_the_launch_template_and_gone_with_the_specification() {
        let mut world = World::new().await;
        let volume = |device: &str, size| VolumeSpec {
            device: Some(device.to_owned()),
            size: Some(size),
            ..VolumeSpec::default()
        };
        let logs = VolumeSpec { delete_on_termination: Some(false), ..volume("/dev/sdf", 50) };
        world.nodes().spec.volumes = Some(vec![logs, volume("/dev/sdb", 20)]);
        world.update().await.succeeded();
        let template = world.id(Kind::LaunchTemplate, "nodes").await;
        let mappings = async |world: &World| {
            let call = world.clients.ec2.describe_launch_template_versions().launch_template_id(&template);
            let answer = call.versions("$Latest").send().await.unwrap();
            let data = answer.launch_template_versions()[0].launch_template_data().unwrap();
            let all = data.block_device_mappings().iter();
            let all: Vec<(String, Option<i32>, Option<bool>)> = all
                .map(|mapping| {
                    let ebs = mapping.ebs().unwrap();
                    let device = mapping.device_name().unwrap().to_owned();
                    (device, ebs.volume_size(), ebs.delete_on_termination())
                })
                .collect();
            all
        };
        let found = mappings(&world).await;
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.contains(&("/dev/sdf".to_owned(), Some(50), Some(false))), "{found:?}");
        assert!(found.contains(&("/dev/sdb".to_owned(), Some(20), Some(true))), "{found:?}");
        assert!(world.plan().await.is_empty(), "{}", world.plan().await);

        world.nodes().spec.volumes = None;
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains("volumes./dev/sdf.sizeGiB"), "{shown}");
        assert_eq!(mappings(&world).await.len(), 1);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn spot_instances_are_asked_for_in_the_launch_template_and_another_price_by_hand_is_undone() {
        let mut world = World::new().await;
        world.nodes().spec.max_price = Some("0.050".to_owned());
        world.update().await.succeeded();
        let template = world.id(Kind::LaunchTemplate, "nodes").await;
        let latest = async |world: &World| {
            let call = world.clients.ec2.describe_launch_template_versions().launch_template_id(&template);
            let answer = call.versions("$Latest").send().await.unwrap();
            let data = answer.launch_template_versions()[0].launch_template_data().unwrap();
            data.instance_market_options().cloned()
        };
        let options = latest(&world).await.unwrap();
        assert_eq!(options.market_type().unwrap().as_str(), "spot");
        assert_eq!(options.spot_options().unwrap().max_price(), Some("0.05"));
        assert!(world.plan().await.is_empty());

        let spot = LaunchTemplateSpotMarketOptionsRequest::builder()
            .max_price("9.00")
            .instance_interruption_behavior("stop".into());
        let options = LaunchTemplateInstanceMarketOptionsRequest::builder()
            .market_type("spot".into())
            .spot_options(spot.build());
        let data = RequestLaunchTemplateData::builder().instance_market_options(options.build()).build();
        let call = world.clients.ec2.create_launch_template_version().launch_template_id(&template);
        call.source_version("$Latest").launch_template_data(data).send().await.unwrap();
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains("spot.maxPrice") && shown.contains("market options"), "{shown}");
        assert_eq!(latest(&world).await.unwrap().spot_options().unwrap().max_price(), Some("0.05"));

        world.nodes().spec.max_price = None;
        world.update().await.succeeded();
        assert_eq!(latest(&world).await, None);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn several_machine_types_are_asked_of_auto_scaling_and_taken_back_with_the_specification() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let group = world.id(Kind::AutoScalingGroup, "nodes").await;
        let autoscaling = world.clients.autoscaling.clone();
        let policy = async || {
            let call = autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&group);
            let answer = call.send().await.unwrap();
            let group = &answer.auto_scaling_groups()[0];
            assert_ne!(group.launch_template().is_some(), group.mixed_instances_policy().is_some());
            group.mixed_instances_policy().cloned()
        };
        assert_eq!(policy().await, None);
        world.nodes().spec.mixed_instances_policy = Some(MixedInstancesPolicySpec {
            instances: Some(vec!["m5.large".to_owned(), "c5.large".to_owned()]),
            on_demand_base: Some(1),
            on_demand_above_base: Some(0),
            ..MixedInstancesPolicySpec::default()
        });
        world.nodes().spec.max_price = Some("0.05".to_owned());
        let update = world.update().await.succeeded();
        assert_eq!(steps(&update.plan), 1, "the launch template says nothing of it: {}", update.plan);
        let found = policy().await.unwrap();
        let distribution = found.instances_distribution().unwrap();
        assert_eq!(distribution.on_demand_base_capacity(), Some(1));
        assert_eq!(distribution.spot_max_price(), Some("0.05"));
        assert_eq!(found.launch_template().unwrap().overrides().len(), 2);
        assert!(world.plan().await.is_empty());

        // A new version of the template is launched by the policy.
        world.nodes().spec.detailed_instance_monitoring = Some(true);
        world.update().await.succeeded();
        assert!(world.plan().await.is_empty());

        let template = found.launch_template().unwrap().launch_template_specification().unwrap().clone();
        let call = autoscaling.update_auto_scaling_group().auto_scaling_group_name(&group);
        call.launch_template(template).send().await.unwrap();
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains("m5.large, c5.large"), "{shown}");
        assert!(policy().await.is_some());

        (world.nodes().spec.mixed_instances_policy, world.nodes().spec.max_price) = (None, None);
        world.update().await.succeeded();
        assert_eq!(policy().await, None);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn security_groups_and_a_profile_that_exist_are_used_and_stay_when_they_are_not_named_any_more() {
        let mut world = World::new().await;
        world.nodes().spec.additional_security_groups = Some(vec!["sg-0123456789abcdef0".to_owned()]);
        let refused = PlanningInput::gather(&world.state, &world.documents).await.err().unwrap();
        assert!(format!("{refused:?}").contains("SecurityGroup"), "{refused:?}");
        world.nodes().spec.additional_security_groups = None;
        world.update().await.succeeded();

        let vpc = world.id(Kind::Vpc, "").await;
        let call = world.clients.ec2.create_security_group().group_name("theirs").description("theirs");
        let theirs = call.vpc_id(&vpc).send().await.unwrap().group_id().unwrap().to_owned();
        let iam = &world.clients.iam;
        iam.create_instance_profile().instance_profile_name("theirs").send().await.unwrap();
        let role = "nodes.demo.example.com";
        let call = iam.add_role_to_instance_profile().instance_profile_name("theirs").role_name(role);
        call.send().await.unwrap();
        world.nodes().spec.additional_security_groups = Some(vec![theirs.clone()]);
        let profile = Some("arn:aws:iam::123456789012:instance-profile/theirs".to_owned());
        world.nodes().spec.iam = Some(IamProfileSpec { profile });
        world.update().await.succeeded();
        let template = world.id(Kind::LaunchTemplate, "nodes").await;
        let used = async |world: &World| {
            let call = world.clients.ec2.describe_launch_template_versions().launch_template_id(&template);
            let answer = call.versions("$Latest").send().await.unwrap();
            let data = answer.launch_template_versions()[0].launch_template_data().unwrap();
            let profile = data.iam_instance_profile().unwrap().name().unwrap().to_owned();
            (profile, data.network_interfaces()[0].groups().to_vec())
        };
        let (profile, groups) = used(&world).await;
        assert!(profile == "theirs" && groups.len() == 2 && groups.contains(&theirs), "{profile} {groups:?}");
        assert!(world.plan().await.is_empty());

        (world.nodes().spec.additional_security_groups, world.nodes().spec.iam) = (None, None);
        world.update().await.succeeded();
        let (profile, groups) = used(&world).await;
        assert!(profile == role && !groups.contains(&theirs), "{profile} {groups:?}");
        assert!(world.plan().await.is_empty());
        let call = world.clients.ec2.describe_security_groups().group_ids(&theirs);
        assert!(call.send().await.unwrap().security_groups()[0].tags().is_empty(), "it is somebody else's");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn machine_types_of_one_group_are_alike_and_are_all_there() {
        let mut world = World::new().await;
        for (types, told) in [(["m5.large", "m6g.large"], "Unlike"), (["m5.large", "m5.none"], "MachineType")]
        {
            world.nodes().spec.mixed_instances_policy = Some(MixedInstancesPolicySpec {
                instances: Some(types.map(str::to_owned).into()),
                ..MixedInstancesPolicySpec::default()
            });
            let refused = PlanningInput::gather(&world.state, &world.documents).await.err().unwrap();
            assert!(format!("{refused:?}").contains(told), "{refused:?}");
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn parts_of_user_data_stand_beside_the_agent_s_own() {
        let mut world = World::new().await;
        world.nodes().spec.additional_user_data = Some(vec![UserDataSpec {
            name: Some("hello.sh".to_owned()),
            r#type: Some("text/x-shellscript".to_owned()),
            content: Some("#!/bin/sh\necho hello\n".to_owned()),
        }]);
        world.update().await.succeeded();
        assert!(world.plan().await.is_empty());
        world.nodes().spec.additional_user_data = None;
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains("userData"), "{shown}");
        assert!(world.plan().await.is_empty());
    }
}
