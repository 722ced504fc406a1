//! Keys and certificates, made with rcgen on aws-lc-rs.
//!
//! Only the authorities and the signing keys are made here and kept. Certificates of servers and clients are made where
//! they are used: masters issue theirs on the machine; [`client`] makes the operator's, for hours.

pub mod client;
pub mod discovery;
pub mod docker_config;
pub mod encryption;
pub mod encryption_configuration;
pub mod keyset;
pub mod kubeconfig;
mod pem;
pub mod ssh;

use thiserror::Error;

/// Why a key or a certificate could not be made.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A new key.
    #[error("could not make a key for `{name}`")]
    Key {
        /// What for.
        name: String,
        /// What rcgen says.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate.
    #[error("could not issue the certificate `{name}`")]
    Certificate {
        /// Its common name.
        name: String,
        /// What rcgen says.
        #[source]
        source: rcgen::Error,
    },
    /// A keyset from the state that can't sign.
    #[error("the keyset `{name}` can't sign: {reason}")]
    Keyset {
        /// Such as `kubernetes-ca`.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system gave no random bytes.
    #[error("could not get random bytes from the operating system")]
    Random,
}
