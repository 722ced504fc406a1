//! What the specification says of components: each field is a flag or a field of a configuration file that Kubernetes knows,
//! and stands in the place that it is for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use snapbox::{assert_data_eq, file};
use windlass_bootstrap::components::{
    API_SERVER, CONTROLLER_MANAGER, ComponentSettings, Components, SCHEDULER,
};
use windlass_bootstrap::kubernetes::settings::Pod;

use super::complete;
use crate::spec::resolve::component_fields;
use crate::spec::shape::{Fields, Shape};
use crate::spec::support;
use crate::spec::v1alpha2::row::Support;
use crate::spec::v1alpha2::setting::{Setting, Target};
use crate::spec::{Source, cluster, read};

/// The components, and where they stand in a cluster.
const COMPONENTS: [(&str, &str); 7] = [
    ("kube-apiserver", "kubeAPIServer"),
    ("kube-controller-manager", "kubeControllerManager"),
    ("kube-scheduler", "kubeScheduler"),
    ("kubelet", "kubelet"),
    ("kube-proxy", "kubeProxy"),
    ("containerd", "containerd"),
    ("etcd", "etcdClusters"),
];

/// The flags of the components of Kubernetes 1.36, as `--help` of each lists them.
const FLAGS: &str = include_str!("components/flags-1.36.txt");

const SCENARIO: &str = include_str!("../../../tests/scenarios/component-settings/cluster.yaml");

/// All fields below a part, with their paths.
fn walk<'a>(path: &str, fields: &'a Fields, found: &mut Vec<(String, &'a crate::spec::shape::Field)>) {
    for (name, field) in &fields.fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match &field.shape {
            Shape::Object(inner) if field.row.support == Support::InPart => walk(&path, inner, found),
            _ => found.push((path, field)),
        }
    }
}

fn settings(part: &str) -> Vec<(String, &'static Setting)> {
    let mut found = Vec::new();
    if let Some(fields) = component_fields("Cluster", part) {
        walk("", fields, &mut found);
    }
    found.into_iter().filter_map(|(path, field)| Some((path, field.row.setting.as_ref()?))).collect()
}

#[test]
fn a_control_plane_that_acts_as_an_older_version_says_so_to_all_of_it_and_its_nodes_are_of_that_version() {
    let good = include_str!("good.yaml").replacen(
        "  kubernetesVersion",
        "  emulatedVersion: v1.35.4\n  kubernetesVersion",
        1,
    );
    let source = Source { name: "cluster.yaml".to_owned(), text: good };
    let cluster = read(vec![source]).unwrap().resolve().unwrap();
    for group in &cluster.instance_groups {
        let flags = [API_SERVER, CONTROLLER_MANAGER, SCHEDULER]
            .map(|component| group.components.get(component)?.flags.get("emulated-version").cloned());
        let (expected, version) = match group.master() {
            Some(_) => (Some("1.35".to_owned()), "1.36.3"),
            None => (None, "1.35.4"),
        };
        assert!(flags.iter().all(|flag| *flag == expected), "{}: {flags:?}", group.name);
        assert_eq!(cluster.version_of(group), version);
    }
}

#[test]
fn every_flag_that_a_field_sets_is_one_of_its_component() {
    let known: BTreeSet<&str> = FLAGS.lines().collect();
    let mut count = 0;
    for (component, part) in COMPONENTS {
        for (path, setting) in settings(part) {
            let Target::Flag(flag) = &setting.to else { continue };
            count += 1;
            assert!(known.contains(format!("{component} {flag}").as_str()), "{part}.{path}: --{flag}");
        }
    }
    assert!(count > 80, "{count}");
}

