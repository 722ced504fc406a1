//! The instance metadata service, version 2: one listener in each VPC's router, at 169.254.169.254.
//!
//! The router's rules let a packet to the service pass only from the instance's own link and with one of the
//! instance's own addresses. So the connection's source address names the instance, and a pod that isn't
//! masqueraded gets no answer. The answer to a token request leaves with the instance's hop limit as its TTL: a
//! masqueraded pod asks, and the answer dies on its way from the instance to the pod, as on EC2.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State, connect_info::Connected};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::serve::IncomingStream;
use base64::Engine as _;
use tokio::net::TcpListener;

use crate::metadata;
use crate::region::Region;
use crate::world::{Instance, World};

/// The longest life of a token, in seconds.
const LONGEST_TOKEN: u64 = 21_600;
/// The header that carries a token.
const TOKEN: &str = "x-aws-ec2-metadata-token";
/// The header that asks for, and tells, a token's life.
const TOKEN_LIFE: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// The TTL of packets that the hop limit doesn't concern.
const DEFAULT_TTL: u32 = 64;

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct Metadata {
    world: Arc<Mutex<Arc<World>>>,
    tokens: Arc<Mutex<Tokens>>,
    region: Region,
}

#[derive(Clone, Debug)]
struct Listener {
    vpc: String,
    metadata: Metadata,
}

/// The connection's other end, and the connection itself.
#[derive(Clone, Debug)]
struct Peer {
    address: SocketAddr,
    connection: Option<Arc<OwnedFd>>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let connection = stream.io().as_fd().try_clone_to_owned().ok().map(Arc::new);
        Self { address: *stream.remote_addr(), connection }
    }
}

impl Metadata {
    /// The service of a cloud; it knows no instance before [`set_world`](Self::set_world).
    pub fn new(region: Region) -> Self {
        let (world, tokens) = (Arc::default(), Arc::default());
        Self { world, tokens, region }
    }

    /// From now on the service speaks of this world.
    pub fn set_world(&self, world: Arc<World>) {
        *self.world.lock().unwrap_or_else(PoisonError::into_inner) = world;
    }

    /// Serves the VPC's instances on a listener in its router, until dropped.
    pub async fn serve(self, vpc: String, listener: TcpListener) {
        let state = Listener { vpc, metadata: self };
        let service = axum::Router::new()
            .fallback(answer)
            .with_state(state)
            .into_make_service_with_connect_info::<Peer>();
        if let Err(error) = axum::serve(listener, service).await {
            tracing::error!(%error, "the instance metadata service ended");
        }
    }

