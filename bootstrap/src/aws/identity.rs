//! Who this instance is: IMDSv2 and the user data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use aws_config::imds::client::Client;
use aws_config::imds::client::error::ImdsError;
use ipnet::Ipv6Net;

use crate::aws::state::{StateError, StateStore};
use crate::aws::{self, Access, AwsError};
use crate::contract::config::{self, BootConfig, DocumentError, NodeConfig};
use crate::contract::ipv6::{MasterIpv6, SubnetIpv6};
use crate::contract::user_data;
use crate::progress::reporter::Reporter;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Finds out who the instance is, and where its state is.
pub const STEP: Step = Step::new("ensure_identity", Duration::from_mins(2)).outside();

/// How long the metadata service's IPv4 address has to answer before its IPv6 address is asked, too.
const HEAD_START: Duration = Duration::from_secs(1);

/// What can go wrong while the instance finds out who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The metadata service refused or didn't answer.
    #[error("the instance metadata service did not give {path}")]
    Metadata {
        /// The path that was asked for.
        path: String,
        /// Why.
        #[source]
        source: Box<ImdsError>,
    },
    /// An answer isn't what it should be.
    #[error("the instance metadata service gives `{value}` for {path}")]
    Value {
        /// The path that was asked for.
        path: String,
        /// The answer.
        value: String,
    },
    /// The user data is not a boot configuration.
    #[error("the user data is not a boot configuration of windlass")]
    UserData(#[source] DocumentError),
    /// The state store that the user data names can't be opened.
    #[error("the node configuration can't be read from the state")]
    Store(#[source] StateError),
}

impl IdentityError {
    /// Whether the metadata service gave no answer at all.
    fn is_silence(&self) -> bool {
        matches!(self, Self::Metadata { source, .. } if !matches!(**source, ImdsError::ErrorResponse(_)))
    }
}

impl Classed for IdentityError {
    fn class(&self) -> Class {
        match self {
            Self::Metadata { .. } => Class::Passing,
            Self::Store(error) => error.class(),
            _ => Class::Permanent,
        }
    }
}

/// What an instance knows before it has read its configuration: enough to report.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who it is.
    pub identity: InstanceIdentity,
    /// Its user data.
    pub boot: BootConfig,
    /// The state store.
    pub store: StateStore,
    /// How it reaches AWS.
    pub access: Access,
}

/// The step. From then on the report says whose it is.
pub async fn run(reporter: &Reporter) -> Result<Origin, StepError> {
    let metadata = |metadata_by_ipv6| Access { metadata_by_ipv6, ..Access::default() }.metadata();
    let (usual, by_ipv6) = (metadata(false), metadata(true));
    let find = async || {
        let ((identity, boot), metadata_by_ipv6) = ask(&usual, &by_ipv6).await?;
        let (proxy, ipv6_only) = (boot.egress_proxy.clone(), identity.private_address.is_none());
        let access = Access { proxy, ipv6_only, metadata_by_ipv6 };
        let store = StateStore::open(&boot, &access).await.map_err(IdentityError::Store)?;
        Ok::<_, IdentityError>(Done::unchanged(Origin { identity, boot, store, access }))
    };
    let origin = STEP.run(reporter, find).await?;
    let Origin { identity, boot, .. } = &origin;
    reporter.identify(&identity.id, &identity.zone, &boot.instance_group);
    Ok(origin)
}

/// Asks the metadata service at its IPv4 address, and where that is silent at the IPv6 address that it has for instances with
/// such addresses (EC2 User Guide, "Access instance metadata for an EC2 instance"): without an IPv4 route only the second is
/// reached. Returns whether that was it.
async fn ask(
    usual: &Client,
    by_ipv6: &Client,
) -> Result<((InstanceIdentity, BootConfig), bool), IdentityError> {
    let read = async |metadata: &Client| futures::try_join!(identify(metadata), boot_config(metadata));
    let by_ipv6 = async {
        tokio::time::sleep(HEAD_START).await;
        read(by_ipv6).await
    };
    let usual = read(usual);
    tokio::pin!(usual, by_ipv6);
    tokio::select! {
        found = &mut usual => match found {
            // What is told is the usual address's silence.
            Err(silence) if silence.is_silence() => match by_ipv6.await {
                Err(error) => Err(if error.is_silence() { silence } else { error }),
                Ok(found) => Ok((found, true)),
            },
            found => Ok((found?, false)),
        },
        found = &mut by_ipv6 => match found {
            Err(error) if error.is_silence() => Ok((usual.await?, false)),
            found => Ok((found?, true)),
        },
    }
}

