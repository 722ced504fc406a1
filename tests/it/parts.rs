//! The flags of commands that kops has, too: which part of a specification `update cluster` brings to AWS, how the cluster stands in
//! the kubeconfig, and which flags of `create cluster` ask for what can't be made.

use crate::support::user::{User, refused, stderr};

#[test]
fn flags_of_a_part_that_can_t_be_understood_are_told_all_at_once() {
    let user = User::new();
    user.create();
    let line = "update cluster demo.example.com --instance-group nodes-us-east-1c,control-plane-us-east-1a \
                --instance-group-roles bastion,etcd --lifecycle-overrides SecurityGroup=Never,Vpn=Ignore";
    let told = [
        "there is no instance group `nodes-us-east-1c`; did you mean `nodes-us-east-1",
        "no instance group has the role `bastion`",
        "`etcd` runs on masters here",
        "`Never` is not known",
        "`Vpn` is neither a task of kops's nor a kind of windlass's",
    ];
    refused(user.run(line), 1, &told);
    refused(
        user.run("update cluster demo.example.com --phase everything"),
        1,
        &["network", "security", "cluster"],
    );
}

#[test]
fn a_kubeconfig_has_a_user_that_is_there_already_and_no_other() {
    let user = User::new();
    user.create();
    let export = "export kubeconfig demo.example.com --api-server https://198.51.100.7";
    refused(user.run(&format!("{export} --user ada")), 1, &["has no user `ada`", "--admin"]);
    std::fs::create_dir_all(user.path(".kube")).unwrap();
    let config = "apiVersion: v1\nkind: Config\nusers:\n- name: ada\n  user: {token: hers}\n";
    user.file(".kube/config", config);
    let exported = user.run(&format!("{export} --user ada")).code(0);
    assert!(!stderr(&exported).contains("without a credential"), "{}", stderr(&exported));
    let written = || std::fs::read_to_string(user.path(".kube/config")).unwrap();
    assert!(written().contains("user: \"ada\"") && written().contains("token: \"hers\""), "{}", written());
    // She stays chosen, until another user is, or a credential is made.
    user.run(export).code(0);
    assert!(written().contains("user: \"ada\""), "{}", written());
    refused(user.run(&format!("{export} --user bea")), 1, &["has no user `bea`", "it has: ada"]);
    user.run(&format!("{export} --admin=1h")).code(0);
    assert!(written().contains("user: \"demo.example.com\""), "{}", written());
    refused(user.run(&format!("{export} --user ada --admin")), 1, &["cannot be used with"]);
}

#[test]
fn create_cluster_names_all_flags_at_once_that_ask_for_what_can_t_be_made() {
    let user = User::new();
    let line = "create cluster --name demo.example.com --zones us-east-1a --networking calico --authorization AlwaysAllow \
                --image nothing --node-count 2 --target terraform --out files";
    let told = [
        "`demo.example.com` can't be created, because of --target, --out, --authorization, --image, --networking",
        "--target: `terraform` is not supported",
        "--out: windlass writes no files",
        "spec.networking.calico: this field is not supported yet",
        "spec.authorization.alwaysAllow",
        "`nothing` is not a machine image",
    ];
    refused(user.run(line), 1, &told);
    assert!(user.state().is_empty());
    let external = "create cluster --name demo.example.com --zones us-east-1a --networking external";
    refused(user.run(external), 1, &["because of --networking", "spec.networking.external"]);
    user.run("create cluster --name demo.example.com --zones us-east-1a --target direct --override spec.sshKeyName=a").code(0);
}

mod with_region {
    use std::process::Output;

    use windlass::state::bucket::create_bucket;

    use crate::support::region::Region;

    const NAME: &str = "demo.example.com";

    struct World {
        region: Region,
        home: tempfile::TempDir,
    }

    impl World {
        async fn new() -> Self {
            let region = Region::start_as("us-east-1");
            region.register_image(windlass::spec::versions::default_kubernetes());
            create_bucket(&region.clients().await, "clusters", None).await.unwrap();
            Self { region, home: tempfile::tempdir().unwrap() }
        }

