//! A resource's fields as people read them, and the differences between two of them.
//!
//! Every kind lists its fields in one function that destructures the whole struct, so that a new field cannot be
//! forgotten: what that function lists is what a plan shows, what is compared, and what `-o json` prints. A field
//! that is absent is not listed, and a field that is listed on one side only is a difference: absent means absent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Serialize;

use super::reference::ResourceId;

/// The fields of a resource, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    shown: Vec<Field>,
    needed: Vec<ResourceId>,
}

/// One field, or one member of a field that holds a set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    path: String,
    value: String,
    member: bool,
    refers_to: Option<ResourceId>,
}

/// What a change does to the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// The resource is changed where it stands.
    InPlace,
    /// The resource is deleted and made again. Nothing that goes by AWS's id of it may refer to it: it could not be
    /// deleted, or would be left with an id that leads nowhere.
    Replace,
    /// Another resource is made in its place, what refers to it is turned to that one, and then it is deleted. Until then
    /// it goes by another name ([`ResourceId::set_aside`]), so that it must have tags, and AWS must bear two alike.
    CreateBeforeDelete,
    /// The change is not made; the text says why and what to do instead.
    Refused(&'static str),
}

/// One difference between what is and what shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Such as `cidr`, `tags.Name` or `ingress`.
    pub field: String,
    /// What is; absent where the field, or the member of a set, is added.
    pub from: Option<String>,
    /// What shall be; absent where it is removed.
    pub to: Option<String>,
}

impl Change {
    fn turned(field: String, former: &ResourceId, to: String) -> Self {
        Self { field, from: Some(former.name.clone()), to: Some(to) }
    }
}

impl Fields {
    /// A field with one value.
    #[must_use]
    pub fn one(self, path: &str, value: impl Display) -> Self {
        self.with(path, value, false, None)
    }

    /// A field that may be absent.
    #[must_use]
    pub fn maybe(self, path: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.one(path, value),
            None => self,
        }
    }

    /// A map: one field for each key, `path.key`.
    #[must_use]
    pub fn map<V: Display>(self, path: &str, values: &BTreeMap<String, V>) -> Self {
        values.iter().fold(self, |fields, (key, value)| fields.one(&format!("{path}.{key}"), value))
    }

    /// A set: its members are compared one by one.
    #[must_use]
    pub fn set<V: Display>(self, path: &str, members: &BTreeSet<V>) -> Self {
        self.members(path, members.iter().map(|member| (member, None)))
    }

    /// A set of which each member may refer to a resource.
    #[must_use]
    pub fn members<V: Display>(
        self,
        path: &str,
        members: impl IntoIterator<Item = (V, Option<ResourceId>)>,
    ) -> Self {
        let members = members.into_iter();
        members.fold(self, |fields, (member, refers_to)| fields.with(path, member, true, refers_to))
    }

    /// A field that refers to a resource.
    #[must_use]
    pub fn reference<R: Display>(self, path: &str, to: &R) -> Self
    where
        for<'r> &'r R: Into<ResourceId>,
    {
        self.with(path, to, false, Some(to.into()))
    }

    /// A field that may refer to a resource.
    #[must_use]
    pub fn maybe_reference<R: Display>(self, path: &str, to: Option<&R>) -> Self
    where
        for<'r> &'r R: Into<ResourceId>,
    {
        match to {
            Some(to) => self.reference(path, to),
            None => self,
        }
    }

    /// A set of references.
    #[must_use]
    pub fn references<R: Display>(self, path: &str, to: &BTreeSet<R>) -> Self
    where
        for<'r> &'r R: Into<ResourceId>,
    {
        self.members(path, to.iter().map(|to| (to, Some(to.into()))))
    }

    /// A map whose values are references: one field for each key, `path.key`.
    #[must_use]
    pub fn reference_map<R: Display>(self, path: &str, to: &BTreeMap<String, R>) -> Self
    where
        for<'r> &'r R: Into<ResourceId>,
    {
        to.iter().fold(self, |fields, (key, to)| fields.reference(&format!("{path}.{key}"), to))
    }

    /// Resources that must exist before it and that no field shows.
    #[must_use]
    pub fn needs(mut self, resources: impl IntoIterator<Item = ResourceId>) -> Self {
        self.needed.extend(resources);
        self
    }

    fn with(mut self, path: &str, value: impl Display, member: bool, refers_to: Option<ResourceId>) -> Self {
        self.shown.push(Field { path: path.to_owned(), value: value.to_string(), member, refers_to });
        self
    }

    /// What must exist before the resource: each once.
    pub fn into_references(self) -> Vec<ResourceId> {
        let all = self.shown.into_iter().filter_map(|field| field.refers_to).chain(self.needed);
        all.collect::<BTreeSet<ResourceId>>().into_iter().collect()
    }

    /// What has to change for `observed` to become this.
    pub fn changes_from(&self, observed: &Self) -> Vec<Change> {
        let mut changes: Vec<Change> =
            self.shown.iter().filter_map(|field| field.change_from(observed)).collect();
        changes.extend(observed.shown.iter().filter(|field| !self.has(field)).map(|field| Change {
            field: field.path.clone(),
            from: Some(field.value.clone()),
            to: None,
        }));
        changes
    }

    /// What has to change besides for `observed` to become this where resources that both refer to are replaced: it has to
    /// be turned to the new ones. `set_aside` says what each of the old ones is called from then on.
    pub fn changes_from_replaced(
        &self,
        observed: &Self,
        set_aside: &BTreeMap<ResourceId, ResourceId>,
    ) -> Vec<Change> {
        let shown = self.shown.iter().filter_map(|field| {
            let former = set_aside.get(field.refers_to.as_ref()?)?;
            let stays = observed.shown.iter().any(|other| other == field);
            stays.then(|| Change::turned(field.path.clone(), former, field.value.clone()))
        });
        let needed = self.needed.iter().filter(|needed| observed.needed.contains(needed));
        let needed = needed.filter_map(|needed| {
            let former = set_aside.get(needed)?;
            Some(Change::turned(needed.kind.to_string(), former, needed.name.clone()))
        });
        shown.chain(needed).collect()
    }

    /// The value of a field that isn't a set.
    pub fn value(&self, path: &str) -> Option<&str> {
        self.shown.iter().find(|field| field.path == path && !field.member).map(|field| field.value.as_str())
    }

    /// Every field as an addition.
    pub fn additions(&self) -> Vec<Change> {
        self.changes_from(&Self::default())
    }

    /// Whether there is a field at the same place (of a set: the same member).
    fn has(&self, other: &Field) -> bool {
        self.shown
            .iter()
            .any(|field| field.path == other.path && (!other.member || field.value == other.value))
    }
}

