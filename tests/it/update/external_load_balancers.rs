//! Groups in load balancers of others: put there, set back where somebody changed it, and taken out with the specification.

use aws_sdk_elasticloadbalancing::types::Listener;
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetTypeEnum};
use windlass::spec::v1alpha2::ExternalLoadBalancerSpec;

use super::*;

/// A target group, of nobody's cluster.
async fn target_group(world: &World, vpc: &str, name: &str, kind: TargetTypeEnum) -> String {
    let call = world.clients.elbv2.create_target_group().name(name).vpc_id(vpc).target_type(kind);
    let made = call.protocol(ProtocolEnum::Tcp).port(80).send().await.unwrap();
    made.target_groups()[0].target_group_arn().unwrap().to_owned()
}

async fn classic(world: &World, name: &str) {
    let subnets = world.clients.ec2.describe_subnets().send().await.unwrap();
    let subnet = subnets.subnets()[0].subnet_id().unwrap();
    let listener = Listener::builder().protocol("tcp").load_balancer_port(80).instance_port(30080);
    let call = world.clients.elb.create_load_balancer().load_balancer_name(name).subnets(subnet);
    call.listeners(listener.build().unwrap()).send().await.unwrap();
}

fn by_arn(arn: &str) -> ExternalLoadBalancerSpec {
    ExternalLoadBalancerSpec { target_group_arn: Some(arn.to_owned()), load_balancer_name: None }
}

fn by_name(name: &str) -> ExternalLoadBalancerSpec {
    ExternalLoadBalancerSpec { target_group_arn: None, load_balancer_name: Some(name.to_owned()) }
}

/// What the Auto Scaling group of the nodes is attached to.
async fn attached(world: &World) -> (Vec<String>, Vec<String>) {
    let group = world.id(Kind::AutoScalingGroup, "nodes").await;
    let call = world.clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(group);
    let answer = call.send().await.unwrap();
    let group = &answer.auto_scaling_groups()[0];
    let sorted = |all: &[String]| {
        let mut all = all.to_vec();
        all.sort();
        all
    };
    (sorted(group.target_group_arns()), sorted(group.load_balancer_names()))
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_group_is_put_into_load_balancers_of_others_and_taken_out_and_what_somebody_attached_stays() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let vpc = world.id(Kind::Vpc, NAME).await;
        let web = target_group(&world, &vpc, "web", TargetTypeEnum::Instance).await;
        let theirs = target_group(&world, &vpc, "theirs", TargetTypeEnum::Instance).await;
        classic(&world, "legacy").await;
        world.nodes().spec.external_load_balancers = Some(vec![by_arn(&web), by_name("legacy")]);
        let update = world.update().await.succeeded();
        assert_eq!(update.plan.steps.len(), 1, "{}", update.plan);
        assert_eq!(attached(&world).await, (vec![web.clone()], vec!["legacy".to_owned()]));
        assert!(world.plan().await.is_empty());

        // Somebody attaches another one, and detaches both.
        let group = world.id(Kind::AutoScalingGroup, "nodes").await;
        let autoscaling = &world.clients.autoscaling;
        let call = autoscaling.attach_load_balancer_target_groups().auto_scaling_group_name(&group);
        call.target_group_arns(&theirs).send().await.unwrap();
        let call = autoscaling.detach_load_balancer_target_groups().auto_scaling_group_name(&group);
        call.target_group_arns(&web).send().await.unwrap();
        let call = autoscaling.detach_load_balancers().auto_scaling_group_name(&group);
        call.load_balancer_names("legacy").send().await.unwrap();
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains(&web) && shown.contains("legacy") && !shown.contains(&theirs), "{shown}");
        let mut both = vec![theirs.clone(), web.clone()];
        both.sort();
        assert_eq!(attached(&world).await, (both.clone(), vec!["legacy".to_owned()]));
        assert!(world.plan().await.is_empty());

        // What somebody attached and the specification asks for, too, goes with the specification.
        world.nodes().spec.external_load_balancers = Some(vec![by_arn(&web), by_arn(&theirs)]);
        world.update().await.succeeded();
        assert_eq!(attached(&world).await, (both, Vec::new()));
        world.nodes().spec.external_load_balancers = Some(vec![by_arn(&web)]);
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains(&theirs), "{shown}");
        assert_eq!(attached(&world).await, (vec![web.clone()], Vec::new()));
        world.nodes().spec.external_load_balancers = None;
        world.update().await.succeeded();
        assert_eq!(attached(&world).await, (Vec::new(), Vec::new()));
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_new_group_is_made_in_load_balancers_of_others_which_stay_when_it_goes() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let vpc = world.id(Kind::Vpc, NAME).await;
        let web = target_group(&world, &vpc, "web", TargetTypeEnum::Instance).await;
        world.add_groups(1);
        let new = world.documents.instance_groups.last_mut().unwrap();
        new.spec.external_load_balancers = Some(vec![by_arn(&web)]);
        world.update().await.succeeded();
        assert!(world.plan().await.is_empty());
        world.documents.instance_groups.pop();
        world.update().await.succeeded();
        let groups = world.clients.elbv2.describe_target_groups().send().await.unwrap();
        assert_eq!(groups.target_groups().len(), 1);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_load_balancer_that_is_not_there_or_takes_no_instances_is_refused_before_anything_is_made() {
        let mut world = World::new().await;
        let gone = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/gone/0123456789abcdef";
        for (written, what) in [(by_arn(gone), "target group"), (by_name("gone"), "Classic Load Balancer")] {
            world.nodes().spec.external_load_balancers = Some(vec![written]);
            let refusal = world.refusal().await;
            let told = refusal.to_string();
            assert!(told.contains(&format!("there is no {what}")) && told.contains("nodes"), "{told}");
            assert!(
                refusal.hint().is_some_and(|hint| hint.contains("windlass edit instancegroup")),
                "{told}"
            );
        }
        let made = world.clients.ec2.create_vpc().cidr_block("10.9.0.0/16").send().await.unwrap();
        let vpc = made.vpc().unwrap().vpc_id().unwrap().to_owned();
        let addresses = target_group(&world, &vpc, "addresses", TargetTypeEnum::Ip).await;
        world.nodes().spec.external_load_balancers = Some(vec![by_arn(&addresses)]);
        let told = world.refusal().await.to_string();
        assert!(told.contains("targets of the type ip"), "{told}");
    }
}
