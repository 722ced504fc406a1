//! What is special about each role of instances, as data: a role more is a row more.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use windlass_bootstrap::config::Role;

use super::identity::{self, State};
use super::{Desired, Inputs, ModelError, access};
use crate::cloud::security_group_rules::Rule;
use crate::spec::cluster::{Cluster, Permissions};

/// What is special about a role.
pub(super) struct RoleModel {
    /// Which one.
    pub(super) role: Role,
    /// What the names of that begin with which all of its instances share.
    pub(super) prefix: &'static str,
    /// The tag that its groups carry.
    pub(super) tag: &'static str,
    /// The description of its security group, which EC2 never changes.
    pub(super) security_group: &'static str,
    /// What may reach its instances.
    pub(super) ingress: fn(&Cluster) -> BTreeSet<Rule>,
    /// What its instances have to do on AWS, as statements of a policy.
    pub(super) statements: fn(&Inputs<'_>, &State) -> Vec<Value>,
    /// What the user lets them do besides.
    pub(super) may: fn(&Cluster) -> &Permissions,
    /// Whether its instances install the add-ons.
    pub(super) installs_addons: bool,
}

/// Adds what all instances of a role share: their security group, and what they may do on AWS.
pub(super) fn add(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let (cluster, state) = (inputs.cluster, State::new(inputs)?);
    for model in ALL.into_iter().filter(|model| cluster.has_role(model.role)) {
        let RoleModel { role, security_group, ingress, statements, may, .. } = model;
        access::add_security_group(cluster, *role, security_group, ingress(cluster), desired)?;
        identity::add(inputs, *role, statements(inputs, &state), may(cluster), desired)?;
    }
    add_rules_of_existing_groups(cluster, desired)
}

/// Adds what may reach instances in the security groups that some have in the place of windlass's own.
fn add_rules_of_existing_groups(cluster: &Cluster, desired: &mut Desired) -> Result<(), ModelError> {
    let mut rules: BTreeMap<&str, BTreeSet<Rule>> = BTreeMap::new();
    for group in &cluster.instance_groups {
        if let Some(id) = &group.security_group {
            rules.entry(id).or_default().extend((of(group.role()).ingress)(cluster));
        }
    }
    let mut groups = rules.into_iter();
    groups.try_for_each(|(id, ingress)| access::add_existing_group(cluster, id, ingress, desired))
}

/// Every role.
const ALL: [&RoleModel; 4] = [&MASTERS, &NODES, &BASTIONS, &API_SERVERS];

/// What is special about this role.
pub(super) fn of(role: Role) -> &'static RoleModel {
    match role {
        Role::ControlPlane => &MASTERS,
        Role::Node => &NODES,
        Role::Bastion => &BASTIONS,
        Role::ApiServer => &API_SERVERS,
    }
}

const MASTERS: RoleModel = RoleModel {
    role: Role::ControlPlane,
    prefix: "masters",
    tag: "k8s.io/role/control-plane",
    security_group: "Security group for masters",
    ingress: access::into_masters,
    statements: identity::masters,
    may: |cluster| &cluster.masters_may,
    installs_addons: true,
};

const NODES: RoleModel = RoleModel {
    role: Role::Node,
    prefix: "nodes",
    tag: "k8s.io/role/node",
    security_group: "Security group for nodes",
    ingress: access::into_nodes,
    statements: identity::nodes,
    may: |cluster| &cluster.nodes_may,
    installs_addons: false,
};

const BASTIONS: RoleModel = RoleModel {
    role: Role::Bastion,
    prefix: "bastions",
    tag: "k8s.io/role/bastion",
    security_group: "Security group for bastions",
    ingress: access::into_bastions,
    statements: identity::bastions,
    may: |cluster| &cluster.bastions_may,
    installs_addons: false,
};

const API_SERVERS: RoleModel = RoleModel {
    role: Role::ApiServer,
    prefix: "apiservers",
    tag: "k8s.io/role/apiserver",
    security_group: "Security group for API servers",
    ingress: access::into_api_servers,
    statements: identity::api_servers,
    may: |cluster| &cluster.api_servers_may,
    installs_addons: false,
};
