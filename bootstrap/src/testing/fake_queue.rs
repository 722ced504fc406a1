//! A queue of SQS's for unit tests: it gives all its messages at once, until they are deleted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::aws::queue::Queue;

/// The queue. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FakeQueue {
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug)]
struct Held {
    messages: Vec<String>,
    is_there: bool,
}

impl FakeQueue {
    /// Serves on a port of the loopback; these messages are in it.
    pub(crate) async fn start(messages: &[String]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let held = Held { messages: messages.to_vec(), is_there: true };
        let queue = Self { address: listener.local_addr().unwrap(), held: Arc::new(Mutex::new(held)) };
        let routes = Router::new().fallback(answer).with_state(queue.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        queue
    }

    /// Who asks it.
    pub(crate) async fn client(&self) -> Queue {
        let credentials = aws_sdk_sqs::config::Credentials::new("key", "secret", None, None, "test");
        let sdk = crate::aws::configuration("us-east-1", &crate::aws::Access::default()).await;
        let builder = aws_sdk_sqs::config::Builder::from(&sdk)
            .endpoint_url(format!("http://{}", self.address))
            .credentials_provider(credentials);
        Queue::with_client(aws_sdk_sqs::Client::from_conf(builder.build()), "demo-nth")
    }

    /// What nobody deleted.
    pub(crate) fn left(&self) -> Vec<String> {
        self.held.lock().unwrap().messages.clone()
    }

    /// There is no such queue any more.
    pub(crate) fn vanish(&self) {
        self.held.lock().unwrap().is_there = false;
    }
}

async fn answer(State(queue): State<FakeQueue>, headers: HeaderMap, asked: String) -> Response {
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let mut held = queue.held.lock().unwrap();
    if !held.is_there {
        let error = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "NonExistentQueue"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let action = headers["x-amz-target"].to_str().unwrap().trim_start_matches("AmazonSQS.");
    let said = match action {
        "GetQueueUrl" => json!({"QueueUrl": format!("http://{}/{}", queue.address, asked["QueueName"])}),
        "ReceiveMessage" => {
            let messages = held.messages.iter();
            let message = |body: &String| json!({"MessageId": "m", "ReceiptHandle": body, "Body": body});
            json!({"Messages": messages.map(message).collect::<Vec<_>>()})
        }
        "DeleteMessage" => {
            held.messages.retain(|body| asked["ReceiptHandle"] != *body);
            json!({})
        }
        other => panic!("{other} isn't asked for"),
    };
    Json(said).into_response()
}
