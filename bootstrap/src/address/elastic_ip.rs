//! The Elastic IP, which moves with a master: it is associated only once the volume is this instance's, whoever has it.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::ec2::{Ec2, ElasticIp};
use crate::aws::identity::InstanceIdentity;
use crate::contract::tags;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Associates the Elastic IP with this instance.
pub const STEP: Step = Step::new("ensure_elastic_ip", Duration::from_mins(2)).outside();

/// What can go wrong with the Elastic IP.
#[derive(Debug, thiserror::Error)]
pub enum ElasticIpError {
    /// EC2 doesn't show it yet.
    #[error("EC2 does not show {address} on {interface} yet")]
    NotYet {
        /// The private address that the Elastic IP was put onto.
        address: Ipv4Addr,
        /// The network interface.
        interface: String,
    },
    /// There is none.
    #[error("there is no Elastic IP with the tag {0}")]
    None(String),
    /// There are several.
    #[error("several Elastic IPs have the tag {tag}: {addresses}; one of them has to lose it")]
    Several {
        /// `key=value`.
        tag: String,
        /// The addresses.
        addresses: String,
    },
    /// EC2 refused or didn't answer.
    #[error("EC2 did not do what is needed for the address")]
    Aws(#[source] AwsError),
}

impl Classed for ElasticIpError {
    fn class(&self) -> Class {
        match self {
            Self::NotYet { .. } => Class::Waiting,
            Self::Several { .. } => Class::Permanent,
            Self::None(_) => Class::Passing,
            Self::Aws(error) => error.class(),
        }
    }
}

/// The step. `stable` is the master's private address that it is associated with. Returns the Elastic IP; in a folder
/// there is none.
pub async fn run(agent: &Agent, stable: Ipv4Addr) -> Result<Option<Ipv4Addr>, StepError> {
    let Agent { ec2, identity, config, .. } = agent;
    let associate = async || {
        let (value, changed) = ensure(ec2, identity, &config.instance_group, stable).await?;
        Ok::<_, ElasticIpError>(Done { value, changed })
    };
    agent.on_machine(STEP, associate).await
}

/// Associates the Elastic IP with the stable private address. The instance's own public address, which belongs to its
/// primary private address, stays: no connection is cut.
pub async fn ensure(
    ec2: &Ec2,
    identity: &InstanceIdentity,
    instance_group: &str,
    address: Ipv4Addr,
) -> Result<(Ipv4Addr, bool), ElasticIpError> {
    let elastic = find_elastic_ip(ec2, instance_group).await?;
    if is_ours(&elastic, identity, address) {
        return Ok((elastic.address, false));
    }
    ec2.associate(&elastic, &identity.network_interface, address).await.map_err(ElasticIpError::Aws)?;
    let elastic = find_elastic_ip(ec2, instance_group).await?;
    if is_ours(&elastic, identity, address) {
        return Ok((elastic.address, true));
    }
    Err(ElasticIpError::NotYet { address: elastic.address, interface: identity.network_interface.clone() })
}

async fn find_elastic_ip(ec2: &Ec2, instance_group: &str) -> Result<ElasticIp, ElasticIpError> {
    let mut found = ec2.elastic_ips((tags::MASTER, instance_group)).await.map_err(ElasticIpError::Aws)?;
    let tag = format!("{}={instance_group}", tags::MASTER);
    match found.len() {
        0 => Err(ElasticIpError::None(tag)),
        1 => Ok(found.remove(0)),
        _ => {
            let addresses: Vec<String> =
                found.into_iter().map(|elastic| elastic.address.to_string()).collect();
            Err(ElasticIpError::Several { tag, addresses: addresses.join(", ") })
        }
    }
}

fn is_ours(elastic: &ElasticIp, identity: &InstanceIdentity, address: Ipv4Addr) -> bool {
    elastic.network_interface.as_deref() == Some(identity.network_interface.as_str())
        && elastic.private_address.as_deref() == Some(address.to_string().as_str())
}
