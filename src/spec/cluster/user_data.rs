//! What cloud-init gets at an instance's launch.

use serde::Serialize;
use windlass_bootstrap::user_data::Part;

/// A part of the user data besides windlass's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDataPart {
    /// Its file name.
    pub name: String,
    /// Its media type, such as `text/x-shellscript`.
    pub media_type: String,
    /// What is in it.
    pub content: String,
}

impl UserDataPart {
    /// As it is written into the user data.
    pub fn as_part(&self) -> Part<'_> {
        let Self { name, media_type, content } = self;
        Part { name, media_type, content }
    }
}
