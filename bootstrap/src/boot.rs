//! The whole boot: named, idempotent steps. Each looks, changes only what isn't right yet, and is reported.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::address::private_address;
use crate::aws::ec2::{Ec2, Volume};
use crate::aws::instance::{self, Identity};
use crate::aws::state::StateStore;
use crate::contract::config::{BootConfig, ControlPlaneConfig, NodeConfig};
use crate::control_plane::addons;
use crate::control_plane::bootstrap_token;
use crate::control_plane::etcd;
use crate::control_plane::etcd::InitialClusterState;
use crate::control_plane::rbac;
use crate::host::Host;
use crate::keep::Tasks;
use crate::kubernetes::api;
use crate::kubernetes::api::NodeWatch;
use crate::kubernetes::manifests;
use crate::node::image;
use crate::node::join::Joining;
use crate::node::kernel;
use crate::node::kubelet;
use crate::node::pod_network;
use crate::node::proxy;
use crate::node::registry_credentials;
use crate::progress::reporter::Reporter;
use crate::progress::retry::chain;
use crate::progress::step::{Done, Step, StepError};
use crate::secrets::certificates::{self, Addresses};
use crate::secrets::stored;
use crate::secrets::stored::Secrets;
use crate::storage::filesystem;
use crate::storage::volume::VolumeStep;

const IDENTITY: Step = Step::new("ensure_identity", Duration::from_mins(2)).outside();
const CONFIGURATION: Step = Step::new("ensure_configuration", Duration::from_mins(5)).outside();
const IMAGE: Step = Step::new("ensure_image", Duration::from_mins(1));
const KERNEL: Step = Step::new("ensure_kernel", Duration::from_mins(1));
const CONTAINERD: Step = Step::new("ensure_containerd", Duration::from_mins(2));
const SOURCE_DEST_CHECK: Step = Step::new("ensure_no_source_dest_check", Duration::from_mins(2)).outside();
/// What needs the state and would only be begun anew if it were given up: a state that is away is waited for.
const UNTIL_DONE: Duration = Duration::MAX;
const SECRETS: Step = Step::new("ensure_secrets", UNTIL_DONE).outside();
/// A predecessor may take long to terminate.
const VOLUME: Step = Step::new("ensure_volume", Duration::from_mins(30)).outside();
const FILESYSTEM: Step = Step::new("ensure_filesystem", Duration::from_mins(40));
const PRIVATE_ADDRESS: Step = Step::new("ensure_private_address", Duration::from_mins(2)).outside();
const ELASTIC_IP: Step = Step::new("ensure_elastic_ip", Duration::from_mins(2)).outside();
const CERTIFICATES: Step = Step::new("ensure_certificates", Duration::from_mins(1));
const ETCD: Step = Step::new("ensure_etcd_start", Duration::from_mins(5)).outside();
const STATIC_PODS: Step = Step::new("ensure_static_pods", Duration::from_mins(1));
const KUBELET: Step = Step::new("ensure_kubelet", Duration::from_mins(3));
const REGISTRY_CREDENTIALS: Step = Step::new(registry_credentials::TASK, Duration::from_mins(1)).outside();
/// How long the boot waits for what it can do without.
const OPTIONAL: Duration = Duration::from_secs(5);
/// A node may be there long before its master.
const CERTIFICATE: Step = Step::new("ensure_kubelet_certificate", Duration::from_hours(1)).outside();
const PROXY: Step = Step::new("ensure_kube_proxy", Duration::from_mins(1));
const API: Step = Step::new("ensure_api", Duration::from_mins(10)).poll(Duration::from_millis(100)).outside();
const CONTROLLERS: Step = Step::new("ensure_controllers", Duration::from_mins(1));
const RBAC: Step = Step::new("ensure_rbac", Duration::from_mins(5)).outside();
const MARKER: Step = Step::new("ensure_etcd_marker", UNTIL_DONE).outside();
const TOKEN: Step = Step::new("ensure_bootstrap_token", UNTIL_DONE).outside();
const ADDONS: Step = Step::new("ensure_addons", UNTIL_DONE).outside();
const NETWORK: Step =
    Step::new("ensure_pod_network", Duration::from_mins(10)).poll(Duration::from_millis(50)).outside();
