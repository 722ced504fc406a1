//! New keysets: an authority, or a signing key, with one key in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
};
use windlass_bootstrap::config::CONFIG_VERSION;
use windlass_bootstrap::keyset::{Key, Keyset, Secret};

use super::PkiError;

/// Signs what the API server and its clients show each other.
pub const KUBERNETES_CA: &str = "kubernetes-ca";
/// Signs what etcd and its clients show each other.
pub const ETCD_CA: &str = "etcd-ca";
/// Signs what the API server shows to aggregated API servers.
pub const FRONT_PROXY_CA: &str = "front-proxy-ca";
/// Signs service-account tokens.
pub const SERVICE_ACCOUNT: &str = "service-account";

/// Every keyset that a cluster has.
pub const KEYSETS: [&str; 4] = [KUBERNETES_CA, ETCD_CA, FRONT_PROXY_CA, SERVICE_ACCOUNT];

/// How long an authority is good for: ten years, as with kops and kubeadm. Rotation doesn't wait for that.
const AUTHORITY_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// How long before its making an authority is good already: the clocks of machines differ.
const CLOCK_SKEW: Duration = Duration::from_hours(1);

/// Makes the keyset of a name, with a key whose id grows with `now`.
pub fn generate(name: &str, now: SystemTime) -> Result<Keyset, PkiError> {
    let key = if name == SERVICE_ACCOUNT { signing_key(name, now)? } else { authority(name, now)? };
    Ok(Keyset {
        version: CONFIG_VERSION.to_owned(),
        name: name.to_owned(),
        primary: key.id.clone(),
        keys: vec![key],
    })
}

/// An authority on ECDSA P-256: every component of Kubernetes and etcd takes it, and signing is quick on a small
/// master.
fn authority(name: &str, now: SystemTime) -> Result<Key, PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|source| PkiError::Key { name: name.to_owned(), source })?;
    let serial = serial(now);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters.not_before = (now - CLOCK_SKEW).into();
    parameters.not_after = (now + AUTHORITY_LIFETIME).into();
    let certificate = parameters
        .self_signed(&key)
        .map_err(|source| PkiError::Certificate { name: name.to_owned(), source })?;
    Ok(Key { id: serial.to_string(), public: certificate.pem(), private: Secret::new(key.serialize_pem()) })
}

/// RSA, because it is what every verifier of an OIDC token must know (RS256).
fn signing_key(name: &str, now: SystemTime) -> Result<Key, PkiError> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .map_err(|source| PkiError::Key { name: name.to_owned(), source })?;
    Ok(Key {
        id: serial(now).to_string(),
        public: key.public_key_pem(),
        private: Secret::new(key.serialize_pem()),
    })
}

/// Nanoseconds since 1970, which a `u64` holds until the year 2554.
fn serial(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn an_authority_signs_certificates_and_nothing_below_it_does() {
        let now = SystemTime::now();
        let keyset = generate(KUBERNETES_CA, now).unwrap();
        let key = keyset.primary().unwrap();
        let pem = x509_parser::pem::parse_x509_pem(key.public.as_bytes()).unwrap().1;
        let (_, certificate) = X509Certificate::from_der(&pem.contents).unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=kubernetes-ca");
        let constraints = certificate.basic_constraints().unwrap().unwrap().value;
        assert!(constraints.ca);
        assert_eq!(constraints.path_len_constraint, Some(0));
        assert_eq!(certificate.raw_serial_as_string().replace(':', ""), format!("{:x}", serial(now)));
        let years = (certificate.validity().not_after.timestamp()
            - certificate.validity().not_before.timestamp())
            / (365 * 24 * 3600);
        assert_eq!(years, 10);
    }

    #[test]
    fn the_service_account_key_is_rsa() {
        let keyset = generate(SERVICE_ACCOUNT, SystemTime::now()).unwrap();
        let key = keyset.primary().unwrap();
        assert!(key.public.starts_with("-----BEGIN PUBLIC KEY-----"));
        let pair = KeyPair::from_pem(key.private.expose()).unwrap();
        assert!(pair.is_compatible(&PKCS_RSA_SHA256));
    }

    #[test]
    fn a_later_key_has_a_greater_id() {
        let now = SystemTime::now();
        let id = |now| generate(ETCD_CA, now).unwrap().primary.parse::<u64>().unwrap();
        assert!(id(now) < id(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_keyset_does_not_show_its_private_key() {
        let keyset = generate(ETCD_CA, SystemTime::now()).unwrap();
        let shown = format!("{keyset:?}");
        assert!(shown.contains("[redacted]") && !shown.contains("PRIVATE KEY"), "{shown}");
    }
}
