//! Auto Scaling groups.

pub mod attachments;
pub mod lifecycle_hooks;
mod mixed_instances;
mod processes;
pub mod stopped;
pub mod warm_pool;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_autoscaling::types::builders::TagBuilder;
use aws_sdk_autoscaling::types::{
    AutoScalingGroup as Answer, Filter, Instance, InstanceMaintenancePolicy, LaunchTemplateSpecification,
    MixedInstancesPolicy, Tag,
};
use futures::future::try_join_all;
use futures::try_join;
use windlass_bootstrap::{keys, tags as shared};

use self::lifecycle_hooks::Hooks;
use self::stopped::Stopped;
use self::warm_pool::WarmPool;
use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::ebs::{to_i32, to_u32};
use super::error::{CloudError, field, gone};
use super::fields::Fields;
use super::launch_template::LaunchTemplate;
use super::load_balancing::LoadBalancerTargetGroup;
use super::look::Look;
use super::namesakes::Namesake;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::subnet::Subnet;
use super::{Kind, Resource, tagging};
use crate::aws::retry::{Patience, wait_for};
use crate::aws::tags::{self, Owner, Tags};
use crate::aws::{AwsError, During};
use crate::spec::cluster::{Attachment, MixedInstances};

/// How long the deletion of a group may take: its instances shut down first, and EC2 gives a hanging one up to
/// a quarter of an hour, after which Auto Scaling may take its time to see it.
const DELETION: Duration = Duration::from_mins(30);

/// How many groups an answer holds at most; half as many where nothing is said (API_DescribeAutoScalingGroups).
const MOST_OF_A_PAGE: i32 = 100;

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoScalingGroup {
    /// `<instance group>.masters.<cluster>` or `<instance group>.<cluster>`.
    pub name: String,
    /// What its instances are launched from.
    pub template: Reference<LaunchTemplate>,
    /// Which version of the template.
    pub version: TemplateVersion,
    /// Of which machine types its instances are, where not of the template's alone.
    pub mixed: Option<MixedInstances>,
    /// Fewest instances.
    pub min_size: u32,
    /// Most instances.
    pub max_size: u32,
    /// Where instances are launched.
    pub subnets: BTreeSet<Reference<Subnet>>,
    /// Seconds after its launch during which an instance isn't replaced for being unwell.
    pub health_check_grace: u32,
    /// What a replacement may do to the number of healthy instances.
    pub maintenance: Option<Maintenance>,
    /// After how many seconds an instance is replaced, whatever it is like; never when absent.
    pub max_instance_lifetime: Option<u32>,
    /// Whether instances are launched with a protection from scaling in.
    pub protected_from_scale_in: bool,
    /// Whether Spot instances at risk are replaced before they are interrupted.
    pub capacity_rebalance: bool,
    /// Processes that are suspended because the specification says so. The tag [`tags::SUSPENDED`] names them, too.
    pub suspended: BTreeSet<String>,
    /// Processes that somebody suspended, as observed; empty for what is wanted. Not compared: whoever suspends one has a
    /// reason, and wants to be told, not overruled.
    pub suspended_by_others: BTreeSet<String>,
    /// As observed: whether `windlass stop cluster` has stopped it. Not compared: `windlass start cluster` ends it.
    pub stopped: Option<Stopped>,
    /// As observed: whether it launches, or one of its instances was launched from, another version of the template than
    /// the latest. Not compared.
    pub is_behind: bool,
    /// The target groups that its instances are put into. Of what is observed, windlass's own: others, somebody attached.
    pub target_groups: BTreeSet<Reference<LoadBalancerTargetGroup>>,
    /// Load balancers of others that its instances are put into because the specification says so. The tag
    /// [`tags::ATTACHED`] names them, too.
    pub attached: BTreeSet<Attachment>,
    /// What its instances wait for. Of what is observed, windlass's own: others, somebody else made. The tag
    /// [`tags::LIFECYCLE_HOOKS`] names them, too.
    pub hooks: Hooks,
    /// Instances that are kept stopped.
    pub warm_pool: Option<WarmPool>,
    /// Its tags, which its instances get too.
    pub tags: Tags,
}

