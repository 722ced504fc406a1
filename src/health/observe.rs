//! Sees AWS's part of a snapshot: one call for the groups, one for the instances, each of as many pages as it takes.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::types as autoscaling;
use aws_sdk_ec2::types as ec2;
use windlass_bootstrap::tags;

use super::snapshot::{CloudView, Group, Instance, Member};
use crate::aws::{AwsError, Clients, During};

/// What a terminated instance was is of no interest here.
const STATES: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

/// Groups and instances of a cluster, as AWS has them now.
pub async fn cloud(clients: &Clients, cluster: &str) -> Result<CloudView, AwsError> {
    let (groups, instances) = tokio::try_join!(groups(clients, cluster), instances(clients, cluster))?;
    Ok(CloudView { groups, instances })
}

async fn groups(clients: &Clients, cluster: &str) -> Result<Vec<Group>, AwsError> {
    let filter =
        autoscaling::Filter::builder().name(format!("tag:{}", tags::CLUSTER)).values(cluster).build();
    let mut pages =
        clients.autoscaling.describe_auto_scaling_groups().filters(filter).into_paginator().items().send();
    let mut groups = Vec::new();
    while let Some(group) = pages.next().await {
        let group = group.during("autoscaling", "DescribeAutoScalingGroups", cluster)?;
        groups.extend(self::group(&group));
    }
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

fn group(group: &autoscaling::AutoScalingGroup) -> Option<Group> {
    let tag = group.tags().iter().find(|tag| tag.key() == Some(tags::INSTANCE_GROUP))?;
    let template = group
        .launch_template()
        .or_else(|| group.mixed_instances_policy()?.launch_template()?.launch_template_specification());
    let members = group.instances().iter().filter_map(|member| {
        Some(Member {
            instance: member.instance_id()?.to_owned(),
            lifecycle: member.lifecycle_state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
            template_version: member
                .launch_template()
                .and_then(|template| template.version())
                .map(str::to_owned),
        })
    });
    Some(Group {
        name: group.auto_scaling_group_name().unwrap_or_default().to_owned(),
        instance_group: tag.value().unwrap_or_default().to_owned(),
        desired: group.desired_capacity().and_then(|desired| u32::try_from(desired).ok()).unwrap_or_default(),
        template_version: template.and_then(|template| template.version()).map(str::to_owned),
        members: members.collect(),
    })
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

fn instance(instance: &ec2::Instance) -> Option<Instance> {
    let tag = instance.tags().iter().find(|tag| tag.key() == Some(tags::INSTANCE_GROUP));
    let placement = instance.placement();
    Some(Instance {
        id: instance.instance_id()?.to_owned(),
        state: instance.state()?.name()?.as_str().to_owned(),
        instance_group: tag.and_then(ec2::Tag::value).map(str::to_owned),
        zone: placement.and_then(|placement| placement.availability_zone()).unwrap_or_default().to_owned(),
        machine_type: instance.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        private_address: instance.private_ip_address().map(str::to_owned),
        public_address: instance.public_ip_address().map(str::to_owned),
        launched: instance.launch_time().and_then(|time| jiff::Timestamp::from_second(time.secs()).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_somebody_else_is_not_seen() {
        let foreign = autoscaling::AutoScalingGroup::builder().auto_scaling_group_name("other").build();
        assert_eq!(group(&foreign), None);
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
        let tag = autoscaling::TagDescription::builder().key(tags::INSTANCE_GROUP).value("nodes").build();
        let described = autoscaling::AutoScalingGroup::builder()
            .auto_scaling_group_name("nodes.demo.example.com")
            .desired_capacity(2)
            .launch_template(template("2"))
            .instances(member)
            .tags(tag)
            .build();
        let seen = group(&described).unwrap();
        assert_eq!((seen.instance_group.as_str(), seen.desired), ("nodes", 2));
        assert_eq!(seen.template_version.as_deref(), Some("2"));
        assert_eq!(seen.members[0].template_version.as_deref(), Some("1"));
        assert!(!seen.members[0].is_leaving());
    }
}
