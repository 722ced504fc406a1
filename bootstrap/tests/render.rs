//! Runs the real binary into a folder, against an instance metadata service and a state of the test's own, and compares
//! everything it wrote with `golden/`. `SNAPSHOTS=overwrite` writes them anew.

mod machine;

use std::collections::BTreeSet;
use std::path::Path;

use machine::{Machine, Subnet, api_server_config, in_ipv6, master_config, node_config};
use windlass_bootstrap::config::{
    EtcdConfig, EtcdPorts, EtcdRequests, LIFECYCLE_VERSION, NodeConfig, SEVERAL_ETCD_VERSION,
};
use windlass_bootstrap::egress_proxy::EgressProxy;
use windlass_bootstrap::image_source::ImageSource;

#[tokio::test]
async fn a_master_is_rendered_completely() {
    let machine = Machine::start(&master_config()).await;
    let output = machine.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    snapbox::assert_data_eq!(machine.files(), snapbox::file!["golden/master.txt"].raw());
}

#[tokio::test]
async fn a_master_has_a_pod_for_each_etcd_cluster_and_the_api_server_keeps_in_each_what_it_holds() {
    let mut config = master_config();
    config.version = SEVERAL_ETCD_VERSION.to_owned();
    let control_plane = config.control_plane.as_mut().unwrap();
    let further = |name: &str, place, holds: &[&str]| EtcdConfig {
        name: name.to_owned(),
        ports: EtcdPorts::of(place),
        holds: holds.iter().map(|&resource| resource.to_owned()).collect(),
        requests: EtcdRequests { cpu: "250m".to_owned(), ..EtcdRequests::default() },
        heartbeat_milliseconds: Some(250),
        election_milliseconds: Some(2500),
        ..control_plane.etcd.clone()
    };
    control_plane.further_etcd = vec![
        further("events", 1, &["/events"]),
        further("own", 3, &[]),
        further("leases", 2, &["coordination.k8s.io/leases"]),
    ];
    let machine = Machine::start(&config).await;
    let output = machine.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = machine.everything();
    let manifest = |name: &str| -> serde_json::Value {
        let found = files.iter().find(|(path, _)| path.ends_with(&format!("manifests/{name}.yaml")));
        serde_yaml::from_slice(found.unwrap_or_else(|| panic!("no {name}")).1).unwrap()
    };
    let flags = |name: &str| manifest(name)["spec"]["containers"][0]["command"].to_string();
    let mut ports = BTreeSet::new();
    for (name, first) in [("etcd", 2379), ("etcd-events", 2382), ("etcd-leases", 2385), ("etcd-own", 2388)] {
        let (client, peer, metrics) = (first, first + 1, first + 2);
        for flag in [
            format!("--listen-client-urls=https://127.0.0.1:{client}"),
            format!("--listen-peer-urls=https://172.20.32.10:{peer}"),
            format!("--initial-cluster=a=https://172.20.32.10:{peer}"),
            format!("--listen-metrics-urls=http://127.0.0.1:{metrics}"),
        ] {
            assert!(flags(name).contains(&flag), "{name}: {flag}: {}", flags(name));
        }
        ports.extend([client, peer, metrics]);
        let container = &manifest(name)["spec"]["containers"][0];
        assert_eq!(container["livenessProbe"]["httpGet"]["port"], metrics, "{name}");
        let is_timed = flags(name).contains("\"--heartbeat-interval=250\",\"--election-timeout=2500\"");
        assert_eq!(is_timed, name != "etcd", "{name}: {}", flags(name));
        let cpu = if name == "etcd" { "100m" } else { "250m" };
        assert_eq!(container["resources"]["requests"]["cpu"], cpu, "{name}");
        let cluster = name.strip_prefix("etcd-").unwrap_or("main");
        assert_eq!(
            manifest(name)["spec"]["volumes"][0]["hostPath"]["path"],
            format!("/var/lib/etcd-{cluster}/data")
        );
    }
    assert_eq!(ports.len(), 12, "two listen on one port: {ports:?}");
    let api_server = flags("kube-apiserver");
    assert!(api_server.contains("--etcd-servers=https://127.0.0.1:2379\""), "{api_server}");
    let overrides = "--etcd-servers-overrides=/events#https://127.0.0.1:2382,coordination.k8s.io/leases#https://127.0.0.1:2385\"";
    assert!(api_server.contains(overrides), "{api_server}");
}

