//! The leaf certificates of masters, and of API servers beside them: made on the machine, into tmpfs, and renewed in place.
//!
//! What a certificate must be is a value ([`Leaf`]); whether the one on tmpfs still is that is looked at, and only
//! otherwise is a new one made. Every component reads its files again when they change, so nothing is restarted.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::agent::Agent;
use crate::aws::identity::InstanceIdentity;
use crate::contract::config::{ControlPlaneConfig, NodeConfig, ServiceAccountsConfig};
use crate::contract::endpoint::{self, ServerName};
use crate::contract::keyset::{Key, Keyset};
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};
use crate::secrets::stored::{self, Authority, Secrets, SecretsError};

/// Makes the instance's certificates, and the kubeconfigs that name a master's.
pub const STEP: Step = Step::new("ensure_certificates", Duration::from_mins(1));

/// How long a leaf is valid. It is renewed after two thirds of that, so an agent that is down for a month does no harm.
pub const LIFETIME: Duration = Duration::from_hours(90 * 24);
/// A leaf is valid since a little before it was made, because clocks differ.
const BACKDATED: Duration = Duration::from_hours(1);

/// What can go wrong with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The keyset's primary key isn't among its keys.
    #[error("the keyset {0} has no primary key")]
    NoPrimary(String),
    /// The authority's certificate or key can't be used.
    #[error("the authority {0} can't sign")]
    Authority(String, #[source] rcgen::Error),
    /// Making a leaf.
    #[error("the certificate {0} can't be made")]
    Make(String, #[source] rcgen::Error),
    /// A name that isn't a DNS name.
    #[error("`{name}` can't be a name in the certificate {leaf}")]
    Name {
        /// The certificate.
        leaf: String,
        /// The host name that rcgen doesn't take.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The services' address range is too small.
    #[error("the service range {0} has no first address")]
    ServiceRange(String),
    /// The kubeconfigs that use them.
    #[error("the kubeconfigs can't be written")]
    Kubeconfigs(#[source] SecretsError),
    /// A file.
    #[error("a certificate's file can't be used")]
    File(#[source] FileError),
}

impl Classed for CertificateError {
    fn class(&self) -> Class {
        match self {
            Self::File(_) => Class::Passing,
            Self::Kubeconfigs(error) => error.class(),
            _ => Class::Permanent,
        }
    }
}

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// To be recognised by servers.
    Client,
    /// To be recognised by clients.
    Server,
    /// Both, as etcd's peers.
    Peer,
}

/// What a certificate must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The folder below [`root::SECRETS`]: the component whose it is.
    pub folder: &'static str,
    /// The file's name without `.crt` and `.key`.
    pub name: &'static str,
    /// Who signs it.
    pub authority: Authority,
    /// The subject's common name: Kubernetes' user.
    pub common_name: String,
    /// The subject's organization: Kubernetes' group.
    pub organization: Option<&'static str>,
    /// What it is used for.
    pub usage: Usage,
    /// The DNS names it is valid for.
    pub dns: BTreeSet<String>,
    /// The addresses it is valid for.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether the authority's certificate is shown with it. AWS knows a server whose authority it doesn't trust by the
    /// last certificate that it shows (IAM User Guide, "Obtain the thumbprint for an OpenID Connect identity provider").
    pub shows_authority: bool,
}

impl Leaf {
    fn client(folder: &'static str, name: &'static str, user: &str, group: Option<&'static str>) -> Self {
        Self {
            folder,
            name,
            authority: Authority::Kubernetes,
            common_name: user.to_owned(),
            organization: group,
            usage: Usage::Client,
            dns: BTreeSet::new(),
            addresses: BTreeSet::new(),
            shows_authority: false,
        }
    }

    fn showing_authority_if(mut self, shows_authority: bool) -> Self {
        self.shows_authority = shows_authority;
        self
    }

    fn signed_by(mut self, authority: Authority) -> Self {
        self.authority = authority;
        self
    }

    fn serving(
        mut self,
        usage: Usage,
        dns: impl IntoIterator<Item = String>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        self.usage = usage;
        self.dns = dns.into_iter().collect();
        self.addresses = addresses.into_iter().collect();
        self
    }

    fn title(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }
}

/// The addresses of an instance whose certificates the agent makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The instance's primary private IPv4 address.
    pub primary: Option<Ipv4Addr>,
    /// Its IPv6 address, in a cluster of such addresses.
    pub ipv6: Option<Ipv6Addr>,
    /// The stable private address, which moves with a master.
    pub stable: Option<Ipv4Addr>,
    /// The stable IPv6 address, which does so, too.
    pub stable_ipv6: Option<Ipv6Addr>,
    /// The Elastic IP.
    pub elastic: Option<Ipv4Addr>,
}

impl Addresses {
    /// Those that an instance has of its own.
    pub fn of(identity: &InstanceIdentity, config: &NodeConfig) -> Self {
        Self { primary: identity.private_address, ipv6: identity.ipv6_address(config), ..Self::default() }
    }

    /// Those that move with a master.
    pub fn stable(self) -> impl Iterator<Item = IpAddr> {
        self.stable.map(IpAddr::from).into_iter().chain(self.stable_ipv6.map(IpAddr::from))
    }

    /// Those by which its Node is known.
    fn of_node(self) -> impl Iterator<Item = IpAddr> {
        self.primary.map(IpAddr::from).into_iter().chain(self.ipv6.map(IpAddr::from))
    }
}

/// Every certificate that the agent makes on an instance: none on a node without an API server, whose kubelet asks for its
/// own.
pub fn leaves(
    config: &NodeConfig,
    identity: &InstanceIdentity,
    addresses: Addresses,
) -> Result<Vec<Leaf>, CertificateError> {
    match (&config.control_plane, &config.api_server) {
        (Some(control_plane), _) => master_leaves(config, control_plane, identity, addresses),
        (None, Some(api_server)) => api_server_leaves(config, &api_server.service_accounts, addresses),
        (None, None) => Ok(Vec::new()),
    }
}

/// What an API server needs, wherever it runs.
fn api_server_leaves(
    config: &NodeConfig,
    service_accounts: &ServiceAccountsConfig,
    addresses: Addresses,
) -> Result<Vec<Leaf>, CertificateError> {
    let (dns, api_addresses) = api_names(config, addresses)?;
    Ok(vec![
        Leaf::client("kube-apiserver", "etcd-client", "kube-apiserver", None).signed_by(Authority::Etcd),
        Leaf::client("kube-apiserver", "server", "kube-apiserver", None)
            .serving(Usage::Server, dns, api_addresses)
            .showing_authority_if(service_accounts.anonymous_discovery),
        Leaf::client("kube-apiserver", "kubelet-client", "kube-apiserver-kubelet-client", None),
        Leaf::client("kube-apiserver", "front-proxy-client", "front-proxy-client", None)
            .signed_by(Authority::FrontProxy),
    ])
}

/// Every certificate that a master needs.
fn master_leaves(
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
    identity: &InstanceIdentity,
    addresses: Addresses,
) -> Result<Vec<Leaf>, CertificateError> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let localhost = || ["localhost".to_owned()];
    let member = &control_plane.etcd.member;
    let mut leaves = vec![
        Leaf::client("etcd", "server", &format!("etcd-{member}"), None).signed_by(Authority::Etcd).serving(
            Usage::Peer,
            localhost(),
            addresses.stable.map(IpAddr::from).into_iter().chain([loopback]),
        ),
        Leaf::client("etcd", "peer", &format!("etcd-{member}"), None).signed_by(Authority::Etcd).serving(
            Usage::Peer,
            [],
            // It listens on the stable address, and what it sends to the others comes from the primary one: etcd takes a
            // peer's certificate only from an address that stands in it.
            addresses.stable.into_iter().chain(addresses.primary).map(IpAddr::from),
        ),
    ];
    leaves.extend(api_server_leaves(config, &control_plane.service_accounts, addresses)?);
    leaves.extend([
        Leaf::client("kube-controller-manager", "client", "system:kube-controller-manager", None),
        Leaf::client("kube-scheduler", "client", "system:kube-scheduler", None),
        Leaf::client("kube-proxy", "client", "system:kube-proxy", None),
        Leaf::client("kubelet", "client", &format!("system:node:{}", identity.id), Some("system:nodes")),
        Leaf::client("kubelet", "server", &format!("system:node:{}", identity.id), Some("system:nodes"))
            .serving(Usage::Server, [identity.id.clone()], addresses.of_node()),
        Leaf::client(
            "admin",
            "client",
            &format!("windlass-bootstrap:{}", identity.id),
            Some("system:masters"),
        ),
    ]);
    Ok(leaves)
}

