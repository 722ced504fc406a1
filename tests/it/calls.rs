//! How many calls commands make, and in how many rounds, by the region's journal: time that a user waits, and AWS's limits
//! that every cluster of an account shares.

mod with_region {
    use std::process::Output;

    use serde_json::{Value, json};

    use crate::support::region::{Region, rounds};

    const CREATE: &str = "create cluster demo.example.com --zones us-east-1a,us-east-1b --node-count 2 \
                          --kubernetes-version 1.36.3 --create-state-store";
    const APPLY: &str = "update cluster demo.example.com --yes";
    const SHOW: &str = "update cluster demo.example.com";

    const LOCK: &str = "/clusters/team/demo.example.com/lock";

    /// Every answer's delay where rounds are counted: long beside what a call takes besides, also where processors are busy.
    const LATENCY_MILLISECONDS: u32 = 1000;

    struct World {
        region: Region,
        home: tempfile::TempDir,
    }

    /// What a command did.
    struct Calls(Vec<Value>);

    impl World {
        fn new() -> Self {
            let world = Self { region: Region::start(), home: tempfile::tempdir().unwrap() };
            world.region.register_image("1.36.3");
            world
        }

        fn calls(&self, line: &str) -> Calls {
            let (output, calls) = self.run(line);
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            calls
        }

        fn run(&self, line: &str) -> (Output, Calls) {
            self.region.forget_journal();
            let mut command = self.region.operator(self.home.path(), "s3://clusters/team");
            let output = command.args(line.split_whitespace()).output().unwrap();
            (output, Calls(self.region.journal()))
        }

        /// Writes so many groups of nodes that begin no instance.
        fn create_groups(&self, count: usize) {
            let group = |number| {
                format!(
                    "---\napiVersion: kops.k8s.io/v1alpha2\nkind: InstanceGroup\n\
                     metadata: {{name: more-{number}, labels: {{kops.k8s.io/cluster: demo.example.com}}}}\n\
                     spec: {{role: Node, minSize: 0, maxSize: 1}}\n"
                )
            };
            let file = self.home.path().join("groups.yaml");
            std::fs::write(&file, (0..count).map(group).collect::<String>()).unwrap();
            self.calls(&format!("create -f {}", file.display()));
        }

        fn every_answer_is_late(&self) {
            self.region.inject(&json!([{"latencyMs": LATENCY_MILLISECONDS, "times": null}]));
        }
    }

    impl Calls {
        fn count(&self, is_counted: impl Fn(&Value) -> bool) -> usize {
            self.0.iter().filter(|call| is_counted(call)).count()
        }

        fn of_s3(&self) -> usize {
            self.count(|call| call["service"] == "s3")
        }

        fn changing(&self) -> usize {
            self.count(|call| call["mutating"] == true)
        }

        /// Those that change nothing, but for the state's bucket.
        fn reads_of_aws(&self) -> usize {
            self.count(|call| call["service"] != "s3" && call["mutating"] != true)
        }