#[tokio::test]
async fn an_api_server_beside_the_masters_is_rendered_completely() {
    let machine = Machine::start(&api_server_config()).await;
    let output = machine.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    snapbox::assert_data_eq!(machine.files(), snapbox::file!["golden/api-server.txt"].raw());
}

#[tokio::test]
async fn nothing_is_on_an_api_server_beside_the_masters_but_what_a_node_and_an_api_server_have() {
    let node = Machine::start(&node_config()).await;
    assert!(node.run().status.success());
    let machine = Machine::start(&api_server_config()).await;
    assert!(machine.run().status.success());
    let of_node = node.everything();
    let more: BTreeSet<String> =
        machine.everything().into_keys().filter(|path| !of_node.contains_key(path)).collect();
    let of_api_server = |path: &&String| {
        let names = ["etc/kubernetes/kube-apiserver/", "srv/kubernetes/kube-apiserver/"];
        names.iter().any(|folder| path.starts_with(folder))
            || path.as_str() == "etc/kubernetes/manifests/kube-apiserver.yaml"
            || path.as_str() == "srv/kubernetes/windlass/secrets.json"
            || path.as_str() == "etc/hosts"
    };
    let others: Vec<&String> =
        more.iter().filter(|path| !of_api_server(path) && !path.contains("windlass/configuration")).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(more.contains("srv/kubernetes/kube-apiserver/server.key"), "{more:?}");
}

#[tokio::test]
async fn etcd_lets_in_clients_of_other_machines_where_api_servers_run_there_and_else_its_own_alone() {
    for (further_api_servers, expected) in [
        (false, "--listen-client-urls=https://127.0.0.1:2379\""),
        (true, "--listen-client-urls=https://127.0.0.1:2379,https://172.20.32.10:2379\""),
    ] {
        let mut config = master_config();
        config.control_plane.as_mut().unwrap().further_api_servers = further_api_servers;
        let machine = Machine::start(&config).await;
        assert!(machine.run().status.success());
        let files = machine.everything();
        let etcd = String::from_utf8_lossy(&files["etc/kubernetes/manifests/etcd.yaml"]);
        assert!(etcd.contains(expected), "{etcd}");
    }
}

#[tokio::test]
async fn a_member_among_several_lets_in_clients_of_the_other_masters() {
    let mut config = master_config();
    let etcd = &mut config.control_plane.as_mut().unwrap().etcd;
    etcd.members.insert("b".to_owned(), "172.20.64.10".parse().unwrap());
    let machine = Machine::start(&config).await;
    assert!(machine.run().status.success());
    let files = machine.everything();
    let etcd = String::from_utf8_lossy(&files["etc/kubernetes/manifests/etcd.yaml"]);
    assert!(
        etcd.contains("--listen-client-urls=https://127.0.0.1:2379,https://172.20.32.10:2379\""),
        "{etcd}"
    );
}

#[tokio::test]
async fn a_node_is_rendered_completely() {
    let machine = Machine::start(&node_config()).await;
    let output = machine.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    snapbox::assert_data_eq!(machine.files(), snapbox::file!["golden/node.txt"].raw());
}

#[tokio::test]
async fn a_node_behind_a_proxy_tells_what_runs_on_it_before_containerd_starts_and_names_its_images_then() {
    let plain = Machine::start(&node_config()).await;
    assert!(plain.run().status.success());
    let no_proxy = ["127.0.0.1", "169.254.169.254", "172.20.0.0/16"].map(str::to_owned).into();
    let machine = Machine::start(&NodeConfig {
        version: LIFECYCLE_VERSION.to_owned(),
        egress_proxy: Some(EgressProxy { url: "http://proxy.example.com:3128".to_owned(), no_proxy }),
        image_source: Some(ImageSource::Registry("registry.example.com".to_owned())),
        ..node_config()
    })
    .await;
    let output = machine.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    snapbox::assert_data_eq!(
        difference(&machine, &plain),
        snapbox::file!["golden/node-behind-proxy.txt"].raw()
    );
    let files = machine.everything();
    let commands = String::from_utf8_lossy(&files["run/windlass/commands"]).into_owned();
    let place = |command: &str| commands.find(command).unwrap_or_else(|| panic!("no {command}: {commands}"));
    let order = [
        "daemon-reload",
        "systemctl start --no-block containerd.service",
        "images ls --quiet",
        "start kubelet.service",
    ];
    assert!(order.map(place).is_sorted(), "{commands}");
}

