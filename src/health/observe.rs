//! Sees a cluster: AWS in one call for the groups and one for the instances, of as many pages as it takes, and one for each warm
//! pool; the
//! instances' reports, of ready nodes more seldom; nodes and pods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_autoscaling::types as autoscaling;
use aws_sdk_ec2::types as ec2;
use futures::future::try_join_all;
use windlass_bootstrap::config::Role;
use windlass_bootstrap::report::{BootState, Status};
use windlass_bootstrap::{keys, tags};

use super::snapshot::{
    BackupsView, CloudView, Group, Instance, KubernetesView, Member, Snapshot, StateView, Unanswered,
    harmless,
};
use crate::aws::tags::{STOPPED, Tags};
use crate::aws::{AwsError, Clients, During};
use crate::cloud::auto_scaling_group::stopped::Stopped;
use crate::kube::{Kubernetes, Listed, Node, Pod, Ready};
use crate::spec::cluster::Cluster;
use crate::state::{Store, StoreError, backups};

/// What a terminated instance was is of no interest here.
const STATES: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

/// How old AWS's part of a snapshot may be, so that looking again at once costs no more calls than looking seldom.
const CLOUD_AGE: Duration = Duration::from_secs(5);

/// How old the reports of nodes may be that are ready: they change seldom, and there may be many.
const REPORT_AGE: Duration = Duration::from_mins(1);

/// How old the list of backups may be: one is made every minute at most.
const BACKUPS_AGE: Duration = Duration::from_secs(20);

/// How many proofs are read at most until one is found that went well.
const PROOFS: usize = 10;

/// How long to pause between two looks at least.
const PAUSE: Duration = Duration::from_millis(500);

/// How long to pause while there is nothing to watch.
const BLIND_PAUSE: Duration = Duration::from_secs(1);

/// Why a cluster can't be seen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// AWS.
    #[error("cannot see the groups and instances of \"{cluster}\"")]
    Cloud {
        /// Whose groups and instances they are.
        cluster: String,
        /// What it said.
        #[source]
        source: AwsError,
    },
    /// The state's backups.
    #[error("cannot list the backups of \"{cluster}\"")]
    Backups {
        /// Whose they are.
        cluster: String,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// The state.
    #[error("cannot read the boot reports of \"{cluster}\"")]
    Reports {
        /// Whose machines report.
        cluster: String,
        /// What it said.
        #[source]
        source: StoreError,
    },
}

impl Error {
    /// Whether looking again may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Cloud { source, .. } | Self::Reports { source: StoreError::Aws { source, .. }, .. } => {
                source.is_transient()
            }
            Self::Backups { source: StoreError::Aws { source, .. }, .. } => source.is_transient(),
            Self::Reports { .. } | Self::Backups { .. } => false,
        }
    }
}

/// Looks at a cluster, again and again.
#[derive(Debug)]
pub struct Observer {
    clients: Clients,
    store: Store,
    cloud: Option<(Instant, CloudView)>,
    listed: Option<(Listed<Node>, Listed<Pod>)>,
    state: StateView,
    settled: Option<(Instant, BTreeMap<String, Status>)>,
    backups: Option<(Instant, BackupsView)>,
}

impl Observer {
    /// An observer that has seen nothing yet but the state's part.
    pub fn new(clients: Clients, store: Store, state: StateView) -> Self {
        Self { clients, store, cloud: None, listed: None, state, settled: None, backups: None }
    }

    /// Makes the next look ask AWS, however short ago it was asked.
    pub fn forget(&mut self) {
        self.cloud = None;
    }

