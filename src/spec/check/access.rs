//! Who may reach the cluster.

use super::{Report, text};
use crate::spec::cluster::AccessSource;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{
    CLUSTER_LABEL, Cluster, ClusterSpec, InstanceGroup, InstanceGroupRole, Metadata, Object, SshCredential,
};
use crate::spec::yaml::join;

pub(super) fn check(spec: &ClusterSpec, groups: &[InstanceGroup], report: &mut Report<'_>) {
    sources("spec.kubernetesApiAccess", spec.kubernetes_api_access.as_deref(), report);
    sources("spec.sshAccess", spec.ssh_access.as_deref(), report);
    if spec.kubernetes_api_access.as_deref().is_some_and(<[String]>::is_empty) {
        let message = "nobody could reach the API";
        report.push(Problem::at("spec.kubernetesApiAccess", message).hint("name a range, or leave it out"));
    }
    api(spec, groups, report);
    names(spec, report);
    authorization(spec, report);
}

fn sources(path: &str, sources: Option<&[String]>, report: &mut Report<'_>) {
    for (index, source) in sources.into_iter().flatten().enumerate() {
        report.read(&format!("{path}[{index}]"), Some(source), access);
    }
}

/// From where something may be reached: a range, or the id of a prefix list.
pub(in crate::spec) fn access(text: &str) -> Result<AccessSource, Problem> {
    let Some(id) = text.strip_prefix("pl-") else { return text::net(text).map(AccessSource::Range) };
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if (8..=17).contains(&id.len()) && id.bytes().all(lower_hex) {
        return Ok(AccessSource::PrefixList(text.to_owned()));
    }
    Err(Problem::at("", format!("`{text}` is not the id of a prefix list"))
        .hint("write it as AWS does, such as `pl-0123456789abcdef0`, or write address ranges"))
}

/// One way in, and an Elastic IP only for a single master.
fn api(spec: &ClusterSpec, groups: &[InstanceGroup], report: &mut Report<'_>) {
    const PATH: &str = "spec.api";
    let Some(api) = &spec.api else { return };
    let ways = [api.dns.is_some(), api.load_balancer.is_some(), api.elastic_ip.is_some()];
    let masters = groups.iter().filter(|group| group.spec.role == Some(InstanceGroupRole::Master)).count();
    match ways.into_iter().filter(|way| *way).count() {
        0 if masters > 0 => report.missing(PATH, "write `elasticIP: {}`"),
        2.. => report.push(
            Problem::at(PATH, "the API is reached in one way only")
                .hint("keep one of `dns`, `elasticIP` and `loadBalancer`"),
        ),
        _ => {}
    }
    if masters > 1 {
        let path = if api.elastic_ip.is_some() { "spec.api.elasticIP" } else { PATH };
        let message = format!("{masters} masters are not supported yet");
        report.push(Problem::at(path, message).hint("keep one InstanceGroup with `role: Master`"));
    }
}

fn names(spec: &ClusterSpec, report: &mut Report<'_>) {
    if let Some(name) = spec.master_public_name.as_deref() {
        report.read("spec.masterPublicName", Some(name), text::dns_name);
    }
    for (index, name) in spec.additional_sans.iter().flatten().enumerate() {
        let bare = name.strip_prefix("*.").unwrap_or(name);
        if name.parse::<std::net::IpAddr>().is_err() && text::dns_name(bare).is_err() {
            let message = format!("`{name}` is neither an address nor a DNS name");
            report.push(Problem::at(format!("spec.additionalSans[{index}]"), message));
        }
    }
}

fn authorization(spec: &ClusterSpec, report: &mut Report<'_>) {
    let both = spec.authorization.as_ref().is_some_and(|it| it.always_allow.is_some() && it.rbac.is_some());
    if both {
        report.push(Problem::at("spec.authorization", "only one of `alwaysAllow` and `rbac` can be chosen"));
    }
}

/// What a document's label says of the cluster that it belongs to is true; none says nothing.
pub(super) fn belongs(cluster: &Cluster, metadata: &Metadata, what: &str, report: &mut Report<'_>) {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(CLUSTER_LABEL));
    if let Some(label) = label.filter(|label| *label != cluster.name()) {
        let message = format!("{what} belongs to `{label}`, not to `{}`", cluster.name());
        let hint = format!("write `{}`, or leave the label out", cluster.name());
        report.push(Problem::at(join("metadata.labels", CLUSTER_LABEL), message).hint(hint));
    }
}

/// Kinds of keys that EC2 imports.
const KEY_KINDS: [&str; 2] = ["ssh-ed25519", "ssh-rsa"];

pub(super) fn check_credential(cluster: &Cluster, credential: &SshCredential, report: &mut Report<'_>) {
    const PATH: &str = "spec.publicKey";
    belongs(cluster, &credential.metadata, "the key", report);
    report.read("metadata.name", credential.metadata.name.as_deref(), text::dns_label);
    let Some(key) = credential.spec.public_key.as_deref() else {
        return report.missing(PATH, "write a key in OpenSSH's form");
    };
    report.read(PATH, Some(key), public_key);
}

/// A public key in OpenSSH's form.
pub(in crate::spec) fn public_key(text: &str) -> Result<(), Problem> {
    use base64::Engine as _;
    if text.contains("PRIVATE KEY") {
        let hint = "write the public one: the file ends with `.pub`";
        return Err(Problem::at("", "this is a private key").hint(hint).secret());
    }
    let mut words = text.split_whitespace();
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !KEY_KINDS.contains(&kind) {
        let message =
            format!("EC2 does not import keys of the kind `{}`", kind.chars().take(40).collect::<String>());
        return Err(Problem::at("", message).hint("make one with `ssh-keygen -t ed25519`"));
    }
    let body = base64::engine::general_purpose::STANDARD.decode(blob).unwrap_or_default();
    let length = u32::try_from(kind.len()).unwrap_or_default().to_be_bytes();
    if !body.starts_with(&[&length[..], kind.as_bytes()].concat()) {
        return Err(Problem::at("", "the key is damaged").hint("copy the whole line of the `.pub` file"));
    }
    Ok(())
}