/// The names and addresses by which the API is reached.
fn api_names(
    config: &NodeConfig,
    addresses: Addresses,
) -> Result<(Vec<String>, Vec<IpAddr>), CertificateError> {
    let network = &config.network;
    let range = network.service_cidr;
    // An IPv6 range has no broadcast address: the address of the network itself counts as one of its hosts there.
    let service = range.hosts().find(|address| *address != range.network());
    let service = service.ok_or_else(|| CertificateError::ServiceRange(network.service_cidr.to_string()))?;
    let mut dns: Vec<String> = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        .map(ToOwned::to_owned)
        .into();
    dns.push(format!("kubernetes.default.svc.{}", network.dns_domain));
    dns.extend([endpoint::public_name(&config.cluster), endpoint::internal_name(&config.cluster)]);
    let mut ips: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), service];
    ips.extend(network.is_ipv6().then_some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    ips.extend(addresses.of_node());
    ips.extend(addresses.stable().chain(addresses.elastic.map(IpAddr::from)));
    let additional = config.api.additional_sans.iter().cloned().map(ServerName::from);
    for name in additional.chain([config.api.endpoint.host.clone()]) {
        match name {
            ServerName::Address(address) => ips.push(address),
            ServerName::Dns(name) => dns.push(name),
        }
    }
    Ok((dns, ips))
}