    /// Looks. Where there is no connection to the API, the caller knows why.
    pub async fn look(
        &mut self,
        cluster: &Cluster,
        api: Result<&Kubernetes, Unanswered>,
    ) -> Result<Snapshot, Error> {
        let known = self.backups.take();
        let store = self.store.clone();
        let backups = backups(&store, &cluster.name, known);
        let (cloud, listed, backups) = tokio::join!(self.cloud(&cluster.name), list(api), backups);
        let (cloud, cloud_is_new) = cloud?;
        let (when, backups) = backups?;
        self.backups = Some((when, backups.clone()));
        let (kubernetes, listed) = match listed {
            Ok((nodes, pods)) => {
                let view = KubernetesView { nodes: nodes.items.clone(), pods: pods.items.clone() };
                (Ok(view), Some((nodes, pods)))
            }
            Err(unanswered) => (Err(unanswered), None),
        };
        self.listed = listed;
        let boot = self.reports(cluster, &cloud, kubernetes.as_ref().ok()).await?;
        let state = self.state.clone();
        Ok(Snapshot { now: jiff::Timestamp::now(), cloud, cloud_is_new, state, backups, boot, kubernetes })
    }

    /// The reports of all instances: those that matter most as they are now.
    async fn reports(
        &mut self,
        cluster: &Cluster,
        cloud: &CloudView,
        view: Option<&KubernetesView>,
    ) -> Result<BTreeMap<String, Status>, Error> {
        let settled = self.settled.take().filter(|(when, _)| when.elapsed() < REPORT_AGE);
        let (when, mut known) = settled.unwrap_or_else(|| (Instant::now(), BTreeMap::new()));
        let wanted = wanted(cluster, cloud, view, &known);
        known.retain(|instance, _| !wanted.contains(instance));
        known.extend(reports(&self.store, &cluster.name, &wanted).await?);
        self.settled = Some((when, known.clone()));
        Ok(known)
    }

    /// Waits until something that the last look saw has changed, but not longer than the limit, and long enough that
    /// looking again and again is no burden.
    pub async fn change(&self, api: Option<&Kubernetes>, limit: Duration) {
        let begun = Instant::now();
        match (api, &self.listed) {
            (Some(api), Some((nodes, pods))) => api.changed(nodes, pods, limit.min(CLOUD_AGE)).await,
            _ => tokio::time::sleep(limit.min(BLIND_PAUSE)).await,
        }
        tokio::time::sleep(limit.min(PAUSE).saturating_sub(begun.elapsed())).await;
    }

    /// AWS's part, and whether it was asked for it just now.
    async fn cloud(&mut self, cluster: &str) -> Result<(CloudView, bool), Error> {
        if let Some((when, view)) = &self.cloud
            && when.elapsed() < CLOUD_AGE
        {
            return Ok((view.clone(), false));
        }
        let view = cloud(&self.clients, cluster)
            .await
            .map_err(|source| Error::Cloud { cluster: cluster.to_owned(), source })?;
        self.cloud = Some((Instant::now(), view.clone()));
        Ok((view, true))
    }
}

/// The backups, as they were a short while ago; of the proofs only the newest few are read.
async fn backups(
    store: &Store,
    cluster: &str,
    known: Option<(Instant, BackupsView)>,
) -> Result<(Instant, BackupsView), Error> {
    if let Some(known) = known.filter(|(when, _)| when.elapsed() < BACKUPS_AGE) {
        return Ok(known);
    }
    let failed = |source| Error::Backups { cluster: cluster.to_owned(), source };
    let listed = backups::list(store, cluster).await.map_err(failed)?;
    let mut view = BackupsView {
        newest: listed.iter().find(|it| it.is_complete).map(|it| it.id),
        ..BackupsView::default()
    };
    let tried = listed.iter().filter(|it| it.is_complete && it.is_tried).take(PROOFS);
    for (place, tried) in tried.enumerate() {
        let Some(proof) = backups::proof(store, cluster, tried).await.map_err(failed)? else { continue };
        match &proof.failure {
            Some(why) if place == 0 => view.failure = Some((tried.id, harmless(why))),
            Some(_) => {}
            None => {
                view.newest_proof = Some(proof);
                break;
            }
        }
    }
    Ok((Instant::now(), view))
}

async fn list(api: Result<&Kubernetes, Unanswered>) -> Result<(Listed<Node>, Listed<Pod>), Unanswered> {
    let api = api?;
    tokio::try_join!(api.nodes(), api.critical_pods()).map_err(|error| Unanswered::from(&error))
}

