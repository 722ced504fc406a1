//! EC2 for unit tests, as a master's agent sees it: one volume, one secondary private address, one Elastic IP.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::aws::ec2::Ec2;

/// EC2, and what it holds. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FakeEc2 {
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
}

/// What EC2 holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// The instance that has the volume `vol-1`, of one GiB.
    pub(crate) holder: Option<String>,
    /// The volume's tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// The private address that the instance has beside its own.
    pub(crate) secondary: Option<String>,
    /// The IPv6 address that the instance was given.
    pub(crate) ipv6: Option<String>,
    /// The IPv6 prefix that it can delegate.
    pub(crate) free_prefix: Option<String>,
    /// The IPv6 prefixes of its network interfaces, of the second one first.
    pub(crate) prefixes: Option<[String; 2]>,
    /// The Elastic IP.
    pub(crate) elastic: Option<Ipv4Addr>,
    /// The network interface and the private address that it is associated with.
    pub(crate) associated: Option<(String, String)>,
}

impl FakeEc2 {
    /// Serves on a port of the loopback; it holds an Elastic IP that is associated with nothing.
    pub(crate) async fn start(elastic: Ipv4Addr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let held = Held { elastic: Some(elastic), ..Held::default() };
        let ec2 = Self { address: listener.local_addr().unwrap(), held: Arc::new(Mutex::new(held)) };
        let routes = Router::new().fallback(answer).with_state(ec2.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        ec2
    }

    /// Who asks it.
    pub(crate) async fn client(&self) -> Ec2 {
        let credentials = aws_sdk_ec2::config::Credentials::new("key", "secret", None, None, "test");
        let sdk = crate::aws::configuration("us-east-1", &crate::aws::Access::default()).await;
        let config = aws_sdk_ec2::config::Builder::from(&sdk)
            .endpoint_url(format!("http://{}", self.address))
            .credentials_provider(credentials);
        Ec2::with_client(aws_sdk_ec2::Client::from_conf(config.build()), "demo")
    }

    /// What it holds.
    pub(crate) fn held(&self) -> Held {
        self.held.lock().unwrap().clone()
    }

    /// Somebody changes what it holds.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.lock().unwrap());
    }
}

async fn answer(State(ec2): State<FakeEc2>, form: String) -> Response {
    let fields: BTreeMap<String, String> = form.split('&').filter_map(field).collect();
    let action = fields["Action"].clone();
    let Some(body) = ec2.held.lock().unwrap().act(&action, &fields) else {
        let error = format!("<Code>InvalidAction</Code><Message>{action}</Message>");
        let body =
            format!("<Response><Errors><Error>{error}</Error></Errors><RequestID>r</RequestID></Response>");
        return (StatusCode::BAD_REQUEST, body).into_response();
    };
    let space = "http://ec2.amazonaws.com/doc/2016-11-15/";
    format!("<{action}Response xmlns=\"{space}\"><requestId>r</requestId>{body}</{action}Response>")
        .into_response()
}

/// A field of a form; only what tests send is decoded.
fn field(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    Some((key.to_owned(), value.replace("%2F", "/").replace("%3A", ":")))
}

impl Held {
    fn act(&mut self, action: &str, fields: &BTreeMap<String, String>) -> Option<String> {
        let field = |name: &str| fields.get(name).cloned();
        match action {
            "DescribeVolumes" => return Some(self.volumes()),
            "DescribeInstances" => {
                let id = fields.values().find(|value| value.starts_with("i-"))?;
                return Some(self.instances(id));
            }
            "DescribeAddresses" => return Some(self.addresses()),
            "AttachVolume" => self.holder = field("InstanceId"),
            "CreateTags" => drop(self.tags.insert(field("Tag.1.Key")?, field("Tag.1.Value")?)),
            "AssignPrivateIpAddresses" => self.secondary = field("PrivateIpAddress.1"),
            "AssignIpv6Addresses" if fields.contains_key("Ipv6PrefixCount") => {
                let prefix = self.free_prefix.take()?;
                return Some(format!("<assignedIpv6PrefixSet><item>{prefix}</item></assignedIpv6PrefixSet>"));
            }
            "AssignIpv6Addresses" => self.ipv6 = field("Ipv6Addresses.1").or_else(|| field("Ipv6Address.1")),
            "AssociateAddress" => {
                self.associated = Some((field("NetworkInterfaceId")?, field("PrivateIpAddress")?));
            }
            _ => return None,
        }
        Some("<return>true</return>".to_owned())
    }

    fn volumes(&self) -> String {
        let attachment = self.holder.as_ref().map_or_else(String::new, |holder| {
            format!(
                "<attachmentSet><item><volumeId>vol-1</volumeId><instanceId>{holder}</instanceId>\
                 <device>/dev/sdf</device><status>attached</status></item></attachmentSet>"
            )
        });
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>"));
        let tags = tags.collect::<String>();
        let state = if self.holder.is_some() { "in-use" } else { "available" };
        format!(
            "<volumeSet><item><volumeId>vol-1</volumeId><size>1</size><status>{state}</status>{attachment}\
             <tagSet>{tags}</tagSet></item></volumeSet>"
        )
    }

    fn instances(&self, id: &str) -> String {
        let secondary = self.secondary.as_ref().map_or_else(String::new, |address| {
            format!("<item><privateIpAddress>{address}</privateIpAddress></item>")
        });
        let ipv6 = self
            .ipv6
            .as_ref()
            .map_or_else(String::new, |address| format!("<item><ipv6Address>{address}</ipv6Address></item>"));
        let interface = |(index, prefix): (usize, &String)| {
            format!(
                "<item><attachment><deviceIndex>{}</deviceIndex></attachment><ipv6PrefixSet><item><ipv6Prefix>\
                 {prefix}</ipv6Prefix></item></ipv6PrefixSet></item>",
                2 - index
            )
        };
        let interfaces: String = self.prefixes.iter().flatten().enumerate().map(interface).collect();
        format!(
            "<reservationSet><item><instancesSet><item><instanceId>{id}</instanceId><instanceState>\
             <name>running</name></instanceState><networkInterfaceSet>{interfaces}<item>\
             <networkInterfaceId>eni-1</networkInterfaceId><ipv6AddressesSet>{ipv6}\
             </ipv6AddressesSet><privateIpAddressesSet>{secondary}\
             </privateIpAddressesSet></item></networkInterfaceSet></item></instancesSet></item></reservationSet>"
        )
    }

    fn addresses(&self) -> String {
        let Some(elastic) = self.elastic else { return "<addressesSet/>".to_owned() };
        let associated = self.associated.as_ref().map_or_else(String::new, |(interface, address)| {
            format!(
                "<networkInterfaceId>{interface}</networkInterfaceId><privateIpAddress>{address}</privateIpAddress>"
            )
        });
        format!(
            "<addressesSet><item><publicIp>{elastic}</publicIp><allocationId>eipalloc-1</allocationId>{associated}\
             </item></addressesSet>"
        )
    }
}
