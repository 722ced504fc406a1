//! Deletes the objects of add-ons that the specification doesn't ask for any more, and those that an add-on had in an
//! earlier version.
//!
//! Applying deletes nothing, so the cluster holds a record of the objects that the add-ons consist of, a ConfigMap. A
//! master adds its own add-ons' objects to it before it applies them, whenever it boots; once they are applied, it deletes
//! what is in the record and in none of its add-ons, and strikes that off. What was never recorded, or doesn't carry the
//! mark of an add-on any more because somebody else has taken it over, is left alone.
//!
//! This is done once in a boot: of several masters, the one that has booted last has the newest configuration. Masters that
//! boot at the same time don't lose each other's records: the API server refuses to write over another version of the
//! ConfigMap than the one that was read (409), and whoever is refused reads it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::{Api, Client, discovery};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::background::every::{Every, every};
use crate::kubernetes::api::ApiError;

/// Deletes them. It ends when they are deleted.
pub const TASK: Every = every("delete_objects_of_former_addons", Duration::from_secs(15)).at_once();

const NAMESPACE: &str = "kube-system";
const NAME: &str = "windlass-addons";
/// The record's key in the ConfigMap.
const KEY: &str = "objects";
/// Whose the fields are that are written.
const FIELD_MANAGER: &str = "windlass";
/// Every object of an add-on has these two labels; the second one's value is the add-on's name.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "windlass");
const ADDON: &str = "windlass.dev/addon";

/// An object of an add-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddonObject {
    api_version: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
}

impl AddonObject {
    /// Whether two are the same object: one in another version of its API is.
    fn is(&self, other: &Self) -> bool {
        group(&self.api_version) == group(&other.api_version)
            && (&self.kind, &self.namespace, &self.name) == (&other.kind, &other.namespace, &other.name)
    }
}

/// The group of an API version: `apps` of `apps/v1`, nothing of `v1`.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// What is read of a manifest's document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

/// The objects of a manifest of several documents, in their order. Fails where one is no object.
pub fn of_manifest(manifest: &[u8]) -> Result<Vec<AddonObject>, serde_yaml::Error> {
    let documents = serde_yaml::Deserializer::from_slice(manifest).map(Option::<Document>::deserialize);
    let objects =
        documents.filter_map(|document| {
            let object = |Document { api_version, kind, metadata: Metadata { name, namespace } }| {
                AddonObject { api_version, kind, namespace, name }
            };
            document.map(|document| document.map(object)).transpose()
        });
    objects.collect()
}

/// The record as it was read.
#[derive(Debug, Default)]
struct Record {
    objects: Vec<AddonObject>,
    /// The version of the ConfigMap (`metadata.resourceVersion`); `None` where there is none.
    version: Option<String>,
}

/// Adds the objects of the add-ons to the record. Fails where another master has written it meanwhile: it is tried again.
pub async fn record(client: &Client, objects: &[AddonObject]) -> Result<(), ApiError> {
    let record = Record::read(client).await?;
    let recorded = &record.objects;
    let new = objects.iter().filter(|object| !recorded.contains(object));
    // One that is recorded in another version of its API is recorded in this one instead.
    let others =
        recorded.iter().filter(|other| !objects.iter().any(|object| object.is(other) && object != *other));
    let all: Vec<AddonObject> = others.chain(new).cloned().collect();
    if all == *recorded { Ok(()) } else { record.replace(client, &all).await }
}

/// The task: deletes what is in the record and not among the objects of the add-ons, which are applied.
pub async fn delete_former(agent: Arc<Agent>, client: Client, objects: Vec<AddonObject>) {
    let mut rounds = TASK.rounds(&agent.reporter);
    loop {
        rounds.next().await;
        if rounds.tell(delete(&client, &objects).await).is_some() {
            return;
        }
    }
}