/// What EC2 says about this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceIdentity {
    /// `i-…`; also the Node's name.
    pub id: String,
    /// Such as `eu-west-1`.
    pub region: String,
    /// The availability zone.
    pub zone: String,
    /// Such as `t3.medium`.
    pub machine_type: String,
    /// The primary private IPv4 address: none where the subnet has IPv6 alone.
    pub private_address: Option<Ipv4Addr>,
    /// The IPv6 addresses of the primary network interface. A master's stable one may be among them.
    pub ipv6_addresses: Vec<Ipv6Addr>,
    /// The IPv6 blocks of its VPC.
    pub vpc_ipv6_blocks: Vec<Ipv6Net>,
    /// The primary network interface's hardware address.
    pub mac: String,
    /// The primary network interface's id, `eni-…`.
    pub network_interface: String,
}

impl InstanceIdentity {
    /// The id by which Kubernetes' cloud integrations know the instance.
    pub fn provider_id(&self) -> String {
        format!("aws:///{}/{}", self.zone, self.id)
    }

    /// The IPv6 address by which it is known in an IPv6 cluster: none that moves with a master.
    pub fn ipv6_address(&self, config: &NodeConfig) -> Option<Ipv6Addr> {
        if !config.network.is_ipv6() {
            return None;
        }
        let masters: Vec<Ipv6Addr> =
            config.api.masters_ipv6.iter().filter_map(|master| self.address_of(*master)).collect();
        self.ipv6_addresses.iter().find(|address| !masters.contains(address)).copied()
    }

    /// The addresses of its Node, the first of them of the family of the cluster's services: in an IPv6 cluster, an instance
    /// may have an IPv4 address besides.
    pub fn node_addresses(&self, config: &NodeConfig) -> Vec<IpAddr> {
        let ipv6 = self.ipv6_address(config).map(IpAddr::from);
        ipv6.into_iter().chain(self.private_address.map(IpAddr::from)).collect()
    }

    /// A master's stable IPv6 address in this VPC; none where its subnet can't be in it.
    pub fn address_of(&self, master: MasterIpv6) -> Option<Ipv6Addr> {
        let holds_own = |block: &&Ipv6Net| self.ipv6_addresses.iter().any(|own| block.contains(own));
        // Of several blocks it is that of the cluster's subnets.
        let block = self.vpc_ipv6_blocks.iter().find(holds_own).or(self.vpc_ipv6_blocks.first());
        match (block, master.subnet) {
            (Some(block), _) => master.address(*block),
            // It names its range itself.
            (None, SubnetIpv6::Range(range)) => master.address(range),
            (None, SubnetIpv6::Numbered(_)) => None,
        }
    }

    /// The stable IPv6 address of the master that the instance is, if it is to have one.
    pub fn stable_ipv6(&self, config: &NodeConfig) -> Option<Ipv6Addr> {
        let private = config.control_plane.as_ref()?.etcd.address().ok()?;
        let own = config.api.masters_ipv6.iter().find(|master| master.private_address == private)?;
        self.address_of(*own)
    }
}

/// Asks who this instance is.
pub async fn identify(metadata: &Client) -> Result<InstanceIdentity, IdentityError> {
    let mac = get(metadata, "mac").await?;
    let of_interface = |path: &str| format!("network/interfaces/macs/{mac}/{path}");
    let private_address = lines(metadata, "local-ipv4").await?.first().copied();
    let ipv6_addresses: Vec<Ipv6Addr> = lines(metadata, &of_interface("ipv6s")).await?;
    // Without an address of its own it has no use for those of others.
    let vpc_ipv6_blocks = if ipv6_addresses.is_empty() {
        Vec::new()
    } else {
        lines(metadata, &of_interface("vpc-ipv6-cidr-blocks")).await?
    };
    let interface = of_interface("interface-id");
    Ok(InstanceIdentity {
        id: get(metadata, "instance-id").await?,
        region: get(metadata, "placement/region").await?,
        zone: get(metadata, "placement/availability-zone").await?,
        machine_type: get(metadata, "instance-type").await?,
        private_address,
        ipv6_addresses,
        vpc_ipv6_blocks,
        network_interface: get(metadata, &interface).await?,
        mac,
    })
}

