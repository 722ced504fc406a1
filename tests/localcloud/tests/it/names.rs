//! Names: of load balancers, and of Route 53's zones, inside VPCs and outside.

use localcloud::resolver::{Found, look_up};
use localcloud::world::{Record, World, Zone};

use crate::balancer::balanced;

const BALANCER: &str = "api-1.elb.us-east-1.amazonaws.com";

fn record(name: &str, kind: &str, values: &[&str], alias: Option<&str>) -> Record {
    Record {
        name: name.to_owned(),
        kind: kind.to_owned(),
        values: values.iter().map(|&value| value.to_owned()).collect(),
        alias: alias.map(str::to_owned),
    }
}

/// A load balancer, a public zone, and a private one of the same name that is of `vpc-1` alone.
fn named() -> World {
    let mut world = balanced();
    let public = vec![
        record("example.com.", "NS", &["ns-1.awsdns.com."], None),
        record("api.example.com.", "A", &[], Some(&format!("dualstack.{BALANCER}."))),
        record("www.example.com.", "CNAME", &["api.example.com."], None),
        record("one.example.com.", "A", &["198.51.100.7", "198.51.100.8"], None),
        record("\\052.apps.example.com.", "A", &["198.51.100.9"], None),
        record("round.example.com.", "CNAME", &["round.example.com"], None),
    ];
    let private = vec![
        record("api.example.com.", "A", &["172.20.32.10"], None),
        record("api.internal.example.com.", "A", &["172.20.32.10"], None),
    ];
    world.zones = vec![
        Zone { name: "example.com.".to_owned(), vpcs: None, records: public },
        Zone { name: "example.com.".to_owned(), vpcs: Some(vec!["vpc-1".to_owned()]), records: private },
    ];
    world
}

fn addresses(world: &World, vpc: Option<&str>, name: &str) -> Option<Vec<String>> {
    let found = look_up(world, vpc, name)?;
    Some(found.addresses.iter().map(ToString::to_string).collect())
}

fn list(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|&address| address.to_owned()).collect()
}

#[test]
fn a_load_balancer_s_name_and_its_aliases_lead_to_its_nodes_inside_and_outside() {
    let world = named();
    let nodes = Some(list(&["198.51.100.90", "198.51.100.91"]));
    for vpc in [None, Some("vpc-1"), Some("vpc-2")] {
        assert_eq!(addresses(&world, vpc, BALANCER), nodes);
        let zonal = format!("us-east-1b.{}.", BALANCER.to_uppercase());
        assert_eq!(addresses(&world, vpc, &zonal), Some(list(&["198.51.100.91"])));
        assert_eq!(addresses(&world, vpc, &format!("us-east-1c.{BALANCER}")), None);
        assert_eq!(addresses(&world, vpc, &format!("x{BALANCER}")), None);
    }
    assert_eq!(addresses(&world, None, "api.example.com"), nodes);
    let found = look_up(&world, None, "www.example.com").unwrap();
    assert_eq!(found.names, ["api.example.com"]);
    assert_eq!(found.addresses.len(), 2);
}

#[test]
fn a_private_zone_is_for_its_vpcs_alone_and_hides_the_public_one_there() {
    let world = named();
    assert_eq!(addresses(&world, Some("vpc-1"), "api.example.com"), Some(list(&["172.20.32.10"])));
    assert_eq!(addresses(&world, Some("vpc-1"), "api.internal.example.com"), Some(list(&["172.20.32.10"])));
    assert_eq!(addresses(&world, Some("vpc-1"), "one.example.com"), None, "the public zone isn't asked");
    for vpc in [None, Some("vpc-2")] {
        assert_eq!(addresses(&world, vpc, "api.internal.example.com"), None);
        assert_eq!(addresses(&world, vpc, "one.example.com"), Some(list(&["198.51.100.7", "198.51.100.8"])));
    }
}

#[test]
fn other_names_are_found_as_their_zones_say() {
    let world = named();
    assert_eq!(addresses(&world, None, "x.apps.example.com"), Some(list(&["198.51.100.9"])));
    assert_eq!(addresses(&world, None, "apps.example.com"), None);
    assert_eq!(
        look_up(&world, None, "example.com"),
        Some(Found::default()),
        "it is there, without an address"
    );
    assert_eq!(look_up(&world, None, "round.example.com"), None);
    assert_eq!(look_up(&world, None, "example.org"), None);
    let own = "ip-172-20-32-11.ec2.internal";
    assert_eq!(addresses(&world, Some("vpc-1"), own), Some(list(&["172.20.32.11"])));
    assert_eq!(addresses(&world, None, own), None);
}

mod with_root {
    use std::process::Command;
    use std::sync::Arc;

    use localcloud::firewall;
    use localcloud::network::RESOLVER;
    use localcloud::resolver::Resolver;

    use super::{BALANCER, named};
    use crate::connected::Cloud;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs root"]
    async fn names_are_resolved_inside_and_outside_by_what_any_program_asks() {
        let world = named();
        let cloud = Cloud::of(&world).await;
        let resolver = Resolver::default();
        resolver.set_world(Arc::new(world.clone()));
        let (internet, router) = (cloud.network.internet(), cloud.of_instance("vpc-1"));
        for (namespace, address, vpc) in [
            (&internet, RESOLVER, None),
            (&router, firewall::resolver(world.vpcs[0].cidr), Some("vpc-1".to_owned())),
        ] {
            let socket = tokio::net::UdpSocket::from_std(namespace.bind_udp(address, 53).unwrap()).unwrap();
            tokio::spawn(resolver.clone().serve(vpc, socket));
        }
        // An instance's own file is its disk's; here it has none.
        let instance = cloud.of_instance("i-00000000000000001");
        instance.resolve_by(firewall::resolver(world.vpcs[0].cidr)).unwrap();
        let ask = |name: &str, namespace: &str| {
            let mut command = Command::new("ip");
            let output =
                command.args(["netns", "exec", namespace, "getent", "ahostsv4", name]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let mut found: Vec<String> =
                text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
            found.sort();
            found.dedup();
            found
        };
        let nodes = ["198.51.100.90", "198.51.100.91"];
        assert_eq!(ask(BALANCER, internet.name()), nodes);
        assert_eq!(ask("www.example.com", internet.name()), nodes);
        assert_eq!(ask(BALANCER, instance.name()), nodes);
        assert_eq!(ask("api.example.com", instance.name()), ["172.20.32.10"]);
        assert!(ask("example.org", internet.name()).is_empty());
    }
}