/// Deletes what is in the record and not among these objects, the last one first, and strikes it off.
async fn delete(client: &Client, objects: &[AddonObject]) -> Result<(), ApiError> {
    let record = Record::read(client).await?;
    let is_kept = |other: &AddonObject| objects.iter().any(|object| object.is(other));
    let (kept, former): (Vec<_>, Vec<_>) = record.objects.iter().cloned().partition(is_kept);
    for object in former.iter().rev() {
        delete_one(client, object).await?;
    }
    if former.is_empty() { Ok(()) } else { record.replace(client, &kept).await }
}

async fn delete_one(client: &Client, object: &AddonObject) -> Result<(), ApiError> {
    let AddonObject { api_version, kind, namespace, name } = object;
    let failed = |source| ApiError::request(format!("delete the {kind} {name} of a former add-on"), source);
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let kind = GroupVersionKind::gvk(group(api_version), version, kind);
    let resource = match discovery::pinned_kind(client, &kind).await {
        Ok((resource, _)) => resource,
        // Its definition is gone, and every object of the kind with it.
        Err(kube::Error::Discovery(_)) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let Some(found) = api.get_opt(name).await.map_err(failed)? else { return Ok(()) };
    if !carries_mark(found.metadata.labels.as_ref()) {
        tracing::info!(%name, "an object of a former add-on is somebody else's now, and stays");
        return Ok(());
    }
    // Only the very object that was looked at.
    let preconditions =
        Preconditions { uid: found.metadata.uid, resource_version: found.metadata.resource_version };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    match api.delete(name, &parameters).await {
        Ok(_) => tracing::info!(%name, kind = %resource.kind, "deleted an object of a former add-on"),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(source) => return Err(failed(source)),
    }
    Ok(())
}

fn carries_mark(labels: Option<&BTreeMap<String, String>>) -> bool {
    labels.is_some_and(|labels| {
        labels.get(MANAGED_BY.0).is_some_and(|value| value == MANAGED_BY.1) && labels.contains_key(ADDON)
    })
}

impl Record {
    /// Reads it. One that can't be read counts as empty: nothing is deleted by it, and it is written anew.
    async fn read(client: &Client) -> Result<Self, ApiError> {
        let found = config_maps(client).get_opt(NAME).await;
        let found = found.map_err(|error| ApiError::request("show which objects add-ons have", error))?;
        let Some(map) = found else { return Ok(Self::default()) };
        let version = map.metadata.resource_version;
        let Some(text) = map.data.and_then(|mut data| data.remove(KEY)) else {
            return Ok(Self { objects: Vec::new(), version });
        };
        let objects = serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "the record of the add-ons' objects can't be read, and is written anew");
            Vec::new()
        });
        Ok(Self { objects, version })
    }

    /// Writes these objects in its place. Fails where the ConfigMap isn't any more what was read.
    async fn replace(&self, client: &Client, objects: &[AddonObject]) -> Result<(), ApiError> {
        let (maps, mut map) = (config_maps(client), config_map(objects));
        let written = if self.version.is_some() {
            // The API server applies nothing where the object has another version (Kubernetes API conventions,
            // "Concurrency Control and Consistency").
            map.metadata.resource_version.clone_from(&self.version);
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            maps.patch(NAME, &parameters, &Patch::Apply(map)).await
        } else {
            let parameters =
                PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            maps.create(&parameters, &map).await
        };
        written.map(drop).map_err(|error| ApiError::request("record which objects add-ons have", error))
    }
}

fn config_maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), NAMESPACE)
}

