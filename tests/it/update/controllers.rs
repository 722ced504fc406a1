//! Deleting a cluster in which controllers made things: load balancers, security groups, network interfaces, volumes.

use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, ResourceType, Tag, TagSpecification, UserIdGroupPair, VolumeType,
};
use aws_sdk_elasticloadbalancing::types as classic;
use aws_sdk_elasticloadbalancingv2::types as elb;

use super::*;

const OWNED: &str = "kubernetes.io/cluster/demo.example.com";

fn tags(kind: ResourceType, tags: &[(&str, &str)]) -> TagSpecification {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
}

/// A security group of a load balancer.
async fn security_group(world: &World, name: &str, vpc: &str) -> String {
    let call = world.clients.ec2.create_security_group().group_name(name).description(name).vpc_id(vpc);
    let call = call.tag_specifications(tags(ResourceType::SecurityGroup, &[(OWNED, "owned")]));
    call.send().await.unwrap().group_id().unwrap().to_owned()
}

/// Lets members of a group reach another one's, as controllers do.
async fn allow(world: &World, group: &str, from: &str) {
    let pair = UserIdGroupPair::builder().group_id(from).build();
    let rule = IpPermission::builder().ip_protocol("-1").user_id_group_pairs(pair).build();
    let call = world.clients.ec2.authorize_security_group_ingress().group_id(group).ip_permissions(rule);
    call.send().await.unwrap();
}

/// A load balancer as the AWS Load Balancer Controller makes one, with a target group.
async fn load_balancer(world: &World, name: &str, subnet: &str, group: &str, vpc: &str) {
    let tag = |key: &str, value: &str| elb::Tag::builder().key(key).value(value).build();
    let call = world.clients.elbv2.create_target_group().name(name).port(80).vpc_id(vpc);
    let call = call.protocol(elb::ProtocolEnum::Http).tags(tag("elbv2.k8s.aws/cluster", NAME));
    let targets = call.send().await.unwrap().target_groups()[0].target_group_arn().unwrap().to_owned();
    let call = world.clients.elbv2.create_load_balancer().name(name).subnets(subnet).security_groups(group);
    let made = call.tags(tag(OWNED, "owned")).send().await.unwrap();
    let action =
        elb::Action::builder().r#type(elb::ActionTypeEnum::Forward).target_group_arn(targets).build();
    let call = world.clients.elbv2.create_listener().port(80).protocol(elb::ProtocolEnum::Http);
    let call = call.load_balancer_arn(made.load_balancers()[0].load_balancer_arn().unwrap());
    call.default_actions(action).send().await.unwrap();
}

/// A classic load balancer, as the cloud controller manager makes one for a Service.
async fn classic_load_balancer(world: &World, name: &str, subnet: &str, group: &str) {
    let listener = classic::Listener::builder().protocol("tcp").load_balancer_port(80).instance_port(30080);
    let call = world.clients.elb.create_load_balancer().load_balancer_name(name).subnets(subnet);
    let call = call.security_groups(group).listeners(listener.build().unwrap());
    let tag = classic::Tag::builder().key(OWNED).value("owned").build().unwrap();
    call.tags(tag).send().await.unwrap();
}

/// A volume of a PersistentVolume.
async fn volume(world: &World, claim: &str) -> String {
    let call = world.clients.ec2.create_volume().availability_zone("us-east-1a").size(4);
    let claim = [
        (OWNED, "owned"),
        ("kubernetes.io/created-for/pvc/namespace", "default"),
        ("kubernetes.io/created-for/pvc/name", claim),
    ];
    let call = call.volume_type(VolumeType::Gp3).tag_specifications(tags(ResourceType::Volume, &claim));
    call.send().await.unwrap().volume_id().unwrap().to_owned()
}

async fn interface(world: &World, subnet: &str, marks: &[(&str, &str)]) -> String {
    let call = world.clients.ec2.create_network_interface().subnet_id(subnet).description("by hand");
    let call = if marks.is_empty() {
        call
    } else {
        call.tag_specifications(tags(ResourceType::NetworkInterface, marks))
    };
    let made = call.send().await.unwrap();
    made.network_interface().unwrap().network_interface_id().unwrap().to_owned()
}