const NODE: Step = Step::new("ensure_node_ready", Duration::from_mins(30)).outside();

/// What a boot works with.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The machine, or the folder that stands for one.
    pub host: Host,
    /// Who hears about it.
    pub reporter: Reporter,
}

/// What an instance knows about itself once it has read its configuration.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Who it is.
    pub identity: Identity,
    /// What it shall be.
    pub config: NodeConfig,
    /// The state store.
    pub store: StateStore,
    /// EC2.
    pub ec2: Ec2,
}

/// What an instance knows before it has read its configuration: enough to report.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who it is.
    pub identity: Identity,
    /// Its user data.
    pub boot: BootConfig,
    /// The state store.
    pub store: StateStore,
}

impl Agent {
    /// Finds out who the instance is, and where its state is.
    pub async fn identify(&self) -> Result<Origin, StepError> {
        let metadata = instance::metadata_client();
        let origin = IDENTITY
            .run(&self.reporter, async || {
                let (identity, boot) =
                    futures::try_join!(instance::identify(&metadata), instance::boot_config(&metadata))?;
                let store = StateStore::open(&boot).await;
                let store = store.map_err(instance::InstanceError::Read)?;
                Ok::<_, instance::InstanceError>(Done::unchanged(Origin { identity, boot, store }))
            })
            .await?;
        self.reporter.identify(&origin.identity, &origin.boot);
        Ok(origin)
    }

    /// Finds out what the instance shall be.
    pub async fn configure(&self, origin: &Origin) -> Result<Instance, StepError> {
        let config = CONFIGURATION
            .run(&self.reporter, async || {
                let (value, changed) = instance::node_config(&self.host, &origin.store, &origin.boot).await?;
                Ok::<_, instance::InstanceError>(Done { value, changed })
            })
            .await?;
        let ec2 = Ec2::open(&origin.identity.region, &config.cluster).await;
        Ok(Instance { identity: origin.identity.clone(), config, store: origin.store.clone(), ec2 })
    }

    /// Makes the instance what its configuration says.
    ///
    /// Returns what goes on afterwards; it ends when it is dropped.
    pub async fn boot(&self, instance: &Arc<Instance>) -> Result<Tasks, StepError> {
        // Before anything else: with another image than the configuration is made for, nothing is touched.
        IMAGE
            .run(&self.reporter, async || image::check(&self.host, &instance.config).map(Done::unchanged))
            .await?;
        match &instance.config.control_plane {
            Some(control_plane) => self.boot_master(instance, control_plane).await,
            None => self.boot_node(instance).await,
        }
    }

    /// What masters and nodes have in common, and nothing else waits for but the kubelet.
    async fn prepare(&self, instance: &Instance) -> Result<(), StepError> {
        let (host, report, config) = (&self.host, &self.reporter, &instance.config);
        KERNEL.run(report, async || kernel::ensure(host).await.map(Done::changed_if)).await?;
        // It comes up while other things are waited for.
        CONTAINERD.run(report, async || kubelet::start_containerd(host).await.map(Done::unchanged)).await?;
        kubelet::read_ahead(host).await;
        if config.disable_source_dest_check {
            let (ec2, identity) = (&instance.ec2, &instance.identity);
            self.on_machine(SOURCE_DEST_CHECK, async || {
                private_address::ensure_no_source_dest_check(ec2, identity).await.map(Done::changed_if)
            })
            .await?;
        }
        Ok(())
    }

