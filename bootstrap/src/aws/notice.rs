//! What AWS tells an instance of its end, and of what else is going to happen to it, by its metadata (EC2 User Guide, "Spot
//! Instance interruption notices", "Monitor for instance rebalance recommendation signals", "View scheduled events"; Auto
//! Scaling User Guide, "Retrieve the target lifecycle state"). What there is nothing to say of isn't there.

use aws_config::imds::client::Client;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::aws::identity::{IdentityError, find};

/// What the metadata say at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// A Spot instance is going to be taken.
    pub spot: Option<SpotNotice>,
    /// The state that Auto Scaling brings the instance to: `InService`, `Terminated`, `Warmed:Stopped`, … Instances of no
    /// group have none.
    pub target_state: Option<String>,
    /// Since when EC2 sees the instance at a higher risk of being taken.
    pub rebalance: Option<Timestamp>,
    /// What is scheduled: restarts, retirements.
    pub scheduled: Vec<ScheduledEvent>,
}

/// A Spot instance's end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SpotNotice {
    /// `terminate`, `stop` or `hibernate`.
    pub action: String,
    /// When, about.
    pub time: Timestamp,
}

/// Something that EC2 is going to do to an instance's host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduledEvent {
    /// Such as `system-reboot` or `instance-retirement`.
    pub code: String,
    /// When, in AWS's own form: `21 Jan 2019 09:00:43 GMT`.
    #[serde(default)]
    pub not_before: String,
    /// `active`, `completed` or `canceled`.
    #[serde(default)]
    pub state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rebalance {
    notice_time: Timestamp,
}

/// Asks for all of it.
pub async fn read(metadata: &Client) -> Result<Notices, IdentityError> {
    let (spot, target_state, rebalance, scheduled) = futures::try_join!(
        document(metadata, "spot/instance-action"),
        target_state(metadata),
        document::<Rebalance>(metadata, "events/recommendations/rebalance"),
        document::<Vec<ScheduledEvent>>(metadata, "events/maintenance/scheduled"),
    )?;
    let rebalance = rebalance.map(|found| found.notice_time);
    let mut scheduled = scheduled.unwrap_or_default();
    scheduled.retain(|event| event.state == "active");
    Ok(Notices { spot, target_state, rebalance, scheduled })
}

/// Asks for the state that Auto Scaling brings the instance to.
pub async fn target_state(metadata: &Client) -> Result<Option<String>, IdentityError> {
    find(metadata, "autoscaling/target-lifecycle-state").await
}

async fn document<T: DeserializeOwned>(metadata: &Client, path: &str) -> Result<Option<T>, IdentityError> {
    let Some(value) = find(metadata, path).await? else { return Ok(None) };
    match serde_json::from_str(&value) {
        Ok(document) => Ok(Some(document)),
        Err(_) => Err(IdentityError::Value { path: path.to_owned(), value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_metadata::FakeMetadata;

    #[tokio::test]
    async fn what_the_metadata_do_not_hold_is_no_notice_and_what_they_hold_is_read() {
        let metadata = FakeMetadata::start().await;
        assert_eq!(read(&metadata.client()).await.unwrap(), Notices::default());
        metadata.say("spot/instance-action", r#"{"action": "stop", "time": "2026-11-21T01:02:03Z"}"#);
        metadata.say("autoscaling/target-lifecycle-state", "InService");
        metadata.say("events/recommendations/rebalance", r#"{"noticeTime": "2026-11-21T01:00:00Z"}"#);
        let event =
            r#"{"Code": "system-reboot", "NotBefore": "21 Nov 2026 09:00:43 GMT", "State": "active"}"#;
        let over = event.replace("active", "completed");
        metadata.say("events/maintenance/scheduled", &format!("[{event}, {over}]"));
        let notices = read(&metadata.client()).await.unwrap();
        let spot = SpotNotice { action: "stop".into(), time: "2026-11-21T01:02:03Z".parse().unwrap() };
        assert_eq!((notices.spot, notices.target_state.as_deref()), (Some(spot), Some("InService")));
        assert_eq!(notices.rebalance, Some("2026-11-21T01:00:00Z".parse().unwrap()));
        assert_eq!(notices.scheduled.len(), 1, "what is over isn't told");
    }

    #[tokio::test]
    async fn an_answer_that_is_no_notice_is_an_error_and_not_silence() {
        let metadata = FakeMetadata::start().await;
        metadata.say("spot/instance-action", "none");
        let error = read(&metadata.client()).await.unwrap_err();
        assert!(error.to_string().contains("`none` for spot/instance-action"), "{error}");
    }
}
