//! Which names in hosted zones lead to a resource. Record sets have no tags, so that the tags of what they lead to say it; and
//! its outputs, once it is observed.

use std::collections::BTreeSet;

use super::context::{Identity, Names};
use super::kinds::Kind;
use crate::aws::tags::{self, Tags};

/// The output that says in which hosted zone they are, by the zone's id.
const HOSTED_ZONE: &str = "the hosted zone of its names";

/// The output that says which names they are, parted by spaces.
const NAMES: &str = "its names in a hosted zone";

/// The tags that hold a name.
const HOLD_A_NAME: [&str; 3] = [tags::API_NAME, tags::API_INTERNAL_NAME, tags::BASTION_NAME];

/// A hosted zone's id, and a name in it.
pub(super) type Place = (String, String);

/// Adds to what is known of a resource which names lead to it.
pub(super) fn with_names(identity: Identity, tags: &Tags) -> Identity {
    let names: Vec<&str> = names(tags).collect();
    let names = (!names.is_empty()).then(|| names.join(" "));
    identity.with(HOSTED_ZONE, tags.get(tags::HOSTED_ZONE)).with(NAMES, names)
}

fn names(tags: &Tags) -> impl Iterator<Item = &str> {
    HOLD_A_NAME.into_iter().filter_map(|key| tags.get(key).map(String::as_str))
}

/// The names that the tags of a resource hold.
pub(super) fn of_tags(tags: &Tags) -> Vec<Place> {
    let Some(zone) = tags.get(tags::HOSTED_ZONE) else { return Vec::new() };
    names(tags).map(|name| (zone.clone(), name.to_owned())).collect()
}

/// The names that lead to what is known of a kind.
pub(super) fn of_known(kind: Kind, known: &Names) -> BTreeSet<Place> {
    let outputs = known.outputs_of(kind).filter_map(|(_, of)| Some((of.get(HOSTED_ZONE)?, of.get(NAMES)?)));
    let places =
        outputs.flat_map(|(zone, names)| names.split(' ').map(|name| (zone.clone(), name.to_owned())));
    places.collect()
}
