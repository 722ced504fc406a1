//! Rules of EventBridge that put events about instances into the cluster's queue, each with that target.
//!
//! They are known by their names, which all begin alike. They are looked for where a tag of the masters' role says that the
//! cluster has a queue ([`super::queue`]), and not in other clusters.

use std::collections::BTreeSet;

use aws_sdk_eventbridge::types::{Rule as Answer, RuleState, Tag, Target};
use futures::future::try_join_all;
use futures::try_join;

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::Fields;
use super::look::Look;
use super::queue::Queue;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind, TagRules};
use super::role::{self, Role};
use super::{Kind, Resource, name_limit, queue, tagging};
use crate::aws::tags::{self, Owner, Tags};
use crate::aws::{AwsError, During};

/// EventBridge's limit for the name of a rule (API_PutRule).
const NAME_LIMIT: usize = 64;

/// The longest of [`Events`]' names, with the dash before it.
const LONGEST_ENDING: usize = 24;

/// What a rule's target is called in it.
const TARGET: &str = "windlass";

/// Which events a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Events {
    /// Auto Scaling ends an instance and waits for a hook to be completed.
    Lifecycle,
    /// EC2 takes a spot instance back.
    SpotInterruption,
    /// An instance stops or shuts down.
    StateChange,
    /// AWS announces maintenance.
    ScheduledChange,
}