/// Everything that controllers made and that is there.
async fn made_by_controllers(world: &World) -> Vec<String> {
    let (ec2, owned) =
        (&world.clients.ec2, Filter::builder().name(format!("tag:{OWNED}")).values("owned").build());
    let newer = world.clients.elbv2.describe_load_balancers().send().await.unwrap();
    let older = world.clients.elb.describe_load_balancers().send().await.unwrap();
    let targets = world.clients.elbv2.describe_target_groups().send().await.unwrap();
    let groups = ec2.describe_security_groups().filters(owned.clone()).send().await.unwrap();
    let volumes = ec2.describe_volumes().filters(owned).send().await.unwrap();
    let interfaces = ec2.describe_network_interfaces().send().await.unwrap();
    let names = newer.load_balancers().iter().filter_map(|it| it.load_balancer_name());
    let names =
        names.chain(older.load_balancer_descriptions().iter().filter_map(|it| it.load_balancer_name()));
    let names = names.chain(targets.target_groups().iter().filter_map(|it| it.target_group_name()));
    let names = names.chain(groups.security_groups().iter().filter_map(|it| it.group_name()));
    let names = names.chain(volumes.volumes().iter().filter_map(|it| it.volume_id()));
    let names =
        names.chain(interfaces.network_interfaces().iter().filter_map(|it| it.network_interface_id()));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_deletion_takes_what_controllers_made_in_the_cluster_s_vpc_and_keeps_volumes_that_may_hold_data()
     {
        let world = World::new().await;
        world.update().await.succeeded();
        let vpc = world.id(Kind::Vpc, NAME).await;
        let subnet = world.id(Kind::Subnet, "us-east-1a").await;
        let nodes = world.id(Kind::SecurityGroup, "nodes").await;
        // Two groups that name each other, as the controller's front and back do, and a rule in one of windlass's.
        let (front, back) =
            (security_group(&world, "k8s-front", &vpc).await, security_group(&world, "k8s-back", &vpc).await);
        allow(&world, &front, &back).await;
        allow(&world, &back, &front).await;
        allow(&world, &back, &nodes).await;
        allow(&world, &nodes, &back).await;
        load_balancer(&world, "web", &subnet, &front, &vpc).await;
        classic_load_balancer(&world, "service", &subnet, &back).await;
        interface(&world, &subnet, &[("cluster.k8s.amazonaws.com/name", NAME)]).await;
        let kept = volume(&world, "data").await;

        // Another cluster of the same name has its own in another VPC.
        let other = world.clients.ec2.create_vpc().cidr_block("10.9.0.0/16").send().await.unwrap();
        let other_vpc = other.vpc().unwrap().vpc_id().unwrap().to_owned();
        let call = world.clients.ec2.create_subnet().vpc_id(&other_vpc).cidr_block("10.9.0.0/24");
        let other_subnet = call.send().await.unwrap().subnet().unwrap().subnet_id().unwrap().to_owned();
        let other_group = security_group(&world, "other", &other_vpc).await;
        load_balancer(&world, "other-web", &other_subnet, &other_group, &other_vpc).await;

        let outcome = world.delete().await.succeeded();
        let kept_shown: Vec<String> = outcome.plan.kept.iter().map(ToString::to_string).collect();
        assert_eq!(kept_shown, [format!("persistent-volume/{kept} (claim default/data)")]);
        let mut left = vec![kept, "other".to_owned(), "other-web".to_owned(), "other-web".to_owned()];
        left.sort();
        assert_eq!(made_by_controllers(&world).await, left);
        let vpcs = world.clients.ec2.describe_vpcs().send().await.unwrap();
        assert_eq!(vpcs.vpcs().len(), 1, "only the other VPC is left");
        let unimplemented: Value = world.region.get("unimplemented").await.unwrap();
        assert_eq!(unimplemented, json!([]));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_is_in_the_way_of_a_deletion_is_named() {
        let world = World::new().await;
        world.update().await.succeeded();
        let subnet = world.id(Kind::Subnet, "us-east-1a").await;
        let interface = interface(&world, &subnet, &[]).await;
        let take_away = async {
            // Not before it has been looked for: what is gone by then isn't named.
            let refused = |call: &Value| call["action"] == "DeleteSubnet" && call["status"] == 400;
            let looked = |call: &Value| call["action"] == "DescribeNetworkInterfaces";
            let looked_for =
                |journal: Vec<Value>| journal.iter().skip_while(|call| !refused(call)).any(looked);
            while !looked_for(world.region.get("journal").await.unwrap()) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            let call = world.clients.ec2.delete_network_interface().network_interface_id(&interface);
            call.send().await.unwrap();
        };
        let (outcome, ()) = tokio::join!(world.delete(), take_away);
        let outcome = outcome.succeeded();
        let named = format!("in the way: {interface} (network interface `by hand`)");
        assert!(outcome.events.iter().any(|event| event.contains(&named)), "{:#?}", outcome.events);
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn all_auto_scaling_groups_are_asked_to_go_at_once_and_waited_for_together() {
        let mut world = World::new().await;
        world.add_groups(12);
        world.update().await.succeeded();
        let groups = world.documents.instance_groups.len();
        world.forget_journal().await;
        // More groups than calls are made at once; and a look at their instances takes long beside a call.
        let slow = json!({"service": "ec2", "action": "DescribeInstances", "latencyMs": 3000, "times": null});
        inject(&world, &slow).await;
        world.delete().await.succeeded();
        let changes = world.journal(true).await;
        let last_asked = changes.iter().rposition(|call| call == "autoscaling:DeleteAutoScalingGroup");
        let first_gone = changes.iter().position(|call| call == "ec2:DeleteLaunchTemplate");
        assert!(last_asked < first_gone, "not all groups were asked to go at once: {changes:#?}");
        let looks = world.journal(false).await;
        let looks = looks.iter().filter(|call| *call == "ec2:DescribeInstances").count();
        assert!(looks < groups / 2, "{looks} looks for instances of {groups} groups");
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn one_thing_that_is_gone_already_does_not_make_the_rest_of_a_deletion_done() {
        let world = World::new().await;
        world.update().await.succeeded();
        let located = world.located().await;
        let looking = PreparedDeletion::look(&world.state, Some(&located), false);
        let prepared = Box::pin(looking).await.unwrap();
        // While it was being looked at, somebody else took one of many rules away.
        let masters = prepared
            .observed
            .0
            .iter()
            .find(|(id, _)| id.name.starts_with("masters") && id.kind == Kind::SecurityGroup);
        let anywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
        let rule = IpPermission::builder().ip_protocol("-1").ip_ranges(anywhere).build();
        let call = world.clients.ec2.revoke_security_group_egress().group_id(&masters.unwrap().1.identity.id);
        call.ip_permissions(rule).send().await.unwrap();
        world.delete_prepared(Some(&located), prepared).await.unwrap().succeeded();
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
    }
}
