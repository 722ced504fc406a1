//! `stop cluster` and `start cluster`: what is stopped, what comes back, and what other commands make of it in between.

mod with_region {
    use std::collections::{BTreeMap, BTreeSet};
    use std::process::Output;
    use std::time::{Duration, Instant};

    use aws_sdk_ec2::types::Reservation;
    use serde_json::json;
    use windlass::aws::Clients;
    use windlass::state::bucket::create_bucket;

    use crate::support::region::Region;

    const NAME: &str = "demo.example.com";

    struct World {
        region: Region,
        clients: Clients,
        home: tempfile::TempDir,
    }

    impl World {
        /// A region with a cluster of a master and two nodes.
        async fn new() -> Self {
            let region = Region::start();
            let clients = region.clients().await;
            let world = Self { region, clients, home: tempfile::tempdir().unwrap() };
            world.region.register_image("1.36.3");
            create_bucket(&world.clients, "clusters", None).await.unwrap();
            world.succeeds(
                "create cluster --zones us-east-1a --node-count 2 --kubernetes-version 1.36.3 --networking flannel",
            );
            world.succeeds("update cluster --yes --create-kube-config=false");
            world.instances_become(&["running"; 3]).await;
            world
        }

        fn windlass(&self, line: &str) -> Output {
            let mut command = self.region.operator(self.home.path(), "s3://clusters/team");
            command.args(line.split_whitespace()).args(["--name", NAME]).output().unwrap()
        }

        fn succeeds(&self, line: &str) -> String {
            self.ends(line, 0)
        }

        fn ends(&self, line: &str, code: i32) -> String {
            let output = self.windlass(line);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{line}: {said}");
            String::from_utf8_lossy(&output.stdout).into_owned() + &said
        }

        /// What EC2 says of each instance that isn't gone.
        async fn instances(&self) -> BTreeMap<String, String> {
            let answer = self.clients.ec2.describe_instances().send().await.unwrap();
            let all = answer.reservations().iter().flat_map(Reservation::instances);
            all.map(|instance| {
                let state = instance.state().unwrap().name().unwrap().as_str().to_owned();
                (instance.instance_id().unwrap().to_owned(), state)
            })
            .filter(|(_, state)| state != "terminated")
            .collect()
        }

