//! The certificate with which a node's kubelet talks to the API: the files that hold it, as the kubelet's own
//! certificate store keeps them, so that the kubelet goes on renewing what the agent brought.
//!
//! A store is a folder with a file for each certificate and its key, and a symbolic link to the present one
//! (k8s.io/client-go/util/certificate, `FileStore`). The kubelet refuses to renew where the link is a plain file.

use std::fmt::Write as _;
use std::path::PathBuf;

use aws_lc_rs::digest;
use fs_err as fs;
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::node::kubelet;
use crate::progress::retry::{Class, Classed};
use crate::secrets::certificates;

/// The key of a request that isn't answered yet; the kubelet uses the same name. It outlives the agent, so that a
/// request that was made is found again instead of made a second time.
const PENDING_KEY: &str = "kubelet-client.key.tmp";
/// The group of every node (Kubernetes, "Using Node Authorization").
const GROUP: &str = "system:nodes";

/// What can go wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    /// A file.
    #[error("the kubelet's certificate can't be kept")]
    File(#[source] FileError),
    /// The link to the present certificate.
    #[error("{} can't be made to point to the new certificate", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// Making the key or the request.
    #[error("no certificate request can be made for {0}")]
    Request(String, #[source] rcgen::Error),
    /// What was issued isn't what was asked for.
    #[error("the certificate that was issued is of no use: {0}")]
    Useless(String),
}

impl Classed for CertificateFileError {
    fn class(&self) -> Class {
        match self {
            Self::Request(..) => Class::Permanent,
            _ => Class::Passing,
        }
    }
}

/// What the file of the present certificate holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFile {
    /// A certificate of this node with its key, until then.
    Valid(Timestamp),
    /// One that has expired then.
    Expired(Timestamp),
    /// Nothing.
    Missing,
    /// Something that can't be used, and why.
    Useless(String),
}

/// Looks at the certificate of the node of this name.
pub fn look(host: &Host, node: &str, now: Timestamp) -> Result<CertificateFile, CertificateFileError> {
    let path = host.path(kubelet::CLIENT_CERTIFICATE);
    let Some(pem) = file::read(&path).map_err(CertificateFileError::File)?.map(Zeroizing::new) else {
        return Ok(CertificateFile::Missing);
    };
    Ok(examine(&pem, node, now))
}

/// Examines a file that holds a certificate and its key.
fn examine(pem: &[u8], node: &str, now: Timestamp) -> CertificateFile {
    let useless = |why: &str| CertificateFile::Useless(why.to_owned());
    let Ok(text) = std::str::from_utf8(pem) else { return useless("it is not text") };
    let Some(der) = certificates::der(pem) else { return useless("it holds no certificate") };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
        return useless("its certificate can't be read");
    };
    let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    if common_name != Some(user(node).as_str()) {
        return useless(&format!("it is of {}, not of {node}", common_name.unwrap_or("nobody")));
    }
    let Some(key) = private_key(text) else { return useless("it holds no key") };
    if key.public_key_raw() != &*certificate.public_key().subject_public_key.data {
        return useless("its key is another certificate's");
    }
    let until = certificate.validity().not_after.timestamp();
    let until = Timestamp::from_second(until).unwrap_or(Timestamp::MAX);
    if until <= now { CertificateFile::Expired(until) } else { CertificateFile::Valid(until) }
}

/// The key of a file that may hold other blocks before it; the kubelet's own are in SEC 1's form, the agent's in PKCS #8.
fn private_key(text: &str) -> Option<KeyPair> {
    KeyPair::from_pem(key_block(text)?).ok()
}

/// The block of a key, to the end of the file.
fn key_block(text: &str) -> Option<&str> {
    let is_key = |at: usize| text[at..].lines().next().is_some_and(|line| line.ends_with("PRIVATE KEY-----"));
    text.match_indices("-----BEGIN ").find(|(at, _)| is_key(*at)).map(|(at, _)| &text[at..])
}

/// The key of a file, and the block that holds it.
fn own_key(pem: &[u8]) -> Option<(KeyPair, Zeroizing<String>)> {
    let block = key_block(std::str::from_utf8(pem).ok()?)?;
    Some((KeyPair::from_pem(block).ok()?, Zeroizing::new(block.to_owned())))
}

/// A request for a node's certificate, in PEM.
fn certificate_request(key: &KeyPair, node: &str) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, GROUP);
    params.distinguished_name.push(DnType::CommonName, user(node));
    params.serialize_request(key)?.pem()
}

/// The user that a node is to Kubernetes.
pub fn user(node: &str) -> String {
    format!("system:node:{node}")
}

