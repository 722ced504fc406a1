//! SSH keys that are imported into EC2.

use aws_sdk_ec2::types::{KeyPairInfo, ResourceType};

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::namesakes::Namesake;
use super::reference::ResourceId;
use super::resource_kind::{Declaration, ResourceKind};
use super::{Kind, Resource, tagging};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};

/// An imported public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// `kubernetes.<cluster>-<the key's digest>`: another key is another key pair.
    pub name: String,
    /// The public key: its type and its bytes, without the comment, which EC2 does not keep.
    pub public_key: String,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for KeyPair {
    const KIND: Kind = Kind::KeyPair;
    const DECLARATION: Declaration = Declaration::of("key-pair");
    type Answer = Vec<KeyPairInfo>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, public_key, tags } = self;
        Fields::default().one("publicKey", public_key).map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    /// EC2 can't change a key pair's key: somebody deleted ours and imported another one by its name.
    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        if change.field == "publicKey" { Effect::Replace } else { Effect::InPlace }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .import_key_pair()
            .key_name(&self.name)
            .public_key_material(aws_sdk_ec2::primitives::Blob::new(self.public_key.as_bytes()))
            .tag_specifications(tags::specification(ResourceType::KeyPair, &self.tags));
        let made = call.send().await.during("ec2", "ImportKeyPair", id)?;
        Ok(Identity::new(field(made.key_pair_id(), id, "the key pair's id")?))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_key_pair().key_name(&self.name);
        gone(call.send().await.during("ec2", "DeleteKeyPair", id))
    }

    async fn read(look: &Look<'_>) -> Result<Vec<KeyPairInfo>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::KeyPair, context.cluster);
        let call = context.clients.ec2.describe_key_pairs();
        let call = match context.sought {
            Sought::All => call.filters(tags::of_cluster(context.cluster)),
            Sought::Id(id) => call.key_pair_ids(id),
        };
        let answer = call.include_public_key(true).send().await.during("ec2", "DescribeKeyPairs", &id)?;
        Ok(answer.key_pairs.unwrap_or_default())
    }

    fn observed(
        answer: Vec<KeyPairInfo>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::KeyPair, context.cluster);
        let mut found = Vec::new();
        for pair in &answer {
            let name = pair.key_name().unwrap_or_default().to_owned();
            let tags = tags::from_ec2(pair.tags());
            if !tagging::is_ours(context, &tags, &ResourceId::new(Kind::KeyPair, &name))? {
                continue;
            }
            let public_key = Self::without_comment(pair.public_key().unwrap_or_default());
            let observed = Self { name: name.clone(), public_key, tags };
            let pair_id = field(pair.key_pair_id(), &id, "the key pair's id")?;
            found.push(ObservedResource::new(name, Resource::KeyPair(observed), Identity::new(pair_id)));
        }
        Ok(found)
    }

    async fn namesake(&self, context: &Context<'_>, id: &ResourceId) -> Result<Option<Namesake>, AwsError> {
        let call = context.clients.ec2.describe_key_pairs().key_names(&self.name);
        let answer = call.send().await.during("ec2", "DescribeKeyPairs", id)?;
        Ok(answer.key_pairs().first().map(|pair| Namesake {
            aws_id: pair.key_pair_id().unwrap_or_default().to_owned(),
            tags: tags::all_from_ec2(pair.tags()),
        }))
    }
}

impl KeyPair {
    /// The type and the bytes of a key in OpenSSH's form.
    pub fn without_comment(openssh: &str) -> String {
        openssh.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }
}
