//! What exists without the cluster: which tags it gets, and which go again. What specifications ask for is in `shapes.rs`.

use windlass::cloud::existing::{self, Existing};
use windlass::cloud::subnet::Subnet;
use windlass::cloud::{Reference, Resource};

use super::*;

const SHARED: &str = "kubernetes.io/cluster/demo.example.com";

fn wanted(vpc: &str, uid: &str) -> Desired {
    let own = [(tags::MANAGED, NAME), (tags::UID, uid), (tags::NAME, "subnet")];
    let shared = [(SHARED, "shared"), ("team", "a")];
    let tags = |all: &[(&str, &str)]| {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let mut desired = Desired::default();
    desired.insert(Existing { name: vpc.to_owned(), tags: tags(&shared) }).unwrap();
    desired
        .insert(Subnet {
            name: "subnet".to_owned(),
            vpc: Reference::existing(vpc),
            zone: "us-east-1a".to_owned(),
            cidr: "10.9.1.0/24".parse().ok(),
            ipv6: None,
            vpc_ipv6: None,
            assigns_ipv6: false,
            dns64: false,
            tags: tags(&own),
        })
        .unwrap();
    desired
}

/// What there is, as an operation looks at it.
async fn observe(world: &World, desired: &Desired) -> Observed {
    let mut observed = world.observe().await;
    existing::look_into(desired.0.values(), &world.clients, &mut observed).await.unwrap();
    observed
}

/// Somebody's VPC, with two tags.
async fn their_vpc(world: &World) -> String {
    let made = world.clients.ec2.create_vpc().cidr_block("10.9.0.0/16").send().await.unwrap();
    let vpc = made.vpc().and_then(|vpc| vpc.vpc_id()).unwrap().to_owned();
    let tag = |key: &str| aws_sdk_ec2::types::Tag::builder().key(key).value("theirs").build();
    let call = world.clients.ec2.create_tags().resources(&vpc).tags(tag("Name")).tags(tag("team"));
    call.send().await.unwrap();
    vpc
}

async fn tags_of(world: &World, vpc: &str) -> BTreeMap<String, String> {
    let wanted = Resource::from(Existing { name: vpc.to_owned(), tags: BTreeMap::new() });
    let mut observed = Observed::default();
    existing::look_into([&wanted].into_iter(), &world.clients, &mut observed).await.unwrap();
    match observed.0.into_values().next().unwrap().resource {
        Resource::Existing(found) => found.tags,
        other => panic!("{other:?}"),
    }
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_exists_without_the_cluster_is_used_gets_the_tags_that_it_lacks_and_stays() {
        let world = World::new().await;
        let vpc = their_vpc(&world).await;
        let desired = wanted(&vpc, &world.uid().await);
        let observed = observe(&world, &desired).await;
        let plan = Plan::update(&desired, &observed).unwrap();
        world.carry_out(plan, &desired, &observed).await.succeeded();

        let subnets =
            world.clients.ec2.describe_subnets().filters(tags::of_cluster(NAME)).send().await.unwrap();
        assert_eq!(subnets.subnets()[0].vpc_id(), Some(vpc.as_str()));
        let named = |tags: &[(&str, &str)]| -> BTreeMap<String, String> {
            tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let mark = tags::added_by(NAME);
        let tagged = [("Name", "theirs"), (SHARED, "shared"), ("team", "theirs"), (mark.as_str(), SHARED)];
        assert_eq!(tags_of(&world, &vpc).await, named(&tagged));
        let again = Plan::update(&desired, &observe(&world, &desired).await).unwrap();
        assert!(again.is_empty(), "{again}");

        world.delete().await.succeeded();
        assert_eq!(tags_of(&world, &vpc).await, named(&[("Name", "theirs"), ("team", "theirs")]));
        let vpcs = world.clients.ec2.describe_vpcs().vpc_ids(&vpc).send().await.unwrap();
        assert_eq!(vpcs.vpcs().len(), 1);
        let subnets =
            world.clients.ec2.describe_subnets().filters(tags::of_cluster(NAME)).send().await.unwrap();
        assert_eq!(subnets.subnets(), []);
    }
}
