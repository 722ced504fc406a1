//! What is said, and with which exit code, when a service denies, throttles, fails or can't be reached: the same for
//! every service that a command asks.

mod with_region {
    use std::collections::BTreeSet;
    use std::process::{Command, Output};

    use localcloud::process::Process;
    use localcloud::region::Region;
    use serde_json::{Value, json};

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
        _process: Process,
        home: tempfile::TempDir,
    }

    impl World {
        async fn with_cluster() -> Self {
            let (region, process) = Region::start("us-east-1").await.unwrap();
            let version = windlass::spec::versions::default_kubernetes();
            region.post("images", &machine_image(version)).await.unwrap();
            let world = Self { region, _process: process, home: tempfile::tempdir().unwrap() };
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
            let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
            command
                .args(line.split_whitespace())
                .env_clear()
                .env("HOME", self.home.path())
                .env("AWS_ENDPOINT_URL", url)
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ACCESS_KEY_ID", "operator")
                .env("AWS_SECRET_ACCESS_KEY", "operator-secret")
                .env("WINDLASS_STATE_STORE", STATE);
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
            self.region.delete("journal").await.unwrap();
            self.windlass(line, None);
            let journal: Vec<Value> = self.region.get("journal").await.unwrap();
            let services = journal.iter().filter(|call| call["principal"] == "operator");
            services.filter_map(|call| Some(call["service"].as_str()?.to_owned())).collect()
        }

        async fn stage(&self, service: &str, trouble: Trouble, actions: &str) {
            self.region.delete("faults").await.unwrap();
            if let Some((code, status)) = trouble.answer(service) {
                let fault = json!([{"service": service, "action": actions, "code": code, "status": status, "times": null}]);
                self.region.post("faults", &fault).await.unwrap();
            }
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

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn every_service_that_is_unwell_ends_a_command_with_5_the_call_and_a_hint() {
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
            for trouble in [Trouble::Denied, Trouble::Throttled, Trouble::Failing, Trouble::Unreachable] {
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
