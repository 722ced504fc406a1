//! The kubelet: its configuration, its flags, and its service.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use rustix::fs::Advice;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::aws::identity::InstanceIdentity;
use crate::contract::components::{self, ComponentSettings, KUBELET};
use crate::contract::config::{NodeConfig, Role};
use crate::contract::node_labels;
use crate::host::Host;
use crate::host::capacity::Capacity;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::kubernetes::api::NODE_KUBECONFIG;
use crate::kubernetes::manifests::{self, CIPHER_SUITES, Credentials, ManifestError};
use crate::node::ecr::{self, EcrError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};
use crate::secrets::stored::{self, KUBERNETES_CA, SecretsError};

/// The master's kubelet has a certificate that the agent signed.
pub const MASTER_KUBECONFIG: &str = "/srv/kubernetes/kubelet/kubeconfig";
/// Where the kubelet keeps the certificates it rotates.
pub const CERTIFICATES: &str = "/var/lib/kubelet/pki";
/// A node's present client certificate and key.
pub const CLIENT_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// Writes the kubelet's configuration, and starts it.
pub const STEP: Step = Step::new("ensure_kubelet", Duration::from_mins(3));

const PROGRAM: &str = "/usr/local/bin/kubelet";
/// How many bytes are read ahead at a time.
const READ_AHEAD: usize = 128 << 10;
/// How many pods the kubelet takes by its own default.
const DEFAULT_PODS: u32 = 110;
const CONFIGURATION: &str = "/etc/kubernetes/kubelet.json";
const ENVIRONMENT: &str = "/run/windlass/kubelet.env";
const SYSTEMD_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// What can go wrong with the kubelet.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// A taint that isn't `key=value:Effect`.
    #[error("`{0}` is not a taint: it should read key=value:Effect")]
    Taint(String),
    /// An argument that can't be passed through the unit's environment.
    #[error("`{0}` can't be an argument of the kubelet: it has blanks or quotes")]
    Argument(String),
    /// The credentials for ECR.
    #[error(transparent)]
    Ecr(#[from] EcrError),
    /// The authorities that it trusts.
    #[error("the kubelet's authorities can't be written")]
    Authorities(#[source] SecretsError),
    /// A node's kubeconfig.
    #[error("the kubelet's kubeconfig can't be rendered")]
    Kubeconfig(#[source] ManifestError),
    /// A file.
    #[error("the kubelet's configuration can't be written")]
    File(#[source] FileError),
    /// systemd.
    #[error("the kubelet can't be started")]
    Start(#[source] CommandError),
}

impl Classed for KubeletError {
    fn class(&self) -> Class {
        match self {
            Self::File(_) | Self::Start(_) => Class::Passing,
            Self::Authorities(error) => error.class(),
            Self::Ecr(error) => error.class(),
            _ => Class::Permanent,
        }
    }
}

/// The step.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Agent { host, config, identity, .. } = agent;
    let start = async || {
        let mut changed = stored::ensure_authorities(host, config).map_err(KubeletError::Authorities)?;
        changed |= ensure(host, config, identity).await?;
        Ok::<_, KubeletError>(Done::changed_if(changed))
    };
    STEP.run(&agent.reporter, start).await
}

/// Writes the configuration and starts the kubelet, or restarts it if it runs with another one.
pub async fn ensure(
    host: &Host,
    config: &NodeConfig,
    identity: &InstanceIdentity,
) -> Result<bool, KubeletError> {
    let mut changed = ensure_files(host, config, identity)?;
    let active = is_active(host).await?;
    if !active || changed {
        let verb = if active { "restart" } else { "start" };
        host.run(systemctl([verb, "kubelet.service"])).await.map_err(KubeletError::Start)?;
        changed = true;
    }
    Ok(changed)
}

/// What a node goes to the API with, once it has its certificate, before its kubelet is started.
pub fn ensure_credentials(host: &Host, config: &NodeConfig) -> Result<bool, KubeletError> {
    file::ensure_folder(&host.path(root::KUBELET), 0o700).map_err(KubeletError::File)?;
    let authorities = stored::ensure_authorities(host, config).map_err(KubeletError::Authorities)?;
    Ok(ensure_node_kubeconfig(host, config)? || authorities)
}

/// What can be wrong with a kubelet that ran.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It can't be told, or can't be put right.
    #[error("the kubelet could not be looked at")]
    Kubelet(#[source] KubeletError),
    /// Somebody has stopped it.
    #[error("the kubelet did not run, and was started again")]
    Down,
}

/// Looks at a kubelet that ran. systemd starts one again that has ended; this also starts one that somebody has stopped.
pub async fn look(agent: &Agent) -> Result<(), LookError> {
    let Agent { host, config, identity, .. } = agent;
    let active = is_active(host).await.map_err(LookError::Kubelet)?;
    ensure(host, config, identity).await.map_err(LookError::Kubelet)?;
    if active { Ok(()) } else { Err(LookError::Down) }
}

/// Has the kubelet begin again, with another certificate. The pods go on running.
pub async fn restart(host: &Host) -> Result<(), KubeletError> {
    host.run(systemctl(["restart", "kubelet.service"])).await.map(drop).map_err(KubeletError::Start)
}

/// Whether the kubelet runs. In a folder that stands for a machine it never does.
pub async fn is_active(host: &Host) -> Result<bool, KubeletError> {
    // 3 and 4 are systemd's codes for a unit that is down, or unknown.
    let query = systemctl(["is-active", "kubelet.service"]).success(&[0, 3, 4]);
    let output = host.run(query).await.map_err(KubeletError::Start)?;
    Ok(output.stdout.trim() == "active")
}

/// Has the kubelet's program read into memory while the agent waits for other things: a new machine's disk is filled from
/// its snapshot only as it is read (EBS User Guide, "Initialize Amazon EBS volumes"), which takes seconds.
pub async fn read_ahead(host: &Host) {
    let path = host.path(PROGRAM);
    let read = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        let file = fs_err::File::open(path)?;
        let length = file.metadata()?.len();
        // The kernel takes no more than some pages at a time.
        for offset in (0..length).step_by(READ_AHEAD) {
            rustix::fs::fadvise(&file, offset, NonZeroU64::new(READ_AHEAD as u64), Advice::WillNeed)?;
        }
        Ok(())
    });
    // Without it the kubelet only starts later.
    if let Ok(Err(error)) = read.await {
        tracing::debug!(%error, "the kubelet's program is not read ahead");
    }
}

fn systemctl<const N: usize>(arguments: [&str; N]) -> Command {
    Command::new("/usr/bin/systemctl").arguments(arguments).limit(Duration::from_mins(2))
}

fn ensure_files(host: &Host, config: &NodeConfig, identity: &InstanceIdentity) -> Result<bool, KubeletError> {
    for (folder, mode) in [(root::MANIFESTS, 0o700), (root::KUBELET_DROP_INS, 0o755), (root::KUBELET, 0o700)]
    {
        file::ensure_folder(&host.path(folder), mode).map_err(KubeletError::File)?;
    }
    let resolv_conf =
        if host.path(SYSTEMD_RESOLVED).exists() { SYSTEMD_RESOLVED } else { "/etc/resolv.conf" };
    let mut configuration = configuration(config, identity, resolv_conf)?;
    if let Some(machine) = Capacity::read(host) {
        let kept = machine.reservations(config.kubelet.max_pods.unwrap_or(DEFAULT_PODS));
        configuration["kubeReserved"] = kept.kube;
        configuration["systemReserved"] = kept.system;
    }
    specify(&mut configuration, config.component(KUBELET));
    let text = format!("{configuration:#}\n");
    let environment = environment(&arguments(config, identity))?;
    let mut changed =
        file::ensure(&host.path(CONFIGURATION), text, file::PRIVATE).map_err(KubeletError::File)?;
    changed |= ecr::ensure(host, config, identity)?;
    if role(config) == Role::Node {
        changed |= ensure_node_kubeconfig(host, config)?;
    }
    changed |=
        file::ensure(&host.path(ENVIRONMENT), environment, file::PRIVATE).map_err(KubeletError::File)?;
    Ok(changed)
}

/// On a node the kubelet starts with the certificate that the agent has brought, and renews it itself.
fn ensure_node_kubeconfig(host: &Host, config: &NodeConfig) -> Result<bool, KubeletError> {
    let credentials = Credentials { certificate: CLIENT_CERTIFICATE, key: CLIENT_CERTIFICATE };
    let server = config.api_endpoint().url_with_port();
    let text = manifests::kubeconfig(&config.cluster, &server, KUBERNETES_CA, "kubelet", &credentials)
        .map_err(KubeletError::Kubeconfig)?;
    file::ensure(&host.path(NODE_KUBECONFIG), text, file::PRIVATE).map_err(KubeletError::File)
}

/// What the kubelet is: a master's, or another's. Where an API server runs beside the masters', it is a node's.
fn role(config: &NodeConfig) -> Role {
    if config.control_plane.is_some() { Role::ControlPlane } else { Role::Node }
}

fn configuration(
    config: &NodeConfig,
    identity: &InstanceIdentity,
    resolv_conf: &str,
) -> Result<Value, KubeletError> {
    let mut configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "staticPodPath": root::MANIFESTS,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "systemd",
        "providerID": identity.provider_id(),
        "clusterDNS": [config.network.dns_address],
        "clusterDomain": config.network.dns_domain,
        "resolvConf": resolv_conf,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": KUBERNETES_CA},
        },
        "authorization": {"mode": "Webhook"},
        "readOnlyPort": 0,
        "streamingConnectionIdleTimeout": "5m",
        "tlsMinVersion": "VersionTLS12",
        "tlsCipherSuites": CIPHER_SUITES,
        "protectKernelDefaults": true,
        "seccompDefault": true,
        "podPidsLimit": 4096,
        "serializeImagePulls": false,
        "maxParallelImagePulls": 5,
        "shutdownGracePeriod": "30s",
        "shutdownGracePeriodCriticalPods": "10s",
        "registerWithTaints": taints(&config.kubelet.taints)?,
    });
    if config.network.is_ipv6() {
        // All addresses, of both families. Its health is asked for at 127.0.0.1, which every machine has.
        configuration["address"] = json!("::");
    }
    match role(config) {
        Role::ControlPlane => {
            // The API hears of a static pod that was started before it only when the kubelet looks at the pod again.
            configuration["syncFrequency"] = json!("10s");
            configuration["tlsCertFile"] = json!(format!("{}/kubelet/server.crt", root::SECRETS));
            configuration["tlsPrivateKeyFile"] = json!(format!("{}/kubelet/server.key", root::SECRETS));
        }
        Role::Node | Role::Bastion | Role::ApiServer => {
            configuration["rotateCertificates"] = json!(true);
            configuration["serverTLSBootstrap"] = json!(true);
        }
    }
    if let Some(pods) = config.kubelet.max_pods {
        configuration["maxPods"] = json!(pods);
    }
    Ok(configuration)
}