/// A node configuration with what the scenario of component settings says to a group.
fn specified(mut config: NodeConfig, scenario: &str) -> NodeConfig {
    let specified = NodeConfig::read(scenario.as_bytes()).expect("the scenario is a node configuration");
    config.version = specified.version;
    config.components = specified.components;
    config.kubelet.max_pods = specified.kubelet.max_pods;
    config
}

const MASTER: &str = include_str!(
    "../../tests/scenarios/component-settings/node-configurations/control-plane-us-east-1a.json"
);
const NODE: &str =
    include_str!("../../tests/scenarios/component-settings/node-configurations/nodes-us-east-1a.json");

/// What a machine gets otherwise than another: every file that differs, and the names of those that aren't there.
fn difference(machine: &Machine, plain: &Machine) -> String {
    let (plain, files) = (plain.files(), machine.files());
    let sections = |text: &str| -> BTreeSet<String> { text.split("=== ").map(str::to_owned).collect() };
    let (plain, files) = (sections(&plain), sections(&files));
    let lines = |section: &&String| {
        let of_agent = ["/run/windlass/", "/var/lib/windlass/"];
        !of_agent.iter().any(|path| section.starts_with(path)) && !section.contains("PRIVATE KEY")
    };
    let sections: Vec<String> = files.difference(&plain).filter(lines).cloned().collect();
    format!("=== {}", sections.join("=== "))
}

#[tokio::test]
async fn in_an_ipv6_cluster_components_have_ipv6_addresses_and_etcd_alone_has_ipv4_ones() {
    for (config, subnet, golden) in [
        (master_config(), Subnet::DualStack, snapbox::file!["golden/master-ipv6.txt"]),
        (api_server_config(), Subnet::DualStack, snapbox::file!["golden/api-server-ipv6.txt"]),
        (node_config(), Subnet::Ipv6, snapbox::file!["golden/node-ipv6.txt"]),
    ] {
        let plain = Machine::start(&config).await;
        assert!(plain.run().status.success());
        let machine = Machine::start_in(subnet, &in_ipv6(config)).await;
        let output = machine.run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        snapbox::assert_data_eq!(difference(&machine, &plain), golden.raw());
        let changed = difference(&machine, &plain);
        assert!(!changed.contains("manifests/etcd.yaml"), "{changed}");
        let files = machine.everything();
        let kubelet = String::from_utf8_lossy(&files["run/windlass/kubelet.env"]);
        let addresses = match subnet {
            Subnet::Ipv6 => " --node-ip=2001:db8:0:113::b ",
            _ => " --node-ip=2001:db8:0:113::b,172.20.32.11 ",
        };
        assert!(kubelet.contains(addresses), "{kubelet}");
        for (path, contents) in files.iter().filter(|(path, _)| path.contains("/manifests/")) {
            let pod: serde_json::Value = serde_yaml::from_slice(contents).unwrap();
            let command = pod["spec"]["containers"][0]["command"].as_array().unwrap();
            assert!(command.iter().all(serde_json::Value::is_string), "{path}: {command:?}");
        }
    }
}

#[tokio::test]
async fn in_an_ipv4_cluster_an_ipv6_address_of_the_subnet_changes_nothing() {
    for config in [master_config(), node_config(), api_server_config()] {
        let plain = Machine::start(&config).await;
        assert!(plain.run().status.success());
        let machine = Machine::start_in(Subnet::DualStack, &config).await;
        assert!(machine.run().status.success());
        assert_eq!(difference(&machine, &plain), "=== ");
    }
}

#[tokio::test]
async fn an_instance_without_an_address_of_the_cluster_s_family_says_so_in_the_report() {
    let machine = Machine::start_in(Subnet::Ipv4, &in_ipv6(node_config())).await;
    let output = machine.run();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && talk.contains("this instance has no IPv6 address"), "{talk}");
    assert_eq!(machine.status()["step"].as_str(), Some("ensure_configuration"));
}

#[tokio::test]
async fn what_the_specification_says_of_components_is_in_their_manifests_and_configurations() {
    for (config, scenario, golden) in [
        (master_config(), MASTER, snapbox::file!["golden/master-with-settings.txt"]),
        (node_config(), NODE, snapbox::file!["golden/node-with-settings.txt"]),
    ] {
        let plain = Machine::start(&config).await;
        assert!(plain.run().status.success());
        let machine = Machine::start(&specified(config, scenario)).await;
        let output = machine.run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        snapbox::assert_data_eq!(difference(&machine, &plain), golden.raw());
    }
}

