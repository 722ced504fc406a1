//! Replacing a resource by one that is made first. No specification asks for it yet: what is wanted is put together by
//! hand, a route table and the endpoint that leads to it, and the rule that a table's label can't be changed.

use windlass::cloud::gateway_endpoint::{self, GatewayEndpoint};
use windlass::cloud::route_table::RouteTable;
use windlass::cloud::vpc::Vpc;
use windlass::cloud::{Change, Effect, Reference, Resource};

use super::*;

fn wanted(team: &str, uid: &str) -> Desired {
    let tags = |name: &str| {
        let marks = [(tags::MANAGED, NAME), (tags::UID, uid), (tags::NAME, name)];
        marks.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<tags::Tags>()
    };
    let mut table = RouteTable {
        name: "table".to_owned(),
        vpc: Reference::to(NAME),
        routes: BTreeMap::new(),
        subnets: [].into(),
        tags: tags("table"),
    };
    table.tags.insert("team".to_owned(), team.to_owned());
    table.tags.insert(tags::CLOUD_LABELS.to_owned(), "team".to_owned());
    let mut desired = Desired::default();
    let (name, cidr) = (NAME.to_owned(), "10.0.0.0/16".parse().unwrap());
    let (additional_cidrs, tags_of_vpc) = ([].into(), tags(NAME));
    desired
        .insert(Vpc {
            name,
            cidr,
            additional_cidrs,
            ipv6: false,
            dns_hostnames: true,
            dns_support: true,
            tags: tags_of_vpc,
        })
        .unwrap();
    desired.insert(table).unwrap();
    desired
        .insert(GatewayEndpoint {
            name: "endpoint".to_owned(),
            vpc: Reference::to(NAME),
            service: gateway_endpoint::service("us-east-1"),
            route_tables: [Reference::to("table")].into(),
            tags: tags("endpoint"),
        })
        .unwrap();
    desired
}

fn effect(wanted: &Resource, change: &Change, found: &Resource) -> Effect {
    match change.field.as_str() {
        "tags.team" => Effect::CreateBeforeDelete,
        _ => wanted.effect(change, found),
    }
}

async fn make(world: &World, team: &str) -> Outcome {
    let desired = wanted(team, &world.uid().await);
    let observed = world.observe().await;
    let plan = Plan::update_by(&effect, &desired, &observed).unwrap();
    world.carry_out(plan, &desired, &observed).await
}

/// The route tables that carry the cluster's mark, and those that the endpoint leads to.
async fn tables(world: &World) -> (Vec<String>, Vec<String>) {
    let tables = world.clients.ec2.describe_route_tables().filters(tags::of_cluster(NAME)).send().await;
    let tables = tables.unwrap().route_tables.unwrap_or_default();
    let tables = tables.into_iter().filter_map(|table| table.route_table_id).collect();
    let endpoints = world.clients.ec2.describe_vpc_endpoints().send().await.unwrap();
    (tables, endpoints.vpc_endpoints()[0].route_table_ids().to_vec())
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_route_table_is_replaced_under_what_leads_to_it() {
        let world = World::new().await;
        make(&world, "a").await.succeeded();
        let (old, _) = tables(&world).await;
        let outcome = make(&world, "b").await.succeeded();
        assert_eq!(outcome.plan.steps.len(), 3, "{}", outcome.plan);
        let (new, led_to) = tables(&world).await;
        assert!(new.len() == 1 && new != old, "{old:?} {new:?}");
        assert_eq!(led_to, new);
        let again = make(&world, "b").await;
        assert!(again.plan.is_empty(), "{}", again.plan);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_replacement_that_is_killed_at_any_call_is_finished_by_the_next_run() {
        let mut world = World::new().await;
        for calls in 0..6 {
            world.reset().await;
            make(&world, "a").await.succeeded();
            let (old, _) = tables(&world).await;
            world.forget_journal().await;
            let killer = async {
                while world.journal(true).await.len() < calls {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = killer => {}
                _ = make(&world, "b") => {}
            }
            make(&world, "b").await.succeeded();
            let (new, led_to) = tables(&world).await;
            assert!(new.len() == 1 && new != old, "killed after {calls}: {old:?} {new:?}");
            assert_eq!(led_to, new, "killed after {calls}");
            assert!(make(&world, "b").await.plan.is_empty(), "killed after {calls}");
        }
    }
}
