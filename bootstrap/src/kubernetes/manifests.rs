//! The files that the agent renders from `manifests/`: Tera templates, embedded in the binary.
//!
//! Every text that is put into one goes through the `quote` filter, which makes a JSON string of it: that is a YAML
//! string, too, and nothing in it can end it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

use crate::contract::config::{ControlPlaneConfig, NodeConfig};
use crate::control_plane::etcd::InitialClusterState;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::progress::retry::{Class, Classed};

/// What TLS 1.2 may use: the suites of the CIS benchmark. TLS 1.3's are not configurable, and all among them.
pub const CIPHER_SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

const TEMPLATES: [(&str, &str); 6] = [
    ("etcd", include_str!("../../../manifests/control-plane/etcd.yaml")),
    ("kube-apiserver", include_str!("../../../manifests/control-plane/kube-apiserver.yaml")),
    (
        "kube-controller-manager",
        include_str!("../../../manifests/control-plane/kube-controller-manager.yaml"),
    ),
    ("kube-scheduler", include_str!("../../../manifests/control-plane/kube-scheduler.yaml")),
    ("kube-proxy", include_str!("../../../manifests/node/kube-proxy.yaml")),
    ("kubeconfig", include_str!("../../../manifests/node/kubeconfig.yaml")),
];

/// The network plug-in's configuration, a template of its own kind: JSON.
const CNI: (&str, &str) = ("cni", include_str!("../../../manifests/node/cni.conflist"));

/// The API server's configuration files: name and contents.
const API_SERVER_FILES: [(&str, &str); 3] = [
    ("authentication.yaml", include_str!("../../../manifests/control-plane/authentication.yaml")),
    ("admission.yaml", include_str!("../../../manifests/control-plane/admission.yaml")),
    ("audit-policy.yaml", include_str!("../../../manifests/control-plane/audit-policy.yaml")),
];

