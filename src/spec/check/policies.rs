//! What instances may do in AWS besides what windlass allows them.

use serde_json::Value;

use super::Report;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::ClusterSpec;
use crate::spec::yaml::join;

/// kops's names of roles, old and new.
const ROLES: [&str; 3] = ["control-plane", "master", "node"];

pub(super) fn check(spec: &ClusterSpec, report: &mut Report<'_>) {
    for (role, text) in spec.additional_policies.iter().flatten() {
        let path = join("spec.additionalPolicies", role);
        check_role(&path, role, report);
        report.read(&path, Some(text), statements);
    }
    for (role, arns) in spec.external_policies.iter().flatten() {
        let path = join("spec.externalPolicies", role);
        check_role(&path, role, report);
        for (index, arn) in arns.iter().enumerate() {
            report.read(&format!("{path}[{index}]"), Some(arn), policy_arn);
        }
    }
}

fn check_role(path: &str, role: &str, report: &mut Report<'_>) {
    if !ROLES.contains(&role) {
        let message = format!("there are no instances of the role `{role}`");
        report.push(Problem::at(path, message).hint("roles are `control-plane` and `node`"));
    }
}

/// Statements of a policy: a JSON list of objects, each with `Effect` and `Action`.
pub(in crate::spec) fn statements(text: &str) -> Result<Vec<Value>, Problem> {
    let hint = r#"write a list such as `[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "…"}]`"#;
    let statements: Vec<Value> = serde_json::from_str(text).map_err(|error| {
        Problem::at("", format!("this is not a JSON list of statements: {error}")).hint(hint)
    })?;
    let is_statement = |statement: &&Value| {
        statement["Effect"].is_string() && (statement.get("Action").or(statement.get("NotAction"))).is_some()
    };
    match statements.iter().find(|statement| !is_statement(statement)) {
        Some(odd) => Err(Problem::at("", format!("`{odd}` is not a statement of an IAM policy")).hint(hint)),
        None => Ok(statements),
    }
}

/// The ARN of a managed policy: `arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess`.
fn policy_arn(text: &str) -> Result<(), Problem> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, policy]
            if !partition.is_empty()
                && !account.is_empty()
                && policy.strip_prefix("policy/").is_some_and(|name| !name.is_empty()) =>
        {
            Ok(())
        }
        _ => Err(Problem::at("", format!("`{text}` is not the ARN of a managed policy"))
            .hint("write it like `arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess`")),
    }
}