        async fn instances_become(&self, states: &[&str]) -> BTreeMap<String, String> {
            let deadline = Instant::now() + Duration::from_mins(1);
            loop {
                let found = self.instances().await;
                let mut now: Vec<&str> = found.values().map(String::as_str).collect();
                now.sort_unstable();
                if now == states {
                    return found;
                }
                assert!(Instant::now() < deadline, "{found:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }

        /// What is suspended of each group.
        async fn suspended(&self) -> BTreeMap<String, BTreeSet<String>> {
            let answer = self.clients.autoscaling.describe_auto_scaling_groups().send().await.unwrap();
            let groups = answer.auto_scaling_groups().iter();
            groups
                .map(|group| {
                    let suspended = group.suspended_processes().iter();
                    let suspended = suspended.filter_map(|it| it.process_name().map(str::to_owned)).collect();
                    (group.auto_scaling_group_name().unwrap().to_owned(), suspended)
                })
                .collect()
        }

        /// Long enough that the region would have replaced what it takes for dead.
        async fn time_passes(&self) {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_cluster_that_is_stopped_stays_as_it_is_and_starts_as_it_was() {
        let world = World::new().await;
        let before = world.instances().await;
        let listed = world.succeeds("stop cluster");
        assert!(before.keys().all(|id| listed.contains(&format!("stop {id} ("))), "{listed}");
        assert!(listed.contains("Nothing was stopped.") && listed.contains("--yes"), "{listed}");
        assert_eq!(world.instances().await, before);

        let said = world.succeeds("stop cluster --yes");
        assert!(said.contains("Stopped cluster: demo.example.com"), "{said}");
        let order: Vec<usize> = ["(nodes-us-east-1a.demo", "(control-plane-us-east-1a.masters"]
            .map(|group| said.rfind(&format!(" {group}")).unwrap_or_else(|| panic!("{said}")))
            .into();
        assert!(order[0] < order[1], "masters stop last: {said}");
        world.time_passes().await;
        let stopped = world.instances_become(&["stopped"; 3]).await;
        assert!(stopped.keys().eq(before.keys()), "{stopped:?}");

        // What comes in between neither starts it nor calls it drift.
        let update = world.succeeds("update cluster --yes --create-kube-config=false");
        assert!(update.contains("stopped since") && update.contains("windlass start cluster"), "{update}");
        assert!(world.suspended().await.values().all(|suspended| suspended.contains("Launch")));
        let edited = "edit instancegroup nodes-us-east-1a --set spec.maxSize=3 --set spec.suspendProcesses=AZRebalance";
        world.succeeds(edited);
        world.succeeds("update cluster --yes --create-kube-config=false");
        let validated = world.ends("validate cluster", 2);
        assert!(validated.contains("is stopped since"), "{validated}");
        let refused = world.ends("restore cluster", 1);
        assert!(
            refused.contains("is stopped since") && refused.contains("windlass start cluster"),
            "{refused}"
        );
        let again = world.succeeds("stop cluster --yes");
        assert!(again.contains("Nothing of demo.example.com runs"), "{again}");

        let said = world.succeeds("start cluster --yes");
        let order: Vec<usize> = ["(control-plane-us-east-1a.masters", "(nodes-us-east-1a.demo"]
            .map(|group| said.rfind(&format!(" {group}")).unwrap_or_else(|| panic!("{said}")))
            .into();
        assert!(order[0] < order[1], "masters start first: {said}");
        world.time_passes().await;
        let started = world.instances_become(&["running"; 3]).await;
        assert!(started.keys().eq(before.keys()), "{started:?}");
        // What the specification wants suspended stays so.
        let suspended = world.suspended().await;
        let of_nodes = BTreeSet::from(["AZRebalance".to_owned()]);
        assert!(suspended.iter().all(|(group, suspended)| {
            if group.starts_with("nodes") { *suspended == of_nodes } else { suspended.is_empty() }
        }));
        let plan = world.succeeds("update cluster");
        assert!(plan.contains("Nothing to do") && !plan.contains("stopped since"), "{plan}");
        assert!(world.succeeds("start cluster --yes").contains("isn't stopped"));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_stop_or_a_start_that_fails_halfway_goes_on_when_it_is_run_again() {
        let world = World::new().await;
        let before = world.instances().await;
        for (action, line) in [
            ("SuspendProcesses", "stop cluster --yes"),
            ("StopInstances", "stop cluster --yes"),
            ("StartInstances", "start cluster --yes"),
            ("ResumeProcesses", "start cluster --yes"),
            ("DeleteTags", "start cluster --yes"),
        ] {
            if line.starts_with("start") && action == "StartInstances" {
                world.succeeds("stop cluster --yes");
            }
            let service = if action.ends_with("Instances") { "ec2" } else { "autoscaling" };
            let code = if service == "ec2" { "UnauthorizedOperation" } else { "AccessDenied" };
            let fault =
                json!([{"service": service, "action": action, "code": code, "status": 403, "times": null}]);
            world.region.inject(&fault);
            let said = world.ends(line, 5);
            world.region.clear_faults();
            assert!(said.contains(action) && said.contains("hint:"), "{said}");
            world.time_passes().await;
            assert!(world.instances().await.keys().eq(before.keys()), "{action}: one was replaced");
        }
        world.succeeds("start cluster --yes");
        assert!(world.instances_become(&["running"; 3]).await.keys().eq(before.keys()));
        assert!(world.suspended().await.values().all(BTreeSet::is_empty));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn spot_instances_are_ended_and_others_come_and_what_somebody_suspended_stays_so() {
        let world = World::new().await;
        world.succeeds("edit instancegroup nodes-us-east-1a --set spec.maxPrice=0.05");
        world.succeeds("update cluster --yes --create-kube-config=false");
        let nodes = "nodes-us-east-1a.demo.example.com";
        let launched_anew = async || {
            for size in [0, 2] {
                let call =
                    world.clients.autoscaling.update_auto_scaling_group().auto_scaling_group_name(nodes);
                call.min_size(size).max_size(size).desired_capacity(size).send().await.unwrap();
                let size = usize::try_from(size).unwrap();
                world.instances_become(&vec!["running"; 1 + size]).await;
            }
        };
        launched_anew().await;
        let call = world.clients.autoscaling.suspend_processes().auto_scaling_group_name(nodes);
        call.scaling_processes("AlarmNotification").send().await.unwrap();
        let before = world.instances().await;
        let listed = world.succeeds("stop cluster");
        assert_eq!(listed.matches("EC2 doesn't stop Spot instances").count(), 2, "{listed}");
        world.succeeds("stop cluster --yes");
        world.time_passes().await;
        world.instances_become(&["stopped"]).await;
        world.succeeds("start cluster --yes");
        let after = world.instances_become(&["running"; 3]).await;
        assert_eq!(after.keys().filter(|id| before.contains_key(*id)).count(), 1, "the master");
        assert_eq!(world.suspended().await[nodes], BTreeSet::from(["AlarmNotification".to_owned()]));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_cluster_that_is_stopped_can_be_deleted() {
        let world = World::new().await;
        world.succeeds("stop cluster --yes");
        let said = world.succeeds("delete cluster --yes");
        assert!(said.contains("Deleted cluster: demo.example.com"), "{said}");
        assert!(world.instances().await.is_empty());
    }
}
