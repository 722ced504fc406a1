//! A plan as people read it.
//!
//! ```text
//! Will create 2 resources:
//!   + subnet/us-east-1a.demo.example.com
//!       zone                     us-east-1a
//! Will change 1 resource:
//!   ~ auto-scaling-group/nodes.demo.example.com
//!       maxSize                  2 → 3
//! ```

use std::fmt::{self, Display, Formatter};

use similar::{ChangeTag, TextDiff};
use windlass_bootstrap::tags as shared;

use super::{Action, LeftOut, Occupied, Plan, Step};
use crate::aws::tags;
use crate::cloud::{Change, ResourceId, Unwanted};
use crate::spec::quantity;

/// The width of a field's name; longer ones push their value to the right.
const FIELD: usize = 27;

impl Display for Plan {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let is_create = |step: &&Step| matches!(step.action, Action::Create(_));
        let is_change = |step: &&Step| matches!(step.action, Action::Update(_));
        let is_replace = |step: &&Step| matches!(step.action, Action::Replace(_));
        let is_renewed = |step: &&Step| matches!(step.action, Action::CreateBeforeDelete(_));
        let is_delete = |step: &&Step| matches!(step.action, Action::Delete);
        section(formatter, "create", self.steps.iter().filter(is_create).collect())?;
        section(formatter, "change", self.steps.iter().filter(is_change).collect())?;
        section(formatter, "delete and create again", self.steps.iter().filter(is_replace).collect())?;
        let again = "replace, making the new one first,";
        section(formatter, again, self.steps.iter().filter(is_renewed).collect())?;
        section(formatter, "delete", self.steps.iter().filter(is_delete).collect())?;
        kept(formatter, &self.kept)?;
        if !self.occupied.is_empty() {
            writeln!(formatter, "Not asked for any more, and kept until nothing uses it:")?;
            for Occupied { resource, by } in &self.occupied {
                writeln!(formatter, "    {resource}: {}", by.join(", "))?;
            }
            writeln!(formatter)?;
        }
        for remark in &self.remarks {
            writeln!(formatter, "Mind: {remark}")?;
        }
        if !self.remarks.is_empty() {
            writeln!(formatter)?;
        }
        self.left_out.as_ref().map_or(Ok(()), |left_out| left(formatter, left_out))
    }
}

/// What isn't done, as only a part was asked for.
fn left(formatter: &mut Formatter<'_>, LeftOut { asked_for, steps }: &LeftOut) -> fmt::Result {
    if steps.is_empty() {
        return writeln!(formatter, "Only {asked_for}: nothing else is to be done.\n");
    }
    writeln!(formatter, "Only {asked_for}; left out {}:", quantity(steps.len(), "step"))?;
    for step in steps {
        writeln!(formatter, "    {step}")?;
    }
    writeln!(formatter)
}

/// What is kept, by what its kind says of why.
fn kept(formatter: &mut Formatter<'_>, resources: &[ResourceId]) -> fmt::Result {
    let why = |id: &ResourceId| match id.kind.declaration().unwanted {
        Unwanted::Kept(why) => Some(why),
        Unwanted::Deleted | Unwanted::Pruned | Unwanted::LeftAlone => id.kind.declaration().kept_because,
    };
    let mut reasons: Vec<Option<&str>> = Vec::new();
    for reason in resources.iter().map(why) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    for reason in reasons {
        match reason {
            Some(reason) => writeln!(formatter, "Kept, because {reason}:")?,
            None => writeln!(formatter, "Kept:")?,
        }
        for id in resources.iter().filter(|id| why(id) == reason) {
            writeln!(formatter, "    {id}")?;
        }
        writeln!(formatter)?;
    }
    Ok(())
}

fn section(formatter: &mut Formatter<'_>, verb: &str, steps: Vec<&Step>) -> fmt::Result {
    if steps.is_empty() {
        return Ok(());
    }
    writeln!(formatter, "Will {verb} {}:", quantity(steps.len(), "resource"))?;
    for step in steps {
        writeln!(formatter, "  {} {}", sign(&step.action), step.resource)?;
        match &step.action {
            Action::Create(changes) => {
                for change in changes.iter().filter(|change| !is_common_tag(&change.field)) {
                    addition(formatter, change)?;
                }
            }
            Action::Update(changes) | Action::Replace(changes) | Action::CreateBeforeDelete(changes) => {
                for change in changes {
                    difference(formatter, change)?;
                }
            }
            Action::Delete => {}
        }
    }
    writeln!(formatter)
}

fn sign(action: &Action) -> &'static str {
    match action {
        Action::Create(_) => "+",
        Action::Update(_) => "~",
        Action::Replace(_) | Action::CreateBeforeDelete(_) => "±",
        Action::Delete => "-",
    }
}

/// The tags that everything has say nothing about one resource.
fn is_common_tag(field: &str) -> bool {
    let Some((_, key)) = field.split_once("ags.") else {
        return false;
    };
    [shared::CLUSTER, tags::MANAGED, tags::UID, tags::NAME, "Name"].contains(&key)
        || key.starts_with(&shared::ownership(""))
}

fn addition(formatter: &mut Formatter<'_>, change: &Change) -> fmt::Result {
    let value = change.to.as_deref().unwrap_or_default();
    if value.contains('\n') {
        writeln!(formatter, "      {:FIELD$} ({})", change.field, quantity(value.lines().count(), "line"))
    } else {
        writeln!(formatter, "      {:FIELD$} {value}", change.field)
    }
}

fn difference(formatter: &mut Formatter<'_>, change: &Change) -> fmt::Result {
    match (change.from.as_deref(), change.to.as_deref()) {
        (Some(from), Some(to)) if from.contains('\n') || to.contains('\n') => {
            writeln!(formatter, "      {}", change.field)?;
            text_difference(formatter, from, to)
        }
        (Some(from), Some(to)) => writeln!(formatter, "      {:FIELD$} {from} → {to}", change.field),
        (None, _) => {
            write!(formatter, "    + ")?;
            plain(formatter, change, change.to.as_deref())
        }
        (_, None) => {
            write!(formatter, "    - ")?;
            plain(formatter, change, change.from.as_deref())
        }
    }
}

fn plain(formatter: &mut Formatter<'_>, change: &Change, value: Option<&str>) -> fmt::Result {
    let value = value.unwrap_or_default();
    if value.contains('\n') {
        writeln!(formatter, "{:FIELD$} ({})", change.field, quantity(value.lines().count(), "line"))
    } else {
        writeln!(formatter, "{:FIELD$} {value}", change.field)
    }
}

/// The lines that differ, with two lines around them.
fn text_difference(formatter: &mut Formatter<'_>, from: &str, to: &str) -> fmt::Result {
    let difference = TextDiff::from_lines(from, to);
    for (number, group) in difference.grouped_ops(2).iter().enumerate() {
        if number > 0 {
            writeln!(formatter, "          …")?;
        }
        for line in group.iter().flat_map(|operation| difference.iter_changes(operation)) {
            let sign = match line.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            writeln!(formatter, "        {sign} {}", line.value().trim_end_matches('\n'))?;
        }
    }
    Ok(())
}
