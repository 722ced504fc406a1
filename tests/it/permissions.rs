//! What the roles of masters and nodes may read and write in the state: tried with the credentials that instances get,
//! against the emulated region's enforcement of IAM policies.

mod with_region {
    use std::process::Command;

    use aws_sdk_s3::Client;
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region as RegionName};
    use aws_sdk_s3::error::ProvideErrorMetadata as _;
    use localcloud::process::Process;
    use localcloud::region::Region;
    use serde_json::{Value, json};

    const CLUSTER: &str = "demo.example.com";
    const BUCKET: &str = "permissions-state";
    const SIGNING_KEYS: [&str; 4] = ["kubernetes-ca", "etcd-ca", "front-proxy-ca", "service-account"];

    /// A region with a cluster in it, whose instances exist but don't run.
    struct Cloud {
        region: Region,
        _process: Process,
    }

    impl Cloud {
        async fn with_cluster() -> Self {
            let (region, process) = Region::start("us-east-1").await.unwrap();
            let tags =
                json!({"windlass.dev/kubernetes-version": "1.36.3", "windlass.dev/architecture": "amd64"});
            let image =
                json!({"name": "windlass-1.36.3-debian-13-amd64-1", "architecture": "x86_64", "tags": tags});
            region.post("images", &image).await.unwrap();
            let cloud = Self { region, _process: process };
            cloud.windlass(&[
                "create",
                "cluster",
                "--zones",
                "us-east-1a",
                "--networking",
                "flannel",
                "--create-state-store",
            ]);
            cloud.windlass(&["update", "cluster", "--yes", "--create-kube-config=false"]);
            cloud.region.post("authentication", &json!({"enforce": true})).await.unwrap();
            cloud
        }

        fn windlass(&self, arguments: &[&str]) {
            let output = Command::new(env!("CARGO_BIN_EXE_windlass"))
                .args(arguments)
                .args(["--name", CLUSTER, "--state", &format!("s3://{BUCKET}")])
                .env("AWS_ENDPOINT_URL", self.endpoint())
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ACCESS_KEY_ID", "operator")
                .env("AWS_SECRET_ACCESS_KEY", "operator-secret")
                .env("AWS_CONFIG_FILE", "/dev/null")
                .output()
                .unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }

        fn endpoint(&self) -> String {
            format!("http://{}", self.region.address())
        }

        /// A client with the credentials that an instance of a role gets from IMDS.
        async fn instance_of(&self, role: &str) -> Client {
            let world = self.region.world_now().await.unwrap();
            let role = format!("{role}.{CLUSTER}");
            let instance =
                world.instances.iter().find(|instance| instance.role.as_ref() == Some(&role)).unwrap();
            let given = self.region.credentials(&instance.id).await.unwrap().unwrap();
            let text = |name: &str| given[name].as_str().unwrap().to_owned();
            self.client(text("AccessKeyId"), text("SecretAccessKey"), Some(text("Token")))
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

    /// What reading a key comes to: `ok`, or AWS's error code.
    async fn reading(client: &Client, key: &str) -> String {
        match client.get_object().bucket(BUCKET).key(key).send().await {
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
        assert_eq!(reading(&node, &credentials).await, "NoSuchKey", "nothing there is told from forbidden");
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
        assert_eq!(reading(&node, &credentials).await, "NoSuchKey");
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
        let report = format!("{CLUSTER}/status/i-0.json");
        let token = format!("{CLUSTER}/nodes/bootstrap-token.json");
        let marker = format!("{CLUSTER}/control-plane/etcd/main/a.json");
        for client in [&node, &master] {
            assert_eq!(writing(client, &report).await, "ok");
            for key in
                ["control-plane/keysets/kubernetes-ca.json", "cluster.yaml", "applied", "public/x.json"]
            {
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
}