#[test]
fn every_flag_that_a_field_sets_stands_once_in_its_component_s_manifest() {
    let cipher_suites = windlass_bootstrap::kubernetes::manifests::CIPHER_SUITES.join(",");
    let context = json!({
        "image": "i", "cluster": "c", "pod_cidr": "p", "service_cidr": "s", "cipher_suites": cipher_suites,
        "signing_duration": "1h", "leader_elect": "false", "etcd_servers": "e", "etcd_servers_overrides": "",
        "advertise_address": "a", "port": 443, "service_account_issuer": "https://i",
        "further_issuers": [], "jwks_uri": "", "api_audiences": "",
    });
    for (name, part) in [
        (API_SERVER, "kubeAPIServer"),
        (CONTROLLER_MANAGER, "kubeControllerManager"),
        (SCHEDULER, "kubeScheduler"),
    ] {
        let flags = settings(part).into_iter().filter_map(|(_, setting)| match &setting.to {
            Target::Flag(flag) => Some((flag.to_string(), "x".to_owned())),
            _ => None,
        });
        let settings = ComponentSettings { flags: flags.collect(), ..ComponentSettings::default() };
        let pod = Pod { name, cpu: "100m", folders: &[] };
        let text = pod.render(context.clone(), &settings).unwrap_or_else(|error| panic!("{error}"));
        assert!(text.contains("--profiling=") && settings.flags.len() > 8, "{text}");
    }
}

#[test]
fn nothing_that_windlass_relies_on_in_the_kubelet_s_configuration_can_be_set() {
    const OWN: [&str; 15] = [
        "staticPodPath",
        "containerRuntimeEndpoint",
        "cgroupDriver",
        "providerID",
        "clusterDNS",
        "clusterDomain",
        "authentication.anonymous",
        "authentication.x509",
        "authentication.webhook.enabled",
        "authorization",
        "readOnlyPort",
        "registerWithTaints",
        "tlsCertFile",
        "rotateCertificates",
        "serverTLSBootstrap",
    ];
    const OWN_FLAGS: [&str; 5] = ["hostname-override", "node-ip", "cert-dir", "kubeconfig", "node-labels"];
    for (path, setting) in settings("kubelet") {
        match &setting.to {
            Target::File(field) => assert!(!OWN.iter().any(|own| field.starts_with(own)), "{path}"),
            Target::Flag(flag) => assert!(!OWN_FLAGS.contains(&flag.as_ref()), "{path}"),
            _ => {}
        }
    }
}

fn resolved(text: &str) -> Result<cluster::Cluster, String> {
    let documents = read(vec![Source { name: "cluster.yaml".to_owned(), text: text.to_owned() }]);
    documents.and_then(|documents| documents.resolve()).map_err(|problems| problems.to_string())
}

fn of_group(cluster: &cluster::Cluster, name: &str) -> Components {
    cluster.instance_groups.iter().find(|group| group.name == name).unwrap().components.clone()
}

const MASTER: &str = "control-plane-us-east-1a";
const NODES: &str = "nodes-us-east-1a";

/// The scenario with a piece of it written otherwise.
fn with(former: &str, present: &str) -> String {
    assert_eq!(SCENARIO.matches(former).count(), 1, "{former}");
    SCENARIO.replace(former, present)
}

#[test]
fn a_group_s_word_goes_before_the_cluster_s_and_mappings_are_put_together() {
    let cluster = resolved(SCENARIO).unwrap();
    let kubelet = |group: &str| of_group(&cluster, group)["kubelet"].configuration.clone();
    let (master, nodes) = (kubelet(MASTER), kubelet(NODES));
    assert_eq!(master["systemReserved"], json!({"cpu": "100m", "memory": "500Mi"}), "masterKubelet's");
    assert_eq!(nodes["systemReserved"], json!({"cpu": "100m", "memory": "200Mi"}));
    let reserved = json!({"cpu": "100m", "memory": "1Gi", "ephemeral-storage": "2Gi"});
    assert_eq!(nodes["kubeReserved"], reserved);
    assert_eq!(nodes["evictionHard"], json!({"memory.available": "1Gi"}), "a text is replaced");
    assert!(master.get("cpuManagerPolicy").is_none());
    let level =
        |group: &str| of_group(&cluster, group)["containerd"].field(&["file", "debug", "level"]).cloned();
    assert_eq!((level(MASTER), level(NODES)), (Some(json!("warn")), Some(json!("debug"))));
}

