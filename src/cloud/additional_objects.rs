//! The additional objects as masters read them: one object of the state that changes in place, so that running masters
//! follow it.

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::CloudError;
use super::fields::{Change, Fields};
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::{Kind, Resource};
use crate::spec::AdditionalObject;
use crate::state::{Condition, Object, Version};
use windlass_bootstrap::keys;

/// What masters apply besides windlass's own add-ons. There may be secrets in it; a plan shows what the objects are
/// called, and that they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdditionalObjects {
    /// Its key below the state store.
    pub name: String,
    /// The objects, in the order in which they are applied.
    pub objects: Vec<AdditionalObject>,
}

const FIELD: &str = "object";

impl ResourceKind for AdditionalObjects {
    const KIND: Kind = Kind::AdditionalObjects;
    const DECLARATION: Declaration = Declaration {
        has_deletion_step: false,
        creation: Creation::ReadsFirst,
        ..Declaration::of("additional-objects")
    };
    type Answer = Option<Object>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, objects } = self;
        objects.iter().fold(Fields::default(), |fields, object| fields.one(FIELD, object.key()))
    }

    /// What has to change, by the objects' names only.
    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        let change = |from: Option<String>, to: Option<String>| Change { field: FIELD.to_owned(), from, to };
        let mut changes = Vec::new();
        for wanted in &self.objects {
            let name = wanted.key().to_string();
            match observed.objects.iter().find(|found| found.key() == wanted.key()) {
                None => changes.push(change(None, Some(name))),
                Some(found) if found != wanted => {
                    changes.push(change(Some(name), Some("(other content)".to_owned())));
                }
                Some(_) => {}
            }
        }
        let gone =
            observed.objects.iter().filter(|found| !self.objects.iter().any(|it| it.key() == found.key()));
        changes.extend(gone.map(|gone| change(Some(gone.key().to_string()), None)));
        changes
    }

    async fn create(&self, context: &Context<'_>, _id: &ResourceId) -> Result<Identity, CloudError> {
        let version = context.store.put(&self.name, self.bytes(), Condition::Absent).await?;
        Ok(Identity::new(version.0))
    }

    async fn update(
        &self,
        _from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        _id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let seen = Condition::Unchanged(Version(identity.id.clone()));
        context.store.put(&self.name, self.bytes(), seen).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        _id: &ResourceId,
    ) -> Result<(), CloudError> {
        context.store.delete(&self.name, &Version(identity.id.clone())).await?;
        Ok(())
    }

    async fn read(look: &Look<'_>) -> Result<Option<Object>, CloudError> {
        Ok(look.context.store.get(&keys::additional_objects(look.context.cluster)).await?)
    }

    /// What can't be read is taken for nothing, so that the next update mends it.
    fn observed(
        answer: Option<Object>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let Some(object) = answer else { return Ok(Vec::new()) };
        let name = keys::additional_objects(context.cluster);
        let read = serde_json::Deserializer::from_slice(&object.bytes).into_iter::<AdditionalObject>();
        let objects = read.collect::<Result<Vec<_>, _>>().unwrap_or_default();
        let observed = Self { name: name.clone(), objects };
        Ok(vec![ObservedResource::new(
            name,
            Resource::AdditionalObjects(observed),
            Identity::new(object.version.0),
        )])
    }
}

impl AdditionalObjects {
    /// JSON, one object after the other: kubectl reads JSON exactly, and plain words of YAML in a way of its own.
    fn bytes(&self) -> Vec<u8> {
        let lines = self.objects.iter().map(|object| format!("{}\n", object.value()));
        lines.collect::<String>().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, name: &str, value: &str) -> AdditionalObject {
        let value =
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "stringData": {"a": value}});
        AdditionalObject::new(value).unwrap()
    }

    fn all(objects: &[AdditionalObject]) -> AdditionalObjects {
        AdditionalObjects { name: "demo/x".to_owned(), objects: objects.to_vec() }
    }

    #[test]
    fn a_plan_names_objects_and_never_shows_what_is_in_them() {
        let before = all(&[object("Secret", "a", "hunter1"), object("Secret", "b", "hunter2")]);
        let after = all(&[object("Secret", "b", "hunter3"), object("Secret", "c", "hunter4")]);
        let changes = after.changes_from(&before);
        let shown: Vec<_> = changes.iter().map(|c| (c.from.as_deref(), c.to.as_deref())).collect();
        assert_eq!(
            shown,
            [(Some("Secret b"), Some("(other content)")), (None, Some("Secret c")), (Some("Secret a"), None)]
        );
        let text = format!("{after:?} {changes:?} {:?}", after.fields());
        assert!(!text.contains("hunter"), "{text}");
        assert!(after.changes_from(&after).is_empty());
    }
}