/// The step.
pub async fn run(agent: &Agent, secrets: &Secrets, addresses: Addresses) -> Result<(), StepError> {
    let Agent { host, config, identity, .. } = agent;
    let make = async || {
        let leaves = leaves(config, identity, addresses)?;
        let mut changed = ensure(host, secrets, &leaves, Timestamp::now())?;
        if config.control_plane.is_some() {
            changed |= stored::ensure_kubeconfigs(host, config).map_err(CertificateError::Kubeconfigs)?;
        }
        Ok::<_, CertificateError>(Done::changed_if(changed))
    };
    STEP.run(&agent.reporter, make).await
}

/// Makes sure that tmpfs holds every certificate. Returns whether any was made.
pub fn ensure(
    host: &Host,
    secrets: &Secrets,
    leaves: &[Leaf],
    now: Timestamp,
) -> Result<bool, CertificateError> {
    let mut changed = false;
    for leaf in leaves {
        changed |= ensure_leaf(host, secrets.authority(leaf.authority), leaf, now)?;
    }
    Ok(changed)
}

fn ensure_leaf(
    host: &Host,
    authority: &Keyset,
    leaf: &Leaf,
    now: Timestamp,
) -> Result<bool, CertificateError> {
    let primary = authority.primary().ok_or_else(|| CertificateError::NoPrimary(authority.name.clone()))?;
    let folder = host.path(root::SECRETS).join(leaf.folder);
    let certificate = folder.join(format!("{}.crt", leaf.name));
    let key = folder.join(format!("{}.key", leaf.name));
    if is_right(&certificate, &key, primary, leaf, now) {
        return Ok(false);
    }
    let (certificate_pem, key_pem) = issue(&authority.name, primary, leaf, now)?;
    file::ensure_folder(&folder, 0o700).map_err(CertificateError::File)?;
    file::ensure(&key, key_pem, file::PRIVATE).map_err(CertificateError::File)?;
    file::ensure(&certificate, certificate_pem, file::PRIVATE).map_err(CertificateError::File)?;
    tracing::info!(certificate = leaf.title(), "issued");
    Ok(true)
}

