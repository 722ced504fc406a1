//! IAM roles of instances, each with its whole permission in one inline policy and the policies that the specification
//! attaches. What else somebody gave a role is a difference like any other: it may be all that an instance may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_iam::types::{Role as Answer, Tag};
use futures::future::try_join_all;
use futures::try_join;
use serde_json::Value;

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::{CloudError, field, gone};
use super::fields::Fields;
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind, TagRules};
use super::{Kind, Resource, name_limit, tagging};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// The name of the inline policy.
const POLICY: &str = "windlass";

/// What tags of the masters' role say of where else something of the cluster is, which nothing else says: IAM and S3 have no
/// search by tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The URL of the issuer that AWS trusts.
    pub issuer: Option<String>,
    /// The URL below which discovery documents are published.
    pub discovery: Option<String>,
    /// The name of the queue of events about instances.
    pub queue: Option<String>,
}

impl Marks {
    fn of(tags: &Tags) -> Self {
        let [issuer, discovery, queue] =
            [tags::ISSUER, tags::DISCOVERY, tags::INTERRUPTION_QUEUE].map(|key| tags.get(key).cloned());
        Self { issuer, discovery, queue }
    }
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// `masters.<cluster>`, `nodes.<cluster>`.
    pub name: String,
    /// Who may assume it.
    pub trust: Value,
    /// What it may do; absent in what is observed of one that was made and has no policy yet.
    pub policy: Option<Value>,
    /// The ARNs of the managed policies that are attached.
    pub attached: BTreeSet<String>,
    /// The names of other inline policies, as observed; empty for what is wanted.
    pub other_policies: BTreeSet<String>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for Role {
    const KIND: Kind = Kind::Role;
    const DECLARATION: Declaration = Declaration {
        creation: Creation::Repeatable,
        tags: TagRules::Iam,
        // Tags of the masters' role say where these are: they must be gone before it says something else.
        changed_after_deletion_of: &[
            Kind::ServiceAccountRole,
            Kind::OidcProvider,
            Kind::DiscoveryDocument,
            Kind::EventRule,
            Kind::Queue,
        ],
        ..Declaration::of("role")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, trust, policy, attached, other_policies, tags } = self;
        Fields::default()
            .one("trust", format!("{trust:#}"))
            .maybe("policy", policy.as_ref().map(|policy| format!("{policy:#}")))
            .set("attachedPolicies", attached)
            .set("otherInlinePolicies", other_policies)
            .map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .iam
            .create_role()
            .role_name(&self.name)
            .assume_role_policy_document(self.trust.to_string())
            .set_tags(Some(to_iam(&self.tags)));
        call.send().await.during("iam", "CreateRole", id)?;
        let identity = self.identity();
        context.ids.insert(id.clone(), identity.clone());
        let bare = Self { policy: None, attached: BTreeSet::new(), ..self.clone() };
        self.update(&bare, &identity, context, id).await?;
        Ok(identity)
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let iam = &context.clients.iam;
        if self.trust != from.trust {
            let call =
                iam.update_assume_role_policy().role_name(&self.name).policy_document(self.trust.to_string());
            call.send().await.during("iam", "UpdateAssumeRolePolicy", id)?;
        }
        match &self.policy {
            Some(policy) if from.policy.as_ref() != Some(policy) => {
                let call = iam.put_role_policy().role_name(&self.name).policy_name(POLICY);
                call.policy_document(policy.to_string()).send().await.during("iam", "PutRolePolicy", id)?;
            }
            None if from.policy.is_some() => {
                let call = iam.delete_role_policy().role_name(&self.name).policy_name(POLICY);
                call.send().await.during("iam", "DeleteRolePolicy", id)?;
            }
            _ => {}
        }
        for policy in self.attached.difference(&from.attached) {
            let call = iam.attach_role_policy().role_name(&self.name).policy_arn(policy);
            call.send().await.during("iam", "AttachRolePolicy", id)?;
        }
        self.detach(from.attached.difference(&self.attached), context, id).await?;
        self.remove(from.other_policies.difference(&self.other_policies), context, id).await?;
        let (set, removed) = tags::difference(&from.tags, &self.tags);
        if !set.is_empty() {
            let call = iam.tag_role().role_name(&self.name).set_tags(Some(to_iam(&set)));
            call.send().await.during("iam", "TagRole", id)?;
        }
        if !removed.is_empty() {
            let call = iam.untag_role().role_name(&self.name).set_tag_keys(Some(removed));
            call.send().await.during("iam", "UntagRole", id)?;
        }
        Ok(Identity { id: identity.id.clone(), ..self.identity() })
    }

