//! The real region and the real network together, without machines: instances are namespaces that the test says run.

mod with_root {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use localcloud::firewall::METADATA;
    use localcloud::health::Checks;
    use localcloud::imds::Metadata;
    use localcloud::namespace::Namespace;
    use localcloud::network::ENDPOINT;
    use localcloud::region::Region;
    use localcloud::resolver::look_up;
    use localcloud::world::World;
    use serde_json::json;

    use crate::connected::{Cloud, PATIENCE, reaches};

    /// A region, and the network that follows its world.
    struct Whole {
        region: Region,
        cloud: Cloud,
        checks: Checks,
        world: Arc<World>,
    }

    impl Whole {
        /// Calls an action of a service with these parameters; returns what is in the first element of a name.
        async fn call(
            &self,
            service: &str,
            action: &str,
            parameters: &[(&str, &str)],
            wanted: &str,
        ) -> String {
            let version = if service == "ec2" { "2016-11-15" } else { "2015-12-01" };
            let mut form = format!("Action={action}&Version={version}");
            for (name, value) in parameters {
                form.extend(["&", name, "=", &value.replace('/', "%2F").replace(':', "%3A")]);
            }
            let answer = self.region.call(service, form).await.unwrap();
            let after = answer.split(&format!("<{wanted}>")).nth(1);
            after.and_then(|rest| rest.split('<').next()).unwrap_or_default().to_owned()
        }

        async fn ec2(&self, action: &str, parameters: &[(&str, &str)], wanted: &str) -> String {
            self.call("ec2", action, parameters, wanted).await
        }

        async fn elb(&self, action: &str, parameters: &[(&str, &str)], wanted: &str) -> String {
            self.call("elasticloadbalancing", action, parameters, wanted).await
        }

        /// Makes the network what the region says now.
        async fn follow(&mut self) {
            self.world = Arc::new(self.region.world_now().await.unwrap());
            self.cloud.apply(&self.world).await;
            self.checks.follow(&self.world);
        }

        /// Follows the region until it says this, or fails after a while.
        async fn until(&mut self, what: &str, wanted: impl Fn(&World) -> bool) {
            let began = Instant::now();
            loop {
                self.follow().await;
                if wanted(&self.world) {
                    return;
                }
                assert!(began.elapsed() < Duration::from_secs(40), "not yet: {what}: {:?}", self.world);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }

        async fn subnet(&self, vpc: &str, cidr: &str) -> (String, String) {
            let place = [("VpcId", vpc), ("CidrBlock", cidr), ("AvailabilityZone", "us-east-1a")];
            let subnet = self.ec2("CreateSubnet", &place, "subnetId").await;
            let table = self.ec2("CreateRouteTable", &[("VpcId", vpc)], "routeTableId").await;
            let both = [("RouteTableId", table.as_str()), ("SubnetId", &subnet)];
            self.ec2("AssociateRouteTable", &both, "associationId").await;
            (subnet, table)
        }

        /// What is open to a target goes on while it drains, for as long as its group says.
        async fn drains(&mut self, group: &str, instance: &str, address: &str) {
            let attribute = [
                ("TargetGroupArn", group),
                ("Attributes.member.1.Key", "deregistration_delay.connection_termination.enabled"),
                ("Attributes.member.1.Value", "true"),
            ];
            self.elb("ModifyTargetGroupAttributes", &attribute, "none").await;
            self.follow().await;
            let (internet, to) = (self.cloud.network.internet(), format!("{address}:443").parse().unwrap());
            let mut open = internet.inside("connect", || TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
            let target = [("TargetGroupArn", group), ("Targets.member.1.Id", instance)];
            self.elb("DeregisterTargets", &target, "none").await;
            self.follow().await;
            assert_eq!(self.elb("DescribeTargetHealth", &target[..1], "State").await, "draining");
            assert!(!reaches(&internet, address, 443), "nothing new comes to it");
            open.write_all(b"still there?").unwrap();
            open.set_read_timeout(Some(PATIENCE)).unwrap();
            let silence = open.read(&mut [0; 1]).unwrap_err();
            assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock, "it is only silent");
            self.region.post("clock", &json!({ "seconds": 301 })).await.unwrap();
            self.follow().await;
            open.write_all(b"and now?").unwrap();
            let end = open.read(&mut [0; 1]).unwrap_err();
            assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
        }

        async fn route(&self, table: &str, kind: &str, target: &str) {
            let route = [("RouteTableId", table), ("DestinationCidrBlock", "0.0.0.0/0"), (kind, target)];
            self.ec2("CreateRoute", &route, "return").await;
        }
    }

