//! Clusters that an older windlass has made are read, and gone on with.

use windlass::state::identity::Whereabouts;
use windlass::state::object_kind::{fault, is_known};
use windlass::state::{ClusterState, Store};

use crate::support::fixture;

const NAME: &str = "demo.example.com";

/// The states of older versions, by the commit that wrote them.
const OLDER: [&str; 2] = ["579859e", "d93c855"];

#[tokio::test]
async fn a_state_that_an_older_windlass_wrote_is_read_whole() {
    for version in OLDER {
        let state = ClusterState::new(Store::file(fixture::folder(version).join("state")), NAME);
        let specification = state.read().await.unwrap();
        specification.resolve().unwrap();
        state.secrets().await.unwrap();
        let applied = state.applied().await.unwrap().unwrap();
        let revision = state.revision(applied).await.unwrap();
        assert!(revision.says(&specification.documents), "{version}");
        assert!(!state.contents(&revision).await.unwrap().is_empty(), "{version}");
        let whereabouts = state.whereabouts().await.unwrap();
        let place = whereabouts.place().map(ToString::to_string);
        assert_eq!(place.as_deref(), Some("account 123456789012, region us-east-1"), "{version}");
    }
}

#[tokio::test]
async fn every_object_of_a_state_that_an_older_windlass_wrote_is_known_and_sound() {
    for version in OLDER {
        let store = Store::file(fixture::folder(version).join("state"));
        let keys = store.list("").await.unwrap();
        assert!(keys.len() > 15, "{keys:?}");
        for key in keys {
            let bytes = store.get(&key).await.unwrap().unwrap().bytes;
            assert!(is_known(NAME, &key), "{version}: {key}");
            assert_eq!(fault(NAME, &key, &bytes), None, "{version}: {key}");
        }
    }
}

#[tokio::test]
async fn what_the_state_knows_of_a_cluster_since_it_has_a_uid_is_still_known() {
    let state = ClusterState::new(Store::file(fixture::folder("d93c855").join("state")), NAME);
    let Whereabouts::Recorded(identity) = state.whereabouts().await.unwrap() else { panic!("no identity") };
    assert_eq!((identity.uid.len(), identity.owns_unmarked), (32, false));
    let specification = state.read().await.unwrap();
    assert_eq!(specification.documents.additional_objects.len(), 1);
    let revision = state.revision(1).await.unwrap();
    assert_eq!(revision.images.len(), 3, "{:?}", revision.images);
    assert_eq!(revision.documents.additional_objects.len(), 1);
}

#[tokio::test]
async fn a_cluster_made_before_there_were_uids_owns_what_has_none() {
    let state = ClusterState::new(Store::file(fixture::folder("579859e").join("state")), NAME);
    let whereabouts = state.whereabouts().await.unwrap();
    assert!(matches!(whereabouts, Whereabouts::Unrecorded(Some(_))), "{whereabouts:?}");
    let owner = whereabouts.owner(NAME);
    assert!(owner.unmarked_too && owner.uid.is_none());
}

mod with_region {
    use std::collections::BTreeMap;
    use std::process::Output;

    use serde_json::Value;
    use windlass::aws::Clients;
    use windlass::aws::tags;

    use super::*;
    use crate::support::region::{Region, machine_image};

    /// The kinds of resources that came after the older versions and that every cluster gets.
    const UNKNOWN_THEN: [&str; 2] = ["gateway-endpoint/", "backup-expiry/"];

    struct World {
        region: Region,
        home: tempfile::TempDir,
    }

    impl World {
        async fn of(version: &str) -> Self {
            let region = Region::start();
            fixture::load(version, &region).await;
            Self { region, home: tempfile::tempdir().unwrap() }
        }

        fn windlass(&self, line: &str) -> Output {
            let mut command = self.region.operator(self.home.path(), &format!("s3://{}", fixture::BUCKET));
            command
                .args(line.split(' '))
                .env("KUBECONFIG", self.home.path().join("kubeconfig"))
                .output()
                .unwrap()
        }

