//! The queue of events about instances, which the masters' agents read (Amazon SQS).
//!
//! SQS has no search by tag: the queue's name, by which it is known, is in a tag of the masters' role, which is read anyway.
//! So that tag is there before the queue is, and until it is gone; and clusters without a queue are asked for none.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use futures::try_join;
use serde_json::Value;

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::Fields;
use super::look::Look;
use super::namesakes::Namesake;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind, TagRules};
use super::role::{self, Role};
use super::{Kind, Resource, name_limit, tagging};
use crate::aws::tags::{self, Owner, Tags};
use crate::aws::{AwsError, During};

/// SQS's limit for the name of a queue (API_CreateQueue).
const NAME_LIMIT: usize = 80;

/// What names of such queues end in, as with kops.
const ENDING: &str = "-nth";

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// `<cluster, with dashes in the place of dots>-nth`.
    pub name: String,
    /// For how many seconds a message is kept that nobody takes.
    pub retention_seconds: u32,
    /// Whether SQS encrypts messages with keys of its own.
    pub encrypted: bool,
    /// Who may do what with it; absent where it has none.
    pub policy: Option<Value>,
    /// The role whose tag names it.
    pub named_by: Reference<Role>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for Queue {
    const KIND: Kind = Kind::Queue;
    const DECLARATION: Declaration = Declaration {
        creation: Creation::Repeatable,
        // What roles can't carry, this needn't: the labels are the same.
        tags: TagRules::Iam,
        // Of two that are another's, it is always the masters' role that is refused.
        observed_after: &[Kind::Role],
        foreign_hint: Some(
            "names of queues are unique in an account and region: delete the queue where nobody needs it any more, or leave out \
             `enableSQSTerminationDraining`",
        ),
        ..Declaration::of("queue")
    };
    type Answer = Option<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, retention_seconds, encrypted, policy, named_by, tags } = self;
        Fields::default()
            .one("retentionSeconds", retention_seconds)
            .one("encrypted", encrypted)
            .maybe("policy", policy.as_ref().map(|policy| format!("{policy:#}")))
            .map("tags", tags)
            .needs([named_by.id()])
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    /// A name is free again a minute after its queue went: until then SQS says so, and the step waits.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context.clients.sqs.create_queue().queue_name(&self.name);
        let call = call.set_attributes(Some(self.attributes())).set_tags(Some(to_sqs(&self.tags)));
        let answer = call.send().await.during("sqs", "CreateQueue", id)?;
        identity(field(answer.queue_url, id, "the queue's URL")?, &self.name, context).await
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let (sqs, url) = (&context.clients.sqs, identity.id.as_str());
        let alike = Self { tags: self.tags.clone(), named_by: self.named_by.clone(), ..from.clone() };
        if *self != alike {
            let call = sqs.set_queue_attributes().queue_url(url).set_attributes(Some(self.attributes()));
            call.send().await.during("sqs", "SetQueueAttributes", id)?;
        }
        let (set, removed) = tags::difference(&from.tags, &self.tags);
        if !set.is_empty() {
            let call = sqs.tag_queue().queue_url(url).set_tags(Some(to_sqs(&set)));
            call.send().await.during("sqs", "TagQueue", id)?;
        }
        if !removed.is_empty() {
            let call = sqs.untag_queue().queue_url(url).set_tag_keys(Some(removed));
            call.send().await.during("sqs", "UntagQueue", id)?;
        }
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.sqs.delete_queue().queue_url(&identity.id);
        gone(call.send().await.during("sqs", "DeleteQueue", id))
    }

    async fn read(look: &Look<'_>) -> Result<Option<Described>, CloudError> {
        match look.context.sought {
            Sought::Id(url) => describe(url.to_owned(), look.context).await,
            Sought::All => match role::marks(look).await?.queue {
                Some(name) => describe_by_name(&name, look.context).await,
                None => Ok(None),
            },
        }
    }

    fn observed(
        answer: Option<Described>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let Some(Described { identity, attributes, tags }) = answer else { return Ok(Vec::new()) };
        let name = identity.id.rsplit('/').next().unwrap_or_default().to_owned();
        if !tagging::is_ours(context, &tags, &ResourceId::new(Kind::Queue, &name))? {
            return Ok(Vec::new());
        }
        let attribute = |name: &Attribute| attributes.get(name).map(String::as_str);
        let retention = attribute(&Attribute::MessageRetentionPeriod).and_then(|text| text.parse().ok());
        // One that isn't JSON can't be; it would differ from whatever is wanted.
        let policy = attribute(&Attribute::Policy)
            .map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
        let observed = Self {
            name: name.clone(),
            retention_seconds: retention.unwrap_or_default(),
            encrypted: attribute(&Attribute::SqsManagedSseEnabled) == Some("true"),
            policy,
            named_by: Reference::to(role::name_of_masters(context.cluster)),
            tags: tags::managed(tags),
        };
        Ok(vec![ObservedResource::new(name, Resource::Queue(observed), identity)])
    }

    async fn namesake(&self, context: &Context<'_>, _id: &ResourceId) -> Result<Option<Namesake>, AwsError> {
        let Some(url) = find_url(&self.name, context).await? else { return Ok(None) };
        let tags = tags_of(&url, context).await?;
        Ok(Some(Namesake { aws_id: url, tags }))
    }

    fn mark_command(aws_id: &str, owner: &Owner) -> String {
        let uid = owner.uid.as_ref().map(|uid| format!(",{}={uid}", tags::UID));
        let uid = uid.unwrap_or_default();
        format!("aws sqs tag-queue --queue-url {aws_id} --tags {}={}{uid}", tags::MANAGED, owner.cluster)
    }
}