impl Events {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Lifecycle, Self::SpotInterruption, Self::StateChange, Self::ScheduledChange];

    /// As kops calls the rule.
    fn name(self) -> &'static str {
        match self {
            Self::Lifecycle => "ASGLifecycle",
            Self::SpotInterruption => "SpotInterruption",
            Self::StateChange => "InstanceStateChange",
            Self::ScheduledChange => "InstanceScheduledChange",
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRule {
    /// `<cluster>-<events>`.
    pub name: String,
    /// Which events it is about, as EventBridge's pattern in JSON.
    pub pattern: String,
    /// Whether it does anything.
    pub enabled: bool,
    /// Where the events go; as observed, absent where they go nowhere, and an ARN where it is nothing of the cluster's.
    pub queue: Option<Reference<Queue>>,
    /// What else they go to, as observed; empty for what is wanted.
    pub other_targets: BTreeSet<String>,
    /// The role whose tag says that there are rules.
    pub named_by: Reference<Role>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for EventRule {
    const KIND: Kind = Kind::EventRule;
    const DECLARATION: Declaration = Declaration {
        creation: Creation::Repeatable,
        tags: TagRules::Iam,
        observed_after: &[Kind::Role, Kind::Queue],
        foreign_hint: Some(
            "names of rules are unique in an account and region: delete the rule where nobody needs it any more, or leave out \
             `enableSQSTerminationDraining`",
        ),
        ..Declaration::of("event-rule")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, pattern, enabled, queue, other_targets, named_by, tags } = self;
        Fields::default()
            .one("pattern", pattern)
            .one("enabled", enabled)
            .maybe_reference("queue", queue.as_ref())
            .set("otherTargets", other_targets)
            .map("tags", tags)
            .needs([named_by.id()])
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let answer = self.put(Some(to_events(&self.tags)), context, id).await?;
        let identity = Identity::new(field(answer, id, "the rule's ARN")?);
        context.ids.insert(id.clone(), identity.clone());
        let bare = Self { queue: None, ..self.clone() };
        self.update(&bare, &identity, context, id).await
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        if (&self.pattern, self.enabled) != (&from.pattern, from.enabled) {
            // Tags that come with a rule that exists are ignored (API_PutRule).
            self.put(None, context, id).await?;
        }
        if self.queue != from.queue
            && let Some(queue) = &self.queue
        {
            self.put_target(context.ids.output(queue, Queue::ARN)?, context, id).await?;
        }
        remove_targets(&self.name, from.other_targets.iter().cloned().collect(), context, id).await?;
        let (events, arn) = (&context.clients.events, identity.id.as_str());
        let (set, removed) = tags::difference(&from.tags, &self.tags);
        if !set.is_empty() {
            let call = events.tag_resource().resource_arn(arn).set_tags(Some(to_events(&set)));
            call.send().await.during("events", "TagResource", id)?;
        }
        if !removed.is_empty() {
            let call = events.untag_resource().resource_arn(arn).set_tag_keys(Some(removed));
            call.send().await.during("events", "UntagResource", id)?;
        }
        Ok(identity.clone())
    }

    /// EventBridge deletes no rule that has a target, whosever it is.
    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        if let Some(targets) = targets(&self.name, context).await? {
            let names = targets.into_iter().map(|target| target.id).collect();
            remove_targets(&self.name, names, context, id).await?;
        }
        let call = context.clients.events.delete_rule().name(&self.name);
        gone(call.send().await.during("events", "DeleteRule", id))
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let context = look.context;
        let all = Events::ALL.map(|events| Self::name_for(context.cluster, events));
        let sought = match context.sought {
            Sought::Id(arn) => arn.rsplit('/').next().map(str::to_owned).into_iter().collect(),
            Sought::All if role::marks(look).await?.queue.is_none() => return Ok(Vec::new()),
            Sought::All => all.to_vec(),
        };
        let id = ResourceId::new(Kind::EventRule, context.cluster);
        let prefix = prefix(context.cluster);
        let mut rules = Vec::new();
        let mut next = None;
        loop {
            let call = context.clients.events.list_rules().name_prefix(&prefix).set_next_token(next);
            let page = call.send().await.during("events", "ListRules", &id)?;
            let named = page.rules.unwrap_or_default().into_iter();
            rules.extend(
                named.filter(|rule| rule.name().is_some_and(|name| sought.iter().any(|one| one == name))),
            );
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
        let described = try_join_all(rules.into_iter().map(|rule| describe(rule, context))).await?;
        Ok(described.into_iter().flatten().collect())
    }

    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let mut found = Vec::new();
        for Described { rule, tags, targets } in answer {
            let name = rule.name().unwrap_or_default().to_owned();
            if !tagging::is_ours(context, &tags, &ResourceId::new(Kind::EventRule, &name))? {
                continue;
            }
            let (ours, others): (Vec<Target>, Vec<Target>) =
                targets.into_iter().partition(|target| target.id == TARGET);
            let observed = Self {
                name: name.clone(),
                pattern: rule.event_pattern().unwrap_or_default().to_owned(),
                enabled: rule.state() == Some(&RuleState::Enabled),
                queue: ours.first().map(|target| names.reference_by_output(Queue::ARN, &target.arn)),
                other_targets: others.into_iter().map(|target| target.id).collect(),
                named_by: Reference::to(role::name_of_masters(context.cluster)),
                tags: tags::managed(tags),
            };
            let identity = Identity::new(rule.arn().unwrap_or_default());
            found.push(ObservedResource::new(name, Resource::EventRule(observed), identity));
        }
        Ok(found)
    }

    fn mark_command(aws_id: &str, owner: &Owner) -> String {
        let uid = owner.uid.as_ref().map(|uid| format!(" Key={},Value={uid}", tags::UID));
        let uid = uid.unwrap_or_default();
        let managed = tags::MANAGED;
        format!(
            "aws events tag-resource --resource-arn {aws_id} --tags Key={managed},Value={}{uid}",
            owner.cluster
        )
    }
}

impl EventRule {
    /// The name of a cluster's rule about some events, as kops has it.
    pub fn name_for(cluster: &str, events: Events) -> String {
        format!("{}{}", prefix(cluster), events.name())
    }

    /// What there is of this name by now, which must be the cluster's.
    pub(super) async fn find(&self, context: &Context<'_>) -> Result<Vec<ObservedResource>, CloudError> {
        let call = context.clients.events.list_rules().name_prefix(&self.name);
        let answer = call.send().await.during("events", "ListRules", &self.name)?;
        let mut rules = answer.rules.unwrap_or_default().into_iter();
        let Some(rule) = rules.find(|rule| rule.name() == Some(&self.name)) else { return Ok(Vec::new()) };
        let described = describe(rule, context).await?;
        let mut found = Self::observed(described.into_iter().collect(), context, &Names::default())?;
        // The queue may have been found only now, too, so that nothing has its name yet.
        if let (Some(Resource::EventRule(found)), Some(queue)) =
            (found.first_mut().map(|found| &mut found.resource), &self.queue)
        {
            let arn = queue::arn(queue.name(), context).await?;
            found.queue = found.queue.take().map(|of| if of.name() == arn { queue.clone() } else { of });
        }
        Ok(found)
    }

