//! What is published of the issuer of service accounts' tokens: two objects in a bucket of the operator's, which everybody
//! can read.
//!
//! An object says by its metadata whose it is; another one of its name is never written over. Where they are is in a tag of
//! the masters' role, which is read anyway.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ObjectCannedAcl;
use futures::future::try_join_all;
use futures::try_join;
use windlass_bootstrap::bucket_owner::owned_by;

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::Fields;
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::role::{self, Role};
use super::{Kind, Resource, tagging};
use crate::aws::retry::{Look as Found, Patience, WaitError, wait_for};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, Class, During};
use crate::spec::cluster::{CONFIGURATION, JWKS};

/// The metadata of an object that says whose it is.
const CLUSTER: &str = "windlass-cluster";
const UID: &str = "windlass-cluster-uid";

/// How long whoever reads an object may go on with what they have read, in seconds: as API servers say it, too.
const MAX_AGE: &str = "public, max-age=3600";

/// How long S3 may take until a change of a bucket's policy, or of its public access block, holds everywhere.
const OPENING: Duration = Duration::from_secs(15);

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryDocument {
    /// The URL by which everybody reads it.
    pub name: String,
    /// Its text.
    pub content: String,
    /// Whether everybody can read it.
    pub readable: bool,
    /// Whether it says so itself, by an access control list. What is observed doesn't tell.
    pub by_acl: bool,
    /// The role whose tag says where it is.
    pub named_by: Reference<Role>,
}

impl ResourceKind for DiscoveryDocument {
    const KIND: Kind = Kind::DiscoveryDocument;
    const DECLARATION: Declaration = Declaration {
        creation: Creation::ReadsFirst,
        // Of two that are another's, it is always the masters' role that is refused.
        observed_after: &[Kind::Role],
        // As long as AWS trusts the issuer, it asks for them.
        deleted_after: &[Kind::OidcProvider],
        foreign_hint: Some(
            "name another prefix in `discoveryStore` with `windlass edit cluster`, or delete the object where nobody needs it \
             any more",
        ),
        ..Declaration::of("discovery-document")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, content, readable, by_acl: _, named_by } = self;
        Fields::default()
            .one("content", content.trim_end())
            .one("readableByEverybody", readable)
            .needs([named_by.id()])
    }

    /// Written on the condition that nothing is there; what is there and the cluster's is changed.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        match self.write(None, context, id).await {
            Err(CloudError::Aws(error)) if error.class == Class::PreconditionFailed => {
                let found = self.find(context).await?.into_iter().next();
                let found = found.ok_or(CloudError::Aws(error))?;
                self.write(found.identity.output(Self::VERSION), context, id).await
            }
            written => written,
        }
    }

    async fn update(
        &self,
        _from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        self.write(identity.output(Self::VERSION), context, id).await
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let place = Place::of(&self.name, id)?;
        let call = client(&place, context).await?.delete_object().bucket(place.bucket).key(place.key);
        let call = call.set_if_match(identity.output(Self::VERSION).map(str::to_owned));
        gone(call.send().await.during("s3", "DeleteObject", id))
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let names = match look.context.sought {
            Sought::Id(url) => vec![url.to_owned()],
            Sought::All => match role::marks(look).await?.discovery {
                Some(store) => urls_below(&store).into(),
                None => Vec::new(),
            },
        };
        let found = try_join_all(names.iter().map(|name| describe(name, look.context))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let mut found = Vec::new();
        for Described { name, version, tags, content, readable } in answer {
            let id = ResourceId::new(Kind::DiscoveryDocument, &name);
            if !tagging::is_ours(context, &tags, &id)? {
                continue;
            }
            let named_by = Reference::to(role::name_of_masters(context.cluster));
            let identity = Identity::new(&name).with(Self::VERSION, Some(version));
            let observed = Self { name: name.clone(), content, readable, by_acl: false, named_by };
            found.push(ObservedResource::new(name, Resource::DiscoveryDocument(observed), identity));
        }
        Ok(found)
    }
}

impl DiscoveryDocument {
    /// The output that says which version of it was seen.
    const VERSION: &'static str = "its version";

    /// What there is of this name by now, which must be the cluster's.
    pub(super) async fn find(&self, context: &Context<'_>) -> Result<Vec<ObservedResource>, CloudError> {
        let answer = describe(&self.name, context).await?;
        Self::observed(answer.into_iter().collect(), context, &Names::default())
    }

