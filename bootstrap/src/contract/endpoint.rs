//! Where the Kubernetes API is reached: by an address or by a name, and at which port.
//!
//! The CLI decides it for everybody (`spec::endpoint`); instances are told in their node configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The port that URLs with `https` leave out.
const HTTPS: u16 = 443;

/// What a server is called by those who connect to it, and in its certificate: an address or a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum ServerName {
    /// An address.
    Address(IpAddr),
    /// A DNS name; in a certificate it may begin with `*.`.
    Dns(String),
}

impl From<String> for ServerName {
    /// What can be read as an address is one.
    fn from(text: String) -> Self {
        text.parse().map_or(Self::Dns(text), Self::Address)
    }
}

impl From<&str> for ServerName {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.to_string()
    }
}

impl From<Ipv4Addr> for ServerName {
    fn from(address: Ipv4Addr) -> Self {
        Self::Address(address.into())
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Dns(name) => name.fmt(formatter),
        }
    }
}

/// Where the Kubernetes API is reached. It is shown as `<host>:<port>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Documents have called it so since it could only be an address.
    #[serde(rename = "privateAddress")]
    pub host: ServerName,
    /// The secure port.
    pub port: u16,
}

impl Endpoint {
    /// The same port on the machine that asks.
    #[must_use]
    pub fn on_this_machine(&self) -> Self {
        Self { host: Ipv4Addr::LOCALHOST.into(), port: self.port }
    }

    /// The URL for people and their kubeconfigs: the usual port is left out.
    pub fn url(&self) -> String {
        match (&self.host, self.port) {
            (ServerName::Address(IpAddr::V6(address)), HTTPS) => format!("https://[{address}]"),
            (host, HTTPS) => format!("https://{host}"),
            _ => self.url_with_port(),
        }
    }

    /// The URL with the port, as instances' kubeconfigs have it.
    pub fn url_with_port(&self) -> String {
        format!("https://{self}")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ServerName::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            host => write!(formatter, "{host}:{}", self.port),
        }
    }
}

/// The name that the API has outside by custom, `api.<cluster>`: its certificate always has it.
pub fn public_name(cluster: &str) -> String {
    format!("api.{cluster}")
}

/// The name that the API has inside by custom, `api.internal.<cluster>`: its certificate always has it.
pub fn internal_name(cluster: &str) -> String {
    format!("api.internal.{cluster}")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.into(), port }
    }

    #[test]
    fn the_usual_port_is_left_out_for_people_and_told_to_instances() {
        for (host, port, url, with_port) in [
            ("203.0.113.7", 443, "https://203.0.113.7", "https://203.0.113.7:443"),
            ("203.0.113.7", 6443, "https://203.0.113.7:6443", "https://203.0.113.7:6443"),
            ("api.example.com", 443, "https://api.example.com", "https://api.example.com:443"),
            ("2001:db8::7", 443, "https://[2001:db8::7]", "https://[2001:db8::7]:443"),
            ("2001:db8::7", 6443, "https://[2001:db8::7]:6443", "https://[2001:db8::7]:6443"),
        ] {
            let endpoint = endpoint(host, port);
            assert_eq!((endpoint.url().as_str(), endpoint.url_with_port().as_str()), (url, with_port));
        }
    }

    #[test]
    fn a_document_has_an_address_or_a_name_in_one_field() {
        for (text, host) in [
            ("172.20.32.10", ServerName::Address(Ipv4Addr::new(172, 20, 32, 10).into())),
            ("::1", ServerName::Address(Ipv6Addr::LOCALHOST.into())),
            ("api.internal.demo.example.com", ServerName::Dns("api.internal.demo.example.com".to_owned())),
        ] {
            let document = serde_json::json!({"privateAddress": text, "port": 443});
            let read: Endpoint = serde_json::from_value(document.clone()).unwrap();
            assert_eq!(read, Endpoint { host, port: 443 });
            assert_eq!(serde_json::to_value(&read).unwrap(), document);
        }
    }
}
