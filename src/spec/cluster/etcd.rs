//! etcd clusters and their members.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;
use windlass_bootstrap::config::{EtcdPorts, EtcdRequests};

use super::EbsVolume;
use crate::spec::non_empty::NonEmpty;

/// How backups of etcd are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backups {
    /// Every so many seconds there is one.
    pub interval_seconds: u32,
    /// For so many days the first one of a day is kept.
    pub retention_days: u32,
}

/// An etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdCluster {
    /// Such as `main` or `events`.
    pub name: String,
    /// Without a leading `v`.
    pub version: String,
    /// Its members.
    pub members: NonEmpty<EtcdMember>,
    /// Where its members listen.
    #[serde(skip)]
    pub ports: EtcdPorts,
    /// What Kubernetes keeps here instead of in `main`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
    /// What the pods of its members ask the scheduler for.
    #[serde(skip_serializing_if = "EtcdRequests::are_usual")]
    pub requests: EtcdRequests,
    /// How often its leader says that it is there, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_milliseconds: Option<u32>,
    /// How long its members wait for their leader, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_milliseconds: Option<u32>,
    /// The environment of its members: flags of etcd's, named as it does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

impl EtcdCluster {
    /// Whether it says nothing that an agent of [`windlass_bootstrap::config::CONFIG_VERSION`] alone doesn't know.
    pub(super) fn is_known_to_all(&self) -> bool {
        let is_timed = self.heartbeat_milliseconds.is_some() || self.election_milliseconds.is_some();
        self.requests.are_usual() && !is_timed
    }
}

/// A member, as the others of its etcd cluster know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMember {
    /// Such as `a`.
    pub name: String,
    /// The reserved address of its master.
    pub private_address: Ipv4Addr,
    /// Whether the others take it in, instead of beginning together with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub joins: bool,
}

/// A member, as its master holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldMember {
    /// The etcd cluster that it is of.
    pub etcd: Box<EtcdCluster>,
    /// The member.
    #[serde(flatten)]
    pub member: EtcdMember,
    /// The volume that its data is on.
    pub volume: EbsVolume,
}
