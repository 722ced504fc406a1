//! Private subnets: the way out through a NAT gateway, S3's own way, and a bastion's way in.

use localcloud::world::{NatGateway, Route, World};
use localcloud::{appliance, firewall, network};
use snapbox::{assert_data_eq, file};

use crate::fixture::world;

const GATEWAY: &str = "nat-00000000000000001";

/// The fixture's world with a NAT gateway in the public subnet, to which the private one's route table leads.
fn private() -> World {
    let mut world = world();
    world.nat_gateways = vec![NatGateway {
        id: GATEWAY.to_owned(),
        vpc: "vpc-1".to_owned(),
        subnet: "subnet-1".to_owned(),
        private_ip: [172, 20, 32, 200].into(),
        public_ip: Some([198, 51, 100, 77].into()),
    }];
    world.subnets[1].routes = vec![route("0.0.0.0/0", GATEWAY)];
    let anything = world.security_groups[0].egress.clone();
    world.security_groups[1].egress = anything;
    world
}

fn route(destination: &str, target: &str) -> Route {
    Route { destination: destination.to_owned(), target: target.to_owned() }
}

#[test]
fn a_nat_gateway_is_a_link_with_a_table_and_a_translation_of_its_own() {
    let world = private();
    let mut tables = network::Numbers::starting_at(1000);
    let mut text = network::commands(&network::settings(&world, &world.vpcs[0], &mut tables));
    for line in firewall::render(&world, &world.vpcs[0]).lines() {
        if line.contains("n-000000000001") || line.contains("198.51.100.77") {
            text.extend([line, "\n"]);
        }
    }
    text.push_str(&appliance::of_vpc(&world, "vpc-1")[0].ruleset);
    assert_data_eq!(text, file!["golden/nat.txt"].raw());
}

#[test]
fn a_route_to_a_gateway_endpoint_is_a_route_to_s3_alone() {
    let mut world = private();
    world.subnets[1].routes.push(route("pl-63a5400a", "vpce-1"));
    let mut tables = network::Numbers::starting_at(1000);
    let commands = network::commands(&network::settings(&world, &world.vpcs[0], &mut tables));
    assert!(
        commands.contains("route replace 192.0.2.254/32 via 192.0.2.1 dev s3 onlink table 1001"),
        "{commands}"
    );
}

mod with_root {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

    use localcloud::namespace::Namespace;
    use localcloud::network::{ENDPOINT, S3_ENDPOINT};
    use localcloud::world::Permission;

    use super::{GATEWAY, private, route};
    use crate::connected::{Cloud, PATIENCE, reaches};

    const BASTION: &str = "i-00000000000000001";
    const NEIGHBOUR: &str = "i-00000000000000002";
    const PRIVATE: &str = "i-00000000000000003";
    const BLOCKING: bool = false;

