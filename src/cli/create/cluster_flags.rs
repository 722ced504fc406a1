//! The flags of `windlass create cluster`: kops's for AWS, with kops's names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::existing_network::ExistingParts;
use crate::cli::diagnostic::Refusal;
use crate::spec::CreateOptions;
use crate::spec::problem::{Problem, Problems};

/// What the cluster shall be.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(in crate::cli) struct Flags {
    /// The version of Kubernetes
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,
    /// Feature gates of Kubernetes: NAME, +NAME or -NAME
    #[arg(long, value_delimiter = ',', value_name = "GATE,…", allow_hyphen_values = true)]
    kubernetes_feature_gates: Vec<String>,
    /// Tags for everything that is made
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE,…")]
    cloud_labels: Vec<String>,
    /// The channel, which is only written down
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// The cloud: aws, and no other
    #[arg(long, value_name = "CLOUD", value_parser = ["aws"])]
    cloud: Option<String>,
    /// Set a field of the specification: spec.sshKeyName=mine
    #[arg(long, alias = "override", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Remove a field of the specification
    #[arg(long, value_name = "PATH")]
    unset: Vec<String>,
    /// How the cluster is made: directly, and in no other way
    #[arg(long, value_name = "direct", hide_short_help = true)]
    target: Option<String>,
    /// Where kops writes files for Terraform; refused
    #[arg(long, value_name = "FOLDER", hide = true)]
    out: Option<String>,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    access: AccessFlags,
    #[command(flatten)]
    instances: InstanceFlags,
    #[command(flatten)]
    etcd: EtcdFlags,
}

#[derive(Debug, ClapArgs)]
#[group(skip)]
#[command(next_help_heading = "Network")]
struct NetworkFlags {
    /// The availability zones that the nodes are in
    #[arg(long, value_delimiter = ',', value_name = "ZONE,…")]
    zones: Vec<String>,
    /// The VPC's address ranges; 172.20.0.0/16 if left out
    #[arg(long, value_delimiter = ',', value_name = "CIDR,…")]
    network_cidr: Vec<String>,
    /// An existing VPC
    #[arg(long, alias = "vpc", value_name = "VPC")]
    network_id: Option<String>,
    /// Existing subnets for the instances
    #[arg(long, value_delimiter = ',', value_name = "SUBNET,…")]
    subnets: Vec<String>,
    /// Existing subnets for load balancers and gateways
    #[arg(long, value_delimiter = ',', value_name = "SUBNET,…")]
    utility_subnets: Vec<String>,
    /// Whether instances are in public or private subnets
    #[arg(short, long, value_name = "public|private")]
    topology: Option<String>,
    /// The network plug-in: flannel, or cni to bring your own
    #[arg(long, value_name = "PLUG-IN")]
    networking: Option<String>,
    /// Give pods IPv6 addresses
    #[arg(long)]
    ipv6: bool,
    /// Whether instances get public addresses
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    associate_public_ip: Option<bool>,
    /// Leave the tags of existing subnets alone
    #[arg(long)]
    disable_subnet_tags: bool,
    /// Whose DNS knows the API's name
    #[arg(long, value_name = "public|private|none")]
    dns: Option<String>,
    /// The hosted zone
    #[arg(long, value_name = "ZONE")]
    dns_zone: Option<String>,
}

#[derive(Debug, ClapArgs)]
#[group(skip)]
#[command(next_help_heading = "Access")]
struct AccessFlags {
    /// Who may reach the API; everybody if left out
    #[arg(long, value_delimiter = ',', value_name = "CIDR,…")]
    admin_access: Vec<String>,
    /// Who may reach instances by SSH; as --admin-access if left out
    #[arg(long, value_delimiter = ',', value_name = "CIDR,…")]
    ssh_access: Vec<String>,
    /// A public key for SSH, which is put on every instance
    #[arg(long, value_name = "FILE")]
    ssh_public_key: Option<PathBuf>,
    /// Put a load balancer before the API
    #[arg(long, value_name = "public|internal")]
    api_loadbalancer_type: Option<String>,
    /// A DNS name for the API
    #[arg(long, value_name = "NAME")]
    api_public_name: Option<String>,
    /// An ACM certificate for the API's load balancer
    #[arg(long, value_name = "ARN")]
    api_ssl_certificate: Option<String>,
    /// Make a bastion, the way in to private subnets by SSH
    #[arg(long)]
    bastion: bool,
    /// The bastion's machine image
    #[arg(long, value_name = "IMAGE")]
    bastion_image: Option<String>,
    /// How the API decides who may do what
    #[arg(long, value_name = "RBAC|AlwaysAllow")]
    authorization: Option<String>,
    /// A bucket for the discovery documents of service-account tokens, for IAM roles of service accounts
    #[arg(long, value_name = "URL")]
    discovery_store: Option<String>,
}

