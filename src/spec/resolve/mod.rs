//! From what users write to what everything downstream reads, in one pass: each resolver returns the value of its
//! fields and reports all that is wrong with them, each problem with its field.
//!
//! Resolvers read the filled-in specification, so that a rule holds for defaults, too. What AWS alone knows (whether a
//! zone, an image or a key pair exists) is not asked here.

mod access;
mod addons;
mod assets;
mod attachments;
mod bastion;
mod cluster;
mod components;
mod data_volumes;
mod dns;
mod egress;
mod egress_proxy;
mod etcd;
mod etcd_manager;
mod files;
mod hooks;
mod identity;
mod instance_group;
mod interface_endpoints;
mod interruption;
mod kernel_parameters;
mod labels;
mod load_balancer;
mod network;
mod policies;
mod purchase;
mod ranges;
mod service_accounts;
pub(super) mod text;
mod user_data;
mod volume;
mod warm_pool;

pub(super) use access::{access, public_key};
#[cfg(test)]
pub(super) use components::fields as component_fields;
pub(super) use etcd::{LEASES, is_users_own};
pub(super) use instance_group::MOST_INSTANCES;
pub(super) use labels::GROUP_LABEL;
pub(super) use network::chosen_plugins;
pub(super) use text::{dns_label, dns_name, ipv4_net, net};

use std::collections::HashSet;

use super::cluster::Cluster;
use super::default::fill;
use super::documents::Documents;
use super::problem::{ObjectId, Problem, Problems};
use super::support;
use super::v1alpha2::{self, Object};
use super::yaml::PlacedDocuments;

impl Documents {
    /// The complete specification: what is not supported yet is refused, defaults are filled in, every rule is checked.
    /// Fails with all problems, which have no places in files.
    pub fn resolve(&self) -> Result<Cluster, Problems> {
        let Self { cluster, instance_groups, ssh_credentials, additional_objects: _ } = self;
        resolve(cluster, instance_groups, ssh_credentials)
    }
}

impl PlacedDocuments {
    /// The documents of the one cluster that is among them.
    pub fn whole(&self) -> Result<Documents, Problems> {
        self.one_cluster()?;
        self.documents.clone().whole().ok_or_else(Problems::new)
    }

    /// The complete specification; problems say where they stand.
    pub fn resolve(&self) -> Result<Cluster, Problems> {
        let Documents { instance_groups, ssh_credentials, .. } = &self.documents;
        resolve(self.one_cluster()?, instance_groups, ssh_credentials)
            .map_err(|problems| self.locate(problems))
    }

    fn one_cluster(&self) -> Result<&v1alpha2::Cluster, Problems> {
        match self.documents.cluster.as_slice() {
            [cluster] => Ok(cluster),
            [] => Err(Problems(vec![Problem::at("", "there is no Cluster among the documents")])),
            several => {
                let message = format!("there are {} Clusters among the documents", several.len());
                Err(Problems(vec![Problem::at("", message).hint("name one at a time")]))
            }
        }
    }
}

fn resolve(
    cluster: &v1alpha2::Cluster,
    groups: &[v1alpha2::InstanceGroup],
    credentials: &[v1alpha2::SshCredential],
) -> Result<Cluster, Problems> {
    let mut problems = support::check_cluster(cluster);
    for group in groups {
        problems.extend(support::check_instance_group(group).0);
    }
    let unsupported = problems.0.iter().map(|problem| (problem.object.clone(), problem.path.clone()));
    let unsupported: HashSet<_> = unsupported.collect();
    let (cluster, groups) = fill(cluster, groups);
    let mut found = Problems::new();
    let resolved = filled(&cluster, &groups, credentials, &mut found);
    // What is refused as not supported yet is told once.
    let news = |problem: &Problem| !unsupported.contains(&(problem.object.clone(), problem.path.clone()));
    problems.extend(found.0.into_iter().filter(news));
    match resolved {
        Ok(cluster) => problems.or(cluster),
        Err(Reported(())) => Err(problems),
    }
}