    fn admit(&self, instance: &Instance, request: &Request) -> Result<String, Box<Response>> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.admit(instance, request.method(), request.uri().path(), request.headers())
    }

    fn world(&self) -> Arc<World> {
        Arc::clone(&self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(
    State(listener): State<Listener>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let world = listener.metadata.world();
    let instance = world
        .connected(&listener.vpc)
        .find(|instance| instance.private_addresses().any(|own| IpAddr::from(own) == peer.address.ip()));
    let Some(instance) = instance else { return StatusCode::NOT_FOUND.into_response() };
    if instance.metadata.endpoint != "enabled" {
        return StatusCode::FORBIDDEN.into_response();
    }
    let ttl = if request.method() == Method::PUT { instance.metadata.hop_limit } else { DEFAULT_TTL };
    if let Some(connection) = &peer.connection
        && let Err(error) = rustix::net::sockopt::set_ip_ttl(connection, ttl)
    {
        tracing::warn!(%error, "the hop limit can't be set");
    }
    match listener.metadata.admit(instance, &request) {
        Err(response) => *response,
        Ok(path) => value(&listener.metadata.region, &world, instance, &path).await,
    }
}

async fn value(region: &Region, world: &World, instance: &Instance, path: &str) -> Response {
    let credentials = if path.starts_with("meta-data/iam") && instance.role.is_some() {
        match region.credentials(&instance.id).await {
            Ok(credentials) => credentials,
            Err(error) => {
                tracing::warn!(instance = instance.id, %error, "no credentials");
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        }
    } else {
        None
    };
    match metadata::look_up(&metadata::tree(world, instance, credentials.as_ref()), path) {
        Some(value) => ([(header::CONTENT_TYPE, "text/plain")], value).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The tokens that were given out: whose they are, and until when.
#[derive(Debug, Default)]
struct Tokens {
    given: HashMap<String, (String, Instant)>,
}

impl Tokens {
    /// What a request is entitled to: the path of the value it may read, or the answer it gets instead.
    fn admit(
        &mut self,
        instance: &Instance,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<String, Box<Response>> {
        let refuse = |status: StatusCode| Err(Box::new(status.into_response()));
        match *method {
            Method::PUT => Err(Box::new(self.give(instance, path, headers))),
            Method::GET | Method::HEAD => {
                let token = headers.get(TOKEN).map(|token| token.to_str().unwrap_or_default());
                match token {
                    Some(token) if !self.is_valid(token, &instance.id) => refuse(StatusCode::UNAUTHORIZED),
                    None if instance.metadata.tokens == "required" => refuse(StatusCode::UNAUTHORIZED),
                    _ => unversioned(path).map_or_else(|| refuse(StatusCode::NOT_FOUND), Ok),
                }
            }
            _ => refuse(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn is_valid(&self, token: &str, instance: &str) -> bool {
        self.given.get(token).is_some_and(|(owner, until)| owner == instance && Instant::now() < *until)
    }

    fn give(&mut self, instance: &Instance, path: &str, headers: &HeaderMap) -> Response {
        if path != "/latest/api/token" || headers.contains_key("x-forwarded-for") {
            return StatusCode::FORBIDDEN.into_response();
        }
        let life = headers.get(TOKEN_LIFE).and_then(|life| life.to_str().ok()?.parse::<u64>().ok());
        let Some(life) = life.filter(|life| (1..=LONGEST_TOKEN).contains(life)) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let mut random = [0_u8; 40];
        if std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let token = base64::engine::general_purpose::URL_SAFE.encode(random);
        let now = Instant::now();
        self.given.retain(|_, (_, until)| now < *until);
        self.given.insert(token.clone(), (instance.id.clone(), now + Duration::from_secs(life)));
        ([(TOKEN_LIFE, life.to_string())], token).into_response()
    }
}

/// The path below the version: `latest`, or one of the dated ones, which all say the same here.
fn unversioned(path: &str) -> Option<String> {
    let path = path.trim_start_matches('/');
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    let dated = version.len() == 10 && version.starts_with("20");
    (version == "latest" || version == "1.0" || dated).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, tokens: &str) -> Instance {
        let text = format!(
            r#"{{"id": "{id}", "state": "running", "image": "ami-1", "type": "t3.medium", "vpc": "vpc-1",
                "subnet": "subnet-1", "zone": "us-east-1a", "mac": "02:00:00:00:00:01",
                "networkInterface": "eni-1", "privateIp": "172.20.32.11",
                "metadata": {{"tokens": "{tokens}", "hopLimit": 1, "endpoint": "enabled"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn status(result: Result<String, Box<Response>>) -> u16 {
        result.map_or_else(|response| response.status().as_u16(), |_| 200)
    }

    async fn token(tokens: &mut Tokens, instance: &Instance, life: &str) -> String {
        let asked = headers(&[(TOKEN_LIFE, life)]);
        let response = tokens.give(instance, "/latest/api/token", &asked);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[TOKEN_LIFE], life);
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn without_a_token_nothing_is_told_where_tokens_are_required() {
        let mut tokens = Tokens::default();
        let required = instance("i-1", "required");
        let path = "/latest/meta-data/instance-id";
        assert_eq!(status(tokens.admit(&required, &Method::GET, path, &HeaderMap::new())), 401);
        let optional = instance("i-1", "optional");
        assert_eq!(status(tokens.admit(&optional, &Method::GET, path, &HeaderMap::new())), 200);
        let token = token(&mut tokens, &required, "60").await;
        let admitted = tokens.admit(&required, &Method::GET, path, &headers(&[(TOKEN, &token)]));
        assert_eq!(admitted.ok().unwrap(), "meta-data/instance-id");
    }

    #[tokio::test]
    async fn a_token_is_good_for_its_instance_and_for_its_life_only() {
        let mut tokens = Tokens::default();
        let (one, other) = (instance("i-1", "required"), instance("i-2", "required"));
        let token = token(&mut tokens, &one, "60").await;
        let carried = headers(&[(TOKEN, &token)]);
        assert_eq!(status(tokens.admit(&other, &Method::GET, "/latest/user-data", &carried)), 401);
        tokens.given.get_mut(&token).unwrap().1 = Instant::now();
        assert_eq!(status(tokens.admit(&one, &Method::GET, "/latest/user-data", &carried)), 401);
        let unknown = headers(&[(TOKEN, "made-up")]);
        assert_eq!(status(tokens.admit(&one, &Method::GET, "/latest/user-data", &unknown)), 401);
    }

    #[test]
    fn a_token_request_is_refused_through_a_proxy_without_a_life_or_at_a_dated_path() {
        let mut tokens = Tokens::default();
        let one = instance("i-1", "required");
        let give = |tokens: &mut Tokens, path: &str, pairs: &[(&'static str, &str)]| {
            tokens.give(&one, path, &headers(pairs)).status().as_u16()
        };
        let path = "/latest/api/token";
        assert_eq!(give(&mut tokens, path, &[(TOKEN_LIFE, "60"), ("x-forwarded-for", "10.0.0.1")]), 403);
        assert_eq!(give(&mut tokens, "/2021-07-15/api/token", &[(TOKEN_LIFE, "60")]), 403);
        for life in ["0", "21601", "soon"] {
            assert_eq!(give(&mut tokens, path, &[(TOKEN_LIFE, life)]), 400, "{life}");
        }
        assert_eq!(give(&mut tokens, path, &[]), 400);
        assert!(tokens.given.is_empty());
    }
}
