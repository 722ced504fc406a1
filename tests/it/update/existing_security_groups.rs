//! Security groups of others that instances have in the place of windlass's own: what is let in there, and what stays theirs.

use std::time::Duration;

use aws_sdk_ec2::types::{IpPermission, IpRange, SecurityGroup};

use super::*;

/// A cluster in somebody's VPC, and a security group there with a rule of theirs.
async fn world_with_a_group() -> (World, String) {
    let mut world = World::new().await;
    let ec2 = &world.clients.ec2;
    let made = ec2.create_vpc().cidr_block("172.20.0.0/16").send().await.unwrap();
    let vpc = made.vpc().and_then(|vpc| vpc.vpc_id()).unwrap().to_owned();
    let made = ec2.create_internet_gateway().send().await.unwrap();
    let gateway = made.internet_gateway().and_then(|gateway| gateway.internet_gateway_id()).unwrap();
    ec2.attach_internet_gateway().internet_gateway_id(gateway).vpc_id(&vpc).send().await.unwrap();
    let group = security_group(&world, &vpc, "theirs").await;
    world.documents.cluster.spec.network_id = Some(vpc);
    (world, group)
}

async fn security_group(world: &World, vpc: &str, name: &str) -> String {
    let ec2 = &world.clients.ec2;
    let call = ec2.create_security_group().group_name(name).description("somebody's").vpc_id(vpc);
    let id = call.send().await.unwrap().group_id().unwrap().to_owned();
    let call = ec2.authorize_security_group_ingress().group_id(&id).ip_permissions(their_rule());
    call.send().await.unwrap();
    id
}

fn their_rule() -> IpPermission {
    let range = IpRange::builder().cidr_ip("10.9.0.0/16").description("theirs").build();
    IpPermission::builder().ip_protocol("tcp").from_port(9100).to_port(9100).ip_ranges(range).build()
}

async fn described(world: &World, id: &str) -> SecurityGroup {
    let call = world.clients.ec2.describe_security_groups().group_ids(id);
    call.send().await.unwrap().security_groups()[0].clone()
}

/// How many peers a group lets in.
async fn peers(world: &World, id: &str) -> usize {
    let group = described(world, id).await;
    let permissions = group.ip_permissions().iter();
    permissions.map(|it| it.ip_ranges().len() + it.user_id_group_pairs().len()).sum()
}

/// Whether a group lets the members of another one in.
async fn lets_in(world: &World, id: &str, peer: &str) -> bool {
    let group = described(world, id).await;
    let mut pairs = group.ip_permissions().iter().flat_map(IpPermission::user_id_group_pairs);
    pairs.any(|pair| pair.group_id() == Some(peer))
}

/// Whether instances are as they are waited for: the id of each, and whether it serves.
type Settled<'a> = &'a dyn Fn(&[(String, bool)]) -> bool;

/// Has the nodes' instances launched anew.
async fn replace_nodes(world: &World) {
    let group = world.id(Kind::AutoScalingGroup, "nodes").await;
    let autoscaling = &world.clients.autoscaling;
    let instances = async || {
        let call = autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&group);
        let answer = call.send().await.unwrap();
        let all = answer.auto_scaling_groups()[0].instances().iter();
        let all: Vec<(String, bool)> = all
            .map(|instance| {
                let serves = instance.lifecycle_state().is_some_and(|state| state.as_str() == "InService");
                (instance.instance_id().unwrap().to_owned(), serves)
            })
            .collect();
        all
    };
    let until = async |settled: Settled<'_>| {
        for _ in 0..200 {
            if settled(&instances().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?}", instances().await);
    };
    until(&|all| !all.is_empty() && all.iter().all(|(_, serves)| *serves)).await;
    let old = instances().await;
    for (instance, _) in &old {
        let call = autoscaling.terminate_instance_in_auto_scaling_group().instance_id(instance);
        call.should_decrement_desired_capacity(false).send().await.unwrap();
    }
    until(&|all| all.len() == old.len() && all.iter().all(|it| it.1 && !old.contains(it))).await;
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_group_of_others_lets_in_what_its_instances_need_and_is_as_it_was_when_none_is_in_it() {
        let (mut world, theirs) = world_with_a_group().await;
        world.update().await.succeeded();
        world.nodes().spec.security_group_override = Some(theirs.clone());
        world.update().await.succeeded();
        assert!(world.plan().await.is_empty(), "{}", world.plan().await);
        let (masters, nodes) =
            (world.id(Kind::SecurityGroup, "masters").await, world.id(Kind::SecurityGroup, "nodes").await);
        for peer in [&masters, &nodes, &theirs] {
            assert!(lets_in(&world, &theirs, peer).await, "{peer}");
        }
        assert!(lets_in(&world, &masters, &theirs).await && lets_in(&world, &nodes, &theirs).await);
        let with_ours = peers(&world, &theirs).await;
        replace_nodes(&world).await;

        // What somebody takes away is given back.
        let group = described(&world, &theirs).await;
        let permissions = group.ip_permissions().iter().filter(|it| it.from_port() == Some(10250)).cloned();
        let call = world.clients.ec2.revoke_security_group_ingress().group_id(&theirs);
        call.set_ip_permissions(Some(permissions.collect())).send().await.unwrap();
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains("tcp 10250") && !shown.contains("9100"), "{shown}");
        assert_eq!(peers(&world, &theirs).await, with_ours);

        // While instances are in it, the rules stay.
        world.nodes().spec.security_group_override = None;
        let shown = world.update().await.succeeded().plan.to_string();
        assert!(shown.contains("kept until nothing uses it") && shown.contains("i-"), "{shown}");
        assert_eq!(peers(&world, &theirs).await, with_ours);
        assert!(lets_in(&world, &masters, &theirs).await && lets_in(&world, &nodes, &theirs).await);
        replace_nodes(&world).await;
        world.update().await.succeeded();
        let group = described(&world, &theirs).await;
        assert_eq!((peers(&world, &theirs).await, group.tags().len()), (1, 0), "{group:?}");
        assert!(!lets_in(&world, &masters, &theirs).await && !lets_in(&world, &nodes, &theirs).await);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn masters_and_nodes_may_be_in_one_group_of_others_which_is_left_with_its_own_rules() {
        let (mut world, theirs) = world_with_a_group().await;
        for group in &mut world.documents.instance_groups {
            group.spec.security_group_override = Some(theirs.clone());
        }
        world.update().await.succeeded();
        assert!(world.plan().await.is_empty());
        assert!(lets_in(&world, &theirs, &theirs).await);
        world.delete().await.succeeded();
        let group = described(&world, &theirs).await;
        assert_eq!((peers(&world, &theirs).await, group.tags().len()), (1, 0), "{group:?}");
        assert_eq!(group.ip_permissions()[0].from_port(), Some(9100));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_group_of_another_vpc_is_refused_before_anything_is_made() {
        let (mut world, _) = world_with_a_group().await;
        let made = world.clients.ec2.create_vpc().cidr_block("10.9.0.0/16").send().await.unwrap();
        let other = made.vpc().and_then(|vpc| vpc.vpc_id()).unwrap().to_owned();
        let elsewhere = security_group(&world, &other, "elsewhere").await;
        world.nodes().spec.security_group_override = Some(elsewhere);
        let refusal = world.refusal().await;
        assert!(refusal.to_string().contains(&other), "{refusal}");
        assert!(refusal.hint().is_some(), "{refusal}");
    }
}