/// What can go wrong with a rendered file.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The template asks for something that it isn't given.
    #[error("the template of {name} can't be rendered")]
    Render {
        /// The template.
        name: &'static str,
        /// Where and why.
        #[source]
        source: Box<tera::Error>,
    },
    /// The node configuration names no image.
    #[error("the node configuration has no image for {0}")]
    NoImage(&'static str),
    /// The etcd cluster doesn't have the member that this master shall be.
    #[error("the etcd cluster {etcd} has no member {member}")]
    NoMember {
        /// The etcd cluster.
        etcd: String,
        /// The member.
        member: String,
    },
    /// Writing it.
    #[error("a rendered file can't be written")]
    File(#[source] FileError),
}

impl Classed for ManifestError {
    fn class(&self) -> Class {
        match self {
            Self::File(_) => Class::Passing,
            _ => Class::Permanent,
        }
    }
}

static TERA: LazyLock<Result<Tera, tera::Error>> = LazyLock::new(|| {
    let mut tera = Tera::new();
    tera.autoescape_on(Vec::<&str>::new());
    tera.register_filter("quote", |value: &str, _: Kwargs, _: &State| quote(value));
    tera.add_raw_templates(TEMPLATES)?;
    tera.add_raw_template(CNI.0, CNI.1)?;
    Ok(tera)
});

/// A text as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Renders a template.
pub fn render(name: &'static str, context: &impl Serialize) -> Result<String, ManifestError> {
    let failed = |source| ManifestError::Render { name, source: Box::new(source) };
    let tera = TERA.as_ref().map_err(|error| failed(tera::Error::message(error.to_string())))?;
    let context = Context::from_serialize(context).map_err(failed)?;
    tera.render(name, &context).map_err(failed)
}

/// A folder of the host that a pod sees at the same path.
#[derive(Clone, Debug, Serialize)]
pub struct Folder {
    /// The volume's name.
    pub name: &'static str,
    /// The path, on the host and in the pod.
    pub path: &'static str,
}

/// Writes the static pods that the API needs in order to come up: etcd and the API server.
pub fn ensure_api(
    host: &Host,
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
    etcd_state: InitialClusterState,
    etcd_quota: u64,
) -> Result<bool, ManifestError> {
    let mut changed = false;
    for (name, contents) in API_SERVER_FILES {
        let path = host.path(root::KUBERNETES).join("kube-apiserver").join(name);
        changed |= file::ensure(&path, contents, file::PRIVATE).map_err(ManifestError::File)?;
    }
    changed |= file::ensure_folder(&host.path(root::AUDIT_LOG), 0o700).map_err(ManifestError::File)?;
    changed |= ensure_static_pod(host, "etcd", &etcd_pod(config, control_plane, etcd_state, etcd_quota)?)?;
    changed |= ensure_static_pod(host, "kube-apiserver", &api_server_pod(config, control_plane)?)?;
    Ok(changed)
}

/// Writes the static pods that need the API: the controller manager and the scheduler.
pub fn ensure_controllers(
    host: &Host,
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
) -> Result<bool, ManifestError> {
    let mut changed = false;
    for name in CONTROLLERS {
        changed |= ensure_static_pod(host, name, &controller_pod(name, config, control_plane)?)?;
    }
    Ok(changed)
}

/// Removes the static pods that need the API. Done while the kubelet is down, so that those of an earlier boot don't
/// start before the API and wait out their crash back-off.
pub fn remove_controllers(host: &Host) -> Result<bool, ManifestError> {
    let mut changed = false;
    for name in CONTROLLERS.into_iter().chain(["kube-proxy"]) {
        changed |= file::ensure_absent(&static_pod(host, name)).map_err(ManifestError::File)?;
    }
    Ok(changed)
}

/// Writes kube-proxy's static pod, which sees these folders of the host.
pub fn ensure_proxy(host: &Host, config: &NodeConfig, folders: &[Folder]) -> Result<bool, ManifestError> {
    let image = image(&config.images, "kube-proxy")?;
    let pod = render("kube-proxy", &serde_json::json!({"image": image, "folders": folders}))?;
    ensure_static_pod(host, "kube-proxy", &pod)
}

/// The pods that start once the API answers.
const CONTROLLERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

fn ensure_static_pod(host: &Host, name: &str, pod: &str) -> Result<bool, ManifestError> {
    file::ensure(&static_pod(host, name), pod, file::PRIVATE).map_err(ManifestError::File)
}

fn static_pod(host: &Host, name: &str) -> PathBuf {
    host.path(root::MANIFESTS).join(format!("{name}.yaml"))
}

fn etcd_pod(
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
    state: InitialClusterState,
    quota: u64,
) -> Result<String, ManifestError> {
    let etcd = &control_plane.etcd;
    let members: Vec<String> =
        etcd.members.iter().map(|(name, address)| format!("{name}=https://{address}:2380")).collect();
    let context = serde_json::json!({
        "image": image(&control_plane.images, "etcd")?,
        "cluster": config.cluster,
        "etcd": etcd,
        "address": member_address(control_plane)?,
        "initial_cluster": members.join(","),
        "initial_cluster_state": state.as_str(),
        "quota": quota.to_string(),
        "data": format!("{}/data", crate::storage::filesystem::mount_point(&etcd.name)),
        "cipher_suites": CIPHER_SUITES.join(","),
        "version_flags": etcd_version_flags(&etcd.version),
    });
    render("etcd", &context)
}

/// Flags whose name changed: etcd 3.6 turned experimental flags into feature gates and plain flags.
fn etcd_version_flags(version: &str) -> [&'static str; 2] {
    if version.starts_with("3.5.") {
        ["--experimental-initial-corrupt-check=true", "--experimental-watch-progress-notify-interval=5s"]
    } else {
        ["--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s"]
    }
}

fn api_server_pod(config: &NodeConfig, control_plane: &ControlPlaneConfig) -> Result<String, ManifestError> {
    let context = serde_json::json!({
        "image": image(&control_plane.images, "kube-apiserver")?,
        "advertise_address": member_address(control_plane)?,
        "port": config.api.port,
        "service_account_issuer": config.api.service_account_issuer,
        "service_cidr": config.network.service_cidr,
        "cipher_suites": CIPHER_SUITES.join(","),
    });
    render("kube-apiserver", &context)
}

fn controller_pod(
    name: &'static str,
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
) -> Result<String, ManifestError> {
    let context = serde_json::json!({
        "image": image(&control_plane.images, name)?,
        "cluster": config.cluster,
        "pod_cidr": config.network.pod_cidr,
        "service_cidr": config.network.service_cidr,
        "cipher_suites": CIPHER_SUITES.join(","),
        "signing_duration": format!("{}s", control_plane.certificate_lifetime().as_secs()),
        // A lone master has nobody to elect against, and would only wait out its predecessor's lease.
        "leader_elect": if control_plane.masters > 1 { "true" } else { "false" },
    });
    render(name, &context)
}

/// The stable private address of this master's etcd member.
pub fn member_address(control_plane: &ControlPlaneConfig) -> Result<Ipv4Addr, ManifestError> {
    let etcd = &control_plane.etcd;
    etcd.members
        .get(&etcd.member)
        .copied()
        .ok_or_else(|| ManifestError::NoMember { etcd: etcd.name.clone(), member: etcd.member.clone() })
}

fn image<'a>(
    images: &'a std::collections::BTreeMap<String, String>,
    name: &'static str,
) -> Result<&'a str, ManifestError> {
    images.get(name).map(String::as_str).ok_or(ManifestError::NoImage(name))
}

