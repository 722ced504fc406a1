//! Applies what nodes, and the API server towards kubelets, may do ([`crate::contract::rbac`]). It is applied before
//! anything else, as nodes wait for it: a bootstrap token is worth nothing before its holder may ask for a certificate.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};

use crate::agent::Agent;
use crate::contract::rbac;
use crate::kubernetes::api::ApiError;
use crate::progress::step::{Done, Step, StepError};

/// Applies the bindings.
pub const STEP: Step = Step::new("ensure_rbac", Duration::from_mins(5)).outside();

/// The step.
pub async fn run(agent: &Agent, client: &Client) -> Result<(), StepError> {
    STEP.run(&agent.reporter, async || ensure(client).await.map(Done::unchanged)).await
}

/// Applies the bindings, side by side.
async fn ensure(client: &Client) -> Result<(), ApiError> {
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
