//! What masters remember of the certificates that they granted, in the cluster itself: a restarted agent, or another
//! master, decides as the one before it would have.
//!
//! A kubelet's first certificate is granted once for each launch of an instance. The record holds which launch that
//! was, which key the certificate is for, and until when it is good: the same key may ask again, another one only when
//! the certificate has run out. And it is remembered when no master answered, because instances that waited then are
//! not to blame for being late.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kubernetes::api::ApiError;

const NAMESPACE: &str = "kube-system";
/// A key for each instance: [`Grant`] as JSON.
const CERTIFICATES: &str = "windlass-kubelet-certificates";
/// When masters answered: [`Answered`] as JSON.
const APPROVALS: &str = "windlass-approvals";
const ANSWERED: &str = "answered";
/// How long masters may be silent before it counts as an outage: a restart of the agent is none.
const OUTAGE: Duration = Duration::from_mins(3);
/// How often, and how many times, the cluster's own namespace is looked for.
const BIRTH_LOOK: Duration = Duration::from_millis(100);
const BIRTH_LOOKS: u32 = 100;
/// How many outages are remembered.
const OUTAGES: usize = 20;

/// The certificate that was granted last for a launch of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Which launch, by its time.
    pub launched: Timestamp,
    /// Until when the certificate is good.
    pub expires: Timestamp,
    /// The SHA-256 of the public key that it is for.
    pub key: String,
}

/// When masters answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// When it was written down last that one did.
    pub last: Timestamp,
    /// When none did.
    pub outages: Vec<Outage>,
}

/// A time in which no master answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

impl Answered {
    /// Goes on where the record ends. Without one, nobody answered before the cluster was `born`.
    pub fn resume(record: Option<Self>, born: Timestamp, now: Timestamp) -> Self {
        let mut answered = record.unwrap_or_else(|| {
            let before = Outage { from: Timestamp::UNIX_EPOCH, to: born.min(now) };
            Self { last: now, outages: vec![before] }
        });
        if seconds(answered.last, now) > OUTAGE.as_secs() {
            answered.outages.push(Outage { from: answered.last, to: now });
            let surplus = answered.outages.len().saturating_sub(OUTAGES);
            answered.outages.drain(..surplus);
        }
        answered.last = now;
        answered
    }

    /// For how long an instance could have been answered since its launch.
    pub fn since(&self, launched: Timestamp, now: Timestamp) -> Duration {
        let outages =
            self.outages.iter().map(|outage| seconds(outage.from.max(launched), outage.to.min(now)));
        Duration::from_secs(seconds(launched, now).saturating_sub(outages.sum()))
    }
}

/// Whole seconds from one time to another; none if that isn't later.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or_default()
}

/// The memory, as it was read last.
#[derive(Clone)]
pub struct Memory {
    config_maps: Api<ConfigMap>,
    version: Option<String>,
    /// The certificates by instance id.
    pub grants: BTreeMap<String, Grant>,
    /// When masters answered.
    pub answered: Answered,
}

impl Memory {
    /// Reads the memory, and notes that a master answers now.
    pub async fn load(client: &Client) -> Result<Self, ApiError> {
        let failed = |error| ApiError::request("show what is remembered of certificates", error);
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let born = birth(client).await?;
        let approvals = config_maps.get_opt(APPROVALS).await.map_err(failed)?;
        let record = approvals.and_then(|found| serde_json::from_str(found.data?.get(ANSWERED)?).ok());
        let answered = Answered::resume(record, born, Timestamp::now());
        let mut memory = Self { config_maps, version: None, grants: BTreeMap::new(), answered };
        memory.note_answering().await?;
        memory.read_grants().await?;
        Ok(memory)
    }

    /// Notes that a master answers now.
    pub async fn note_answering(&mut self) -> Result<(), ApiError> {
        self.answered = Answered::resume(Some(self.answered.clone()), self.answered.last, Timestamp::now());
        let text = json!(self.answered).to_string();
        self.write(APPROVALS, json!({"data": {ANSWERED: text}})).await.map(drop)
    }

