//! What `validate cluster` and `get instances` see of AWS and of the state, on the emulated region.

mod with_region {
    use std::process::Output;

    use localcloud::process::Owned;
    use localcloud::region::Region;
    use serde_json::{Value, json};
    use windlass::aws::Clients;
    use windlass::health::{Outcome, Snapshot, StateView, Unanswered, evaluate, observe};
    use windlass::state::{ClusterState, Condition, Store};
    use windlass_bootstrap::keys;

    use crate::support::operator;
    use crate::support::region::machine_image;

    const NAME: &str = "demo.example.com";
    const STATE: &str = "s3://clusters-of-a-test";

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_cluster_that_was_never_applied_is_unhealthy_and_the_hint_says_what_to_do() {
        let world = World::new().await;
        world.create(&[]);
        let validated = world.windlass(&["validate", "cluster", "-o", "json"]);
        assert_eq!(validated.status.code(), Some(2), "{validated:?}");
        let report: Value = serde_json::from_slice(&validated.stdout).unwrap();
        assert_eq!(report["ready"], false);
        let failures = report["failures"].as_array().unwrap();
        let missing = failures.iter().filter(|failure| failure["type"] == "InstanceGroup");
        assert_eq!(missing.count(), 3, "{report}");
        let said = String::from_utf8(validated.stderr).unwrap();
        assert_eq!(said.matches("hint: `windlass update cluster`").count(), 1, "{said}");

        let begun = std::time::Instant::now();
        let waiting = world.windlass(&["validate", "cluster", "--wait", "10m", "--count", "2"]);
        assert_eq!(waiting.status.code(), Some(2), "{waiting:?}");
        let said = String::from_utf8(waiting.stderr).unwrap();
        assert!(said.contains("nothing of `demo.example.com` has been applied yet"), "{said}");
        assert!(begun.elapsed().as_secs() < 60, "it waited {:?}", begun.elapsed());

        let instances = world.windlass(&["get", "instances", "-o", "json"]);
        assert_eq!(instances.status.code(), Some(0), "{instances:?}");
        assert_eq!(serde_json::from_slice::<Value>(&instances.stdout).unwrap(), json!([]));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn groups_and_instances_are_seen_in_one_call_each_and_boots_in_their_reports() {
        let world = World::new().await;
        world.create(&["--yes"]);
        let clients = Clients::for_endpoint("us-east-1", &world.url()).await;
        let store = Store::open(STATE, &clients).await.unwrap();
        world.region.forget_journal().await.unwrap();
        let cloud = observe::cloud(&clients, NAME).await.unwrap();
        let journal = world.region.journal().await.unwrap();
        assert_eq!(journal.len(), 2, "{journal:#?}");
        assert_eq!((cloud.groups.len(), cloud.instances.len()), (3, 3), "{cloud:#?}");
        for group in &cloud.groups {
            let member = &group.members[0];
            assert_eq!(member.template_version, group.template_version, "{group:#?}");
            assert_eq!(
                cloud.instances[&member.instance].instance_group.as_ref(),
                Some(&group.instance_group)
            );
        }

        let instance = cloud.groups[0].members[0].instance.clone();
        let report = json!({"version": "windlass/v1", "instance": instance, "instanceGroup": "x", "zone": "us-east-1a",
            "agent": "0.1.0", "state": "failed", "step": "ensure_image", "reason": "another version",
            "since": "2026-11-21T01:02:03Z", "agentStartedAfter": 2.5, "steps": []});
        let key = keys::status(NAME, &instance);
        store.put(&key, report.to_string().into_bytes(), Condition::Absent).await.unwrap();
        let ids: Vec<String> = cloud.instances.keys().cloned().collect();
        let boot = observe::reports(&store, NAME, &ids).await.unwrap();
        let cluster = ClusterState::new(store, NAME).read().await.unwrap().resolve().unwrap();
        let nobody = Unanswered { message: "nobody asked".to_owned(), hint: None, may_come: true };
        let now = "2026-11-21T01:02:03Z".parse().unwrap();
        let snapshot = Snapshot {
            now,
            cloud,
            cloud_is_new: true,
            state: StateView::default(),
            backups: windlass::health::BackupsView::default(),
            boot,
            kubernetes: Err(nobody),
        };
        let report = evaluate(&cluster, &snapshot);
        let machine = report.problems().find(|check| check.name == instance).unwrap();
        assert!(
            matches!(&machine.outcome, Outcome::Fail { why, .. } if why.ends_with("ensure_image failed: another version")),
            "{machine:?}"
        );
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_kubeconfig_has_the_api_s_name_where_a_hosted_zone_has_it() {
        let world = World::new().await;
        let clients = Clients::for_endpoint("us-east-1", &world.url()).await;
        let zone = clients.route53.create_hosted_zone().name("example.com").caller_reference("once");
        let zone = zone.send().await.unwrap().hosted_zone.unwrap();
        world.create(&["--dns-zone", "example.com", "--yes"]);
        let kubeconfig = || std::fs::read_to_string(world.home.path().join(".kube/config")).unwrap();
        let server = format!("server: \"https://api.{NAME}\"\n");
        assert!(kubeconfig().contains(&server), "{}", kubeconfig());
        std::fs::remove_file(world.home.path().join(".kube/config")).unwrap();
        let exported = world.windlass(&["export", "kubeconfig"]);
        assert!(exported.status.success(), "{exported:?}");
        assert!(kubeconfig().contains(&server), "{}", kubeconfig());
        // Windlass itself goes by the address: nobody has heard of the name, and it is the address that is asked.
        let validated = world.windlass(&["validate", "cluster"]);
        let said = String::from_utf8_lossy(&[validated.stdout, validated.stderr].concat()).into_owned();
        assert!(
            !said.contains(&format!("https://api.{NAME}")) && said.contains("the API at https://"),
            "{said}"
        );

        let deleted = world.windlass(&["delete", "cluster", NAME, "--yes"]);
        assert!(deleted.status.success(), "{deleted:?}");
        let left =
            clients.route53.list_resource_record_sets().hosted_zone_id(zone.id()).send().await.unwrap();
        assert_eq!(left.resource_record_sets().len(), 2, "the zone's own: {left:?}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_somebody_changed_on_aws_is_said_as_such_also_where_an_applied_group_is_taken_out_at_once() {
        let world = World::new().await;
        world.create(&["--yes"]);
        let clients = Clients::for_endpoint("us-east-1", &world.url()).await;
        let volumes = clients.ec2.describe_volumes().send().await.unwrap();
        let etcd = volumes.volumes().iter().find(|volume| {
            volume.tags().iter().any(|tag| tag.value().is_some_and(|value| value.contains("etcd-main")))
        });
        let etcd = etcd.unwrap().volume_id().unwrap();
        clients.ec2.modify_volume().volume_id(etcd).size(100).send().await.unwrap();
        let removed = world.windlass(&["delete", "instancegroup", "nodes-us-east-1b", "--yes"]);
        assert!(removed.status.success(), "{removed:?}");
        let refused = world.windlass(&["update", "cluster", "--yes"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            said.contains("somebody changed on AWS") && !said.contains("the specification asks"),
            "{said}"
        );
    }

    struct World {
        region: Region,
        _process: Owned,
        home: tempfile::TempDir,
    }

    impl World {
        async fn new() -> Self {
            let (region, process) = Region::fork("us-east-1").await.unwrap();
            let version = windlass::spec::versions::default_kubernetes();
            region.post("images", &machine_image(version)).await.unwrap();
            Self { region, _process: process, home: tempfile::tempdir().unwrap() }
        }

        fn url(&self) -> String {
            format!("http://{}", self.region.address())
        }

        fn create(&self, more: &[&str]) {
            let arguments = [
                "create",
                "cluster",
                NAME,
                "--zones",
                "us-east-1a,us-east-1b",
                "--node-count",
                "2",
                "--create-state-store",
            ];
            let created = self.windlass(&[&arguments, more].concat());
            assert!(created.status.success(), "{created:?}");
        }

        fn windlass(&self, arguments: &[&str]) -> Output {
            let mut command = operator::command_in("us-east-1", &self.url(), self.home.path(), STATE);
            command.args(arguments).env("WINDLASS_CLUSTER_NAME", NAME).output().unwrap()
        }
    }
}
