//! What instances are started with, in the form that EC2 takes it.

use aws_sdk_ec2::types::ResponseLaunchTemplateData;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(super) fn request(text: &str) -> String {
    STANDARD.encode(text)
}

/// What isn't base64 was written by somebody else, and is shown as it is.
pub(super) fn read(data: &ResponseLaunchTemplateData) -> String {
    let encoded = data.user_data().unwrap_or_default();
    let bytes = STANDARD.decode(encoded).unwrap_or_else(|_| encoded.as_bytes().to_vec());
    String::from_utf8_lossy(&bytes).into_owned()
}
