//! The whole approver, against a Kubernetes API and an EC2 of the test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::Approver;
use crate::aws::ec2::Ec2;

const NODE: &str = "i-0123456789abcdef0";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const MEMORY: &str = "/api/v1/namespaces/kube-system/configmaps/windlass-kubelet-certificates";

/// Both services; clones share them.
#[derive(Clone)]
struct World {
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
    events: broadcast::Sender<String>,
}

#[derive(Default)]
struct Held {
    /// Kubernetes' objects by path.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// EC2's instances: id, the Auto Scaling group that launched it, and when.
    instances: BTreeMap<String, (String, Timestamp)>,
    /// The ids that EC2 was asked for, call by call.
    asked: Vec<Vec<String>>,
}

impl World {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let world = Self {
            address: listener.local_addr().unwrap(),
            held: Arc::default(),
            events: broadcast::channel(1000).0,
        };
        let born = json!({"metadata": {"name": "kube-system", "creationTimestamp": Timestamp::now()}});
        world.store("/api/v1/namespaces/kube-system", born);
        let routes = Router::new().fallback(answer).with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        world
    }

    /// Runs an approver; it ends with the task.
    async fn approver(&self) -> tokio::task::JoinHandle<()> {
        let url = format!("http://{}", self.address);
        let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        let credentials = aws_sdk_ec2::config::Credentials::new("key", "secret", None, None, "test");
        let sdk = crate::aws::configuration("us-east-1", &crate::aws::Access::default()).await;
        let ec2 =
            aws_sdk_ec2::config::Builder::from(&sdk).endpoint_url(url).credentials_provider(credentials);
        let ec2 = Ec2::with_client(aws_sdk_ec2::Client::from_conf(ec2.build()), "demo.example.com");
        let approver = Approver { client, ec2, longest: Duration::from_hours(168) };
        tokio::spawn(async move { approver.run().await.unwrap() })
    }

    fn store(&self, path: &str, mut object: Value) -> Value {
        let mut held = self.held.lock().unwrap();
        held.version += 1;
        object["metadata"]["resourceVersion"] = held.version.to_string().into();
        let verb = if held.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        held.objects.insert(path.to_owned(), object.clone());
        if path.starts_with(REQUESTS) {
            let _ = self.events.send(json!({"type": verb, "object": object}).to_string() + "\n");
        }
        object
    }

    fn launch(&self, id: &str, group: &str) {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        self.held.lock().unwrap().instances.insert(id.to_owned(), (group.to_owned(), now));
    }

    /// A kubelet asks, with a bootstrap token and a new key, for the certificate of a name.
    fn ask(&self, request: &str, name: &str) {
        use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{name}"));
        let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": request},
            "spec": {
                "request": k8s_openapi::ByteString(pem.into_bytes()),
                "signerName": super::CLIENT_SIGNER,
                "usages": ["digital signature", "client auth"],
                "username": "system:bootstrap:abcdef",
                "groups": ["system:bootstrappers", "system:authenticated"],
            },
        });
        self.store(&format!("{REQUESTS}/{request}"), object);
    }

    /// The verdicts on a request: kind and message.
    fn verdicts(&self, request: &str) -> Vec<(String, String)> {
        let held = self.held.lock().unwrap();
        let conditions = held.objects[&format!("{REQUESTS}/{request}")]["status"]["conditions"].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let conditions = conditions.as_array().cloned().unwrap_or_default();
        conditions.iter().map(|it| (text(&it["type"]), text(&it["message"]))).collect()
    }

    async fn decided(&self, request: &str) -> (String, String) {
        for _ in 0..1000 {
            if let [verdict] = self.verdicts(request).as_slice() {
                return verdict.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody decided {request}: {:?}", self.verdicts(request));
    }
}

async fn answer(State(world): State<World>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    if path == "/" {
        return world.describe_instances(std::str::from_utf8(&body).unwrap());
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match method {
        Method::GET if path == REQUESTS && query.contains("watch=true") => {
            let events = world.events.subscribe();
            let missed = world.since(&query).into_iter().map(Ok);
            let coming =
                futures::stream::unfold(
                    events,
                    |mut events| async move { Some((events.recv().await, events)) },
                );
            Body::from_stream(futures::stream::iter(missed).chain(coming)).into_response()
        }
        Method::GET if path == REQUESTS => {
            let held = world.held.lock().unwrap();
            let items: Vec<&Value> = held
                .objects
                .iter()
                .filter(|(path, _)| path.starts_with(REQUESTS))
                .map(|(_, it)| it)
                .collect();
            let metadata = json!({"resourceVersion": held.version.to_string()});
            Json(json!({"metadata": metadata, "items": items})).into_response()
        }
        Method::GET => {
            let held = world.held.lock().unwrap();
            held.objects
                .get(&path)
                .map_or_else(|| refuse(StatusCode::NOT_FOUND), |it| Json(it).into_response())
        }
        Method::POST => {
            let name = body["metadata"]["name"].as_str().unwrap();
            Json(world.store(&format!("{path}/{name}"), body.clone())).into_response()
        }
        _ => world.change(path.trim_end_matches("/approval"), &body, &method),
    }
}

impl World {
    /// What has changed of requests since the version that a watch begins with.
    fn since(&self, query: &str) -> Vec<String> {
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).map_or(0, number);
        let held = self.held.lock().unwrap();
        let requests = held.objects.iter().filter(|(path, _)| path.starts_with(REQUESTS)).map(|(_, it)| it);
        let later = requests.filter(|it| number(it["metadata"]["resourceVersion"].as_str().unwrap()) > from);
        later.map(|it| json!({"type": "MODIFIED", "object": it}).to_string() + "\n").collect()
    }

    /// Replaces or merges, if what is changed is what was seen.
    fn change(&self, path: &str, body: &Value, method: &Method) -> Response {
        let Some(mut object) = self.held.lock().unwrap().objects.get(path).cloned() else {
            return refuse(StatusCode::NOT_FOUND);
        };
        let seen = &body["metadata"]["resourceVersion"];
        if !seen.is_null() && *seen != object["metadata"]["resourceVersion"] {
            return refuse(StatusCode::CONFLICT);
        }
        if *method == Method::PUT {
            object["status"]["conditions"] = body["status"]["conditions"].clone();
        } else {
            let mut data = object["data"].as_object().cloned().unwrap_or_default();
            data.extend(body["data"].as_object().cloned().unwrap_or_default());
            data.retain(|_, value| !value.is_null());
            object["data"] = data.into();
        }
        Json(self.store(path, object)).into_response()
    }

    /// Answers as EC2 does: a filter's value is a pattern.
    fn describe_instances(&self, form: &str) -> Response {
        let mut held = self.held.lock().unwrap();
        let values = form.split('&').filter_map(|pair| pair.split_once('='));
        let ids: Vec<String> = values
            .map(|(_, value)| value)
            .filter(|value| value.starts_with("i-"))
            .map(str::to_owned)
            .collect();
        let found = |id: &&String| {
            ids.iter()
                .any(|asked| asked == *id || asked.strip_suffix('*').is_some_and(|it| id.starts_with(it)))
        };
        let items = held.instances.keys().filter(found).map(|id| {
            let (group, launched) = &held.instances[id];
            format!(
                "<item><instancesSet><item><instanceId>{id}</instanceId><instanceState><name>running</name>\
                 </instanceState><launchTime>{launched}</launchTime><tagSet><item>\
                 <key>aws:autoscaling:groupName</key><value>{group}</value></item></tagSet></item></instancesSet></item>"
            )
        });
        let items = items.collect::<String>();
        let answer = format!(
            "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>\
             <reservationSet>{items}</reservationSet></DescribeInstancesResponse>"
        );
        held.asked.push(ids);
        answer.into_response()
    }
}

fn refuse(code: StatusCode) -> Response {
    let reason = code.canonical_reason().unwrap().replace(' ', "");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason,
        "reason": reason, "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}

#[tokio::test]
async fn many_that_come_together_are_one_question_to_ec2_and_a_new_group_needs_no_word_to_the_master() {
    let world = World::start().await;
    let ids: BTreeSet<String> = (0..150).map(|number| format!("i-{number:017x}")).collect();
    for id in &ids {
        world.launch(id, "made-just-now.demo.example.com");
        world.ask(&format!("csr-{id}"), id);
    }
    let approver = world.approver().await;
    for id in &ids {
        assert_eq!(world.decided(&format!("csr-{id}")).await.0, "Approved");
    }
    approver.abort();
    let held = world.held.lock().unwrap();
    assert!(held.asked.len() <= 3, "{} questions", held.asked.len());
    assert_eq!(held.asked.iter().flatten().cloned().collect::<BTreeSet<_>>(), ids);
    assert_eq!(held.objects[MEMORY]["data"].as_object().unwrap().len(), 150, "all are remembered");
}

#[tokio::test]
async fn a_pattern_is_never_looked_up_and_what_is_denied_stays_denied_by_the_next_agent() {
    let world = World::start().await;
    world.launch(NODE, "nodes.demo.example.com");
    world.ask("forged", "i-0*");
    let approver = world.approver().await;
    let (verdict, reason) = world.decided("forged").await;
    assert!(verdict == "Denied" && reason.contains("names no instance"), "{verdict}: {reason}");
    approver.abort();
    let approver = world.approver().await;
    world.ask("honest", NODE);
    assert_eq!(world.decided("honest").await.0, "Approved");
    approver.abort();
    assert_eq!(world.verdicts("forged").len(), 1);
    let held = world.held.lock().unwrap();
    assert!(held.asked.iter().flatten().all(|id| id == NODE), "{:?}", held.asked);
}

#[tokio::test]
async fn a_restarted_agent_remembers_to_whom_a_certificate_was_granted() {
    const OTHER: &str = "i-0123456789abcdef1";
    let world = World::start().await;
    world.launch(NODE, "nodes.demo.example.com");
    world.launch(OTHER, "nodes.demo.example.com");
    let approver = world.approver().await;
    world.ask("first", NODE);
    assert_eq!(world.decided("first").await.0, "Approved");
    approver.abort();
    let approver = world.approver().await;
    world.ask("second", NODE);
    world.ask("third", OTHER);
    assert_eq!(world.decided("third").await.0, "Approved");
    // The second was looked at with the third, at the latest.
    tokio::time::sleep(Duration::from_millis(200)).await;
    approver.abort();
    assert!(world.verdicts("second").is_empty(), "{:?}", world.verdicts("second"));
}
