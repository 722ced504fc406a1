//! Whose what is in AWS is: accounts, regions, clusters of one name, and tags that somebody edited.

mod with_region {
    use std::process::Output;
    use std::time::{Duration, Instant};

    use aws_sdk_ec2::types::{Address, Instance, ResourceType, Tag, TagSpecification, Volume};
    use serde_json::{Value, json};
    use windlass::aws::Clients;
    use windlass::aws::tags;
    use windlass::state::identity::{Place, Whereabouts};
    use windlass::state::{ClusterState, Condition, Store};

    use crate::support::region::Region;

    const NAME: &str = "demo.example.com";

    struct World {
        region: Region,
        place: Place,
        /// Where IAM answers, where that isn't here.
        iam: Option<String>,
        home: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            Self::of("us-east-1", None)
        }

        /// Another region of the same account: IAM is one for all of them.
        fn beside(other: &Self, region: &'static str) -> Self {
            Self::of(region, Some(other.region.url.clone()))
        }

        fn of(name: &'static str, iam: Option<String>) -> Self {
            let region = Region::start_as(name);
            region.register_image(windlass::spec::versions::default_kubernetes());
            let place = Place { account: "123456789012".to_owned(), region: name.to_owned() };
            Self { region, place, iam, home: tempfile::tempdir().unwrap() }
        }

        fn windlass(&self, store: &str, line: &str) -> Output {
            let mut command = self.region.operator(self.home.path(), store);
            command
                .args(line.split(' '))
                .envs(self.iam.iter().map(|url| ("AWS_ENDPOINT_URL_IAM", url)))
                .env("KUBECONFIG", self.home.path().join("kubeconfig"))
                .output()
                .unwrap()
        }

        fn succeeds(&self, store: &str, line: &str) -> String {
            let output = self.windlass(store, line);
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        }

        /// What a command says that must not succeed.
        fn refused(&self, store: &str, line: &str) -> String {
            let output = self.windlass(store, line);
            assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
            String::from_utf8(output.stderr).unwrap()
        }

        fn create(&self, store: &str, more: &str) {
            let zone = format!("{}a", self.place.region);
            let line = format!("create cluster {NAME} --zones {zone} --networking flannel");
            self.succeeds(store, &format!("{line} --create-state-store{more}"));
        }

        fn inventory(&self) -> Value {
            self.region.inventory()
        }

        /// The calls to services of AWS's besides those that hold the state and know the caller.
        fn calls(&self, only_changes: bool) -> Vec<String> {
            let journal = self.region.journal();
            let entries = journal.iter();
            let entries =
                entries.filter(|entry| !["s3", "sts"].contains(&entry["service"].as_str().unwrap()));
            let entries = entries.filter(|entry| !only_changes || entry["mutating"] == true);
            entries.map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
        }

        fn forget_calls(&self) {
            self.region.forget_journal();
        }

