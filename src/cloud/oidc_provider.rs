//! The trust of an account's IAM in the issuer of the cluster's service accounts: an OpenID Connect provider.
//!
//! IAM has no search by tag, and lists providers without theirs: the provider's URL, by which it is known, is in a tag of
//! the masters' role, which is read anyway. So that tag is there before the provider is, and until it is gone.

use std::collections::BTreeSet;

use aws_sdk_iam::operation::get_open_id_connect_provider::GetOpenIdConnectProviderOutput as Answer;

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::discovery_document::DiscoveryDocument;
use super::error::{CloudError, gone};
use super::fields::{Change, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind, TagRules};
use super::role::{self, Role, from_iam, to_iam};
use super::{Kind, Resource, tagging};
use crate::aws::During;
use crate::aws::error::AwsError;
use crate::aws::tags::{self, Owner, Tags};

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcProvider {
    /// The issuer's URL without `https://`, as its ARN ends.
    pub name: String,
    /// For whom tokens are that AWS takes.
    pub audiences: BTreeSet<String>,
    /// By what certificates the issuer's server is known, where AWS doesn't trust its authority. Otherwise AWS doesn't go by
    /// them, fills in some itself, and they aren't compared.
    pub thumbprints: Option<BTreeSet<String>>,
    /// What is published for it, which must be there before it is; what is observed doesn't tell.
    pub documents: BTreeSet<Reference<DiscoveryDocument>>,
    /// The role whose tag names it.
    pub named_by: Reference<Role>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for OidcProvider {
    const KIND: Kind = Kind::OidcProvider;
    const DECLARATION: Declaration = Declaration {
        creation: Creation::Repeatable,
        tags: TagRules::Iam,
        // Of two that are another's, it is always the masters' role that is refused.
        observed_after: &[Kind::Role],
        foreign_hint: Some(
            "an account has one provider of a URL: name another prefix in `discoveryStore`, or another issuer, or delete the \
             provider where nobody needs it any more",
        ),
        ..Declaration::of("oidc-provider")
    };
    type Answer = Option<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name, audiences, thumbprints, documents, named_by, tags } = self;
        Fields::default()
            .one("url", format!("https://{name}"))
            .set("audiences", audiences)
            .set("thumbprints", thumbprints.as_ref().unwrap_or(&BTreeSet::new()))
            .map("tags", tags)
            .needs(documents.iter().map(Reference::id).chain([named_by.id()]))
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        let mut seen = observed.clone();
        if self.thumbprints.is_none() {
            seen.thumbprints = None;
        }
        self.fields().changes_from(&seen.fields())
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call =
            context.clients.iam.create_open_id_connect_provider().url(format!("https://{}", self.name));
        let call = call.set_client_id_list(Some(self.audiences.iter().cloned().collect()));
        let call = call.set_thumbprint_list(self.thumbprint_list()).set_tags(Some(to_iam(&self.tags)));
        call.send().await.during("iam", "CreateOpenIDConnectProvider", id)?;
        Ok(Identity::new(arn(&self.name, context).await?))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let (iam, arn) = (&context.clients.iam, identity.id.as_str());
        for audience in self.audiences.difference(&from.audiences) {
            let call = iam.add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(arn);
            let call = call.client_id(audience);
            call.send().await.during("iam", "AddClientIDToOpenIDConnectProvider", id)?;
        }
        for audience in from.audiences.difference(&self.audiences) {
            let call = iam.remove_client_id_from_open_id_connect_provider().open_id_connect_provider_arn(arn);
            let call = call.client_id(audience);
            call.send().await.during("iam", "RemoveClientIDFromOpenIDConnectProvider", id)?;
        }
        if self.thumbprints.is_some() && self.thumbprints != from.thumbprints {
            let call = iam.update_open_id_connect_provider_thumbprint().open_id_connect_provider_arn(arn);
            let call = call.set_thumbprint_list(self.thumbprint_list());
            call.send().await.during("iam", "UpdateOpenIDConnectProviderThumbprint", id)?;
        }
        let (set, removed) = tags::difference(&from.tags, &self.tags);
        if !set.is_empty() {
            let call = iam.tag_open_id_connect_provider().open_id_connect_provider_arn(arn);
            let call = call.set_tags(Some(to_iam(&set)));
            call.send().await.during("iam", "TagOpenIDConnectProvider", id)?;
        }
        if !removed.is_empty() {
            let call = iam.untag_open_id_connect_provider().open_id_connect_provider_arn(arn);
            let call = call.set_tag_keys(Some(removed));
            call.send().await.during("iam", "UntagOpenIDConnectProvider", id)?;
        }
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.iam.delete_open_id_connect_provider();
        let call = call.open_id_connect_provider_arn(&identity.id);
        gone(call.send().await.during("iam", "DeleteOpenIDConnectProvider", id))
    }

    async fn read(look: &Look<'_>) -> Result<Option<Described>, CloudError> {
        let arn = match look.context.sought {
            Sought::Id(arn) => arn.to_owned(),
            Sought::All => match role::marks(look).await?.issuer {
                Some(issuer) => self::arn(plain(&issuer), look.context).await?,
                None => return Ok(None),
            },
        };
        describe(arn, look.context).await
    }

    fn observed(
        answer: Option<Described>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let Some(Described { arn, provider }) = answer else { return Ok(Vec::new()) };
        // IAM gives the URL without its scheme.
        let name = plain(provider.url().unwrap_or_default()).to_owned();
        let tags = from_iam(provider.tags());
        if !tagging::is_ours(context, &tags, &ResourceId::new(Kind::OidcProvider, &name))? {
            return Ok(Vec::new());
        }
        let observed = Self {
            name: name.clone(),
            audiences: provider.client_id_list().iter().cloned().collect(),
            thumbprints: Some(provider.thumbprint_list().iter().cloned().collect()),
            documents: BTreeSet::new(),
            named_by: Reference::to(role::name_of_masters(context.cluster)),
            tags,
        };
        Ok(vec![ObservedResource::new(name, Resource::OidcProvider(observed), Identity::new(arn))])
    }

    fn mark_command(aws_id: &str, owner: &Owner) -> String {
        let uid = owner.uid.as_ref().map(|uid| format!(" Key={},Value={uid}", tags::UID));
        format!(
            "aws iam tag-open-id-connect-provider --open-id-connect-provider-arn {aws_id} --tags Key={},Value={}{}",
            tags::MANAGED,
            owner.cluster,
            uid.unwrap_or_default()
        )
    }
}