    /// Writes what changed of the grants in one go; `None` forgets one. Returns whether it is written: not if another
    /// master wrote something meanwhile, which is then read.
    pub async fn remember(&mut self, changes: &BTreeMap<String, Option<Grant>>) -> Result<bool, ApiError> {
        if changes.is_empty() {
            return Ok(true);
        }
        let data: BTreeMap<&String, Option<String>> =
            changes.iter().map(|(id, grant)| (id, grant.as_ref().map(|it| json!(it).to_string()))).collect();
        let patch = json!({"metadata": {"resourceVersion": self.version}, "data": data});
        match self.write(CERTIFICATES, patch).await {
            Ok(written) => {
                self.take(written);
                Ok(true)
            }
            Err(ApiError::Request(_, error)) if is_conflict(&error) => {
                self.read_grants().await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn read_grants(&mut self) -> Result<(), ApiError> {
        let found = self.config_maps.get_opt(CERTIFICATES).await;
        let found = found.map_err(|error| ApiError::request("show the granted certificates", error))?;
        self.take(found.unwrap_or_default());
        Ok(())
    }

    fn take(&mut self, found: ConfigMap) {
        let data = found.data.unwrap_or_default().into_iter();
        self.grants = data.filter_map(|(id, text)| Some((id, serde_json::from_str(&text).ok()?))).collect();
        self.version = found.metadata.resource_version;
    }

    /// Patches an object, or makes it first.
    async fn write(&self, name: &str, patch: Value) -> Result<ConfigMap, ApiError> {
        let failed = |error| ApiError::request(format!("take {name}"), error);
        let patched = self.config_maps.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        match patched {
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            patched => return patched.map_err(failed),
        }
        let labels = [("app.kubernetes.io/managed-by".to_owned(), "windlass".to_owned())].into();
        let metadata =
            ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
        let empty = ConfigMap { metadata, ..ConfigMap::default() };
        self.config_maps.create(&PostParams::default(), &empty).await.map_err(failed)?;
        let mut patch = patch;
        patch["metadata"] = json!({});
        self.config_maps.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(failed)
    }
}

/// When the cluster was made: its own namespace is among the first things in it. A new API server answers a moment before
/// it has made that.
async fn birth(client: &Client) -> Result<Timestamp, ApiError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for _ in 0..BIRTH_LOOKS {
        let found = namespaces.get_opt(NAMESPACE).await;
        let found =
            found.map_err(|error| ApiError::request(format!("show the namespace {NAMESPACE}"), error))?;
        if let Some(found) = found {
            return Ok(found.metadata.creation_timestamp.map_or(Timestamp::UNIX_EPOCH, |time| time.0));
        }
        tokio::time::sleep(BIRTH_LOOK).await;
    }
    Err(ApiError::NotReady(format!("the namespace {NAMESPACE} is not there")))
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn mins(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    #[test]
    fn a_new_clusters_instances_are_not_late_for_having_come_before_their_master() {
        let answered = Answered::resume(None, at("03:00:00"), at("03:00:05"));
        assert_eq!(answered.since(at("01:00:00"), at("03:10:00")), mins(10));
        assert_eq!(answered.since(at("03:05:00"), at("03:10:00")), mins(5));
        assert_eq!(answered.since(at("03:05:00"), at("03:00:00")), mins(0), "clocks differ");
    }

    #[test]
    fn a_restart_of_the_agent_opens_no_hour_again() {
        let first = Answered::resume(None, at("01:00:00"), at("01:00:00"));
        let mut answered = Answered { last: at("04:00:00"), ..first };
        for restart in ["04:02:00", "04:04:00", "04:06:30"] {
            answered = Answered::resume(Some(answered), at("01:00:00"), at(restart));
        }
        assert_eq!(answered.since(at("01:30:00"), at("04:06:30")), mins(156) + Duration::from_secs(30));
        assert_eq!(answered.outages.len(), 1);
    }

    #[test]
    fn an_outage_counts_for_nobody_and_helps_nobody_who_was_late_before_it() {
        let first = Answered::resume(None, at("01:00:00"), at("01:00:00"));
        let before = Answered { last: at("03:00:00"), ..first };
        let answered = Answered::resume(Some(before), at("01:00:00"), at("06:00:00"));
        assert_eq!(answered.since(at("02:50:00"), at("06:20:00")), mins(30), "launched just before it");
        assert_eq!(answered.since(at("05:00:00"), at("06:20:00")), mins(20), "launched during it");
        assert_eq!(answered.since(at("01:30:00"), at("06:20:00")), mins(110), "was late already");
    }

    #[test]
    fn the_record_stays_small() {
        let mut answered = Answered::resume(None, at("00:00:00"), at("00:00:00"));
        for hour in 1..=23 {
            let now = at(&format!("{hour:02}:00:00"));
            answered = Answered::resume(Some(answered), at("00:00:00"), now);
        }
        assert_eq!(answered.outages.len(), OUTAGES);
        let text = serde_json::to_string(&answered).unwrap();
        assert_eq!(serde_json::from_str::<Answered>(&text).unwrap(), answered);
    }
}
