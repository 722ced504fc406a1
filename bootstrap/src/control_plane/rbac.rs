//! Applies what nodes, and the API server towards kubelets, may do ([`crate::contract::rbac`]). It is applied before
//! anything else, as nodes wait for it: a bootstrap token is worth nothing before its holder may ask for a certificate.

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};

use crate::contract::rbac;
use crate::kubernetes::api::ApiError;

/// Applies the bindings, side by side.
pub async fn ensure(client: &Client) -> Result<(), ApiError> {
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let params = PatchParams::apply("windlass").force();
    futures::future::try_join_all(rbac::bindings().map(|binding| {
        let (bindings, params) = (&bindings, &params);
        async move {
            let name = binding.metadata.name.clone().unwrap_or_default();
            let applied = bindings.patch(&name, params, &Patch::Apply(binding)).await;
            applied.map(drop).map_err(|error| ApiError::request(format!("take the binding {name}"), error))
        }
    }))
    .await
    .map(drop)
}