/// Puts in what the specification says.
fn specify(configuration: &mut Value, settings: &ComponentSettings) {
    components::merge(configuration, &settings.configuration);
    // One by one is one at a time.
    if configuration["serializeImagePulls"] == true
        && let Some(fields) = configuration.as_object_mut()
    {
        fields.remove("maxParallelImagePulls");
    }
}

fn taints(taints: &[String]) -> Result<Vec<Value>, KubeletError> {
    taints.iter().map(|taint| parse_taint(taint).ok_or_else(|| KubeletError::Taint(taint.clone()))).collect()
}

/// `key=value:Effect`, or `key:Effect` without a value.
fn parse_taint(taint: &str) -> Option<Value> {
    let (rest, effect) = taint.rsplit_once(':')?;
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
    (known && !key.is_empty()).then(|| json!({"key": key, "value": value, "effect": effect}))
}

/// The flags for which the configuration file has no field.
fn arguments(config: &NodeConfig, identity: &InstanceIdentity) -> Vec<String> {
    let addresses = identity.node_addresses(config);
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut arguments = vec![
        format!("--hostname-override={}", identity.id),
        format!("--node-ip={}", addresses.join(",")),
        format!("--cert-dir={CERTIFICATES}"),
    ];
    match role(config) {
        Role::ControlPlane => arguments.push(format!("--kubeconfig={MASTER_KUBECONFIG}")),
        Role::Node | Role::Bastion | Role::ApiServer => {
            arguments.push(format!("--kubeconfig={NODE_KUBECONFIG}"));
        }
    }
    arguments.extend(ecr::arguments(config));
    let labels: Vec<String> =
        labels(config, identity).iter().map(|(key, value)| format!("{key}={value}")).collect();
    arguments.extend(config.component(KUBELET).flags.iter().map(|(name, value)| format!("--{name}={value}")));
    arguments.push(format!("--node-labels={}", labels.join(",")));
    arguments
}

