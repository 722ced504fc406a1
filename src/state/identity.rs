//! Who a cluster is: the account and the region that it is in, and its uid.
//!
//! The record is written before anything of the cluster is made in AWS, and never changes. Names don't say which cluster
//! is meant: the same one may be in use in another region, account or state store. Every command that asks AWS compares
//! account and region with the record first, and the uid is in the tags of all that is made ([`crate::aws::tags::UID`]).
//!
//! Clusters that were made before there was a record get it at their next update. What is in AWS of them carries no uid
//! until then, so the record says that such resources are theirs too.

use std::fmt;
use std::fmt::Write as _;

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};

use super::cluster_state::ClusterState;
use super::error::StateError;
use super::format::newer;
use super::layout;
use super::object::{Condition, Object};
use crate::aws::tags::{self, Owner};

/// The version of the format of the record.
const FORMAT: u32 = 1;

/// Where in AWS a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The account's number.
    pub account: String,
    /// Such as `eu-west-1`.
    pub region: String,
}

/// Who a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterIdentity {
    version: u32,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// What tells it from every other cluster of its name.
    pub uid: String,
    /// Whether what carries the cluster's name and no uid is its own: it was made before there were uids.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owns_unmarked: bool,
}

/// What the state says of where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It says all.
    Recorded(ClusterIdentity),
    /// Something of the cluster was made before there was a record, in the place that its plans name.
    Unrecorded(Option<Place>),
    /// Nothing of the cluster was ever made.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "account {}, region {}", self.account, self.region)
    }
}