#[tokio::test]
async fn no_flag_is_ever_given_twice() {
    for config in [specified(master_config(), MASTER), specified(node_config(), NODE)] {
        let machine = Machine::start(&config).await;
        assert!(machine.run().status.success());
        let mut count = 0;
        for (path, contents) in
            machine.everything().into_iter().filter(|(path, _)| path.contains("/manifests/"))
        {
            let pod: serde_json::Value = serde_yaml::from_slice(&contents).unwrap();
            let mut names = BTreeSet::new();
            for flag in pod["spec"]["containers"][0]["command"].as_array().unwrap() {
                let name = flag.as_str().unwrap().split('=').next().unwrap().to_owned();
                assert!(names.insert(name.clone()), "{path}: {name}");
                count += 1;
            }
        }
        assert!(count > 1, "{count}");
    }
}

#[tokio::test]
async fn a_node_whose_kube_proxy_is_switched_off_has_none() {
    let mut config = specified(node_config(), NODE);
    let proxy = config.components.get_mut("kube-proxy").unwrap();
    proxy.configuration.insert("enabled".to_owned(), false.into());
    let machine = Machine::start(&config).await;
    assert!(machine.run().status.success());
    assert!(!machine.files().contains("manifests/kube-proxy.yaml"));
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let machine = Machine::start(&master_config()).await;
    assert!(machine.run().status.success());
    let before = machine.everything();
    assert!(machine.run().status.success());
    let after = machine.everything();
    // In a folder nothing runs, so each run starts the kubelet; and the report tells the time.
    let differs: Vec<_> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(differs.iter().all(|path| path.ends_with("run/windlass/commands")), "{differs:?}");
}

#[tokio::test]
async fn every_path_that_a_pod_names_is_there() {
    for config in [master_config(), node_config(), api_server_config()] {
        let machine = Machine::start(&config).await;
        assert!(machine.run().status.success());
        let mut named = BTreeSet::new();
        for (path, contents) in machine.everything() {
            if path.contains("/manifests/") || path.ends_with("kubeconfig") || path.ends_with("kubelet.json")
            {
                named.extend(paths_in(&String::from_utf8_lossy(&contents)));
            }
        }
        assert!(named.len() > 4, "{named:?}");
        let missing: Vec<_> =
            named.iter().filter(|path| !machine.root().join(path.trim_start_matches('/')).exists()).collect();
        // What only the machine brings: the kubelet's own certificates.
        assert!(missing.iter().all(|path| path.starts_with("/var/lib/kubelet/pki")), "{missing:?}");
    }
}

/// Absolute paths of the agent's folders in a text.
fn paths_in(text: &str) -> BTreeSet<String> {
    let ours = ["/srv/kubernetes", "/etc/kubernetes", "/var/lib/kubelet", "/var/log/kubernetes"];
    text.split(|character: char| character.is_whitespace() || "\"=,".contains(character))
        .filter(|word| ours.iter().any(|folder| word.starts_with(folder)))
        // A file that a component writes itself.
        .filter(|word| !word.ends_with("audit.log"))
        .map(ToOwned::to_owned)
        .collect()
}

#[tokio::test]
async fn secrets_are_below_the_tmpfs_and_nowhere_else() {
    let machine = Machine::start(&master_config()).await;
    let output = machine.run();
    let mut keys = 0;
    for (path, contents) in machine.everything() {
        if String::from_utf8_lossy(&contents).contains("PRIVATE KEY") {
            assert!(path.starts_with("srv/kubernetes/"), "{path}");
            keys += 1;
        }
    }
    assert!(keys > 10, "{keys}");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(!talk.contains("PRIVATE KEY") && !talk.contains("c2VjcmV0"), "{talk}");
}

#[tokio::test]
async fn credentials_for_registries_reach_the_kubelet_of_every_instance_through_tmpfs() {
    const SECRET: &str = "YWRhOnMzY3JldA==";
    for config in [master_config(), node_config()] {
        let machine = Machine::start(&config).await;
        machine.hold_docker_config(&format!(
            r#"{{"auths": {{"registry.example.com": {{"auth": "{SECRET}"}}}}}}"#
        ));
        let output = machine.run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!String::from_utf8_lossy(&output.stderr).contains(SECRET));
        let link = machine.root().join("var/lib/kubelet/config.json");
        assert!(std::fs::read_to_string(&link).unwrap().contains(SECRET), "the kubelet finds nothing");
        for (path, contents) in machine.everything() {
            let is_link = std::fs::symlink_metadata(machine.root().join(&path)).unwrap().is_symlink();
            let holds = !is_link && String::from_utf8_lossy(&contents).contains(SECRET);
            assert!(!holds || path.starts_with("srv/kubernetes/"), "{path} holds the credentials");
        }
    }
}

