//! Load balancers of others that a group's instances are put into.

use std::collections::BTreeSet;

use super::{Report, Resolved, all};
use crate::spec::cluster::Attachment;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{ExternalLoadBalancerSpec, InstanceGroupSpec};

/// How many there may be: a tag of 256 characters says which of a group's are windlass's.
const MOST: usize = 25;

pub(super) fn attachments(
    spec: &InstanceGroupSpec,
    report: &mut Report<'_>,
) -> Resolved<BTreeSet<Attachment>> {
    const PATH: &str = "spec.externalLoadBalancers";
    let written = spec.external_load_balancers.as_deref().unwrap_or_default();
    if written.len() > MOST {
        let message = format!("a group can be in {MOST} load balancers of others at most");
        report.push(Problem::at(PATH, message).hint("make several groups"));
    }
    let mut seen = BTreeSet::new();
    let attachments = written.iter().enumerate().map(|(index, written)| {
        let attachment = attachment(written, &format!("{PATH}[{index}]"), report)?;
        if !seen.insert(attachment.clone()) {
            let message = format!("`{}` stands here twice", attachment.name());
            report.push(Problem::at(format!("{PATH}[{index}]"), message).hint("name it once"));
        }
        Ok(attachment)
    });
    Ok(all(attachments)?.into_iter().collect())
}

fn attachment(
    written: &ExternalLoadBalancerSpec,
    path: &str,
    report: &mut Report<'_>,
) -> Resolved<Attachment> {
    match (&written.target_group_arn, &written.load_balancer_name) {
        (Some(arn), None) => {
            report.read(&format!("{path}.targetGroupArn"), arn, target_group).map(Attachment::TargetGroup)
        }
        (None, Some(name)) => report
            .read(&format!("{path}.loadBalancerName"), name, load_balancer)
            .map(Attachment::ClassicLoadBalancer),
        _ => {
            let problem = Problem::at(path, "one load balancer stands here by one name");
            Err(report.push(problem.hint("write either `targetGroupArn` or `loadBalancerName`")))
        }
    }
}

fn target_group(text: &str) -> Result<String, Problem> {
    let parts: Vec<&str> = text.split(':').collect();
    let fits = match parts.as_slice() {
        ["arn", partition, "elasticloadbalancing", region, account, resource] => {
            let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            let id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            let parts: Vec<&str> = resource.split('/').collect();
            let is_group = matches!(parts.as_slice(), ["targetgroup", name, end] if is_name(name) && id(end));
            !partition.is_empty() && !region.is_empty() && is_account && is_group
        }
        _ => false,
    };
    if fits {
        return Ok(text.to_owned());
    }
    Err(Problem::at("", format!("`{text}` is not the ARN of a target group")).hint(
        "write it like `arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef`",
    ))
}

fn load_balancer(text: &str) -> Result<String, Problem> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::at("", format!("`{text}` is not the name of a Classic Load Balancer"))
        .hint("it has at most 32 letters, digits and `-`, with a letter or digit at both ends"))
}

/// Names of load balancers and target groups (`API_CreateLoadBalancer`, `API_CreateTargetGroup`).
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=32).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
