//! What is said, and with which exit code, when a service denies, throttles, fails or can't be reached: the same for
//! every service that a command asks.

mod with_region {
    use std::collections::BTreeSet;
    use std::process::Output;

    use localcloud::process::Owned;
    use localcloud::region::Region;
    use serde_json::json;
    use windlass::aws::Clients;

    use crate::support::operator;
    use crate::support::region::machine_image;

    const NAME: &str = "demo.example.com";
    const STATE: &str = "s3://clusters-of-an-unwell-region";

    /// What can be wrong with a service.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Trouble {
        Denied,
        Throttled,
        Failing,
        Unreachable,
    }

    /// A service and those of its calls that fail; what must be named of them.
    type Stage = (&'static str, &'static str, &'static str);

    /// What fails while a cluster is made, one after the other. What comes later fails in the earlier ones as well, so
    /// that it is still to be done.
    const MAKING: [Stage; 5] = [
        ("s3", "PutObject", "s3:PutObject of"),
        ("route53", "ChangeResourceRecordSets", "route53:ChangeResourceRecordSets of"),
        ("iam", "(Create|Put|Add|Tag).*", "iam:Create"),
        ("ec2", "CreateLaunchTemplate", "ec2:CreateLaunchTemplate of"),
        ("autoscaling", "CreateAutoScalingGroup", "autoscaling:CreateAutoScalingGroup of"),
    ];

    /// What fails while one is changed: more nodes, of another type, and a tag on everything. A record set has no tags.
    const CHANGING: [Stage; 4] = [
        ("s3", "PutObject", "s3:PutObject of"),
        ("iam", "(Tag|Put).*", "iam:"),
        ("ec2", "Create(Tags|LaunchTemplateVersion)", "ec2:Create"),
        ("autoscaling", "(Update|Create).*", "autoscaling:"),
    ];

    /// What fails while one is deleted.
    const DELETING: [Stage; 5] = [
        ("autoscaling", "DeleteAutoScalingGroup", "autoscaling:DeleteAutoScalingGroup of"),
        ("route53", "ChangeResourceRecordSets", "route53:ChangeResourceRecordSets of"),
        ("ec2", "Delete(LaunchTemplate|Vpc|Subnet|SecurityGroup)", "ec2:Delete"),
        ("iam", "(Delete|Remove|Detach).*", "iam:"),
        ("s3", "DeleteObjects", "s3:DeleteObjects of"),
    ];

    impl Trouble {
        /// The code with which a service says so (the services' API references, "Common errors").
        fn answer(self, service: &str) -> Option<(&'static str, u16)> {
            match (self, service) {
                (Self::Denied, "ec2") => Some(("UnauthorizedOperation", 403)),
                (Self::Denied, _) => Some(("AccessDenied", 403)),
                (Self::Throttled, "ec2") => Some(("RequestLimitExceeded", 503)),
                (Self::Throttled, "s3") => Some(("SlowDown", 503)),
                (Self::Throttled, _) => Some(("Throttling", 400)),
                (Self::Failing, _) => Some(("InternalError", 500)),
                (Self::Unreachable, _) => None,
            }
        }

        /// What the hint must say.
        fn advice(self, service: &str) -> String {
            match self {
                Self::Denied => format!("need the permission `{service}:"),
                Self::Throttled | Self::Failing => "run the same command again".to_owned(),
                Self::Unreachable => "check the network".to_owned(),
            }
        }
    }

    struct World {
        region: Region,
        _process: Owned,
        home: tempfile::TempDir,
        /// How often a call is made, where that isn't left to windlass.
        attempts: Option<&'static str>,
    }

    impl World {
        /// A region with an image and a hosted zone.
        async fn new() -> Self {
            let (region, process) = Region::fork("us-east-1").await.unwrap();
            let version = windlass::spec::versions::default_kubernetes();
            region.post("images", &machine_image(version)).await.unwrap();
            let clients = Clients::for_endpoint("us-east-1", &format!("http://{}", region.address())).await;
            let zone = clients.route53.create_hosted_zone().name("example.com").caller_reference("once");
            zone.send().await.unwrap();
            Self { region, _process: process, home: tempfile::tempdir().unwrap(), attempts: None }
        }

        async fn with_cluster() -> Self {
            let world = Self::new().await;
            for line in [
                format!("create cluster {NAME} --zones us-east-1a --create-state-store"),
                format!("update cluster {NAME} --yes --create-kube-config=false"),
            ] {
                let output = world.windlass(&line, None);
                assert!(output.status.success(), "{line}: {output:?}");
            }
            world
        }

        /// Runs a command; a service that is named can't be reached by it.
        fn windlass(&self, line: &str, unreachable: Option<&str>) -> Output {
            let url = format!("http://{}", self.region.address());
            let mut command = operator::command_in("us-east-1", &url, self.home.path(), STATE);
            command.args(line.split_whitespace());
            if let Some(attempts) = self.attempts {
                command.env("AWS_MAX_ATTEMPTS", attempts);
            }
            if let Some(service) = unreachable {
                let name = match service {
                    "autoscaling" => "AUTO_SCALING".to_owned(),
                    "route53" => "ROUTE_53".to_owned(),
                    "elb" => "ELASTIC_LOAD_BALANCING".to_owned(),
                    "elbv2" => "ELASTIC_LOAD_BALANCING_V2".to_owned(),
                    service => service.to_uppercase(),
                };
                // Nothing listens on the discard port of this machine.
                command.env(format!("AWS_ENDPOINT_URL_{name}"), "http://127.0.0.1:9");
            }
            command.output().unwrap()
        }

        /// The services that a command asks where nothing is wrong.
        async fn asked_by(&self, line: &str) -> BTreeSet<String> {
            self.region.forget_journal().await.unwrap();
            self.windlass(line, None);
            let journal = self.region.journal().await.unwrap();
            let services = journal.iter().filter(|call| call["principal"] == "operator");
            services.filter_map(|call| Some(call["service"].as_str()?.to_owned())).collect()
        }

        async fn stage(&self, service: &str, trouble: Trouble, actions: &str) {
            self.region.clear_faults().await.unwrap();
            if let Some((code, status)) = trouble.answer(service) {
                let fault = json!([{"service": service, "action": actions, "code": code, "status": status, "times": null}]);
                self.region.inject(&fault).await.unwrap();
            }
        }

        /// Makes one command end at each of some stages, and then lets it finish. Returns what it said at the end.
        async fn suffers(&self, line: &str, stages: &[Stage], trouble: Trouble) -> String {
            for number in 0..stages.len() {
                self.region.clear_faults().await.unwrap();
                let faults = stages[number..].iter().map(|(service, actions, _)| {
                    let mut fault = json!({"service": service, "action": actions, "times": null});
                    // The lock is had, and what is applied is written down, before AWS is changed.
                    if *service == "s3" && *actions == "PutObject" {
                        fault["skip"] = 2.into();
                    }
                    match trouble.answer(service) {
                        Some((code, status)) => {
                            (fault["code"], fault["status"]) = (code.into(), status.into());
                        }
                        None => fault["drop"] = true.into(),
                    }
                    fault
                });
                self.region.inject(&faults.collect()).await.unwrap();
                let (service, _, named) = stages[number];
                let output = self.windlass(line, None);
                let said = String::from_utf8_lossy(&output.stderr);
                // The hint is about the first thing that failed, which may be a later stage's.
                let is_hinted = |stage: &&Stage| said.contains(&format!("permission `{}:", stage.0));
                let hinted = stages[number..].iter().find(is_hinted).map_or(service, |stage| stage.0);
                is_told(&output, line, hinted, trouble);
                let failed = said.lines().find(|line| line.contains(named));
                let failed = failed.unwrap_or_else(|| panic!("no `{named}`: {line}, {trouble:?}: {said}"));
                if let Some((code, _)) = trouble.answer(service) {
                    assert!(failed.contains(code) && failed.contains("(request id "), "{failed}");
                }
            }
            self.region.clear_faults().await.unwrap();
            let output = self.windlass(line, None);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{line} after {trouble:?}: {said}");
            said
        }
    }

    /// Asserts that a command ended with 5, and said which call of which service failed, the request's id where there
    /// was an answer, and what to type.
    fn is_told(output: &Output, line: &str, service: &str, trouble: Trouble) {
        // IAM has one name for both generations of load balancers.
        let service = if service.starts_with("elb") { "elasticloadbalancing" } else { service };
        let said = String::from_utf8_lossy(&output.stderr);
        let case = format!("`{line}`, {service} {trouble:?}: {said}");
        assert_eq!(output.status.code(), Some(5), "{case}");
        assert!(said.contains(&format!("{service}:")), "no call is named: {case}");
        assert!(trouble == Trouble::Unreachable || said.contains("request id"), "{case}");
        let hints: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("hint: ")).collect();
        assert_eq!(hints.len(), 1, "{case}");
        assert!(hints[0].contains(&trouble.advice(service)), "{case}");
    }

    /// Each service in one trouble, and each command that asks it something.
    async fn meet_everywhere(trouble: Trouble) {
        let world = World::with_cluster().await;
        let commands = [
            "create cluster another.example.com --zones us-east-1a".to_owned(),
            format!("update cluster {NAME} --yes"),
            format!("delete cluster {NAME}"),
        ];
        // What creating a cluster asks is seen on one that is made; the other one never is.
        let asked = [
            world.asked_by("create cluster third.example.com --zones us-east-1a").await,
            world.asked_by(&commands[1]).await,
            world.asked_by(&commands[2]).await,
        ];
        for (command, wanted) in
            [(0, "s3"), (1, "s3"), (1, "ec2"), (1, "iam"), (1, "autoscaling"), (2, "ec2")]
        {
            assert!(asked[command].contains(wanted), "{}: {:?}", commands[command], asked[command]);
        }
        let services: BTreeSet<&String> = asked.iter().flatten().collect();
        for service in services {
            world.stage(service, trouble, ".*").await;
            let unreachable = (trouble == Trouble::Unreachable).then_some(service.as_str());
            let asking = commands.iter().zip(&asked).filter(|(_, asked)| asked.contains(service));
            std::thread::scope(|scope| {
                for (line, _) in asking {
                    let world = &world;
                    scope.spawn(move || {
                        is_told(&world.windlass(line, unreachable), line, service, trouble);
                    });
                }
            });
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_service_that_denies_ends_every_command_with_5_the_call_and_a_hint() {
        meet_everywhere(Trouble::Denied).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_service_that_throttles_ends_every_command_with_5_the_call_and_a_hint() {
        meet_everywhere(Trouble::Throttled).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_service_that_fails_ends_every_command_with_5_the_call_and_a_hint() {
        meet_everywhere(Trouble::Failing).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_service_that_is_not_reached_ends_every_command_with_5_the_call_and_a_hint() {
        meet_everywhere(Trouble::Unreachable).await;
    }

    /// A whole life under one trouble, each of whose commands ends at the calls of every service that change something.
    async fn live_with(trouble: Trouble) {
        let world = World { attempts: Some("2"), ..World::new().await };
        let create = format!(
            "create cluster {NAME} --zones us-east-1a --dns-zone example.com --create-state-store --yes"
        );
        world.suffers(&create, &MAKING, trouble).await;
        for line in [
            format!("edit cluster {NAME} --set spec.cloudLabels.team=a"),
            format!(
                "edit ig nodes-us-east-1a --name {NAME} --set spec.maxSize=3 --set spec.machineType=t3.large"
            ),
        ] {
            let output = world.windlass(&line, None);
            assert!(output.status.success(), "{line}: {output:?}");
        }
        let update = format!("update cluster {NAME} --yes");
        world.suffers(&update, &CHANGING, trouble).await;
        let again = world.windlass(&update, None);
        assert_eq!(String::from_utf8_lossy(&again.stdout), "Nothing to do.\n", "{trouble:?}");
        let said = world.suffers(&format!("delete cluster {NAME} --yes"), &DELETING, trouble).await;
        assert!(said.contains(&format!("Deleted cluster: {NAME}")), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn changes_that_are_denied_end_each_command_with_5_and_it_goes_on_from_there() {
        live_with(Trouble::Denied).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn changes_that_are_throttled_end_each_command_with_5_and_it_goes_on_from_there() {
        live_with(Trouble::Throttled).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn changes_that_fail_within_aws_end_each_command_with_5_and_it_goes_on_from_there() {
        live_with(Trouble::Failing).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn changes_that_the_network_loses_end_each_command_with_5_and_it_goes_on_from_there() {
        live_with(Trouble::Unreachable).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_change_that_is_denied_ends_with_5_and_names_the_permission() {
        for (service, actions) in [
            ("ec2", "(Delete|Release|Disassociate|Revoke|Detach).*"),
            ("iam", "(Delete|Remove|Detach).*"),
            ("autoscaling", "(Delete|Update|Set).*"),
        ] {
            let world = World::with_cluster().await;
            world.stage(service, Trouble::Denied, actions).await;
            let line = format!("delete cluster {NAME} --yes");
            let output = world.windlass(&line, None);
            is_told(&output, &line, service, Trouble::Denied);
        }
    }
}