#[derive(Debug, ClapArgs)]
#[group(skip)]
#[command(next_help_heading = "Instances")]
struct InstanceFlags {
    /// The machine image of all: ami-…, OWNER/NAME, or ssm:PARAMETER
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Who looks after the nodes
    #[arg(long, value_name = "cloudgroups|karpenter")]
    instance_manager: Option<String>,
    /// The availability zones that masters are in; the first of --zones if left out
    #[arg(long, alias = "master-zones", value_delimiter = ',', value_name = "ZONE,…")]
    control_plane_zones: Vec<String>,
    /// How many masters
    #[arg(long, alias = "master-count", value_name = "N")]
    control_plane_count: Option<u32>,
    /// The masters' instance types
    #[arg(long, alias = "master-size", value_delimiter = ',', value_name = "TYPE,…")]
    control_plane_size: Vec<String>,
    /// The masters' machine image
    #[arg(long, alias = "master-image", value_name = "IMAGE")]
    control_plane_image: Option<String>,
    /// The masters' tenancy
    #[arg(long, alias = "master-tenancy", value_name = "default|dedicated")]
    control_plane_tenancy: Option<String>,
    /// The size of the masters' root volumes, in GiB
    #[arg(long, alias = "master-volume-size", value_name = "GIB")]
    control_plane_volume_size: Option<u32>,
    /// The type of the masters' root volumes
    #[arg(long, alias = "master-volume-type", value_name = "TYPE")]
    control_plane_volume_type: Option<String>,
    /// Further security groups of the masters
    #[arg(long, alias = "master-security-groups", value_delimiter = ',', value_name = "GROUP,…")]
    control_plane_security_groups: Vec<String>,
    /// How many nodes in all; one in each zone if left out; with 0 the master runs the pods
    #[arg(long, value_name = "N")]
    node_count: Option<u32>,
    /// The nodes' instance types
    #[arg(long, value_delimiter = ',', value_name = "TYPE,…")]
    node_size: Vec<String>,
    /// The nodes' machine image
    #[arg(long, value_name = "IMAGE")]
    node_image: Option<String>,
    /// The nodes' tenancy
    #[arg(long, value_name = "default|dedicated")]
    node_tenancy: Option<String>,
    /// The size of the nodes' root volumes, in GiB
    #[arg(long, value_name = "GIB")]
    node_volume_size: Option<u32>,
    /// The type of the nodes' root volumes
    #[arg(long, value_name = "TYPE")]
    node_volume_type: Option<String>,
    /// Further security groups of the nodes
    #[arg(long, value_delimiter = ',', value_name = "GROUP,…")]
    node_security_groups: Vec<String>,
}

#[derive(Debug, ClapArgs)]
#[group(skip)]
#[command(next_help_heading = "etcd")]
struct EtcdFlags {
    /// The etcd clusters: main, and events
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    etcd_clusters: Vec<String>,
    /// Whether etcd's volumes are encrypted; they are if left out
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    encrypt_etcd_storage: Option<bool>,
    /// The type of etcd's volumes
    #[arg(long, value_name = "TYPE")]
    etcd_storage_type: Option<String>,
}

impl Flags {
    /// The ids of existing subnets, which must be looked up for [`Flags::options`].
    pub(in crate::cli) fn existing_subnets(&self) -> Vec<String> {
        self.network.subnets.iter().chain(&self.network.utility_subnets).cloned().collect()
    }

