//! Network load balancers: their nodes' rules, and what reaches whom through them.

use localcloud::world::{
    BalancerNode, HealthCheck, Listener, LoadBalancer, Target, TargetGroup, TargetHealth, World,
};
use localcloud::{appliance, balancer, firewall, network};
use snapbox::{assert_data_eq, file};

use crate::fixture::world;

const FIRST: &str = "i-00000000000000002";
const SECOND: &str = "i-00000000000000003";

/// The fixture's world with a load balancer in both subnets, port 443 of which leads to port 8443 of both nodes.
pub(crate) fn balanced() -> World {
    let mut world = world();
    let node = |interface: &str, subnet: &str, zone: &str, private: [u8; 4], public: [u8; 4]| BalancerNode {
        network_interface: interface.to_owned(),
        subnet: subnet.to_owned(),
        zone: zone.to_owned(),
        private_ip: private.into(),
        public_ip: Some(public.into()),
    };
    world.load_balancers = vec![LoadBalancer {
        arn: "arn:balancer".to_owned(),
        vpc: "vpc-1".to_owned(),
        dns_name: "api-1.elb.us-east-1.amazonaws.com".to_owned(),
        security_groups: Vec::new(),
        nodes: vec![
            node("eni-0000000000000000a", "subnet-1", "us-east-1a", [172, 20, 32, 210], [198, 51, 100, 90]),
            node("eni-0000000000000000b", "subnet-2", "us-east-1b", [172, 20, 64, 210], [198, 51, 100, 91]),
        ],
        listeners: vec![Listener { port: 443, target_group: "arn:targets".to_owned() }],
    }];
    let target = |id: &str, address: [u8; 4], zone: &str| Target {
        id: id.to_owned(),
        address: address.into(),
        port: 8443,
        zone: Some(zone.to_owned()),
        health: TargetHealth::Healthy,
    };
    world.target_groups = vec![TargetGroup {
        arn: "arn:targets".to_owned(),
        preserve_client_ip: true,
        sticky: false,
        cross_zone: true,
        terminate_drained: true,
        terminate_unhealthy: true,
        health_check: HealthCheck {
            protocol: "TCP".to_owned(),
            port: None,
            path: None,
            matcher: None,
            interval: 0.2,
            timeout: 0.15,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        },
        targets: vec![
            target(FIRST, [172, 20, 32, 12], "us-east-1a"),
            target(SECOND, [172, 20, 64, 13], "us-east-1b"),
        ],
    }];
    let open = world.security_groups[0].egress.clone();
    world.security_groups[1].ingress.clone_from(&open);
    world.security_groups[1].egress = open;
    // Both subnets are public.
    world.subnets[1].routes = vec![world.subnets[0].routes[0].clone()];
    world
}

#[test]
fn a_node_hands_on_by_a_hash_and_the_router_knows_the_way_back() {
    let mut world = balanced();
    world.load_balancers[0].security_groups = vec!["sg-nodes".to_owned()];
    let nodes = appliance::of_vpc(&world, "vpc-1");
    let mut text = nodes[0].ruleset.clone();
    world.target_groups[0].preserve_client_ip = false;
    world.target_groups[0].cross_zone = false;
    text.push_str(&appliance::of_vpc(&world, "vpc-1")[0].ruleset);
    let mut tables = network::Numbers::starting_at(1000);
    let settings = network::commands(&network::settings(&world, &world.vpcs[0], &mut tables));
    let rules = firewall::render(&world, &world.vpcs[0]);
    for line in settings.lines().chain(rules.lines()) {
        if line.contains("e-00000000000a") || line.contains("mark") {
            text.extend([line, "\n"]);
        }
    }
    assert_data_eq!(text, file!["golden/balancer.txt"].raw());
}

