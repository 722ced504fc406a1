//! What the API server encrypts Secrets with before it writes them to etcd.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use windlass_bootstrap::keyset::Secret;
use zeroize::Zeroizing;

use super::PkiError;

/// A new `EncryptionConfiguration` as JSON: secretbox (XSalsa20-Poly1305) with 32 random bytes, which is the strongest
/// of the local providers that Kubernetes documents; `identity` last, so that what is not encrypted yet can be read.
pub fn generate() -> Result<Secret, PkiError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    rand::fill(&mut *key).map_err(|_| PkiError::Random)?;
    let [before, after] = FORM;
    // With its whole capacity from the start: a text that grows leaves its beginnings behind.
    let mut text = String::with_capacity(before.len() + key.len() * 2 + after.len());
    text.push_str(before);
    STANDARD.encode_string(key.as_slice(), &mut text);
    text.push_str(after);
    Ok(Secret::new(text))
}

/// What stands before and behind the key.
const FORM: [&str; 2] = [
    r#"{"apiVersion":"apiserver.config.k8s.io/v1","kind":"EncryptionConfiguration","resources":[{"providers":[{"secretbox":{"keys":[{"name":"key1","secret":""#,
    r#""}]}},{"identity":{}}],"resources":["secrets"]}]}"#,
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