        fn succeeds(&self, line: &str) -> String {
            let output = self.windlass(line);
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        }

        /// AWS's ids of all that there is, by kind.
        fn inventory(&self) -> BTreeMap<String, Value> {
            let inventory = self.region.inventory();
            inventory
                .as_object()
                .unwrap()
                .clone()
                .into_iter()
                .filter(|(kind, _)| kind != "objects" && kind != "instances" && kind != "networkInterfaces")
                .collect()
        }

        /// AWS's ids of all that there is of those kinds that the older versions knew.
        fn inventory_of_then(&self) -> BTreeMap<String, Value> {
            let mut inventory = self.inventory();
            inventory.remove("vpcEndpoints");
            inventory
        }

        /// The id of the image that the older version made its cluster with.
        async fn image(&self) -> String {
            let call = self.region.clients().await.ec2.describe_images().owners("self").send().await;
            let images = call.unwrap().images.unwrap();
            images[0].image_id().unwrap().to_owned()
        }

        /// An image that boots what is written today, newer than the one of the fixture.
        fn build_image_of_today(&self) {
            // EC2 tells images apart by the second in which they were made.
            std::thread::sleep(std::time::Duration::from_millis(1100));
            let mut image = machine_image("1.36.3");
            image["name"] = "windlass-1.36.3-debian-13-amd64-etcd-3.6.16-2".into();
            self.region.ask("POST", "images", &image);
        }

