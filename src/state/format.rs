//! Which windlass may write: the version of the state's format, and of the windlass that wrote last.
//!
//! A state of a newer format is refused by every command. One that a newer windlass wrote in a known format is read, and
//! written only where the user says so: the older one may not know what the newer has done.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::cluster_state::ClusterState;
use super::error::StateError;
use super::layout;
use super::object::{Condition, Object};

/// The version of the state's format that this windlass writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// This windlass.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// The marker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    version: u32,
    written_by: String,
}

impl ClusterState {
    /// Fails when this windlass must not write: the format is newer, or a newer windlass wrote last and a downgrade
    /// isn't allowed.
    pub async fn check_writer(&self, allow_downgrade: bool) -> Result<(), StateError> {
        let key = layout::format(self.name());
        let Some(marker) = self.store().get(&key).await.map_err(self.failed())? else {
            return if self.lacks_marker(&key).await? { Err(self.lost(&key).await) } else { Ok(()) };
        };
        let format = self.explained(self.parse_format(&marker)).await?;
        if !allow_downgrade && is_older(OURS, &format.written_by) {
            return Err(StateError::Downgrade {
                cluster: self.name().to_owned(),
                written_by: format.written_by,
            });
        }
        Ok(())
    }

    /// Whether the marker of a cluster that is there is lost. What is being deleted, or was, has none to miss.
    async fn lacks_marker(&self, key: &str) -> Result<bool, StateError> {
        let children = self.store().children(&layout::cluster_prefix(self.name())).await;
        let children = children.map_err(self.failed())?;
        let is_there =
            |key: String| children.iter().any(|child| layout::cluster_prefix(self.name()) + child == key);
        Ok(is_there(layout::cluster(self.name()))
            && !is_there(layout::journal(self.name()))
            && self.was_lost(key).await?)
    }

    /// Says that this windlass wrote last, where another one did. Does nothing where there is no cluster yet.
    pub async fn mark_writer(&self) -> Result<(), StateError> {
        let key = layout::format(self.name());
        let Some(marker) = self.store().get(&key).await.map_err(self.failed())? else { return Ok(()) };
        if self.explained(self.parse_format(&marker)).await?.written_by == OURS {
            return Ok(());
        }
        let written =
            self.store().put(&key, self.format_bytes()?, Condition::Unchanged(marker.version)).await;
        written.map(drop).map_err(self.failed())
    }

    /// Marks a new cluster.
    pub(super) async fn mark_format(&self) -> Result<(), StateError> {
        match self.store().put(&layout::format(self.name()), self.format_bytes()?, Condition::Absent).await {
            // What an interrupted attempt has left does as well.
            Err(error) if error.is_changed() => Ok(()),
            other => other.map(drop).map_err(self.failed()),
        }
    }

    /// Fails when the state is of a format that this windlass doesn't know.
    pub(super) fn check_format(&self, marker: Option<&Object>) -> Result<(), StateError> {
        marker.map_or(Ok(()), |marker| self.parse_format(marker).map(drop))
    }

    fn parse_format(&self, marker: &Object) -> Result<Format, StateError> {
        let malformed = |error: serde_json::Error| StateError::Malformed {
            key: layout::format(self.name()),
            reason: error.to_string(),
        };
        let format: Format = serde_json::from_slice(&marker.bytes).map_err(malformed)?;
        if format.version <= FORMAT {
            return Ok(format);
        }
        Err(StateError::Newer {
            cluster: self.name().to_owned(),
            found: format.version,
            written_by: format.written_by,
        })
    }

    fn format_bytes(&self) -> Result<Vec<u8>, StateError> {
        let marker = Format { version: FORMAT, written_by: OURS.to_owned() };
        serde_json::to_vec(&marker).map_err(|error| StateError::Malformed {
            key: layout::format(self.name()),
            reason: error.to_string(),
        })
    }
}

/// What is wrong with the bytes of the marker.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let format: Format = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if format.version <= FORMAT { Ok(()) } else { Err(newer(format.version)) }
}

/// How what is wrong with a document ends that only a newer windlass can read.
const NEWER: &str = "; a newer windlass wrote it";

/// What is wrong with a document of a format that only a newer windlass knows.
pub(super) fn newer(found: impl Display) -> String {
    format!("its format is {found}{NEWER}")
}

/// Whether that is what is wrong with a document.
pub(super) fn is_newer(fault: &str) -> bool {
    fault.ends_with(NEWER)
}

