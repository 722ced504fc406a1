//! How files are rendered from `manifests/`: Tera templates, embedded in the binary.
//!
//! Every text that is put into one goes through the `quote` filter, which makes a JSON string of it: that is a YAML
//! string, too, and nothing in it can end it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

use crate::contract::config::NoMember;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::kubernetes::authentication::AuthenticationError;
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

const TEMPLATES: [(&str, &str); 7] = [
    ("etcd", include_str!("../../../manifests/control-plane/etcd.yaml")),
    ("kube-apiserver", include_str!("../../../manifests/control-plane/kube-apiserver.yaml")),
    ("authentication", include_str!("../../../manifests/control-plane/authentication.yaml")),
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
    /// The instance has no address of the family that the component needs.
    #[error("this instance has no address by which {0} could be reached")]
    NoAddress(&'static str),
    /// The node configuration names no image.
    #[error("the node configuration has no image for {0}")]
    NoImage(&'static str),
    /// The etcd cluster doesn't have the member that this master shall be.
    #[error(transparent)]
    Member(#[from] NoMember),
    /// The specification gives a flag that the agent gives itself.
    #[error(
        "{0} can't be given --{1}, which this agent gives it itself: build an image with the agent of the windlass that \
         wrote the node configuration"
    )]
    Twice(&'static str, String),
    /// How clients prove who they are.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// Writing it.
    #[error("a rendered file can't be written")]
    File(#[source] FileError),
}

impl Classed for ManifestError {
    fn class(&self) -> Class {
        match self {
            // A file of the user's may come later than the pod that reads it.
            Self::File(_) | Self::Authentication(_) => Class::Passing,
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

/// Writes a static pod, which the kubelet starts.
pub fn ensure_static_pod(host: &Host, name: &str, pod: &str) -> Result<bool, ManifestError> {
    file::ensure(&static_pod(host, name), pod, file::PRIVATE).map_err(ManifestError::File)
}

/// Where a static pod's manifest stands.
pub fn static_pod(host: &Host, name: &str) -> PathBuf {
    host.path(root::MANIFESTS).join(format!("{name}.yaml"))
}

/// The image of a component, which a node configuration names.
pub fn image<'a>(
    images: &'a std::collections::BTreeMap<String, String>,
    name: &'static str,
) -> Result<&'a str, ManifestError> {
    images.get(name).map(String::as_str).ok_or(ManifestError::NoImage(name))
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
        let numbers = ["{{ port }}", "{{ mtu }}", "{{ metrics_port }}", "{{ grace }}"];
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
}