    /// The id of an existing VPC, which must be looked up for [`Flags::options`].
    pub(in crate::cli) fn existing_vpc(&self) -> Option<String> {
        self.network.network_id.clone()
    }

    /// The region of the zones, where the zones are well formed.
    pub(in crate::cli) fn region(&self) -> Option<String> {
        self.network.zones.first().and_then(|zone| crate::spec::subnets::region(zone)).map(Into::into)
    }

    /// What is wrong with those that no specification says.
    pub(in crate::cli) fn refused(&self) -> Problems {
        let mut problems = Problems::new();
        if let Some(target) = self.target.as_deref().filter(|target| *target != "direct") {
            let message = format!("`{target}` is not supported");
            let hint = "leave it out: windlass makes the cluster itself, and `update cluster` shows before what it will do";
            problems.push(Problem::at("--target", message).hint(hint));
        }
        if self.out.is_some() {
            let message = "windlass writes no files for Terraform";
            problems.push(Problem::at("--out", message).hint("leave it out"));
        }
        problems
    }

    /// What a specification is made from. `known` is what was looked up; a file is read for the SSH key.
    pub(in crate::cli) fn options(
        self,
        name: String,
        known: &ExistingParts,
    ) -> anyhow::Result<CreateOptions> {
        let Self { network, access, instances, etcd, cloud: _, .. } = self;
        let subnets = |ids: &[String]| ids.iter().filter_map(|id| known.subnets.get(id).cloned()).collect();
        Ok(CreateOptions {
            name,
            channel: self.channel,
            kubernetes_version: self.kubernetes_version,
            kubernetes_feature_gates: self.kubernetes_feature_gates,
            cloud_labels: cloud_labels(&self.cloud_labels)?,
            subnets: subnets(&network.subnets),
            utility_subnets: subnets(&network.utility_subnets),
            zones: network.zones,
            network_cidr: network.network_cidr,
            network_id: network.network_id,
            existing_network: known.network.clone(),
            topology: network.topology,
            networking: network.networking,
            ipv6: network.ipv6,
            associate_public_ip: network.associate_public_ip,
            disable_subnet_tags: network.disable_subnet_tags,
            dns: network.dns,
            dns_zone: network.dns_zone,
            ssh_public_key: access.ssh_public_key.map(fs_err::read_to_string).transpose()?,
            api_loadbalancer_type: access.api_loadbalancer_type,
            api_public_name: access.api_public_name,
            api_ssl_certificate: access.api_ssl_certificate,
            admin_access: access.admin_access,
            ssh_access: access.ssh_access,
            bastion: access.bastion,
            bastion_image: access.bastion_image,
            authorization: access.authorization,
            discovery_store: access.discovery_store,
            image: instances.image,
            instance_manager: instances.instance_manager,
            control_plane_zones: instances.control_plane_zones,
            control_plane_count: instances.control_plane_count,
            control_plane_size: instances.control_plane_size,
            control_plane_image: instances.control_plane_image,
            control_plane_tenancy: instances.control_plane_tenancy,
            control_plane_volume_size: instances.control_plane_volume_size,
            control_plane_volume_type: instances.control_plane_volume_type,
            control_plane_security_groups: instances.control_plane_security_groups,
            node_count: instances.node_count,
            node_size: instances.node_size,
            node_image: instances.node_image,
            node_tenancy: instances.node_tenancy,
            node_volume_size: instances.node_volume_size,
            node_volume_type: instances.node_volume_type,
            node_security_groups: instances.node_security_groups,
            etcd_clusters: etcd.etcd_clusters,
            encrypt_etcd_storage: etcd.encrypt_etcd_storage,
            etcd_storage_type: etcd.etcd_storage_type,
            set: self.set,
            unset: self.unset,
        })
    }
}

fn cloud_labels(pairs: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
    let pairs = pairs.iter().map(|pair| {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Refusal::new(format!("--cloud-labels: `{pair}` is not KEY=VALUE")))?;
        Ok((key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}