    async fn whole() -> (Whole, localcloud::process::Owned) {
        let (region, process) = Region::fork("us-east-1").await.unwrap();
        region.connect(true).await.unwrap();
        let world = Arc::new(region.world_now().await.unwrap());
        let cloud = Cloud::of(&world).await;
        let checks = Checks::new(&cloud.name, region.clone());
        (Whole { region, cloud, checks, world }, process)
    }

    /// An instance in a private subnet behind a NAT gateway; returns the VPC, the public subnet and the instance.
    async fn private_instance(whole: &mut Whole) -> (String, String, String) {
        let vpc = whole.ec2("CreateVpc", &[("CidrBlock", "172.20.0.0/16")], "vpcId").await;
        let gateway = whole.ec2("CreateInternetGateway", &[], "internetGatewayId").await;
        let both = [("VpcId", vpc.as_str()), ("InternetGatewayId", &gateway)];
        whole.ec2("AttachInternetGateway", &both, "return").await;
        let (utility, table) = whole.subnet(&vpc, "172.20.0.0/24").await;
        whole.route(&table, "GatewayId", &gateway).await;
        let (private, table) = whole.subnet(&vpc, "172.20.1.0/24").await;
        let allocation = whole.ec2("AllocateAddress", &[("Domain", "vpc")], "allocationId").await;
        let place = [("SubnetId", utility.as_str()), ("AllocationId", &allocation)];
        let nat = whole.ec2("CreateNatGateway", &place, "natGatewayId").await;
        whole.route(&table, "NatGatewayId", &nat).await;
        whole.until("the NAT gateway is available", |world| world.nat_gateways.len() == 1).await;

        let about = [("GroupName", "nodes"), ("GroupDescription", "nodes"), ("VpcId", vpc.as_str())];
        let group = whole.ec2("CreateSecurityGroup", &about, "groupId").await;
        let rule = [
            ("GroupId", group.as_str()),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "8443"),
            ("IpPermissions.1.ToPort", "8443"),
            ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
        ];
        whole.ec2("AuthorizeSecurityGroupIngress", &rule, "return").await;
        let image = whole.region.post("images", &json!({"name": "windlass-1", "tags": {}})).await.unwrap();
        let wanted = [
            ("ImageId", image["imageId"].as_str().unwrap()),
            ("InstanceType", "t3.medium"),
            ("SubnetId", &private),
            ("SecurityGroupId.1", &group),
            ("InstanceMarketOptions.MarketType", "spot"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        let instance = whole.ec2("RunInstances", &wanted, "instanceId").await;
        whole.region.report_instance(&instance, "running").await.unwrap();
        whole.follow().await;
        (vpc, utility, instance)
    }

    fn accept(listener: &TcpListener) -> String {
        listener.set_nonblocking(false).unwrap();
        listener.accept().unwrap().1.ip().to_string()
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs root"]
    async fn what_is_asked_of_the_api_is_what_packets_meet() {
        let (mut whole, _process) = whole().await;
        let (vpc, utility, instance) = private_instance(&mut whole).await;
        let inside = whole.cloud.of_instance(&instance);
        let outside = whole.cloud.network.internet().listen(ENDPOINT, 4566).unwrap();
        assert!(reaches(&inside, "192.0.2.1", 4566), "{:?}", whole.world);
        let elastic = whole.world.nat_gateways[0].public_ip.unwrap().to_string();
        assert_eq!(accept(&outside), elastic);

        let about = [("Name", "api"), ("Type", "network"), ("Subnets.member.1", utility.as_str())];
        let balancer = whole.elb("CreateLoadBalancer", &about, "LoadBalancerArn").await;
        let wanted = [
            ("Name", "api"),
            ("Protocol", "TCP"),
            ("Port", "8443"),
            ("VpcId", &vpc),
            ("HealthCheckIntervalSeconds", "5"),
            ("HealthCheckTimeoutSeconds", "2"),
            ("HealthyThresholdCount", "2"),
        ];
        let group = whole.elb("CreateTargetGroup", &wanted, "TargetGroupArn").await;
        let target = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", &instance)];
        whole.elb("RegisterTargets", &target, "none").await;
        let listener = [
            ("LoadBalancerArn", balancer.as_str()),
            ("Protocol", "TCP"),
            ("Port", "443"),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.TargetGroupArn", &group),
        ];
        whole.elb("CreateListener", &listener, "ListenerArn").await;
        whole.until("it is active", |world| !world.load_balancers.is_empty()).await;
        let described = [("TargetGroupArn", group.as_str())];
        assert_eq!(whole.elb("DescribeTargetHealth", &described, "State").await, "initial");
        let name = whole.elb("DescribeLoadBalancers", &[], "DNSName").await;
        let address = look_up(&whole.world, None, &name).unwrap().addresses[0].to_string();
        let internet = whole.cloud.network.internet();
        assert!(!reaches(&internet, &address, 443), "nobody listens");

        let serving = inside.listen(Ipv4Addr::UNSPECIFIED, 8443).unwrap();
        let healthy = |world: &World| {
            let group = world.target_groups.first().and_then(|group| group.targets.first());
            group.is_some_and(|target| target.health == localcloud::world::TargetHealth::Healthy)
        };
        whole.until("it is healthy", healthy).await;
        assert_eq!(whole.elb("DescribeTargetHealth", &described, "State").await, "healthy");
        assert!(reaches(&internet, &address, 443));
        assert!(!reaches(&internet, &address, 8443), "the load balancer listens at its own port alone");
        whole.drains(&group, &instance, &address).await;
        drop(serving);

        let nat = whole.ec2("DescribeNatGateways", &[], "natGatewayId").await;
        whole.ec2("DeleteNatGateway", &[("NatGatewayId", &nat)], "natGatewayId").await;
        whole.until("the NAT gateway is gone", |world| world.nat_gateways.is_empty()).await;
        assert!(!reaches(&inside, "192.0.2.1", 4566), "its route is a black hole");
    }

    /// A value of the metadata service, as an instance reads it; none if there is none.
    fn read(inside: &Namespace, path: &str) -> Option<String> {
        let ask = |head: &str| {
            let request = format!("{head}\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n");
            let answer = inside.inside("ask", || {
                let mut connection = TcpStream::connect_timeout(&SocketAddr::from((METADATA, 80)), PATIENCE)?;
                connection.write_all(request.as_bytes())?;
                let mut answer = String::new();
                connection.read_to_string(&mut answer)?;
                Ok(answer)
            });
            let answer = answer.unwrap();
            let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
            answer.starts_with("HTTP/1.1 200").then_some(body)
        };
        let life = "X-aws-ec2-metadata-token-ttl-seconds: 60";
        let token = ask(&format!("PUT /latest/api/token HTTP/1.1\r\n{life}")).unwrap();
        ask(&format!("GET /latest/meta-data/{path} HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}"))
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs root"]
    async fn a_spot_instance_sees_the_notice_that_it_is_interrupted() {
        let (mut whole, _process) = whole().await;
        let (vpc, _, instance) = private_instance(&mut whole).await;
        let router = whole.cloud.of_instance(&vpc);
        let listener = tokio::net::TcpListener::from_std(router.listen(METADATA, 80).unwrap()).unwrap();
        let metadata = Metadata::new(whole.region.clone());
        tokio::spawn(metadata.clone().serve(vpc, listener));
        let inside = whole.cloud.of_instance(&instance);
        metadata.set_world(Arc::clone(&whole.world));
        assert_eq!(read(&inside, "instance-life-cycle").unwrap(), "spot");
        assert_eq!(read(&inside, "spot/instance-action"), None);
        let notice =
            whole.region.post(&format!("instances/{instance}/interruption"), &json!({})).await.unwrap();
        whole.region.post(&format!("instances/{instance}/rebalance"), &json!({})).await.unwrap();
        whole.follow().await;
        metadata.set_world(Arc::clone(&whole.world));
        let seen: serde_json::Value =
            serde_json::from_str(&read(&inside, "spot/instance-action").unwrap()).unwrap();
        assert_eq!(seen, notice);
        assert_eq!(seen["action"], "terminate");
        assert!(read(&inside, "events/recommendations/rebalance").unwrap().contains("noticeTime"));
        let state = |world: &World| world.instances[0].state;
        whole.region.post("clock", &json!({ "seconds": 100 })).await.unwrap();
        whole.follow().await;
        assert_eq!(state(&whole.world), localcloud::world::InstanceState::Running);
        whole.region.post("clock", &json!({ "seconds": 30 })).await.unwrap();
        whole.follow().await;
        assert_eq!(state(&whole.world), localcloud::world::InstanceState::ShuttingDown);
    }
}
