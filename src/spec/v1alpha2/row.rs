//! What windlass makes of a field. It stands in the field's own row, behind its type:
//!
//! ```text
//! /// The root volume's type: `gp3` when left out.
//! root_volume_type: String = HONOURED,
//! ```
//!
//! A field that says nothing is known, and refused as not supported yet. Nothing is silently dropped.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::setting::{Kind, Setting, Target};

/// The key of a row in a field's JSON schema, by which it reaches `shape`. The schema for editors is without it.
pub const KEY: &str = "x-windlass-row";

/// What windlass makes of a field, and what to do where it can't do what the field asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What windlass makes of the field.
    pub support: Support,
    /// What to do instead. It holds for everything under the field that has no hint of its own.
    pub hint: Option<Cow<'static, str>>,
    /// What the field sets of a component, where that is all that it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<Setting>,
}

/// What windlass makes of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Support {
    /// It does what the field, and everything under it, says.
    Honoured,
    /// It does one thing, which is what these values ask for.
    Only(Vec<Value>),
    /// The field has no meaning for windlass, and none is lost by keeping it.
    Kept,
    /// The rows of the fields under it say it.
    InPart,
    /// It is refused, for good: this is why.
    Refused(Cow<'static, str>),
    /// It is refused.
    #[default]
    NotYet,
}

/// Windlass does what the field, and everything under it, says.
pub const HONOURED: Row = Row { support: Support::Honoured, hint: None, setting: None };

/// The field has no meaning for windlass, and none is lost by keeping it.
pub const KEPT: Row = Row { support: Support::Kept, hint: None, setting: None };

/// The rows of the fields under it say what windlass makes of them.
pub const IN_PART: Row = Row { support: Support::InPart, hint: None, setting: None };

impl Row {
    /// The row with what to do instead of what is refused under the field.
    #[must_use]
    pub fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(Cow::Borrowed(hint)), ..self }
    }
}

/// These values alone are honoured, because they ask for what windlass does anyway.
pub fn only<const N: usize>(values: [impl Into<Value>; N]) -> Row {
    Row { support: Support::Only(values.map(Into::into).into()), hint: None, setting: None }
}

/// The field is refused, and this is what to do instead. Without better advice than to leave it out, a field has no row.
pub fn not_yet(hint: &'static str) -> Row {
    Row { support: Support::NotYet, hint: Some(Cow::Borrowed(hint)), setting: None }
}

/// The field is refused, and not only for now: this is why.
pub fn refused(why: &'static str) -> Row {
    Row { support: Support::Refused(Cow::Borrowed(why)), hint: None, setting: None }
}

/// Kubernetes doesn't have any more what the field asks for.
pub fn removed() -> Row {
    refused("no version of Kubernetes that windlass runs has it any more")
}

fn sets(to: Target, kind: Kind) -> Row {
    Row { setting: Some(Setting { to, kind }), ..HONOURED }
}

/// The field sets a flag.
pub fn flag(name: &'static str, kind: Kind) -> Row {
    sets(Target::Flag(Cow::Borrowed(name)), kind)
}

/// The field sets a field of the component's configuration file.
pub fn in_file(path: &'static str, kind: Kind) -> Row {
    sets(Target::File(Cow::Borrowed(path)), kind)
}

/// The field sets what the component's pod asks the scheduler for.
pub fn request(resource: &'static str) -> Row {
    sets(Target::Request(Cow::Borrowed(resource)), Kind::Quantity)
}

/// The field sets what the component's pod gets at most.
pub fn limit(resource: &'static str) -> Row {
    sets(Target::Limit(Cow::Borrowed(resource)), Kind::Quantity)
}

/// The field sets the environment of the component's container.
pub fn environment() -> Row {
    sets(Target::Environment, Kind::Variables)
}