/// The instances whose report is read: of masters and API servers, of whoever is not a ready node, and of those of which nothing is known or
/// whose last report was of a boot that wasn't done; that is soon another one.
fn wanted(
    cluster: &Cluster,
    cloud: &CloudView,
    view: Option<&KubernetesView>,
    known: &BTreeMap<String, Status>,
) -> Vec<String> {
    let has_upkeep = |instance: &Instance| {
        let group = instance.instance_group.as_ref();
        let group = group.and_then(|name| cluster.instance_groups.iter().find(|group| group.name == *name));
        group.is_some_and(|group| matches!(group.role(), Role::ControlPlane | Role::ApiServer))
    };
    let is_ready = |instance: &Instance| {
        view.and_then(|view| view.node_of(&instance.id)).is_some_and(|node| node.ready == Ready::Yes)
    };
    let is_settled =
        |instance: &Instance| known.get(&instance.id).is_some_and(|status| status.state == BootState::Ready);
    let wanted = cloud.instances.values();
    let wanted = wanted.filter(|it| !cloud.is_warm(&it.id));
    let wanted = wanted.filter(|it| has_upkeep(it) || !is_ready(it) || !is_settled(it));
    wanted.map(|instance| instance.id.clone()).collect()
}

/// The reports of some instances, of those who have sent one that can be read. What an instance wrote isn't trusted with
/// a terminal.
pub async fn reports(
    store: &Store,
    cluster: &str,
    instances: &[String],
) -> Result<BTreeMap<String, Status>, Error> {
    let failed = |source| Error::Reports { cluster: cluster.to_owned(), source };
    let mut keys = store.list(&keys::status_prefix(cluster)).await.map_err(failed)?;
    keys.retain(|key| {
        keys::reporter(cluster, key)
            .is_some_and(|(instance, _)| instances.iter().any(|wanted| wanted == instance))
    });
    let objects = store.get_all(&keys).await.map_err(failed)?;
    let mut reports: BTreeMap<String, (bool, Status)> = BTreeMap::new();
    for (key, object) in keys.iter().zip(objects) {
        let (Some(object), Some((instance, own))) = (object, keys::reporter(cluster, key)) else { continue };
        let status = match read(&object.bytes, instance) {
            Ok(status) => status,
            // Another version of the agent wrote it; then nothing is known of this instance.
            Err(error) => {
                tracing::warn!(%instance, %error, "the report can't be read");
                continue;
            }
        };
        // The one that only the instance itself can have written, and of two such the younger.
        let rank = |own: bool, status: &Status| (own, status.last_seen.unwrap_or(status.since));
        if reports.get(instance).is_none_or(|(known_own, known)| rank(*known_own, known) < rank(own, &status))
        {
            reports.insert(instance.to_owned(), (own, status));
        }
    }
    Ok(reports.into_iter().map(|(instance, (_, status))| (instance, status)).collect())
}

/// What an instance has written. Why it can't be read quotes what it has written, and goes to a terminal as well.
fn read(report: &[u8], instance: &str) -> Result<Status, String> {
    let mut status: Status = serde_json::from_slice(report).map_err(|error| harmless(&error.to_string()))?;
    make_harmless(&mut status, instance);
    Ok(status)
}

/// Takes out of a report what could do something to a terminal, and what would flood it; and whom it says it is about.
fn make_harmless(status: &mut Status, instance: &str) {
    let Status {
        version,
        instance: about,
        instance_group,
        zone,
        agent,
        step,
        reason,
        steps,
        failing,
        draining,
        notices,
        ..
    } = status;
    instance.clone_into(about);
    let texts =
        [version, instance_group, zone, agent, step].into_iter().chain(reason).chain(draining).chain(notices);
    let tasks = failing.iter_mut().flat_map(|task| [&mut task.name, &mut task.error]);
    for text in texts.chain(steps.iter_mut().map(|step| &mut step.name)).chain(tasks) {
        *text = harmless(text);
    }
}

/// Groups and instances of a cluster, as AWS has them now.
pub async fn cloud(clients: &Clients, cluster: &str) -> Result<CloudView, AwsError> {
    let (groups, instances) = tokio::try_join!(groups(clients, cluster), instances(clients, cluster))?;
    Ok(CloudView { groups, instances })
}

