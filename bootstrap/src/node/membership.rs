//! Keeps a node a member of its cluster: joins anew when the kubelet can't renew its certificate any more.
//!
//! A kubelet renews its certificate while it is valid. After an outage of the API, or a stop of the instance, that
//! lasts longer, it has nothing left to ask with. Then the agent asks, with the masters' token of the day, and has the
//! kubelet begin again. The pods go on meanwhile.
//!
//! A certificate may also be refused while it looks right: another authority signs now, and the old one is trusted no
//! more, or a clock is wrong. Masters grant a new key nothing while the certificate that they remember is good. So the
//! agent asks for the key that the node has, which they grant at any time, and says meanwhile that the node is refused.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::aws::state::StateStore;
use crate::background::every::{Every, every};
use crate::contract::config::NodeConfig;
use crate::host::Host;
use crate::kubernetes::api;
use crate::node::client_certificate::{self, CertificateFile, CertificateFileError};
use crate::node::join::{JoinError, Joining};
use crate::node::kubelet::{self, KubeletError};
use crate::progress::retry::{Backoff, Class, Classed, chain};

/// The kubelet renews its certificate, unless it can't any more. It is looked at often: it is a file, so that is cheap.
pub const TASK: Every = every("keep_membership", Duration::from_secs(5));

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
    /// The certificate looks right, the API refuses it, and it can't be replaced.
    #[error(
        "the API refuses this node's certificate, which looks right (does it trust another authority now? is a clock \
         wrong?), and the certificate can't be replaced"
    )]
    Refused(#[source] JoinError),
    /// The kubelet.
    #[error("the kubelet does not begin again with its new certificate")]
    Kubelet(#[source] KubeletError),
}

impl Classed for MembershipError {
    fn class(&self) -> Class {
        match self {
            Self::Look(error) => error.class(),
            Self::Join(error) | Self::Refused(error) => error.class(),
            Self::Kubelet(error) => error.class(),
        }
    }
}

/// The task.
pub async fn keep(agent: Arc<Agent>) {
    let mut membership = Membership::new(&agent.host, &agent.store, &agent.config, &agent.identity.id);
    let mut rounds = TASK.rounds(&agent.reporter);
    loop {
        rounds.next().await;
        // Joining anew may wait for long: that it does is told while it waits.
        let waiting = |why: &MembershipError| agent.reporter.task(TASK.name(), Some(&chain(why)));
        rounds.tell(membership.ensure(waiting).await);
    }
}

/// A node that shall stay a member.
#[derive(Debug)]
pub struct Membership {
    host: Host,
    node: String,
    joining: Joining,
    ask_every: Duration,
    asked: Option<Instant>,
    refused: Option<Instant>,
}

/// What there is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Nothing.
    Nothing,
    /// There is no certificate to use any more.
    Joining,
    /// The API has refused for long what looks right.
    Replacing,
}

impl Membership {
    /// The instance of this id.
    pub fn new(host: &Host, store: &StateStore, config: &NodeConfig, instance: &str) -> Self {
        let joining = Joining::new(host, store, config, instance);
        let (host, node) = (host.clone(), instance.to_owned());
        Self { host, node, joining, ask_every: ASK, asked: None, refused: None }
    }

    /// Joins anew if there is no certificate to use any more, and has one that is refused for long replaced; that may
    /// wait as long as the API is away. Returns whether it did. An error that only time mends is passed to `waiting`, and
    /// waited out here.
    pub async fn ensure(
        &mut self,
        mut waiting: impl FnMut(&MembershipError),
    ) -> Result<bool, MembershipError> {
        let replaced = match self.due().await? {
            Due::Nothing => false,
            Due::Joining => self.join(&mut waiting).await?,
            Due::Replacing => self.replace(&mut waiting).await?,
        };
        if replaced {
            self.refused = None;
            kubelet::restart(&self.host).await.map_err(MembershipError::Kubelet)?;
            tracing::info!("joined anew: the kubelet has another certificate");
        }
        Ok(replaced)
    }

    async fn join(&mut self, waiting: &mut impl FnMut(&MembershipError)) -> Result<bool, MembershipError> {
        let mut backoff = Backoff::new(POLL);
        while let Err(error) = self.joining.ask_and_wait().await {
            let pause = pause(&mut backoff, &error);
            wait(MembershipError::Join(error), pause, waiting).await?;
        }
        Ok(true)
    }

    /// Ends, too, when the API takes the certificate again.
    async fn replace(&mut self, waiting: &mut impl FnMut(&MembershipError)) -> Result<bool, MembershipError> {
        tracing::warn!("the API refuses the kubelet's certificate, which looks right: having it replaced");
        let mut backoff = Backoff::new(POLL);
        while let Err(error) = self.joining.ask_again_and_wait().await {
            let pause = pause(&mut backoff, &error);
            wait(MembershipError::Refused(error), pause, waiting).await?;
            if self.due().await? != Due::Replacing {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn due(&mut self) -> Result<Due, MembershipError> {
        let now = jiff::Timestamp::now();
        match client_certificate::look(&self.host, &self.node, now).map_err(MembershipError::Look)? {
            CertificateFile::Valid(_) if self.is_refused_for_long().await => return Ok(Due::Replacing),
            CertificateFile::Valid(_) => return Ok(Due::Nothing),
            CertificateFile::Expired(at) => {
                tracing::warn!(%at, "the kubelet's certificate has expired: joining anew");
            }
            CertificateFile::Missing => tracing::warn!("the kubelet's certificate is gone: joining anew"),
            CertificateFile::Useless(why) => {
                tracing::warn!(why, "the kubelet's certificate is of no use: joining anew");
            }
        }
        Ok(Due::Joining)
    }

    async fn is_refused_for_long(&mut self) -> bool {
        if self.asked.is_none_or(|asked| asked.elapsed() >= self.ask_every) {
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

/// How long to wait after an error.
fn pause(backoff: &mut Backoff, error: &JoinError) -> Duration {
    let class = error.class();
    let again = error.again().filter(|_| class == Class::Waiting);
    again.unwrap_or_else(|| backoff.next(class))
}

/// Tells of an error and waits, unless no time mends it.
async fn wait(
    error: MembershipError,
    pause: Duration,
    waiting: &mut impl FnMut(&MembershipError),
) -> Result<(), MembershipError> {
    if error.class() == Class::Permanent {
        return Err(error);
    }
    waiting(&error);
    tokio::time::sleep(pause).await;
    Ok(())
}

#[cfg(test)]
mod tests;
