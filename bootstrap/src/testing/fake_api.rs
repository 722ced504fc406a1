//! A Kubernetes API for unit tests, as much of it as a node needs to join and a master's agent to be done: certificate
//! requests, who one is, bindings, bootstrap tokens, and a Node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// The API, and what it holds. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FakeApi {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<String>,
    requests: BTreeMap<String, Value>,
    created: usize,
    version: u64,
    /// The checks that fail.
    failing: Vec<String>,
    /// The other objects by path.
    objects: BTreeMap<String, Value>,
    /// Paths that begin so are answered with an error.
    broken: Option<String>,
    /// Paths that begin so are refused, with this code and these details.
    refused: Option<(String, u16, Value)>,
}

impl FakeApi {
    /// Serves on a port of the loopback; it knows no token yet.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let routes = Router::new()
            .route(REQUESTS, get(list).post(create))
            .route(&format!("{REQUESTS}/{{name}}"), get(show))
            .route("/readyz", get(readyz))
            .fallback(any_object)
            .layer(from_fn_with_state(api.clone(), authenticate))
            .with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        api
    }

    /// From now on it takes this token.
    pub(crate) fn know(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    /// A kubeconfig with which one is known by this token.
    pub(crate) fn kubeconfig(&self, token: &str) -> String {
        let server = format!("http://{}", self.address);
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        })
        .to_string()
    }

    /// From now on these checks fail.
    pub(crate) fn fail(&self, checks: &[&str]) {
        self.state.lock().unwrap().failing = checks.iter().map(|&check| check.to_owned()).collect();
    }

    /// From now on what is below this path is answered with an error.
    pub(crate) fn break_below(&self, path: Option<&str>) {
        self.state.lock().unwrap().broken = path.map(str::to_owned);
    }

    /// From now on what is below this path is refused, with this code and these details.
    pub(crate) fn refuse_below(&self, refused: Option<(&str, u16, Value)>) {
        let refused = refused.map(|(path, code, details)| (path.to_owned(), code, details));
        self.state.lock().unwrap().refused = refused;
    }

    /// Who asks it, known by this token.
    pub(crate) async fn client(&self, token: &str) -> kube::Client {
        let kubeconfig = kube::config::Kubeconfig::from_yaml(&self.kubeconfig(token)).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        config.default_retry = false;
        config.try_into().unwrap()
    }

    /// The object at this path.
    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// There is an object at this path.
    pub(crate) fn hold(&self, path: &str, object: Value) {
        self.state.lock().unwrap().objects.insert(path.to_owned(), object);
    }

    /// There is no object at this path any more.
    pub(crate) fn take_away(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path);
    }

    /// The paths of the objects, certificate requests aside.
    pub(crate) fn held(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    /// How many requests were made.
    pub(crate) fn created(&self) -> usize {
        self.state.lock().unwrap().created
    }

    /// Waits for a request that isn't answered, and returns its name and the request in PEM.
    pub(crate) async fn unanswered(&self) -> (String, String) {
        loop {
            let open = self.state.lock().unwrap().requests.iter().find_map(|(name, object)| {
                object["status"].is_null().then(|| (name.clone(), object["spec"]["request"].clone()))
            });
            if let Some((name, request)) = open {
                let request: k8s_openapi::ByteString = serde_json::from_value(request).unwrap();
                return (name, String::from_utf8(request.0).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Approves a request and issues its certificate.
    pub(crate) fn issue(&self, name: &str, certificate: &str) {
        let certificate = k8s_openapi::ByteString(certificate.as_bytes().to_vec());
        self.answer(name, &json!({"conditions": [condition("Approved", "")], "certificate": certificate}));
    }

    /// Denies a request.
    pub(crate) fn deny(&self, name: &str, why: &str) {
        self.answer(name, &json!({"conditions": [condition("Denied", why)]}));
    }

    fn answer(&self, name: &str, status: &Value) {
        let mut held = self.state.lock().unwrap();
        held.version += 1;
        let version = held.version.to_string();
        let object = held.requests.get_mut(name).unwrap();
        object["status"] = status.clone();
        object["metadata"]["resourceVersion"] = version.into();
    }
}

fn condition(kind: &str, why: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": "Test", "message": why, "lastUpdateTime": Timestamp::now()})
}

async fn authenticate(
    State(api): State<FakeApi>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let known = api.state.lock().unwrap().token.clone().map(|token| format!("Bearer {token}"));
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if known.is_none() || known.as_deref() != given {
        return refuse(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    next.run(request).await
}

fn refuse(code: StatusCode, reason: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}

async fn readyz(State(api): State<FakeApi>) -> Response {
    let failing = api.state.lock().unwrap().failing.clone();
    if failing.is_empty() {
        return "ok".into_response();
    }
    let lines = failing.iter().map(|check| format!("[-]{check} failed: reason withheld\n"));
    (StatusCode::INTERNAL_SERVER_ERROR, lines.collect::<String>()).into_response()
}

/// Objects that are kept as they come, with a version that every write changes. What names another version than there is,
/// or creates what is there, is refused.
async fn any_object(State(api): State<FakeApi>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let mut held = api.state.lock().unwrap();
    if held.broken.as_ref().is_some_and(|broken| path.starts_with(broken)) {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    }
    if let Some((_, code, details)) = held.refused.as_ref().filter(|(below, ..)| path.starts_with(below)) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                            "message": "refused", "reason": "TooManyRequests", "code": code, "details": details});
        return (StatusCode::from_u16(*code).unwrap(), Json(status)).into_response();
    }
    if method == axum::http::Method::GET {
        return match held.objects.get(&path) {
            Some(object) => Json(object.clone()).into_response(),
            None => refuse(StatusCode::NOT_FOUND, "NotFound"),
        };
    }
    if method == axum::http::Method::DELETE {
        return match held.objects.remove(&path) {
            Some(_) => {
                Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})).into_response()
            }
            None => refuse(StatusCode::NOT_FOUND, "NotFound"),
        };
    }
    let Ok(mut object) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "BadRequest");
    };
    let path = match object["metadata"]["name"].as_str() {
        Some(name) if method == axum::http::Method::POST => format!("{path}/{name}"),
        _ => path,
    };
    let there = held.objects.get(&path).map(|there| there["metadata"]["resourceVersion"].clone());
    if there.is_some() && method == axum::http::Method::POST {
        return refuse(StatusCode::CONFLICT, "AlreadyExists");
    }
    let named = &object["metadata"]["resourceVersion"];
    if !named.is_null() && there.as_ref() != Some(named) {
        return refuse(StatusCode::CONFLICT, "Conflict");
    }
    held.version += 1;
    object["metadata"]["resourceVersion"] = held.version.to_string().into();
    held.objects.insert(path, object.clone());
    Json(object).into_response()
}