/// As many Auto Scaling groups as a page can hold; 50 when nothing is said (Auto Scaling API,
/// `DescribeAutoScalingGroups`).
const MOST_OF_A_PAGE: i32 = 100;

async fn groups(clients: &Clients, cluster: &str) -> Result<Vec<Group>, AwsError> {
    let filter =
        autoscaling::Filter::builder().name(format!("tag:{}", tags::CLUSTER)).values(cluster).build();
    let call = clients.autoscaling.describe_auto_scaling_groups().filters(filter);
    let mut pages = call.max_records(MOST_OF_A_PAGE).into_paginator().items().send();
    let mut groups: Vec<autoscaling::AutoScalingGroup> = Vec::new();
    while let Some(group) = pages.next().await {
        groups.push(group.during("autoscaling", "DescribeAutoScalingGroups", cluster)?);
    }
    let warm = try_join_all(groups.iter().map(|group| warm(clients, group))).await?;
    let seen = groups.iter().zip(warm).filter_map(|(group, warm)| self::group(group, &warm));
    let mut groups: Vec<Group> = seen.collect();
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

/// The instances of a group's warm pool, which Auto Scaling tells of no other way. Most groups have none, and aren't asked for.
async fn warm(
    clients: &Clients,
    group: &autoscaling::AutoScalingGroup,
) -> Result<Vec<autoscaling::Instance>, AwsError> {
    let name = group.auto_scaling_group_name().unwrap_or_default();
    if group.warm_pool_configuration().is_none() {
        return Ok(Vec::new());
    }
    let call = clients.autoscaling.describe_warm_pool().auto_scaling_group_name(name);
    let instances = call.into_paginator().items().send().try_collect().await;
    match instances.during("autoscaling", "DescribeWarmPool", name) {
        // The group is gone meanwhile.
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        instances => instances,
    }
}

fn member(member: &autoscaling::Instance) -> Option<Member> {
    Some(Member {
        instance: member.instance_id()?.to_owned(),
        lifecycle: member.lifecycle_state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        template_version: member.launch_template().and_then(|template| template.version()).map(str::to_owned),
    })
}

fn group(group: &autoscaling::AutoScalingGroup, warm: &[autoscaling::Instance]) -> Option<Group> {
    let tag = group.tags().iter().find(|tag| tag.key() == Some(tags::INSTANCE_GROUP))?;
    let template = group
        .launch_template()
        .or_else(|| group.mixed_instances_policy()?.launch_template()?.launch_template_specification());
    Some(Group {
        name: group.auto_scaling_group_name().unwrap_or_default().to_owned(),
        instance_group: tag.value().unwrap_or_default().to_owned(),
        desired: group.desired_capacity().and_then(|desired| u32::try_from(desired).ok()).unwrap_or_default(),
        template_version: template.and_then(|template| template.version()).map(str::to_owned),
        suspended: group
            .suspended_processes()
            .iter()
            .filter_map(|process| process.process_name().map(str::to_owned))
            .collect(),
        stopped: stopped(group),
        members: group.instances().iter().filter_map(member).collect(),
        warm: warm.iter().filter_map(member).collect(),
    })
}

/// What the group's tag says of it, if it has one.
fn stopped(group: &autoscaling::AutoScalingGroup) -> Option<Stopped> {
    let tag = group.tags().iter().find(|tag| tag.key() == Some(STOPPED))?;
    Stopped::of(&Tags::from([(STOPPED.to_owned(), tag.value().unwrap_or_default().to_owned())]))
}

async fn instances(clients: &Clients, cluster: &str) -> Result<BTreeMap<String, Instance>, AwsError> {
    let of_cluster = ec2::Filter::builder().name(format!("tag:{}", tags::CLUSTER)).values(cluster).build();
    let alive = STATES
        .iter()
        .fold(ec2::Filter::builder().name("instance-state-name"), |filter, state| filter.values(*state));
    let call = clients.ec2.describe_instances().filters(of_cluster).filters(alive.build());
    let mut pages = call.into_paginator().send();
    let mut instances = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.during("ec2", "DescribeInstances", cluster)?;
        let found = page.reservations().iter().flat_map(ec2::Reservation::instances).filter_map(instance);
        instances.extend(found.map(|instance| (instance.id.clone(), instance)));
    }
    Ok(instances)
}