    /// Policies that somebody else gave the role go with it: IAM deletes no role that has any.
    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        // That IAM doesn't find its policies says nothing of the role itself.
        if let Some(has) = policies(context, &self.name, id).await? {
            self.remove(has.inline.iter(), context, id).await?;
            self.detach(has.attached.iter(), context, id).await?;
        }
        gone(context.clients.iam.delete_role().role_name(&self.name).send().await.during(
            "iam",
            "DeleteRole",
            id,
        ))
    }

    /// IAM has no search by tag: the roles are looked up by their names, of which there are as many as there are
    /// roles of instances.
    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let roles = list(look).await?;
        try_join_all(roles.iter().map(|role| describe(look.context, role.clone()))).await
    }

    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let mut found = Vec::new();
        for described in answer {
            let id = ResourceId::new(Kind::Role, described.role.role_name());
            if !tagging::is_ours(context, &described.tags(), &id)? {
                continue;
            }
            let observed = described.into_role();
            let identity = observed.identity();
            found.push(ObservedResource::new(id.name, Resource::Role(observed), identity));
        }
        Ok(found)
    }

    fn uid_command(name: &str, uid: &str) -> Option<String> {
        Some(format!("aws iam tag-role --role-name {name} --tags Key={},Value={uid}", tags::UID))
    }
}

impl Role {
    /// The output that says which issuer AWS trusts.
    const ISSUER: &'static str = "the issuer that AWS trusts";

    /// The output that says below which URL discovery documents are published.
    const DISCOVERY: &'static str = "the place of the discovery documents";

    /// The output that says what the queue of events about instances is called.
    const QUEUE: &'static str = "the queue of events about instances";

    fn identity(&self) -> Identity {
        let Marks { issuer, discovery, queue } = Marks::of(&self.tags);
        let identity = Identity::new(&self.name).with(Self::ISSUER, issuer);
        identity.with(Self::DISCOVERY, discovery).with(Self::QUEUE, queue)
    }

    async fn remove(
        &self,
        policies: impl Iterator<Item = &String>,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        for policy in policies {
            let call = context.clients.iam.delete_role_policy().role_name(&self.name).policy_name(policy);
            gone(call.send().await.during("iam", "DeleteRolePolicy", id))?;
        }
        Ok(())
    }

    async fn detach(
        &self,
        policies: impl Iterator<Item = &String>,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        for policy in policies {
            let call = context.clients.iam.detach_role_policy().role_name(&self.name).policy_arn(policy);
            gone(call.send().await.during("iam", "DetachRolePolicy", id))?;
        }
        Ok(())
    }
}

/// What IAM says of a role in four calls; of one that isn't the cluster's, in one.
pub struct Described {
    role: Answer,
    has: Policies,
    /// The inline policy that is windlass's.
    policy: Option<Value>,
}

impl Described {
    pub(super) fn tags(&self) -> Tags {
        from_iam(self.role.tags())
    }

    pub(super) fn into_role(self) -> Role {
        let tags = self.tags();
        let Self { role, has: Policies { inline: mut other_policies, attached }, policy } = self;
        other_policies.remove(POLICY);
        let trust = document(role.assume_role_policy_document().unwrap_or_default());
        Role { name: role.role_name().to_owned(), trust, policy, attached, other_policies, tags }
    }
}

/// The roles of the cluster's instances, whosever they are.
async fn list(look: &Look<'_>) -> Result<Arc<[Answer]>, CloudError> {
    let context = look.context;
    let ask = async {
        let names = instance_role_names(context.cluster);
        let roles = try_join_all(names.iter().map(|name| get(context, name))).await?;
        Ok(roles.into_iter().flatten().collect())
    };
    look.answers.roles.or_ask(ask).await
}

/// What the tags of the masters' role say, where it is the cluster's.
pub(super) async fn marks(look: &Look<'_>) -> Result<Marks, CloudError> {
    let masters = name_of_masters(look.context.cluster);
    if let Some(names) = look.known {
        let masters = Reference::<Role>::to(masters);
        let [issuer, discovery, queue] = [Role::ISSUER, Role::DISCOVERY, Role::QUEUE]
            .map(|output| names.output(&masters, output).map(str::to_owned));
        return Ok(Marks { issuer, discovery, queue });
    }
    let roles = list(look).await?;
    let tags = roles.iter().find(|role| role.role_name() == masters).map(|role| from_iam(role.tags()));
    let tags = tags.filter(|tags| look.context.owner.owns(tags));
    Ok(tags.map(|tags| Marks::of(&tags)).unwrap_or_default())
}

