//! Whose what is in AWS is: accounts, regions, clusters of one name, and tags that somebody edited.

mod with_region {
    use std::process::{Command, Output};

    use aws_sdk_ec2::types::{Tag, Volume};
    use serde_json::{Value, json};
    use windlass::aws::Clients;
    use windlass::aws::tags;
    use windlass::state::identity::{Place, Whereabouts};
    use windlass::state::{ClusterState, Condition, Store};

    use crate::support::region::Region;

    const NAME: &str = "demo.example.com";

    struct World {
        region: Region,
        home: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let region = Region::start();
            region.register_image(windlass::spec::versions::default_kubernetes());
            Self { region, home: tempfile::tempdir().unwrap() }
        }

        fn windlass(&self, store: &str, line: &str) -> Output {
            Command::new(env!("CARGO_BIN_EXE_windlass"))
                .args(line.split(' '))
                .args(["--state", store])
                .envs(self.region.environment())
                .env("HOME", self.home.path())
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
            let line = format!("create cluster {NAME} --zones us-east-1a --networking flannel");
            self.succeeds(store, &format!("{line} --create-state-store{more}"));
        }

        fn inventory(&self) -> Value {
            self.region.ask("GET", "inventory", &Value::Null)
        }

        /// The calls to services of AWS's besides those that hold the state and know the caller.
        fn calls(&self, only_changes: bool) -> Vec<String> {
            let journal = self.region.ask("GET", "journal", &Value::Null);
            let entries = journal.as_array().unwrap().iter();
            let entries =
                entries.filter(|entry| !["s3", "sts"].contains(&entry["service"].as_str().unwrap()));
            let entries = entries.filter(|entry| !only_changes || entry["mutating"] == true);
            entries.map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
        }

        fn forget_calls(&self) {
            self.region.ask("DELETE", "journal", &Value::Null);
        }

        async fn state(&self, store: &str) -> ClusterState {
            let store = Store::open(store, &self.region.clients().await).await.unwrap();
            ClusterState::new(store, NAME)
        }
    }

    fn place() -> Place {
        Place { account: "123456789012".to_owned(), region: "us-east-1".to_owned() }
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
        assert_eq!((identity.place, identity.owns_unmarked), (place(), false));
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
        world.refused(store, &format!("delete cluster {NAME} --region eu-west-1 --yes"));
        world.succeeds(store, &format!("delete cluster {NAME} --yes"));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn clusters_of_one_name_in_two_stores_never_touch_each_other_s() {
        let (world, one, two) = (World::new(), "s3://clusters-one", "s3://clusters-two");
        world.create(one, " --yes");
        world.create(two, "");
        let delete = format!("delete cluster {NAME} --yes");
        for settled in [false, true] {
            if settled {
                world.create(two, "");
                world.state(two).await.settle(&place()).await.unwrap();
            }
            world.forget_calls();
            for line in ["update cluster NAME", "update cluster NAME --yes"] {
                let said = world.refused(two, &line.replace("NAME", NAME));
                assert!(said.contains("belongs to another cluster of the same name"), "{said}");
                assert!(
                    said.contains(&format!("`role/masters.{NAME}`")) && said.contains("hint: "),
                    "{said}"
                );
            }
            world.succeeds(two, &delete);
            assert_eq!(world.calls(true), Vec::<String>::new());
            assert_eq!(world.succeeds(one, &format!("update cluster {NAME}")), "Nothing to do.\n");
        }
        world.succeeds(one, &delete);
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
        let said = world.refused(store, &format!("update cluster {NAME} --yes"));
        let (error, hint) = said.split_once("hint: ").unwrap();
        for id in ids {
            assert!(error.contains(&format!("{id}: made 20")), "{said}");
            assert!(!hint.contains(id), "{said}");
        }
        assert_eq!(error.matches("attached to nothing").count(), 2, "{said}");
    }
}
