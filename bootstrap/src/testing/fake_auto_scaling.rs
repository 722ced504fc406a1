//! Auto Scaling for unit tests, as an instance sees it: lifecycle hooks that wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::aws::lifecycle::Lifecycle;
use crate::contract::config::NodeConfig;

/// Auto Scaling, and who waits. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FakeAutoScaling {
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    waiting: BTreeSet<String>,
    told: Vec<String>,
}

impl FakeAutoScaling {
    /// Serves on a port of the loopback; these hooks wait.
    pub(crate) async fn start(waiting: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let waiting = waiting.iter().map(|&hook| hook.to_owned()).collect();
        let held = Held { waiting, told: Vec::new() };
        let fake = Self { address: listener.local_addr().unwrap(), held: Arc::new(Mutex::new(held)) };
        let routes = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        fake
    }

    /// Who asks it.
    pub(crate) async fn client(&self, config: &NodeConfig, instance: &str) -> Lifecycle {
        let credentials = aws_sdk_autoscaling::config::Credentials::new("key", "secret", None, None, "test");
        let sdk = crate::aws::configuration("us-east-1", &crate::aws::Access::default()).await;
        let builder = aws_sdk_autoscaling::config::Builder::from(&sdk)
            .endpoint_url(format!("http://{}", self.address))
            .credentials_provider(credentials);
        Lifecycle::with_client(aws_sdk_autoscaling::Client::from_conf(builder.build()), config, instance)
    }

    /// From now on this hook waits.
    pub(crate) fn wait_for(&self, hook: &str) {
        self.held.lock().unwrap().waiting.insert(hook.to_owned());
    }

    /// The hooks that wait.
    pub(crate) fn waiting(&self) -> Vec<String> {
        self.held.lock().unwrap().waiting.iter().cloned().collect()
    }

    /// From now on a hook doesn't wait.
    pub(crate) fn wait_no_more(&self, hook: &str) {
        self.held.lock().unwrap().waiting.remove(hook);
    }

    /// What it was told: an action, the group, the hook and the instance each time.
    pub(crate) fn told(&self) -> Vec<String> {
        self.held.lock().unwrap().told.clone()
    }
}

async fn answer(State(fake): State<FakeAutoScaling>, form: String) -> Response {
    let fields: BTreeMap<&str, &str> = form.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let (action, hook) = (fields["Action"], fields["LifecycleHookName"]);
    let mut held = fake.held.lock().unwrap();
    let line = [action, fields["AutoScalingGroupName"], hook, fields["InstanceId"]].join(" ");
    held.told.push(line);
    let waits = match action {
        "CompleteLifecycleAction" => {
            assert_eq!(fields["LifecycleActionResult"], "CONTINUE");
            held.waiting.remove(hook)
        }
        _ => held.waiting.contains(hook),
    };
    if !waits {
        let error = "<Type>Sender</Type><Code>ValidationError</Code><Message>No active Lifecycle Action found with \
                     instance ID i-1</Message>";
        let body = format!("<ErrorResponse><Error>{error}</Error><RequestId>r</RequestId></ErrorResponse>");
        return (StatusCode::BAD_REQUEST, body).into_response();
    }
    let space = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
    format!("<{action}Response xmlns=\"{space}\"><{action}Result/></{action}Response>").into_response()
}