#[tokio::test]
async fn where_registries_are_allowed_the_kubelet_gets_credentials_for_them_from_the_image_s_program() {
    for mut config in [master_config(), node_config()] {
        config.kubelet.ecr_credentials = true;
        let machine = Machine::start(&config).await;
        let output = machine.run();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && talk.contains("this image has no /usr/local/lib/windlass/"),
            "{talk}"
        );
        let machine = Machine::start(&config).await;
        machine.hold_ecr_provider();
        let output = machine.run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let files = machine.everything();
        let environment = String::from_utf8_lossy(&files["run/windlass/kubelet.env"]);
        let flag = |name: &str| {
            let mut words = environment.split(['"', ' ', '\n']);
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
        };
        let folder = flag("--image-credential-provider-bin-dir");
        let written = flag("--image-credential-provider-config");
        let written: serde_json::Value =
            serde_json::from_slice(&files[written.trim_start_matches('/')]).unwrap();
        let provider = &written["providers"][0];
        let program = format!("{folder}/{}", provider["name"].as_str().unwrap());
        assert!(files.contains_key(program.trim_start_matches('/')), "the kubelet would not find {program}");
        let registries = provider["matchImages"].as_array().unwrap();
        assert!(registries.contains(&serde_json::json!("*.dkr.ecr.*.amazonaws.com")), "{registries:?}");
    }
}

#[tokio::test]
async fn where_registries_are_not_allowed_the_kubelet_asks_nobody() {
    let machine = Machine::start(&node_config()).await;
    assert!(machine.run().status.success());
    assert!(!machine.files().contains("credential-provider"));
}

#[tokio::test]
async fn an_image_of_another_version_is_refused_in_the_report() {
    let mut config = node_config();
    config.kubernetes_version = "1.37.0".into();
    let machine = Machine::start(&config).await;
    let output = machine.run();
    assert!(!output.status.success());
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(
        talk.contains("holds Kubernetes 1.36.3, the instance group nodes is specified to run 1.37.0"),
        "{talk}"
    );
    let status = machine.status();
    assert_eq!((status["state"].as_str(), status["step"].as_str()), (Some("failed"), Some("ensure_image")));
    assert!(!Path::new(&machine.root().join("etc/kubernetes/manifests")).exists());
}

#[tokio::test]
async fn an_image_of_another_etcd_is_refused_on_a_master() {
    let mut config = master_config();
    config.control_plane.as_mut().unwrap().etcd.version = "3.5.21".into();
    let machine = Machine::start(&config).await;
    let output = machine.run();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && talk.contains("holds etcd 3.6.16, the etcd cluster main is specified"),
        "{talk}"
    );
    assert_eq!(machine.status()["step"].as_str(), Some("ensure_image"));
}

#[tokio::test]
async fn a_node_that_has_joined_boots_again_while_the_state_is_away() {
    let machine = Machine::start(&node_config()).await;
    assert!(machine.run().status.success());
    machine.join();
    machine.lose_state();
    let output = machine.run();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    assert!(talk.contains("ensure_registry_credentials"), "what it goes on without is said: {talk}");
}

#[tokio::test]
async fn an_agent_started_again_on_a_master_finds_all_it_needs_on_the_machine_while_the_state_is_away() {
    let machine = Machine::start(&master_config()).await;
    assert!(machine.run().status.success());
    let log = machine.root().join("var/lib/etcd-main/data/member/wal");
    std::fs::create_dir_all(&log).unwrap();
    std::fs::write(log.join("0.wal"), "etcd has run").unwrap();
    machine.lose_state();
    let output = machine.run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_tampered_node_configuration_is_refused() {
    let machine = Machine::start(&node_config()).await;
    machine.tamper_with_node_config();
    let output = machine.run();
    assert!(!output.status.success());
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(talk.contains("has the SHA-256"), "{talk}");
    assert_eq!(machine.status()["step"].as_str(), Some("ensure_configuration"));
}