#[test]
fn what_a_kubelet_of_the_cluster_s_version_does_not_start_with_is_refused_unless_its_feature_is_on() {
    const PERIOD: &str = "crashLoopBackOffMaxContainerRestartPeriod: 2m";
    const QUOTA: &str = "cpuCFSQuotaPeriod: 50ms";
    const ON: &str = "cpuCFSQuotaPeriod: 50ms\n    featureGates: {CustomCPUCFSQuotaPeriod: \"true\"}";
    let good = include_str!("good.yaml");
    let told = |version: &str, kubelet: &str| {
        let text = good.replacen("kubernetesVersion: 1.36.3", &format!("kubernetesVersion: {version}"), 1);
        let text = text.replacen("    maxPods: 110\n", &format!("    maxPods: 110\n    {kubelet}\n"), 1);
        complete(&text).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    for (version, kubelet, expected) in [
        ("1.34.4", PERIOD, "spec.kubelet.crashLoopBackOffMaxContainerRestartPeriod: a kubelet of 1.34.4"),
        ("1.35.4", PERIOD, ""),
        ("1.35.4", QUOTA, "spec.kubelet.cpuCFSQuotaPeriod: a kubelet of 1.35.4"),
        ("1.35.4", ON, ""),
        ("1.36.3", QUOTA, ""),
    ] {
        let told = told(version, kubelet);
        assert!(
            told.contains(expected) && told.is_empty() == expected.is_empty(),
            "{version} {kubelet}: {told}"
        );
    }
}

#[test]
fn a_flag_of_the_control_plane_is_said_to_masters_alone_and_a_node_s_kubelet_to_its_group_alone() {
    let before = resolved(SCENARIO).unwrap();
    let changed = |former: &str, present: &str| {
        let after = resolved(&with(former, present)).unwrap();
        [MASTER, NODES].map(|group| of_group(&before, group) != of_group(&after, group))
    };
    assert_eq!(changed("eventTTL: 3h", "eventTTL: 4h"), [true, false]);
    assert_eq!(changed("concurrentJobSyncs: 10", "concurrentJobSyncs: 11"), [true, false]);
    assert_eq!(changed("podPidsLimit: 1000", "podPidsLimit: 2000"), [false, true]);
    assert_eq!(changed("memory: 500Mi", "memory: 600Mi"), [true, false]);
    assert_eq!(changed("registryBurst: 20", "registryBurst: 30"), [true, true]);
}

/// What is written otherwise, and how; the field that it is refused at, and what is said.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("    eventTTL: 3h", "    eventTTL: soon", "kubeAPIServer.eventTTL", "`soon` is not a duration"),
    ("28000-32767", "32767-28000", "kubeAPIServer.serviceNodePortRange", "not a range of ports"),
    (
        "    - DenyServiceExternalIPs",
        "    - NodeRestriction",
        "kubeAPIServer.disableAdmissionPlugins",
        "can't be switched off",
    ),
    (
        "    - DenyServiceExternalIPs",
        "    - PodNodeSelector",
        "kubeAPIServer.disableAdmissionPlugins",
        "switched on and off",
    ),
    (
        "    - AlwaysPullImages",
        "    - AlwaysPullImage",
        "kubeAPIServer.enableAdmissionPlugins",
        "can't be chosen",
    ),
    ("Node,RBAC,Webhook", "RBAC,Webhook", "kubeAPIServer.authorizationMode", "`Node` and `RBAC`"),
    ("Node,RBAC,Webhook", "Node,RBAC", "kubeAPIServer.authorizationWebhookConfigFile", "nobody reads it"),
    ("    oidcClientID: kubernetes\n", "", "kubeAPIServer.oidcClientID", "missing"),
    ("/var/log/audit/requests.log", "/audit.log", "kubeAPIServer.auditLogPath", "not the path of a file"),
    ("hd=example.com", "hd", "kubeAPIServer.oidcRequiredClaim", "no `=`"),
    ("\"0.001\"", "\"0.5\"", "kubeAPIServer.goawayChance", "more than 0.02"),
    ("cpuLimit: \"2\"", "cpuLimit: 100m", "kubeAPIServer.cpuLimit", "less than the request"),
    ("VersionTLS13", "VersionTLS10", "kubeAPIServer.tlsMinVersion", "can't be chosen"),
    ("/etc/audit/policy.yaml", "policy.yaml", "kubeAPIServer.auditPolicyFile", "not the path of a file"),
    (
        "    logLevel: 3\n",
        "    logLevel: 3\n    etcdServers: [http://x]\n",
        "kubeAPIServer.etcdServers",
        "follows from",
    ),
    ("    logLevel: 3\n", "    logLevel: 3\n    securePort: 6443\n", "kubeAPIServer.securePort", "6443"),
    ("    - '*'\n", "", "kubeControllerManager.controllers", "`*` is missing"),
    ("-ttl-controller", "-node-ipam-controller", "kubeControllerManager.controllers", "can't be chosen"),
    ("-ttl-controller", "-ttl", "kubeControllerManager.controllers", "no controller `ttl`"),
    (
        "leaderElectLeaseDuration: 30s",
        "leaderElectLeaseDuration: 20s",
        "kubeControllerManager.leaderElection.leaderElectLeaseDuration",
        "no longer",
    ),
    (
        "    ClusterSigningDuration: 96h",
        "    ClusterSigningDuration: 96h\n    experimentalClusterSigningDuration: 97h",
        "kubeControllerManager.ClusterSigningDuration",
        "says otherwise",
    ),
    (
        "    qps: 75\n",
        "    qps: 75\n    kubeAPIQPS: 76\n",
        "kubeScheduler.qps",
        "another field says otherwise",
    ),
    ("proxyMode: iptables", "proxyMode: ipvs", "kubeProxy.proxyMode", "can't be chosen"),
    (
        "imageGCLowThresholdPercent: 60",
        "imageGCLowThresholdPercent: 75",
        "kubelet.imageGCLowThresholdPercent",
        "not less",
    ),
    ("evictionSoft: memory", "evictionSoft: nodefs", "kubelet.evictionSoft", "no grace period"),
    ("memory.available<200Mi,", "memory<200Mi,", "kubelet.evictionHard", "`memory` can't be chosen"),
    (
        "enforceNodeAllocatable: pods",
        "enforceNodeAllocatable: pods,kube-reserved",
        "kubelet.enforceNodeAllocatable",
        "needs a cgroup",
    ),
    ("shutdownGracePeriod: 60s", "shutdownGracePeriod: 10s", "kubelet.shutdownGracePeriod", "too short"),
    ("cpuCFSQuotaPeriod: 50ms", "cpuCFSQuotaPeriod: 2s", "kubelet.cpuCFSQuotaPeriod", "from 1ms to 1s"),
    (
        "    serializeImagePulls: true",
        "    serializeImagePulls: true\n    maxParallelImagePulls: 3",
        "kubelet.maxParallelImagePulls",
        "one by one",
    ),
    (
        "    housekeepingInterval: 20s",
        "    housekeepingInterval: 20s\n    clusterDNS: 1.2.3.4",
        "kubelet.clusterDNS",
        "tenth address",
    ),
    (
        "max_container_log_line_size",
        "containerd.runtimes.runc.options.SystemdCgroup",
        "containerd.configAdditions",
        "machine image's own",
    ),
    ("      docker.io:", "      https://docker.io:", "containerd.registryMirrors", "not a registry"),
    ("http://10.0.0.7:5000", "10.0.0.7:5000", "containerd.registryMirrors", "not the URL of a mirror"),
    (
        "pluginRequestTimeout: 2s",
        "pluginRequestTimeout: 2",
        "containerd.nri.pluginRequestTimeout",
        "not a duration",
    ),
    ("etcd:v3.6.16", "etcd:v3.6.17", "etcdClusters[0].image", "not etcd 3.6.16"),
    ("ETCD_SNAPSHOT_COUNT", "ETCD_NAME", "etcdClusters[0].manager.env[0].name", "windlass says"),
    ("ETCD_SNAPSHOT_COUNT", "ETCD_MANAGER_X", "etcdClusters[0].manager.env[0].name", "for etcd-manager"),
    (
        "      logLevel: 6\n",
        "      logLevel: 6\n      backupRetentionDays: 0\n",
        "etcdClusters[0].manager.backupRetentionDays",
        "can't be kept for 0 days",
    ),
    (
        "      logLevel: 6\n",
        "      logLevel: 6\n      backupInterval: 30s\n",
        "etcdClusters[0].manager.backupInterval",
        "can't be made every `30s`",
    ),
];