async fn create(State(api): State<FakeApi>, Json(mut object): Json<Value>) -> Response {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let mut held = api.state.lock().unwrap();
    if held.requests.contains_key(&name) {
        return refuse(StatusCode::CONFLICT, "AlreadyExists");
    }
    held.version += 1;
    held.created += 1;
    object["metadata"]["resourceVersion"] = held.version.to_string().into();
    object["metadata"]["uid"] = name.clone().into();
    object["status"] = Value::Null;
    held.requests.insert(name, object.clone());
    (StatusCode::CREATED, Json(object)).into_response()
}

async fn show(State(api): State<FakeApi>, Path(name): Path<String>) -> Response {
    match api.state.lock().unwrap().requests.get(&name) {
        Some(object) => Json(object.clone()).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "NotFound"),
    }
}

async fn list(State(api): State<FakeApi>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let name = query.get("fieldSelector").and_then(|fields| fields.strip_prefix("metadata.name=")).unwrap();
    if query.get("watch").is_some_and(|watch| watch == "true") {
        let seen: u64 = query["resourceVersion"].parse().unwrap();
        return watch(api, name.to_owned(), seen);
    }
    let held = api.state.lock().unwrap();
    let items: Vec<&Value> = held.requests.get(name).into_iter().collect();
    let version = held.version.to_string();
    Json(json!({
        "kind": "CertificateSigningRequestList", "apiVersion": "certificates.k8s.io/v1",
        "metadata": {"resourceVersion": version}, "items": items,
    }))
    .into_response()
}

/// Tells of each change of an object.
fn watch(api: FakeApi, name: String, seen: u64) -> Response {
    let events = futures::stream::unfold(seen, move |seen| {
        let (api, name) = (api.clone(), name.clone());
        async move {
            loop {
                let object = api.state.lock().unwrap().requests.get(&name).cloned();
                let version = object.as_ref().and_then(|object| {
                    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok())
                });
                if let Some(version) = version.filter(|version| *version > seen) {
                    let line = format!("{}\n", json!({"type": "MODIFIED", "object": object}));
                    return Some((Ok::<_, std::io::Error>(line), version));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(events)).into_response()
}