/// What IAM calls `aws:userid`, for this instance `<role id>:<instance id>`: the name under which it may write its report.
/// Nothing on the machine knows the role's id.
pub async fn user_id(region: &str, access: &Access) -> Result<String, AwsError> {
    let sts = aws_sdk_sts::Client::new(&aws::dual_stack_configuration(region, access).await);
    let identity = sts.get_caller_identity().send().await;
    let identity =
        identity.map_err(|error| AwsError::new("GetCallerIdentity", "this instance's role", error))?;
    Ok(identity.user_id().unwrap_or_default().to_owned())
}

/// Reads the boot configuration from the user data.
pub async fn boot_config(metadata: &Client) -> Result<BootConfig, IdentityError> {
    let path = "/latest/user-data";
    let user_data = metadata
        .get(path)
        .await
        .map_err(|source| IdentityError::Metadata { path: path.into(), source: Box::new(source) })?;
    parse_boot_config(user_data.as_ref())
}

fn parse_boot_config(user_data: &str) -> Result<BootConfig, IdentityError> {
    config::read(user_data::boot_config(user_data).as_bytes()).map_err(IdentityError::UserData)
}

async fn get(metadata: &Client, path: &str) -> Result<String, IdentityError> {
    let value = metadata
        .get(format!("/latest/meta-data/{path}"))
        .await
        .map_err(|source| IdentityError::Metadata { path: path.to_owned(), source: Box::new(source) })?;
    let value = value.as_ref().trim().to_owned();
    if value.is_empty() {
        return Err(IdentityError::Value { path: path.to_owned(), value });
    }
    Ok(value)
}

/// A value, or `None` where the metadata have none.
pub async fn find(metadata: &Client, path: &str) -> Result<Option<String>, IdentityError> {
    match metadata.get(format!("/latest/meta-data/{path}")).await {
        Ok(value) => Ok(Some(value.as_ref().trim().to_owned()).filter(|value| !value.is_empty())),
        Err(ImdsError::ErrorResponse(error)) if error.response().status().as_u16() == 404 => Ok(None),
        Err(error) => Err(IdentityError::Metadata { path: path.to_owned(), source: Box::new(error) }),
    }
}

