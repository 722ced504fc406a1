//! Starts the real etcd and the real API server with what the agent renders for the master of an IPv6 cluster.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail the test")]

#[expect(dead_code, reason = "other tests need more of a machine")]
mod machine;
mod programs;

/// Tests that start the real programs, which `tests/kubernetes/build` makes.
mod with_kubernetes {
    use std::net::SocketAddr;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
    use axum::Router;
    use k8s_openapi::api::core::v1::{Node, Service};
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use kube::api::{Patch, PatchParams, PostParams};
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use kube::{Api, Client, Config};
    use serde_json::{Value, json};
    use tokio::sync::watch;
    use windlass_bootstrap::aws::ec2::Ec2;
    use windlass_bootstrap::config::{EtcdPorts, NodeConfig};
    use windlass_bootstrap::control_plane::nodes::{NodeController, Own, Place};
    use windlass_bootstrap::host::Host;
    use windlass_bootstrap::node::api_version::{self, VersionError};

    use super::machine::{Machine, Subnet, in_ipv6, master_config, node_config};
    use super::programs::program;

    const NODE: &str = "i-00000000000000001";
    const PREFIX: &str = "2001:db8:0:113:b00::/80";

    /// A program that ends with the test.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A text in which the machine's paths are those in its folder.
    fn inside(root: &Path, text: &str) -> String {
        let paths = ["/srv/kubernetes", "/etc/kubernetes", "/var/log/kubernetes", "/var/lib/etcd"];
        paths
            .iter()
            .fold(text.to_owned(), |text, path| text.replace(path, &format!("{}{path}", root.display())))
    }

    /// Runs what a static pod runs.
    fn start(machine: &Machine, name: &str) -> Running {
        start_with(machine, name, &[])
    }

