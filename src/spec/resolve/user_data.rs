//! What instances do at their launch besides what windlass does.

use std::collections::BTreeSet;

use windlass_bootstrap::user_data::{self, BOOT_CONFIG_NAME};

use super::{Report, Resolved, all};
use crate::spec::cluster::UserDataPart;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{InstanceGroupSpec, UserDataSpec};

/// What cloud-init has a use for, of what kops takes.
const TYPES: [&str; 8] = [
    "text/cloud-boothook",
    "text/cloud-config",
    "text/cloud-config-archive",
    "text/part-handler",
    "text/upstart-job",
    "text/x-include-once-url",
    "text/x-include-url",
    "text/x-shellscript",
];

/// How long the parts may be together, in bytes: EC2 takes 16 KiB, of which windlass needs less than one.
const MOST: usize = 15 * 1024;

const PATH: &str = "spec.additionalUserData";

pub(super) fn additional_user_data(
    spec: &InstanceGroupSpec,
    report: &mut Report<'_>,
) -> Resolved<Vec<UserDataPart>> {
    let mut names = BTreeSet::from([BOOT_CONFIG_NAME]);
    let written = spec.additional_user_data.iter().flatten().enumerate();
    let parts = all(written.map(|(index, part)| {
        let path = format!("{PATH}[{index}]");
        let resolved = resolve(&path, part, report)?;
        if !part.name.as_deref().is_some_and(|name| names.insert(name)) {
            let problem = Problem::at(format!("{path}.name"), "another part has this name");
            report.push(problem.hint("choose another one"));
        }
        Ok(resolved)
    }))?;
    let size = user_data::write("", &parts.iter().map(UserDataPart::as_part).collect::<Vec<_>>()).len();
    if size <= MOST {
        return Ok(parts);
    }
    let message = format!("the parts have {size} bytes together, and EC2 takes {MOST} beside windlass's own");
    let hint = "let a part fetch what is longer, or bake it into the machine image";
    Err(report.push(Problem::at(PATH, message).hint(hint)))
}

fn resolve(path: &str, part: &UserDataSpec, report: &mut Report<'_>) -> Resolved<UserDataPart> {
    let mut text = |field: &str, written: Option<&String>, hint: &str, fits: &dyn Fn(&str) -> bool| {
        let path = format!("{path}.{field}");
        match written {
            Some(written) if fits(written) => Ok(written.clone()),
            Some(written) => {
                let problem = Problem::at(path, format!("`{written}` is not what can stand here"));
                Err(report.push(problem.hint(hint)))
            }
            None => Err(report.missing(path, hint)),
        }
    };
    let name = text("name", part.name.as_ref(), "write a file's name, such as `setup.sh`", &is_file_name);
    let known = |kind: &str| TYPES.contains(&kind);
    let media_type =
        text("type", part.r#type.as_ref(), &format!("write one of {}", TYPES.join(", ")), &known);
    let content =
        text("content", part.content.as_ref(), "write what cloud-init gets", &|text| !text.is_empty());
    Ok(UserDataPart { name: name?, media_type: media_type?, content: content? })
}

/// A name that stands in a header as it is.
fn is_file_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(known)
}