impl Field {
    fn change_from(&self, observed: &Fields) -> Option<Change> {
        let from = if self.member {
            if observed.has(self) {
                return None;
            }
            None
        } else {
            let before =
                observed.shown.iter().find(|field| field.path == self.path).map(|field| field.value.clone());
            if before.as_ref() == Some(&self.value) {
                return None;
            }
            before
        };
        Some(Change { field: self.path.clone(), from, to: Some(self.value.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn equal_fields_have_no_changes() {
        let fields = Fields::default().one("cidr", "10.0.0.0/16").map("tags", &tags(&[("Name", "a")]));
        assert!(fields.changes_from(&fields.clone()).is_empty());
    }

    #[test]
    fn a_setting_that_is_not_wanted_any_more_is_a_removal() {
        let wanted = Fields::default().map("tags", &tags(&[("Name", "a")]));
        let observed =
            Fields::default().one("kmsKey", "k").map("tags", &tags(&[("Name", "b"), ("team", "x")]));
        let changes = wanted.changes_from(&observed);
        let shown: Vec<_> =
            changes.iter().map(|c| (c.field.as_str(), c.from.as_deref(), c.to.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("tags.Name", Some("b"), Some("a")),
                ("kmsKey", Some("k"), None),
                ("tags.team", Some("x"), None)
            ]
        );
    }

    #[test]
    fn members_of_a_set_come_and_go_one_by_one() {
        let wanted = Fields::default().set("subnets", &BTreeSet::from(["a", "b"]));
        let observed = Fields::default().set("subnets", &BTreeSet::from(["b", "c"]));
        let changes = wanted.changes_from(&observed);
        let shown: Vec<_> = changes.iter().map(|c| (c.from.as_deref(), c.to.as_deref())).collect();
        assert_eq!(shown, [(None, Some("a")), (Some("c"), None)]);
    }
}