/// Where a node finds the API.
pub fn server(config: &NodeConfig) -> String {
    format!("https://{}:{}", config.api.private_address, config.api.port)
}

/// How a kubeconfig proves who it is: a certificate and its key, by path. Clients read them again when they change.
#[derive(Clone, Debug)]
pub struct Credentials<'a> {
    /// The certificate's path.
    pub certificate: &'a str,
    /// The key's path.
    pub key: &'a str,
}

/// Renders a kubeconfig.
pub fn kubeconfig(
    cluster: &str,
    server: &str,
    authority: &str,
    user: &str,
    credentials: &Credentials<'_>,
) -> Result<String, ManifestError> {
    let context = HashMap::from([
        ("cluster", cluster),
        ("server", server),
        ("certificate_authority", authority),
        ("user", user),
        ("client_certificate", credentials.certificate),
        ("client_key", credentials.key),
    ]);
    render("kubeconfig", &context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_in_a_template_is_quoted() {
        // Numbers, which need no quotes.
        let numbers = ["{{ port }}", "{{ mtu }}"];
        for (name, template) in TEMPLATES.into_iter().chain([CNI]) {
            for (at, _) in template.match_indices("{{") {
                let expression = &template[at..at + template[at..].find("}}").unwrap() + 2];
                let quoted = expression.ends_with("| quote }}");
                assert!(quoted || numbers.contains(&expression), "{name}: {expression} is not quoted");
            }
        }
    }

    #[test]
    fn nothing_in_a_text_can_end_its_quotes() {
        let server = "https://x\"\n  insecure-skip-tls-verify: true #";
        let text = kubeconfig("demo", server, "/ca.crt", "u", &PAIR).unwrap();
        assert!(text.lines().all(|line| !line.trim_start().starts_with("insecure")), "{text}");
        assert!(text.contains(r#"server: "https://x\"\n  insecure-skip-tls-verify: true #""#), "{text}");
    }

    const PAIR: Credentials<'_> = Credentials { certificate: "/c", key: "/k" };

    #[test]
    fn a_kubeconfig_names_files_and_holds_no_secret() {
        let text = kubeconfig("demo", "s", "/ca", "u", &PAIR).unwrap();
        assert!(text.contains("client-certificate: \"/c\"") && text.contains("client-key: \"/k\""), "{text}");
        assert!(!text.contains("token"), "{text}");
    }

    #[test]
    fn etcd_flags_follow_its_version() {
        assert!(etcd_version_flags("3.5.33")[0].starts_with("--experimental"));
        assert!(etcd_version_flags("3.6.16")[0].starts_with("--feature-gates"));
        assert!(etcd_version_flags("3.7.0")[0].starts_with("--feature-gates"));
    }
}
