//! Every shape of `tests/scenarios` on the emulated region: it is made, then there is nothing to do; everything carries the
//! cluster's tags; its end leaves what was there before, and nothing else.

mod foreign;

mod with_region {
    use std::path::Path;
    use std::process::Output;

    use aws_sdk_ec2::types::Filter;
    use serde_json::Value;
    use windlass::state::bucket::create_bucket;

    use super::foreign::Foreign;
    use crate::support::region::Region;

    struct World {
        region: Region,
        home: tempfile::TempDir,
        cluster: String,
        /// What the region held before there was a cluster.
        held: Value,
    }

    impl World {
        /// A region with what exists before the cluster, and the specification of a scenario in the state.
        async fn of(scenario: &str) -> (Self, Foreign) {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(scenario);
            let text = std::fs::read_to_string(file.join("cluster.yaml")).unwrap();
            let name = region_of(&text);
            let region = Region::start_as(name);
            region.register_image("1.36.3");
            region.register_image_of("1.36.3", "arm64");
            let clients = region.clients().await;
            create_bucket(&clients, "clusters", None).await.unwrap();
            let foreign = Foreign::make(&clients, name, network_of(&text), text.contains("ipv6CIDR")).await;
            let mut names = text.lines().filter_map(|line| line.strip_prefix("  name: "));
            let cluster = names.next().unwrap().to_owned();
            let held = region.inventory();
            let world = Self { region, home: tempfile::tempdir().unwrap(), cluster, held };
            std::fs::write(world.home.path().join("cluster.yaml"), foreign.named_in(&text)).unwrap();
            world.succeeds(&["create", "-f", "cluster.yaml"]);
            (world, foreign)
        }

        fn windlass(&self, line: &[&str]) -> Output {
            let mut command = self.region.operator(self.home.path(), "s3://clusters/team");
            command.current_dir(self.home.path()).args(line).output().unwrap()
        }

        fn succeeds(&self, line: &[&str]) -> String {
            let output = self.windlass(line);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}: {line:?}: {said}", self.cluster);
            String::from_utf8_lossy(&output.stdout).into_owned() + &said
        }

        fn update(&self) -> String {
            self.succeeds(&["update", "cluster", &self.cluster, "--yes", "--create-kube-config=false"])
        }

        /// What an update would do, as data.
        fn plan(&self) -> Value {
            let output = self.windlass(&["update", "cluster", &self.cluster, "-o", "json"]);
            let said = String::from_utf8_lossy(&output.stderr);
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
        }

        /// Makes the shape, looks that there is nothing left to do, and takes it away.
        async fn lives(&self, foreign: &Foreign) {
            let clients = self.region.clients().await;
            let before = foreign.seen(&clients).await;
            self.update();
            assert_eq!(self.plan()["steps"], Value::Array(Vec::new()), "{}", self.cluster);
            self.everything_is_tagged().await;
            self.succeeds(&["delete", "cluster", &self.cluster, "--yes"]);
            assert_eq!(foreign.seen(&clients).await, before, "{}", self.cluster);
            assert_eq!(self.region.inventory(), self.held, "{}", self.cluster);
        }