#[test]
fn its_name_is_that_of_the_nodes_with_a_healthy_target_or_of_all() {
    let mut world = balanced();
    world.target_groups[0].cross_zone = false;
    let addresses = |world: &World, zone: Option<&str>| {
        let found = balancer::addresses(world, &world.load_balancers[0], zone);
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(addresses(&world, None), ["198.51.100.90", "198.51.100.91"]);
    assert_eq!(addresses(&world, Some("us-east-1b")), ["198.51.100.91"]);
    world.target_groups[0].targets[0].health = TargetHealth::Unhealthy;
    assert_eq!(addresses(&world, None), ["198.51.100.91"]);
    world.target_groups[0].targets[1].health = TargetHealth::Unhealthy;
    assert_eq!(addresses(&world, None), ["198.51.100.90", "198.51.100.91"], "it fails open");
    world.load_balancers[0].nodes[0].public_ip = None;
    assert_eq!(addresses(&world, Some("us-east-1a")), ["172.20.32.210"]);
}

#[test]
fn connections_end_with_an_unhealthy_target_and_with_one_that_has_drained_if_its_group_says_so() {
    let before = balanced();
    let open = |world: &World| appliance::of_vpc(world, "vpc-1")[0].open.clone();
    let ended = |change: &dyn Fn(&mut TargetGroup)| {
        let (mut old, mut after) = (before.clone(), before.clone());
        change(&mut after.target_groups[0]);
        // Its attributes were the same before.
        old.target_groups[0].terminate_drained = after.target_groups[0].terminate_drained;
        appliance::ended(&open(&old), &open(&after)).len()
    };
    assert_eq!(ended(&|_| {}), 0);
    assert_eq!(ended(&|group| group.targets[0].health = TargetHealth::Draining), 0);
    assert_eq!(ended(&|group| group.targets[0].health = TargetHealth::Unhealthy), 1);
    let none_left = |group: &mut TargetGroup| {
        group.targets.iter_mut().for_each(|target| target.health = TargetHealth::Unhealthy);
    };
    assert_eq!(ended(&none_left), 0, "both go on being served");
    assert_eq!(ended(&|group| drop(group.targets.remove(0))), 1);
    let patient = |group: &mut TargetGroup| {
        group.terminate_drained = false;
        group.targets.remove(0);
    };
    assert_eq!(ended(&patient), 0);
}

mod with_root {
    use std::collections::BTreeSet;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::time::{Duration, Instant};

    use localcloud::health::Checks;
    use localcloud::namespace::Namespace;
    use localcloud::region;
    use localcloud::world::{Permission, TargetHealth, World};

    use super::{FIRST, SECOND, balanced};
    use crate::connected::{Cloud, PATIENCE, reaches};
    use crate::fixture::Region;

    const CLIENT: &str = "i-00000000000000001";
    const PUBLIC: [&str; 2] = ["198.51.100.90:443", "198.51.100.91:443"];
    const INTERNAL: [&str; 2] = ["172.20.32.210:443", "172.20.64.210:443"];

    /// Says who it is and whom it sees to everyone who connects, and then whatever it is told.
    fn speak(cloud: &Cloud, id: &'static str) {
        let listener = cloud.of_instance(id).listen(Ipv4Addr::UNSPECIFIED, 8443).unwrap();
        listener.set_nonblocking(false).unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let peer = connection.peer_addr().unwrap().ip();
                std::thread::spawn(move || {
                    let _ = writeln!(connection, "{id} {peer}");
                    let mut told = BufReader::new(connection.try_clone().unwrap()).lines();
                    while let Some(Ok(line)) = told.next() {
                        let _ = writeln!(connection, "{line}");
                    }
                });
            }
        });
    }

    struct Conversation {
        connection: TcpStream,
        answers: BufReader<TcpStream>,
    }

    impl Conversation {
        fn open(from: &Namespace, to: &str) -> Option<Self> {
            let to: SocketAddr = to.parse().unwrap();
            let connection = from.inside("connect", || TcpStream::connect_timeout(&to, PATIENCE)).ok()?;
            connection.set_read_timeout(Some(PATIENCE)).unwrap();
            let answers = BufReader::new(connection.try_clone().unwrap());
            Some(Self { connection, answers })
        }

        fn hear(&mut self) -> std::io::Result<String> {
            let mut line = String::new();
            match self.answers.read_line(&mut line)? {
                0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(line.trim().to_owned()),
            }
        }

        fn say(&mut self, text: &str) -> std::io::Result<String> {
            writeln!(self.connection, "{text}")?;
            self.hear()
        }
    }

    /// Who answers, and whom it sees.
    fn ask(from: &Namespace, to: &str) -> Option<(String, String)> {
        let said = Conversation::open(from, to)?.hear().ok()?;
        let (id, peer) = said.split_once(' ').unwrap();
        Some((id.to_owned(), peer.to_owned()))
    }

    /// Who answers to a number of connections.
    fn who(from: &Namespace, to: &str) -> BTreeSet<String> {
        (0..20).map(|_| ask(from, to).map_or_else(String::new, |(id, _)| id)).collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    async fn cloud_of(world: &World) -> Cloud {
        let cloud = Cloud::of(world).await;
        speak(&cloud, FIRST);
        speak(&cloud, SECOND);
        cloud
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn connections_are_balanced_over_healthy_targets_which_see_the_client() {
        let mut world = balanced();
        let mut cloud = cloud_of(&world).await;
        let (internet, inside) = (cloud.network.internet(), cloud.of_instance(CLIENT));
        for address in PUBLIC {
            assert_eq!(who(&internet, address), set(&[FIRST, SECOND]), "{address}");
        }
        for address in INTERNAL {
            assert_eq!(who(&inside, address), set(&[FIRST, SECOND]), "{address}");
        }
        assert_eq!(ask(&internet, PUBLIC[0]).unwrap().1, "192.0.2.1");
        assert_eq!(ask(&inside, INTERNAL[0]).unwrap().1, "172.20.32.11");
        assert_eq!(
            ask(&inside, PUBLIC[0]).unwrap().1,
            "198.51.100.7",
            "by its public face, as anyone outside"
        );
        assert!(!reaches(&internet, "198.51.100.90", 8443), "no listener, no connection");
        world.target_groups[0].targets[0].health = TargetHealth::Unhealthy;
        cloud.apply(&world).await;
        assert_eq!(who(&internet, PUBLIC[0]), set(&[SECOND]));
        world.target_groups[0].targets[1].health = TargetHealth::Unhealthy;
        cloud.apply(&world).await;
        assert_eq!(who(&internet, PUBLIC[0]), set(&[FIRST, SECOND]), "none is healthy: it fails open");
        world.target_groups[0].targets[1].health = TargetHealth::Initial;
        cloud.apply(&world).await;
        assert_eq!(who(&internet, PUBLIC[0]), set(&[FIRST, SECOND]), "nor is one that isn't known yet");
        world.target_groups[0].targets.clear();
        cloud.apply(&world).await;
        assert_eq!(who(&internet, PUBLIC[0]), set(&[""]));
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn without_client_addresses_targets_see_the_load_balancer_and_may_call_themselves() {
        let mut world = balanced();
        world.target_groups[0].targets.truncate(1);
        let mut cloud = cloud_of(&world).await;
        let (internet, itself) = (cloud.network.internet(), cloud.of_instance(FIRST));
        assert_eq!(ask(&internet, PUBLIC[0]).unwrap().1, "192.0.2.1");
        assert_eq!(ask(&itself, INTERNAL[0]), None, "its own address comes back to it from outside");
        world.target_groups[0].preserve_client_ip = false;
        cloud.apply(&world).await;
        assert_eq!(ask(&internet, PUBLIC[0]).unwrap(), (FIRST.to_owned(), "172.20.32.210".to_owned()));
        assert_eq!(ask(&internet, PUBLIC[1]).unwrap().1, "172.20.64.210", "by the node's own address");
        assert_eq!(ask(&itself, INTERNAL[0]).unwrap().0, FIRST);
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn without_crossing_zones_each_node_serves_its_own() {
        let mut world = balanced();
        world.target_groups[0].cross_zone = false;
        let mut cloud = cloud_of(&world).await;
        let internet = cloud.network.internet();
        assert_eq!(who(&internet, PUBLIC[0]), set(&[FIRST]));
        assert_eq!(who(&internet, PUBLIC[1]), set(&[SECOND]));
        world.target_groups[0].cross_zone = true;
        cloud.apply(&world).await;
        assert_eq!(who(&internet, PUBLIC[0]), set(&[FIRST, SECOND]));
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_sticky_client_stays_with_its_target() {
        let mut world = balanced();
        world.target_groups[0].sticky = true;
        let cloud = cloud_of(&world).await;
        assert_eq!(who(&cloud.network.internet(), PUBLIC[0]).len(), 1);
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn an_internal_load_balancer_is_reached_from_its_vpc_alone() {
        let mut world = balanced();
        world.load_balancers[0].nodes.iter_mut().for_each(|node| node.public_ip = None);
        let cloud = cloud_of(&world).await;
        let internet = cloud.network.internet();
        for address in PUBLIC.iter().chain(&INTERNAL) {
            assert_eq!(ask(&internet, address), None, "{address}");
        }
        assert_eq!(who(&cloud.of_instance(CLIENT), INTERNAL[1]), set(&[FIRST, SECOND]));
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_target_that_drains_keeps_what_is_open_until_it_is_gone() {
        let mut world = balanced();
        let mut cloud = cloud_of(&world).await;
        let internet = cloud.network.internet();
        let mut open = conversation_with(&internet, FIRST);
        world.target_groups[0].targets[0].health = TargetHealth::Draining;
        cloud.apply(&world).await;
        assert_eq!(who(&internet, PUBLIC[0]), set(&[SECOND]), "nothing new");
        assert_eq!(open.say("still there?").unwrap(), "still there?");
        world.target_groups[0].targets.remove(0);
        cloud.apply(&world).await;
        let ended = open.say("and now?").unwrap_err();
        assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn an_unhealthy_target_loses_its_connections_where_its_group_says_so() {
        for (terminate, goes_on) in [(false, true), (true, false)] {
            let mut world = balanced();
            world.target_groups[0].terminate_unhealthy = terminate;
            let mut cloud = cloud_of(&world).await;
            let mut open = conversation_with(&cloud.network.internet(), FIRST);
            world.target_groups[0].targets[0].health = TargetHealth::Unhealthy;
            cloud.apply(&world).await;
            assert_eq!(open.say("still there?").is_ok(), goes_on);
        }
    }

    fn conversation_with(from: &Namespace, id: &str) -> Conversation {
        for _ in 0..50 {
            let mut conversation = Conversation::open(from, PUBLIC[0]).unwrap();
            if conversation.hear().unwrap().starts_with(id) {
                return conversation;
            }
        }
        panic!("{id} never answers");
    }

    fn tcp(port: i32, cidrs: &[&str], groups: &[&str]) -> Vec<Permission> {
        vec![Permission {
            protocol: "tcp".to_owned(),
            from: Some(port),
            to: Some(port),
            cidrs: cidrs.iter().map(|&cidr| cidr.to_owned()).collect(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        }]
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn the_load_balancer_s_and_the_targets_security_groups_hold_both() {
        let mut world = balanced();
        // What was the group without rules is the load balancer's; the targets take from its members alone.
        world.load_balancers[0].security_groups = vec!["sg-empty".to_owned()];
        world.security_groups[2].ingress = tcp(443, &["192.0.2.0/24"], &[]);
        world.security_groups[2].egress = tcp(8443, &[], &["sg-nodes"]);
        world.security_groups[1].ingress = tcp(8443, &[], &["sg-empty"]);
        let mut cloud = cloud_of(&world).await;
        let (internet, inside) = (cloud.network.internet(), cloud.of_instance(CLIENT));
        assert_eq!(who(&internet, PUBLIC[0]), set(&[FIRST, SECOND]));
        assert_eq!(ask(&inside, INTERNAL[0]), None, "the load balancer's group doesn't name this client");
        assert!(!reaches(&inside, "172.20.32.12", 8443), "past the load balancer nothing comes");
        world.security_groups[2].ingress = tcp(443, &[], &["sg-masters"]);
        cloud.apply(&world).await;
        assert!(ask(&inside, INTERNAL[0]).is_some(), "it is named by its group");
        assert_eq!(ask(&internet, PUBLIC[0]), None);
        world.security_groups[1].ingress = tcp(8443, &[], &["sg-masters"]);
        cloud.apply(&world).await;
        assert_eq!(ask(&inside, INTERNAL[0]), None, "targets can't name clients by their group");
        world.security_groups[1].ingress = tcp(8443, &["172.20.32.11/32"], &[]);
        cloud.apply(&world).await;
        assert!(ask(&inside, INTERNAL[0]).is_some(), "but by their address");
        world.security_groups[2].egress = tcp(8444, &[], &["sg-nodes"]);
        cloud.apply(&world).await;
        assert_eq!(ask(&inside, INTERNAL[0]), None, "the load balancer may not send there");
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_private_client_reaches_a_public_load_balancer_through_its_nat_gateway() {
        let mut world = balanced();
        world.nat_gateways = vec![localcloud::world::NatGateway {
            id: "nat-00000000000000001".to_owned(),
            vpc: "vpc-1".to_owned(),
            subnet: "subnet-1".to_owned(),
            private_ip: [172, 20, 32, 200].into(),
            public_ip: Some([198, 51, 100, 77].into()),
        }];
        world.subnets[1].routes[0].target = "nat-00000000000000001".to_owned();
        let cloud = cloud_of(&world).await;
        let asked: BTreeSet<_> = (0..20).map(|_| ask(&cloud.of_instance(SECOND), PUBLIC[0])).collect();
        let answer = |id: &str| Some((id.to_owned(), "198.51.100.77".to_owned()));
        assert_eq!(asked, BTreeSet::from([answer(FIRST), answer(SECOND)]), "itself, too, from outside");
    }

    /// Waits until the region's world has a target of this health.
    async fn until(region: &Region, target: usize, health: TargetHealth) -> Duration {
        let began = Instant::now();
        region
            .until(&format!("{target} is {health:?}"), |world| {
                world.target_groups[0].targets[target].health == health
            })
            .await;
        began.elapsed()
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn health_checks_are_made_with_real_packets_and_take_their_thresholds() {
        let mut world = balanced();
        for target in &mut world.target_groups[0].targets {
            target.health = TargetHealth::Initial;
        }
        // The second one's security group doesn't let checks in; the first one's does.
        world.security_groups[1].ingress = tcp(8443, &["172.20.32.210/32"], &[]);
        let region = Region::serve(world.clone()).await;
        let mut cloud = Cloud::of(&world).await;
        let listener = cloud.of_instance(FIRST).listen(Ipv4Addr::UNSPECIFIED, 8443).unwrap();
        speak(&cloud, SECOND);
        let mut checks = Checks::new(&cloud.name, region::Region::at(region.address));
        checks.follow(&world);
        let took = until(&region, 0, TargetHealth::Healthy).await;
        assert!(took < Duration::from_millis(180), "a new one takes one check, {took:?}");
        until(&region, 1, TargetHealth::Unhealthy).await;
        world.security_groups[1].ingress = tcp(8443, &["172.20.0.0/16"], &[]);
        cloud.apply(&world).await;
        until(&region, 1, TargetHealth::Healthy).await;
        drop(listener);
        until(&region, 0, TargetHealth::Unhealthy).await;
        let _back = cloud.of_instance(FIRST).listen(Ipv4Addr::UNSPECIFIED, 8443).unwrap();
        let took = until(&region, 0, TargetHealth::Healthy).await;
        assert!(took >= Duration::from_millis(180), "one that was unhealthy takes two, {took:?}");
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn health_checks_over_http_go_by_the_status() {
        let mut world = balanced();
        world.target_groups[0].targets.truncate(1);
        world.target_groups[0].targets[0].health = TargetHealth::Initial;
        let how = &mut world.target_groups[0].health_check;
        how.protocol = "HTTP".to_owned();
        how.path = Some("/healthz".to_owned());
        (how.port, how.interval, how.timeout) = (Some(10256), 0.4, 2.0);
        let region = Region::serve(world.clone()).await;
        let cloud = Cloud::of(&world).await;
        let listener = cloud.of_instance(FIRST).listen(Ipv4Addr::UNSPECIFIED, 10256).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (well, status) = tokio::sync::watch::channel(true);
        let answer = move || async move {
            if *status.borrow() {
                axum::http::StatusCode::OK
            } else {
                axum::http::StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let service = axum::Router::new().route("/healthz", axum::routing::get(answer));
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let mut checks = Checks::new(&cloud.name, region::Region::at(region.address));
        checks.follow(&world);
        until(&region, 0, TargetHealth::Healthy).await;
        well.send_replace(false);
        until(&region, 0, TargetHealth::Unhealthy).await;
    }
}
