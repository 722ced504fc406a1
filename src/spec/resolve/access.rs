//! Who may reach the cluster, and how.

use super::network::Networks;
use super::{Report, Resolved, all, bastion, dns, load_balancer, text};
use crate::spec::cluster::{AccessSource, Api, BastionAccess, NodePortAccess, SshKey};
use crate::spec::problem::{Problem, Problems};
use crate::spec::v1alpha2::{
    CLUSTER_LABEL, Cluster, ClusterSpec, InstanceGroup, InstanceGroupRole, Metadata, Object, SshCredential,
};
use crate::spec::yaml::join;

/// The port of the API.
const API_PORT: u16 = 443;

/// Who may reach the cluster.
pub(super) struct Access {
    pub(super) api: Api,
    pub(super) ssh: Vec<AccessSource>,
    pub(super) bastion: Option<BastionAccess>,
    pub(super) node_ports: Option<NodePortAccess>,
}

pub(super) fn resolve(
    cluster: &Cluster,
    groups: &[InstanceGroup],
    network: &Networks,
    report: &mut Report<'_>,
) -> Resolved<Access> {
    const API_ACCESS: &str = "spec.kubernetesApiAccess";
    let spec = &cluster.spec;
    let api_access = sources(API_ACCESS, spec.kubernetes_api_access.as_ref(), report);
    let ssh_access = sources("spec.sshAccess", spec.ssh_access.as_ref(), report);
    let node_ports = node_ports(spec, report);
    if spec.kubernetes_api_access.as_deref().is_some_and(<[String]>::is_empty) {
        let message = "nobody could reach the API";
        report.push(Problem::at(API_ACCESS, message).hint("name a range, or leave it out"));
    }
    let elastic_ip = elastic_ip(spec, groups, network, report);
    let load_balancer = spec.api.as_ref().and_then(|api| api.load_balancer.as_ref());
    let load_balancer = load_balancer
        .map(|it| load_balancer::resolve(it, groups, network, dns::is_named(spec), report))
        .transpose();
    let public_name = name("spec.masterPublicName", spec.master_public_name.as_deref(), report);
    let internal_name = name("spec.masterInternalName", spec.master_internal_name.as_deref(), report);
    let additional_sans = additional_sans(spec, report);
    authorization(spec, report);
    let dns = dns::resolve(cluster, report);
    let bastion = bastion::resolve(spec, groups, network, report);
    let api = Api {
        access: api_access?,
        elastic_ip,
        load_balancer: load_balancer?,
        dns: dns?,
        public_name: public_name?,
        internal_name: internal_name?,
        additional_sans: additional_sans?,
        port: API_PORT,
    };
    Ok(Access { api, ssh: ssh_access?, bastion: bastion?, node_ports: node_ports? })
}

/// The node ports of Kubernetes, where the specification says no other ones.
const NODE_PORTS: (u16, u16) = (30000, 32767);