/// A version of a launch template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateVersion {
    /// The one with this content ([`LaunchTemplate::version_digest`]).
    Content(String),
    /// One, as observed, that isn't the template's latest.
    Older(String),
}

/// Bounds, in percent of the desired number, of how many instances may be healthy while some are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// 0 lets the old instance go before the new one comes.
    pub min_healthy: u32,
    /// 100 lets no new instance come before the old one is gone.
    pub max_healthy: u32,
}

impl ResourceKind for AutoScalingGroup {
    const KIND: Kind = Kind::AutoScalingGroup;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::LaunchTemplate, Kind::Subnet, Kind::LoadBalancerTargetGroup],
        // What the Kubernetes API said is written down before the API goes.
        deleted_after_steps_of: &[Kind::ReclaimMarks],
        creation: Creation::Repeatable,
        ..Declaration::of("auto-scaling-group")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self {
            name: _,
            template,
            version,
            mixed,
            min_size,
            max_size,
            subnets,
            health_check_grace,
            maintenance,
            max_instance_lifetime,
            protected_from_scale_in,
            capacity_rebalance,
            suspended,
            suspended_by_others: _,
            stopped: _,
            is_behind: _,
            target_groups,
            attached,
            hooks,
            warm_pool,
            tags,
        } = self;
        let version = match version {
            TemplateVersion::Content(digest) => format!("content {digest}"),
            TemplateVersion::Older(number) => format!("number {number}"),
        };
        let fields = Fields::default().reference("template", template).one("version", version);
        let fields = mixed_instances::add_fields(fields, mixed.as_ref())
            .one("minSize", min_size)
            .one("maxSize", max_size)
            .references("subnets", subnets)
            .one("healthCheckGraceSeconds", health_check_grace)
            .maybe("maintenance.minHealthyPercent", maintenance.map(|maintenance| maintenance.min_healthy))
            .maybe("maintenance.maxHealthyPercent", maintenance.map(|maintenance| maintenance.max_healthy))
            .maybe("maxInstanceLifetimeSeconds", *max_instance_lifetime)
            .maybe("protectedFromScaleIn", protected_from_scale_in.then_some(true))
            .maybe("capacityRebalance", capacity_rebalance.then_some(true))
            .references("targetGroups", target_groups)
            .set("externalLoadBalancers", attached)
            .set("suspendedProcesses", suspended)
            .map("lifecycleHooks", hooks);
        warm_pool::add_fields(fields, warm_pool.as_ref()).map("tags", tags)
    }

    /// What its instances were launched with they may read again, when they are installed anew.
    fn may_need(&self, other: &ResourceId) -> bool {
        let is_of_its_group = || {
            let group = self.tags.get(shared::INSTANCE_GROUP);
            keys::of_node_config(&other.name).is_some_and(|(of, _)| group.is_none_or(|group| group == of))
        };
        self.is_behind && other.kind == Kind::StateObject && is_of_its_group()
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let (template, mixed) = self.launched(None, context)?;
        let call = context
            .clients
            .autoscaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(&self.name)
            .set_launch_template(template)
            .set_mixed_instances_policy(mixed)
            .min_size(to_i32(self.min_size))
            .max_size(to_i32(self.max_size))
            .vpc_zone_identifier(self.subnet_ids(context)?)
            .health_check_type("EC2")
            .health_check_grace_period(to_i32(self.health_check_grace))
            .set_instance_maintenance_policy(self.maintenance.map(policy))
            .set_max_instance_lifetime(self.max_instance_lifetime.map(to_i32))
            .set_new_instances_protected_from_scale_in(self.protected_from_scale_in.then_some(true))
            .set_capacity_rebalance(self.capacity_rebalance.then_some(true))
            .set_target_group_arns(Some(self.all_target_groups(context)?))
            .set_load_balancer_names(attachments::load_balancers(self.attached.iter()))
            // With the group, as its instances begin at once.
            .set_lifecycle_hook_specification_list(lifecycle_hooks::specifications(&self.hooks))
            .set_tags(Some(self.autoscaling_tags(&self.tags)));
        call.send().await.during("autoscaling", "CreateAutoScalingGroup", id)?;
        warm_pool::set(&self.name, self.warm_pool.as_ref(), None, context, id).await?;
        processes::suspend(&self.name, &self.suspended, &BTreeSet::new(), context, id).await?;
        Ok(Identity::new(&self.name))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let autoscaling = &context.clients.autoscaling;
        let tagged_alike = Self {
            tags: self.tags.clone(),
            suspended: self.suspended.clone(),
            suspended_by_others: self.suspended_by_others.clone(),
            stopped: self.stopped.clone(),
            is_behind: self.is_behind,
            target_groups: self.target_groups.clone(),
            attached: self.attached.clone(),
            hooks: self.hooks.clone(),
            warm_pool: self.warm_pool,
            ..from.clone()
        };
        if *self != tagged_alike {
            let (template, mixed) = self.launched(from.mixed.as_ref(), context)?;
            let call = autoscaling
                .update_auto_scaling_group()
                .auto_scaling_group_name(&self.name)
                .set_launch_template(template)
                .set_mixed_instances_policy(mixed)
                .min_size(to_i32(self.min_size))
                .max_size(to_i32(self.max_size))
                .vpc_zone_identifier(self.subnet_ids(context)?)
                .health_check_grace_period(to_i32(self.health_check_grace))
                .instance_maintenance_policy(self.maintenance.map_or_else(no_policy, policy))
                .max_instance_lifetime(self.max_instance_lifetime.map_or(NO_LIFETIME, to_i32))
                .new_instances_protected_from_scale_in(self.protected_from_scale_in)
                .capacity_rebalance(self.capacity_rebalance);
            call.send().await.during("autoscaling", "UpdateAutoScalingGroup", id)?;
        }
        self.put_into_target_groups(from, context, id).await?;
        // What is taken back goes before the tag that says whose it was, and what is new comes after it.
        attachments::detach(&self.name, from.attached.difference(&self.attached), context, id).await?;
        processes::resume(&self.name, &self.still_suspended(from), &from.suspended, context, id).await?;
        if self.warm_pool.is_none() {
            warm_pool::set(&self.name, None, from.warm_pool.as_ref(), context, id).await?;
        }
        lifecycle_hooks::remove(&self.name, &self.hooks, &from.hooks, context, id).await?;
        let (set, gone) = tags::difference(&from.tags, &self.tags);
        if !set.is_empty() {
            let call = autoscaling.create_or_update_tags().set_tags(Some(self.autoscaling_tags(&set)));
            call.send().await.during("autoscaling", "CreateOrUpdateTags", id)?;
        }
        if !gone.is_empty() {
            let keys = gone.iter().map(|key| self.tag().key(key).build()).collect();
            let call = autoscaling.delete_tags().set_tags(Some(keys));
            call.send().await.during("autoscaling", "DeleteTags", id)?;
        }
        attachments::attach(&self.name, self.attached.difference(&from.attached), context, id).await?;
        lifecycle_hooks::put(&self.name, &self.hooks, &from.hooks, context, id).await?;
        if self.warm_pool.is_some() {
            // After its hook, without which an instance would be stopped in the middle of its first boot.
            warm_pool::set(&self.name, self.warm_pool.as_ref(), from.warm_pool.as_ref(), context, id).await?;
        }
        processes::suspend(&self.name, &self.suspended, &from.suspended, context, id).await?;
        Ok(identity.clone())
    }

    /// Asks for the end of the group with its instances, and waits for it, together with all other groups that are
    /// going: only then are their network interfaces, volumes and addresses free.
    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let instances = self.instance_ids(context, id).await?;
        let autoscaling = &context.clients.autoscaling;
        let call =
            autoscaling.delete_auto_scaling_group().auto_scaling_group_name(&self.name).force_delete(true);
        gone(call.send().await.during("autoscaling", "DeleteAutoScalingGroup", id))?;
        let what = format!("the end of the Auto Scaling group `{}`", self.name);
        let look = || context.departures.look(context.clients, id, &self.name);
        let gone = async {
            context.departures.begin(&self.name, instances).await;
            wait_for(what, Patience::of(DELETION), look).await
        };
        Ok(context.waiting(gone).await?)
    }

    /// Of hooks Auto Scaling tells one group at a time: it is asked where a group's tag says that windlass made some.
    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::AutoScalingGroup, context.cluster);
        let filter = Filter::builder().name(format!("tag:{}", tags::MANAGED)).values(context.cluster).build();
        let call = context.clients.autoscaling.describe_auto_scaling_groups();
        let call = match context.sought {
            Sought::All => call.filters(filter),
            Sought::Id(name) => call.auto_scaling_group_names(name),
        };
        let pages = call.max_records(MOST_OF_A_PAGE).into_paginator().items().send();
        let groups: Vec<Answer> =
            pages.try_collect().await.during("autoscaling", "DescribeAutoScalingGroups", &id)?;
        let described = groups.into_iter().map(async |group| {
            let tags = all_tags(&group);
            let (hooks, warm) = try_join!(
                lifecycle_hooks::list(&group, &tags, context),
                warm_pool::instances(&group, context, &id)
            )?;
            Ok::<_, CloudError>(Described { group, hooks, warm })
        });
        try_join_all(described).await
    }

    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::AutoScalingGroup, context.cluster);
        let mut found = Vec::new();
        for described in &answer {
            let group = &described.group;
            let tags = tags::managed(all_tags(group));
            let name = group.auto_scaling_group_name().unwrap_or_default();
            if tagging::is_ours(context, &tags, &ResourceId::new(Kind::AutoScalingGroup, name))? {
                found.push(read(described, tags, names, &id)?);
            }
        }
        Ok(found)
    }

    /// A process that somebody suspended: a dead instance may stay dead.
    fn remark(&self) -> Option<String> {
        let Self { name, suspended_by_others: suspended, stopped, .. } = self;
        if let Some(stopped) = stopped {
            let id = ResourceId::new(Kind::AutoScalingGroup, name);
            return Some(format!(
                "{id}: stopped since {}; to start it: windlass start cluster",
                stopped.since()
            ));
        }
        (!suspended.is_empty()).then(|| {
            format!(
                "{}: somebody suspended {}; to resume: aws autoscaling resume-processes --auto-scaling-group-name {name} \
                 --scaling-processes {}",
                ResourceId::new(Kind::AutoScalingGroup, name),
                suspended.iter().cloned().collect::<Vec<_>>().join(", "),
                suspended.iter().cloned().collect::<Vec<_>>().join(" "),
            )
        })
    }

    async fn namesake(&self, context: &Context<'_>, id: &ResourceId) -> Result<Option<Namesake>, AwsError> {
        let call =
            context.clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&self.name);
        let answer = call.send().await.during("autoscaling", "DescribeAutoScalingGroups", id)?;
        let group = answer.auto_scaling_groups().first();
        Ok(group.map(|group| Namesake { aws_id: self.name.clone(), tags: all_tags(group) }))
    }

    fn mark_command(aws_id: &str, owner: &Owner) -> String {
        let cluster = owner.cluster.as_str();
        let mut tags = vec![(tags::MANAGED, cluster), (shared::CLUSTER, cluster)];
        tags.extend(owner.uid.as_deref().map(|uid| (tags::UID, uid)));
        command_that_tags(aws_id, &tags)
    }

    fn uid_command(name: &str, uid: &str) -> Option<String> {
        Some(command_that_tags(name, &[(tags::UID, uid)]))
    }
}