    async fn boot_master(
        &self,
        instance: &Arc<Instance>,
        control_plane: &ControlPlaneConfig,
    ) -> Result<Tasks, StepError> {
        let (host, report, config) = (&self.host, &self.reporter, &instance.config);
        // The secrets are fetched while the volume is waited for.
        let (secrets, volume, ()) = futures::try_join!(
            self.ensure_secrets(instance),
            self.ensure_volume(instance, control_plane),
            self.prepare(instance)
        )?;
        let addresses = self.ensure_addresses(instance, control_plane).await?;
        self.ensure_certificates(instance, control_plane, &secrets, addresses).await?;
        let etcd_state = self.ensure_etcd_start(instance, control_plane).await?;
        let quota = etcd::quota(volume.as_ref().map(|volume| volume.size));
        STATIC_PODS
            .run(report, async || {
                let mut changed = manifests::ensure_api(host, config, control_plane, etcd_state, quota)?;
                if !kubelet::is_active(host).await.unwrap_or(false) {
                    changed |= manifests::remove_controllers(host)?;
                }
                Ok::<_, manifests::ManifestError>(Done::changed_if(changed))
            })
            .await?;
        self.ensure_kubelet(instance).await?;
        if !host.is_machine() {
            return Ok(Tasks::new(host, report, instance));
        }
        let volume = volume.as_ref().map(|volume| volume.id.as_str());
        let mut tasks = Tasks::new(host, report, instance);
        self.bring_up(instance, control_plane, volume, addresses, &mut tasks).await?;
        Ok(tasks)
    }

    /// What is done through the API, once it answers. What has to be kept up on this master begins before anything that
    /// waits for the state, which may be away for long.
    async fn bring_up(
        &self,
        instance: &Arc<Instance>,
        control_plane: &ControlPlaneConfig,
        volume: Option<&str>,
        addresses: Addresses,
        tasks: &mut Tasks,
    ) -> Result<(), StepError> {
        let (host, report, config, store) = (&self.host, &self.reporter, &instance.config, &instance.store);
        let client = API
            .run(report, async || {
                let client = api::connect_as_admin(host).await?;
                api::check_ready_here(host, &client, &control_plane.etcd.name).await?;
                Ok::<_, api::ApiError>(Done::unchanged(client))
            })
            .await?;
        // First what everything else takes longest for; then what nodes wait for.
        CONTROLLERS
            .run(report, async || {
                manifests::ensure_controllers(host, config, control_plane).map(Done::changed_if)
            })
            .await?;
        PROXY
            .run(report, async || {
                proxy::ensure_on_master(host, config, &instance.identity).map(Done::changed_if)
            })
            .await?;
        tasks.start_master(control_plane);
        tasks.start_renewals(control_plane, addresses);
        let rbac = RBAC.run(report, async || rbac::ensure(&client).await.map(Done::unchanged));
        let token = async {
            let there = self.ensure_token(instance, &client).await?;
            tasks.start_token(there);
            Ok(())
        };
        // The API answers from etcd, so etcd is initialised and healthy.
        let marker = MARKER.run(report, async || {
            etcd::ensure_marker(host, store, &config.cluster, &control_plane.etcd, volume)
                .await
                .map(Done::changed_if)
        });
        let addons = ADDONS.run(report, async || {
            addons::ensure(host, store, config, &control_plane.addons).await.map(Done::changed_if)
        });
        futures::try_join!(rbac, token, marker, addons)?;
        tasks.start_additional_objects();
        self.ensure_ready(instance, NodeWatch::as_admin(host, &instance.identity.id), tasks).await
    }

    /// New nodes wait for the token; this master doesn't. While the state is away that is reported, and tried again after
    /// the boot. Returns whether the token is there.
    async fn ensure_token(&self, instance: &Instance, client: &kube::Client) -> Result<bool, StepError> {
        let (store, cluster) = (&instance.store, &instance.config.cluster);
        TOKEN
            .run(&self.reporter, async || match bootstrap_token::ensure(client, store, cluster).await {
                Ok(changed) => Ok(Done { value: true, changed }),
                Err(error) if error.is_outage() => {
                    self.reporter.keeps(bootstrap_token::TASK, Some(&chain(&error)));
                    Ok(Done::unchanged(false))
                }
                Err(error) => Err(error),
            })
            .await
    }

