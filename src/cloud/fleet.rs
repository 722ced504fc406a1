//! The machines of a cluster, as they are stopped and started together: its Auto Scaling groups, and the instances in them.
//!
//! What is told apart is what stopping and starting need: which groups are stopped already, which instances run, which hold
//! the control plane, and which EC2 can't stop.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types as autoscaling;
use aws_sdk_ec2::types as ec2;
use futures::future::try_join_all;
use futures::try_join;
use windlass_bootstrap::tags as shared;

use super::auto_scaling_group::stopped::Stopped;
use super::auto_scaling_group::warm_pool;
use super::context::Context;
use super::error::CloudError;
use super::kinds::Kind;
use super::reference::ResourceId;
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// On groups of masters, and on nothing else.
const MASTERS: &str = "k8s.io/role/control-plane";
/// On groups of instances that run an API server without being masters.
const API_SERVERS: &str = "k8s.io/role/apiserver";

/// How many instances one call stops or starts. EC2 takes a thousand; a smaller number fails for fewer.
const AT_ONCE: usize = 50;

/// The machines of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Its groups.
    pub groups: Vec<Group>,
    /// The instances in them, those of warm pools too, and no others. Terminated ones are left out.
    pub instances: Vec<Instance>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name on AWS.
    pub name: String,
    /// Whether it is stopped.
    pub stopped: Option<Stopped>,
    /// What is suspended because the specification says so.
    pub suspended_by_specification: BTreeSet<String>,
    /// What somebody else suspended.
    pub suspended_by_others: BTreeSet<String>,
    /// What of [`stopped::PROCESSES`](super::auto_scaling_group::stopped::PROCESSES) isn't suspended.
    pub going: BTreeSet<String>,
}

/// An instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Its group's name on AWS.
    pub group: String,
    /// What EC2 says of it.
    pub state: State,
    /// Whether it is a master.
    pub is_master: bool,
    /// Whether it runs an API server, as masters do, and others that are there for it.
    pub runs_api_server: bool,
    /// The machine image that it was launched from.
    pub image: String,
    /// Whether EC2 sold it as a Spot instance, which it doesn't stop: it is a request for one time (EC2 User Guide, "Stop a
    /// Spot Instance"; Auto Scaling makes no others).
    pub is_spot: bool,
    /// Whether it is stopped because it is in a warm pool.
    pub is_pooled: bool,
}

/// What EC2 says of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It starts, or it stops.
    Changing,
    /// It runs.
    Running,
    /// It is stopped.
    Stopped,
}

impl State {
    fn of(name: &ec2::InstanceStateName) -> Option<Self> {
        match name {
            ec2::InstanceStateName::Pending | ec2::InstanceStateName::Stopping => Some(Self::Changing),
            ec2::InstanceStateName::Running => Some(Self::Running),
            ec2::InstanceStateName::Stopped => Some(Self::Stopped),
            _ => None,
        }
    }
}

impl Group {
    fn read(group: &autoscaling::AutoScalingGroup, tags: &Tags) -> Self {
        let stopped = Stopped::of(tags);
        let by_specification: BTreeSet<String> =
            tags.get(tags::SUSPENDED).map_or_else(BTreeSet::new, |all| {
                all.split(' ').filter(|process| !process.is_empty()).map(str::to_owned).collect()
            });
        let suspended = group.suspended_processes().iter();
        let suspended: BTreeSet<String> =
            suspended.filter_map(|process| process.process_name().map(str::to_owned)).collect();
        let of_stop = stopped.iter().flat_map(|stopped| &stopped.processes).cloned().collect();
        let by_others = &(&suspended - &by_specification) - &of_stop;
        let going = super::auto_scaling_group::stopped::PROCESSES.iter().map(|process| (*process).to_owned());
        Self {
            name: group.auto_scaling_group_name().unwrap_or_default().to_owned(),
            going: going.filter(|process| !suspended.contains(process)).collect(),
            suspended_by_specification: by_specification,
            suspended_by_others: by_others,
            stopped,
        }
    }
}

/// A group as Auto Scaling describes it, with its tags and what is in its warm pool.
type Described = (autoscaling::AutoScalingGroup, Tags, Vec<autoscaling::Instance>);

/// Looks at the machines of a cluster.
pub async fn look(context: &Context<'_>) -> Result<Fleet, CloudError> {
    let (groups, found) = try_join!(groups(context), instances(context))?;
    let mut fleet = Fleet::default();
    for (group, tags, pooled) in &groups {
        fleet.groups.push(Group::read(group, tags));
        for (member, is_pooled) in members(group, pooled) {
            let Some(instance) = found.get(member) else { continue };
            let Some(state) = instance.state().and_then(|state| State::of(state.name()?)) else { continue };
            fleet.instances.push(Instance {
                id: member.to_owned(),
                group: group.auto_scaling_group_name().unwrap_or_default().to_owned(),
                state,
                is_master: tags.contains_key(MASTERS),
                runs_api_server: tags.contains_key(MASTERS) || tags.contains_key(API_SERVERS),
                image: instance.image_id().unwrap_or_default().to_owned(),
                is_spot: instance.instance_lifecycle() == Some(&ec2::InstanceLifecycleType::Spot),
                is_pooled,
            });
        }
    }
    fleet.instances.sort_by(|one, other| (&one.group, &one.id).cmp(&(&other.group, &other.id)));
    Ok(fleet)
}