impl Whereabouts {
    /// Where the cluster is, as far as is known.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Recorded(identity) => Some(&identity.place),
            Self::Unrecorded(place) => place.as_ref(),
            Self::Nowhere => None,
        }
    }

    /// Which resources are the cluster's.
    pub fn owner(&self, cluster: &str) -> Owner {
        let (uid, unmarked_too) = match self {
            Self::Recorded(identity) => (Some(identity.uid.clone()), identity.owns_unmarked),
            Self::Unrecorded(_) => (None, true),
            Self::Nowhere => (None, false),
        };
        Owner { cluster: cluster.to_owned(), uid, unmarked_too }
    }

    /// Fails where the cluster is known to be elsewhere.
    pub fn check(&self, cluster: &str, here: &Place) -> Result<(), StateError> {
        match self.place() {
            Some(place) if place != here => Err(StateError::Elsewhere {
                cluster: cluster.to_owned(),
                recorded: place.clone(),
                here: here.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl ClusterState {
    /// What the state says of where the cluster is.
    pub async fn whereabouts(&self) -> Result<Whereabouts, StateError> {
        if let Some(identity) = self.identity().await? {
            return Ok(Whereabouts::Recorded(identity));
        }
        let prefix = layout::cluster_prefix(self.name());
        let children = self.store().children(&prefix).await.map_err(self.failed())?;
        // Whoever applies a specification writes a revision first; machines report when they are there.
        let traces = ["applied", "revisions/", "status/"];
        if !children.iter().any(|child| traces.contains(&child.as_str())) {
            return Ok(Whereabouts::Nowhere);
        }
        let Traces { place, has_uid } = self.traces_in_revisions().await?;
        // A store that keeps no versions doesn't know what was deleted, but plans say that there was a uid.
        if has_uid {
            return Err(self.lost(&layout::identity(self.name())).await);
        }
        Ok(Whereabouts::Unrecorded(place))
    }

    /// Records who the cluster is, where that isn't recorded yet, and returns what is. Fails where it is recorded as
    /// being elsewhere.
    pub async fn settle(&self, here: &Place) -> Result<ClusterIdentity, StateError> {
        loop {
            let whereabouts = self.whereabouts().await?;
            whereabouts.check(self.name(), here)?;
            let owns_unmarked = match whereabouts {
                Whereabouts::Recorded(identity) => return Ok(identity),
                Whereabouts::Unrecorded(_) => true,
                Whereabouts::Nowhere => false,
            };
            let identity =
                ClusterIdentity { version: FORMAT, place: here.clone(), uid: self.new_uid()?, owns_unmarked };
            let key = layout::identity(self.name());
            let bytes =
                serde_json::to_vec_pretty(&identity).map_err(|error| self.malformed(&error.to_string()))?;
            match self.store().put(&key, bytes, Condition::Absent).await {
                Ok(_) => return Ok(identity),
                // Somebody else was faster, and theirs holds.
                Err(error) if error.is_changed() => {}
                Err(error) => return Err(self.failed()(error)),
            }
        }
    }

    /// The record. Fails with the version to bring back where it can't be read or was deleted: without it, all that is
    /// in AWS of the cluster would look like another's. (A deletion of the cluster leaves no version of it.)
    async fn identity(&self) -> Result<Option<ClusterIdentity>, StateError> {
        let key = layout::identity(self.name());
        match self.store().get(&key).await.map_err(self.failed())? {
            Some(found) => self.explained(self.parse_identity(&found)).await.map(Some),
            None if self.was_lost(&key).await? => Err(self.lost(&key).await),
            None => Ok(None),
        }
    }

    fn parse_identity(&self, object: &Object) -> Result<ClusterIdentity, StateError> {
        parse(&object.bytes).map_err(|reason| self.malformed(&reason))
    }

    fn malformed(&self, reason: &str) -> StateError {
        StateError::Malformed { key: layout::identity(self.name()), reason: reason.to_owned() }
    }

    fn new_uid(&self) -> Result<String, StateError> {
        let mut random = [0_u8; 16];
        let failed = |_| self.malformed("the operating system gave no random bytes for it");
        rand::fill(&mut random).map_err(failed)?;
        Ok(random.iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// What the plans of the revisions say of who the cluster is. A revision that can't be read says nothing.
    async fn traces_in_revisions(&self) -> Result<Traces, StateError> {
        let keys = self.store().list(&layout::revisions_prefix(self.name())).await.map_err(self.failed())?;
        let found = self.store().get_all(&keys).await.map_err(self.failed())?;
        let texts: Vec<_> =
            found.iter().rev().flatten().map(|object| String::from_utf8_lossy(&object.bytes)).collect();
        Ok(Traces {
            place: texts.iter().find_map(|text| place_in(text)),
            has_uid: texts.iter().any(|text| text.contains(tags::UID)),
        })
    }
}

/// What revisions tell of who a cluster is.
struct Traces {
    /// Where it is: the policy of masters names account and region.
    place: Option<Place>,
    /// Whether anything was made with a uid.
    has_uid: bool,
}

fn parse(bytes: &[u8]) -> Result<ClusterIdentity, String> {
    let identity: ClusterIdentity = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if identity.version <= FORMAT { Ok(identity) } else { Err(newer(identity.version)) }
}

/// What is wrong with the bytes of the record.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    parse(bytes).map(drop)
}

/// The first account and region in an ARN of EC2: `arn:aws:ec2:us-east-1:123456789012:volume/*`.
fn place_in(text: &str) -> Option<Place> {
    text.split(":ec2:").skip(1).find_map(|rest| {
        let mut parts = rest.split(':');
        let (region, account) = (parts.next()?, parts.next()?);
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_region = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (is_account && is_region && !region.is_empty())
            .then(|| Place { account: account.to_owned(), region: region.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Store;

    fn state() -> ClusterState {
        ClusterState::new(Store::memory(), "demo.example.com")
    }

    fn place(account: &str, region: &str) -> Place {
        Place { account: account.to_owned(), region: region.to_owned() }
    }

    #[tokio::test]
    async fn who_a_cluster_is_is_written_once_and_an_other_account_or_region_is_refused_by_name() {
        let state = state();
        assert_eq!(state.whereabouts().await.unwrap(), Whereabouts::Nowhere);
        let here = place("123456789012", "us-east-1");
        let identity = state.settle(&here).await.unwrap();
        assert!(!identity.owns_unmarked);
        assert_eq!(identity.uid.len(), 32);
        assert_eq!(state.settle(&here).await.unwrap(), identity);
        assert_eq!(state.whereabouts().await.unwrap(), Whereabouts::Recorded(identity.clone()));
        for elsewhere in [place("123456789012", "eu-west-1"), place("210987654321", "us-east-1")] {
            let error = state.settle(&elsewhere).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&here.to_string()) && text.contains(&elsewhere.to_string()), "{text}");
            assert!(error.hint().is_some());
        }
        assert_eq!(state.whereabouts().await.unwrap(), Whereabouts::Recorded(identity));
    }

    #[tokio::test]
    async fn a_lost_or_damaged_record_is_named_with_the_version_to_bring_back_and_never_made_anew() {
        for bytes in [None, Some(&b""[..]), Some(b"{}")] {
            let state = state();
            let here = place("123456789012", "us-east-1");
            let identity = state.settle(&here).await.unwrap();
            let key = layout::identity(state.name());
            let found = state.store().get(&key).await.unwrap().unwrap();
            match bytes {
                Some(bytes) => {
                    let condition = Condition::Unchanged(found.version.clone());
                    state.store().put(&key, bytes.to_vec(), condition).await.map(drop).unwrap();
                }
                None => state.store().delete(&key, &found.version).await.unwrap(),
            }
            for error in [state.whereabouts().await.unwrap_err(), state.settle(&here).await.unwrap_err()] {
                assert!(error.to_string().contains(&key), "{error}");
                let wanted = format!("restore-object {key} --version-id {} ", found.version.0);
                assert!(error.hint().unwrap().contains(&wanted), "{:?}", error.hint());
            }
            let versions = state.store().versions(&key).await.unwrap().unwrap();
            let version = versions.iter().find(|version| version.id == found.version.0).unwrap();
            state.restore(&key, version).await.unwrap();
            assert_eq!(state.whereabouts().await.unwrap(), Whereabouts::Recorded(identity));
            state.purge().await.unwrap();
            assert_eq!(state.whereabouts().await.unwrap(), Whereabouts::Nowhere, "a deletion leaves nothing");
        }
    }

    #[tokio::test]
    async fn where_no_versions_are_kept_the_plans_tell_that_the_record_was_lost() {
        let folder = tempfile::tempdir().unwrap();
        let state = ClusterState::new(Store::file(folder.path()), "demo.example.com");
        let plan = r#"{"plan": {"fields": [{"field": "tags.windlass.dev/cluster-uid", "to": "00ff"}]}}"#;
        let key = layout::revision(state.name(), 1);
        state.store().put(&key, plan.as_bytes().to_vec(), Condition::Absent).await.unwrap();
        let error = state.whereabouts().await.unwrap_err();
        assert!(error.to_string().contains("identity.json"), "{error}");
        assert!(error.hint().unwrap().contains("a copy of your own"), "{:?}", error.hint());
    }

    #[tokio::test]
    async fn operators_who_settle_at_once_agree_on_one_uid() {
        let state = state();
        let here = place("123456789012", "us-east-1");
        let settled = futures::future::try_join_all((0..8).map(|_| state.settle(&here))).await.unwrap();
        assert!(settled.iter().all(|identity| *identity == settled[0]), "{settled:?}");
    }

    #[tokio::test]
    async fn a_cluster_without_a_record_is_where_its_plans_say_and_owns_what_has_no_uid() {
        let state = state();
        let plan = r#"{"plan": {"to": "{\"Resource\": \"arn:aws:ec2:eu-west-1:123456789012:volume/*\"}"}}"#;
        let key = layout::revision(state.name(), 1);
        state.store().put(&key, plan.as_bytes().to_vec(), Condition::Absent).await.unwrap();
        let place = place("123456789012", "eu-west-1");
        let whereabouts = state.whereabouts().await.unwrap();
        assert_eq!(whereabouts, Whereabouts::Unrecorded(Some(place.clone())));
        assert!(whereabouts.owner("demo").unmarked_too);
        assert!(state.settle(&Place { account: "0".to_owned(), ..place.clone() }).await.is_err());
        assert!(state.settle(&place).await.unwrap().owns_unmarked);
    }
}