    /// The pod network, and the Node that is Ready with it.
    async fn ensure_ready(
        &self,
        instance: &Arc<Instance>,
        mut node: NodeWatch,
        tasks: &mut Tasks,
    ) -> Result<(), StepError> {
        let (host, report) = (&self.host, &self.reporter);
        NETWORK
            .run(report, async || pod_network::ensure(host, &instance.config.network).map(Done::changed_if))
            .await?;
        tasks.start_network();
        tasks.start_registry_credentials();
        tasks.start_looks();
        NODE.run(report, async || node.ready().await.map(Done::unchanged)).await
    }

    async fn boot_node(&self, instance: &Arc<Instance>) -> Result<Tasks, StepError> {
        let (host, report, config) = (&self.host, &self.reporter, &instance.config);
        PROXY
            .run(report, async || {
                proxy::ensure_on_node(host, config, &instance.identity).map(Done::changed_if)
            })
            .await?;
        // What the kubelet needs before it starts; the certificate is what takes long.
        futures::try_join!(
            self.prepare(instance),
            self.ensure_registry_credentials(instance),
            self.ensure_certificate(instance)
        )?;
        self.ensure_kubelet(instance).await?;
        let mut tasks = Tasks::new(host, report, instance);
        if host.is_machine() {
            // From now on: this boot may be waiting for the API when the certificate expires.
            tasks.start_membership();
            API.run(report, async || api::connect_as_kubelet(host).await.map(|_| Done::unchanged(())))
                .await?;
            let node = NodeWatch::as_kubelet(host, &instance.identity.id);
            self.ensure_ready(instance, node, &mut tasks).await?;
        }
        Ok(tasks)
    }

    /// Joins the cluster, unless the kubelet has a certificate that holds, as after a reboot.
    async fn ensure_certificate(&self, instance: &Instance) -> Result<(), StepError> {
        let mut joining = Joining::new(&self.host, &instance.store, &instance.config, &instance.identity.id);
        self.on_machine(CERTIFICATE, async || joining.ensure().await.map(Done::changed_if)).await.map(drop)
    }

    async fn ensure_secrets(&self, instance: &Instance) -> Result<Secrets, StepError> {
        let (host, cluster) = (&self.host, &instance.config.cluster);
        let secrets = SECRETS
            .run(&self.reporter, async || {
                let (value, changed) = stored::obtain(host, &instance.store, cluster).await?;
                Ok::<_, stored::SecretsError>(Done { value, changed })
            })
            .await?;
        // After the secrets, because both make the tmpfs.
        self.ensure_registry_credentials(instance).await?;
        Ok(secrets)
    }

    /// Before the kubelet, which looks for them when it starts and then only every five minutes. A boot can do without
    /// them: what is wrong with them is reported, and tried again after the boot.
    async fn ensure_registry_credentials(&self, instance: &Instance) -> Result<(), StepError> {
        let (store, cluster) = (&instance.store, &instance.config.cluster);
        REGISTRY_CREDENTIALS
            .run(&self.reporter, async || {
                let ensure = registry_credentials::ensure(&self.host, store, cluster);
                let problem = match tokio::time::timeout(OPTIONAL, ensure).await {
                    Ok(Ok(changed)) => return Ok::<_, std::convert::Infallible>(Done::changed_if(changed)),
                    Ok(Err(error)) => chain(&error),
                    Err(_) => format!("the state did not answer within {} s", OPTIONAL.as_secs()),
                };
                self.reporter.keeps(registry_credentials::TASK, Some(&problem));
                Ok(Done::changed_if(false))
            })
            .await
    }