/// Resolves a filled-in specification. Everything is looked at before the first failure ends it, so that all problems
/// are told at once.
fn filled(
    cluster: &v1alpha2::Cluster,
    groups: &[v1alpha2::InstanceGroup],
    credentials: &[v1alpha2::SshCredential],
    problems: &mut Problems,
) -> Resolved<Cluster> {
    let spec = &cluster.spec;
    let mut report = Report::of(cluster, problems);
    let whole = cluster::resolve(cluster, groups, &mut report);
    let network = network::resolve(spec, &mut report);
    let access = access::resolve(cluster, groups, &network, &mut report);
    // The problems of groups are told behind those of the cluster, which refers to them.
    let mut of_groups = Problems::new();
    let groups = instance_group::resolve_all(cluster, groups, &network, &mut of_groups);
    let etcd = etcd::resolve(spec, &groups, &mut report);
    let groups: Vec<Resolved<_>> =
        groups.into_iter().map(|group| etcd::with_members(group, &etcd, &mut report)).collect();
    let image_source = assets::image_source(spec, &mut report);
    let egress_proxy = egress_proxy::egress_proxy(spec, &mut report);
    let components = components::check(spec, &mut report);
    let permissions = policies::resolve(spec, &mut report);
    let metrics_server = addons::metrics_server(spec, &mut report);
    let interruption = interruption::interruption(spec, &mut report);
    let warm_pool = warm_pool::check(spec, &mut report);
    let service_accounts = service_accounts::resolve(spec, access.as_ref().ok(), &mut report);
    problems.extend(of_groups.0);
    let ssh_key = access::ssh_key(cluster, credentials, problems);

    let mut instance_groups = all(groups)?;
    instance_groups.sort_by(|one, other| one.name.cmp(&other.name));
    components?;
    warm_pool?;
    let (whole, access, permissions) = (whole?, access?, permissions?);
    Ok(Cluster {
        name: whole.name,
        region: network.region?,
        kubernetes_version: whole.kubernetes_version,
        emulated_version: whole.emulated_version,
        network: network.network?,
        subnets: all(network.subnets)?,
        api: access.api,
        ssh_access: access.ssh,
        node_ports: access.node_ports,
        ssh_key: ssh_key?,
        container_registry: whole.container_registry,
        masters_may: permissions.masters,
        nodes_may: permissions.nodes,
        bastions_may: permissions.bastions,
        api_servers_may: permissions.api_servers,
        bastion: access.bastion,
        egress_proxy: egress_proxy?,
        image_source: image_source?,
        service_accounts: service_accounts?,
        etcd: etcd?.clusters()?,
        certificate_seconds: whole.certificate_seconds,
        backups: whole.backups,
        plugin: network.plugin?,
        metrics_server: metrics_server?,
        interruption: interruption?,
        cloud_labels: whole.cloud_labels,
        instance_groups,
    })
}

/// A value; or the proof that what is wrong with it was reported.
pub(super) type Resolved<T> = Result<T, Reported>;

/// The proof that a problem was reported: nothing but [`Report::push`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported(());

/// All values, if each could be resolved. Every item is looked at.
fn all<T>(items: impl IntoIterator<Item = Resolved<T>>) -> Resolved<Vec<T>> {
    let items: Vec<Resolved<T>> = items.into_iter().collect();
    items.into_iter().collect()
}

/// Takes the problems of one document.
pub(super) struct Report<'a> {
    object: ObjectId,
    problems: &'a mut Problems,
}

impl<'a> Report<'a> {
    /// Takes the problems of a document.
    pub(super) fn of<T: Object>(document: &T, problems: &'a mut Problems) -> Self {
        Self { object: ObjectId { kind: T::KIND.to_owned(), name: document.name().to_owned() }, problems }
    }

    /// A problem with a field.
    pub(super) fn push(&mut self, problem: Problem) -> Reported {
        self.problems.push(problem.of(&self.object));
        Reported(())
    }

    /// A field that must be there.
    fn missing(&mut self, path: impl Into<String>, hint: &str) -> Reported {
        self.push(Problem::at(path, "this field is missing").hint(hint))
    }

    /// The value of a field that a default has filled in where it was left out.
    fn filled<T: Clone>(&mut self, path: &str, value: Option<&T>) -> Resolved<T> {
        value.cloned().ok_or_else(|| self.missing(path, "write it"))
    }

    /// The value of a text, read with its grammar.
    fn read<T>(
        &mut self,
        path: &str,
        text: &str,
        grammar: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Resolved<T> {
        grammar(text).map_err(|problem| self.push(Problem { path: path.to_owned(), ..problem }))
    }

    /// The same for a field that a default has filled in where it was left out.
    fn read_filled<T>(
        &mut self,
        path: &str,
        text: Option<&String>,
        grammar: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Resolved<T> {
        let text = self.filled(path, text)?;
        self.read(path, &text, grammar)
    }
}
