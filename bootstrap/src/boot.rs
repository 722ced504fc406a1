//! The whole boot: named, idempotent steps, in the order in which they are done. Each looks, changes only what isn't right
//! yet, and is reported; its name, its limit and its work are in its own file. And what goes on after the boot, which is
//! started here as soon as it can do its work.

use std::sync::Arc;

use tokio::sync::watch;

use crate::address::{elastic_ip, private_address, source_dest_check};
use crate::agent::Agent;
use crate::aws::ec2::Ec2;
use crate::aws::identity::{self, Origin};
use crate::aws::node_config;
use crate::background::tasks::Tasks;
use crate::contract::config::{ApiServerConfig, ControlPlaneConfig};
use crate::control_plane::{
    additional_objects, addon_objects, addons, api_server, api_server_pod, approve, backups, bootstrap_token,
    controllers, etcd, etcd_members, etcd_upkeep, interruption_queue, node_groups, nodes, rbac, restore,
    static_pods,
};
use crate::host::Host;
use crate::kubernetes::api;
use crate::node::{
    api_name, api_version, containerd, egress_proxy, files, image, image_names, interruption, join, kernel,
    kernel_parameters, kubelet, membership, pod_network, proxy, ready, registry_credentials, swap, units,
    warm_pool,
};
use crate::progress::reporter::Reporter;
use crate::progress::step::StepError;
use crate::secrets::certificates::{self, Addresses};
use crate::secrets::{renewal, stored};
use crate::storage::volume::{self, AttachedVolumes};
use crate::storage::{etcd_marker, filesystem, mounts};
use crate::{control_plane, node};

/// Finds out who the instance is, and where its state is: from then on it can report.
pub async fn identify(reporter: &Reporter) -> Result<Origin, StepError> {
    identity::run(reporter).await
}

/// Finds out what the instance shall be.
pub async fn configure(host: &Host, reporter: &Reporter, origin: &Origin) -> Result<Agent, StepError> {
    let config = node_config::run(host, reporter, origin).await?;
    let Origin { identity, store, access, .. } = origin.clone();
    let ec2 = Ec2::open(&identity.region, &config.cluster, &access).await;
    let (host, reporter) = (host.clone(), reporter.clone());
    Ok(Agent { host, reporter, identity, config, store, ec2, access })
}

/// Makes the instance what its configuration says.
///
/// Returns what goes on afterwards; it ends when it is dropped.
pub async fn boot(agent: &Arc<Agent>) -> Result<Tasks, StepError> {
    // Before anything else: with another image than the configuration is made for, nothing is touched.
    image::run(agent).await?;
    egress_proxy::run(agent).await?;
    swap::run(agent).await?;
    api_name::run(agent).await?;
    match (&agent.config.control_plane, &agent.config.api_server) {
        (Some(control_plane), _) => boot_master(agent, control_plane).await,
        (None, _) if agent.config.bastion => boot_bastion(agent).await,
        (None, Some(api_server)) => boot_api_server(agent, api_server).await,
        (None, None) => boot_node(agent, Tasks::default()).await,
    }
}

/// A bastion runs nothing of Kubernetes: it gets what the specification asks for, and goes on reporting.
async fn boot_bastion(agent: &Agent) -> Result<Tasks, StepError> {
    mounts::run(agent).await?;
    files::run(agent).await?;
    kernel_parameters::run(agent).await?;
    units::run(agent).await?;
    Ok(Tasks::default())
}

