//! Objects of the state that instances read: keysets, add-ons, node configurations, and that there are no credentials
//! for image registries.
//!
//! A node configuration and an add-on are named by the digest of their bytes: another content is another object, and
//! what a running instance was made from stays. Nothing here is therefore ever changed or pruned by an update.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use windlass_bootstrap::keyset::Secret;

use super::Resource;
use super::context::{Context, Found, Identity, Names};
use super::error::CloudError;
use super::fields::{Effect, Fields};
use super::reference::{Described, Kind, Reference, ResourceId};
use crate::state::Condition;

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateObject {
    /// Its key below the state store: `<cluster>/public/…`.
    pub name: String,
    /// What it is, in a few words.
    pub describes: String,
    /// Other objects that it names, which must be there before it is.
    pub names: BTreeSet<Reference<StateObject>>,
    /// Its bytes; absent in what is observed.
    pub content: Option<Content>,
}

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Anybody who may see the plan may see it.
    Open(String),
    /// Nobody may; the plan shows the ids of the keys in it.
    Secret {
        /// The ids.
        keys: Vec<String>,
        /// The bytes.
        text: Secret,
    },
}

impl Described for StateObject {
    const KIND: Kind = Kind::StateObject;
}

impl StateObject {
    pub(super) fn fields(&self) -> Fields {
        let Self { name: _, describes, names: _, content } = self;
        let keys = match content {
            Some(Content::Secret { keys, text: _ }) if !keys.is_empty() => Some(keys.join(", ")),
            _ => None,
        };
        Fields::default().one("holds", describes).maybe("keys", keys)
    }

    pub(super) fn references(&self) -> Vec<ResourceId> {
        let Self { name: _, describes: _, names, content: _ } = self;
        names.iter().map(Reference::id).collect()
    }

    pub(super) fn effect(_path: &str) -> Effect {
        Effect::InPlace
    }
}

impl StateObject {
    /// Writes the object where it isn't. One that is named by its digest and there already is the same one; a keyset
    /// that is there already was made by somebody else in this moment, and must be read, not replaced.
    pub(super) async fn create(
        &self,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let text = match &self.content {
            Some(Content::Open(text)) => text.as_str(),
            Some(Content::Secret { keys: _, text }) => text.expose(),
            None => return Err(CloudError::Missing(id.clone())),
        };
        context.store.put(&self.name, text.as_bytes().to_vec(), Condition::Absent).await?;
        Ok(Identity::new(&self.name))
    }

    /// Objects are never changed.
    #[expect(clippy::unused_async, reason = "every kind is updated the same way")]
    pub(super) async fn update(
        &self,
        _from: &Self,
        _identity: &Identity,
        _context: &Context<'_>,
        _id: &ResourceId,
    ) -> Result<(), CloudError> {
        Ok(())
    }

    pub(super) async fn delete(&self, context: &Context<'_>, _id: &ResourceId) -> Result<(), CloudError> {
        if let Some(object) = context.store.get(&self.name).await? {
            context.store.delete(&self.name, &object.version).await?;
        }
        Ok(())
    }

    pub(super) async fn observe(context: &Context<'_>, _names: &Names) -> Result<Vec<Found>, CloudError> {
        let folders = ["public/instance-groups/", "nodes/", "control-plane/"];
        let prefixes = folders.map(|folder| format!("{}/{folder}", context.cluster));
        let keys = try_join_all(prefixes.iter().map(|prefix| context.store.list(prefix))).await?;
        Ok(keys.into_iter().flatten().map(Self::found).collect())
    }

    /// An object as it is found: the content isn't read, the key says enough.
    fn found(key: String) -> Found {
        let object =
            Self { name: key.clone(), describes: String::new(), names: BTreeSet::new(), content: None };
        Found::new(key.clone(), Resource::StateObject(object), Identity::new(key))
    }
}