/// The instances of a group, and whether each is stopped for being in the pool.
fn members<'a>(
    group: &'a autoscaling::AutoScalingGroup,
    pooled: &'a [autoscaling::Instance],
) -> impl Iterator<Item = (&'a str, bool)> {
    let stays_stopped = |member: &autoscaling::Instance| {
        let state = member.lifecycle_state().map(autoscaling::LifecycleState::as_str).unwrap_or_default();
        ["Warmed:Stopped", "Warmed:Hibernated"].contains(&state)
    };
    let all = group.instances().iter().chain(pooled);
    all.filter_map(move |member| Some((member.instance_id()?, stays_stopped(member))))
}

async fn groups(context: &Context<'_>) -> Result<Vec<Described>, CloudError> {
    let id = ResourceId::new(Kind::AutoScalingGroup, context.cluster);
    let filter =
        autoscaling::Filter::builder().name(format!("tag:{}", tags::MANAGED)).values(context.cluster);
    let call = context.clients.autoscaling.describe_auto_scaling_groups().filters(filter.build());
    let pages = call.max_records(100).into_paginator().items().send();
    let groups = pages.try_collect().await.during("autoscaling", "DescribeAutoScalingGroups", &id)?;
    let tagged = groups.into_iter().map(|group: autoscaling::AutoScalingGroup| {
        let tags = group.tags().iter();
        let tags: Tags = tags
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .collect();
        (group, tags)
    });
    let ours = tagged.filter(|(_, tags)| context.owner.owns(tags));
    try_join_all(ours.map(async |(group, tags)| {
        let pooled = warm_pool::instances(&group, context, &id).await?;
        Ok((group, tags, pooled))
    }))
    .await
}

async fn instances(context: &Context<'_>) -> Result<BTreeMap<String, ec2::Instance>, CloudError> {
    let call = context.clients.ec2.describe_instances();
    let call = call.filters(tags::filter(&format!("tag:{}", shared::CLUSTER), context.cluster));
    let pages = call.into_paginator().items().send();
    let reservations: Vec<ec2::Reservation> =
        pages.try_collect().await.during("ec2", "DescribeInstances", context.cluster)?;
    let all = reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default());
    Ok(all.filter_map(|instance| Some((instance.instance_id()?.to_owned(), instance))).collect())
}

/// Says of a group that it is stopped, and suspends what would launch or end instances. The tag comes first: who is killed in
/// between is followed by one who suspends what the tag says.
pub async fn stop_group(context: &Context<'_>, group: &Group, stopped: &Stopped) -> Result<(), CloudError> {
    let id = ResourceId::new(Kind::AutoScalingGroup, &group.name);
    let autoscaling = &context.clients.autoscaling;
    if group.stopped.is_none() {
        let tag = tag(&group.name).key(tags::STOPPED).value(stopped.value()).propagate_at_launch(false);
        let call = autoscaling.create_or_update_tags().tags(tag.build());
        call.send().await.during("autoscaling", "CreateOrUpdateTags", &id)?;
    }
    let call = autoscaling.suspend_processes().auto_scaling_group_name(&group.name);
    let call = call.set_scaling_processes(Some(stopped.processes.iter().cloned().collect()));
    call.send().await.during("autoscaling", "SuspendProcesses", &id)?;
    Ok(())
}

/// Resumes what was suspended for a stop, but for what the specification wants suspended, and then takes the tag away.
pub async fn start_group(context: &Context<'_>, group: &Group, stopped: &Stopped) -> Result<(), CloudError> {
    let id = ResourceId::new(Kind::AutoScalingGroup, &group.name);
    let autoscaling = &context.clients.autoscaling;
    let processes: Vec<String> =
        stopped.processes.difference(&group.suspended_by_specification).cloned().collect();
    // Without a name, all would be resumed (API_ResumeProcesses).
    if !processes.is_empty() {
        let call = autoscaling.resume_processes().auto_scaling_group_name(&group.name);
        let call = call.set_scaling_processes(Some(processes));
        call.send().await.during("autoscaling", "ResumeProcesses", &id)?;
    }
    let call = autoscaling.delete_tags().tags(tag(&group.name).key(tags::STOPPED).build());
    call.send().await.during("autoscaling", "DeleteTags", &id)?;
    Ok(())
}

fn tag(group: &str) -> autoscaling::builders::TagBuilder {
    autoscaling::Tag::builder().resource_id(group).resource_type("auto-scaling-group")
}

/// Stops instances that run. Volumes and addresses stay with them.
pub async fn stop_instances(context: &Context<'_>, instances: &[String]) -> Result<(), CloudError> {
    for some in instances.chunks(AT_ONCE) {
        let call = context.clients.ec2.stop_instances().set_instance_ids(Some(some.to_vec()));
        call.send().await.during("ec2", "StopInstances", some.join(", "))?;
    }
    Ok(())
}

/// Ends instances.
pub async fn terminate_instances(context: &Context<'_>, instances: &[String]) -> Result<(), CloudError> {
    for some in instances.chunks(AT_ONCE) {
        let call = context.clients.ec2.terminate_instances().set_instance_ids(Some(some.to_vec()));
        call.send().await.during("ec2", "TerminateInstances", some.join(", "))?;
    }
    Ok(())
}

/// Starts instances that are stopped.
pub async fn start_instances(context: &Context<'_>, instances: &[String]) -> Result<(), CloudError> {
    for some in instances.chunks(AT_ONCE) {
        let call = context.clients.ec2.start_instances().set_instance_ids(Some(some.to_vec()));
        call.send().await.during("ec2", "StartInstances", some.join(", "))?;
    }
    Ok(())
}
