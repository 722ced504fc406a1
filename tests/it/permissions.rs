//! What the roles of masters and nodes may read and write in the state: tried with the credentials that instances get,
//! against the emulated region's enforcement of IAM policies.

mod with_region {
    use aws_sdk_s3::Client;
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region as RegionName};
    use aws_sdk_s3::error::ProvideErrorMetadata;
    use localcloud::process::Owned;
    use localcloud::region::Region;
    use serde_json::{Value, json};
    use windlass_bootstrap::aws::state::{StateError, StateStore};
    use windlass_bootstrap::keys;

    use crate::support::operator;
    use crate::support::region::machine_image;

    const CLUSTER: &str = "demo.example.com";
    const BUCKET: &str = "permissions-state";
    const SIGNING_KEYS: [&str; 4] = ["kubernetes-ca", "etcd-ca", "front-proxy-ca", "service-account"];

    /// A region with a cluster in it, whose instances exist but don't run.
    struct Cloud {
        region: Region,
        _process: Owned,
    }

    impl Cloud {
        async fn with_cluster() -> Self {
            Self::with_cluster_that(&[]).await
        }

        /// With a cluster that was created with more arguments.
        async fn with_cluster_that(more: &[&str]) -> Self {
            let (region, process) = Region::fork("us-east-1").await.unwrap();
            region.post("images", &machine_image("1.36.3")).await.unwrap();
            let cloud = Self { region, _process: process };
            let create = [
                "create",
                "cluster",
                "--zones",
                "us-east-1a",
                "--networking",
                "flannel",
                "--create-state-store",
            ];
            cloud.windlass(&[&create[..], more].concat());
            cloud.windlass(&["update", "cluster", "--yes", "--create-kube-config=false"]);
            cloud.region.post("authentication", &json!({"enforce": true})).await.unwrap();
            cloud
        }

        fn windlass(&self, arguments: &[&str]) {
            let home = tempfile::tempdir().unwrap();
            let store = format!("s3://{BUCKET}");
            let mut command = operator::command_in("us-east-1", &self.endpoint(), home.path(), &store);
            let output = command.args(arguments).args(["--name", CLUSTER]).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }

        fn endpoint(&self) -> String {
            format!("http://{}", self.region.address())
        }

        /// A client with the credentials that an instance of a role gets from IMDS.
        async fn instance_of(&self, role: &str) -> Client {
            let (key, secret, token) = self.credentials_of(role).await;
            self.client(key, secret, token)
        }

        async fn credentials_of(&self, role: &str) -> (String, String, Option<String>) {
            let world = self.region.world_now().await.unwrap();
            let role = format!("{role}.{CLUSTER}");
            let instance =
                world.instances.iter().find(|instance| instance.role.as_ref() == Some(&role)).unwrap();
            let given = self.region.credentials(&instance.id).await.unwrap().unwrap();
            let text = |name: &str| given[name].as_str().unwrap().to_owned();
            (text("AccessKeyId"), text("SecretAccessKey"), Some(text("Token")))
        }

        /// What IAM calls an instance of a role.
        async fn user_id(&self, role: &str) -> String {
            let (key, secret, token) = self.credentials_of(role).await;
            let config = aws_sdk_sts::Config::builder()
                .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
                .region(aws_sdk_sts::config::Region::new("us-east-1"))
                .endpoint_url(self.endpoint())
                .credentials_provider(Credentials::new(key, secret, token, None, "test"))
                .build();
            let identity = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await.unwrap();
            identity.user_id().unwrap().to_owned()
        }

        fn operator(&self) -> Client {
            self.client("operator".to_owned(), "operator-secret".to_owned(), None)
        }

        fn client(&self, key: String, secret: String, token: Option<String>) -> Client {
            let config = aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(RegionName::new("us-east-1"))
                .endpoint_url(self.endpoint())
                .force_path_style(true)
                .credentials_provider(Credentials::new(key, secret, token, None, "test"))
                .build();
            Client::from_conf(config)
        }

        /// Every key of the cluster's state below a prefix.
        async fn keys(&self, prefix: &str) -> Vec<String> {
            let prefix = format!("{CLUSTER}/{prefix}");
            let listed =
                self.operator().list_objects_v2().bucket(BUCKET).prefix(prefix).send().await.unwrap();
            listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
        }
    }

    /// What a call comes to: `ok`, or AWS's error code.
    fn outcome<T, E: ProvideErrorMetadata>(answer: Result<T, E>) -> String {
        match answer {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.code().unwrap_or("no code").to_owned(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn masters_add_backups_and_can_neither_change_nor_delete_one() {
        use windlass_bootstrap::backup::{BackupId, Class, DESCRIPTION};
        let cloud = Cloud::with_cluster().await;
        let store = async |role: &str| StateStore::S3 {
            client: cloud.instance_of(role).await,
            bucket: BUCKET.to_owned(),
            prefix: String::new(),
        };
        let (masters, nodes) = (store("masters").await, store("nodes").await);
        let id = BackupId::at(jiff::Timestamp::UNIX_EPOCH);
        let key = keys::backup(CLUSTER, Class::Daily, id, DESCRIPTION);
        assert!(masters.put_if_absent(&key, b"first".to_vec()).await.unwrap());
        assert!(!masters.put_if_absent(&key, b"second".to_vec()).await.unwrap());
        let unconditional = masters.put(&key, b"second".to_vec()).await.unwrap_err();
        assert!(unconditional.to_string().contains("can't be used"), "{unconditional}");
        assert_eq!(masters.require(&key).await.unwrap(), b"first");
        assert_eq!(masters.keys(&keys::backups_prefix(CLUSTER)).await.unwrap(), [key.as_str()]);
        let client = cloud.instance_of("masters").await;
        let deleted = client.delete_object().bucket(BUCKET).key(&key).send().await;
        assert_eq!(outcome(deleted), "AccessDenied");
        let ruled = client.delete_bucket_lifecycle().bucket(BUCKET).send().await;
        assert_eq!(outcome(ruled), "AccessDenied");
        nodes.put_if_absent(&key.replace("daily", "hourly"), b"mine".to_vec()).await.unwrap_err();
        nodes.require(&key).await.unwrap_err();
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs the region"]
    async fn nodes_complete_actions_of_their_cluster_s_groups_alone_and_masters_alone_read_the_queue() {
        let handler = "spec.nodeTerminationHandler";
        let set = [
            format!("--set={handler}.enabled=true"),
            format!("--set={handler}.enableSQSTerminationDraining=true"),
        ];
        let cloud = Cloud::with_cluster_that(&set.each_ref().map(String::as_str)).await;
        let settings = async |key: (String, String, Option<String>)| {
            let (key, secret, token) = key;
            let credentials = Credentials::new(key, secret, token, None, "test");
            aws_config::defaults(BehaviorVersion::latest())
                .region(RegionName::new("us-east-1"))
                .endpoint_url(cloud.endpoint())
                .credentials_provider(credentials)
                .load()
                .await
        };
        let operator = settings(("operator".to_owned(), "operator-secret".to_owned(), None)).await;
        let (node, master) = (
            settings(cloud.credentials_of("nodes").await).await,
            settings(cloud.credentials_of("masters").await).await,
        );
        let groups = aws_sdk_autoscaling::Client::new(&operator);
        let all = groups.describe_auto_scaling_groups().send().await.unwrap();
        let all = all.auto_scaling_groups().iter();
        let ours = all.clone().find(|group| group.auto_scaling_group_name().unwrap().starts_with("nodes-"));
        let (ours, hook) = (ours.unwrap(), "nodes-us-east-1a-NTHLifecycleHook");
        let call =
            groups.create_auto_scaling_group().auto_scaling_group_name("others").min_size(0).max_size(1);
        let call = call.set_launch_template(ours.launch_template().cloned());
        call.set_vpc_zone_identifier(ours.vpc_zone_identifier().map(str::to_owned)).send().await.unwrap();
        let completing = async |config: &aws_config::SdkConfig, group: &str| {
            let call = aws_sdk_autoscaling::Client::new(config).complete_lifecycle_action();
            let call = call.auto_scaling_group_name(group).lifecycle_hook_name(hook).instance_id("i-1");
            outcome(call.lifecycle_action_result("CONTINUE").send().await)
        };
        let group = ours.auto_scaling_group_name().unwrap();
        // Nothing waits: who may complete an action is told that.
        assert_eq!(completing(&node, group).await, "ValidationError");
        assert_eq!(completing(&node, "others").await, "AccessDenied");
        assert_eq!(completing(&master, "others").await, "AccessDenied");
        let call = aws_sdk_autoscaling::Client::new(&node).delete_lifecycle_hook();
        let call = call.auto_scaling_group_name(group).lifecycle_hook_name(hook);
        assert_eq!(outcome(call.send().await), "AccessDenied");

        let queues = aws_sdk_sqs::Client::new(&operator);
        let made = queues.create_queue().queue_name("others").send().await.unwrap();
        let url = queues
            .get_queue_url()
            .queue_name("demo-example-com-nth")
            .send()
            .await
            .unwrap()
            .queue_url
            .unwrap();
        let receiving = async |config: &aws_config::SdkConfig, url: &str| {
            outcome(aws_sdk_sqs::Client::new(config).receive_message().queue_url(url).send().await)
        };
        assert_eq!(receiving(&master, &url).await, "ok");
        assert_eq!(receiving(&node, &url).await, "AccessDenied");
        assert_eq!(receiving(&master, made.queue_url().unwrap()).await, "AccessDenied");
        let call = aws_sdk_sqs::Client::new(&master).send_message().queue_url(&url).message_body("x");
        assert_eq!(outcome(call.send().await), "AccessDenied");
    }

    /// What reading a key comes to: `ok`, or AWS's error code.
    async fn reading(client: &Client, key: &str) -> String {
        match client.get_object().bucket(BUCKET).key(key).send().await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.code().unwrap_or("no code").to_owned(),
        }
    }

    /// What listing a prefix comes to; without one it is the whole bucket.
    async fn listing(client: &Client, prefix: Option<&str>) -> String {
        match client.list_objects_v2().bucket(BUCKET).set_prefix(prefix.map(str::to_owned)).send().await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.code().unwrap_or("no code").to_owned(),
        }
    }

    /// What writing a key comes to.
    async fn writing(client: &Client, key: &str) -> String {
        match client.put_object().bucket(BUCKET).key(key).body(b"{}".to_vec().into()).send().await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.code().unwrap_or("no code").to_owned(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs the region"]
    async fn a_node_reads_its_configuration_and_no_signing_key_and_a_master_reads_both() {
        let cloud = Cloud::with_cluster().await;
        let (node, master) = (cloud.instance_of("nodes").await, cloud.instance_of("masters").await);
        let configurations = cloud.keys("public/instance-groups/nodes").await;
        assert!(!configurations.is_empty(), "no node configuration was written");
        for key in &configurations {
            assert_eq!(reading(&node, key).await, "ok", "{key}");
            assert_eq!(reading(&master, key).await, "ok", "{key}");
        }
        let credentials = format!("{CLUSTER}/nodes/docker-config.json");
        // That there are none is an object: nobody would tell a node what isn't there.
        assert_eq!(reading(&node, &credentials).await, "ok");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, r#"{"auths": {"registry.example.com": {"auth": "YWRhOnMzY3JldA=="}}}"#)
            .unwrap();
        cloud.windlass(&["create", "secret", "dockerconfig", "-f", file.to_str().unwrap()]);
        for client in [&node, &master] {
            assert_eq!(reading(client, &credentials).await, "ok", "{credentials}");
        }
        assert_eq!(writing(&node, &credentials).await, "AccessDenied", "{credentials}");
        cloud.windlass(&["get", "secrets"]);
        cloud.windlass(&["delete", "secret", "dockerconfig", "--yes"]);
        assert_eq!(reading(&node, &credentials).await, "ok");
        let secrets = cloud.keys("control-plane/").await;
        for name in SIGNING_KEYS {
            let key = format!("{CLUSTER}/control-plane/keysets/{name}.json");
            assert!(secrets.contains(&key), "{key} was not written");
        }
        for key in &secrets {
            assert_eq!(reading(&node, key).await, "AccessDenied", "{key}");
            assert_eq!(reading(&master, key).await, "ok", "{key}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs the region"]
    async fn instances_write_their_reports_and_nothing_that_others_trust() {
        let cloud = Cloud::with_cluster().await;
        let (node, master) = (cloud.instance_of("nodes").await, cloud.instance_of("masters").await);
        let token = format!("{CLUSTER}/nodes/bootstrap-token.json");
        let marker = format!("{CLUSTER}/control-plane/etcd/main/a.json");
        let (node_id, master_id) = (cloud.user_id("nodes").await, cloud.user_id("masters").await);
        let node_itself = node_id.rsplit_once(':').unwrap().1.to_owned();
        for (client, own, other) in [(&node, &node_id, &master_id), (&master, &master_id, &node_id)] {
            assert_eq!(writing(client, &keys::status(CLUSTER, own)).await, "ok", "{own}");
            for foreign in [other.as_str(), node_itself.as_str(), "*", "x:i-0"] {
                assert_eq!(
                    writing(client, &keys::status(CLUSTER, foreign)).await,
                    "AccessDenied",
                    "{foreign}"
                );
            }
            for key in [
                "control-plane/keysets/kubernetes-ca.json",
                "cluster.yaml",
                "applied",
                "public/x.json",
                "nodes/docker-config.json",
                "backups/x",
            ] {
                assert_eq!(writing(client, &format!("{CLUSTER}/{key}")).await, "AccessDenied", "{key}");
            }
        }
        assert_eq!(writing(&node, &token).await, "AccessDenied");
        assert_eq!(writing(&node, &marker).await, "AccessDenied");
        assert_eq!(writing(&master, &token).await, "ok");
        assert_eq!(writing(&master, &marker).await, "ok");
        assert_eq!(reading(&node, &token).await, "ok");
        assert_eq!(cloud.region.get::<Value>("unimplemented").await.unwrap(), json!([]));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs the region"]
    async fn nodes_list_nothing_of_the_bucket_and_masters_only_what_is_theirs_by_its_prefix() {
        let cloud = Cloud::with_cluster().await;
        let (node, master) = (cloud.instance_of("nodes").await, cloud.instance_of("masters").await);
        let own = format!("{CLUSTER}/control-plane/etcd/main/a.json");
        let (cluster, public) = (format!("{CLUSTER}/"), format!("{CLUSTER}/public/"));
        let others =
            [None, Some(""), Some("other.example.com/"), Some(cluster.as_str()), Some(public.as_str())];
        for prefix in others {
            assert_eq!(listing(&node, prefix).await, "AccessDenied", "a node, {prefix:?}");
            assert_eq!(listing(&master, prefix).await, "AccessDenied", "a master, {prefix:?}");
        }
        assert_eq!(listing(&node, Some(&own)).await, "AccessDenied");
        assert_eq!(listing(&master, Some(&own)).await, "ok");
        // As the agent reads it: absent is known to be absent, and what is denied is not taken for that.
        let prefix = String::new();
        let state = StateStore::S3 { client: master, bucket: BUCKET.to_owned(), prefix };
        assert_eq!(state.find(&own).await.unwrap(), None);
        let hidden = state.find(&format!("{CLUSTER}/cluster.yaml")).await.unwrap_err();
        assert!(matches!(hidden, StateError::Aws(_)), "{hidden}");
        assert!(state.put_if_absent(&own, b"{}".to_vec()).await.unwrap());
        assert_eq!(state.find(&own).await.unwrap().as_deref(), Some(b"{}".as_slice()));
    }
}