/// The labels with which the Node is registered: what the specification names, and where and what the machine is, so
/// that pods which ask for a zone find it from the first moment. A kubelet may set these itself (KEP-279); what it may
/// not set, the master's agent does.
fn labels(config: &NodeConfig, identity: &InstanceIdentity) -> BTreeMap<String, String> {
    let known = [
        (node_labels::ZONE, &identity.zone),
        (node_labels::REGION, &identity.region),
        (node_labels::MACHINE_TYPE, &identity.machine_type),
    ];
    let mut labels: BTreeMap<String, String> =
        known.map(|(key, value)| (key.to_owned(), value.clone())).into();
    labels.extend(config.kubelet.labels.clone());
    labels
}

/// The unit's environment file. systemd splits the arguments at blanks, so none may have one.
fn environment(arguments: &[String]) -> Result<String, KubeletError> {
    let unsafe_argument = |argument: &&String| {
        argument.chars().any(|character| character.is_whitespace() || "\"'\\$`".contains(character))
    };
    if let Some(argument) = arguments.iter().find(unsafe_argument) {
        return Err(KubeletError::Argument(argument.clone()));
    }
    Ok(format!(
        "KUBELET_ARGS=\"{}\"\n# A dead connection to the API is noticed in seconds.\n\
         HTTP2_READ_IDLE_TIMEOUT_SECONDS=5\nHTTP2_PING_TIMEOUT_SECONDS=3\n",
        arguments.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agent, node_config};

    #[test]
    fn a_taint_has_a_key_a_value_and_an_effect() {
        let control_plane = parse_taint("node-role.kubernetes.io/control-plane=:NoSchedule").unwrap();
        assert_eq!(
            control_plane,
            json!({"key": "node-role.kubernetes.io/control-plane", "value": "", "effect": "NoSchedule"})
        );
        assert_eq!(parse_taint("a:NoExecute").unwrap()["key"], "a");
        for taint in ["a=b", "a=b:Never", "=b:NoSchedule", ""] {
            assert!(parse_taint(taint).is_none(), "{taint}");
        }
    }

    #[test]
    fn an_argument_that_systemd_would_split_is_refused() {
        let error = environment(&["--node-labels=a=b c".to_owned()]).unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert!(
            environment(&["--node-labels=a=b,c=d".to_owned()]).unwrap().starts_with("KUBELET_ARGS=\"--node")
        );
    }

    #[test]
    fn a_node_is_registered_with_its_place_unless_the_specification_names_another() {
        let identity = InstanceIdentity {
            id: "i-00000000000000001".into(),
            region: "us-east-1".into(),
            zone: "us-east-1a".into(),
            machine_type: "t3.medium".into(),
            private_address: Some(std::net::Ipv4Addr::LOCALHOST),
            ipv6_addresses: Vec::new(),
            vpc_ipv6_blocks: Vec::new(),
            mac: String::new(),
            network_interface: String::new(),
        };
        let mut config = node_config();
        let of = |config: &NodeConfig| arguments(config, &identity).pop().unwrap();
        assert_eq!(
            of(&config),
            "--node-labels=node.kubernetes.io/instance-type=t3.medium,topology.kubernetes.io/region=us-east-1,\
             topology.kubernetes.io/zone=us-east-1a"
        );
        config.kubelet.labels = [(node_labels::ZONE.to_owned(), "rack-7".to_owned())].into();
        assert!(of(&config).ends_with("topology.kubernetes.io/zone=rack-7"), "{}", of(&config));
    }

    #[tokio::test]
    async fn in_a_folder_the_start_is_only_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        assert!(!is_active(&host).await.unwrap());
    }

    #[tokio::test]
    async fn a_kubelet_that_does_not_run_is_started_and_reported() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path(), node_config()).await;
        // In a folder nothing ever runs.
        agent.reporter.tell(STEP.name(), look(&agent).await);
        let failing = agent.reporter.status().failing;
        assert_eq!(failing.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["ensure_kubelet"]);
        let commands = std::fs::read_to_string(agent.host.path("/run/windlass/commands")).unwrap();
        assert!(
            commands.lines().any(|line| line == "/usr/bin/systemctl start kubelet.service"),
            "{commands}"
        );
    }
}
