//! What AWS allows of tags, checked before anything is planned: a plan that fails at its tenth step for a label is worse
//! than none.

use std::collections::BTreeSet;

use super::{Desired, ModelError};
use crate::aws::tags::VALUE_LIMIT;
use crate::cloud::{Resource, ResourceId, TagRules};

/// The most tags that a resource may have (EC2 User Guide and IAM User Guide, "Tag restrictions"). AWS's own, which begin
/// with `aws:`, don't count.
pub(super) const MOST: usize = 50;

/// The longest key, in characters.
const KEY_LIMIT: usize = 128;

/// Fails with the first tag that AWS would refuse.
pub(super) fn check(desired: &Desired) -> Result<(), ModelError> {
    for (id, resource) in &desired.0 {
        for field in ["tags.", "instanceTags."] {
            check_one(id, &tags(resource, field))?;
        }
    }
    Ok(())
}

/// The tags of a resource, out of its fields.
fn tags(resource: &Resource, prefix: &str) -> Vec<(String, String)> {
    let fields = resource.fields().additions().into_iter();
    fields
        .filter_map(|field| {
            Some((field.field.strip_prefix(prefix)?.to_owned(), field.to.unwrap_or_default()))
        })
        .collect()
}

fn check_one(id: &ResourceId, tags: &[(String, String)]) -> Result<(), ModelError> {
    let count = tags.len() + id.kind.declaration().tags_set_later;
    if count > MOST {
        return Err(ModelError::TooManyTags { resource: id.clone(), count });
    }
    let mut keys = BTreeSet::new();
    for (key, value) in tags {
        let refused = |why| Err(ModelError::Tag { resource: id.clone(), key: key.clone(), why });
        if key.is_empty() || key.chars().count() > KEY_LIMIT {
            return refused("a key has 1 to 128 characters");
        }
        if value.chars().count() > VALUE_LIMIT {
            return refused("a value has at most 256 characters");
        }
        match id.kind.declaration().tags {
            TagRules::Ec2 => continue,
            TagRules::Iam => {}
        }
        if !key.chars().chain(value.chars()).all(iam_takes) {
            return refused("IAM takes only letters, digits, spaces and _ . : / = + - @ in keys and values");
        }
        if !keys.insert(key.to_lowercase()) {
            return refused("IAM takes no two keys that differ only in upper and lower case");
        }
    }
    Ok(())
}

/// The alphabet of IAM's tags, which is smaller than EC2's: `[\p{L}\p{Z}\p{N}_.:/=+\-@]*` (API_Tag of IAM).
fn iam_takes(character: char) -> bool {
    character.is_alphanumeric() || character == ' ' || "_.:/=+-@".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Kind;

    fn check_tags(kind: Kind, tags: &[(&str, &str)]) -> Result<(), String> {
        let tags: Vec<_> = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        check_one(&ResourceId::new(kind, "demo"), &tags).map_err(|error| error.to_string())
    }

    #[test]
    fn tags_that_aws_would_refuse_are_refused_before_anything_is_planned() {
        assert_eq!(check_tags(Kind::Vpc, &[("a,b", "(c)")]), Ok(()), "EC2 takes any character");
        let refusal = check_tags(Kind::Role, &[("a,b", "c")]).unwrap_err();
        assert!(
            refusal.starts_with("`role/demo` can't have the tag `a,b`: IAM takes only letters"),
            "{refusal}"
        );
        assert_eq!(check_tags(Kind::Role, &[("cost center", "a/b:c=d+e-f@g.h_i")]), Ok(()));
        assert!(
            check_tags(Kind::Role, &[("Team", "a"), ("team", "a")]).unwrap_err().contains("upper and lower")
        );
        assert!(check_tags(Kind::Vpc, &[(&"k".repeat(129), "")]).unwrap_err().contains("128"));
        assert!(check_tags(Kind::Vpc, &[("k", &"v".repeat(257))]).unwrap_err().contains("256"));
        let many: Vec<String> = (0..51).map(|number| format!("k{number}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
        assert_eq!(check_tags(Kind::Vpc, &many[..50]), Ok(()));
        assert!(check_tags(Kind::Vpc, &many).unwrap_err().contains("would have 51 tags, and AWS allows 50"));
        for kind in [Kind::SecurityGroup, Kind::Volume] {
            assert_eq!(check_tags(kind, &many[..49]), Ok(()));
            let refusal = check_tags(kind, &many[..50]).unwrap_err();
            assert!(refusal.contains("would have 51 tags"), "one more is set when it is there: {refusal}");
        }
    }
}
