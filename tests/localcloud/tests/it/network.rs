//! The network itself, between namespaces: what reaches what, and as whom.

mod with_root {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::sync::Arc;

    use localcloud::imds::Metadata;
    use localcloud::namespace::Namespace;
    use localcloud::{firewall, region};

    use crate::connected::{Cloud, PATIENCE, reaches};
    use crate::fixture::{Region, world};

    const MASTER: &str = "i-00000000000000001";
    const NODE: &str = "i-00000000000000002";
    const PRIVATE_NODE: &str = "i-00000000000000003";
    /// Sends an HTTP request from inside a namespace; the whole answer, or none.
    fn ask(from: &Namespace, request: &str) -> Option<String> {
        let to = SocketAddr::from((firewall::METADATA, 80));
        let request = format!("{request}\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n");
        let answer = from.inside("ask", || {
            let mut connection = TcpStream::connect_timeout(&to, PATIENCE)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            connection.write_all(request.as_bytes())?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        });
        answer.ok()
    }

    fn token(from: &Namespace) -> Option<String> {
        let asked = "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60";
        let answer = ask(from, asked)?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.split("\r\n\r\n").nth(1).map(str::to_owned)
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_security_group_lets_pass_what_it_names_and_nothing_else() {
        let mut cloud = Cloud::of(&world()).await;
        for port in [80, 443, 2380] {
            cloud.listen(MASTER, port);
        }
        cloud.listen(NODE, 80);
        let internet = cloud.network.internet();
        assert!(reaches(&internet, "198.51.100.7", 443), "by address range");
        assert!(!reaches(&internet, "198.51.100.7", 80), "a port that no rule names");
        assert!(reaches(&cloud.of_instance(NODE), "172.20.32.11", 443), "by group");
        assert!(!reaches(&cloud.of_instance(NODE), "172.20.32.11", 2380), "another group's port");
        assert!(reaches(&cloud.of_instance(MASTER), "172.20.32.12", 80), "every port, by group");
        assert!(
            !reaches(&cloud.of_instance(NODE), "198.51.100.7", 443),
            "a group isn't meant by its public face"
        );
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn egress_rules_hold_back_what_they_do_not_name() {
        let mut cloud = Cloud::of(&world()).await;
        cloud.listen(PRIVATE_NODE, 9000);
        cloud.listen(PRIVATE_NODE, 9001);
        assert!(reaches(&cloud.of_instance(NODE), "172.20.64.13", 9000));
        assert!(!reaches(&cloud.of_instance(NODE), "172.20.64.13", 9001));
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_public_address_follows_its_association_and_is_the_sender_s_too() {
        let mut world = world();
        world.security_groups[1].ingress[0].cidrs.push("0.0.0.0/0".to_owned());
        let mut cloud = Cloud::of(&world).await;
        cloud.listen(MASTER, 443);
        cloud.listen(NODE, 8080);
        let internet = cloud.network.internet();
        assert!(!reaches(&internet, "198.51.100.7", 8080));
        let address = world.instances[0].public_ips.remove(&Ipv4Addr::new(172, 20, 32, 11)).unwrap();
        world.instances[1].public_ips.insert(Ipv4Addr::new(172, 20, 32, 12), address);
        cloud.apply(&world).await;
        assert!(reaches(&internet, "198.51.100.7", 8080));
        assert!(!reaches(&internet, "198.51.100.9", 8080), "the address it had before");
        let outside = internet.listen(Ipv4Addr::new(192, 0, 2, 1), 4566).unwrap();
        assert!(reaches(&cloud.of_instance(NODE), "192.0.2.1", 4566));
        outside.set_nonblocking(false).unwrap();
        assert_eq!(outside.accept().unwrap().1.ip().to_string(), "198.51.100.7");
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_connection_through_a_public_address_that_moved_is_refused_at_once() {
        let mut world = world();
        world.security_groups[1].ingress[0].cidrs.push("0.0.0.0/0".to_owned());
        let mut cloud = Cloud::of(&world).await;
        cloud.listen(MASTER, 443);
        let internet = cloud.network.internet();
        let connect = || TcpStream::connect_timeout(&"198.51.100.7:443".parse().unwrap(), PATIENCE);
        let mut connection = internet.inside("connect", connect).unwrap();
        let address = world.instances[0].public_ips.remove(&Ipv4Addr::new(172, 20, 32, 11)).unwrap();
        world.instances[1].public_ips.insert(Ipv4Addr::new(172, 20, 32, 12), address);
        cloud.apply(&world).await;
        connection.write_all(b"still there?").unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = connection.read(&mut [0; 1]).unwrap_err();
        assert_eq!(answer.kind(), std::io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn without_a_public_address_or_a_route_there_is_no_way_out() {
        let mut world = world();
        let cloud = Cloud::of(&world).await;
        let endpoint = cloud.network.internet().listen(Ipv4Addr::new(192, 0, 2, 1), 4566).unwrap();
        assert!(reaches(&cloud.of_instance(MASTER), "192.0.2.1", 4566));
        assert!(!reaches(&cloud.of_instance(PRIVATE_NODE), "192.0.2.1", 4566));
        world.subnets[0].routes.clear();
        let mut cloud = cloud;
        cloud.apply(&world).await;
        assert!(!reaches(&cloud.of_instance(MASTER), "192.0.2.1", 4566));
        drop(endpoint);
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_secondary_address_is_delivered_where_the_world_says() {
        let mut world = world();
        let mut cloud = Cloud::of(&world).await;
        cloud.listen(MASTER, 443);
        cloud.listen(NODE, 443);
        let from = cloud.of_instance(NODE);
        assert!(!reaches(&from, "172.20.32.10", 443), "the instance doesn't have the address yet");
        cloud.of_instance(MASTER).links("addr add 172.20.32.10/32 dev ens5\n").await.unwrap();
        assert!(reaches(&from, "172.20.32.10", 443));
        world.instances[0].secondary_private_ips.clear();
        cloud.apply(&world).await;
        assert!(!reaches(&from, "172.20.32.10", 443), "the VPC doesn't deliver it any more");
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn the_source_and_destination_check_stops_pods_addresses() {
        let mut world = world();
        let mut cloud = Cloud::of(&world).await;
        let node = cloud.of_instance(NODE);
        node.links("addr add 100.96.1.5/32 dev lo\n").await.unwrap();
        cloud.listen(NODE, 80);
        let master = cloud.of_instance(MASTER);
        assert!(reaches(&master, "100.96.1.5", 80), "the route leads to an instance without the check");
        world.instances[1].source_dest_check = true;
        cloud.apply(&world).await;
        assert!(!reaches(&master, "100.96.1.5", 80));
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn metadata_is_for_the_instance_and_not_for_its_pods() {
        let mut world = world();
        let cloud = Cloud::of(&world).await;
        let router = cloud.of_instance("vpc-1");
        let listener =
            tokio::net::TcpListener::from_std(router.listen(firewall::METADATA, 80).unwrap()).unwrap();
        let metadata = Metadata::new(region::Region::at(Region::serve(world.clone()).await.address));
        metadata.set_world(Arc::new(world.clone()));
        tokio::spawn(metadata.clone().serve("vpc-1".to_owned(), listener));
        let pod = pod_behind(&cloud, MASTER).await;
        let master = cloud.of_instance(MASTER);
        // Blocking work: the service runs on this runtime.
        let (pod, master, token_of_pod) = tokio::task::spawn_blocking(move || {
            let token = token(&master).unwrap();
            let read =
                format!("GET /latest/meta-data/instance-id HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}");
            assert!(ask(&master, &read).unwrap().ends_with(MASTER));
            let bare = ask(&master, "GET /latest/meta-data/instance-id HTTP/1.1").unwrap();
            assert!(bare.starts_with("HTTP/1.1 401"), "{bare}");
            let token = self::token(&pod);
            (pod, master, token)
        })
        .await
        .unwrap();
        assert_eq!(token_of_pod, None, "the answer's hop limit is one");
        world.instances[0].metadata.hop_limit = 2;
        metadata.set_world(Arc::new(world.clone()));
        let (pod, token_of_pod) = tokio::task::spawn_blocking(move || {
            let token = token(&pod);
            (pod, token)
        })
        .await
        .unwrap();
        assert!(token_of_pod.is_some(), "a masqueraded pod is one hop further");
        // No masquerading any more.
        master.load_ruleset("flush ruleset\n").await.unwrap();
        let token_of_pod = tokio::task::spawn_blocking(move || token(&pod)).await.unwrap();
        assert_eq!(token_of_pod, None, "an address that isn't the instance's own gets no answer");
    }

    /// A namespace behind an instance, with its traffic masqueraded, as a pod's is.
    async fn pod_behind(cloud: &Cloud, instance: &str) -> Namespace {
        let (instance, pod) = (cloud.of_instance(instance), cloud.of_instance("pod"));
        pod.create().await.unwrap();
        let link = format!("link add pod type veth peer name eth0 netns {}\n", pod.name());
        instance.links(&format!("{link}addr add 100.96.0.1/24 dev pod\nlink set pod up\n")).await.unwrap();
        instance.set("net/ipv4/ip_forward", "1").unwrap();
        let nat = "table ip pod {\nchain out {\ntype nat hook postrouting priority srcnat;\n\
                   ip saddr 100.96.0.0/24 oifname \"ens5\" masquerade\n}\n}\n";
        instance.load_ruleset(nat).await.unwrap();
        let inside = "addr add 100.96.0.5/24 dev eth0\nlink set eth0 up\nroute add default via 100.96.0.1\n";
        pod.links(inside).await.unwrap();
        pod
    }

    #[tokio::test]
    #[ignore = "needs root"]
    async fn a_network_that_is_swept_leaves_no_namespace() {
        let mut world = world();
        let mut cloud = Cloud::of(&world).await;
        let namespaces = || {
            let names = std::fs::read_dir(localcloud::namespace::DIRECTORY).unwrap();
            let names = names.map(|name| name.unwrap().file_name().to_string_lossy().into_owned());
            names.filter(|name| name.starts_with(&format!("{}-", cloud.name))).count()
        };
        assert_eq!(namespaces(), 5, "the Internet, a router, three instances");
        world.instances.clear();
        let name = cloud.name.clone();
        cloud.apply(&world).await;
        world.vpcs.clear();
        cloud.apply(&world).await;
        drop(cloud);
        let left = std::fs::read_dir(localcloud::namespace::DIRECTORY).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        assert_eq!(left.filter(|other| other.starts_with(&format!("{name}-"))).count(), 0);
    }
}
