//! Objects of the state that instances read: keysets, add-ons, node configurations, and that there are no credentials
//! for image registries.
//!
//! A node configuration and an add-on are named by the digest of their bytes: another content is another object, and
//! what a running instance was made from stays. Nothing here is therefore ever changed, but for what somebody has
//! overwritten: instances refuse it, and its right bytes are written again. A node configuration goes with the next
//! update that changes something once no launch template names it and every instance of its group was launched from its
//! template's latest version; the bucket keeps it as an earlier version.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use windlass_bootstrap::keys;
use windlass_bootstrap::keyset::Secret;

use super::context::{Context, Identity, Names, Observed, ObservedResource};
use super::error::CloudError;
use super::fields::{Change, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind, Unwanted};
use super::{Kind, Resource};
use crate::state::{Condition, Fingerprint, Listing, Store, StoreError, Version};

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateObject {
    /// Its key below the state store: `<cluster>/public/…`.
    pub name: String,
    /// What it is, in a few words.
    pub describes: String,
    /// Other objects that it names, which must be there before it is.
    pub names: BTreeSet<Reference<StateObject>>,
    /// Its bytes, or what is known of them; absent where nothing is.
    pub content: Option<Content>,
}

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Anybody who may see the plan may see it.
    Open(String),
    /// Nobody may; the plan shows the ids of the keys in it.
    Secret {
        /// The ids of the keys in it.
        keys: Vec<String>,
        /// The bytes.
        text: Secret,
    },
    /// Of what is observed: nobody has read it, and this is what the list of objects says.
    Listed(Fingerprint),
    /// Of what is observed: other bytes than its name is the digest of, in this version.
    Foreign(Version),
}

impl ResourceKind for StateObject {
    const KIND: Kind = Kind::StateObject;
    const DECLARATION: Declaration = Declaration {
        unwanted: Unwanted::LeftAlone,
        has_deletion_step: false,
        creation: Creation::ReadsFirst,
        ..Declaration::of("state-object")
    };
    type Answer = Vec<Listing>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, describes, names, content } = self;
        let keys = match content {
            Some(Content::Secret { keys, text: _ }) if !keys.is_empty() => Some(keys.join(", ")),
            _ => None,
        };
        Fields::default().one("holds", describes).maybe("keys", keys).needs(names.iter().map(Reference::id))
    }

    /// Its name says what is in it, unless somebody was seen to have overwritten it.
    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        match &observed.content {
            Some(Content::Foreign(_)) => vec![Change {
                field: "content".to_owned(),
                from: Some("somebody has overwritten it".to_owned()),
                to: Some("what its name is the digest of".to_owned()),
            }],
            _ => Vec::new(),
        }
    }

    fn unwanted(&self) -> Unwanted {
        match keys::of_node_config(&self.name) {
            Some(_) => Unwanted::Pruned,
            None => Self::DECLARATION.unwanted,
        }
    }

    /// Writes the object where it isn't. One that is named by its digest and there already is the same one; a keyset
    /// that is there already was made by somebody else in this moment, and must be read, not replaced.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let text = match &self.content {
            Some(Content::Open(text)) => text.as_str(),
            Some(Content::Secret { keys: _, text }) => text.expose(),
            Some(Content::Listed(_) | Content::Foreign(_)) | None => {
                return Err(CloudError::Missing(id.clone()));
            }
        };
        context.store.put(&self.name, text.as_bytes().to_vec(), Condition::Absent).await?;
        Ok(Identity::new(&self.name))
    }

    /// Writes again what somebody has overwritten, if it is still what was seen. Secrets are never changed.
    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        _id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let Some(text) = self.named_by_digest() else { return Ok(identity.clone()) };
        let condition = match &from.content {
            Some(Content::Foreign(version)) => Condition::Unchanged(version.clone()),
            // A second try has only listed it.
            _ => match context.store.get(&self.name).await? {
                Some(found) if found.bytes == text.as_bytes() => return Ok(identity.clone()),
                Some(found) => Condition::Unchanged(found.version),
                None => Condition::Absent,
            },
        };
        context.store.put(&self.name, text.as_bytes().to_vec(), condition).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        _id: &ResourceId,
    ) -> Result<(), CloudError> {
        if let Some(object) = context.store.get(&self.name).await? {
            context.store.delete(&self.name, &object.version).await?;
        }
        Ok(())
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Listing>, CloudError> {
        let context = look.context;
        let folders = ["public/instance-groups/", "nodes/", "control-plane/"];
        let prefixes = folders.map(|folder| format!("{}/{folder}", context.cluster));
        let listed = try_join_all(prefixes.iter().map(|prefix| context.store.listing(prefix))).await?;
        Ok(listed.concat())
    }

    fn observed(
        answer: Vec<Listing>,
        _context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        Ok(answer.into_iter().map(Self::found).collect())
    }
}

impl StateObject {
    /// The bytes of one that is named by their digest.
    fn named_by_digest(&self) -> Option<&str> {
        match &self.content {
            Some(Content::Open(text)) => Some(text),
            _ => None,
        }
    }

