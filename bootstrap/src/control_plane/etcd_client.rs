//! Connections to members of an etcd cluster, with the client certificate that the API server uses: the same authority
//! signs for all etcd clusters, and masters alone hold it.

use std::net::Ipv4Addr;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

use crate::contract::config::EtcdConfig;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::progress::retry::{Class, Classed};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a connection that is in use is tried, and how long the other side may take to answer that.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// Why a member of an etcd cluster can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum EtcdClientError {
    /// The certificate isn't there yet.
    #[error("the client certificate for etcd can't be read")]
    Credentials(#[source] FileError),
    /// There is none.
    #[error("there is no client certificate for etcd in {0}")]
    NoCredentials(String),
    /// Nobody else.
    #[error("no other member of etcd {etcd} can be asked: {why}")]
    NoOther {
        /// The etcd cluster.
        etcd: String,
        /// What became of each.
        why: String,
    },
    /// etcd.
    #[error("etcd {etcd} at {endpoints} can't be asked")]
    Connect {
        /// The etcd cluster.
        etcd: String,
        /// Where it was looked for.
        endpoints: String,
        /// What was said.
        #[source]
        source: Box<etcd_client::Error>,
    },
}

impl Classed for EtcdClientError {
    fn class(&self) -> Class {
        Class::Waiting
    }
}

/// Connects to this master's own member of an etcd cluster.
pub async fn own(host: &Host, etcd: &EtcdConfig) -> Result<Client, EtcdClientError> {
    connect(host, etcd, &[Ipv4Addr::LOCALHOST]).await
}

/// Connects to another member of an etcd cluster: the first that answers and votes, as one that learns answers next to nothing.
/// They listen for clients on their stable private addresses where there are several masters.
pub async fn others(host: &Host, etcd: &EtcdConfig) -> Result<Client, EtcdClientError> {
    let mut silent = Vec::new();
    for (_, address) in etcd.members.iter().filter(|(member, _)| **member != etcd.member) {
        let mut client = connect(host, etcd, &[*address]).await?;
        match tokio::time::timeout(CONNECT, client.status()).await {
            Ok(Ok(status)) if !status.is_learner() => return Ok(client),
            Ok(Ok(_)) => silent.push(format!("{address} is no voting member yet")),
            Ok(Err(error)) => silent.push(format!("{address}: {error}")),
            Err(_) => silent.push(format!("{address} did not answer in {} s", CONNECT.as_secs())),
        }
    }
    Err(EtcdClientError::NoOther { etcd: etcd.name.clone(), why: silent.join("; ") })
}

/// Connects to members at these addresses.
pub async fn connect(
    host: &Host,
    etcd: &EtcdConfig,
    addresses: &[Ipv4Addr],
) -> Result<Client, EtcdClientError> {
    let endpoints: Vec<String> =
        addresses.iter().map(|address| format!("https://{address}:{}", etcd.ports.client)).collect();
    let options = ConnectOptions::new()
        .with_tls(tls(host)?)
        .with_connect_timeout(CONNECT)
        .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1);
    Client::connect(&endpoints, Some(options)).await.map_err(|source| EtcdClientError::Connect {
        etcd: etcd.name.clone(),
        endpoints: endpoints.join(", "),
        source: Box::new(source),
    })
}

fn tls(host: &Host) -> Result<TlsOptions, EtcdClientError> {
    let authority = Certificate::from_pem(secret(host, "etcd/ca.crt")?);
    let certificate = secret(host, "kube-apiserver/etcd-client.crt")?;
    let key = secret(host, "kube-apiserver/etcd-client.key")?;
    Ok(TlsOptions::new().ca_certificate(authority).identity(Identity::from_pem(certificate, key)))
}

fn secret(host: &Host, name: &str) -> Result<Vec<u8>, EtcdClientError> {
    let path = host.path(root::SECRETS).join(name);
    let bytes = file::read(&path).map_err(EtcdClientError::Credentials)?;
    bytes.ok_or_else(|| EtcdClientError::NoCredentials(path.display().to_string()))
}
