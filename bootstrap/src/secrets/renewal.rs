//! Renews the certificates of a master, or of an API server beside the masters, before they expire, and when an address has changed that one of them names.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::agent::Agent;
use crate::secrets::certificates::{self, Addresses, CertificateError};
use crate::secrets::stored::{self, SecretsError};

/// The name of the task.
pub const TASK: &str = "renew_certificates";
/// How often certificates are looked at.
const PERIOD: Duration = Duration::from_hours(1);
/// How long to wait after an error.
const AFTER_ERROR: Duration = Duration::from_secs(15);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("the secrets could not be read again")]
    Secrets(#[source] SecretsError),
    #[error("the certificates could not be renewed")]
    Certificates(#[source] CertificateError),
}

/// The task: from time to time, and at once when an address has changed.
pub async fn renew(agent: Arc<Agent>, mut addresses: watch::Receiver<Addresses>) {
    let mut pause = PERIOD;
    loop {
        // Nobody is left who could change them: then only the time counts.
        if let Ok(Err(_)) = tokio::time::timeout(pause, addresses.changed()).await {
            tokio::time::sleep(pause).await;
        }
        let now = *addresses.borrow_and_update();
        let done = agent.reporter.tell(TASK, ensure(&agent, now).await);
        pause = if done.is_some() { PERIOD } else { AFTER_ERROR };
    }
}

async fn ensure(agent: &Agent, addresses: Addresses) -> Result<(), RenewalError> {
    let Agent { host, identity, config, store, .. } = agent;
    // Read again: an authority may have been rotated.
    let (secrets, _) = stored::obtain(host, store, config).await.map_err(RenewalError::Secrets)?;
    let leaves = certificates::leaves(config, identity, addresses);
    let leaves = leaves.map_err(RenewalError::Certificates)?;
    let made = certificates::ensure(host, &secrets, &leaves, Timestamp::now());
    made.map(drop).map_err(RenewalError::Certificates)
}
