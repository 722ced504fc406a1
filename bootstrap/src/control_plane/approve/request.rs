//! A kubelet's certificate request, as far as it matters for the decision.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::aws::ec2::is_instance_id;
use crate::aws::state::sha256;
use crate::secrets::certificates;

/// A kubelet's certificate for talking to the API.
pub(super) const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// A kubelet's certificate for being talked to.
pub(super) const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";

/// A request, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub username: String,
    /// The groups of who asks.
    pub groups: BTreeSet<String>,
    /// Whose signature is asked for.
    pub signer: String,
    /// What for.
    pub usages: BTreeSet<String>,
    /// The subject's common names.
    pub common_names: Vec<String>,
    /// The subject's organizations.
    pub organizations: Vec<String>,
    /// The DNS names.
    pub dns: BTreeSet<String>,
    /// The addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Other names, or other attributes of the subject.
    pub other_names: bool,
    /// The SHA-256 of the public key.
    pub key: String,
    /// For how long the certificate shall be good, if less than all are.
    pub lifetime: Option<Duration>,
}

/// The instance that a request is about, by the name it asks for; `None` if it isn't a kubelet's.
pub fn instance_of(request: &Request) -> Option<&str> {
    let ours = request.signer == CLIENT_SIGNER || request.signer == SERVING_SIGNER;
    let [name] = request.common_names.as_slice() else { return None };
    name.strip_prefix("system:node:").filter(|name| ours && is_instance_id(name))
}

/// Reads what matters of a request; `None` if it can't be understood, and is left alone.
pub(super) fn parse(request: &CertificateSigningRequest) -> Option<Request> {
    let spec = &request.spec;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&spec.request.0).ok()?;
    let (_, csr) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let subject = &csr.certification_request_info.subject;
    let texts = |values: Vec<Option<String>>| values.into_iter().collect::<Option<Vec<_>>>();
    let common_names =
        texts(subject.iter_common_name().map(|name| name.as_str().ok().map(str::to_owned)).collect())?;
    let organizations =
        texts(subject.iter_organization().map(|name| name.as_str().ok().map(str::to_owned)).collect())?;
    let mut parsed = Request {
        username: spec.username.clone().unwrap_or_default(),
        groups: spec.groups.iter().flatten().cloned().collect(),
        signer: spec.signer_name.clone(),
        usages: spec.usages.iter().flatten().cloned().collect(),
        other_names: subject.iter_attributes().count() != common_names.len() + organizations.len(),
        common_names,
        organizations,
        key: sha256(csr.certification_request_info.subject_pki.raw),
        lifetime: spec.expiration_seconds.and_then(|it| u64::try_from(it).ok()).map(Duration::from_secs),
        ..Request::default()
    };
    for extension in csr.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension {
            names.general_names.iter().for_each(|name| add_name(&mut parsed, name));
        }
    }
    Some(parsed)
}

fn add_name(request: &mut Request, name: &GeneralName<'_>) {
    match name {
        GeneralName::DNSName(name) => {
            request.dns.insert((*name).to_owned());
        }
        GeneralName::IPAddress(bytes) => match certificates::ip(bytes) {
            Some(address) => {
                request.addresses.insert(address);
            }
            None => request.other_names = true,
        },
        _ => request.other_names = true,
    }
}

/// Whether somebody has decided, for or against, or signing has failed. What is denied stays denied.
pub(super) fn is_decided(request: &CertificateSigningRequest) -> bool {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| !conditions.is_empty())
}

/// Until when the certificate is good that was made for a request.
pub(super) fn issued_until(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let certificate = request.status.as_ref()?.certificate.as_ref()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&certificate.0).ok()?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