    /// Whom a listener of the Internet sees when an instance connects; nobody if it doesn't get through.
    fn seen_as(from: &Namespace, listener: &TcpListener) -> Option<String> {
        let to = listener.local_addr().unwrap();
        let connection = from.inside("connect", || TcpStream::connect_timeout(&to, PATIENCE)).ok()?;
        listener.set_nonblocking(BLOCKING).unwrap();
        let (mut accepted, peer) = listener.accept().unwrap();
        accepted.write_all(b"!").unwrap();
        let mut answer = [0; 1];
        (&connection).read_exact(&mut answer).unwrap();
        Some(peer.ip().to_string())
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_private_instance_goes_out_as_its_nat_gateway_and_nothing_comes_in() {
        let mut cloud = Cloud::of(&private()).await;
        let outside = cloud.network.internet().listen(ENDPOINT, 4566).unwrap();
        cloud.listen(PRIVATE, 8080);
        assert_eq!(seen_as(&cloud.of_instance(PRIVATE), &outside).unwrap(), "198.51.100.77");
        assert_eq!(seen_as(&cloud.of_instance(BASTION), &outside).unwrap(), "198.51.100.7", "not through it");
        let internet = cloud.network.internet();
        assert!(!reaches(&internet, "198.51.100.77", 8080), "nothing behind the gateway is offered");
        assert!(!reaches(&internet, "172.20.64.13", 8080), "a private address is no address outside");
        assert!(
            !reaches(&cloud.of_instance(NEIGHBOUR), "172.20.32.200", 8080),
            "nor is the gateway one inside"
        );
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_private_subnet_follows_its_route_table_as_it_changes() {
        let mut world = private();
        let mut cloud = Cloud::of(&world).await;
        let outside = cloud.network.internet().listen(ENDPOINT, 4566).unwrap();
        let inside = cloud.of_instance(PRIVATE);
        let opened = inside.inside("connect", || TcpStream::connect((ENDPOINT, 4566))).unwrap();
        outside.set_nonblocking(BLOCKING).unwrap();
        let (mut far, _) = outside.accept().unwrap();
        world.subnets[1].routes.clear();
        cloud.apply(&world).await;
        assert!(!reaches(&inside, "192.0.2.1", 4566), "the route is deleted");
        opened.set_read_timeout(Some(PATIENCE)).unwrap();
        (&opened).write_all(b"?").unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(far.read(&mut [0; 1]).is_err(), "what was open doesn't get through either");
        world.subnets[1].routes = vec![route("0.0.0.0/0", GATEWAY)];
        cloud.apply(&world).await;
        assert!(reaches(&inside, "192.0.2.1", 4566));
        world.subnets[0].routes.clear();
        cloud.apply(&world).await;
        assert!(!reaches(&inside, "192.0.2.1", 4566), "the gateway's own subnet has no way out");
        world.subnets[0].routes = vec![route("0.0.0.0/0", "igw-1")];
        cloud.apply(&world).await;
        assert!(reaches(&inside, "192.0.2.1", 4566));
        world.nat_gateways.clear();
        cloud.apply(&world).await;
        assert!(!reaches(&inside, "192.0.2.1", 4566), "the gateway is deleted, its route is a black hole");
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn each_zone_goes_out_through_its_own_nat_gateway() {
        let mut world = private();
        let mut other = world.nat_gateways[0].clone();
        other.id = "nat-00000000000000002".to_owned();
        other.private_ip = [172, 20, 32, 201].into();
        other.public_ip = Some([198, 51, 100, 78].into());
        world.subnets.push(world.subnets[1].clone());
        world.subnets[2].id = "subnet-3".to_owned();
        world.subnets[2].cidr = "172.20.96.0/19".parse().unwrap();
        world.subnets[2].routes[0].target.clone_from(&other.id);
        world.nat_gateways.push(other);
        world.instances[1].subnet = "subnet-3".to_owned();
        world.instances[1].private_ip = [172, 20, 96, 12].into();
        world.instances[1].public_ips.clear();
        let cloud = Cloud::of(&world).await;
        let outside = cloud.network.internet().listen(ENDPOINT, 4566).unwrap();
        assert_eq!(seen_as(&cloud.of_instance(PRIVATE), &outside).unwrap(), "198.51.100.77");
        assert_eq!(seen_as(&cloud.of_instance(NEIGHBOUR), &outside).unwrap(), "198.51.100.78");
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn s3_has_its_own_way_through_a_gateway_endpoint() {
        let mut world = private();
        world.subnets[1].routes = vec![route("pl-63a5400a", "vpce-1")];
        let mut cloud = Cloud::of(&world).await;
        let others = cloud.network.internet().listen(ENDPOINT, 4566).unwrap();
        let s3 = cloud.network.internet().listen(S3_ENDPOINT, 4566).unwrap();
        let inside = cloud.of_instance(PRIVATE);
        assert!(seen_as(&inside, &s3).unwrap().starts_with("192.0.2."), "through no gateway");
        assert_eq!(seen_as(&inside, &others), None, "there is no other way out");
        world.subnets[1].routes = vec![route("0.0.0.0/0", GATEWAY)];
        cloud.apply(&world).await;
        assert_eq!(seen_as(&inside, &s3).unwrap(), "198.51.100.77", "without an endpoint it is as any other");
        world.subnets[1].routes.push(route("pl-63a5400a", "vpce-1"));
        cloud.apply(&world).await;
        assert!(seen_as(&inside, &s3).unwrap().starts_with("192.0.2."));
        assert_eq!(seen_as(&inside, &others).unwrap(), "198.51.100.77");
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_private_instance_is_reached_through_a_bastion_alone() {
        let mut world = private();
        let ssh = |cidrs: &[&str], groups: &[&str]| Permission {
            protocol: "tcp".to_owned(),
            from: Some(22),
            to: Some(22),
            cidrs: cidrs.iter().map(|&cidr| cidr.to_owned()).collect(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        };
        world.security_groups[0].ingress = vec![ssh(&["192.0.2.0/24"], &[])];
        world.security_groups[1].ingress = vec![ssh(&[], &["sg-masters"])];
        let mut cloud = Cloud::of(&world).await;
        cloud.listen(PRIVATE, 22);
        // The bastion hands on what it is sent, as `ssh -J` has it do.
        let door = cloud.of_instance(BASTION).listen(Ipv4Addr::UNSPECIFIED, 22).unwrap();
        door.set_nonblocking(BLOCKING).unwrap();
        let (internet, bastion) = (cloud.network.internet(), cloud.of_instance(BASTION));
        let handed_on = std::thread::spawn(move || {
            drop(door.accept().unwrap());
            reaches(&bastion, "172.20.64.13", 22)
        });
        let to: SocketAddr = "198.51.100.7:22".parse().unwrap();
        assert!(internet.inside("connect", || TcpStream::connect_timeout(&to, PATIENCE)).is_ok());
        assert!(handed_on.join().unwrap(), "from the bastion on, by its group");
        assert!(!reaches(&internet, "172.20.64.13", 22), "not from outside");
        assert!(!reaches(&cloud.of_instance(NEIGHBOUR), "172.20.64.13", 22), "not from another instance");
    }
}
