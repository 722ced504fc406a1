//! What nodes, and the API server towards kubelets, may do: masters apply it, and the CLI shows it.
//!
//! Approving certificates is bound to nobody: the agent on the masters decides each request against EC2.

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::api::ObjectMeta;

const GROUP: &str = "rbac.authorization.k8s.io";

/// The bindings of Kubernetes' own roles: name, role, kind of the subject, subject.
const BINDINGS: [(&str, &str, &str, &str); 3] = [
    ("windlass:nodes-may-ask-for-certificates", "system:node-bootstrapper", "Group", "system:bootstrappers"),
    // kube-proxy on a node uses the kubelet's own, rotating certificate.
    ("windlass:nodes-may-route-services", "system:node-proxier", "Group", "system:nodes"),
    // The API server's client certificate for kubelets is not that of an administrator.
    (
        "windlass:api-server-may-use-kubelets",
        "system:kubelet-api-admin",
        "User",
        "kube-apiserver-kubelet-client",
    ),
];

/// The bindings as a file of manifests.
pub fn manifest() -> Result<String, serde_json::Error> {
    let texts: Result<Vec<String>, _> =
        BINDINGS.map(|row| serde_json::to_string_pretty(&binding(row))).into_iter().collect();
    Ok(texts?.join("\n---\n"))
}

/// Every binding. Each is windlass's own by its name.
pub fn bindings() -> impl Iterator<Item = ClusterRoleBinding> {
    BINDINGS.into_iter().map(binding)
}

fn binding((name, role, kind, subject): (&str, &str, &str, &str)) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "windlass".to_owned())].into()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: Some(GROUP.to_owned()),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some(GROUP.to_owned()),
            kind: kind.to_owned(),
            name: subject.to_owned(),
            namespace: None,
        }]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_s_holder_may_ask_and_nobody_may_approve() {
        let bindings = BINDINGS.map(binding);
        let subjects = |role: &str| {
            let bound = bindings.iter().filter(|binding| binding.role_ref.name == role);
            bound
                .flat_map(|binding| binding.subjects.iter().flatten())
                .map(|subject| subject.name.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(subjects("system:node-bootstrapper"), ["system:bootstrappers"]);
        assert_eq!(subjects("system:certificates.k8s.io:certificatesigningrequests:nodeclient"), [""; 0]);
        let text = serde_json::to_value(&bindings[0]).unwrap();
        assert_eq!(text["roleRef"]["apiGroup"], GROUP);
        assert_eq!(text["kind"], "ClusterRoleBinding");
    }
}
