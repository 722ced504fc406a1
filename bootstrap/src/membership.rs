//! Keeps a node a member of its cluster: joins anew when the kubelet can't renew its certificate any more.
//!
//! A kubelet renews its certificate while it is valid. After an outage of the API, or a stop of the instance, that
//! lasts longer, it has nothing left to ask with. Then the agent asks, with the masters' token of the day, and has the
//! kubelet begin again. The pods go on meanwhile.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;

use crate::api;
use crate::client_certificate::{self, CertificateFileError, Found};
use crate::config::NodeConfig;
use crate::host::Host;
use crate::join::{JoinError, Joining};
use crate::kubelet::{self, KubeletError};
use crate::retry::{Backoff, Class, Classed};
use crate::state::StateStore;

/// How often the certificate is looked at. It is a file, so that is cheap.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How often the API is asked whether it still knows the certificate.
const ASK: Duration = Duration::from_mins(1);
/// How long the API must have refused a certificate that looks right: an authority may be on its way.
const REFUSED: Duration = Duration::from_mins(5);
/// How often what is not there yet is looked for, unless the error knows better.
const POLL: Duration = Duration::from_secs(1);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Looking at the certificate.
    #[error("the kubelet's certificate can't be looked at")]
    Look(#[source] CertificateFileError),
    /// Joining anew.
    #[error("this node can't join anew")]
    Join(#[source] JoinError),
    /// The kubelet.
    #[error("the kubelet does not begin again with its new certificate")]
    Kubelet(#[source] KubeletError),
}

impl Classed for MembershipError {
    fn class(&self) -> Class {
        match self {
            Self::Look(error) => error.class(),
            Self::Join(error) => error.class(),
            Self::Kubelet(error) => error.class(),
        }
    }
}

/// A node that shall stay a member.
#[derive(Debug)]
pub struct Membership {
    host: Host,
    node: String,
    joining: Joining,
    asked: Option<Instant>,
    refused: Option<Instant>,
}

impl Membership {
    /// The instance of this id.
    pub fn new(host: &Host, store: &StateStore, config: &NodeConfig, instance: &str) -> Self {
        let joining = Joining::new(host, store, config, instance);
        Self { host: host.clone(), node: instance.to_owned(), joining, asked: None, refused: None }
    }

    /// Joins anew if the certificate has expired, or is refused for long; that may wait as long as the API is away.
    /// Returns whether it did. An error that only time mends is passed to `waiting`, and waited out here.
    pub async fn ensure(&mut self, mut waiting: impl FnMut(&JoinError)) -> Result<bool, MembershipError> {
        if !self.is_due().await? {
            return Ok(false);
        }
        let mut backoff = Backoff::new(POLL);
        while let Err(error) = self.joining.ask_and_wait().await {
            let class = error.class();
            if class == Class::Permanent {
                return Err(MembershipError::Join(error));
            }
            waiting(&error);
            let again = error.again().filter(|_| class == Class::Waiting);
            tokio::time::sleep(again.unwrap_or_else(|| backoff.next(class))).await;
        }
        self.refused = None;
        kubelet::restart(&self.host).await.map_err(MembershipError::Kubelet)?;
        tracing::info!("joined anew: the kubelet has another certificate");
        Ok(true)
    }

    async fn is_due(&mut self) -> Result<bool, MembershipError> {
        let now = jiff::Timestamp::now();
        match client_certificate::look(&self.host, &self.node, now).map_err(MembershipError::Look)? {
            Found::Valid(_) => Ok(self.is_refused_for_long().await),
            Found::Expired(at) => {
                tracing::warn!(%at, "the kubelet's certificate has expired: joining anew");
                Ok(true)
            }
            Found::Missing => {
                tracing::warn!("the kubelet's certificate is gone: joining anew");
                Ok(true)
            }
            Found::Useless(why) => {
                tracing::warn!(why, "the kubelet's certificate is of no use: joining anew");
                Ok(true)
            }
        }
    }

    async fn is_refused_for_long(&mut self) -> bool {
        if self.asked.is_none_or(|asked| asked.elapsed() >= ASK) {
            self.asked = Some(Instant::now());
            match self.is_known().await {
                Some(true) => self.refused = None,
                Some(false) => drop(self.refused.get_or_insert_with(Instant::now)),
                // An API that is away refuses nobody.
                None => {}
            }
        }
        self.refused.is_some_and(|since| since.elapsed() >= REFUSED)
    }

    /// Whether the API knows the certificate; `None` if it doesn't say.
    async fn is_known(&self) -> Option<bool> {
        let client = api::connect_as_kubelet(&self.host).await.ok()?;
        let reviews = Api::<SelfSubjectReview>::all(client);
        let (params, question) = (PostParams::default(), SelfSubjectReview::default());
        let who = reviews.create(&params, &question);
        match tokio::time::timeout(ASK, who).await.ok()? {
            Ok(_) => Some(true),
            Err(kube::Error::Api(status)) if status.code == 401 => Some(false),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