async fn boot_master(agent: &Arc<Agent>, control_plane: &ControlPlaneConfig) -> Result<Tasks, StepError> {
    let mut tasks = Tasks::default();
    // The secrets are fetched while the volumes are waited for.
    let (secrets, volumes, ()) =
        futures::try_join!(bring_secrets(agent), bring_volumes(agent, control_plane), prepare(agent))?;
    // Only after the volumes, which only one instance can have: what it has attached, its addresses follow.
    let (stable, stable_ipv6) = private_address::run(agent, &control_plane.etcd).await?;
    let elastic = if control_plane.elastic_ip { elastic_ip::run(agent, stable).await? } else { None };
    let own = Addresses::of(&agent.identity, &agent.config);
    let addresses = Addresses { stable: Some(stable), stable_ipv6, elastic, ..own };
    certificates::run(agent, &secrets, addresses).await?;
    loop {
        restore::run(agent, control_plane).await?;
        // A restore must wait neither for other members of etcd nor for an API, which may never come.
        let restores = restore::follow(agent.clone(), control_plane.clone());
        tokio::select! {
            started = Box::pin(start(agent, control_plane, &volumes, addresses, &mut tasks)) => {
                started?;
                break;
            }
            () = restores => {}
        }
        tasks = Tasks::default();
        agent.reporter.begin_again();
    }
    if agent.host.is_machine() {
        let restores = restore::follow(agent.clone(), control_plane.clone());
        tasks.start_decisive(restore::TASK.name(), restores);
    }
    Ok(tasks)
}

/// Starts etcd, the control plane and the kubelet, and brings them up.
async fn start(
    agent: &Arc<Agent>,
    control_plane: &ControlPlaneConfig,
    volumes: &AttachedVolumes,
    addresses: Addresses,
    tasks: &mut Tasks,
) -> Result<(), StepError> {
    let starts = etcd::run(agent, control_plane, volumes).await?;
    static_pods::run(agent, control_plane, &starts, volumes).await?;
    kubelet::run(agent).await?;
    if agent.host.is_machine() {
        // Before the API is waited for, which does not answer from a member that only learns.
        etcd_members::run(agent, control_plane).await?;
        bring_up(agent, control_plane, volumes, addresses, tasks).await?;
    }
    Ok(())
}

/// A node that runs an API server besides: the kubelet finds the pod when it starts, and goes to the masters as every
/// node's does.
async fn boot_api_server(agent: &Arc<Agent>, api_server: &ApiServerConfig) -> Result<Tasks, StepError> {
    let mut tasks = Tasks::default();
    let secrets = stored::run(agent).await?;
    let addresses = Addresses::of(&agent.identity, &agent.config);
    certificates::run(agent, &secrets, addresses).await?;
    api_server_pod::run(agent, api_server).await?;
    if agent.host.is_machine() {
        // Its addresses never change, so that nobody tells of others.
        let (_, addresses) = watch::channel(addresses);
        tasks.start(renewal::TASK, renewal::renew(agent.clone(), addresses));
    }
    boot_node(agent, tasks).await
}

/// `tasks` go on already.
async fn boot_node(agent: &Arc<Agent>, mut tasks: Tasks) -> Result<Tasks, StepError> {
    proxy::run(agent).await?;
    if agent.config.lifecycle_hooks.launching.is_some() {
        // All that can be done without joining, before the instance is stopped for as long as nobody needs it.
        prepare(agent).await?;
        warm_pool::run(agent).await?;
    }
    // What the kubelet needs before it starts; the certificate is what takes long.
    futures::try_join!(prepare(agent), registry_credentials::run(agent), join::run(agent))?;
    api_version::run(agent).await?;
    kubelet::run(agent).await?;
    if agent.host.is_machine() {
        // From now on: this boot may be waiting for the API when the certificate expires.
        tasks.start(membership::TASK.name(), membership::keep(agent.clone()));
        tasks.start(interruption::TASK, interruption::watch(agent.clone()));
        api::run(agent).await?;
        become_ready(agent, &mut tasks).await?;
        if agent.config.lifecycle_hooks.launching.is_some() {
            tasks.start(warm_pool::TASK, warm_pool::serve(agent.clone()));
        }
    }
    Ok(tasks)
}

/// What masters and nodes have in common, and nothing else waits for but the kubelet.
async fn prepare(agent: &Agent) -> Result<(), StepError> {
    mounts::run(agent).await?;
    files::run(agent).await?;
    kernel_parameters::run(agent).await?;
    kernel::run(agent).await?;
    containerd::run(agent).await?;
    image_names::run(agent).await?;
    units::run(agent).await?;
    kubelet::read_ahead(&agent.host).await;
    source_dest_check::run(agent).await
}