fn issue(
    authority: &str,
    primary: &Key,
    leaf: &Leaf,
    now: Timestamp,
) -> Result<(String, zeroize::Zeroizing<String>), CertificateError> {
    let unusable = |source| CertificateError::Authority(authority.to_owned(), source);
    let authority_key = KeyPair::from_pem(primary.private.expose()).map_err(unusable)?;
    let issuer = Issuer::from_ca_cert_pem(&primary.public, authority_key).map_err(unusable)?;
    let unmakeable = |source| CertificateError::Make(leaf.title(), source);
    let key = KeyPair::generate().map_err(unmakeable)?;
    let certificate = params(leaf, now)?.signed_by(&key, &issuer).map_err(unmakeable)?;
    let mut shown = certificate.pem();
    if leaf.shows_authority {
        shown.push_str(&primary.public);
    }
    Ok((shown, zeroize::Zeroizing::new(key.serialize_pem())))
}

fn params(leaf: &Leaf, now: Timestamp) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = leaf.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, leaf.common_name.as_str());
    for name in &leaf.dns {
        let dns = name.as_str().try_into().map_err(|source| CertificateError::Name {
            leaf: leaf.title(),
            name: name.clone(),
            source,
        })?;
        params.subject_alt_names.push(SanType::DnsName(dns));
    }
    params.subject_alt_names.extend(leaf.addresses.iter().copied().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match leaf.usage {
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::Peer => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(seconds).saturating_sub(BACKDATED);
    params.not_after = epoch + Duration::from_secs(seconds) + LIFETIME;
    Ok(params)
}

/// Whether the files hold such a certificate, its key, signed by this authority, and with a third of its life left.
fn is_right(certificate: &Path, key: &Path, authority: &Key, leaf: &Leaf, now: Timestamp) -> bool {
    let read = |path: &Path| file::read(path).ok().flatten();
    let (Some(certificate), Some(key)) = (read(certificate), read(key).map(zeroize::Zeroizing::new)) else {
        return false;
    };
    let Some(der) = der(&certificate) else { return false };
    let shows_authority = certificate.ends_with(authority.public.as_bytes());
    let Some(authority_der) = self::der(authority.public.as_bytes()) else { return false };
    let Ok((_, authority)) = X509Certificate::from_der(&authority_der) else { return false };
    let Ok((_, found)) = X509Certificate::from_der(&der) else { return false };
    let key = std::str::from_utf8(&key).ok().and_then(|pem| KeyPair::from_pem(pem).ok());
    let due = now.as_second() + i64::try_from(LIFETIME.as_secs() / 3).unwrap_or(i64::MAX);
    shows_authority == leaf.shows_authority
        && found.validity().not_after.timestamp() > due
        && found.validity().not_before.timestamp() <= now.as_second()
        && signed_by(&found, &authority)
        && key.is_some_and(|key| key.public_key_raw() == &*found.public_key().subject_public_key.data)
        && describes(&found, leaf)
}

fn signed_by(leaf: &X509Certificate<'_>, authority: &X509Certificate<'_>) -> bool {
    let leaf_names = leaf.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            identifier.key_identifier.as_ref().map(|id| id.0)
        }
        _ => None,
    });
    let authority_is = authority.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    });
    leaf.issuer().as_raw() == authority.subject().as_raw()
        && (authority_is.is_none() || leaf_names == authority_is)
}

fn describes(found: &X509Certificate<'_>, leaf: &Leaf) -> bool {
    let common_name = found.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let organization = found.subject().iter_organization().next().and_then(|name| name.as_str().ok());
    let (dns, addresses) = alternative_names(found);
    let usages = found
        .extended_key_usage()
        .ok()
        .flatten()
        .map(|usage| (usage.value.server_auth, usage.value.client_auth));
    common_name == Some(leaf.common_name.as_str())
        && organization == leaf.organization
        && dns == leaf.dns
        && addresses == leaf.addresses
        && usages == Some((leaf.usage != Usage::Client, leaf.usage != Usage::Server))
}

fn alternative_names(found: &X509Certificate<'_>) -> (BTreeSet<String>, BTreeSet<IpAddr>) {
    let (mut dns, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let names = found.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => {
                dns.insert((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => {
                addresses.extend(ip(bytes));
            }
            _ => {}
        }
    }
    (dns, addresses)
}

/// An address as certificates hold it: four or sixteen bytes.
pub fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The first block of a PEM file.
pub fn der(pem: &[u8]) -> Option<Vec<u8>> {
    x509_parser::pem::parse_x509_pem(pem).ok().map(|(_, pem)| pem.contents)
}

#[cfg(test)]
mod tests;