/// Whether one version of windlass is older than another. What isn't a version is older than every one.
fn is_older(one: &str, other: &str) -> bool {
    let numbers = |version: &str| {
        let mut numbers =
            version.split(['-', '+']).next()?.splitn(3, '.').map(|part| part.parse::<u64>().ok());
        Some((numbers.next()??, numbers.next()??, numbers.next()??))
    };
    numbers(one) < numbers(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Recovery, Store};

    async fn written_by(version: &str) -> ClusterState {
        let state = ClusterState::new(Store::memory(), "demo.example.com");
        let marker = format!(r#"{{"version": 1, "writtenBy": "{version}"}}"#);
        let key = layout::format("demo.example.com");
        state.store().put(&key, marker.into_bytes(), Condition::Absent).await.unwrap();
        state
    }

    async fn writer(state: &ClusterState) -> String {
        let marker = state.store().get(&layout::format("demo.example.com")).await.unwrap().unwrap();
        state.parse_format(&marker).unwrap().written_by
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_older("0.9.0", "0.10.0") && is_older("0.1.0", "1.0.0"));
        assert!(!is_older("0.10.0", "0.9.9") && !is_older("1.0.0", "1.0.0") && !is_older("1.0.0", "garbage"));
    }

    #[tokio::test]
    async fn an_older_windlass_writes_only_where_the_user_allows_it() {
        let state = written_by("999.0.1").await;
        let error = state.check_writer(false).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("999.0.1") && text.contains(OURS), "{text}");
        assert!(error.hint().unwrap().contains("--allow-windlass-downgrade"));
        assert_eq!(writer(&state).await, "999.0.1");
        state.check_writer(true).await.unwrap();
        state.mark_writer().await.unwrap();
        assert_eq!(writer(&state).await, OURS);
    }

    #[tokio::test]
    async fn a_damaged_or_lost_marker_is_named_with_the_version_to_bring_back() {
        let state = written_by(OURS).await;
        let key = layout::format("demo.example.com");
        let cluster = layout::cluster("demo.example.com");
        state.store().put(&cluster, b"x".to_vec(), Condition::Absent).await.unwrap();
        let sound = state.store().get(&key).await.unwrap().unwrap();
        for bytes in [None, Some(""), Some("{}"), Some(r#"{"version": 1}"#), Some("nonsense")] {
            let found = state.store().get(&key).await.unwrap().unwrap();
            match bytes {
                Some(bytes) => {
                    let condition = Condition::Unchanged(found.version);
                    drop(state.store().put(&key, bytes.into(), condition).await.unwrap());
                }
                None => state.store().delete(&key, &found.version).await.unwrap(),
            }
            let error = state.check_writer(true).await.unwrap_err();
            let StateError::Damaged(damage) = &error else { panic!("{bytes:?}: {error}") };
            let Recovery::Version(version) = &damage.recovery else { panic!("{bytes:?}: {damage}") };
            assert_eq!(damage.key, key);
            state.restore(&key, version).await.unwrap();
            assert_eq!(state.store().get(&key).await.unwrap().unwrap().bytes, sound.bytes);
            state.check_writer(false).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_cluster_that_is_being_deleted_needs_no_marker() {
        let state = written_by(OURS).await;
        let key = layout::format("demo.example.com");
        for there in [layout::cluster("demo.example.com"), layout::journal("demo.example.com")] {
            state.store().put(&there, b"x".to_vec(), Condition::Absent).await.unwrap();
        }
        let found = state.store().get(&key).await.unwrap().unwrap();
        state.store().delete(&key, &found.version).await.unwrap();
        state.check_writer(false).await.unwrap();
    }

    #[tokio::test]
    async fn a_newer_windlass_moves_the_marker_and_no_flag_opens_a_newer_format() {
        let state = written_by("0.0.1").await;
        state.check_writer(false).await.unwrap();
        state.mark_writer().await.unwrap();
        assert_eq!(writer(&state).await, OURS);
        let key = layout::format("demo.example.com");
        let found = state.store().get(&key).await.unwrap().unwrap();
        let newer = br#"{"version": 2, "writtenBy": "9.1.0"}"#.to_vec();
        state.store().put(&key, newer, Condition::Unchanged(found.version)).await.unwrap();
        for error in [
            state.check_writer(true).await.unwrap_err(),
            state.mark_writer().await.unwrap_err(),
            state.revisions().await.unwrap_err(),
            state.revision(1).await.unwrap_err(),
        ] {
            assert!(matches!(error, StateError::Newer { found: 2, .. }), "{error}");
        }
    }
}
