//! The load balancers that a cluster has, as values: what `access` lets through them, and `load_balancer` makes of them.

use windlass_bootstrap::config::Role;

use crate::cloud::Reference;
use crate::cloud::load_balancing::{LoadBalancerTargetGroup, Protocol, name_of, name_of_front};
use crate::spec::cluster::{AccessSource, Cluster, LoadBalancer, Subnet};

/// The port of SSH.
pub(super) const SSH: u16 = 22;

/// A load balancer, and what is behind it.
pub(super) struct Front<'a> {
    /// What its name begins with.
    pub(super) purpose: &'static str,
    pub(super) balancer: &'a LoadBalancer,
    /// Whom it leads to; where that is masters, to API servers beside them, too.
    pub(super) behind: Role,
    /// The port of instances, and its own.
    pub(super) port: u16,
    /// From where it may be reached.
    pub(super) access: &'a [AccessSource],
}

/// The cluster's load balancers.
pub(super) fn fronts(cluster: &Cluster) -> Vec<Front<'_>> {
    let api = cluster.api.load_balancer.as_ref().map(|balancer| Front {
        purpose: "api",
        balancer,
        behind: Role::ControlPlane,
        port: cluster.api.port,
        access: &cluster.api.access,
    });
    let bastions = cluster.bastion.as_ref().map(|bastion| Front {
        purpose: "bastion",
        balancer: &bastion.load_balancer,
        behind: Role::Bastion,
        port: SSH,
        access: &cluster.ssh_access,
    });
    api.into_iter().chain(bastions).collect()
}

impl Front<'_> {
    /// Whether instances of a role are behind it.
    pub(super) fn leads_to(&self, role: Role) -> bool {
        self.behind == role || (self.behind == Role::ControlPlane && role == Role::ApiServer)
    }

    /// What it is called.
    pub(super) fn name(&self, cluster: &Cluster) -> String {
        name_of_front(self.purpose, cluster, self.balancer)
    }

    /// How instances are spoken to, each with the port of the load balancer for it.
    pub(super) fn protocols(&self) -> Vec<(u16, Protocol)> {
        match self.balancer.certificate {
            Some(_) => {
                vec![(LoadBalancer::CLIENT_CERTIFICATES_PORT, Protocol::Tcp), (self.port, Protocol::Tls)]
            }
            None => vec![(self.port, Protocol::Tcp)],
        }
    }

    /// A target group is one load balancer's, so that another load balancer has others.
    pub(super) fn target_group(
        &self,
        cluster: &Cluster,
        protocol: Protocol,
    ) -> Reference<LoadBalancerTargetGroup> {
        let purpose = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
        };
        Reference::to(name_of(purpose, &cluster.name, &self.name(cluster)))
    }
}

/// Whether it has IPv6 addresses, too: all its subnets have to. An internal one has none where an Internet gateway leads to
/// its subnets: AWS doesn't make one there (kops, on tags of public subnets).
pub(super) fn is_dual_stack(balancer: &LoadBalancer) -> bool {
    let is_reached = |subnet: &Subnet| !balancer.internal || subnet.kind.is_private();
    balancer.subnets.iter().all(|chosen| chosen.subnet.ipv6.is_some() && is_reached(&chosen.subnet))
}
