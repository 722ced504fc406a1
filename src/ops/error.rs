//! Why an operation on a cluster failed.

use std::error::Error;
use std::time::Duration;

use windlass_bootstrap::backup::BackupId;

use super::restore::chosen::Refused;
use super::skew::verdict;
use crate::assets::addons;
use crate::aws::EndpointError;
use crate::aws::facts::FactsError;
use crate::cloud::CloudError;
use crate::kube;
use crate::model::ModelError;
use crate::pki::PkiError;
use crate::plan::PlanError;
use crate::spec::problem::Problems;
use crate::state::identity::Place;
use crate::state::{LeaseError, SecretsError, StateError, StoreError};

/// Why an operation failed. What the lower modules say is said once, and stays in the chain of causes with its hint.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The state of the cluster.
    #[error("{0}")]
    State(#[from] StateError),
    /// The state store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The cluster's keys.
    #[error("{0}")]
    Secrets(#[from] SecretsError),
    /// The lease.
    #[error("{0}")]
    Lease(#[from] LeaseError),
    /// There is no plan.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// There is no model.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// An add-on can't be rendered.
    #[error("{0}")]
    Addons(#[from] addons::Error),
    /// The specification has problems.
    #[error("{0}")]
    Problems(#[from] Problems),
    /// AWS was asked where the credentials lead to.
    #[error("{0}")]
    Caller(#[from] FactsError),
    /// The environment names a wrong endpoint.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    /// A certificate can't be made.
    #[error("{0}")]
    Pki(#[from] PkiError),
    /// The Kubernetes API.
    #[error("{0}")]
    Kubernetes(#[from] kube::Error),
    /// What the specification asks for isn't in AWS.
    #[error("the specification can't be made on AWS")]
    NotOnAws(#[source] FactsError),
    /// A backup can't be restored.
    #[error("{0}")]
    Restore(#[from] Refused),
    /// What runs can't become what is asked for in one step.
    #[error("{0}")]
    Skew(#[from] verdict::Refused),
    /// The cluster is being restored.
    #[error("`{cluster}` is being restored from the backup {backup}")]
    Restoring {
        /// The cluster's name.
        cluster: String,
        /// Which backup.
        backup: BackupId,
    },
    /// Masters don't do what was ordered.
    #[error("gave up waiting after {} s for these to {what}: {}", limit.as_secs(), left.join(", "))]
    NotRestored {
        /// The cluster's name.
        cluster: String,
        /// What they should do.
        what: &'static str,
        /// Who hasn't.
        left: Vec<String>,
        /// How long was waited.
        limit: Duration,
    },
    /// An alarm of etcd can't be cleared.
    #[error("the alarm of `{cluster}`'s etcd stays: {why}")]
    AlarmStays {
        /// The cluster's name.
        cluster: String,
        /// Why.
        why: String,
    },
    /// What instances report can't be read.
    #[error("{0}")]
    Observe(#[from] crate::health::observe::Error),
    /// A look at AWS failed.
    #[error("could not look for {what}")]
    Look {
        /// For what.
        what: String,
        /// Why.
        #[source]
        source: CloudError,
    },
    /// An object of the state can't be compared with what it should be.
    #[error("could not read {what}")]
    Read {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The state store isn't one that instances can read.
    #[error("instances can't read the state store {url}")]
    NotInS3 {
        /// The store's address.
        url: String,
    },
    /// What runs would break.
    #[error("what was applied to `{cluster}` as revision {revision} can't become what is asked for")]
    Unreachable {
        /// The cluster's name.
        cluster: String,
        /// The revision that was applied.
        revision: u64,
        /// Why not.
        #[source]
        source: Problems,
    },
    /// The specification couldn't be written.
    #[error("could not change {cluster}")]
    Write {
        /// The cluster, as the state calls it.
        cluster: String,
        /// Why.
        #[source]
        source: StateError,
    },
    /// A change was made from something older.
    #[error("{cluster} has been changed by somebody else meanwhile; nothing was written:\n{difference}")]
    ChangedMeanwhile {
        /// The cluster, as the state calls it.
        cluster: String,
        /// A unified diff of what was read and what is there now.
        difference: String,
    },
    /// Machines could not be stopped or started.
    #[error("could not change the machines of `{cluster}`")]
    Machines {
        /// The cluster's name.
        cluster: String,
        /// What AWS said.
        #[source]
        source: CloudError,
    },
    /// Machines neither run nor stop.
    #[error("gave up waiting for machines of `{cluster}` after {} s: {}", limit.as_secs(), left.join(", "))]
    Unsettled {
        /// The cluster's name.
        cluster: String,
        /// The instances.
        left: Vec<String>,
        /// How long was waited.
        limit: Duration,
    },
    /// The user has asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// Nothing of an old cluster is here, and nothing says where it is.
    #[error("nothing of `{cluster}` is in {place}, and its state doesn't say where it is")]
    UnknownPlace {
        /// The cluster's name.
        cluster: String,
        /// Where it was looked for.
        place: Place,
        /// Where its state is.
        store: String,
    },
    /// Something of a cluster that was deleted is there still.
    #[error("not all of `{cluster}` is gone: {}", left.join(", "))]
    NotGone {
        /// The cluster's name.
        cluster: String,
        /// What is left.
        left: Vec<String>,
    },
    /// A document can't be written as JSON.
    #[error("could not write {what} as JSON")]
    Json {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl OperationError {
    /// The error of a look at AWS. `what` is what was looked for.
    pub(super) fn look<E: Into<CloudError>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Look { what, source: source.into() }
    }

    /// What to do about it, where the cause doesn't say it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotInS3 { .. } => {
                Some("a cluster on AWS needs a state store in S3: --state s3://BUCKET".to_owned())
            }
            Self::ChangedMeanwhile { .. } => {
                Some("look at what changed and run the command again".to_owned())
            }
            Self::UnknownPlace { cluster, store, .. } => Some(format!(
                "use the credentials with which it was made; if it is really gone, remove its state by hand: aws s3 rm \
                 --recursive {store}/{cluster}/"
            )),
            Self::Unsettled { .. } => {
                Some("look at them in EC2's console, and run the same command again: it goes on".to_owned())
            }
            Self::Restore(refused) => Some(refused.hint()),
            Self::Skew(refused) => Some(refused.hint.clone()),
            Self::Restoring { cluster, .. } => {
                Some(format!("`windlass restore cluster {cluster} --yes` goes on with it"))
            }
            Self::NotRestored { cluster, .. } => Some(format!(
                "`windlass validate cluster {cluster}` says what masters wait for; one that hangs, end in EC2: Auto Scaling \
                 launches another. Then run the same command again: it goes on"
            )),
            Self::AlarmStays { cluster, .. } => {
                Some(format!("what masters report says more: windlass validate cluster {cluster}"))
            }
            Self::NotGone { .. } => Some("the state was kept: run the same command again".to_owned()),
            _ => None,
        }
    }
}

/// An error with its causes, on one line. What an error says of its cause already isn't said twice.
pub fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::AwsError;
    use crate::state::StoreError;

    #[test]
    fn an_error_says_once_what_aws_said_and_names_what_was_being_done() {
        let said = AwsError::unexpected("s3", "PutObject", "clusters/a", "no");
        let plain = CloudError::Aws(AwsError::unexpected("s3", "PutObject", "clusters/a", "no"));
        assert_eq!(one_line(&plain), "s3:PutObject of `clusters/a` failed: no");
        let store = CloudError::Store(StoreError::Aws { act: "write", key: "a".to_owned(), source: said });
        assert_eq!(one_line(&store), "could not write `a`: s3:PutObject of `clusters/a` failed: no");
    }
}
