//! Why the state of a cluster could not be used.

use thiserror::Error;

use super::damage::Damage;
use super::format::FORMAT;
use super::identity::Place;
use super::layout;
use super::store_error::StoreError;
use crate::spec::problem::Problems;

/// Why the state of a cluster could not be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// There is no such cluster.
    #[error("there is no cluster `{cluster}` in {store}")]
    Missing {
        /// What was asked for.
        cluster: String,
        /// The store's address.
        store: String,
    },
    /// There is one already.
    #[error("there is a cluster `{cluster}` in {store} already")]
    Exists {
        /// What was to be created.
        cluster: String,
        /// The store's address.
        store: String,
    },
    /// It is kops's.
    #[error("{store}/{cluster} was written by kops, and windlass does not write into it")]
    OfKops {
        /// The cluster's name.
        cluster: String,
        /// The store's address.
        store: String,
    },
    /// A newer windlass wrote it.
    #[error(
        "the state of `{cluster}` has format {found}, written by windlass {written_by}; this one reads up to {FORMAT}"
    )]
    Newer {
        /// The cluster's name.
        cluster: String,
        /// The version found.
        found: u32,
        /// Who wrote it.
        written_by: String,
    },
    /// A newer windlass wrote it last.
    #[error("windlass {written_by} wrote the state of `{cluster}` last; this one is {}", env!("CARGO_PKG_VERSION"))]
    Downgrade {
        /// The cluster's name.
        cluster: String,
        /// Who wrote it.
        written_by: String,
    },
    /// The credentials or the specification lead to where the cluster isn't.
    #[error("the cluster `{cluster}` is in {recorded}; this is {here}")]
    Elsewhere {
        /// The cluster's name.
        cluster: String,
        /// Where it is.
        recorded: Place,
        /// Where the command would have worked.
        here: Place,
    },
    /// Something in the state can't be read.
    #[error("`{key}` in the state can't be read: {reason}")]
    Malformed {
        /// The object, as a key of the store.
        key: String,
        /// Why.
        reason: String,
    },
    /// Something in the state is missing or can't be read, and may be brought back.
    #[error("the state is damaged: {0}")]
    Damaged(Box<Damage>),
    /// An encryption configuration that was to be brought back lacks keys that are needed.
    #[error("with the version {version} of `{key}`, etcd's data could not be read any more: {lost}")]
    KeysLost {
        /// The cluster's name.
        cluster: String,
        /// The configuration's key in the store.
        key: String,
        /// The version.
        version: String,
        /// What could not be read.
        lost: String,
    },
    /// It is being deleted, and wasn't to the end.
    #[error("the cluster `{cluster}` is being deleted: {began}")]
    BeingDeleted {
        /// The cluster's name.
        cluster: String,
        /// Who began, and when.
        began: String,
    },
    /// A change of several objects was begun and can't be finished.
    #[error(
        "a change of `{cluster}` is half done and can't be finished: {began}, and since then somebody else wrote `{key}`"
    )]
    Unfinishable {
        /// The cluster's name.
        cluster: String,
        /// Who began it, and when.
        began: String,
        /// The object that is in the way.
        key: String,
    },
    /// The specification in the state isn't a good one.
    #[error("the specification of `{cluster}` in the state is not good:\n{problems}")]
    Specification {
        /// The cluster's name.
        cluster: String,
        /// All that is wrong with it.
        problems: Problems,
    },
    /// The cluster has no instance group of that name.
    #[error("the cluster `{cluster}` has no instance group `{name}`")]
    NoInstanceGroup {
        /// The cluster's name.
        cluster: String,
        /// The group's name.
        name: String,
    },
    /// The cluster has no revision of that number.
    #[error("the cluster `{cluster}` has no revision {number}")]
    NoRevision {
        /// The cluster's name.
        cluster: String,
        /// The number.
        number: u64,
    },
    /// Of a revision only a part was carried out.
    #[error("revision {number} of `{cluster}` was carried out in part: only {part}")]
    InPart {
        /// The cluster's name.
        cluster: String,
        /// The number.
        number: u64,
        /// What was asked for.
        part: String,
    },
    /// The store said no.
    #[error("could not use the state of `{cluster}`")]
    Store {
        /// The cluster's name.
        cluster: String,
        /// What it said.
        #[source]
        source: StoreError,
    },
}

impl StateError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { store, .. } => {
                format!("see which there are: windlass get clusters --state {store}")
            }
            Self::Exists { cluster, .. } => format!(
                "change it with `windlass edit cluster {cluster}` or `windlass replace -f FILE`, or choose another name"
            ),
            Self::OfKops { .. } => {
                "choose another prefix: --state s3://BUCKET/PREFIX; the specification can be brought \
                                    over with `kops get all -o yaml` and `windlass create -f`"
                    .to_owned()
            }
            Self::Newer { written_by, .. } => format!("use windlass {written_by} or newer"),
            Self::Downgrade { written_by, .. } => format!(
                "use windlass {written_by} or newer; or, if the older one shall go on from here, add \
                 --allow-windlass-downgrade"
            ),
            Self::Elsewhere { recorded, here, .. } if recorded.account != here.account => format!(
                "nothing was asked or changed there. Use credentials of account {}: set AWS_PROFILE; `aws sts \
                 get-caller-identity` shows whose are in use",
                recorded.account
            ),
            Self::Elsewhere { cluster, recorded, .. } => format!(
                "nothing was asked or changed there. A cluster can't move: name zones of {} again with `windlass edit \
                 cluster {cluster}`, or make a cluster of another name",
                recorded.region
            ),
            Self::KeysLost { cluster, key, .. } => format!(
                "name a version that has these keys; those there are: windlass toolbox restore-object {key}. Or write \
                 them into a configuration of your own: windlass create secret encryptionconfig {cluster} -f FILE; with \
                 --force also one without them, and what they encrypted is lost"
            ),
            Self::BeingDeleted { cluster, .. } => format!(
                "finish it: windlass delete cluster {cluster} --yes; or give it up and keep what is left: windlass unlock \
                 {cluster} --undelete"
            ),
            Self::Unfinishable { cluster, key, .. } => format!(
                "bring back the version of `{key}` that was there before (the bucket keeps versions) and run any command \
                 that changes the cluster; or delete `{}`, which says what was to be written, and look at the \
                 specification: windlass get all --name {cluster} -o yaml",
                layout::journal(cluster)
            ),
            Self::Specification { cluster, .. } => format!("mend it: windlass edit cluster {cluster}"),
            Self::NoInstanceGroup { cluster, .. } => {
                format!("see which there are: windlass get instancegroups --name {cluster}")
            }
            Self::NoRevision { cluster, .. } => {
                format!("see which there are: windlass history {cluster}")
            }
            Self::InPart { cluster, .. } => format!("windlass update cluster {cluster} --yes does the rest"),
            Self::Damaged(damage) => damage.hint(),
            Self::Malformed { .. } | Self::Store { .. } => return None,
        })
    }
}
