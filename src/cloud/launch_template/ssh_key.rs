//! The SSH key.

use aws_sdk_ec2::types::ResponseLaunchTemplateData;

use crate::cloud::context::Names;
use crate::cloud::key_pair::KeyPair;
use crate::cloud::kinds::Kind;
use crate::cloud::reference::Reference;

/// Which SSH key instances get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshKeyName {
    /// One that windlass imports.
    Ours(Reference<KeyPair>),
    /// One that is there.
    Existing(String),
}

impl SshKeyName {
    /// The key pair's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Ours(key) => key.name(),
            Self::Existing(name) => name,
        }
    }

    /// The one that windlass imports.
    pub fn ours(&self) -> Option<&Reference<KeyPair>> {
        match self {
            Self::Ours(key) => Some(key),
            Self::Existing(_) => None,
        }
    }
}

pub(super) fn request(key: Option<&SshKeyName>) -> Option<String> {
    key.map(|key| key.name().to_owned())
}

pub(super) fn read(data: &ResponseLaunchTemplateData, names: &Names) -> Option<SshKeyName> {
    let name = data.key_name()?;
    Some(if names.has(Kind::KeyPair, name) {
        SshKeyName::Ours(Reference::to(name))
    } else {
        SshKeyName::Existing(name.to_owned())
    })
}
