//! Going back to an earlier revision.

mod with_region {
    use std::process::Output;

    use serde_json::{Value, json};

    use crate::support::region::{Region, machine_image};

    const CREATE: &str = "create cluster demo.example.com --zones us-east-1a --kubernetes-version 1.36.3 \
                          --create-state-store --yes";

    struct World {
        region: Region,
        home: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            Self { region: Region::start(), home: tempfile::tempdir().unwrap() }
        }

        /// Registers an image for Kubernetes 1.36.3; returns its id.
        fn image(&self, number: u32) -> String {
            let mut image = machine_image("1.36.3");
            image["name"] = format!("windlass-1.36.3-debian-13-{number}").into();
            let answer = self.region.ask("POST", "images", &image).to_string();
            let id = answer.split('"').find(|word| word.starts_with("ami-"));
            id.unwrap_or_else(|| panic!("{answer}")).to_owned()
        }

        fn run(&self, line: &str) -> Output {
            let mut command = self.region.operator(self.home.path(), "s3://clusters");
            command.args(line.split_whitespace()).output().unwrap()
        }

        /// What a command that succeeds prints and says.
        fn said(&self, line: &str) -> String {
            let output = self.run(line);
            let text = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.status.success(), "{line}: {text}");
            text
        }

        /// The changing calls since the journal was last forgotten.
        fn changes(&self) -> Vec<Value> {
            let mut calls = self.region.journal();
            calls.retain(|call| call["mutating"] == true);
            calls
        }

        fn forget_journal(&self) {
            self.region.forget_journal();
        }
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn rollback_shows_both_differences_and_writes_nothing_and_with_yes_goes_back_to_the_image_that_ran() {
        let world = World::new();
        let first = world.image(1);
        world.said(CREATE);
        // EC2 tells images apart by the second in which they were made.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let second = world.image(2);
        world.said("edit ig nodes-us-east-1a --name demo.example.com --set spec.maxSize=4");
        assert!(world.said("update cluster demo.example.com --yes").contains(&second));
        world.forget_journal();
        let shown = world.said("rollback 1 --name demo.example.com");
        for words in [
            "-  maxSize: 4",
            "+  maxSize: 1",
            &format!("+  image: {first}"),
            "auto-scaling-group/",
            "Nothing was changed. To make these changes: windlass rollback 1 --name demo.example.com --yes",
        ] {
            assert!(shown.contains(words), "`{words}` is not in: {shown}");
        }
        assert_eq!(world.changes(), Vec::<Value>::new(), "it only shows, and writes");
        assert!(world.said("get ig nodes-us-east-1a --name demo.example.com -o yaml").contains("maxSize: 4"));
        let done = world.said("rollback 1 --name demo.example.com --yes");
        assert!(done.contains("The specification is that of revision 1 again."), "{done}");
        let group = world.said("get ig nodes-us-east-1a --name demo.example.com -o yaml");
        assert!(group.contains("maxSize: 1") && group.contains(&format!("image: {first}")), "{group}");
        assert!(world.said("update cluster demo.example.com").contains("Nothing to do."));
        assert!(world.said("rollback 1 --name demo.example.com --yes").contains("of revision 1 already"));
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn a_rollback_that_can_not_see_the_images_of_today_pins_none_and_fails_with_what_aws_said() {
        let world = World::new();
        world.image(1);
        world.said(CREATE);
        let denied = json!([{"service": "ec2", "action": "DescribeImages", "code": "UnauthorizedOperation",
            "status": 403, "times": null}]);
        world.region.inject(&denied);
        let output = world.run("rollback 1 --name demo.example.com");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("ec2:DescribeImages") && !said.contains("it would be none today"), "{said}");
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn a_rollback_to_what_can_not_be_made_any_more_is_refused_before_the_specification_is_written() {
        let world = World::new();
        let first = world.image(1);
        world.said(CREATE);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        world.image(2);
        world.said("edit ig nodes-us-east-1a --name demo.example.com --set spec.maxSize=4");
        world.said("update cluster demo.example.com --yes");
        world.region.call("ec2", &format!("Action=DeregisterImage&Version=2016-11-15&ImageId={first}"));
        world.forget_journal();
        let output = world.run("rollback 1 --name demo.example.com --yes");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&first), "{said}");
        for call in world.changes() {
            assert_eq!(
                call["path"], "/clusters/demo.example.com/lock",
                "it was written before it was refused"
            );
        }
        assert!(world.said("get ig nodes-us-east-1a --name demo.example.com -o yaml").contains("maxSize: 4"));
        assert!(world.said("update cluster demo.example.com").contains("Nothing to do."));
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn an_update_of_a_cluster_that_does_not_exist_writes_no_lock() {
        let world = World::new();
        world.image(1);
        world.said(CREATE);
        world.forget_journal();
        for line in ["update cluster other.example.com --yes", "rollback 7 --name demo.example.com --yes"] {
            let refused = world.run(line);
            assert_eq!(refused.status.code(), Some(1), "{line}");
            assert_eq!(world.changes(), Vec::<Value>::new(), "{line}");
        }
    }
}