        async fn state(&self) -> ClusterState {
            let store = Store::open(&format!("s3://{}", fixture::BUCKET), &self.region.clients().await).await;
            ClusterState::new(store.unwrap(), NAME)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn an_older_cluster_whose_image_cannot_boot_what_is_written_today_is_refused_and_nothing_is_changed()
     {
        let world = World::of("579859e").await;
        let nodes = "nodes-us-east-1a";
        for newer_image in [false, true] {
            if newer_image {
                // The masters would take the new one; this group names the one that it runs.
                let old = world.image().await;
                world.build_image_of_today();
                world.succeeds(&format!("edit ig {nodes} --name {NAME} --set spec.image={old}"));
            }
            world.region.forget_journal();
            let inventory = world.inventory();
            for line in ["update cluster", "update cluster --yes"] {
                let refused = world.windlass(&format!("{line} --name {NAME}"));
                let said = String::from_utf8_lossy(&refused.stderr);
                assert_eq!(refused.status.code(), Some(1), "{line}: {said}");
                for words in [
                    "was built by an older windlass",
                    "it has no tag `windlass.dev/etcd-version`",
                    "windlass-1.36.3-debian-13-amd64-1",
                    "packer build",
                ] {
                    assert!(said.contains(words), "{words}: {said}");
                }
                assert!(!newer_image || said.contains(nodes), "{said}");
            }
            let journal = world.region.journal();
            let changed = journal.iter().filter(|call| call["mutating"] == true);
            let changed: Vec<&Value> = changed.filter(|call| call["service"] != "s3").collect();
            assert_eq!(changed, Vec::<&Value>::new());
            assert_eq!(world.inventory(), inventory);
        }
    }

    /// Renames the Elastic IP, the volume and the Internet gateway, as in a console.
    async fn rename_by_hand(clients: &Clients) {
        let addresses = clients.ec2.describe_addresses().send().await.unwrap();
        let volumes = clients.ec2.describe_volumes().send().await.unwrap();
        let of_etcd =
            volumes.volumes().iter().filter(|it| it.tags().iter().any(|tag| tag.key() == Some("Name")));
        let gateways = clients.ec2.describe_internet_gateways().send().await.unwrap();
        let ids = addresses.addresses().iter().filter_map(|it| it.allocation_id());
        let ids = ids.chain(of_etcd.filter_map(|it| it.volume_id()));
        let ids = ids.chain(gateways.internet_gateways().iter().filter_map(|it| it.internet_gateway_id()));
        let name = aws_sdk_ec2::types::Tag::builder().key("Name").value("renamed by hand").build();
        let ids = ids.map(str::to_owned).collect();
        clients.ec2.create_tags().set_resources(Some(ids)).tags(name).send().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn the_first_update_of_an_older_cluster_marks_what_is_there_and_creates_and_replaces_nothing() {
        let world = World::of("579859e").await;
        world.build_image_of_today();
        rename_by_hand(&world.region.clients().await).await;
        let before = world.inventory_of_then();
        let shown = world.succeeds(&format!("update cluster {NAME} -o json"));
        let plan: Value = serde_json::from_str(&shown).unwrap();
        for step in plan["steps"].as_array().unwrap() {
            let resource = step["resource"].as_str().unwrap();
            // What a newer windlass has instances read is another object. That, and what that version didn't know, is all
            // that it may make.
            let may_be_new = ["state-object/", "node-groups/"]
                .iter()
                .chain(&UNKNOWN_THEN)
                .any(|kind| resource.starts_with(kind));
            assert!(step["action"] == "update" || may_be_new, "{step:#}");
        }
        assert_eq!(plan["kept"], serde_json::json!([]));
        world.succeeds(&format!("update cluster {NAME} --yes"));
        assert_eq!(world.inventory_of_then(), before, "something was made or replaced");
        let identity = world.state().await.whereabouts().await.unwrap();
        let Whereabouts::Recorded(identity) = identity else { panic!("{identity:?}") };
        assert!(identity.owns_unmarked);
        let clients = world.region.clients().await;
        let volumes = clients.ec2.describe_volumes().filters(tags::of_cluster(NAME)).send().await.unwrap();
        let volume_tags = volumes.volumes()[0].tags();
        let tag =
            |key: &str| volume_tags.iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
        assert_eq!(tag(tags::UID), Some(identity.uid.as_str()));
        assert_eq!(tag(tags::NAME), tag("Name"));
        assert_eq!(world.succeeds(&format!("update cluster {NAME}")), "Nothing to do.\n");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn looking_at_an_older_cluster_changes_nothing_and_its_update_replaces_nothing() {
        let world = World::of("d93c855").await;
        world.region.forget_journal();
        let before = world.inventory_of_then();
        for line in ["get all -o yaml", "get secrets", "history", "diff"] {
            assert!(!world.succeeds(&format!("{line} --name {NAME}")).is_empty() || line == "diff", "{line}");
        }
        let shown = world.succeeds(&format!("update cluster {NAME} -o json"));
        let journal = world.region.journal();
        let changes = journal.iter().filter(|call| call["mutating"] == true);
        assert_eq!(changes.collect::<Vec<_>>(), Vec::<&Value>::new());
        let plan: Value = serde_json::from_str(&shown).unwrap();
        for step in plan["steps"].as_array().unwrap() {
            let resource = step["resource"].as_str().unwrap();
            // What a newer windlass has instances read, and what they are started with, may be another.
            let [gateway_endpoint, backup_expiry] = UNKNOWN_THEN;
            let is_read_by_instances =
                ["state-object/", "node-groups/", "additional-objects/", gateway_endpoint, backup_expiry];
            let is_new = step["action"] == "create";
            let may_be = if is_new {
                is_read_by_instances.iter().any(|kind| resource.starts_with(kind))
            } else {
                step["action"] == "update"
            };
            assert!(may_be, "{step:#}");
        }
        assert_eq!(plan["kept"], serde_json::json!([]));
        world.succeeds(&format!("update cluster {NAME} --yes"));
        assert_eq!(world.inventory_of_then(), before, "something was made or replaced");
        assert_eq!(world.succeeds(&format!("update cluster {NAME}")), "Nothing to do.\n");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn an_older_cluster_is_deleted_whole() {
        for version in OLDER {
            let world = World::of(version).await;
            world.succeeds(&format!("delete cluster {NAME} --yes"));
            let left = world.inventory();
            let left: Vec<_> = left.iter().filter(|(_, ids)| *ids != &serde_json::json!([])).collect();
            let stays = |kind: &str| ["images", "buckets"].contains(&kind);
            assert!(left.iter().all(|(kind, _)| stays(kind)), "{version}: {left:?}");
        }
    }
}