        /// Everything of EC2's that wasn't there before says whose it is.
        async fn everything_is_tagged(&self) {
            let ec2 = self.region.clients().await.ec2;
            let named = Filter::builder().name("key").values("KubernetesCluster").build();
            let of_cluster = Filter::builder().name("value").values(&self.cluster).build();
            let pages =
                ec2.describe_tags().filters(named).filters(of_cluster).into_paginator().items().send();
            let tagged: Vec<_> = pages.try_collect().await.unwrap();
            let now = self.region.inventory();
            // Network interfaces of gateways and load balancers are AWS's own, and so are a VPC's main route table and its
            // first security group.
            let first = Filter::builder().name("group-name").values("default").build();
            let first = ec2.describe_security_groups().filters(first).send().await.unwrap();
            let is_first =
                |id: &str| first.security_groups().iter().any(|group| group.group_id() == Some(id));
            let kinds = now.as_object().unwrap().iter().filter(|(kind, _)| *kind != "networkInterfaces");
            let main = Filter::builder().name("association.main").values("true").build();
            let main = ec2.describe_route_tables().filters(main).send().await.unwrap();
            let is_main =
                |id: &str| main.route_tables().iter().any(|table| table.route_table_id() == Some(id));
            for (kind, ids) in kinds {
                let news = ids.as_array().unwrap().iter().filter(|id| !contains(&self.held[kind], id));
                for id in
                    news.filter_map(Value::as_str).filter(|id| is_of_ec2(id) && !is_main(id) && !is_first(id))
                {
                    let is_tagged = tagged.iter().any(|tag| tag.resource_id() == Some(id));
                    assert!(is_tagged, "{}: {kind} {id} is not tagged", self.cluster);
                }
            }
        }
    }

    /// The region whose zone a specification names first.
    fn region_of(text: &str) -> &'static str {
        const REGIONS: [&str; 2] = ["us-east-1", "eu-central-1"];
        let zone = text.split("zone: ").nth(1).unwrap();
        REGIONS.into_iter().find(|region| zone.starts_with(region)).unwrap()
    }

    /// The first half of the range of the VPC that a specification finds there.
    fn network_of(text: &str) -> &str {
        let range = text.split("networkCIDR: ").nth(1).and_then(|rest| rest.split(".0.0/16").next());
        range.filter(|_| text.contains("networkID: ")).unwrap_or("10.0")
    }

    fn contains(ids: &Value, id: &Value) -> bool {
        ids.as_array().is_some_and(|ids| ids.contains(id))
    }

    /// Whether an id is one of EC2's: a word, and hexadecimal digits.
    fn is_of_ec2(id: &str) -> bool {
        // Shortened names end so, too, and have the cluster's name in them.
        let digits = id.rsplit_once('-').filter(|(kind, _)| !kind.contains('.')).map(|(_, digits)| digits);
        digits.is_some_and(|digits| digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_data_volume_that_outlives_its_instance_is_named_and_kept_until_it_is_said_to_go() {
        let (world, _) = World::of("volumes-files-hooks").await;
        world.update();
        assert_eq!(world.plan()["steps"], Value::Array(Vec::new()));
        world.everything_is_tagged().await;
        let said = world.succeeds(&["delete", "cluster", &world.cluster, "--yes"]);
        let mut now = world.region.inventory();
        let mut left = now["volumes"].as_array().unwrap().clone();
        left.retain(|id| !contains(&world.held["volumes"], id));
        let [volume] = left.as_slice() else { panic!("{left:?}: {said}") };
        assert!(said.contains(volume.as_str().unwrap()), "{volume}: {said}");
        assert!(said.contains("--delete-volumes"), "{said}");
        now["volumes"].as_array_mut().unwrap().retain(|id| id != volume);
        assert_eq!(now, world.held);
    }

    macro_rules! shapes {
        ($($test:ident: $scenario:literal,)*) => {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "starts the emulated region"]
            async fn $test() {
                let (world, foreign) = World::of($scenario).await;
                world.lives(&foreign).await;
            })*
        };
    }

    shapes! {
        a_private_cluster_with_a_nat_gateway_in_each_zone_is_made_and_goes: "private",
        an_internal_api_behind_a_shared_nat_gateway_is_made_and_goes: "internal-api",
        a_load_balancer_with_a_certificate_and_an_address_of_its_own_is_made_and_goes: "load-balancer",
        new_subnets_of_an_existing_vpc_are_made_and_go: "existing-vpc",
        a_cluster_in_existing_subnets_is_made_and_goes: "existing-subnets",
        every_other_way_to_the_internet_is_made_and_goes: "egress",
        the_smallest_cluster_is_made_and_goes: "minimal",
        a_cluster_with_a_name_in_a_hosted_zone_is_made_and_goes: "named-api",
        a_cluster_with_names_that_only_its_vpc_sees_is_made_and_goes: "private-dns",
        several_etcd_clusters_are_made_and_go: "several-etcd",
        a_cluster_whose_network_somebody_else_brings_is_made_and_goes: "external-network",
        groups_with_all_their_settings_are_made_and_go: "group-settings",
        a_bastion_in_front_of_a_private_cluster_is_made_and_goes: "bastion",
        api_servers_beside_a_master_are_made_and_go: "api-servers",
        settings_of_every_component_are_made_and_go: "component-settings",
        services_that_are_reached_by_endpoints_in_the_vpc_are_made_and_go: "interface-endpoints",
        three_masters_with_an_elastic_ip_each_are_made_and_go: "three-masters",
        interruptions_with_a_queue_are_heard_of_and_no_more: "interruption",
        groups_with_warm_pools_are_made_and_go: "warm-pool",
        three_masters_in_a_private_network_are_made_and_go: "private-three-masters",
        five_masters_of_which_some_share_a_subnet_are_made_and_go: "five-masters",
        three_masters_in_one_private_subnet_behind_an_existing_address_are_made_and_go: "masters-in-one-zone",
        a_cluster_that_only_a_transit_gateway_leads_out_of_is_made_and_goes: "transit-gateway",
        machines_of_two_architectures_and_with_gpus_are_made_and_go: "architectures",
        whatever_ec2_can_be_told_of_an_instance_is_made_and_goes: "instance-settings",
        spot_instances_by_requirements_price_and_pools_are_made_and_go: "spot-by-requirements",
        a_cluster_whose_name_is_too_long_for_load_balancers_is_made_and_goes: "long-name",
        policies_and_a_profile_of_somebody_else_s_are_used_and_stay: "own-policies",
        an_internal_load_balancer_of_public_subnets_is_made_and_goes: "internal-in-public-subnets",
        a_cluster_whose_api_is_the_issuer_of_tokens_is_made_and_goes: "api-issuer",
        roles_of_service_accounts_and_their_documents_are_made_and_go: "workload-identity",
        an_ipv6_cluster_of_private_subnets_is_made_and_goes: "ipv6",
        an_ipv6_cluster_in_an_existing_vpc_is_made_and_goes: "ipv6-shared-vpc",
        groups_of_existing_security_groups_and_load_balancers_are_made_and_go: "existing-for-groups",
    }
}
