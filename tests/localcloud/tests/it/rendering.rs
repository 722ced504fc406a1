//! The pure parts: packet rules, routes and metadata of one world, as readable files.

use localcloud::world::{Interruption, World};
use localcloud::{firewall, metadata, network};
use serde_json::json;
use snapbox::{assert_data_eq, file};

use crate::fixture::world;

#[test]
fn a_router_s_packet_rules_are_the_world_s_security_groups_and_addresses() {
    let world = world();
    assert_data_eq!(firewall::render(&world, &world.vpcs[0]), file!["golden/firewall.nft"].raw());
}

#[test]
fn the_world_that_the_readme_describes_is_understood() {
    let readme = include_str!("../../README.md");
    let example = readme.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let world: localcloud::world::World = serde_json::from_str(example).unwrap();
    assert_eq!(world.instances[0].metadata.tokens, "required");
    let firewall = firewall::render(&world, &world.vpcs[0]);
    assert!(firewall.contains("tcp dport 443 accept"), "{firewall}");
}

#[test]
fn a_vpc_without_a_gateway_translates_nothing() {
    let mut world = world();
    world.vpcs[0].internet_gateway = None;
    let rules = firewall::render(&world, &world.vpcs[0]);
    assert!(!rules.contains("198.51.100.7"), "{rules}");
}

#[test]
fn a_router_s_routes_follow_each_subnet_s_own_table() {
    let world = world();
    let mut tables = network::Numbers::starting_at(1000);
    let settings = network::settings(&world, &world.vpcs[0], &mut tables);
    assert_data_eq!(network::commands(&settings), file!["golden/router.ip"].raw());
}

#[test]
fn the_internet_knows_the_way_to_public_addresses_only() {
    let world = world();
    let settings = network::internet_settings(&world, &mut network::Numbers::starting_at(2));
    assert_data_eq!(network::commands(&settings), file!["golden/internet.ip"].raw());
}

#[test]
fn an_address_that_moves_is_replaced_in_place_and_never_without_a_way() {
    let before = world();
    let mut after = world();
    after.instances[0].secondary_private_ips.clear();
    after.instances[1].secondary_private_ips.push([172, 20, 32, 10].into());
    let mut tables = network::Numbers::starting_at(1000);
    let before = network::settings(&before, &before.vpcs[0], &mut tables);
    let after = network::settings(&after, &after.vpcs[0], &mut tables);
    let (first, set, last) = network::difference(&before, &after);
    assert_eq!(first, "");
    assert!(set.contains("route replace 172.20.32.10/32 dev i-000000000002"), "{set}");
    assert!(!last.contains("route"), "{last}");
}

#[test]
fn what_is_there_already_is_not_set_again() {
    let world = world();
    let mut tables = network::Numbers::starting_at(1000);
    let settings = network::settings(&world, &world.vpcs[0], &mut tables);
    assert_eq!(network::difference(&settings, &settings), Default::default());
}

#[test]
fn metadata_lists_what_ec2_lists() {
    let world = world();
    let credentials =
        json!({"Code": "Success", "AccessKeyId": "ASIA", "LastUpdated": "2026-11-21T01:02:04Z"});
    let tree = metadata::tree(&world, &world.instances[0], Some(&credentials));
    let mut text = String::new();
    for (path, value) in &tree {
        let value = String::from_utf8_lossy(value).replace('\n', "\n    ");
        text.extend([path, "\n    ", &value, "\n"]);
    }
    // Whatever this machine is.
    let text = text.replace("\"arm64\"", "\"x86_64\"");
    assert_data_eq!(text, file!["golden/metadata.txt"].raw());
}

#[test]
fn directories_are_listed_with_a_slash_and_unknown_paths_are_not_there() {
    let world = world();
    let tree = metadata::tree(&world, &world.instances[0], None);
    let list = |path: &str| metadata::look_up(&tree, path).map(|text| String::from_utf8(text).unwrap());
    assert_eq!(list("").unwrap(), "dynamic/\nmeta-data/\nuser-data");
    assert_eq!(list("meta-data/network/interfaces/macs/").unwrap(), "02:00:00:00:00:01/");
    assert_eq!(list("meta-data/public-keys/").unwrap(), "0=key");
    assert_eq!(list("meta-data/instance-id").unwrap(), "i-00000000000000001");
    assert_eq!(list("meta-data/spot/instance-action"), None);
    assert_eq!(list("meta-data/tags/instance"), None);
    let other = metadata::tree(&world, &world.instances[1], None);
    assert_eq!(metadata::look_up(&other, "user-data"), None);
    assert_eq!(metadata::look_up(&other, "meta-data/iam/info"), None);
}

#[test]
fn metadata_tells_what_is_going_to_happen_to_an_instance() {
    let mut world = world();
    world.instances[0].lifecycle = Some("spot".to_owned());
    let see = |world: &World, path: &str| {
        let tree = metadata::tree(world, &world.instances[0], None);
        metadata::look_up(&tree, path).map(|text| String::from_utf8(text).unwrap())
    };
    let (time, state) = ("2026-11-21T01:04:03Z", "meta-data/autoscaling/target-lifecycle-state");
    assert_eq!(see(&world, "meta-data/events"), None);
    assert_eq!(see(&world, state).unwrap(), "InService");
    assert_eq!(see(&world, "meta-data/instance-life-cycle").unwrap(), "spot");
    world.instances[0].rebalance = Some(time.to_owned());
    world.instances[0].target_lifecycle_state = Some("Terminated".to_owned());
    world.instances[0].interruption =
        Some(Interruption { action: "terminate".to_owned(), time: time.to_owned() });
    let notice = see(&world, "meta-data/spot/instance-action").unwrap();
    assert_eq!(notice, r#"{"action":"terminate","time":"2026-11-21T01:04:03Z"}"#);
    assert_eq!(see(&world, "meta-data/spot/termination-time").unwrap(), time);
    assert_eq!(see(&world, state).unwrap(), "Terminated");
    let recommendation = see(&world, "meta-data/events/recommendations/rebalance").unwrap();
    assert_eq!(recommendation, r#"{"noticeTime":"2026-11-21T01:04:03Z"}"#);
    world.instances[0].interruption.as_mut().unwrap().action = "stop".to_owned();
    assert_eq!(see(&world, "meta-data/spot/termination-time"), None);
}