/// A request for a node's certificate, and the key it is for.
pub struct Request {
    /// A name that is always the same for the same key: who asks again finds what they asked for.
    pub name: String,
    /// The request in PEM.
    pub pem: String,
    /// The key as it was read: the kubelet's own form differs from the agent's.
    key_pem: Zeroizing<String>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Request").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Request {
    /// The request that was begun before, by its key; else a new one.
    pub fn begin(host: &Host, node: &str) -> Result<Self, CertificateFileError> {
        let failed = |source| CertificateFileError::Request(node.to_owned(), source);
        file::ensure_folder(&host.path(kubelet::CERTIFICATES), 0o700).map_err(CertificateFileError::File)?;
        let path = host.path(kubelet::CERTIFICATES).join(PENDING_KEY);
        let before = file::read(&path).map_err(CertificateFileError::File)?.map(Zeroizing::new);
        let (key, key_pem) = if let Some(known) = before.and_then(|pem| own_key(&pem)) {
            known
        } else {
            let key = KeyPair::generate().map_err(failed)?;
            let pem = Zeroizing::new(key.serialize_pem());
            file::ensure(&path, pem.as_bytes(), file::PRIVATE).map_err(CertificateFileError::File)?;
            (key, pem)
        };
        let pem = certificate_request(&key, node).map_err(failed)?;
        Ok(Self { name: format!("{node}-{}", fingerprint(key.public_key_raw())), pem, key_pem })
    }

    /// Another request for the key of the present certificate, where that is refused although it looks right. Masters
    /// grant another key nothing as long as the certificate that they remember is good, and to this key what it has.
    /// Each has another name: the answer to an earlier one would be the certificate that is refused.
    pub fn again(host: &Host, node: &str) -> Result<Self, CertificateFileError> {
        let present =
            file::read(&host.path(kubelet::CLIENT_CERTIFICATE)).map_err(CertificateFileError::File)?;
        let known = present.map(Zeroizing::new).and_then(|pem| own_key(&pem));
        let Some((key, key_pem)) = known else {
            return Err(CertificateFileError::Useless("it holds no key".to_owned()));
        };
        let pem = certificate_request(&key, node)
            .map_err(|source| CertificateFileError::Request(node.to_owned(), source))?;
        // The signature in it is another one each time.
        Ok(Self { name: format!("{node}-{}", fingerprint(pem.as_bytes())), pem, key_pem })
    }

    /// Keeps the certificate that was issued for it, and makes it the present one.
    pub fn keep(
        &self,
        host: &Host,
        node: &str,
        issued: &[u8],
        now: Timestamp,
    ) -> Result<(), CertificateFileError> {
        let mut pair = Zeroizing::new(issued.to_vec());
        if !pair.ends_with(b"\n") {
            pair.push(b'\n');
        }
        pair.extend_from_slice(self.key_pem.as_bytes());
        match examine(&pair, node, now) {
            CertificateFile::Valid(_) => {}
            CertificateFile::Expired(at) => {
                return Err(CertificateFileError::Useless(format!("it has expired already, at {at}")));
            }
            CertificateFile::Missing => return Err(CertificateFileError::Useless("it is empty".to_owned())),
            CertificateFile::Useless(why) => return Err(CertificateFileError::Useless(why)),
        }
        let folder = host.path(kubelet::CERTIFICATES);
        let name = format!("kubelet-client-{}.pem", now.strftime("%Y-%m-%d-%H-%M-%S"));
        file::ensure(&folder.join(&name), &*pair, file::PRIVATE).map_err(CertificateFileError::File)?;
        point(&host.path(kubelet::CLIENT_CERTIFICATE), &name)?;
        forget(host)
    }
}

/// Forgets a request that was refused: the next one has another key, and so another name.
pub fn forget(host: &Host) -> Result<(), CertificateFileError> {
    let path = host.path(kubelet::CERTIFICATES).join(PENDING_KEY);
    file::ensure_absent(&path).map(drop).map_err(CertificateFileError::File)
}

/// Makes a symbolic link point to a file of its own folder, in one step.
fn point(link: &std::path::Path, name: &str) -> Result<(), CertificateFileError> {
    let failed = |source| CertificateFileError::Link { path: link.to_owned(), source };
    let temporary = link.with_extension("pem.tmp");
    file::ensure_absent(&temporary).map_err(CertificateFileError::File)?;
    std::os::unix::fs::symlink(name, &temporary).map_err(failed)?;
    fs::rename(&temporary, link).map_err(failed)
}