    /// An object as it is found: the content isn't read.
    fn found(listing: Listing) -> ObservedResource {
        let Listing { key, fingerprint } = listing;
        let content = fingerprint.map(Content::Listed);
        let object = Self { name: key.clone(), describes: String::new(), names: BTreeSet::new(), content };
        ObservedResource::new(key.clone(), Resource::StateObject(object), Identity::new(key))
    }
}

/// Makes certain what is in those of the wanted objects that are named by the digest of their bytes and were found: by
/// what the list of objects said, and only where that leaves it open by reading them.
pub async fn look_into<'a>(
    wanted: impl Iterator<Item = &'a Resource>,
    store: &Store,
    observed: &mut Observed,
) -> Result<(), StoreError> {
    let mut unclear = Vec::new();
    for wanted in wanted {
        let id = wanted.id();
        let Resource::StateObject(wanted) = wanted else { continue };
        let Some(Resource::StateObject(found)) = observed.0.get_mut(&id).map(|found| &mut found.resource)
        else {
            continue;
        };
        let Some(text) = wanted.named_by_digest() else { continue };
        match &found.content {
            Some(Content::Listed(fingerprint)) if fingerprint.is_of(text.as_bytes()) => {
                found.content = Some(Content::Open(text.to_owned()));
            }
            Some(Content::Listed(_)) | None => unclear.push((id, wanted.name.clone(), text)),
            Some(Content::Open(_) | Content::Secret { .. } | Content::Foreign(_)) => {}
        }
    }
    let keys: Vec<String> = unclear.iter().map(|(_, key, _)| key.clone()).collect();
    for ((id, _, text), read) in unclear.iter().zip(store.get_all(&keys).await?) {
        let Some(read) = read else {
            // It went after the list was made.
            observed.0.remove(id);
            continue;
        };
        let is_right = read.bytes == text.as_bytes();
        let content =
            if is_right { Content::Open((*text).to_owned()) } else { Content::Foreign(read.version) };
        if let Some(Resource::StateObject(found)) = observed.0.get_mut(id).map(|found| &mut found.resource) {
            found.content = Some(content);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "demo.example.com/public/instance-groups/nodes/0.json";
    const RIGHT: &str = "right";

    fn wanted(key: &str) -> Resource {
        let content = Some(Content::Open(RIGHT.to_owned()));
        Resource::StateObject(StateObject {
            name: key.to_owned(),
            describes: "the node configuration of nodes".to_owned(),
            names: BTreeSet::new(),
            content,
        })
    }

    /// Looks into one object that holds some bytes, as far as the list of objects says it; returns what has to change.
    async fn changes(bytes: &str, fingerprint: Option<Fingerprint>) -> (Vec<Change>, Observed) {
        let store = Store::memory();
        store.put(KEY, bytes.as_bytes().to_vec(), Condition::Absent).await.unwrap();
        let mut observed = Observed::default();
        let found = StateObject::found(Listing { key: KEY.to_owned(), fingerprint });
        observed.extend(Kind::StateObject, vec![found]);
        let wanted = wanted(KEY);
        look_into(std::iter::once(&wanted), &store, &mut observed).await.unwrap();
        let changes = wanted.changes_from(&observed.0[&wanted.id()].resource);
        (changes, observed)
    }

    #[tokio::test]
    async fn where_an_etag_is_no_md5_the_bytes_themselves_decide() {
        let etag = "\"5f3c6f1e0a7d4b2c9e8f7a6b5c4d3e2f\"";
        for fingerprint in [None, Some(Fingerprint { size: 5, etag: etag.to_owned() })] {
            let (none, _) = changes(RIGHT, fingerprint.clone()).await;
            assert_eq!(none, [], "a false alarm");
            let (changes, observed) = changes("wrong", fingerprint).await;
            assert_eq!(changes[0].from.as_deref(), Some("somebody has overwritten it"));
            let Resource::StateObject(object) = &observed.0.values().next().unwrap().resource else {
                panic!()
            };
            assert_eq!(object.content, Some(Content::Foreign(Version("1".to_owned()))));
        }
    }

    #[tokio::test]
    async fn an_object_whose_etag_says_enough_is_not_read() {
        // MD5 of `right`; what the store holds would be seen to differ.
        let etag = "\"7c4f29407893c334a6cb7a87bf045c0d\"".to_owned();
        let (changes, _) = changes("wrong", Some(Fingerprint { size: 5, etag })).await;
        assert_eq!(changes, []);
    }

    #[tokio::test]
    async fn what_went_after_it_was_listed_is_made() {
        let mut observed = Observed::default();
        let listing = Listing { key: KEY.to_owned(), fingerprint: None };
        observed.extend(Kind::StateObject, vec![StateObject::found(listing)]);
        look_into(std::iter::once(&wanted(KEY)), &Store::memory(), &mut observed).await.unwrap();
        assert!(observed.is_empty());
    }
}