/// A role by its name; nothing where there is none.
async fn get(context: &Context<'_>, name: &str) -> Result<Option<Answer>, CloudError> {
    let id = ResourceId::new(Kind::Role, name);
    let call = context.clients.iam.get_role().role_name(name);
    match call.send().await.during("iam", "GetRole", &id) {
        Ok(answer) => Ok(Some(field(answer.role, &id, "the role")?)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The same with its policies.
pub(super) async fn describe_by_name(
    context: &Context<'_>,
    name: &str,
) -> Result<Option<Described>, CloudError> {
    match get(context, name).await? {
        Some(role) => describe(context, role).await.map(Some),
        None => Ok(None),
    }
}

async fn describe(context: &Context<'_>, role: Answer) -> Result<Described, CloudError> {
    if !context.owner.owns(&from_iam(role.tags())) {
        return Ok(Described { role, has: Policies::default(), policy: None });
    }
    let (name, id) = (role.role_name(), ResourceId::new(Kind::Role, role.role_name()));
    let (has, policy) = try_join!(policies(context, name, &id), inline_policy(context, name, &id))?;
    Ok(Described { role, has: has.unwrap_or_default(), policy })
}

/// What a role was given.
#[derive(Default)]
struct Policies {
    /// Names.
    inline: BTreeSet<String>,
    /// ARNs.
    attached: BTreeSet<String>,
}

/// The policies of a role; nothing where there is no such role.
async fn policies(
    context: &Context<'_>,
    role: &str,
    id: &ResourceId,
) -> Result<Option<Policies>, CloudError> {
    let iam = &context.clients.iam;
    let inline = async {
        let pages = iam.list_role_policies().role_name(role).into_paginator().items().send();
        pages.try_collect().await.during("iam", "ListRolePolicies", id)
    };
    let attached = async {
        let pages = iam.list_attached_role_policies().role_name(role).into_paginator().items().send();
        pages.try_collect().await.during("iam", "ListAttachedRolePolicies", id)
    };
    match try_join!(inline, attached) {
        Ok((inline, attached)) => Ok(Some(Policies {
            inline: inline.into_iter().collect(),
            attached: attached.into_iter().filter_map(|policy| policy.policy_arn).collect(),
        })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn inline_policy(
    context: &Context<'_>,
    role: &str,
    id: &ResourceId,
) -> Result<Option<Value>, CloudError> {
    let call = context.clients.iam.get_role_policy().role_name(role).policy_name(POLICY);
    match call.send().await.during("iam", "GetRolePolicy", id) {
        Ok(answer) => Ok(Some(document(answer.policy_document()))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names of the roles of a cluster's instances: masters', nodes', bastions', API servers'.
pub fn instance_role_names(cluster: &str) -> [String; 4] {
    ["masters", "nodes", "bastions", "apiservers"].map(|prefix| name_for(prefix, cluster))
}

/// The name of the masters' role.
pub fn name_of_masters(cluster: &str) -> String {
    let [masters, ..] = instance_role_names(cluster);
    masters
}

/// IAM's limit for the name of a role.
pub(super) const NAME_LIMIT: usize = 64;

/// `<prefix>.<cluster>`; where that is too long for IAM, cut, with a digest of the whole at the end.
pub fn name_for(prefix: &str, cluster: &str) -> String {
    name_limit::within(NAME_LIMIT, format!("{prefix}.{cluster}"))
}

/// IAM gives documents percent-encoded. One that isn't JSON is kept as text, and so differs from whatever is wanted.
fn document(text: &str) -> Value {
    let decoded = percent_decode(text);
    serde_json::from_str(&decoded).unwrap_or(Value::String(decoded))
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (b'%', Some(value)) = (byte, hex) {
            decoded.push(value);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Tags in IAM's form. A tag that the SDK refuses can't exist: key and value are always given.
pub(super) fn to_iam(tags: &Tags) -> Vec<Tag> {
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

/// The managed tags out of IAM's form.
pub(super) fn from_iam(tags: &[Tag]) -> Tags {
    tags::managed(tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cluster_name_is_cut_to_a_role_name_that_is_still_its_own() {
        let [one, two] =
            ["a", "b"].map(|end| name_for("masters", &format!("{}.{end}.example.com", "x".repeat(60))));
        assert_eq!((one.len(), two.len()), (64, 64));
        assert_ne!(one, two);
        assert_eq!(name_for("nodes", "demo.example.com"), "nodes.demo.example.com");
    }

    #[test]
    fn documents_are_compared_as_values_and_not_as_text() {
        let encoded = "%7B%22a%22%3A%20%5B1%2C%202%5D%7D";
        assert_eq!(document(encoded), serde_json::json!({"a": [1, 2]}));
        assert_eq!(document("100%"), Value::String("100%".to_owned()));
    }
}
