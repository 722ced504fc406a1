//! What instances may do in AWS besides what windlass allows them.

use serde_json::Value;
use windlass_bootstrap::config::Role;

use super::{Report, Reported, Resolved};
use crate::spec::cluster::Permissions;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::ClusterSpec;
use crate::spec::yaml::join;

/// What instances may do, by what they are for.
#[derive(Default)]
pub(super) struct RolePermissions {
    pub(super) masters: Permissions,
    pub(super) nodes: Permissions,
    pub(super) bastions: Permissions,
    pub(super) api_servers: Permissions,
}

impl RolePermissions {
    fn of(&mut self, role: Role) -> &mut Permissions {
        match role {
            Role::ControlPlane => &mut self.masters,
            Role::Node => &mut self.nodes,
            Role::Bastion => &mut self.bastions,
            Role::ApiServer => &mut self.api_servers,
        }
    }
}

pub(super) fn resolve(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<RolePermissions> {
    let mut permissions = RolePermissions::default();
    let mut failed: Option<Reported> = None;
    for (name, text) in spec.additional_policies.iter().flatten() {
        let path = join("spec.additionalPolicies", name);
        let role = role(&path, name, report);
        match (role, report.read(&path, text, statements)) {
            (Ok(role), Ok(statements)) => permissions.of(role).statements.extend(statements),
            (Err(reported), _) | (_, Err(reported)) => failed = Some(reported),
        }
    }
    for (name, arns) in spec.external_policies.iter().flatten() {
        let path = join("spec.externalPolicies", name);
        let role = role(&path, name, report);
        for (index, arn) in arns.iter().enumerate() {
            match (role, report.read(&format!("{path}[{index}]"), arn, policy_arn)) {
                (Ok(role), Ok(arn)) => {
                    permissions.of(role).attached.insert(arn);
                }
                (Err(reported), _) | (_, Err(reported)) => failed = Some(reported),
            }
        }
    }
    failed.map_or(Ok(permissions), Err)
}

/// A role by kops's names, old and new.
fn role(path: &str, name: &str, report: &mut Report<'_>) -> Resolved<Role> {
    match name {
        "control-plane" | "master" => Ok(Role::ControlPlane),
        "node" => Ok(Role::Node),
        "bastion" => Ok(Role::Bastion),
        "apiserver" => Ok(Role::ApiServer),
        _ => {
            let message = format!("there are no instances of the role `{name}`");
            let hint = "roles are `control-plane`, `node`, `bastion` and `apiserver`";
            Err(report.push(Problem::at(path, message).hint(hint)))
        }
    }
}

/// Statements of a policy: a JSON list of objects, each with `Effect` and `Action`.
pub(super) fn statements(text: &str) -> Result<Vec<Value>, Problem> {
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
pub(super) fn policy_arn(text: &str) -> Result<String, Problem> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, policy]
            if !partition.is_empty()
                && !account.is_empty()
                && policy.strip_prefix("policy/").is_some_and(|name| !name.is_empty()) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Problem::at("", format!("`{text}` is not the ARN of a managed policy"))
            .hint("write it like `arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess`")),
    }
}
