//! A look from time to time at what the boot made right of a master: the API, and what moves with the master.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::address::{elastic_ip, private_address};
use crate::agent::Agent;
use crate::background::every::{Every, every};
use crate::contract::config::ControlPlaneConfig;
use crate::control_plane::api_server;
use crate::kubernetes::api;
use crate::secrets::certificates::Addresses;
use crate::storage::filesystem;
use crate::storage::volume::{self, VolumeAttachments};

/// The task: three requests to EC2 each time, and one more for each further etcd cluster. What it finds is reported under
/// the names of the steps.
pub const TASK: Every = every("look_at_master", Duration::from_mins(1));

/// Looks, and puts right what isn't as the boot made it. `addresses` are told of another Elastic IP.
pub async fn look(agent: Arc<Agent>, control_plane: ControlPlaneConfig, addresses: watch::Sender<Addresses>) {
    let mut volumes = VolumeAttachments::of(&control_plane);
    let mut rounds = TASK.rounds(&agent.reporter);
    loop {
        rounds.next().await;
        let ready = api_server::connect(&agent.host, &control_plane).await;
        agent.reporter.tell(api::STEP.name(), ready);
        look_at_volumes_and_addresses(&agent, &control_plane, &mut volumes, &addresses).await;
    }
}

/// Looks at the volumes, their file systems, the stable private address and the Elastic IP.
async fn look_at_volumes_and_addresses(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    volumes: &mut VolumeAttachments,
    addresses: &watch::Sender<Addresses>,
) {
    let Agent { host, reporter, identity, config, ec2, .. } = agent;
    let attached = volumes.attempt(agent).await;
    // The volumes are the fence: where somebody else has one, the addresses are theirs, too.
    let Some((attached, _)) = reporter.tell(volume::STEP.name(), attached) else { return };
    let mounted = filesystem::ensure_all(agent, control_plane, &attached).await;
    reporter.tell(filesystem::STEP.name(), mounted);
    let known = *addresses.borrow();
    let stable: Vec<IpAddr> = known.stable().collect();
    let private = private_address::ensure(host, ec2, identity, &stable).await;
    reporter.tell(private_address::STEP.name(), private);
    if let Some(stable) = known.stable.filter(|_| control_plane.elastic_ip) {
        let elastic = elastic_ip::ensure(ec2, identity, &config.instance_group, stable).await;
        if let Some((elastic, _)) = reporter.tell(elastic_ip::STEP.name(), elastic) {
            // The API server's certificate names it.
            addresses.send_if_modified(|known| known.elastic.replace(elastic) != Some(elastic));
        }
    }
}

#[cfg(test)]
mod tests;
