//! SSH keys, as OpenSSH names them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// A public key's fingerprint as `ssh-keygen -l` prints it: `SHA256:…`. `None` where there is no key in the text.
pub fn fingerprint(public_key: &str) -> Option<String> {
    let blob = STANDARD.decode(public_key.split_whitespace().nth(1)?).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &blob);
    Some(format!("SHA256:{}", STANDARD_NO_PAD.encode(digest.as_ref())))
}

/// A public key without its comment: what makes it this key and no other.
pub fn without_comment(public_key: &str) -> String {
    public_key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_one_that_ssh_keygen_prints() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJB3bkR6OcPWMVNAzpOmWVVFSTGYpjWXNbKv8jMBPEMX ada@example.com";
        assert_eq!(fingerprint(key).as_deref(), Some("SHA256:6vZU46P2xhcOf0zEK9LLuC/sfjM3m9OufglXBoOj244"));
        assert_eq!(fingerprint(&without_comment(key)), fingerprint(key));
        assert_eq!(fingerprint("ssh-ed25519"), None);
        assert_eq!(fingerprint("ssh-ed25519 ???"), None);
    }
}
