//! The instance metadata service for unit tests: what it is told to say, to who has a token.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_config::imds::client::{Client, EndpointMode};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};

/// The service, and what it says. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FakeMetadata {
    address: SocketAddr,
    said: Arc<Mutex<BTreeMap<String, String>>>,
}

impl FakeMetadata {
    /// Serves on a port of the loopback; it says nothing yet.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let metadata = Self { address: listener.local_addr().unwrap(), said: Arc::default() };
        let token = ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "token");
        let routes = Router::new()
            .route("/latest/api/token", put(async move || token))
            .route("/latest/meta-data/{*path}", get(answer))
            .route("/latest/user-data", get(user_data))
            .with_state(metadata.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        metadata
    }

    /// Who asks it.
    pub(crate) fn client(&self) -> Client {
        let endpoint = format!("http://{}", self.address);
        Client::builder().endpoint(endpoint).unwrap().endpoint_mode(EndpointMode::IpV4).build()
    }

    /// Who asks where nobody answers.
    pub(crate) async fn gone() -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let builder = Client::builder().endpoint(format!("http://{address}")).unwrap();
        builder.endpoint_mode(EndpointMode::IpV4).max_attempts(1).build()
    }

    /// From now on the user data are this.
    pub(crate) fn say_user_data(&self, value: &str) {
        self.say(USER_DATA, value);
    }

    /// From now on it says this.
    pub(crate) fn say(&self, path: &str, value: &str) {
        self.said.lock().unwrap().insert(path.to_owned(), value.to_owned());
    }
}

/// The name of the user data among what is said: no path of the metadata.
const USER_DATA: &str = "/user-data";

async fn user_data(state: State<FakeMetadata>) -> Response {
    answer(state, Path(USER_DATA.to_owned())).await
}

async fn answer(State(metadata): State<FakeMetadata>, Path(path): Path<String>) -> Response {
    match metadata.said.lock().unwrap().get(&path) {
        Some(value) => value.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