impl OidcProvider {
    /// What there is of this URL by now, which must be the cluster's.
    pub(super) async fn find(&self, context: &Context<'_>) -> Result<Vec<ObservedResource>, CloudError> {
        let answer = describe(arn(&self.name, context).await?, context).await?;
        Self::observed(answer, context, &Names::default())
    }

    fn thumbprint_list(&self) -> Option<Vec<String>> {
        Some(self.thumbprints.as_ref()?.iter().cloned().collect())
    }
}

/// What IAM says of a provider.
pub struct Described {
    arn: String,
    provider: Answer,
}

/// A provider by its ARN; nothing where there is none.
async fn describe(arn: String, context: &Context<'_>) -> Result<Option<Described>, CloudError> {
    let call = context.clients.iam.get_open_id_connect_provider().open_id_connect_provider_arn(&arn);
    match call.send().await.during("iam", "GetOpenIDConnectProvider", &arn) {
        Ok(provider) => Ok(Some(Described { arn, provider })),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The ARN of the account's provider of a URL.
async fn arn(name: &str, context: &Context<'_>) -> Result<String, AwsError> {
    let caller = context.clients.caller().await?;
    Ok(format!("arn:{}:iam::{}:oidc-provider/{name}", caller.partition, caller.account))
}

fn plain(url: &str) -> &str {
    url.trim_start_matches("https://")
}
