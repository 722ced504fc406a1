//! Private keys as PEM, without leaving copies of them in memory: rcgen's own way makes some that nobody wipes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use windlass_bootstrap::keyset::Secret;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";

/// How long a line of PEM is (RFC 7468, section 2).
const LINE: usize = 64;

/// A key as PEM, in PKCS#8.
pub(super) fn write(key: &KeyPair) -> Secret {
    let der = key.serialized_der();
    // Into a place of its whole size: a text that grows leaves its beginnings behind, and what encodes into one goes by
    // way of a buffer on the stack.
    let mut encoded = Zeroizing::new(vec![0_u8; der.len().div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(der, &mut encoded).unwrap_or_default();
    let lines = length.div_ceil(LINE);
    let mut pem = String::with_capacity(BEGIN.len() + length + lines + END.len());
    pem.push_str(BEGIN);
    for line in encoded[..length].chunks(LINE) {
        pem.push_str(std::str::from_utf8(line).unwrap_or_default());
        pem.push('\n');
    }
    pem.push_str(END);
    Secret::new(pem)
}

/// Reads a key in PEM; `None` where it isn't one.
pub(super) fn read(pem: &Secret) -> Option<Zeroizing<KeyPair>> {
    let pem = pem.expose();
    let mut encoded = Zeroizing::new(String::with_capacity(pem.len()));
    for line in pem.lines().filter(|line| !line.starts_with("-----")) {
        encoded.push_str(line.trim());
    }
    let mut der = Zeroizing::new(Vec::with_capacity(encoded.len()));
    STANDARD.decode_vec(encoded.as_str(), &mut der).ok()?;
    KeyPair::try_from(der.as_slice()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};

    use super::*;

    #[test]
    fn a_key_is_written_as_others_write_it_and_read_again() {
        for key in [
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        ] {
            let written = write(&key);
            assert_eq!(written.expose(), key.serialize_pem());
            assert_eq!(read(&written).unwrap().serialized_der(), key.serialized_der());
        }
        for wrong in ["", "s3cret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(read(&Secret::new(wrong)).is_none(), "{wrong}");
        }
    }
}