#[test]
fn what_contradicts_itself_or_windlass_is_refused_at_its_field() {
    for (former, present, field, said) in REFUSED {
        let told = resolved(&with(former, present)).expect_err(field);
        let headline = told.lines().find(|line| line.contains(&format!("spec.{field}")));
        let headline = headline.unwrap_or_else(|| panic!("{field}: {told}"));
        assert!(headline.contains(said), "{field}: {told}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_what_is_wrong_with_the_cluster_once() {
    let text = with("eventTTL: 3h", "eventTTL: x").replace("registryBurst: 20", "registryBurst: -1");
    let told = resolved(&text.replace("podPidsLimit: 1000", "podPidsLimit: -2")).unwrap_err();
    for field in ["spec.kubeAPIServer.eventTTL", "spec.kubelet.registryBurst", "spec.kubelet.podPidsLimit"] {
        assert_eq!(told.matches(field).count(), 1, "{field}: {told}");
    }
}

#[test]
fn kube_proxy_is_switched_off_only_where_another_plug_in_can_do_its_work() {
    let off = with("    proxyMode: iptables\n", "    enabled: false\n");
    let cluster = resolved(&off).unwrap();
    assert_eq!(of_group(&cluster, NODES)["kube-proxy"].configuration["enabled"], json!(false));
    let told = resolved(&off.replace("    cni: {}\n", "    flannel: {}\n")).unwrap_err();
    assert!(told.contains("spec.kubeProxy.enabled: nothing else routes services"), "{told}");
    let on = resolved(&with("    proxyMode: iptables\n", "    enabled: true\n")).unwrap();
    assert!(of_group(&on, NODES)["kube-proxy"].field(&["enabled"]).is_none());
}

#[test]
fn a_cluster_that_says_nothing_of_components_says_nothing_of_them_to_its_instances() {
    let text = include_str!("../../../tests/scenarios/minimal/cluster.yaml");
    let cluster = resolved(text).unwrap();
    assert!(cluster.instance_groups.iter().all(|group| group.components.is_empty()));
}

#[test]
fn the_page_about_components_is_what_the_fields_rows_say() {
    let mut page = include_str!("components/page.md").to_owned();
    for (component, part) in COMPONENTS {
        let mut fields = Vec::new();
        if let Some(known) = component_fields("Cluster", part) {
            walk("", known, &mut fields);
        }
        let _ = write!(
            page,
            "\n## {component}: `spec.{part}`\n\n| field | what windlass makes of it |\n|---|---|\n"
        );
        for (path, field) in fields {
            let _ = writeln!(page, "| `{path}` | {} |", meaning(field));
        }
    }
    assert_data_eq!(page, file!["../../../docs/components.md"].raw());
}

fn meaning(field: &crate::spec::shape::Field) -> String {
    match (&field.row.setting, &field.row.support) {
        (Some(setting), _) => match &setting.to {
            Target::Flag(flag) => format!("`--{flag}`"),
            Target::File(path) if path.starts_with("plugins.") => {
                "`--enable-admission-plugins`, beside windlass's own".to_owned()
            }
            Target::File(path) if path.starts_with("oidc.") => {
                "its authentication configuration, a provider".to_owned()
            }
            Target::File(path) if path.starts_with("conntrack.") => {
                "how many connections the agent has the kernel track".to_owned()
            }
            Target::File(path) if path == "enabled" => "whether there is a pod of it".to_owned(),
            Target::File(path) => format!("`{}` of its configuration", path.trim_start_matches("file.")),
            Target::Request(resource) => format!("its pod's request for {resource}"),
            Target::Limit(resource) => format!("its pod's limit of {resource}"),
            Target::Environment => "its container's environment".to_owned(),
        },
        (None, Support::Honoured) => field.doc.clone(),
        (None, Support::Kept) => "kept; it means nothing for windlass".to_owned(),
        (None, Support::Only(values)) => {
            let values: Vec<String> =
                values.iter().map(|value| format!("`{}`", support::shown(value))).collect();
            format!("only {}", values.join(" or "))
        }
        (None, Support::Refused(why)) => format!("refused: {why}"),
        (None, Support::InPart | Support::NotYet) => "not supported yet".to_owned(),
    }
}

/// Tests that ask the real programs, which `tests/kubernetes/build` makes.
mod with_kubernetes {
    use snapbox::file;

    use super::*;

    fn programs() -> PathBuf {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let cache = variable("WINDLASS_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("windlass")))
            .unwrap_or_else(|| variable("HOME").unwrap().join(".cache/windlass"));
        let built = std::fs::read_dir(cache.join("kubernetes")).unwrap().flatten().map(|entry| entry.path());
        let of_version = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("1.36.");
        built.filter(of_version).max().expect("run tests/kubernetes/build").join("bin")
    }

    fn output(program: &str, arguments: &[String]) -> String {
        let mut command = Command::new("timeout");
        command.arg("20").arg(programs().join(program)).args(arguments);
        let output = command.output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    #[test]
    #[ignore = "needs Kubernetes' programs"]
    fn the_list_of_flags_is_what_the_programs_say() {
        let mut flags = BTreeSet::new();
        for (component, _) in &COMPONENTS[..5] {
            for line in output(component, &["--help".to_owned()]).lines() {
                let line = line.trim_start();
                let line = line.strip_prefix("-v, ").unwrap_or(line);
                if let Some(flag) = line.strip_prefix("--") {
                    let end = flag.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-');
                    flags.insert(format!("{component} {}", &flag[..end.unwrap_or(flag.len())]));
                }
            }
        }
        let text = flags.into_iter().collect::<Vec<_>>().join("\n") + "\n";
        assert_data_eq!(text, file!["components/flags-1.36.txt"].raw());
    }

    /// A configuration with the scenario's settings in it, as a file.
    fn configuration(folder: &Path, component: &str, mut base: Value) -> String {
        let cluster = resolved(SCENARIO).unwrap();
        for group in [MASTER, NODES] {
            let settings: ComponentSettings = of_group(&cluster, group).remove(component).unwrap_or_default();
            let mut settings = settings.configuration;
            settings.remove("conntrack");
            windlass_bootstrap::components::merge(&mut base, &settings);
        }
        let path = folder.join("configuration.json");
        std::fs::write(&path, base.to_string()).unwrap();
        path.display().to_string()
    }

    #[test]
    #[ignore = "needs Kubernetes' programs"]
    fn the_programs_take_the_configuration_files_with_the_settings_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let text = "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], \
                    contexts: [{name: a, context: {cluster: a}}], current-context: a}";
        std::fs::write(&kubeconfig, text).unwrap();
        let kubeconfig = kubeconfig.display().to_string();
        let written = folder.path().join("written.yaml").display().to_string();
        let scheduler = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": kubeconfig},
        });
        let config = configuration(folder.path(), "kube-scheduler", scheduler);
        let talk = output(
            "kube-scheduler",
            &[
                format!("--config={config}"),
                format!("--authentication-kubeconfig={kubeconfig}"),
                format!("--authorization-kubeconfig={kubeconfig}"),
                format!("--cert-dir={}", folder.path().display()),
                format!("--write-config-to={written}"),
                "--secure-port=0".to_owned(),
            ],
        );
        let text = std::fs::read_to_string(&written).unwrap_or_else(|_| panic!("{talk}"));
        assert!(text.contains("qps: 75\n") && text.contains("enableContentionProfiling: true"), "{text}");
        let proxy =
            json!({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"});
        let config = configuration(folder.path(), "kube-proxy", proxy);
        std::fs::remove_file(&written).unwrap();
        let talk =
            output("kube-proxy", &[format!("--config={config}"), format!("--write-config-to={written}")]);
        let text = std::fs::read_to_string(&written).unwrap_or_else(|_| panic!("{talk}"));
        assert!(text.contains("mode: iptables") && !talk.contains("strict decoding"), "{text}{talk}");
        let kubelet = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": "unix:///run/nobody.sock", "cgroupDriver": "systemd", "failCgroupV1": false,
        });
        let config = configuration(folder.path(), "kubelet", kubelet);
        let root = folder.path().display();
        let talk = output(
            "kubelet",
            &[
                format!("--config={config}"),
                format!("--kubeconfig={root}/nothing"),
                format!("--root-dir={root}"),
            ],
        );
        assert!(!talk.contains("strict decoding") && !talk.contains("failed to validate"), "{talk}");
        assert!(talk.contains("kubeconfig") || talk.contains("nobody.sock"), "it didn't come so far: {talk}");
    }
}
