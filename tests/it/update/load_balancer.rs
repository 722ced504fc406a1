//! The API by a load balancer: how it takes the place of another form, and what is done to it by hand.

use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer, LoadBalancerAttribute, LoadBalancerSchemeEnum};
use windlass::spec::v1alpha2::{AccessSpec, DnsAccessSpec, DnsType, LoadBalancerSpec, LoadBalancerType};

use super::*;

const ZONE: &str = "example.com";

/// A cluster whose API has a name in a hosted zone, at an Elastic IP.
async fn named_world() -> World {
    let mut world = World::new().await;
    let call = world.clients.route53.create_hosted_zone().name(ZONE).caller_reference("one");
    call.send().await.unwrap();
    let spec = &mut world.documents.cluster.spec;
    spec.dns_zone = Some(ZONE.to_owned());
    spec.topology.get_or_insert_default().dns.get_or_insert_default().r#type = Some(DnsType::Public);
    spec.api = Some(at_an_elastic_ip());
    world
}

fn at_an_elastic_ip() -> AccessSpec {
    AccessSpec { dns: Some(DnsAccessSpec {}), ..AccessSpec::default() }
}

fn by_a_load_balancer(kind: LoadBalancerType) -> AccessSpec {
    let balancer = LoadBalancerSpec { r#type: Some(kind), ..LoadBalancerSpec::default() };
    AccessSpec { load_balancer: Some(balancer), ..AccessSpec::default() }
}

async fn balancers(world: &World) -> Vec<LoadBalancer> {
    let answer = world.clients.elbv2.describe_load_balancers().send().await.unwrap();
    answer.load_balancers.unwrap_or_default()
}

async fn only_balancer(world: &World) -> LoadBalancer {
    let mut all = balancers(world).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// What the API's name leads to.
async fn leads_to(world: &World) -> String {
    let zones = world.clients.route53.list_hosted_zones().send().await.unwrap();
    let call = world.clients.route53.list_resource_record_sets().hosted_zone_id(zones.hosted_zones()[0].id());
    let answer = call.send().await.unwrap();
    let mut sets = answer.resource_record_sets().iter().filter(|set| set.r#type().as_str() == "A");
    let set = sets.find(|set| set.name() == format!("api.{NAME}.")).unwrap();
    match set.alias_target() {
        Some(target) => target.dns_name().trim_end_matches('.').to_owned(),
        None => set.resource_records()[0].value().to_owned(),
    }
}

/// The target groups of the master's Auto Scaling group.
async fn target_groups(world: &World) -> Vec<String> {
    let answer = world.clients.autoscaling.describe_auto_scaling_groups().send().await.unwrap();
    let mut groups = answer.auto_scaling_groups().iter();
    let masters =
        groups.find(|group| group.auto_scaling_group_name().is_some_and(|name| name.contains(".masters.")));
    masters.unwrap().target_group_arns().to_vec()
}

async fn is_settled(world: &World) {
    let plan = world.plan().await;
    assert!(plan.is_empty(), "{plan}");
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_api_s_name_goes_over_to_a_load_balancer_that_has_a_master_and_back_to_its_address() {
        let mut world = named_world().await;
        world.update().await.succeeded();
        let address = leads_to(&world).await;
        world.documents.cluster.spec.api = Some(by_a_load_balancer(LoadBalancerType::Public));
        let outcome = world.update().await.succeeded();
        assert!(!outcome.plan.to_string().contains("- elastic-ip"), "{}", outcome.plan);
        let balancer = only_balancer(&world).await;
        assert_eq!(leads_to(&world).await, balancer.dns_name().unwrap().to_lowercase());
        is_settled(&world).await;

        world.documents.cluster.spec.api = Some(at_an_elastic_ip());
        world.update().await.succeeded();
        assert_eq!(leads_to(&world).await, address, "nobody gets an address back, so that it was kept");
        assert_eq!(balancers(&world).await, []);
        assert_eq!(target_groups(&world).await, Vec::<String>::new());
        is_settled(&world).await;
        world.delete().await.succeeded();
        let left = leftovers(&world).await;
        assert!(left.is_empty(), "{left:?}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_public_load_balancer_that_becomes_internal_is_another_one_and_the_old_one_goes() {
        let mut world = named_world().await;
        world.documents.cluster.spec.api = Some(by_a_load_balancer(LoadBalancerType::Public));
        world.update().await.succeeded();
        let (public, targets) = (only_balancer(&world).await, target_groups(&world).await);
        world.documents.cluster.spec.api = Some(by_a_load_balancer(LoadBalancerType::Internal));
        world.update().await.succeeded();
        let internal = only_balancer(&world).await;
        assert_eq!(internal.scheme(), Some(&LoadBalancerSchemeEnum::Internal));
        assert_ne!(internal.dns_name(), public.dns_name());
        assert_eq!(leads_to(&world).await, internal.dns_name().unwrap().to_lowercase());
        let now = target_groups(&world).await;
        assert!(now.len() == 1 && now != targets, "{now:?}");
        let groups = world.clients.elbv2.describe_target_groups().send().await.unwrap();
        assert_eq!(groups.target_groups().len(), 1, "that of the old one is gone, too");
        is_settled(&world).await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_is_done_to_a_load_balancer_by_hand_is_undone_and_what_somebody_attached_stays() {
        let mut world = named_world().await;
        world.documents.cluster.spec.api = Some(by_a_load_balancer(LoadBalancerType::Public));
        world.update().await.succeeded();
        let elb = &world.clients.elbv2;
        let arn = only_balancer(&world).await.load_balancer_arn().unwrap().to_owned();
        let cross_zone =
            LoadBalancerAttribute::builder().key("load_balancing.cross_zone.enabled").value("true");
        let call =
            elb.modify_load_balancer_attributes().load_balancer_arn(&arn).attributes(cross_zone.build());
        call.send().await.unwrap();
        let listeners = elb.describe_listeners().load_balancer_arn(&arn).send().await.unwrap();
        let listener = listeners.listeners()[0].listener_arn().unwrap();
        elb.delete_listener().listener_arn(listener).send().await.unwrap();
        elb.remove_tags().resource_arns(&arn).tag_keys("Name").send().await.unwrap();
        let ours = target_groups(&world).await;
        let call = elb.modify_target_group().target_group_arn(&ours[0]).health_check_interval_seconds(30);
        call.send().await.unwrap();
        let theirs = another_target_group(&world).await;
        let name = world.id(Kind::AutoScalingGroup, "control-plane").await;
        let call =
            world.clients.autoscaling.attach_load_balancer_target_groups().auto_scaling_group_name(&name);
        call.target_group_arns(&theirs).send().await.unwrap();
        let call =
            world.clients.autoscaling.detach_load_balancer_target_groups().auto_scaling_group_name(&name);
        call.target_group_arns(&ours[0]).send().await.unwrap();

        let plan = world.plan().await.to_string();
        for line in [
            "crossZone",
            "+ load-balancer-listener/",
            "tags.Name",
            "healthCheck.intervalSeconds",
            "targetGroups",
        ] {
            assert!(plan.contains(line), "{line}:\n{plan}");
        }
        world.update().await.succeeded();
        is_settled(&world).await;
        let attached = target_groups(&world).await;
        assert!(attached.contains(&theirs) && attached.contains(&ours[0]), "{attached:?}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_security_group_that_is_not_there_is_refused_before_anything_is_made() {
        let mut world = World::new().await;
        let mut api = by_a_load_balancer(LoadBalancerType::Public);
        let balancer = api.load_balancer.get_or_insert_default();
        balancer.additional_security_groups = Some(vec!["sg-0123456789abcdef0".to_owned()]);
        world.documents.cluster.spec.api = Some(api);
        let refusal = world.refusal().await;
        assert!(
            refusal.to_string().starts_with("spec.api.loadBalancer: there is no security group"),
            "{refusal}"
        );
        assert!(refusal.hint().is_some_and(|hint| hint.ends_with("windlass edit cluster")), "{refusal}");
    }

    async fn another_target_group(world: &World) -> String {
        let vpc = world.id(Kind::Vpc, NAME).await;
        let call = world.clients.elbv2.create_target_group().name("theirs").vpc_id(vpc);
        let call = call.protocol(aws_sdk_elasticloadbalancingv2::types::ProtocolEnum::Tcp).port(443);
        let made = call.send().await.unwrap();
        made.target_groups()[0].target_group_arn().unwrap().to_owned()
    }
}
