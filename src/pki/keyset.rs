//! New keysets: an authority, or a signing key, with one key in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
};
use windlass_bootstrap::config::CONFIG_VERSION;
use windlass_bootstrap::keyset::{Key, Keyset};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::{PkiError, pem};

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

/// Checks that every key of a keyset can be used: each private half can be read and fits its public half. Fails with
/// what is wrong, in words that show nothing secret.
pub fn check(keyset: &Keyset) -> Result<(), String> {
    if keyset.primary().is_none() {
        return Err(format!("it has no key `{}`, which is its primary one", keyset.primary));
    }
    for key in &keyset.keys {
        let pair = pem::read(&key.private);
        let pair = pair.ok_or_else(|| format!("the private half of its key `{}` can't be read", key.id))?;
        let fits = if keyset.name == SERVICE_ACCOUNT {
            pair.public_key_pem().trim() == key.public.trim()
        } else {
            public_key(&key.public).is_some_and(|public| public == pair.public_key_raw())
        };
        if !fits {
            return Err(format!("the two halves of its key `{}` don't belong together", key.id));
        }
    }
    Ok(())
}

/// Until when the certificate is good of the authority that signs now. `None` for a signing key, and where the certificate
/// can't be read.
pub fn expires(keyset: &Keyset) -> Option<Timestamp> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(keyset.primary()?.public.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// The public key of a certificate.
fn public_key(certificate: &str) -> Option<Vec<u8>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

/// An authority on ECDSA P-256: every component of Kubernetes and etcd takes it, and signing is quick on a small
/// master.
fn authority(name: &str, now: SystemTime) -> Result<Key, PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map(Zeroizing::new)
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
        .self_signed(&*key)
        .map_err(|source| PkiError::Certificate { name: name.to_owned(), source })?;
    Ok(Key { id: serial.to_string(), public: certificate.pem(), private: pem::write(&key) })
}

/// RSA, because it is what every verifier of an OIDC token must know (RS256).
fn signing_key(name: &str, now: SystemTime) -> Result<Key, PkiError> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .map(Zeroizing::new)
        .map_err(|source| PkiError::Key { name: name.to_owned(), source })?;
    Ok(Key { id: serial(now).to_string(), public: key.public_key_pem(), private: pem::write(&key) })
}

/// Nanoseconds since 1970, which a `u64` holds until the year 2554.
fn serial(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use windlass_bootstrap::keyset::Secret;

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
    fn an_authority_expires_after_its_lifetime_and_a_signing_key_never_does() {
        let now = SystemTime::now();
        let expires = super::expires(&generate(ETCD_CA, now).unwrap()).unwrap();
        let wanted = Timestamp::try_from(now + AUTHORITY_LIFETIME).unwrap();
        assert!(expires.duration_since(wanted).as_secs().abs() <= 1, "{expires}");
        assert_eq!(super::expires(&generate(SERVICE_ACCOUNT, now).unwrap()), None);
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
    fn halves_of_different_keys_are_no_key() {
        let now = SystemTime::now();
        for name in KEYSETS {
            let (mut one, other) = (generate(name, now).unwrap(), generate(name, now).unwrap());
            check(&one).unwrap();
            one.keys[0].private = other.keys[0].private.clone();
            assert!(check(&one).unwrap_err().contains("don't belong together"), "{name}");
            one.keys[0].private = Secret::new("s3cret");
            let told = check(&one).unwrap_err();
            assert!(told.contains("can't be read") && !told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn a_keyset_does_not_show_its_private_key() {
        let keyset = generate(ETCD_CA, SystemTime::now()).unwrap();
        let shown = format!("{keyset:?}");
        assert!(shown.contains("[redacted]") && !shown.contains("PRIVATE KEY"), "{shown}");
    }
}