        fn listed(&self) -> String {
            let line = |call: &Value| {
                let text = |field: &str| call[field].as_str().unwrap_or_default().to_owned();
                format!(
                    "{:.3} {} {} {}\n",
                    call["began"].as_f64().unwrap(),
                    text("service"),
                    text("action"),
                    text("path")
                )
            };
            self.0.iter().map(line).collect()
        }
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn a_first_update_and_one_that_has_nothing_to_do_make_few_calls_in_few_rounds() {
        let world = World::new();
        world.calls(CREATE);
        let first = world.calls(APPLY);
        // Writes side by side share a look at the lock, or come too late for it.
        let looks = first.count(|call| call["action"] == "GetObject" && call["path"] == LOCK);
        assert!(first.0.len() - looks <= 102 && looks <= 12, "{looks} of:\n{}", first.listed());
        let nothing = world.calls(SHOW);
        assert_eq!(nothing.changing(), 0, "{}", nothing.listed());
        assert!(nothing.0.len() <= 61, "{} calls:\n{}", nothing.0.len(), nothing.listed());
        world.every_answer_is_late();
        let nothing = world.calls(SHOW);
        assert!(rounds(&nothing.0) <= 6, "{} rounds:\n{}", rounds(&nothing.0), nothing.listed());
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn a_changed_specification_is_held_against_aws_once() {
        let world = World::new();
        world.calls(CREATE);
        world.calls(APPLY);
        let nothing = world.calls(APPLY);
        world.calls("edit ig nodes-us-east-1a --name demo.example.com --set spec.maxSize=7");
        let changed = world.calls(APPLY);
        let vpcs = |calls: &Calls| calls.count(|call| call["action"] == "DescribeVpcs");
        assert_eq!((vpcs(&nothing), vpcs(&changed)), (1, 1), "{}", changed.listed());
        // Two updates in a row find that there is nothing to do, and write nothing.
        assert_eq!(world.calls(APPLY).changing(), 0);
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn a_group_more_adds_no_call_of_awss_to_a_look_and_one_document_of_the_state() {
        let world = World::new();
        world.calls(CREATE);
        world.calls(APPLY);
        let before = world.calls(SHOW);
        for group in ["one", "two", "three"] {
            world.calls(&format!(
                "create ig {group} --name demo.example.com --subnet us-east-1a --edit=false"
            ));
        }
        world.calls(APPLY);
        let after = world.calls(SHOW);
        assert_eq!(after.of_s3() - before.of_s3(), 3, "{}", after.listed());
        let of_aws = |calls: &Calls| calls.0.len() - calls.of_s3();
        assert_eq!(of_aws(&after), of_aws(&before), "{}", after.listed());
    }

    /// What a first update of a cluster with so many groups more does, and then one that has nothing to do.
    fn updates_of(groups: usize) -> (Calls, Calls) {
        let world = World::new();
        world.calls(CREATE);
        world.create_groups(groups);
        (world.calls(APPLY), world.calls(SHOW))
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn a_group_more_adds_always_the_same_writes_to_a_first_update_and_no_read_of_awss() {
        const GROUPS: [usize; 3] = [2, 12, 30];
        /// Its launch template, its Auto Scaling group, and the configuration of its nodes.
        const WRITES: usize = 3;
        let updates = GROUPS.map(updates_of);
        let (fewest, nothing) = &updates[0];
        for ((first, second), groups) in updates.iter().zip(GROUPS) {
            let more = groups - GROUPS[0];
            assert_eq!(first.changing(), fewest.changing() + more * WRITES, "{}", first.listed());
            assert_eq!(first.reads_of_aws(), fewest.reads_of_aws(), "{}", first.listed());
            assert_eq!(second.changing(), 0, "{}", second.listed());
            assert_eq!(second.reads_of_aws(), nothing.reads_of_aws(), "{}", second.listed());
        }
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn two_hundred_instances_are_listed_and_validated_by_one_page_of_calls_for_each_hundred() {
        const PAGES: usize = 2;
        let world = World::new();
        world.calls(&CREATE.replace("--node-count 2", "--node-count 199"));
        world.calls(APPLY);
        let (listed, of_listing) = world.run("get instances demo.example.com -o json");
        let instances: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(instances.len(), 200);
        // No machine runs in the region, so that nothing answers, and no report is there to be read.
        let (_, of_validation) = world.run("validate cluster demo.example.com");
        for calls in [of_listing, of_validation] {
            for action in ["DescribeInstances", "DescribeAutoScalingGroups"] {
                let count = calls.count(|call| call["action"] == action);
                assert!((1..=PAGES).contains(&count), "{count} {action} of:\n{}", calls.listed());
            }
            assert!(calls.0.len() <= 40, "{} calls:\n{}", calls.0.len(), calls.listed());
            assert_eq!(calls.changing(), 0, "{}", calls.listed());
        }
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn groups_of_instances_are_looked_at_by_pages_of_a_hundred() {
        let world = World::new();
        world.calls(CREATE);
        world.create_groups(101);
        world.calls(APPLY);
        let (_, calls) = world.run("get instances demo.example.com");
        let pages = calls.count(|call| call["action"] == "DescribeAutoScalingGroups");
        assert_eq!(pages, 2, "{}", calls.listed());
    }
}