/// What the metadata have line by line; nothing where they have none of it.
async fn lines<T: FromStr>(metadata: &Client, path: &str) -> Result<Vec<T>, IdentityError> {
    let Some(value) = find(metadata, path).await? else { return Ok(Vec::new()) };
    let read: Result<Vec<T>, T::Err> = value.lines().map(|line| line.trim().parse()).collect();
    read.map_err(|_| IdentityError::Value { path: path.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_metadata::FakeMetadata;

    const USER_DATA: &str = r#"{"version":"windlass/v1","cluster":"demo.example.com","instanceGroup":"nodes",
        "stateStore":"s3://bucket","region":"us-east-1","nodeConfigSha256":"00"}"#;

    #[test]
    fn user_data_of_another_major_version_is_refused_by_name() {
        assert_eq!(parse_boot_config(USER_DATA).unwrap().cluster, "demo.example.com");
        let error = parse_boot_config(&USER_DATA.replace("windlass/v1", "windlass/v2")).unwrap_err();
        assert!(
            matches!(&error, IdentityError::UserData(DocumentError::Version(found)) if found == "windlass/v2")
        );
        assert_eq!(error.class(), Class::Permanent);
        assert!(parse_boot_config(&USER_DATA.replace("\"region\"", "\"zone\"")).is_err());
        assert!(parse_boot_config("#cloud-config").is_err());
    }

    #[test]
    fn the_boot_configuration_may_be_one_part_of_the_user_data() {
        let script = user_data::Part {
            name: "hello.sh",
            media_type: "text/x-shellscript",
            content: "#!/bin/sh\n\necho hello\n",
        };
        let parts = user_data::write(USER_DATA, &[script]);
        assert_eq!(parse_boot_config(&parts).unwrap(), parse_boot_config(USER_DATA).unwrap());
    }

    /// A metadata service of an instance in a subnet of one family or of both.
    async fn metadata(addresses: &[(&str, &str)]) -> FakeMetadata {
        let metadata = FakeMetadata::start().await;
        let usual = [
            ("mac", "02:00:00:00:00:01"),
            ("instance-id", "i-0123456789abcdef0"),
            ("placement/region", "us-east-1"),
            ("placement/availability-zone", "us-east-1a"),
            ("instance-type", "t3.medium"),
            ("network/interfaces/macs/02:00:00:00:00:01/interface-id", "eni-1"),
        ];
        for (path, value) in usual.iter().chain(addresses) {
            metadata.say(path, value);
        }
        metadata.say_user_data(USER_DATA);
        metadata
    }

    const IPV6S: &str = "network/interfaces/macs/02:00:00:00:00:01/ipv6s";
    const BLOCKS: &str = "network/interfaces/macs/02:00:00:00:00:01/vpc-ipv6-cidr-blocks";

    #[tokio::test]
    async fn an_instance_has_the_addresses_that_its_subnet_gives_it_and_its_node_those_of_the_cluster_first()
    {
        let (four, six) = (("local-ipv4", "172.20.32.11"), (IPV6S, "2001:db8::b\n2001:db8::c"));
        let ipv4 = crate::testing::node_config();
        let ipv6 = NodeConfig { network: crate::testing::ipv6_network(), ..ipv4.clone() };
        for (said, in_ipv4, in_ipv6) in [
            (&[four][..], vec!["172.20.32.11"], vec!["172.20.32.11"]),
            (&[four, six], vec!["172.20.32.11"], vec!["2001:db8::b", "172.20.32.11"]),
            (&[six], vec![], vec!["2001:db8::b"]),
        ] {
            let found = identify(&metadata(said).await.client()).await.unwrap();
            let texts =
                |config| found.node_addresses(config).iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(texts(&ipv4), in_ipv4, "{said:?}");
            assert_eq!(texts(&ipv6), in_ipv6, "{said:?}");
        }
        let error = identify(&metadata(&[("local-ipv4", "none")]).await.client()).await.unwrap_err();
        assert!(matches!(error, IdentityError::Value { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_master_s_stable_ipv6_address_is_found_in_the_vpc_s_block_and_is_not_its_node_s() {
        let mut config = crate::testing::master_config();
        config.network = crate::testing::ipv6_network();
        let subnet = SubnetIpv6::Numbered(0x13);
        config.api.masters_ipv6 = ["172.20.32.10", "172.20.64.10"]
            .map(|address| MasterIpv6 { subnet, private_address: address.parse().unwrap() })
            .into();
        let said = [
            (IPV6S, "2001:db8:0:113::ac14:200a\n2001:db8:0:113::b"),
            (BLOCKS, "2600:1f18::/56\n2001:db8:0:100::/56"),
        ];
        // The second block is that of its own address.
        let found = identify(&metadata(&said).await.client()).await.unwrap();
        let text = |address: Option<Ipv6Addr>| address.map(|it| it.to_string());
        assert_eq!(text(found.stable_ipv6(&config)).as_deref(), Some("2001:db8:0:113::ac14:200a"));
        assert_eq!(text(found.ipv6_address(&config)).as_deref(), Some("2001:db8:0:113::b"));
        let masters: Vec<_> =
            config.api.masters_ipv6.iter().map(|master| text(found.address_of(*master))).collect();
        assert_eq!(masters[1].as_deref(), Some("2001:db8:0:113::ac14:400a"));
        let nowhere = InstanceIdentity { vpc_ipv6_blocks: Vec::new(), ..found };
        assert_eq!(nowhere.stable_ipv6(&config), None);
    }

    #[tokio::test]
    async fn metadata_that_do_not_answer_at_their_usual_address_are_asked_at_the_other() {
        let both = metadata(&[(IPV6S, "2001:db8::b")]).await;
        let nobody = FakeMetadata::gone().await;
        let ((found, boot), by_ipv6) = ask(&both.client(), &nobody).await.unwrap();
        assert_eq!(
            (found.private_address, boot.cluster.as_str(), by_ipv6),
            (None, "demo.example.com", false)
        );
        let ((found, _), by_ipv6) = ask(&nobody, &both.client()).await.unwrap();
        assert_eq!((found.ipv6_addresses.as_slice(), by_ipv6), (&["2001:db8::b".parse().unwrap()][..], true));
        assert!(ask(&nobody, &nobody).await.unwrap_err().is_silence());
        // It answers, and what it says is wrong: nobody else knows better.
        let wrong = FakeMetadata::start().await;
        assert!(!ask(&wrong.client(), &both.client()).await.unwrap_err().is_silence());
    }

    #[test]
    fn the_provider_id_holds_zone_and_instance() {
        let identity = InstanceIdentity {
            id: "i-1".into(),
            region: "us-east-1".into(),
            zone: "us-east-1a".into(),
            machine_type: "t3.medium".into(),
            private_address: Some(Ipv4Addr::LOCALHOST),
            ipv6_addresses: Vec::new(),
            vpc_ipv6_blocks: Vec::new(),
            mac: String::new(),
            network_interface: String::new(),
        };
        assert_eq!(identity.provider_id(), "aws:///us-east-1a/i-1");
    }
}
