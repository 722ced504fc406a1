//! Waiting until Auto Scaling groups and their instances are gone: however many groups are going, one look is made for
//! all of them, and their instances go at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aws_sdk_autoscaling::types::AutoScalingGroup;
use aws_sdk_ec2::types::{Filter, InstanceStateName, Reservation};
use tokio::sync::Mutex;

use super::reference::ResourceId;
use crate::aws::retry::Look;
use crate::aws::{AwsError, Clients, During};
use crate::spec::quantity;

/// How long a look stands for what everybody who waits would see.
const FRESH: Duration = Duration::from_millis(900);

/// API_DescribeAutoScalingGroups takes 50 names unless it is asked for longer pages.
const GROUPS_PER_CALL: usize = 50;

/// EC2's limit of values in one filter (EC2 Developer Guide, "List and filter using the CLI and API").
const INSTANCES_PER_CALL: usize = 200;

/// The groups that were asked to go in this run.
#[derive(Debug, Default)]
pub struct Departures(Mutex<Going>);

#[derive(Debug, Default)]
struct Going {
    /// The instances that each group had when it was asked to go.
    instances: BTreeMap<String, Vec<String>>,
    last: Option<Sight>,
}

/// What the last look saw.
#[derive(Debug)]
struct Sight {
    at: Instant,
    groups: BTreeMap<String, usize>,
    instances: BTreeSet<String>,
}

impl Departures {
    /// A group was asked to go, with these instances.
    pub(super) async fn begin(&self, group: &str, instances: Vec<String>) {
        let mut going = self.0.lock().await;
        going.instances.insert(group.to_owned(), instances);
        // The last look knew nothing of it.
        going.last = None;
    }

    /// Whether a group and its instances are gone. Only one of those who ask at the same time asks AWS: what it sees stands
    /// for all who asked meanwhile, however long AWS takes to answer.
    pub(super) async fn look(
        &self,
        clients: &Clients,
        id: &ResourceId,
        group: &str,
    ) -> Result<Look<()>, AwsError> {
        let asked = Instant::now();
        let mut going = self.0.lock().await;
        if going.last.as_ref().is_none_or(|last| asked.saturating_duration_since(last.at) > FRESH) {
            going.last = Some(see(clients, id, &going.instances).await?);
        }
        let answer = going.answer(group);
        if matches!(answer, Look::Done(())) {
            going.instances.remove(group);
        }
        Ok(answer)
    }
}

impl Going {
    fn answer(&self, group: &str) -> Look<()> {
        let Some(last) = &self.last else { return Look::Wait("nobody has looked yet".to_owned()) };
        if let Some(members) = last.groups.get(group) {
            return Look::Wait(format!("it is there, with {}", quantity(*members, "instance")));
        }
        let own = self.instances.get(group).into_iter().flatten();
        let left: Vec<&str> = own.filter(|id| last.instances.contains(*id)).map(String::as_str).collect();
        if left.is_empty() {
            Look::Done(())
        } else {
            Look::Wait(format!("instances are there: {}", left.join(", ")))
        }
    }
}

/// Looks for all groups, and for all of their instances that aren't terminated.
async fn see(
    clients: &Clients,
    id: &ResourceId,
    going: &BTreeMap<String, Vec<String>>,
) -> Result<Sight, AwsError> {
    let at = Instant::now();
    let mut groups = BTreeMap::new();
    let names: Vec<String> = going.keys().cloned().collect();
    for some in names.chunks(GROUPS_PER_CALL) {
        let call = clients.autoscaling.describe_auto_scaling_groups();
        let call = call.set_auto_scaling_group_names(Some(some.to_vec())).into_paginator();
        let found: Vec<AutoScalingGroup> =
            call.items().send().try_collect().await.during("autoscaling", "DescribeAutoScalingGroups", id)?;
        groups.extend(found.iter().filter_map(|group| {
            Some((group.auto_scaling_group_name()?.to_owned(), group.instances().len()))
        }));
    }
    let mut instances = BTreeSet::new();
    let ids: Vec<String> = going.values().flatten().cloned().collect();
    for some in ids.chunks(INSTANCES_PER_CALL) {
        // A filter, because EC2 forgets terminated instances, and an id that it doesn't know is an error.
        let these = Filter::builder().name("instance-id").set_values(Some(some.to_vec())).build();
        let call = clients.ec2.describe_instances().filters(these).into_paginator().items();
        let found: Vec<Reservation> =
            call.send().try_collect().await.during("ec2", "DescribeInstances", id)?;
        let alive = found.iter().flat_map(Reservation::instances).filter(|instance| {
            instance.state().and_then(|state| state.name()) != Some(&InstanceStateName::Terminated)
        });
        instances.extend(alive.filter_map(|instance| instance.instance_id().map(str::to_owned)));
    }
    Ok(Sight { at, groups, instances })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_gone_with_the_last_of_its_own_instances() {
        let mut going = Going::default();
        going.instances.insert("a".to_owned(), vec!["i-1".to_owned(), "i-2".to_owned()]);
        going.instances.insert("b".to_owned(), vec!["i-3".to_owned()]);
        let sight = |groups: &[&str], instances: &[&str]| Sight {
            at: Instant::now(),
            groups: groups.iter().map(|name| ((*name).to_owned(), 1)).collect(),
            instances: instances.iter().map(|id| (*id).to_owned()).collect(),
        };
        let is_done = |going: &Going, group| matches!(going.answer(group), Look::Done(()));
        assert!(!is_done(&going, "a"));
        going.last = Some(sight(&["a"], &["i-1"]));
        let said = going.answer("a");
        assert!(matches!(&said, Look::Wait(why) if why == "it is there, with 1 instance"), "{said:?}");
        assert_eq!((is_done(&going, "a"), is_done(&going, "b")), (false, true));
        going.last = Some(sight(&[], &["i-2", "i-3"]));
        assert_eq!((is_done(&going, "a"), is_done(&going, "b")), (false, false));
        going.last = Some(sight(&[], &["i-3"]));
        assert_eq!((is_done(&going, "a"), is_done(&going, "b")), (true, false));
    }
}