    /// Makes the rule, or changes it. Returns its ARN.
    async fn put(
        &self,
        tags: Option<Vec<Tag>>,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Option<String>, CloudError> {
        let state = if self.enabled { RuleState::Enabled } else { RuleState::Disabled };
        let call = context.clients.events.put_rule().name(&self.name).event_pattern(&self.pattern);
        let answer = call.state(state).set_tags(tags).send().await;
        Ok(answer.during("events", "PutRule", id)?.rule_arn)
    }

    async fn put_target(
        &self,
        arn: String,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let lacking = |_| CloudError::Answer { resource: id.clone(), field: Queue::ARN };
        let target = Target::builder().id(TARGET).arn(arn).build().map_err(lacking)?;
        let call = context.clients.events.put_targets().rule(&self.name).targets(target);
        let answer = call.send().await.during("events", "PutTargets", id)?;
        // What is refused of a list is in an answer that is otherwise good.
        let refused = answer.failed_entries.unwrap_or_default().into_iter().next();
        refused.map_or(Ok(()), |entry| {
            Err(AwsError::of_entry("events", "PutTargets", id, entry.error_code, entry.error_message).into())
        })
    }
}

async fn remove_targets(
    rule: &str,
    targets: Vec<String>,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    if targets.is_empty() {
        return Ok(());
    }
    let call = context.clients.events.remove_targets().rule(rule).set_ids(Some(targets));
    let answer = match call.send().await.during("events", "RemoveTargets", id) {
        Err(error) if error.is_not_found() => return Ok(()),
        answer => answer?,
    };
    let refused = answer.failed_entries.unwrap_or_default().into_iter().next();
    refused.map_or(Ok(()), |entry| {
        Err(AwsError::of_entry("events", "RemoveTargets", id, entry.error_code, entry.error_message).into())
    })
}

/// What EventBridge says of a rule.
pub struct Described {
    rule: Answer,
    tags: Tags,
    targets: Vec<Target>,
}

/// A rule with its tags and targets; nothing where it is gone meanwhile.
async fn describe(rule: Answer, context: &Context<'_>) -> Result<Option<Described>, CloudError> {
    let (name, arn) = (rule.name().unwrap_or_default(), rule.arn().unwrap_or_default());
    let tags = async {
        let call = context.clients.events.list_tags_for_resource().resource_arn(arn);
        call.send().await.during("events", "ListTagsForResource", name)
    };
    match try_join!(tags, targets(name, context)) {
        Ok((answer, Some(targets))) => {
            let tags = answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
            Ok(Some(Described { rule, tags, targets }))
        }
        Ok((_, None)) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A rule's targets, of which it can have five; nothing where there is no such rule.
async fn targets(rule: &str, context: &Context<'_>) -> Result<Option<Vec<Target>>, AwsError> {
    let call = context.clients.events.list_targets_by_rule().rule(rule);
    match call.send().await.during("events", "ListTargetsByRule", rule) {
        Ok(answer) => Ok(Some(answer.targets.unwrap_or_default())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the names of a cluster's rules begin with, so that the longest is within EventBridge's limit.
fn prefix(cluster: &str) -> String {
    format!("{}-", name_limit::within(NAME_LIMIT - LONGEST_ENDING, cluster.to_owned()))
}

/// Tags in EventBridge's form. One that the SDK refuses can't exist: key and value are always given.
fn to_events(tags: &Tags) -> Vec<Tag> {
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_called_after_their_cluster_as_in_kops_and_within_eventbridge_s_limit() {
        assert_eq!(
            EventRule::name_for("demo.example.com", Events::Lifecycle),
            "demo.example.com-ASGLifecycle"
        );
        let names = |end: &str| {
            Events::ALL.map(|events| EventRule::name_for(&format!("{}.{end}", "x".repeat(60)), events))
        };
        let all: BTreeSet<String> =
            names("one.example.com").into_iter().chain(names("two.example.com")).collect();
        assert_eq!(all.len(), 8);
        assert_eq!(all.iter().map(String::len).max(), Some(NAME_LIMIT));
    }
}