/// One after the other, because both make the tmpfs.
async fn bring_secrets(agent: &Agent) -> Result<stored::Secrets, StepError> {
    let secrets = stored::run(agent).await?;
    registry_credentials::run(agent).await?;
    Ok(secrets)
}

async fn bring_volumes(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
) -> Result<AttachedVolumes, StepError> {
    let attached = volume::run(agent, control_plane).await?;
    filesystem::run(agent, control_plane, &attached).await?;
    Ok(attached)
}

/// What a master does through the API, once it answers.
async fn bring_up(
    agent: &Arc<Agent>,
    control_plane: &ControlPlaneConfig,
    volumes: &AttachedVolumes,
    addresses: Addresses,
    tasks: &mut Tasks,
) -> Result<(), StepError> {
    let client = api_server::run(agent, control_plane).await?;
    // First what everything else takes longest for; then what nodes wait for.
    controllers::run(agent, control_plane).await?;
    proxy::run(agent).await?;
    // What keeps this master up begins before anything that waits for the state, which may be away for long.
    start_upkeep(agent, control_plane, addresses, tasks);
    let token = async {
        let is_there = bootstrap_token::run(agent, &client).await?;
        tasks.start(bootstrap_token::TASK.name(), bootstrap_token::renew(agent.clone(), is_there));
        Ok(())
    };
    let ((), (), (), objects) = futures::try_join!(
        rbac::run(agent, &client),
        token,
        etcd_marker::run(agent, control_plane, volumes),
        addons::run(agent, &client, &control_plane.addons)
    )?;
    tasks.start(addon_objects::TASK.name(), addon_objects::delete_former(agent.clone(), client, objects));
    tasks.start(additional_objects::TASK.name(), additional_objects::follow(agent.clone()));
    become_ready(agent, tasks).await
}

/// What other machines wait for, and what keeps this master up. None of it needs the state to begin with.
fn start_upkeep(
    agent: &Arc<Agent>,
    control_plane: &ControlPlaneConfig,
    addresses: Addresses,
    tasks: &mut Tasks,
) {
    let (known, groups) = watch::channel(None);
    let (changed, addresses) = watch::channel(addresses);
    let (agent, config) = (|| agent.clone(), || control_plane.clone());
    // What is drained of a master is what isn't a static pod: the control plane stays until the machine ends.
    tasks.start(interruption::TASK, interruption::watch(agent()));
    if let Some(queue) = &control_plane.interruption_queue {
        tasks.start(interruption_queue::TASK.name(), interruption_queue::read(agent(), queue.clone()));
    }
    if let Some(backups) = control_plane.backups {
        let (made, latest) = watch::channel(None);
        tasks.start(backups::TASK.name(), backups::make(agent(), config(), backups, made));
        tasks.start(backups::proof::TASK.name(), backups::proof::prove(agent(), config(), latest));
    }
    tasks.start(etcd_upkeep::TASK.name(), etcd_upkeep::keep(agent(), config()));
    tasks.start(approve::TASK.name(), approve::approve(agent(), config()));
    tasks.start(node_groups::TASK, node_groups::follow(agent(), known));
    tasks.start(nodes::TASK.name(), nodes::keep(agent(), config(), groups));
    tasks.start(renewal::TASK, renewal::renew(agent(), addresses));
    tasks.start(control_plane::look::TASK.name(), control_plane::look::look(agent(), config(), changed));
}

/// The pod network, and the Node that is Ready with it.
async fn become_ready(agent: &Arc<Agent>, tasks: &mut Tasks) -> Result<(), StepError> {
    pod_network::run(agent).await?;
    tasks.start(pod_network::TASK.name(), pod_network::follow(agent.clone()));
    tasks.start(registry_credentials::TASK.name(), registry_credentials::follow(agent.clone()));
    tasks.start(node::look::TASK.name(), node::look::look(agent.clone()));
    ready::run(agent).await
}

#[cfg(test)]
mod tests;
