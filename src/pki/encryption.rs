//! What the API server encrypts Secrets with before it writes them to etcd.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use windlass_bootstrap::keyset::Secret;
use zeroize::Zeroize;

use super::PkiError;

/// A new `EncryptionConfiguration` as JSON: secretbox (XSalsa20-Poly1305) with 32 random bytes, which is the strongest
/// of the local providers that Kubernetes documents; `identity` last, so that what is not encrypted yet can be read.
pub fn generate() -> Result<Secret, PkiError> {
    let mut key = [0_u8; 32];
    rand::fill(&mut key).map_err(|_| PkiError::Random)?;
    let mut encoded = STANDARD.encode(key);
    key.zeroize();
    let configuration = configuration(&encoded).to_string();
    encoded.zeroize();
    Ok(Secret::new(configuration))
}

fn configuration(key: &str) -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [
                {"secretbox": {"keys": [{"name": "key1", "secret": key}]}},
                {"identity": {}},
            ],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_has_a_key_of_its_own_of_32_bytes() {
        let key = || {
            let value: Value = serde_json::from_str(generate().unwrap().expose()).unwrap();
            let key = &value["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"];
            STANDARD.decode(key.as_str().unwrap()).unwrap()
        };
        let (first, second) = (key(), key());
        assert_eq!((first.len(), second.len()), (32, 32));
        assert_ne!(first, second);
    }
}