        fn windlass(&self, line: &str) -> Output {
            let mut command = self.region.operator(self.home.path(), "s3://clusters/team");
            command.args(line.split_whitespace()).env("WINDLASS_CLUSTER_NAME", NAME).output().unwrap()
        }

        /// What a command that succeeds prints, and says.
        fn succeeds(&self, line: &str) -> String {
            let output = self.windlass(line);
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{line}: {said}");
            said
        }

        fn kubeconfig(&self) -> String {
            std::fs::read_to_string(self.home.path().join(".kube/config")).unwrap()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_part_is_said_to_be_one_by_every_command_until_the_rest_is_done() {
        let world = World::new().await;
        world.succeeds("create cluster --zones us-east-1a,us-east-1b --node-count 2");
        world.succeeds("update cluster --yes");
        world.succeeds("edit instancegroup nodes-us-east-1a --set spec.machineType=t3.large");
        world.succeeds("edit instancegroup nodes-us-east-1b --set spec.machineType=t3.large");
        let shown = world.succeeds("update cluster --instance-group nodes-us-east-1a");
        assert!(shown.contains("Only the instance group nodes-us-east-1a; left out "), "{shown}");
        let again = format!("windlass update cluster {NAME} --instance-group nodes-us-east-1a ");
        assert!(shown.contains(&again), "{shown}");
        let done = world.succeeds("update cluster --instance-group nodes-us-east-1a --yes");
        assert!(
            done.contains("To make the rest as the specification says: windlass update cluster"),
            "{done}"
        );
        let history = world.succeeds("history");
        assert!(history.contains("(in part: the instance group nodes-us-east-1a)"), "{history}");
        let applied: Vec<&str> = history.lines().filter(|line| line.contains('*')).collect();
        assert!(applied.len() == 1 && applied[0].starts_with('1'), "{history}");
        let diff = world.succeeds("diff");
        assert!(
            diff.contains("Of revision 2 only the instance group nodes-us-east-1a was applied"),
            "{diff}"
        );
        let rollback = world.succeeds("rollback 2");
        assert!(rollback.contains("Of revision 2 only the instance group nodes-us-east-1a"), "{rollback}");
        let rest = world.succeeds("update cluster --yes");
        assert!(rest.contains("auto-scaling-group/nodes-us-east-1b"), "{rest}");
        assert!(!rest.contains("auto-scaling-group/nodes-us-east-1a"), "{rest}");
        assert!(world.succeeds("diff").contains("They say the same."));
        let nothing = world.succeeds("update cluster --yes --prune");
        assert!(nothing.contains("Nothing to do."), "{nothing}");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_private_zone_s_cluster_is_created_by_flags_alone_and_its_kubeconfig_has_the_internal_name() {
        use aws_sdk_route53::types::{HostedZoneConfig, Vpc, VpcRegion};

        let world = World::new().await;
        let clients = world.region.clients().await;
        let vpc = clients.ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap().vpc.unwrap();
        let vpc = Vpc::builder().vpc_region(VpcRegion::UsEast1).vpc_id(vpc.vpc_id().unwrap()).build();
        let private = HostedZoneConfig::builder().private_zone(true).build();
        let zone = clients.route53.create_hosted_zone().name("example.com").caller_reference("once");
        zone.hosted_zone_config(private).vpc(vpc).send().await.unwrap();
        world.succeeds("create cluster --zones us-east-1a --dns private --yes");
        let server = |name: &str| format!("server: \"https://{name}.{NAME}\"\n");
        assert!(world.kubeconfig().contains(&server("api")), "{}", world.kubeconfig());
        world.succeeds("update cluster --yes --internal");
        assert!(world.kubeconfig().contains(&server("api.internal")), "{}", world.kubeconfig());
        world.succeeds("export kubeconfig");
        assert!(world.kubeconfig().contains(&server("api")), "{}", world.kubeconfig());
        world.succeeds("export kubeconfig --internal");
        assert!(world.kubeconfig().contains(&server("api.internal")), "{}", world.kubeconfig());
        let refused = world.windlass("update cluster --yes --user nobody");
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    }
}