/// The beginning of a public key's digest, in letters that an object's name may have.
fn fingerprint(key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, key);
    digest.as_ref().iter().take(10).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateSigningRequestParams, IsCa, Issuer};

    use super::*;

    const NODE: &str = "i-0123456789abcdef0";

    /// Signs a request as kube-controller-manager would, for so long.
    pub(crate) fn sign(request: &str, now: Timestamp, life: Duration) -> String {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        let now = Duration::from_secs(now.as_second().try_into().unwrap());
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        request.params.not_before = epoch + now - Duration::from_mins(5);
        request.params.not_after = epoch + now + life;
        request.signed_by(&issuer).unwrap().pem()
    }

    fn machine() -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        (folder, host)
    }

    #[test]
    fn a_certificate_is_looked_at_for_its_end_and_not_for_its_file() {
        let (_folder, host) = machine();
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        assert_eq!(look(&host, NODE, now).unwrap(), CertificateFile::Missing);
        let request = Request::begin(&host, NODE).unwrap();
        let issued = sign(&request.pem, now, Duration::from_hours(1));
        request.keep(&host, NODE, issued.as_bytes(), now).unwrap();
        let end: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        assert_eq!(look(&host, NODE, now).unwrap(), CertificateFile::Valid(end));
        assert_eq!(look(&host, NODE, end).unwrap(), CertificateFile::Expired(end));
        assert!(matches!(look(&host, "i-other", now).unwrap(), CertificateFile::Useless(_)));
        std::fs::write(host.path(kubelet::CLIENT_CERTIFICATE), issued).unwrap();
        assert_eq!(look(&host, NODE, now).unwrap(), CertificateFile::Useless("it holds no key".to_owned()));
        std::fs::write(host.path(kubelet::CLIENT_CERTIFICATE), "").unwrap();
        assert!(matches!(look(&host, NODE, now).unwrap(), CertificateFile::Useless(_)));
    }

    #[test]
    fn a_request_that_was_begun_is_found_again_until_it_is_answered_or_refused() {
        let (_folder, host) = machine();
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let first = Request::begin(&host, NODE).unwrap();
        let again = Request::begin(&host, NODE).unwrap();
        assert_eq!(first.name, again.name, "an agent that was killed asks for the same");
        assert!(first.name.len() < 63 && first.name.starts_with(NODE), "{}", first.name);
        again.keep(&host, NODE, sign(&again.pem, now, Duration::from_hours(1)).as_bytes(), now).unwrap();
        let second = Request::begin(&host, NODE).unwrap();
        assert_ne!(second.name, first.name);
        forget(&host).unwrap();
        assert_ne!(Request::begin(&host, NODE).unwrap().name, second.name);
    }

    #[test]
    fn the_present_certificate_is_a_link_as_the_kubelet_wants_it_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, host) = machine();
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        for later in [0, 60] {
            let now = now + jiff::SignedDuration::from_secs(later);
            let request = Request::begin(&host, NODE).unwrap();
            request
                .keep(&host, NODE, sign(&request.pem, now, Duration::from_hours(1)).as_bytes(), now)
                .unwrap();
        }
        let current = host.path(kubelet::CLIENT_CERTIFICATE);
        assert_eq!(
            std::fs::read_link(&current).unwrap().to_str(),
            Some("kubelet-client-2026-11-21-02-01-00.pem")
        );
        assert_eq!(std::fs::metadata(&current).unwrap().permissions().mode() & 0o777, file::PRIVATE);
        assert_eq!(std::fs::metadata(current.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_refused_certificate_s_own_key_can_be_signed_again_in_the_kubelet_s_form_too() {
        let (_folder, host) = machine();
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        assert!(Request::again(&host, NODE).is_err(), "there is none");
        let key = private_key(KUBELETS).unwrap();
        let issued = sign(&certificate_request(&key, NODE).unwrap(), now, Duration::from_hours(1));
        let path = host.path(kubelet::CLIENT_CERTIFICATE);
        file::ensure(&path, format!("{issued}{KUBELETS}"), file::PRIVATE).unwrap();
        let (one, other) = (Request::again(&host, NODE).unwrap(), Request::again(&host, NODE).unwrap());
        assert_ne!(one.name, other.name, "what answered the first is what is refused");
        assert_eq!(*one.key_pem, *KUBELETS);
        let later = now + jiff::SignedDuration::from_mins(30);
        let issued = sign(&other.pem, later, Duration::from_hours(1));
        other.keep(&host, NODE, issued.as_bytes(), later).unwrap();
        let until = later + jiff::SignedDuration::from_hours(1);
        assert_eq!(look(&host, NODE, later).unwrap(), CertificateFile::Valid(until));
    }

    #[test]
    fn a_certificate_for_another_key_is_not_kept() {
        let (_folder, host) = machine();
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let request = Request::begin(&host, NODE).unwrap();
        let issued = sign(&request.pem, now, Duration::from_hours(1));
        forget(&host).unwrap();
        let other = Request::begin(&host, NODE).unwrap();
        assert!(other.keep(&host, NODE, issued.as_bytes(), now).is_err());
        assert_eq!(look(&host, NODE, now).unwrap(), CertificateFile::Missing);
    }

    #[test]
    fn a_key_is_read_in_the_agent_s_form_and_in_the_kubelet_s() {
        let key = KeyPair::generate().unwrap().serialize_pem();
        let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert!(private_key(&format!("{certificate}{key}")).is_some());
        assert!(private_key(certificate).is_none());
        assert!(private_key(&format!("{certificate}{KUBELETS}")).is_some());
    }

    /// As `openssl ecparam -name prime256v1 -genkey -noout` and the kubelet write it; it has never been anybody's.
    const KUBELETS: &str = "-----BEGIN EC PRIVATE KEY-----\n\
        MHcCAQEEIMO7Fs13lYqfPPAfu1i7VT707DxiDJ8RtZp4IniDQey8oAoGCCqGSM49\n\
        AwEHoUQDQgAEgT2jqluVB/wFZhvJyLlis9cbyu3NqOaQt0Py7R48nEs50iU5TweL\n\
        eX503cnJhobLSBWbWza1Hi50XkzlDEhk1A==\n\
        -----END EC PRIVATE KEY-----\n";
}
