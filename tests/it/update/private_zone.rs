//! Names in a private hosted zone: the cluster's VPC is associated with it and its records are made in it, and when they go the
//! zone is as it was.

use aws_sdk_route53::types::{HostedZoneConfig, RrType, Vpc, VpcRegion};
use windlass::spec::v1alpha2::{AccessSpec, DnsType, LoadBalancerSpec, LoadBalancerType};

use super::*;

const ZONE: &str = "example.com";

/// A region with a private zone that somebody else's VPC sees, and an empty cluster that is to have its names in it.
struct Private {
    world: World,
    zone: String,
    their_vpc: String,
}

impl Private {
    async fn new() -> Self {
        let mut world = World::new().await;
        let their_vpc = make_vpc(&world).await;
        let zone = make_zone(&world, "one", &their_vpc).await;
        names(&mut world, DnsType::Private);
        Self { world, zone, their_vpc }
    }

    /// The VPCs that see the zone.
    async fn seen_by(&self) -> Vec<String> {
        seen_by(&self.world, &self.zone).await
    }

    /// Everything in the zone but what is its own, as `name type target`.
    async fn records(&self) -> Vec<String> {
        let call = self.world.clients.route53.list_resource_record_sets().hosted_zone_id(&self.zone);
        let answer = call.send().await.unwrap();
        let sets = answer.resource_record_sets().iter();
        let sets = sets.filter(|set| !matches!(set.r#type(), RrType::Ns | RrType::Soa | RrType::Txt));
        sets.map(|set| {
            let alias = if set.alias_target().is_some() { "alias" } else { "addresses" };
            format!("{} {alias}", set.name())
        })
        .collect()
    }

    async fn own_vpc(&self) -> String {
        self.world.id(Kind::Vpc, NAME).await
    }
}

async fn seen_by(world: &World, zone: &str) -> Vec<String> {
    let found = world.clients.route53.get_hosted_zone().id(zone).send().await.unwrap();
    found.vpcs().iter().filter_map(|vpc| vpc.vpc_id().map(str::to_owned)).collect()
}

async fn make_vpc(world: &World) -> String {
    let made = world.clients.ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap();
    made.vpc().unwrap().vpc_id().unwrap().to_owned()
}

fn vpc(id: &str) -> Vpc {
    Vpc::builder().vpc_region(VpcRegion::UsEast1).vpc_id(id).build()
}

async fn make_zone(world: &World, reference: &str, of: &str) -> String {
    let config = HostedZoneConfig::builder().private_zone(true).build();
    let call = world.clients.route53.create_hosted_zone().name(ZONE).caller_reference(reference);
    let made = call.hosted_zone_config(config).vpc(vpc(of)).send().await.unwrap();
    made.hosted_zone().unwrap().id().trim_start_matches("/hostedzone/").to_owned()
}

/// Wants names of this kind, and a load balancer, to which they lead.
fn names(world: &mut World, kind: DnsType) {
    let spec = &mut world.documents.cluster.spec;
    let balancer =
        LoadBalancerSpec { r#type: Some(LoadBalancerType::Internal), ..LoadBalancerSpec::default() };
    spec.api = Some(AccessSpec { load_balancer: Some(balancer), ..AccessSpec::default() });
    spec.topology.get_or_insert_default().dns.get_or_insert_default().r#type = Some(kind);
    spec.dns_zone = (kind != DnsType::None).then(|| ZONE.to_owned());
    spec.master_public_name = None;
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn names_in_a_private_zone_are_seen_from_the_cluster_s_vpc_and_the_zone_is_as_it_was_afterwards() {
        let private = Private::new().await;
        private.world.update().await.succeeded();
        let own = private.own_vpc().await;
        assert_eq!(private.seen_by().await, [private.their_vpc.clone(), own]);
        let expected = [format!("api.{NAME}. alias"), format!("api.internal.{NAME}. addresses")];
        assert_eq!(private.records().await, expected);
        private.world.has_nothing_to_do().await;
        private.world.delete().await.succeeded();
        assert_eq!(private.seen_by().await, [&*private.their_vpc]);
        assert_eq!(private.records().await, Vec::<String>::new());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn names_that_are_taken_out_take_the_association_with_them_wherever_the_update_is_killed() {
        let mut private = Private::new().await;
        private.world.update().await.succeeded();
        names(&mut private.world, DnsType::None);
        for calls in 1..4 {
            private.world.update_killed_after(calls).await;
        }
        private.world.update().await.succeeded();
        assert_eq!(private.seen_by().await, [&*private.their_vpc]);
        assert_eq!(private.records().await, Vec::<String>::new());
        private.world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn names_move_from_one_private_zone_to_another_of_the_same_name() {
        let mut private = Private::new().await;
        private.world.update().await.succeeded();
        let another_vpc = make_vpc(&private.world).await;
        let other = make_zone(&private.world, "two", &another_vpc).await;
        let error = private.world.refusal().await.to_string();
        assert!(error.starts_with("there are 2 private hosted zones `example.com`: "), "{error}");
        assert!(error.contains(&private.zone) && error.contains(&other), "{error}");
        private.world.documents.cluster.spec.dns_zone = Some(other.clone());
        private.world.update().await.succeeded();
        let own = private.own_vpc().await;
        assert_eq!(private.seen_by().await, [&*private.their_vpc]);
        assert_eq!(seen_by(&private.world, &other).await, [another_vpc, own]);
        assert_eq!(private.records().await, Vec::<String>::new());
        private.world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_association_that_somebody_takes_away_is_made_again() {
        let private = Private::new().await;
        private.world.update().await.succeeded();
        let own = private.own_vpc().await;
        let call =
            private.world.clients.route53.disassociate_vpc_from_hosted_zone().hosted_zone_id(&private.zone);
        call.vpc(vpc(&own)).send().await.unwrap();
        let plan = private.world.update().await.succeeded().plan.to_string();
        assert!(plan.contains(&format!("+ hosted-zone-association/{}", private.zone)), "{plan}");
        assert_eq!(private.seen_by().await, [private.their_vpc.clone(), own]);
        private.world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_last_vpc_that_sees_a_private_zone_stays_and_the_plan_says_so() {
        let mut private = Private::new().await;
        private.world.update().await.succeeded();
        let own = private.own_vpc().await;
        let call =
            private.world.clients.route53.disassociate_vpc_from_hosted_zone().hosted_zone_id(&private.zone);
        call.vpc(vpc(&private.their_vpc)).send().await.unwrap();
        names(&mut private.world, DnsType::None);
        let plan = private.world.update().await.succeeded().plan.to_string();
        assert!(plan.contains("Route 53 keeps one for a private zone"), "{plan}");
        assert_eq!(private.seen_by().await, [own]);
        private.world.has_nothing_to_do().await;
        private.world.delete().await.succeeded();
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_existing_vpc_that_doesn_t_see_the_zone_or_has_no_names_is_refused_and_not_changed() {
        let mut private = Private::new().await;
        let spec = &mut private.world.documents.cluster.spec;
        let theirs = private.their_vpc.clone();
        let subnets = spec.subnets.as_mut().unwrap();
        subnets.truncate(1);
        subnets[0].cidr = Some("10.0.1.0/24".to_owned());
        let zone = subnets[0].name.clone().unwrap();
        spec.network_cidr = Some("10.0.0.0/16".to_owned());
        spec.network_id = Some(theirs.clone());
        private.world.documents.instance_groups.iter_mut().for_each(|group| {
            group.spec.subnets = Some(vec![zone.clone()]);
        });
        let ec2 = &private.world.clients.ec2;
        let gateway = ec2.create_internet_gateway().send().await.unwrap().internet_gateway.unwrap();
        let gateway = gateway.internet_gateway_id().unwrap();
        ec2.attach_internet_gateway().vpc_id(&theirs).internet_gateway_id(gateway).send().await.unwrap();
        let error = private.world.refusal().await;
        assert!(error.to_string().contains("has `enableDnsHostnames` off"), "{error}");
        assert!(error.hint().unwrap().ends_with(&format!("--vpc-id {theirs} --enable-dns-hostnames")));
        let on = aws_sdk_ec2::types::AttributeBooleanValue::builder().value(true).build();
        ec2.modify_vpc_attribute().vpc_id(&theirs).enable_dns_hostnames(on).send().await.unwrap();
        private.world.plan().await;

        let another = make_vpc(&private.world).await;
        let other = make_zone(&private.world, "two", &another).await;
        private.world.documents.cluster.spec.dns_zone = Some(other.clone());
        let error = private.world.refusal().await;
        assert!(
            error.to_string().ends_with(&format!("is not associated with the VPC `{theirs}`")),
            "{error}"
        );
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("--hosted-zone-id {other} --vpc VPCRegion=us-east-1,VPCId={theirs}")));
        assert_eq!(seen_by(&private.world, &other).await, [another]);
    }
}