impl AutoScalingGroup {
    /// What an update doesn't resume: what the specification wants suspended, and what is while the group is stopped.
    fn still_suspended(&self, from: &Self) -> BTreeSet<String> {
        let stopped = from.stopped.iter().flat_map(|stopped| &stopped.processes);
        self.suspended.iter().chain(stopped).cloned().collect()
    }

    async fn instance_ids(&self, context: &Context<'_>, id: &ResourceId) -> Result<Vec<String>, CloudError> {
        let call =
            context.clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&self.name);
        let answer = call.send().await.during("autoscaling", "DescribeAutoScalingGroups", id)?;
        let mut instances = Vec::new();
        for group in answer.auto_scaling_groups() {
            instances.extend(group.instances().iter().cloned());
            instances.extend(warm_pool::instances(group, context, id).await?);
        }
        Ok(instances.iter().filter_map(|instance| instance.instance_id().map(str::to_owned)).collect())
    }

    /// What it launches: the template, or the template within a policy of several types. Each takes the other's place.
    fn launched(
        &self,
        before: Option<&MixedInstances>,
        context: &Context<'_>,
    ) -> Result<(Option<LaunchTemplateSpecification>, Option<MixedInstancesPolicy>), CloudError> {
        let template = LaunchTemplateSpecification::builder()
            .launch_template_id(context.ids.of(&self.template)?)
            .version(context.ids.output(&self.template, LaunchTemplate::LATEST_VERSION)?)
            .build();
        Ok(match &self.mixed {
            Some(mixed) => (None, Some(mixed_instances::request(mixed, before, template))),
            None => (Some(template), None),
        })
    }

    /// Its instances are in new target groups before they leave old ones.
    async fn put_into_target_groups(
        &self,
        from: &Self,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let autoscaling = &context.clients.autoscaling;
        let new = target_group_arns(self.target_groups.difference(&from.target_groups), context)?;
        if !new.is_empty() {
            let call = autoscaling.attach_load_balancer_target_groups().auto_scaling_group_name(&self.name);
            let call = call.set_target_group_arns(Some(new));
            call.send().await.during("autoscaling", "AttachLoadBalancerTargetGroups", id)?;
        }
        let old = from.target_groups.difference(&self.target_groups);
        let old: Vec<String> = old.map(|group| context.ids.resolve(group)).collect();
        if !old.is_empty() {
            let call = autoscaling.detach_load_balancer_target_groups().auto_scaling_group_name(&self.name);
            let call = call.set_target_group_arns(Some(old));
            call.send().await.during("autoscaling", "DetachLoadBalancerTargetGroups", id)?;
        }
        Ok(())
    }

    /// Those of windlass's and of others.
    fn all_target_groups(&self, context: &Context<'_>) -> Result<Vec<String>, CloudError> {
        let theirs = attachments::target_groups(self.attached.iter()).unwrap_or_default();
        let ours = target_group_arns(self.target_groups.iter(), context)?;
        Ok(ours.into_iter().chain(theirs).collect())
    }

    fn subnet_ids(&self, context: &Context<'_>) -> Result<String, CloudError> {
        let ids = self.subnets.iter().map(|subnet| context.ids.of(subnet)).collect::<Result<Vec<_>, _>>()?;
        Ok(ids.join(","))
    }

    fn autoscaling_tags(&self, tags: &Tags) -> Vec<Tag> {
        let tags = tags.iter();
        let tag = |(key, value): (&String, &String)| {
            self.tag().propagate_at_launch(!is_of_the_group(key)).key(key).value(value).build()
        };
        tags.map(tag).collect()
    }

    /// A tag of the group. The API takes one with a value for a condition where it deletes: only the key says which tag goes.
    fn tag(&self) -> TagBuilder {
        Tag::builder().resource_id(&self.name).resource_type("auto-scaling-group")
    }
}

