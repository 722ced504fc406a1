//! The cluster's keys as the model takes them: those that are made, and what stands for them before they are.

use std::collections::BTreeSet;

use windlass_bootstrap::keys;
use windlass_bootstrap::keyset::{Keyset, Secret};

use super::OperationError;
use crate::cloud::state_object::{Content, StateObject};
use crate::model::Keys;
use crate::pki::discovery;
use crate::pki::keyset::KEYSETS;
use crate::state::Secrets;

/// What stands in a node configuration for authorities that aren't made yet. Only a plan ever shows it.
const NOT_MADE_YET: &str = "(made when the cluster is first updated)";

/// The keys that are made.
pub(super) fn made(cluster: &str, secrets: &Secrets) -> Result<Keys, OperationError> {
    let Secrets { kubernetes_ca, etcd_ca, front_proxy_ca, service_account, encryption_configuration } =
        secrets;
    let keysets = [kubernetes_ca, etcd_ca, front_proxy_ca, service_account];
    let mut objects =
        keysets.map(|keyset| keyset_object(cluster, keyset)).into_iter().collect::<Result<Vec<_>, _>>()?;
    objects.push(encryption_object(cluster, encryption_configuration.clone()));
    let service_account_jwks = discovery::jwks(service_account)?;
    let kubernetes_ca = kubernetes_ca.bundle();
    let kubernetes_thumbprints = discovery::thumbprints(&kubernetes_ca);
    Ok(Keys { kubernetes_ca, service_account_jwks, kubernetes_thumbprints, objects })
}

fn keyset_object(cluster: &str, keyset: &Keyset) -> Result<StateObject, OperationError> {
    let text = serde_json::to_string(keyset);
    let text = text.map_err(|source| OperationError::Json { what: "a keyset", source })?;
    let ids = keyset.keys.iter().map(|key| key.id.clone()).collect();
    Ok(secret_object(
        keys::keyset(cluster, &keyset.name),
        format!("the keyset {}", keyset.name),
        ids,
        Secret::new(text),
    ))
}

fn encryption_object(cluster: &str, text: Secret) -> StateObject {
    let describes = "the key with which etcd's secrets are encrypted".to_owned();
    secret_object(keys::encryption_configuration(cluster), describes, Vec::new(), text)
}

/// What a plan shows for keys that it will make.
pub(super) fn not_made(cluster: &str) -> Keys {
    let keyset = |name: &&str| {
        secret_object(keys::keyset(cluster, name), format!("the keyset {name}"), Vec::new(), Secret::new(""))
    };
    let mut objects: Vec<StateObject> = KEYSETS.iter().map(keyset).collect();
    objects.push(encryption_object(cluster, Secret::new("")));
    Keys {
        kubernetes_ca: NOT_MADE_YET.to_owned(),
        service_account_jwks: NOT_MADE_YET.to_owned(),
        kubernetes_thumbprints: vec![NOT_MADE_YET.to_owned()],
        objects,
    }
}

fn secret_object(name: String, describes: String, keys: Vec<String>, text: Secret) -> StateObject {
    StateObject { name, describes, names: BTreeSet::new(), content: Some(Content::Secret { keys, text }) }
}
