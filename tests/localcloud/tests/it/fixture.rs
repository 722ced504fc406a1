//! A world, and a region that is nothing but its control API: it tells a world that the test changes, and takes
//! the machines' reports as the real one does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router, body::Bytes};
use localcloud::world::{Attachment, AttachmentState, InstanceState, TargetHealth, World};
use serde_json::{Value, json};
use tokio::sync::watch;

/// The world of `world.json`.
pub(crate) fn world() -> World {
    serde_json::from_str(include_str!("world.json")).unwrap()
}

#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) address: SocketAddr,
    world: watch::Sender<World>,
    consoles: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Region {
    /// Serves `world` on a port of the loopback.
    pub(crate) async fn serve(world: World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let region = Self { address, world: watch::Sender::new(world), consoles: Arc::default() };
        let routes = Router::new()
            .route("/_region/world", get(tell))
            .route("/_region/machines", post(|| async { Json(json!({})) }))
            .route("/_region/images", post(|| async { Json(json!({ "imageId": "ami-1" })) }))
            .route("/_region/instances/{id}/state", post(instance))
            .route("/_region/instances/{id}/console", post(console))
            .route("/_region/instances/{id}/credentials", get(credentials))
            .route("/_region/targets", post(target))
            .route("/_region/volumes/{id}/attachment", post(attachment))
            .with_state(region.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        region
    }

    /// Changes the world.
    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        self.world.send_modify(|world| {
            change(world);
            world.generation += 1;
        });
    }

    /// Waits until the world is as `wanted`; fails after a minute with what was wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&World) -> bool) {
        let mut world = self.world.subscribe();
        let came = tokio::time::timeout(Duration::from_mins(1), world.wait_for(wanted)).await;
        assert!(came.is_ok(), "not within a minute: {what}; consoles: {}", self.consoles());
    }

    /// Asks for a volume's attachment to an instance.
    pub(crate) fn attach(&self, volume: &str, instance: &str) {
        self.change(|world| {
            let attachment = Attachment {
                instance: instance.to_owned(),
                device: "/dev/xvdf".to_owned(),
                state: AttachmentState::Attaching,
            };
            let volume = world.volumes.iter_mut().find(|known| known.id == volume).unwrap();
            volume.attachment = Some(attachment);
        });
    }

    /// Waits for the state of a volume's attachment.
    pub(crate) async fn attachment(&self, volume: &str, state: Option<AttachmentState>) {
        self.until(&format!("{volume} {state:?}"), |world| {
            let known = world.volumes.iter().find(|known| known.id == volume).unwrap();
            known.attachment.as_ref().map(|attachment| attachment.state) == state
        })
        .await;
    }

    /// Waits for the state of an instance.
    pub(crate) async fn instance(&self, id: &str, state: InstanceState) {
        self.until(&format!("{id} {}", state.as_str()), |world| {
            world.instances.iter().any(|instance| instance.id == id && instance.state == state)
        })
        .await;
    }

    /// What the consoles say so far.
    pub(crate) fn consoles(&self) -> String {
        let consoles = self.consoles.lock().unwrap();
        consoles.values().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }
}

async fn tell(State(region): State<Region>, Query(query): Query<BTreeMap<String, String>>) -> Json<World> {
    let mut world = region.world.subscribe();
    if let Some(after) = query.get("after").and_then(|after| after.parse::<u64>().ok()) {
        let newer = world.wait_for(|world| world.generation > after);
        let _ = tokio::time::timeout(Duration::from_secs(5), newer).await;
    }
    let told = world.borrow().clone();
    Json(told)
}

async fn instance(
    State(region): State<Region>,
    Path(id): Path<String>,
    Json(report): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let Ok(state) = serde_json::from_value::<InstanceState>(report["state"].clone()) else {
        return (StatusCode::BAD_REQUEST, Json(report));
    };
    region.change(|world| {
        let known = world.instances.iter_mut().filter(|instance| instance.id == id);
        known.for_each(|instance| instance.state = state);
        if state == InstanceState::Terminated {
            let attached = |a: &Attachment| a.instance == id;
            let volumes = world.volumes.iter_mut();
            volumes.filter(|v| v.attachment.as_ref().is_some_and(attached)).for_each(|v| v.attachment = None);
        }
    });
    (StatusCode::OK, Json(json!({})))
}

async fn target(State(region): State<Region>, Json(report): Json<Value>) -> Json<Value> {
    let healthy = report["healthy"] == true;
    region.change(|world| {
        let groups = world.target_groups.iter_mut().filter(|group| report["targetGroup"] == group.arn);
        for target in groups.flat_map(|group| &mut group.targets).filter(|target| report["id"] == target.id) {
            target.health = if healthy { TargetHealth::Healthy } else { TargetHealth::Unhealthy };
        }
    });
    Json(json!({}))
}

async fn attachment(
    State(region): State<Region>,
    Path(id): Path<String>,
    Json(report): Json<Value>,
) -> Json<Value> {
    let state: AttachmentState = serde_json::from_value(report["state"].clone()).unwrap();
    region.change(|world| {
        for volume in world.volumes.iter_mut().filter(|volume| volume.id == id) {
            match state {
                AttachmentState::Detached => volume.attachment = None,
                state => volume.attachment.iter_mut().for_each(|attachment| attachment.state = state),
            }
        }
    });
    Json(json!({}))
}

async fn console(State(region): State<Region>, Path(id): Path<String>, text: Bytes) -> Json<Value> {
    region.consoles.lock().unwrap().entry(id).or_default().extend_from_slice(&text);
    Json(json!({}))
}

async fn credentials() -> Json<Value> {
    Json(json!({"Code": "Success", "AccessKeyId": "ASIAEXAMPLE", "LastUpdated": "2026-11-21T01:02:04Z"}))
}