        async fn state(&self, store: &str) -> ClusterState {
            let store = Store::open(store, &self.region.clients().await).await.unwrap();
            ClusterState::new(store, NAME)
        }
    }

    async fn etcd_volume(clients: &Clients) -> Volume {
        let call = clients.ec2.describe_volumes().filters(tags::filter("tag-key", "windlass.dev/etcd/main"));
        let mut volumes = call.send().await.unwrap().volumes.unwrap();
        assert_eq!(volumes.len(), 1, "{volumes:?}");
        volumes.remove(0)
    }

    /// Writes something else into the record of who the cluster is.
    async fn rewrite_identity(state: &ClusterState, key: &str, value: &str) {
        let name = format!("{NAME}/identity.json");
        let found = state.store().get(&name).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&found.bytes).unwrap();
        record[key] = json!(value);
        let condition = Condition::Unchanged(found.version);
        state.store().put(&name, record.to_string().into_bytes(), condition).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn every_command_refuses_another_account_or_region_by_name_and_asks_nothing_of_it() {
        let (world, store) = (World::new(), "s3://clusters");
        world.create(store, " --yes");
        let state = world.state(store).await;
        let Whereabouts::Recorded(identity) = state.whereabouts().await.unwrap() else { panic!("no record") };
        assert_eq!((identity.place, identity.owns_unmarked), (world.place.clone(), false));
        let of_another =
            [("account", "210987654321", "account 210987654321"), ("region", "eu-west-1", "eu-west-1")];
        for (key, value, named) in of_another {
            rewrite_identity(&state, key, value).await;
            let before = world.inventory();
            world.forget_calls();
            let mut lines = vec![
                "update cluster NAME",
                "update cluster NAME --yes",
                "validate cluster NAME",
                "get instances NAME",
                "export kubeconfig NAME --admin",
                "rollback 1 --name NAME",
                "rollback 1 --name NAME --yes",
            ];
            if key == "account" {
                lines.extend(["delete cluster NAME", "delete cluster NAME --yes"]);
            }
            for line in lines {
                let said = world.refused(store, &line.replace("NAME", NAME));
                assert!(said.contains(named) && said.contains("123456789012"), "{line}: {said}");
                assert!(said.contains("hint: nothing was asked or changed there"), "{line}: {said}");
                assert_eq!(world.calls(false), Vec::<String>::new(), "{line}");
                assert_eq!(world.inventory(), before, "{line}");
            }
            rewrite_identity(&state, "region", "us-east-1").await;
            rewrite_identity(&state, "account", "123456789012").await;
        }
        let said = world.refused(store, &format!("delete cluster {NAME} --region eu-west-1 --yes"));
        assert!(said.contains("unexpected argument '--region'"), "the record says the region: {said}");
        world.succeeds(store, &format!("delete cluster {NAME} --yes"));
    }

    /// A volume as a provisioner in a cluster of the name makes it.
    async fn claimed_volume(world: &World, more: &[(&str, &str)]) -> String {
        let ownership = format!("kubernetes.io/cluster/{NAME}");
        let tags = [(ownership.as_str(), "owned"), ("kubernetes.io/created-for/pvc/name", "data")];
        let tags = tags.iter().chain(more).map(|(key, value)| Tag::builder().key(*key).value(*value).build());
        let clients = world.region.clients().await;
        let call = clients.ec2.create_volume().availability_zone(format!("{}a", world.place.region)).size(1);
        let call = call.volume_type("gp3".into()).tag_specifications(
            TagSpecification::builder()
                .resource_type(ResourceType::Volume)
                .set_tags(Some(tags.collect()))
                .build(),
        );
        call.send().await.unwrap().volume_id.unwrap()
    }

    /// One cluster lives. Another of its name can't be made, and its end takes nothing of the living one's: not even the
    /// volumes of PersistentVolumes, whose tags are the same.
    async fn never_touch_each_other_s((one, living): (&World, &str), (two, other): (&World, &str)) {
        one.create(living, " --yes");
        two.create(other, "");
        let volumes = [
            claimed_volume(two, &[]).await,
            claimed_volume(two, &[("windlass.dev/reclaim", "delete")]).await,
        ];
        for (settled, flag) in [(false, ""), (true, ""), (true, " --delete-volumes")] {
            if settled {
                two.create(other, "");
                two.state(other).await.settle(&two.place).await.unwrap();
            }
            one.forget_calls();
            two.forget_calls();
            for line in ["update cluster NAME", "update cluster NAME --yes"] {
                let said = two.refused(other, &line.replace("NAME", NAME));
                assert!(said.contains("belongs to another cluster of the same name"), "{said}");
                assert!(
                    said.contains(&format!("`role/masters.{NAME}`")) && said.contains("hint: "),
                    "{said}"
                );
            }
            let deleted = two.windlass(other, &format!("delete cluster {NAME}{flag} --yes"));
            let (listed, said) =
                (String::from_utf8_lossy(&deleted.stdout), String::from_utf8_lossy(&deleted.stderr));
            assert!(deleted.status.success(), "{said}");
            if settled {
                assert!(volumes.iter().all(|volume| listed.contains(volume.as_str())), "{listed}");
                let why = format!("`role/masters.{NAME}` belongs to another cluster of this name");
                assert!(said.contains(&why) && !said.contains("--delete-volumes"), "{said}");
            }
            assert_eq!([one.calls(true), two.calls(true)].concat(), Vec::<String>::new());
            assert_eq!(one.succeeds(living, &format!("update cluster {NAME}")), "Nothing to do.\n");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn clusters_of_one_name_in_two_stores_never_touch_each_other_s() {
        let world = World::new();
        never_touch_each_other_s((&world, "s3://clusters-one"), (&world, "s3://clusters-two")).await;
        let listed =
            world.succeeds("s3://clusters-one", &format!("delete cluster {NAME} --delete-volumes --yes"));
        assert_eq!(listed.matches("persistent-volume/vol-").count(), 2, "{listed}");
        assert_eq!(world.inventory()["volumes"], json!([]));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn clusters_of_one_name_in_two_regions_never_touch_each_other_s() {
        let here = World::new();
        let there = World::beside(&here, "eu-west-1");
        never_touch_each_other_s((&here, "s3://clusters"), (&there, "s3://clusters-there")).await;
        here.succeeds("s3://clusters", &format!("delete cluster {NAME} --yes"));
        assert_eq!(there.inventory()["volumes"].as_array().unwrap().len(), 2);
    }

    /// Waits until the region holds a call.
    fn wait_until_held(world: &World) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while world.region.held().is_empty() {
            assert!(Instant::now() < deadline, "no call is held");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_deletion_looks_again_before_it_purges_and_keeps_the_keys_where_something_is_left() {
        let (world, store) = (World::new(), "s3://clusters");
        world.create(store, " --yes");
        let state = world.state(store).await;
        let Whereabouts::Recorded(identity) = state.whereabouts().await.unwrap() else { panic!("no record") };
        let fault = json!([{"service": "ec2", "action": "DeleteVpc", "hold": "after"}]);
        world.region.inject(&fault);
        let line = format!("delete cluster {NAME} --yes");
        let marks = [(tags::MANAGED, NAME), (tags::UID, &identity.uid), (tags::NAME, "late")];
        let (deleted, late) = std::thread::scope(|scope| {
            let deleting = scope.spawn(|| world.windlass(store, &line));
            wait_until_held(&world);
            // Somebody with an older plan makes one more.
            let late = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(claimed_volume(&world, &marks))
            });
            world.region.clear_faults();
            (deleting.join().unwrap(), late)
        });
        let said = String::from_utf8(deleted.stderr).unwrap();
        assert_eq!(deleted.status.code(), Some(5), "{said}");
        assert!(said.contains(&format!("not all of `{NAME}` is gone: volume/late")), "{said}");
        assert!(said.contains("hint: the state was kept"), "{said}");
        assert_eq!(state.whereabouts().await.unwrap(), Whereabouts::Recorded(identity));
        assert_eq!(world.inventory()["volumes"], json!([late]));
        world.succeeds(store, &line);
        assert_eq!(world.inventory()["volumes"], json!([]));
        assert_eq!(state.whereabouts().await.unwrap(), Whereabouts::Nowhere);
    }

    async fn only_address(clients: &Clients) -> Address {
        let mut addresses = clients.ec2.describe_addresses().send().await.unwrap().addresses.unwrap();
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        addresses.remove(0)
    }

    /// The instance of the only master, once it runs.
    async fn master(clients: &Clients) -> Instance {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let is_master = tags::filter("tag-key", "k8s.io/role/control-plane");
            let running = tags::filter("instance-state-name", "running");
            let call = clients.ec2.describe_instances().filters(is_master).filters(running);
            let found = call.send().await.unwrap();
            let first =
                found.reservations().iter().flat_map(aws_sdk_ec2::types::Reservation::instances).next();
            if let Some(instance) = first {
                return instance.clone();
            }
            assert!(Instant::now() < deadline, "there is no master");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the agent of the master does: its address is the one that is reserved for it, and the Elastic IP's.
    async fn associate(clients: &Clients, allocation: &str) -> String {
        let master = master(clients).await;
        let interface = &master.network_interfaces()[0];
        let (id, subnet) = (interface.network_interface_id().unwrap(), interface.subnet_id().unwrap());
        let call = clients.ec2.get_subnet_cidr_reservations().subnet_id(subnet);
        let reserved = call.send().await.unwrap();
        let range = reserved.subnet_ipv4_cidr_reservations()[0].cidr().unwrap();
        let address = range.trim_end_matches("/32").to_owned();
        let call = clients.ec2.assign_private_ip_addresses().network_interface_id(id);
        call.private_ip_addresses(&address).send().await.unwrap();
        let call = clients.ec2.associate_address().allocation_id(allocation).network_interface_id(id);
        call.private_ip_address(&address).send().await.unwrap();
        address
    }

    /// The tags in a command of a hint: `Key=…,Value=…` each.
    fn marks(command: &str) -> Vec<Tag> {
        let marks = command.split("Key=").skip(1);
        marks
            .map(|mark| {
                let (key, value) = mark.split_once(",Value=").unwrap();
                let value = value.split([' ', '}', '\n']).next().unwrap().trim_end_matches('.');
                Tag::builder().key(key).value(value).build()
            })
            .collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn an_elastic_ip_that_lost_a_tag_is_never_joined_by_a_second_and_the_hint_brings_it_back() {
        let (world, store) = (World::new(), "s3://clusters");
        world.create(store, " --yes");
        let clients = world.region.clients().await;
        let address = only_address(&clients).await;
        let id = address.allocation_id().unwrap();
        let stable = associate(&clients, id).await;
        let each: Vec<Vec<&str>> = address.tags().iter().map(|tag| vec![tag.key().unwrap()]).collect();
        let all = each.concat();
        assert!(all.len() > 5, "{all:?}");
        for lost in each.into_iter().chain([all]) {
            let keys = lost.iter().map(|key| Tag::builder().key(*key).build()).collect();
            clients.ec2.delete_tags().resources(id).set_tags(Some(keys)).send().await.unwrap();
            world.forget_calls();
            if lost.contains(&tags::MANAGED) || lost.contains(&tags::UID) {
                let mut said = String::new();
                for line in ["update cluster NAME", "update cluster NAME --yes"] {
                    said = world.refused(store, &line.replace("NAME", NAME));
                    let holder = format!(", associated with {stable} of i-");
                    assert!(
                        said.contains(&format!("    {id}: ")) && said.contains(&holder),
                        "{lost:?}: {said}"
                    );
                }
                assert_eq!(world.calls(true), Vec::<String>::new(), "{lost:?}");
                let (_, hint) = said.split_once("create-tags --resources ADDRESS --tags ").unwrap();
                let (command, _) = hint.split_once(" If it was released").unwrap();
                let marks = marks(command);
                assert_eq!(marks.len(), 3, "{said}");
                clients.ec2.create_tags().resources(id).set_tags(Some(marks)).send().await.unwrap();
            }
            world.succeeds(store, &format!("update cluster {NAME} --yes"));
            let found = only_address(&clients).await;
            assert_eq!(found.allocation_id(), Some(id), "{lost:?}");
            assert_eq!(found.tags().len(), address.tags().len(), "{lost:?}");
            assert_eq!(world.succeeds(store, &format!("update cluster {NAME}")), "Nothing to do.\n");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn an_elastic_ip_that_was_released_is_missed_and_one_that_is_allocated_as_the_hint_says_is_it() {
        let (world, store) = (World::new(), "s3://clusters");
        world.create(store, " --yes");
        let clients = world.region.clients().await;
        let released = only_address(&clients).await;
        clients.ec2.release_address().allocation_id(released.allocation_id().unwrap()).send().await.unwrap();
        world.forget_calls();
        let said = world.refused(store, &format!("update cluster {NAME} --yes"));
        assert!(said.contains("no Elastic IP of the region could be it"), "{said}");
        assert_eq!(world.calls(true), Vec::<String>::new());
        let (_, command) = said.split_once("'ResourceType=elastic-ip,Tags=[").unwrap();
        let marks = marks(command.split_once("]'").unwrap().0);
        assert_eq!(marks.len(), 3, "{said}");
        let specification =
            TagSpecification::builder().resource_type(ResourceType::ElasticIp).set_tags(Some(marks)).build();
        let call = clients.ec2.allocate_address().tag_specifications(specification);
        let allocated = call.send().await.unwrap();
        world.succeeds(store, &format!("update cluster {NAME} --yes"));
        let found = only_address(&clients).await;
        assert_eq!(found.allocation_id(), allocated.allocation_id());
        assert_eq!(found.tags().len(), released.tags().len());
        assert_eq!(world.succeeds(store, &format!("update cluster {NAME}")), "Nothing to do.\n");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_name_that_was_edited_is_mended_and_nothing_is_made_or_released() {
        let (world, store) = (World::new(), "s3://clusters");
        world.create(store, " --yes");
        let clients = world.region.clients().await;
        let inventory = world.inventory();
        let mut ids: Vec<String> = vec![etcd_volume(&clients).await.volume_id.unwrap()];
        for kind in ["vpcs", "subnets", "internetGateways", "addresses"] {
            ids.extend(inventory[kind].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
        }
        let name = Tag::builder().key("Name").value("renamed by hand").build();
        clients.ec2.create_tags().set_resources(Some(ids.clone())).tags(name).send().await.unwrap();
        let shown = world.succeeds(store, &format!("update cluster {NAME}"));
        assert_eq!(shown.matches("renamed by hand → ").count(), ids.len(), "{shown}");
        assert_eq!(shown.matches("Will ").count(), 1, "{shown}");
        world.succeeds(store, &format!("update cluster {NAME} --yes"));
        let of_aws = |mut inventory: Value| {
            inventory.as_object_mut().unwrap().remove("objects");
            inventory
        };
        assert_eq!(of_aws(world.inventory()), of_aws(inventory));
        assert_eq!(world.succeeds(store, &format!("update cluster {NAME}")), "Nothing to do.\n");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn an_etcd_volume_that_lost_its_tags_stops_an_update_which_names_it_and_the_hint_brings_it_back() {
        let (world, store) = (World::new(), "s3://clusters");
        world.create(store, " --yes");
        let clients = world.region.clients().await;
        let volume = etcd_volume(&clients).await;
        let volume_id = volume.volume_id().unwrap();
        let keys = volume.tags().iter().map(|tag| Tag::builder().key(tag.key().unwrap()).build()).collect();
        clients.ec2.delete_tags().resources(volume_id).set_tags(Some(keys)).send().await.unwrap();
        world.forget_calls();
        for line in ["update cluster NAME", "update cluster NAME --yes"] {
            let said = world.refused(store, &line.replace("NAME", NAME));
            assert!(said.contains("a new volume would be blank"), "{said}");
            assert!(said.contains(&format!("{volume_id}: us-east-1a")), "{said}");
            assert!(said.contains("without a name, attached to nothing"), "{said}");
        }
        assert_eq!(world.calls(true), Vec::<String>::new());
        let said = world.refused(store, &format!("update cluster {NAME}"));
        let (_, marks) = said.split_once("--resources VOLUME --tags ").unwrap();
        let marks = marks.split_whitespace().map(|mark| {
            let (key, value) = mark.strip_prefix("Key=").unwrap().split_once(",Value=").unwrap();
            Tag::builder().key(key).value(value).build()
        });
        let marks = Some(marks.collect());
        clients.ec2.create_tags().resources(volume_id).set_tags(marks).send().await.unwrap();
        world.succeeds(store, &format!("update cluster {NAME} --yes"));
        assert_eq!(etcd_volume(&clients).await.volume_id(), Some(volume_id));
        assert_eq!(world.succeeds(store, &format!("update cluster {NAME}")), "Nothing to do.\n");
    }

    /// The volumes of etcd that have this name.
    async fn volumes_named(clients: &Clients, name: &str) -> Vec<Volume> {
        let call = clients.ec2.describe_volumes().filters(tags::filter("tag:Name", name));
        call.send().await.unwrap().volumes.unwrap_or_default()
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn of_three_masters_a_lost_volume_is_made_blank_by_its_name_and_two_are_not() {
        let (world, store) = (World::new(), "s3://clusters");
        let zones = "us-east-1a,us-east-1b,us-east-1c --control-plane-count 3 --create-state-store --yes";
        world.succeeds(store, &format!("create cluster {NAME} --networking flannel --zones {zones}"));
        let clients = world.region.clients().await;
        let names = ["a", "b", "c"].map(|letter| format!("{letter}.etcd-main.{NAME}"));
        let lose = async |name: &String| {
            let volumes = volumes_named(&clients, name).await;
            assert_eq!(volumes.len(), 1, "{name}: {volumes:?}");
            clients.ec2.delete_volume().volume_id(volumes[0].volume_id().unwrap()).send().await.unwrap();
        };
        let update = format!("update cluster {NAME} --yes");
        let replace = |name: &str| format!("{update} --replace-lost-volume {name}");
        lose(&names[2]).await;
        world.forget_calls();
        let said = world.refused(store, &update);
        assert!(said.contains(&format!("`--replace-lost-volume {}`", names[2])), "{said}");
        let said = world.refused(store, &replace("z.etcd-main"));
        assert!(said.contains("no volume of that name") && said.contains(&names[0]), "{said}");
        assert_eq!(world.calls(true), Vec::<String>::new());
        // Of one that is there, nothing is taken.
        for _ in 0..2 {
            world.succeeds(store, &replace(&names[2]));
            let made = volumes_named(&clients, &names[2]).await;
            let marked = made[0].tags().iter().find(|tag| tag.key() == Some("windlass.dev/replaces-lost"));
            assert_eq!((made.len(), marked.and_then(Tag::value)), (1, Some("c")), "{made:?}");
        }
        assert_eq!(world.succeeds(store, &format!("update cluster {NAME}")), "Nothing to do.\n");
        lose(&names[0]).await;
        lose(&names[1]).await;
        let said = world.refused(store, &replace(&names[0]));
        assert!(said.contains("1 of 3 volumes are left, which is no majority"), "{said}");
        assert!(said.contains("restore cluster"), "{said}");
        assert_eq!(volumes_named(&clients, &names[0]).await.len(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn masters_are_added_to_a_living_cluster_as_members_that_join_and_are_not_taken_away() {
        let (world, store) = (World::new(), "s3://clusters");
        let flags =
            "--networking flannel --zones us-east-1a,us-east-1b,us-east-1c --api-loadbalancer-type public";
        world.succeeds(store, &format!("create cluster {NAME} {flags} --create-state-store --yes"));
        let clients = world.region.clients().await;
        let first = etcd_volume(&clients).await;
        let one = world.succeeds(store, &format!("get all --name {NAME} -o yaml"));
        let three = format!("create cluster {NAME} {flags} --control-plane-count 3 --dry-run -o yaml");
        let three = world.succeeds(store, &three);
        let replace = |documents: &str| {
            let file = world.home.path().join("documents.yaml");
            std::fs::write(&file, documents).unwrap();
            format!("replace --force -f {}", file.display())
        };
        let said = world.refused(store, &replace(&three));
        assert_eq!(said.matches("hint: write `joins: true`").count(), 2, "{said}");
        let added = ["b", "c"].iter().fold(three, |text, member| {
            let named = format!("- name: {member}\n");
            text.replace(&named, &format!("{named}      joins: true\n"))
        });
        world.succeeds(store, &replace(&added));
        world.succeeds(store, &format!("update cluster {NAME} --yes"));
        for member in ["a", "b", "c"] {
            let found = volumes_named(&clients, &format!("{member}.etcd-main.{NAME}")).await;
            assert_eq!(found.len(), 1, "{member}: {found:?}");
            assert_eq!(member == "a", found[0].volume_id() == first.volume_id());
        }
        assert_eq!(world.succeeds(store, &format!("update cluster {NAME}")), "Nothing to do.\n");
        let said = world.refused(store, &replace(&one));
        assert!(said.contains("the master group `control-plane-us-east-1b` has no member"), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn of_two_volumes_for_one_member_an_update_shows_what_is_known_and_guesses_nothing() {
        let (world, store) = (World::new(), "s3://clusters");
        world.create(store, " --yes");
        let clients = world.region.clients().await;
        let volume = etcd_volume(&clients).await;
        let specification = aws_sdk_ec2::types::TagSpecification::builder()
            .resource_type(aws_sdk_ec2::types::ResourceType::Volume)
            .set_tags(volume.tags.clone())
            .build();
        let call =
            clients.ec2.create_volume().availability_zone("us-east-1a").size(20).volume_type("gp3".into());
        let second = call.tag_specifications(specification).send().await.unwrap();
        let ids = [volume.volume_id().unwrap(), second.volume_id().unwrap()];
        let neither = world.refused(store, &format!("update cluster {NAME} --yes"));
        assert_eq!(neither.matches("attached to nothing").count(), 2, "{neither}");
        let master = master(&clients).await;
        let call = clients.ec2.attach_volume().volume_id(ids[1]).device("/dev/xvdf");
        call.instance_id(master.instance_id().unwrap()).send().await.unwrap();
        let said = world.refused(store, &format!("update cluster {NAME} --yes"));
        let (error, hint) = said.split_once("hint: ").unwrap();
        for id in ids {
            assert!(error.contains(&format!("{id}: made 20")), "{said}");
            assert!(!hint.contains(id), "{said}");
        }
        let attached = format!("attached to {} since 20", master.instance_id().unwrap());
        let of = |id: &str| error.lines().find(|line| line.contains(id)).unwrap();
        assert!(of(ids[0]).ends_with("attached to nothing") && of(ids[1]).contains(&attached), "{said}");
    }
}
