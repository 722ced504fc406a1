//! What tells others how tokens of service accounts are verified: the issuer's description and its public keys, as API
//! servers have them, and by what AWS knows a server whose authority it doesn't trust.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use windlass_bootstrap::keyset::{Key, Keyset};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::PkiError;

/// An issuer's description (OpenID Connect Discovery 1.0, section 3).
pub fn configuration(issuer: &str, jwks_uri: &str) -> String {
    let configuration = json!({
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["sub", "iss"],
    });
    format!("{configuration:#}\n")
}

/// The public halves of all of a signing keyset's keys (RFC 7517, section 5): tokens of each are good.
///
/// # Errors
///
/// Fails where one of them isn't an RSA key.
pub fn jwks(keyset: &Keyset) -> Result<String, PkiError> {
    let keys: Option<Vec<Value>> = keyset.keys.iter().map(jwk).collect();
    let reason = || "a public half of it is no RSA key".to_owned();
    let keys = keys.ok_or_else(|| PkiError::Keyset { name: keyset.name.clone(), reason: reason() })?;
    Ok(format!("{:#}\n", json!({"keys": keys})))
}

/// A key as API servers publish it: its id is the digest of its public half.
fn jwk(key: &Key) -> Option<Value> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(key.public.as_bytes()).ok()?;
    let (_, info) = SubjectPublicKeyInfo::from_der(&pem.contents).ok()?;
    let PublicKey::RSA(public) = info.parsed().ok()? else { return None };
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        URL_SAFE_NO_PAD.encode(&bytes[zeros..])
    };
    Some(json!({
        "use": "sig",
        "kty": "RSA",
        "kid": URL_SAFE_NO_PAD.encode(digest::digest(&SHA256, &pem.contents)),
        "alg": "RS256",
        "n": number(public.modulus),
        "e": number(public.exponent),
    }))
}

/// The thumbprints of a bundle's certificates: SHA-1 in lower-case hexadecimal digits, as IAM has them. Nothing of what
/// isn't a certificate.
pub fn thumbprints(bundle: &str) -> Vec<String> {
    let certificates = Pem::iter_from_buffer(bundle.as_bytes()).filter_map(Result::ok);
    let certificates = certificates.filter(|pem| pem.label == "CERTIFICATE");
    let thumbprint = |pem: Pem| {
        let digest = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, &pem.contents);
        digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    certificates.map(thumbprint).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::PublicKeyComponents;
    use aws_lc_rs::signature::{
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    };

    use super::*;
    use crate::pki::keyset::{self, KUBERNETES_CA, SERVICE_ACCOUNT};
    use crate::pki::pem;

    /// A token that a key of the keyset signs, as the API server does.
    fn token(key: &Key, kid: &str) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({"alg": "RS256", "kid": kid}));
        let claims = part(json!({"sub": "system:serviceaccount:default:web", "aud": ["amazonaws.com"]}));
        let signed = format!("{header}.{claims}");
        let private = pem::read(&key.private).unwrap();
        let pair = RsaKeyPair::from_pkcs8(private.serialized_der()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Whether a token is good by what is published, as whoever reads it finds out.
    fn is_good(token: &str, jwks: &str) -> bool {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        let header_value: Value = serde_json::from_slice(&decode(header)).unwrap();
        let published: Value = serde_json::from_str(jwks).unwrap();
        let mut keys = published["keys"].as_array().unwrap().iter();
        let Some(key) = keys.find(|key| key["kid"] == header_value["kid"]) else { return false };
        let [n, e] = ["n", "e"].map(|name| decode(key[name].as_str().unwrap()));
        let public: RsaPublicKeyComponents<Vec<u8>> = PublicKeyComponents { n, e };
        let signed = format!("{header}.{claims}");
        public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(signature)).is_ok()
    }

    #[test]
    fn tokens_of_every_key_of_the_keyset_are_good_by_what_is_published_and_others_are_not() {
        let now = SystemTime::now();
        let [mut keyset, later, other] = [0, 1, 2]
            .map(|after| keyset::generate(SERVICE_ACCOUNT, now + Duration::from_secs(after)).unwrap());
        keyset.keys.extend(later.keys);
        let published = jwks(&keyset).unwrap();
        let value: Value = serde_json::from_str(&published).unwrap();
        let kids: Vec<&str> =
            value["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
        let [first, second] = kids.as_slice() else { panic!("{kids:?}") };
        assert!(is_good(&token(&keyset.keys[0], first), &published));
        assert!(is_good(&token(&keyset.keys[1], second), &published));
        assert!(!is_good(&token(&keyset.keys[0], second), &published), "another key's id");
        assert!(!is_good(&token(&other.keys[0], first), &published), "another cluster's key");
        assert!(!published.contains("PRIVATE") && value["keys"][0].get("d").is_none());
        assert!(jwks(&keyset::generate(KUBERNETES_CA, now).unwrap()).is_err(), "no certificate is published");
    }

    #[test]
    fn a_bundle_s_thumbprints_are_those_of_its_certificates() {
        let keyset = keyset::generate(KUBERNETES_CA, SystemTime::now()).unwrap();
        let found = thumbprints(&keyset.bundle());
        assert_eq!(found.len(), 1);
        assert!(found[0].len() == 40 && found[0].bytes().all(|byte| byte.is_ascii_hexdigit()), "{found:?}");
        assert_eq!(thumbprints("(made later)"), Vec::<String>::new());
    }
}