    /// The same with further arguments.
    fn start_with(machine: &Machine, name: &str, further: &[&str]) -> Running {
        let root = machine.root();
        let manifest = std::fs::read(root.join(format!("etc/kubernetes/manifests/{name}.yaml"))).unwrap();
        let pod: Value = serde_yaml::from_slice(&manifest).unwrap();
        let command: Vec<&str> = pod["spec"]["containers"][0]["command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let program = program(Path::new(command[0]).file_name().unwrap().to_str().unwrap());
        let log = std::fs::File::create(root.join(format!("{name}.log"))).unwrap();
        let arguments = command[1..].iter().map(|argument| inside(&root, argument));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(further)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Running(command.spawn().unwrap())
    }

    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    /// The only master of an IPv6 cluster. Nothing of it is reached from outside.
    fn config() -> NodeConfig {
        let mut config = in_ipv6(master_config());
        config.api.endpoint.port = free_port();
        let etcd = &mut config.control_plane.as_mut().unwrap().etcd;
        etcd.members = [("a".to_owned(), "127.0.0.1".parse().unwrap())].into();
        etcd.ports = EtcdPorts { client: free_port(), peer: free_port(), metrics: free_port() };
        config.api.masters_ipv6[0].private_address = "127.0.0.1".parse().unwrap();
        config
    }

    /// The administrator of the machine, who goes to this host.
    async fn administrator(machine: &Machine, host: &str) -> Client {
        let root = machine.root();
        let text = std::fs::read_to_string(root.join("srv/kubernetes/admin/kubeconfig")).unwrap();
        let text = inside(&root, &text).replace("https://127.0.0.1:", &format!("https://{host}:"));
        let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        config.unwrap().try_into().unwrap()
    }

    async fn is_ready(client: &Client) -> Result<String, kube::Error> {
        client.request_text(http::Request::get("/readyz").body(Vec::new()).unwrap()).await
    }

    async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..600 {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{what} never came");
    }

    /// An EC2 that shows one instance with a prefix, or delegates it once it is asked to.
    async fn ec2(prefix: &'static str, has_it: bool) -> Ec2 {
        let shown = format!("<ipv6PrefixSet><item><ipv6Prefix>{prefix}</ipv6Prefix></item></ipv6PrefixSet>");
        let shown = if has_it { shown } else { String::new() };
        let answer = move |request: String| {
            let (action, body) = if request.contains("Action=AssignIpv6Addresses") {
                let prefix = format!("<item>{prefix}</item>");
                ("AssignIpv6Addresses", format!("<assignedIpv6PrefixSet>{prefix}</assignedIpv6PrefixSet>"))
            } else {
                let instance = format!(
                    "<instanceId>{NODE}</instanceId><instanceState><name>running</name></instanceState>\
                     <networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>{shown}</item>\
                     </networkInterfaceSet>"
                );
                let instances = format!("<instancesSet><item>{instance}</item></instancesSet>");
                let reservation = format!("<reservationSet><item>{instances}</item></reservationSet>");
                ("DescribeInstances", reservation)
            };
            let space = "http://ec2.amazonaws.com/doc/2016-11-15/";
            format!("<{action}Response xmlns=\"{space}\"><requestId>r</requestId>{body}</{action}Response>")
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let routes = Router::new().fallback(async move |request: String| answer(request));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .endpoint_url(format!("http://{address}"));
        Ec2::with_client(aws_sdk_ec2::Client::from_conf(config.build()), "demo.example.com")
    }

    /// Has the agent write what a master runs.
    fn boot(machine: &Machine) {
        let output = machine.run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let encryption = json!({
            "kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
            "resources": [{"resources": ["secrets"], "providers": [{"identity": {}}]}],
        });
        let path = "srv/kubernetes/kube-apiserver/encryption-configuration.json";
        std::fs::write(machine.root().join(path), encryption.to_string()).unwrap();
        std::fs::create_dir_all(machine.root().join("var/lib/etcd/data")).unwrap();
    }

    /// Waits until the API server answers.
    async fn wait_until_ready(machine: &Machine, client: &Client) {
        let log = machine.root().join("kube-apiserver.log");
        let ready = wait_for("the API", async || is_ready(client).await.ok());
        let ready = tokio::time::timeout(Duration::from_mins(2), ready);
        assert!(ready.await.is_ok(), "{}", std::fs::read_to_string(&log).unwrap());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Kubernetes' programs"]
    async fn the_api_of_an_ipv6_cluster_s_master_serves_ipv6_services_and_nodes_get_their_prefixes() {
        let config = config();
        let machine = Machine::start_in(Subnet::DualStack, &config).await;
        boot(&machine);
        let _etcd = start(&machine, "etcd");
        let _api_server = start(&machine, "kube-apiserver");
        let client = administrator(&machine, "127.0.0.1").await;
        wait_until_ready(&machine, &client).await;

        // By IPv6 as well, and its certificate holds for it.
        is_ready(&administrator(&machine, "[::1]").await).await.unwrap();

        let service = wait_for("the API's service", async || {
            Api::<Service>::namespaced(client.clone(), "default").get_opt("kubernetes").await.unwrap()
        });
        let spec = service.await.spec.unwrap();
        assert_eq!(spec.cluster_ip.as_deref(), Some("fd00:5e4f:ce::1"));
        assert_eq!(spec.ip_families, Some(vec!["IPv6".to_owned()]));
        let slice = wait_for("the API's endpoint", async || {
            let slices = Api::<EndpointSlice>::namespaced(client.clone(), "default");
            slices.get_opt("kubernetes").await.unwrap()
        });
        let slice = slice.await;
        let addresses: Vec<&str> =
            slice.endpoints.iter().flatten().flat_map(|one| &one.addresses).map(String::as_str).collect();
        // The master's stable address: its private one behind its subnet's range.
        assert_eq!(addresses, ["2001:db8:0:113::7f00:1"]);

        // Cluster DNS has the address that nodes' kubelets tell pods.
        let dns = json!({
            "metadata": {"name": "kube-dns"},
            "spec": {"clusterIP": config.network.dns_address, "ports": [{"port": 53, "protocol": "UDP"}]},
        });
        let services = Api::<Service>::namespaced(client.clone(), "kube-system");
        services.create(&PostParams::default(), &serde_json::from_value(dns).unwrap()).await.unwrap();

        let nodes: Api<Node> = Api::all(client.clone());
        let node = serde_json::from_value(json!({"metadata": {"name": NODE}})).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let own = Own {
            name: "i-0123456789abcdef0".to_owned(),
            place: Place { region: "us-east-1".to_owned(), has_prefixes: config.network.is_ipv6() },
            default_taint: true,
            labels: [].into(),
        };
        let range = async || nodes.get(NODE).await.unwrap().spec.and_then(|spec| spec.pod_cidrs);
        let controller = |ec2| {
            let (client, own, groups) = (client.clone(), own.clone(), watch::channel(None).1);
            NodeController { client, ec2, own, groups }
        };
        let first = controller(ec2(PREFIX, false).await);
        tokio::select! {
            ended = first.run() => panic!("it stopped: {ended:?}"),
            found = wait_for("the node's range", range) => assert_eq!(found, [PREFIX]),
        }
        // Whatever EC2 says later, it stays.
        let second = controller(ec2("2001:db8:0:113:c00::/80", true).await);
        tokio::select! {
            ended = second.run() => panic!("it stopped: {ended:?}"),
            () = tokio::time::sleep(Duration::from_secs(3)) => {}
        }
        assert_eq!(range().await.unwrap(), [PREFIX]);
        let other = json!({"spec": {"podCIDR": "2001:db8::/80", "podCIDRs": ["2001:db8::/80"]}});
        nodes.patch(NODE, &PatchParams::default(), &Patch::Merge(other)).await.unwrap_err();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Kubernetes' programs"]
    async fn a_node_waits_for_an_api_server_that_is_older_or_emulates_an_older_version() {
        let config = config();
        let machine = Machine::start_in(Subnet::DualStack, &config).await;
        boot(&machine);
        let _etcd = start(&machine, "etcd");
        let node = Host::folder(machine.root().join("node"));
        let admin = machine.root().join("srv/kubernetes/admin/kubeconfig");
        let kubeconfig = inside(&machine.root(), &std::fs::read_to_string(admin).unwrap());
        let path = machine.root().join("node/var/lib/kubelet/kubeconfig");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, kubeconfig).unwrap();
        let is_held = async |version: &str| {
            let config = NodeConfig { kubernetes_version: version.to_owned(), ..node_config() };
            match api_version::ensure(&node, &config).await {
                Ok(_) => None,
                Err(VersionError::Newer { api, .. }) => Some(api),
                Err(error) => panic!("{error:?}"),
            }
        };

        let emulating = start_with(&machine, "kube-apiserver", &["--emulated-version=1.35"]);
        let client = administrator(&machine, "127.0.0.1").await;
        wait_until_ready(&machine, &client).await;
        let told = is_held("1.36.3").await.unwrap();
        assert!(told.starts_with("1.35, as which v1.36."), "{told}");
        assert_eq!(is_held("1.35.9").await, None);
        drop(emulating);

        let _api_server = start(&machine, "kube-apiserver");
        wait_until_ready(&machine, &client).await;
        assert_eq!(is_held("1.36.9").await, None);
        let told = is_held("1.37.0").await.unwrap();
        assert!(told.starts_with("1.36."), "{told}");
    }

    #[tokio::test]
    #[ignore = "needs Kubernetes' programs"]
    async fn kube_proxy_takes_the_configuration_of_an_ipv6_cluster() {
        let machine = Machine::start_in(Subnet::Ipv6, &in_ipv6(node_config())).await;
        assert!(machine.run().status.success());
        let written = machine.root().join("written.yaml");
        let config = machine.root().join("etc/kubernetes/kube-proxy/config.json");
        let output = Command::new(program("kube-proxy"))
            .arg(format!("--config={}", config.display()))
            .arg(format!("--write-config-to={}", written.display()))
            .output()
            .unwrap();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = std::fs::read_to_string(&written).unwrap_or_else(|_| panic!("{talk}"));
        let read: Value = serde_yaml::from_str(&text).unwrap();
        let own = json!("2001:db8:0:113::b");
        assert_eq!((&read["bindAddress"], &read["clusterCIDR"]), (&own, &json!("")), "{text}");
        assert_eq!(read["mode"], "nftables", "{text}");
        assert!(!talk.contains("strict decoding"), "{talk}");
    }
}