fn node_ports(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Option<NodePortAccess>> {
    let Some(written) = spec.node_port_access.as_ref().filter(|written| !written.is_empty()) else {
        return Ok(None);
    };
    let sources = sources("spec.nodePortAccess", Some(written), report)?;
    // Another range that is none is told where it is about the API server.
    let range = spec.kube_api_server.as_ref().and_then(|server| server.service_node_port_range.as_deref());
    let ports = range.and_then(|range| {
        let (first, last) = range.split_once('-')?;
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    });
    Ok(Some(NodePortAccess { sources, ports: ports.unwrap_or(NODE_PORTS) }))
}

fn sources(
    path: &str,
    sources: Option<&Vec<String>>,
    report: &mut Report<'_>,
) -> Resolved<Vec<AccessSource>> {
    let sources = report.filled(path, sources)?;
    all(sources
        .iter()
        .enumerate()
        .map(|(index, source)| report.read(&format!("{path}[{index}]"), source, access)))
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

/// Whether masters' addresses are Elastic IPs. There is one way in; without a name, one Elastic IP for a single master.
fn elastic_ip(
    spec: &ClusterSpec,
    groups: &[InstanceGroup],
    network: &Networks,
    report: &mut Report<'_>,
) -> bool {
    const PATH: &str = "spec.api";
    let Some(api) = &spec.api else { return false };
    let ways = [api.dns.is_some(), api.load_balancer.is_some(), api.elastic_ip.is_some()];
    let masters = groups.iter().filter(|group| group.spec.role == Some(InstanceGroupRole::Master)).count();
    match ways.into_iter().filter(|way| *way).count() {
        0 if masters > 0 => {
            report.missing(PATH, "write `elasticIP: {}`, or `loadBalancer: {type: Public}`");
        }
        2.. => {
            let problem = Problem::at(PATH, "the API is reached in one way only");
            report.push(problem.hint("keep one of `dns`, `elasticIP` and `loadBalancer`"));
        }
        _ => {}
    }
    if masters > 1 && api.elastic_ip.is_some() {
        let message = format!("an Elastic IP leads to one master, and there are {masters}");
        let hint =
            "write `loadBalancer: {type: Public}`, or `dns: {}` for a name with an Elastic IP of each master";
        report.push(Problem::at("spec.api.elasticIP", message).hint(hint));
    }
    let elastic_ip = api.elastic_ip.is_some() || api.dns.is_some();
    if elastic_ip && api.load_balancer.is_none() {
        masters_are_reached(groups, network, report);
    }
    elastic_ip
}

/// Packets from the Internet reach an Elastic IP in a subnet with a route to the Internet gateway alone.
fn masters_are_reached(groups: &[InstanceGroup], network: &Networks, report: &mut Report<'_>) {
    let masters = groups.iter().filter(|group| group.spec.role == Some(InstanceGroupRole::Master));
    let names: Vec<&String> = masters.flat_map(|group| group.spec.subnets.iter().flatten()).collect();
    let mut private = network.subnets.iter().flatten().filter(|subnet| subnet.kind.is_private());
    if let Some(subnet) = private.find(|subnet| names.contains(&&subnet.name)) {
        let message = format!("an Elastic IP leads nowhere in the private subnet `{}`", subnet.name);
        let hint =
            "write `loadBalancer: {type: Public}`, or `type: Internal` where the API is for the VPC alone";
        report.push(Problem::at("spec.api", message).hint(hint));
    }
}

fn name(path: &str, written: Option<&str>, report: &mut Report<'_>) -> Resolved<Option<String>> {
    written.map(|name| report.read(path, name, text::dns_name)).transpose()
}

fn additional_sans(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Vec<String>> {
    let names = spec.additional_sans.iter().flatten().enumerate().map(|(index, name)| {
        let bare = name.strip_prefix("*.").unwrap_or(name);
        if name.parse::<std::net::IpAddr>().is_err() && text::dns_name(bare).is_err() {
            let message = format!("`{name}` is neither an address nor a DNS name");
            return Err(report.push(Problem::at(format!("spec.additionalSans[{index}]"), message)));
        }
        Ok(name.clone())
    });
    all(names)
}

/// RBAC is what windlass does; there is nothing to choose.
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

/// The SSH key. A key pair that exists goes first, as in kops; an empty name asks for no key at all.
pub(super) fn ssh_key(
    cluster: &Cluster,
    credentials: &[SshCredential],
    problems: &mut Problems,
) -> Resolved<SshKey> {
    let keys = credentials.iter().map(|credential| {
        let mut report = Report::of(credential, problems);
        credential_key(cluster, credential, &mut report)
    });
    let keys: Vec<Resolved<String>> = keys.collect();
    if let Some(second) = credentials.get(1) {
        let message = "a cluster has one SSH key";
        Report::of(second, problems).push(Problem::at("metadata.name", message));
    }
    Ok(match (cluster.spec.ssh_key_name.as_deref(), all(keys)?.into_iter().next()) {
        (Some(name), _) if !name.is_empty() => SshKey::Existing(name.to_owned()),
        (None, Some(key)) => SshKey::Import(key),
        _ => SshKey::None,
    })
}

fn credential_key(
    cluster: &Cluster,
    credential: &SshCredential,
    report: &mut Report<'_>,
) -> Resolved<String> {
    const PATH: &str = "spec.publicKey";
    belongs(cluster, &credential.metadata, "the key", report);
    if let Some(name) = credential.metadata.name.as_deref() {
        // A name that is none is reported; nothing is called by it.
        let _ = report.read("metadata.name", name, text::dns_label);
    }
    match credential.spec.public_key.as_deref() {
        Some(key) => report.read(PATH, key, public_key),
        None => Err(report.missing(PATH, "write a key in OpenSSH's form")),
    }
}

/// Kinds of keys that EC2 imports.
const KEY_KINDS: [&str; 2] = ["ssh-ed25519", "ssh-rsa"];

/// A public key in OpenSSH's form, without the space around it.
pub(in crate::spec) fn public_key(text: &str) -> Result<String, Problem> {
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
    Ok(text.trim().to_owned())
}