/// The address by which an instance is known in its VPC: its IPv6 address where it has no other.
fn private_address(instance: &ec2::Instance) -> Option<&str> {
    let ipv4 = instance.private_ip_address().filter(|address| !address.is_empty());
    ipv4.or_else(|| instance.ipv6_address())
}

fn instance(instance: &ec2::Instance) -> Option<Instance> {
    let tag = instance.tags().iter().find(|tag| tag.key() == Some(tags::INSTANCE_GROUP));
    let placement = instance.placement();
    Some(Instance {
        id: instance.instance_id()?.to_owned(),
        state: instance.state()?.name()?.as_str().to_owned(),
        instance_group: tag.and_then(ec2::Tag::value).map(str::to_owned),
        zone: placement.and_then(|placement| placement.availability_zone()).unwrap_or_default().to_owned(),
        machine_type: instance.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        private_address: private_address(instance).map(str::to_owned),
        public_address: instance.public_ip_address().map(str::to_owned),
        launched: instance.launch_time().and_then(|time| jiff::Timestamp::from_second(time.secs()).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_without_an_ipv4_address_is_shown_by_its_ipv6_address() {
        let instance = |ipv4: &str| {
            ec2::Instance::builder().private_ip_address(ipv4).ipv6_address("2001:db8::b").build()
        };
        assert_eq!(private_address(&instance("")), Some("2001:db8::b"));
        assert_eq!(private_address(&instance("172.20.32.11")), Some("172.20.32.11"));
        assert_eq!(private_address(&ec2::Instance::builder().build()), None);
    }

    #[tokio::test]
    async fn reports_are_read_of_those_who_have_sent_one() {
        use crate::state::Condition;
        let store = Store::memory();
        let report = serde_json::json!({"version": "windlass/v1", "instance": "i-1", "instanceGroup": "nodes",
            "zone": "us-east-1a", "agent": "0.1.0", "state": "waiting", "step": "ensure_volume",
            "reason": "vol-1 is attached to i-0", "since": "2026-11-21T01:02:03Z", "agentStartedAfter": 2.5, "steps": []});
        let key = keys::status("demo.example.com", "i-1");
        store.put(&key, report.to_string().into_bytes(), Condition::Absent).await.unwrap();
        let key = keys::status("demo.example.com", "i-2");
        store.put(&key, b"not a report".to_vec(), Condition::Absent).await.unwrap();
        let wanted = ["i-1", "i-2", "i-3"].map(str::to_owned);
        let reports = reports(&store, "demo.example.com", &wanted).await.unwrap();
        assert_eq!(reports.keys().collect::<Vec<_>>(), ["i-1"]);
        assert_eq!(reports["i-1"].step, "ensure_volume");
    }

    #[tokio::test]
    async fn what_an_instance_wrote_is_about_itself_and_does_nothing_to_a_terminal() {
        use crate::state::Condition;
        let store = Store::memory();
        let report = |step: &str| {
            let error = "\u{1b}]0;title\u{7}\nnext\u{202e}line\u{9b}2J";
            serde_json::json!({"version": "windlass/v1", "instance": "i-2", "instanceGroup": "nodes\r", "zone": "",
                "agent": "0.1.0", "state": "ready", "step": step, "reason": "\u{1b}[2J".repeat(5000),
                "since": "2026-11-21T01:02:03Z", "agentStartedAfter": 2.5, "steps": [], "colour": "unknown",
                "failing": [{"name": "renew", "since": "2026-11-21T01:02:03Z", "error": error}]})
        };
        // Once upon a time anybody could write the first; the second only the instance itself.
        for (writer, step) in [("i-1", "forged"), ("AROA1:i-1", "own")] {
            let key = keys::status("demo.example.com", writer);
            store.put(&key, report(step).to_string().into_bytes(), Condition::Absent).await.unwrap();
        }
        let reports = reports(&store, "demo.example.com", &["i-1".to_owned()]).await.unwrap();
        let status = &reports["i-1"];
        assert_eq!((status.instance.as_str(), status.step.as_str()), ("i-1", "own"));
        assert_eq!(status.failing[0].error, " ]0;title  next line 2J");
        assert_eq!(status.instance_group, "nodes ");
        let reason = status.reason.as_deref().unwrap();
        assert!(reason.chars().count() == 2000 && !reason.contains('\u{1b}'));
    }

    #[test]
    fn a_report_of_a_boot_that_was_not_done_is_read_again_also_of_a_ready_node() {
        let report = |state: &str| -> Status {
            let report = serde_json::json!({"version": "windlass/v1", "instance": "i-1", "instanceGroup": "nodes",
                "zone": "", "agent": "0.1.0", "state": state, "step": "ensure_ready", "since": "2026-11-21T01:02:03Z",
                "agentStartedAfter": 2.5, "steps": []});
            serde_json::from_value(report).unwrap()
        };
        let described = ec2::Instance::builder().instance_id("i-1");
        let named =
            described.state(ec2::InstanceState::builder().name(ec2::InstanceStateName::Running).build());
        let seen = instance(&named.build()).unwrap();
        let cloud = CloudView { instances: [(seen.id.clone(), seen)].into(), ..CloudView::default() };
        let node = Node {
            name: "i-1".to_owned(),
            instance: Some("i-1".to_owned()),
            ready: Ready::Yes,
            control_plane: false,
            zone: None,
            hostname: "i-1".to_owned(),
            internal_address: None,
        };
        let view = KubernetesView { nodes: vec![node], pods: Vec::new() };
        let cluster = crate::assets::sample::cluster();
        let read = |known: Option<&str>| {
            let known = known.map(|state| ("i-1".to_owned(), report(state))).into_iter().collect();
            wanted(&cluster, &cloud, Some(&view), &known)
        };
        assert_eq!(read(None), ["i-1"]);
        assert_eq!(read(Some("running")), ["i-1"]);
        assert_eq!(read(Some("ready")), Vec::<String>::new());
    }

    #[test]
    fn why_a_report_can_t_be_read_does_nothing_to_a_terminal_either() {
        let report = r#"{"version": "windlass/v1", "state": "\u001b]0;title\u0007\n\u202eready"}"#;
        let error = read(report.as_bytes(), "i-1").unwrap_err();
        assert!(error.contains("unknown variant ` ]0;title   ready`"), "{error:?}");
    }

    #[test]
    fn a_group_of_somebody_else_is_not_seen() {
        let foreign = autoscaling::AutoScalingGroup::builder().auto_scaling_group_name("other").build();
        assert_eq!(group(&foreign, &[]), None);
    }

    #[test]
    fn a_group_is_seen_with_its_members_and_template_versions() {
        let template = |version: &str| {
            autoscaling::LaunchTemplateSpecification::builder()
                .launch_template_name("nodes")
                .version(version)
                .build()
        };
        let member = autoscaling::Instance::builder()
            .instance_id("i-1")
            .lifecycle_state(autoscaling::LifecycleState::InService)
            .launch_template(template("1"))
            .build();
        let warm = autoscaling::Instance::builder()
            .instance_id("i-2")
            .lifecycle_state(autoscaling::LifecycleState::WarmedStopped)
            .build();
        let tag = autoscaling::TagDescription::builder().key(tags::INSTANCE_GROUP).value("nodes").build();
        let described = autoscaling::AutoScalingGroup::builder()
            .auto_scaling_group_name("nodes.demo.example.com")
            .desired_capacity(2)
            .launch_template(template("2"))
            .instances(member)
            .tags(tag)
            .build();
        let seen = group(&described, &[warm]).unwrap();
        assert_eq!((seen.instance_group.as_str(), seen.desired), ("nodes", 2));
        assert_eq!(seen.template_version.as_deref(), Some("2"));
        assert_eq!(seen.members[0].template_version.as_deref(), Some("1"));
        assert!(!seen.members[0].is_leaving());
        assert_eq!((seen.members.len(), seen.warm[0].lifecycle.as_str()), (1, "Warmed:Stopped"));
    }
}
