//! The groups of nodes as masters follow them: one small object of the state that changes in place, so that no change
//! of a group of nodes calls for another master.

use windlass_bootstrap::keys;
use windlass_bootstrap::node_groups::{NodeGroups as Document, Size};

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::CloudError;
use super::fields::Fields;
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::{Kind, Resource};
use crate::state::{Condition, Object, Version};

/// What masters know of the groups of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeGroups {
    /// Its key below the state store.
    pub name: String,
    /// The groups; absent in what is observed where it can't be read, so that the next update mends it.
    pub document: Option<Document>,
}

impl ResourceKind for NodeGroups {
    const KIND: Kind = Kind::NodeGroups;
    const DECLARATION: Declaration = Declaration {
        has_deletion_step: false,
        creation: Creation::ReadsFirst,
        ..Declaration::of("node-groups")
    };
    type Answer = Option<Object>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, document } = self;
        let Some(Document { version, groups }) = document else { return Fields::default() };
        let sizes =
            groups.iter().map(|(group, size)| (group.clone(), format!("{} to {}", size.min, size.max)));
        Fields::default().one("version", version).map("nodes", &sizes.collect())
    }

    async fn create(&self, context: &Context<'_>, _id: &ResourceId) -> Result<Identity, CloudError> {
        let version = context.store.put(&self.name, self.bytes()?, Condition::Absent).await?;
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
        context.store.put(&self.name, self.bytes()?, seen).await?;
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
        Ok(look.context.store.get(&keys::node_groups(look.context.cluster)).await?)
    }

    fn observed(
        answer: Option<Object>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let Some(object) = answer else { return Ok(Vec::new()) };
        let name = keys::node_groups(context.cluster);
        let observed = Self { name: name.clone(), document: Document::read(&object.bytes) };
        Ok(vec![ObservedResource::new(name, Resource::NodeGroups(observed), Identity::new(object.version.0))])
    }
}

impl NodeGroups {
    /// What masters of this cluster shall know.
    pub fn new(cluster: &str, groups: impl IntoIterator<Item = (String, Size)>) -> Self {
        Self { name: keys::node_groups(cluster), document: Some(Document::new(groups)) }
    }

    fn bytes(&self) -> Result<Vec<u8>, CloudError> {
        let missing = || CloudError::Missing(ResourceId::new(Kind::NodeGroups, &self.name));
        let document = self.document.as_ref().ok_or_else(missing)?;
        // Strings and numbers in maps by strings always become JSON.
        Ok(serde_json::to_vec_pretty(document).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(groups: &[(&str, u32, u32)]) -> Resource {
        let groups =
            groups.iter().map(|(name, min, max)| ((*name).to_owned(), Size { min: *min, max: *max }));
        Resource::NodeGroups(NodeGroups::new("demo", groups))
    }

    #[test]
    fn a_plan_shows_which_groups_come_go_and_change() {
        let changes = groups(&[("a", 1, 1), ("b", 0, 5)]).changes_from(&groups(&[("b", 0, 3), ("c", 1, 1)]));
        let shown: Vec<_> =
            changes.iter().map(|it| (it.field.as_str(), it.from.as_deref(), it.to.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("nodes.a", None, Some("1 to 1")),
                ("nodes.b", Some("0 to 3"), Some("0 to 5")),
                ("nodes.c", Some("1 to 1"), None)
            ]
        );
    }

    #[test]
    fn an_object_that_can_not_be_read_is_mended_even_where_there_are_no_nodes() {
        let broken = Resource::NodeGroups(NodeGroups { name: "demo".to_owned(), document: None });
        assert!(!groups(&[]).changes_from(&broken).is_empty());
        assert!(groups(&[]).changes_from(&groups(&[])).is_empty());
    }
}