/// What Auto Scaling says of a group.
pub struct Described {
    group: Answer,
    /// Those that windlass made, by their names.
    hooks: Hooks,
    /// The instances in its warm pool.
    warm: Vec<Instance>,
}

fn target_group_arns<'a>(
    groups: impl Iterator<Item = &'a Reference<LoadBalancerTargetGroup>>,
    context: &Context<'_>,
) -> Result<Vec<String>, CloudError> {
    groups.map(|group| context.ids.of(group)).collect()
}

fn policy(maintenance: Maintenance) -> InstanceMaintenancePolicy {
    let Maintenance { min_healthy, max_healthy } = maintenance;
    InstanceMaintenancePolicy::builder()
        .min_healthy_percentage(to_i32(min_healthy))
        .max_healthy_percentage(to_i32(max_healthy))
        .build()
}

/// How a limit of instances' lifetime is taken away (API_UpdateAutoScalingGroup).
const NO_LIFETIME: i32 = 0;

/// How a policy is taken away: -1 is Auto Scaling's word for "none".
fn no_policy() -> InstanceMaintenancePolicy {
    InstanceMaintenancePolicy::builder().min_healthy_percentage(-1).max_healthy_percentage(-1).build()
}

/// Whether a tag says who the group is, and nothing about its instances, which aren't windlass's to change one by one.
fn is_of_the_group(key: &str) -> bool {
    [tags::UID, tags::NAME, tags::SUSPENDED, tags::STOPPED, tags::ATTACHED, tags::LIFECYCLE_HOOKS]
        .contains(&key)
}

