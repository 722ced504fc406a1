//! What of a group's instances exists already: security groups and an instance profile.

use std::collections::BTreeSet;

use super::{Report, Resolved, all, text};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::InstanceGroupSpec;

/// The one that stands in the place of windlass's own.
pub(super) fn security_group(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Option<String>> {
    const PATH: &str = "spec.securityGroupOverride";
    let Some(written) = &spec.security_group_override else { return Ok(None) };
    if spec.additional_security_groups.iter().flatten().any(|id| id == written) {
        let message = format!("`{written}` stands in `additionalSecurityGroups`, too");
        report.push(Problem::at(PATH, message).hint("name it once"));
    }
    report.read(PATH, written, |id| text::aws_id("sg", id)).map(Some)
}

pub(super) fn additional_security_groups(
    spec: &InstanceGroupSpec,
    report: &mut Report<'_>,
) -> Resolved<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    let groups = spec.additional_security_groups.iter().flatten().enumerate().map(|(index, id)| {
        let path = format!("spec.additionalSecurityGroups[{index}]");
        if !seen.insert(id) {
            report.push(Problem::at(&path, format!("`{id}` stands here twice")).hint("name it once"));
        }
        report.read(&path, id, |id| text::aws_id("sg", id))
    });
    Ok(all(groups)?.into_iter().collect())
}

pub(super) fn instance_profile(
    spec: &InstanceGroupSpec,
    report: &mut Report<'_>,
) -> Resolved<Option<String>> {
    let Some(written) = spec.iam.as_ref().and_then(|iam| iam.profile.as_ref()) else { return Ok(None) };
    report.read("spec.iam.profile", written, profile_name).map(Some)
}

/// The name of a profile: itself, or the last part of its ARN. Profiles of one account have different names, whatever their
/// paths (IAM User Guide, "IAM identifiers").
fn profile_name(text: &str) -> Result<String, Problem> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let name = match parts.as_slice() {
        ["arn", _, "iam", "", _, resource] => {
            resource.strip_prefix("instance-profile/").and_then(|path| path.rsplit('/').next())
        }
        _ => Some(text),
    };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    let fits = |name: &&str| (1..=128).contains(&name.len()) && name.bytes().all(known);
    name.filter(fits).map(str::to_owned).ok_or_else(|| {
        Problem::at("", format!("`{text}` is not an instance profile"))
            .hint("write its ARN, such as `arn:aws:iam::123456789012:instance-profile/nodes`, or its name")
    })
}
