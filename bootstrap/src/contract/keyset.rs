//! Keysets: what the state holds of an authority or of a signing key, as the CLI writes it and masters read it.
//!
//! A keyset has one primary key, which signs, and any number of others, which are only trusted. That is what
//! rotation needs: trust the next one everywhere, make it primary, stop trusting the old one.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A secret text. It shows itself in no `Debug` output and wipes its memory when dropped. It does serialise: the
/// only places it is serialised to are the state's `control-plane/` prefix and files on tmpfs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Name it only where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A set of keys of which one is primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keyset {
    /// [`crate::contract::config::CONFIG_VERSION`].
    pub version: String,
    /// `kubernetes-ca`, `etcd-ca`, `front-proxy-ca` or `service-account`.
    pub name: String,
    /// The id of the key that signs.
    pub primary: String,
    /// All trusted keys, oldest first.
    pub keys: Vec<Key>,
}

/// One key of a keyset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Unique within the keyset; grows with time.
    pub id: String,
    /// PEM: an authority's certificate, or a service-account key's public half.
    pub public: String,
    /// PEM, PKCS#8.
    pub private: Secret,
}

impl Keyset {
    /// The key that signs, if the keyset is whole.
    pub fn primary(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == self.primary)
    }

    /// The public halves of all trusted keys as one PEM bundle, oldest first.
    pub fn bundle(&self) -> String {
        self.keys.iter().flat_map(|key| [key.public.trim_end(), "\n"]).collect()
    }
}