    /// Writes it where what is there is what was seen, and looks that everybody can read it.
    async fn write(
        &self,
        seen: Option<&str>,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let place = Place::of(&self.name, id)?;
        let owner = [(CLUSTER, Some(&context.owner.cluster)), (UID, context.owner.uid.as_ref())];
        let metadata = owner.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.clone())));
        let call = client(&place, context).await?.put_object().bucket(place.bucket).key(place.key);
        let call = call.body(ByteStream::from(self.content.clone().into_bytes()));
        let call = call.content_type("application/json").cache_control(MAX_AGE);
        let call = call.set_metadata(Some(metadata.collect::<HashMap<String, String>>()));
        let call = call.set_acl(self.by_acl.then_some(ObjectCannedAcl::PublicRead));
        let call = match seen {
            Some(version) => call.if_match(version),
            None => call.if_none_match("*"),
        };
        let written = call.send().await.during("s3", "PutObject", id)?;
        let version = field(written.e_tag, id, "the object's version")?;
        self.see_that_everybody_reads_it(&place, context, id).await?;
        Ok(Identity::new(&self.name).with(Self::VERSION, Some(version)))
    }

    async fn see_that_everybody_reads_it(
        &self,
        place: &Place<'_>,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let look = || async {
            let denied = || Found::Wait("S3 denies it to whoever has no credentials".to_owned());
            Ok(if is_readable(place, context, id).await? { Found::Done(()) } else { denied() })
        };
        let what = format!("everybody to be able to read {}", self.name);
        match context.waiting(wait_for(what, Patience::of(OPENING), look)).await {
            Err(WaitError::Late { .. }) => {
                let (resource, bucket) = (id.clone(), place.bucket.to_owned());
                Err(CloudError::Unreadable { resource, bucket })
            }
            outcome => Ok(outcome?),
        }
    }
}

/// What S3 says of an object.
pub struct Described {
    name: String,
    version: String,
    /// What its metadata says of its owner, as tags say it of other resources.
    tags: Tags,
    content: String,
    readable: bool,
}

/// An object by its URL; nothing where there is none.
async fn describe(name: &str, context: &Context<'_>) -> Result<Option<Described>, CloudError> {
    let id = ResourceId::new(Kind::DiscoveryDocument, name);
    let place = Place::of(name, &id)?;
    let client = client(&place, context).await?;
    let object = async {
        let answer = client.get_object().bucket(place.bucket).key(place.key).send().await;
        match answer.during("s3", "GetObject", &id) {
            Ok(answer) => Ok(Some(answer)),
            // With its bucket, it is gone, too.
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    };
    let (object, readable) = try_join!(object, is_readable(&place, context, &id))?;
    let Some(object) = object else { return Ok(None) };
    let version = field(object.e_tag.clone(), &id, "the object's version")?;
    let of_metadata = |key: &str| object.metadata().and_then(|metadata| metadata.get(key)).cloned();
    let tags = [(tags::MANAGED, CLUSTER), (tags::UID, UID)].into_iter();
    let tags = tags.filter_map(|(tag, key)| Some((tag.to_owned(), of_metadata(key)?))).collect();
    let bytes = object.body.collect().await.map_err(|error| {
        let mut cause = AwsError::unexpected("s3", "GetObject", &id, error.to_string());
        cause.class = Class::Network;
        cause
    })?;
    let text = String::from_utf8_lossy(&bytes.to_vec()).into_owned();
    Ok(Some(Described { name: name.to_owned(), version, tags, content: text, readable }))
}

/// Whether somebody without credentials can read an object.
async fn is_readable(place: &Place<'_>, context: &Context<'_>, id: &ResourceId) -> Result<bool, AwsError> {
    let nobody = context.clients.in_region(place.region).s3_of_nobody();
    let answer = nobody.head_object().bucket(place.bucket).key(place.key).send().await;
    match answer.during("s3", "HeadObject", id) {
        Ok(_) => Ok(true),
        Err(error) if error.class == Class::Denied || error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The account's client of a bucket: another account's bucket of this name is neither read nor written.
async fn client(place: &Place<'_>, context: &Context<'_>) -> Result<Client, AwsError> {
    let account = context.clients.caller().await?.account;
    Ok(owned_by(&account, &context.clients.in_region(place.region).s3))
}

fn urls_below(url: &str) -> [String; 2] {
    [CONFIGURATION, JWKS].map(|key| format!("{url}/{key}"))
}

/// Where an object is, by its URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place<'a> {
    bucket: &'a str,
    region: &'a str,
    key: &'a str,
}

impl<'a> Place<'a> {
    /// `https://<bucket>.s3.<region>.amazonaws.com/<key>`.
    fn of(url: &'a str, id: &ResourceId) -> Result<Self, CloudError> {
        let parsed = || {
            let (host, key) = url.strip_prefix("https://")?.split_once('/')?;
            let (bucket, rest) = host.split_once(".s3.")?;
            let (region, _) = rest.split_once(".amazonaws.com")?;
            Some(Self { bucket, region, key })
        };
        field(parsed(), id, "a bucket, its region and a key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_s_url_says_where_it_is() {
        let id = ResourceId::new(Kind::DiscoveryDocument, "a");
        let [configuration, jwks] = urls_below("https://discovery.s3.eu-west-1.amazonaws.com/demo");
        let place = Place::of(&jwks, &id).unwrap();
        let key = "demo/openid/v1/jwks";
        assert_eq!(place, Place { bucket: "discovery", region: "eu-west-1", key });
        assert_eq!(Place::of(&configuration, &id).unwrap().key, "demo/.well-known/openid-configuration");
        let [bare, _] = urls_below("https://discovery.s3.cn-north-1.amazonaws.com.cn");
        let place = Place::of(&bare, &id).unwrap();
        assert_eq!((place.region, place.key), ("cn-north-1", CONFIGURATION));
        assert!(Place::of("https://example.com/a", &id).is_err());
    }
}