    /// Returns the volume; `None` in a folder.
    async fn ensure_volume(
        &self,
        instance: &Instance,
        control_plane: &ControlPlaneConfig,
    ) -> Result<Option<Volume>, StepError> {
        let (host, report, etcd) = (&self.host, &self.reporter, &control_plane.etcd);
        if !host.is_machine() {
            VOLUME.leave_out(report);
            FILESYSTEM.leave_out(report);
            return Ok(None);
        }
        let mut volume = VolumeStep::default();
        let attached = VOLUME
            .run(report, async || {
                let (value, changed) = volume.attempt(host, &instance.ec2, &instance.identity, etcd).await?;
                Ok::<_, crate::storage::volume::VolumeError>(Done { value, changed })
            })
            .await?;
        let cluster = &instance.config.cluster;
        FILESYSTEM
            .run(report, async || {
                filesystem::ensure(host, &instance.ec2, &instance.store, &attached, cluster, etcd)
                    .await
                    .map(Done::changed_if)
            })
            .await?;
        Ok(Some(attached.volume))
    }

    /// Takes the addresses. Only after the volume: that is the fence.
    async fn ensure_addresses(
        &self,
        instance: &Instance,
        control_plane: &ControlPlaneConfig,
    ) -> Result<Addresses, StepError> {
        let (host, report, ec2, identity) = (&self.host, &self.reporter, &instance.ec2, &instance.identity);
        let stable = PRIVATE_ADDRESS
            .run(report, async || {
                let stable = manifests::member_address(control_plane)
                    .map_err(private_address::AddressError::Member)?;
                let changed = host.is_machine()
                    && private_address::ensure_private_address(host, ec2, identity, stable).await?;
                Ok::<_, private_address::AddressError>(Done { value: stable, changed })
            })
            .await?;
        let mut addresses = Addresses { primary: identity.private_address, stable, elastic: None };
        if control_plane.elastic_ip {
            let group = &instance.config.instance_group;
            addresses.elastic = self
                .on_machine(ELASTIC_IP, async || {
                    let (value, changed) =
                        private_address::ensure_elastic_ip(ec2, identity, group, stable).await?;
                    Ok::<_, private_address::AddressError>(Done { value, changed })
                })
                .await?;
        }
        Ok(addresses)
    }

    async fn ensure_certificates(
        &self,
        instance: &Instance,
        control_plane: &ControlPlaneConfig,
        secrets: &Secrets,
        addresses: Addresses,
    ) -> Result<(), StepError> {
        let (host, config) = (&self.host, &instance.config);
        CERTIFICATES
            .run(&self.reporter, async || {
                let leaves =
                    certificates::master_leaves(config, control_plane, &instance.identity, addresses)?;
                let mut changed = certificates::ensure(host, secrets, &leaves, Timestamp::now())?;
                changed |= stored::ensure_kubeconfigs(host, config)
                    .map_err(certificates::CertificateError::Kubeconfigs)?;
                Ok::<_, certificates::CertificateError>(Done::changed_if(changed))
            })
            .await
    }

    async fn ensure_etcd_start(
        &self,
        instance: &Instance,
        control_plane: &ControlPlaneConfig,
    ) -> Result<InitialClusterState, StepError> {
        ETCD.run(&self.reporter, async || {
            etcd::ensure_decision(&self.host, &instance.store, &instance.config.cluster, &control_plane.etcd)
                .await
                .map(Done::unchanged)
        })
        .await
    }

    async fn ensure_kubelet(&self, instance: &Instance) -> Result<(), StepError> {
        let (host, config) = (&self.host, &instance.config);
        KUBELET
            .run(&self.reporter, async || {
                let mut changed =
                    stored::ensure_authorities(host, config).map_err(kubelet::KubeletError::Authorities)?;
                changed |= kubelet::ensure(host, config, &instance.identity).await?;
                Ok::<_, kubelet::KubeletError>(Done::changed_if(changed))
            })
            .await
    }

    /// Runs a step on a machine, and leaves it out in a folder.
    async fn on_machine<T, E: crate::progress::retry::Classed>(
        &self,
        step: Step,
        attempt: impl AsyncFnMut() -> Result<Done<T>, E>,
    ) -> Result<Option<T>, StepError> {
        if !self.host.is_machine() {
            step.leave_out(&self.reporter);
            return Ok(None);
        }
        step.run(&self.reporter, attempt).await.map(Some)
    }
}

#[cfg(test)]
mod tests;