impl Queue {
    /// The output that holds its ARN, by which others refer to it.
    pub const ARN: &'static str = "the queue's ARN";

    /// The name of a cluster's queue, as kops has it.
    pub fn name_for(cluster: &str) -> String {
        let dashed = name_limit::within(NAME_LIMIT - ENDING.len(), cluster.replace('.', "-"));
        format!("{dashed}{ENDING}")
    }

    /// What there is of this name by now, which must be the cluster's.
    pub(super) async fn find(&self, context: &Context<'_>) -> Result<Vec<ObservedResource>, CloudError> {
        Self::observed(describe_by_name(&self.name, context).await?, context, &Names::default())
    }

    fn attributes(&self) -> HashMap<Attribute, String> {
        let policy = self.policy.as_ref().map(Value::to_string).unwrap_or_default();
        [
            (Attribute::MessageRetentionPeriod, self.retention_seconds.to_string()),
            (Attribute::SqsManagedSseEnabled, self.encrypted.to_string()),
            (Attribute::Policy, policy),
        ]
        .into()
    }
}

/// What SQS says of a queue.
pub struct Described {
    identity: Identity,
    attributes: HashMap<Attribute, String>,
    tags: Tags,
}

async fn describe_by_name(name: &str, context: &Context<'_>) -> Result<Option<Described>, CloudError> {
    match find_url(name, context).await? {
        Some(url) => describe(url, context).await,
        None => Ok(None),
    }
}

/// A queue's URL by its name; nothing where there is none.
async fn find_url(name: &str, context: &Context<'_>) -> Result<Option<String>, AwsError> {
    let call = context.clients.sqs.get_queue_url().queue_name(name);
    match call.send().await.during("sqs", "GetQueueUrl", name) {
        Ok(answer) => Ok(answer.queue_url),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A queue by its URL; nothing where there is none.
async fn describe(url: String, context: &Context<'_>) -> Result<Option<Described>, CloudError> {
    let attributes = async {
        let call = context.clients.sqs.get_queue_attributes().queue_url(&url);
        call.attribute_names(Attribute::All).send().await.during("sqs", "GetQueueAttributes", &url)
    };
    let (attributes, tags) = match try_join!(attributes, tags_of(&url, context)) {
        Ok((answer, tags)) => (answer.attributes.unwrap_or_default(), tags),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let arn = attributes.get(&Attribute::QueueArn).cloned();
    Ok(Some(Described { identity: Identity::new(url).with(Queue::ARN, arn), attributes, tags }))
}

async fn tags_of(url: &str, context: &Context<'_>) -> Result<Tags, AwsError> {
    let call = context.clients.sqs.list_queue_tags().queue_url(url);
    let answer = call.send().await.during("sqs", "ListQueueTags", url)?;
    Ok(answer.tags.unwrap_or_default().into_iter().collect())
}

/// The identity of a queue that was just made: SQS says its URL alone.
async fn identity(url: String, name: &str, context: &Context<'_>) -> Result<Identity, CloudError> {
    Ok(Identity::new(url).with(Queue::ARN, Some(arn(name, context).await?)))
}

/// The ARN of a queue of this account and region.
pub(super) async fn arn(name: &str, context: &Context<'_>) -> Result<String, AwsError> {
    let caller = context.clients.caller().await?;
    Ok(format!("arn:{}:sqs:{}:{}:{name}", caller.partition, context.clients.region, caller.account))
}

fn to_sqs(tags: &Tags) -> HashMap<String, String> {
    tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_called_after_its_cluster_as_in_kops_and_within_sqs_s_limit() {
        assert_eq!(Queue::name_for("demo.example.com"), "demo-example-com-nth");
        let [one, two] =
            ["a", "b"].map(|end| Queue::name_for(&format!("{}.{end}.example.com", "x".repeat(90))));
        assert!(one.len() == NAME_LIMIT && one.ends_with(ENDING) && one != two, "{one} {two}");
    }
}
