//! Short-lived client certificates for people.

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use windlass_bootstrap::keyset::{Keyset, Secret};
use zeroize::Zeroizing;

use super::{PkiError, pem};

/// The group that the API server lets do everything, before any RBAC.
pub const ADMINISTRATORS: &str = "system:masters";

/// How long before its making a certificate is good already: the clocks of machines differ.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// A certificate with its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: String,
    /// PKCS#8.
    pub key: Secret,
    /// When it stops being good.
    pub expires: SystemTime,
}

/// Issues a certificate for a user of a group, by the keyset's primary key.
pub fn issue(
    authority: &Keyset,
    user: &str,
    group: &str,
    lifetime: Duration,
    now: SystemTime,
) -> Result<ClientCertificate, PkiError> {
    let expires = now + lifetime;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map(Zeroizing::new)
        .map_err(|source| PkiError::Key { name: user.to_owned(), source })?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::OrganizationName, group);
    parameters.distinguished_name.push(DnType::CommonName, user);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    parameters.not_before = (now - CLOCK_SKEW).into();
    parameters.not_after = expires.into();
    let wrong = |reason: String| PkiError::Keyset { name: authority.name.clone(), reason };
    let primary =
        authority.primary().ok_or_else(|| wrong(format!("it has no key `{}`", authority.primary)))?;
    let signer = pem::read(&primary.private)
        .ok_or_else(|| wrong(format!("its key `{}` can't be read", primary.id)))?;
    let issuer =
        Issuer::from_ca_cert_pem(&primary.public, &*signer).map_err(|error| wrong(error.to_string()))?;
    let certificate = parameters
        .signed_by(&*key, &issuer)
        .map_err(|source| PkiError::Certificate { name: user.to_owned(), source })?;
    Ok(ClientCertificate { certificate: certificate.pem(), key: pem::write(&key), expires })
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;
    use crate::pki::keyset::{KUBERNETES_CA, generate};

    #[test]
    fn a_certificate_is_signed_by_the_authority_and_ends_when_it_should() {
        let now = SystemTime::now();
        let authority = generate(KUBERNETES_CA, now).unwrap();
        let issued = issue(&authority, "jo", ADMINISTRATORS, Duration::from_hours(18), now).unwrap();
        let parse = |pem: &str| x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1;
        let (leaf, root) = (parse(&issued.certificate), parse(&authority.primary().unwrap().public));
        let (_, leaf) = X509Certificate::from_der(&leaf.contents).unwrap();
        let (_, root) = X509Certificate::from_der(&root.contents).unwrap();
        assert_eq!(leaf.issuer(), root.subject());
        leaf.verify_signature(Some(root.public_key())).unwrap();
        assert_eq!(leaf.subject().to_string(), "CN=jo, O=system:masters");
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        let validity = leaf.validity();
        let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert_eq!(seconds, 18 * 3600 + 300);
    }

    #[test]
    fn a_keyset_without_its_primary_key_is_named() {
        let mut authority = generate(KUBERNETES_CA, SystemTime::now()).unwrap();
        authority.primary = "7".to_owned();
        let error = issue(&authority, "jo", ADMINISTRATORS, Duration::from_hours(1), SystemTime::now());
        assert_eq!(
            error.unwrap_err().to_string(),
            "the keyset `kubernetes-ca` can't sign: it has no key `7`"
        );
    }
}