/// The ConfigMap that records these objects.
fn config_map(objects: &[AddonObject]) -> ConfigMap {
    let text = serde_json::to_string_pretty(objects).unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(NAME.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        labels: Some([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into()),
        ..ObjectMeta::default()
    };
    ConfigMap { metadata, data: Some([(KEY.to_owned(), text)].into()), ..ConfigMap::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::{Host, file};
    use crate::kubernetes::api::{ADMIN_KUBECONFIG, connect_as_admin};
    use crate::testing::fake_api::FakeApi;

    const TOKEN: &str = "abcdef.0123456789abcdef";
    const MAP: &str = "/api/v1/namespaces/kube-system/configmaps/windlass-addons";
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/kube-system/deployments/metrics-server";
    const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:metrics-server";
    const MANIFEST: &[u8] = b"# first\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  \
        name: system:metrics-server\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: metrics-server\n  \
        namespace: kube-system\nspec: {replicas: 1}\n---\n";

    struct World {
        api: FakeApi,
        client: Client,
        _folder: tempfile::TempDir,
    }

    impl World {
        /// An API with the two objects of the manifest, which are recorded.
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (host, api) = (Host::folder(folder.path()), FakeApi::start().await);
            api.know(TOKEN);
            file::ensure(&host.path(ADMIN_KUBECONFIG), api.kubeconfig(TOKEN), file::PRIVATE).unwrap();
            let client = connect_as_admin(&host).await.unwrap();
            for (path, name, kind) in [
                ("apps/v1", "deployments", "Deployment"),
                ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole"),
            ] {
                let resource = json!({"name": name, "singularName": "", "namespaced": kind == "Deployment", "kind": kind, "verbs": ["get", "delete"]});
                let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": path, "resources": [resource]});
                api.hold(&format!("/apis/{path}"), list);
            }
            let world = Self { api, client, _folder: folder };
            world.hold(DEPLOYMENT, "windlass");
            world.hold(ROLE, "windlass");
            record(&world.client, &of_manifest(MANIFEST).unwrap()).await.unwrap();
            world
        }

        fn hold(&self, path: &str, managed_by: &str) {
            let (version, kind) = match path {
                DEPLOYMENT => ("apps/v1", "Deployment"),
                _ => ("rbac.authorization.k8s.io/v1", "ClusterRole"),
            };
            let name = path.rsplit('/').next();
            let labels =
                json!({"app.kubernetes.io/managed-by": managed_by, "windlass.dev/addon": "metrics-server"});
            let metadata = json!({"name": name, "uid": "1", "resourceVersion": "1", "labels": labels});
            self.api.hold(path, json!({"apiVersion": version, "kind": kind, "metadata": metadata}));
        }

        fn holds(&self, path: &str) -> bool {
            self.api.held().iter().any(|held| held == path)
        }

        async fn recorded(&self) -> Vec<String> {
            let recorded = Record::read(&self.client).await.unwrap().objects;
            recorded.into_iter().map(|object| format!("{} {}", object.api_version, object.name)).collect()
        }
    }

    #[test]
    fn the_objects_of_a_manifest_are_all_of_its_documents() {
        let objects = of_manifest(MANIFEST).unwrap();
        let told: Vec<_> = objects.iter().map(|it| (it.kind.as_str(), it.namespace.as_deref())).collect();
        assert_eq!(told, [("ClusterRole", None), ("Deployment", Some("kube-system"))]);
        assert!(of_manifest(b"kind: A\n").is_err());
    }

    #[tokio::test]
    async fn what_no_add_on_has_any_more_is_deleted_and_struck_off() {
        let world = World::new().await;
        let objects = of_manifest(MANIFEST).unwrap();
        assert!(world.holds(MAP));
        delete(&world.client, &objects).await.unwrap();
        assert!(world.holds(DEPLOYMENT) && world.holds(ROLE), "they are asked for");
        delete(&world.client, &objects[..1]).await.unwrap();
        assert!(!world.holds(DEPLOYMENT) && world.holds(ROLE));
        assert_eq!(world.recorded().await, ["rbac.authorization.k8s.io/v1 system:metrics-server"]);
        delete(&world.client, &[]).await.unwrap();
        assert!(!world.holds(ROLE));
        assert!(world.recorded().await.is_empty());
    }

    #[tokio::test]
    async fn of_two_masters_that_write_the_record_at_once_the_second_is_refused_and_adds_to_what_the_first_wrote()
     {
        let world = World::new().await;
        let of = |name: &str| {
            of_manifest(format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n").as_bytes())
        };
        let (one, other) = (of("one").unwrap(), of("other").unwrap());
        for there_is_none in [false, true] {
            if there_is_none {
                world.api.take_away(MAP);
            }
            let read = Record::read(&world.client).await.unwrap();
            record(&world.client, &one).await.unwrap();
            let refused = read.replace(&world.client, &other).await.unwrap_err();
            let ApiError::Request(_, source) = &refused else { panic!("{refused}") };
            assert!(matches!(&**source, kube::Error::Api(status) if status.code == 409), "{source:?}");
            record(&world.client, &other).await.unwrap();
            let recorded = world.recorded().await;
            assert!(recorded.ends_with(&["v1 one".to_owned(), "v1 other".to_owned()]), "{recorded:?}");
        }
    }

    #[tokio::test]
    async fn what_somebody_else_has_taken_over_or_was_never_recorded_stays() {
        let world = World::new().await;
        world.hold(DEPLOYMENT, "somebody");
        let unrecorded = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
        world.hold(unrecorded, "windlass");
        delete(&world.client, &[]).await.unwrap();
        assert!(world.holds(DEPLOYMENT) && world.holds(unrecorded));
        assert!(!world.holds(ROLE));
        assert!(world.recorded().await.is_empty(), "it is looked at once");
    }

    #[tokio::test]
    async fn what_cannot_be_deleted_stays_recorded_and_is_tried_again() {
        let world = World::new().await;
        world.api.break_below(Some(DEPLOYMENT));
        let error = delete(&world.client, &[]).await.unwrap_err();
        assert!(
            error.to_string().contains("delete the Deployment metrics-server of a former add-on"),
            "{error}"
        );
        assert_eq!(world.recorded().await.len(), 2);
        world.api.break_below(None);
        delete(&world.client, &[]).await.unwrap();
        assert!(!world.holds(DEPLOYMENT) && !world.holds(ROLE));
    }

    #[tokio::test]
    async fn an_object_whose_definition_is_gone_is_gone() {
        let world = World::new().await;
        let own = b"apiVersion: example.com/v1\nkind: Gone\nmetadata: {name: a}\n";
        record(&world.client, &of_manifest(own).unwrap()).await.unwrap();
        assert_eq!(world.recorded().await.len(), 3, "what others need is still recorded");
        delete(&world.client, &of_manifest(MANIFEST).unwrap()).await.unwrap();
        assert_eq!(world.recorded().await.len(), 2);
    }

    #[tokio::test]
    async fn an_object_in_another_version_of_its_api_is_the_same_object() {
        let world = World::new().await;
        let objects =
            of_manifest(&String::from_utf8_lossy(MANIFEST).replace("apps/v1", "apps/v2").into_bytes())
                .unwrap();
        record(&world.client, &objects).await.unwrap();
        assert_eq!(
            world.recorded().await,
            ["rbac.authorization.k8s.io/v1 system:metrics-server", "apps/v2 metrics-server"]
        );
        delete(&world.client, &objects).await.unwrap();
        assert!(world.holds(DEPLOYMENT));
    }

    #[tokio::test]
    async fn a_record_that_somebody_has_broken_deletes_nothing_and_is_written_anew() {
        let world = World::new().await;
        world.api.hold(
            MAP,
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "resourceVersion": "7"},
                "data": {KEY: "x"},
            }),
        );
        delete(&world.client, &[]).await.unwrap();
        assert!(world.holds(DEPLOYMENT) && world.holds(ROLE));
        record(&world.client, &of_manifest(MANIFEST).unwrap()).await.unwrap();
        assert_eq!(world.recorded().await.len(), 2);
    }
}