fn all_tags(group: &Answer) -> Tags {
    let tags = group.tags().iter();
    tags.filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// The command that puts tags onto a group, as windlass itself does.
fn command_that_tags(name: &str, tags: &[(&str, &str)]) -> String {
    let tags: Vec<String> = tags
        .iter()
        .map(|(key, value)| {
            let propagate = !is_of_the_group(key);
            format!(
                "ResourceId={name},ResourceType=auto-scaling-group,Key={key},Value={value},PropagateAtLaunch={propagate}"
            )
        })
        .collect();
    format!("aws autoscaling create-or-update-tags --tags {}", tags.join(" "))
}

/// What a version number of a template means.
fn version(template: &Reference<LaunchTemplate>, number: &str, names: &Names) -> TemplateVersion {
    let latest = names.output(template, LaunchTemplate::LATEST_VERSION);
    match names.output(template, LaunchTemplate::LATEST_CONTENT) {
        Some(content) if latest == Some(number) => TemplateVersion::Content(content.to_owned()),
        _ => TemplateVersion::Older(number.to_owned()),
    }
}

fn read(
    described: &Described,
    mut tags: Tags,
    names: &Names,
    id: &ResourceId,
) -> Result<ObservedResource, CloudError> {
    let Described { group, hooks, warm } = described;
    let name = field(group.auto_scaling_group_name(), id, "the group's name")?.to_owned();
    let specification = mixed_instances::template(group);
    let template_id = specification.and_then(|template| template.launch_template_id()).unwrap_or_default();
    let template: Reference<LaunchTemplate> = names.reference(template_id);
    let number = specification.and_then(|template| template.version()).unwrap_or_default();
    let bounds = group.instance_maintenance_policy().and_then(|policy| {
        let min_healthy = to_u32(policy.min_healthy_percentage())?;
        Some(Maintenance { min_healthy, max_healthy: to_u32(policy.max_healthy_percentage())? })
    });
    let latest = names.output(&template, LaunchTemplate::LATEST_VERSION);
    let instances = group.instances().iter().chain(warm).map(|instance| instance.launch_template());
    let is_latest = |used: Option<&LaunchTemplateSpecification>| {
        used.is_some_and(|used| {
            used.launch_template_id() == Some(template_id)
                && used.version().is_some()
                && used.version() == latest
        })
    };
    let is_behind = latest != Some(number) || !instances.into_iter().all(is_latest);
    let subnets =
        group.vpc_zone_identifier().unwrap_or_default().split(',').filter(|subnet| !subnet.is_empty());
    let stopped = Stopped::of(&tags);
    let (suspended, suspended_by_others) = processes::read(group, &tags, stopped.as_ref());
    tags.remove(tags::STOPPED);
    let observed = AutoScalingGroup {
        version: version(&template, number, names),
        name: name.clone(),
        template,
        mixed: mixed_instances::read(group),
        min_size: to_u32(group.min_size()).unwrap_or_default(),
        max_size: to_u32(group.max_size()).unwrap_or_default(),
        subnets: subnets.map(|subnet| names.reference(subnet)).collect(),
        health_check_grace: to_u32(group.health_check_grace_period()).unwrap_or_default(),
        maintenance: bounds,
        max_instance_lifetime: to_u32(group.max_instance_lifetime()).filter(|seconds| *seconds > 0),
        protected_from_scale_in: group.new_instances_protected_from_scale_in().unwrap_or_default(),
        capacity_rebalance: group.capacity_rebalance().unwrap_or_default(),
        is_behind,
        target_groups: group
            .target_group_arns()
            .iter()
            .filter(|arn| names.known(Kind::LoadBalancerTargetGroup, arn).is_some())
            .map(|arn| names.reference(arn))
            .collect(),
        attached: attachments::read(group, &tags),
        suspended,
        suspended_by_others,
        stopped,
        hooks: hooks.clone(),
        warm_pool: warm_pool::read(group),
        tags,
    };
    Ok(ObservedResource::new(name.clone(), Resource::AutoScalingGroup(observed), Identity::new(name)))
}
