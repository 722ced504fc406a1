//! Why the facts don't allow a specification, and what to do about it.

use super::discovery_error::DiscoveryError;
use super::external_load_balancer_error::ExternalLoadBalancerError;
use super::image_parameter_problem::ImageParameterProblem;
use super::network_error::ExistingNetworkError;
use crate::aws::AwsError;
use crate::aws::hosted_zone::HostedZoneError;
use crate::aws::tags::IMAGE_KUBERNETES_VERSION;
use thiserror::Error;

/// Why the facts don't allow the specification.
#[derive(Debug, Error)]
pub enum FactsError {
    /// A call failed.
    #[error("{0}")]
    Aws(#[from] AwsError),
    /// The hosted zone can't be used, or the API's name in it.
    #[error("{0}")]
    HostedZone(#[from] HostedZoneError),
    /// What exists already isn't as the specification says.
    #[error("{0}")]
    ExistingNetwork(#[from] ExistingNetworkError),
    /// A group can't be put into a load balancer of others.
    #[error("{0}")]
    ExternalLoadBalancer(#[from] ExternalLoadBalancerError),
    /// The bucket for discovery documents can't be used.
    #[error("{0}")]
    Discovery(#[from] DiscoveryError),
    /// There is no such region.
    #[error("AWS has no region `{region}`")]
    NoRegion {
        /// As written.
        region: String,
        /// The nearest name of one.
        near: Option<String>,
    },
    /// The account doesn't use the region.
    #[error("the account has not turned the region `{region}` on")]
    RegionOff {
        /// Such as `eu-west-1`.
        region: String,
    },
    /// What is written as a KMS key isn't one.
    #[error("there is no KMS key `{key}` in {region} that can be used")]
    KmsKey {
        /// As written.
        key: String,
        /// Where it was looked for.
        region: String,
        /// What KMS said, where it said more.
        #[source]
        source: Option<AwsError>,
    },
    /// A zone isn't one, or not usable.
    #[error("`{zone}` is not an availability zone of {region} that can be used")]
    Zone {
        /// As written.
        zone: String,
        /// Whose zones were looked through.
        region: String,
        /// The zones that can.
        usable: Vec<String>,
    },
    /// There is no such machine type.
    #[error("instance group `{group}`: `{machine_type}` is not a machine type of {region}")]
    MachineType {
        /// The instance group.
        group: String,
        /// As written.
        machine_type: String,
        /// Which doesn't offer it.
        region: String,
    },
    /// The machine type isn't offered where it is wanted.
    #[error("instance group `{group}`: `{machine_type}` is not offered in {}", missing.join(", "))]
    NotOffered {
        /// The instance group.
        group: String,
        /// As written.
        machine_type: String,
        /// The zones without it.
        missing: Vec<String>,
        /// The zones with it.
        offered: Vec<String>,
    },
    /// A security group that is named isn't there.
    #[error(
        "{}: there is no security group `{id}` in {region}",
        group.as_ref().map_or("spec.api.loadBalancer".to_owned(), |group| format!("instance group `{group}`"))
    )]
    SecurityGroup {
        /// The instance group that names it; none where the API's load balancer does.
        group: Option<String>,
        /// As written.
        id: String,
        /// Where it was looked for.
        region: String,
    },
    /// A security group that is named is in another VPC.
    #[error("instance group `{group}`: the security group `{id}` is in {found}, and the cluster in {wanted}")]
    SecurityGroupVpc {
        /// The instance group.
        group: String,
        /// As written.
        id: String,
        /// The security group's VPC.
        found: String,
        /// The cluster's.
        wanted: String,
    },
    /// Two machine types can't be in one group.
    #[error("instance group `{group}`: `{machine_type}` and `{other}` can't be in one group: {difference}")]
    Unlike {
        /// The instance group.
        group: String,
        /// The group's `machineType`.
        machine_type: String,
        /// One of `mixedInstancesPolicy`.
        other: String,
        /// What is different.
        difference: &'static str,
    },
    /// The machine type has no CPU credits.
    #[error("instance group `{group}`: `{machine_type}` isn't burstable, and has no CPU credits")]
    NotBurstable {
        /// The instance group.
        group: String,
        /// As written.
        machine_type: String,
    },
    /// A parameter that an image is named by doesn't say one.
    #[error(
        "instance group `{group}`: spec.image: {}",
        match problem {
            ImageParameterProblem::Missing => format!("there is no SSM parameter `{parameter}` in {region}"),
            ImageParameterProblem::Secret => format!("the SSM parameter `{parameter}` is a SecureString"),
            ImageParameterProblem::NoId(value) => {
                format!("the SSM parameter `{parameter}` holds `{value}`, which is no AMI's id")
            }
        }
    )]
    ImageParameter {
        /// The instance group; the first, where several name it.
        group: String,
        /// As written, without `ssm:`.
        parameter: String,
        /// Where it was looked for.
        region: String,
        /// What is wrong with it.
        problem: ImageParameterProblem,
    },
    /// No image is meant by what is written.
    #[error("instance group `{group}`: there is no image `{image}` for {architecture}")]
    NoImage {
        /// The instance group.
        group: String,
        /// As written.
        image: String,
        /// Of the machine type.
        architecture: &'static str,
        /// What to do.
        advice: String,
    },
    /// An image is for other machines.
    #[error(
        "instance group `{group}`: image `{image}` is for {found}, machine type `{machine_type}` is {wanted}"
    )]
    Architecture {
        /// The instance group.
        group: String,
        /// The image's id.
        image: String,
        /// The image's architecture.
        found: String,
        /// As written.
        machine_type: String,
        /// The machine type's architecture.
        wanted: &'static str,
    },
    /// An image holds another Kubernetes, or isn't one of windlass's.
    #[error(
        "instance group `{group}`: image `{image}` holds {}, the specification says Kubernetes {wanted}",
        found.as_deref().map_or("no Kubernetes that its tags name".to_owned(), |found| format!("Kubernetes {found}"))
    )]
    KubernetesVersion {
        /// The instance group.
        group: String,
        /// The image's id.
        image: String,
        /// What its tag says.
        found: Option<String>,
        /// The specification's version.
        wanted: String,
    },
    /// An image is older than the documents that windlass writes today: its agent refuses them.
    #[error(
        "instance group `{group}`: image `{image}` ({name}) was built by an older windlass, whose boot agent can't read what \
         this one writes: {lacks}"
    )]
    OldImage {
        /// The instance group.
        group: String,
        /// The image's id.
        image: String,
        /// As its owner calls it.
        name: String,
        /// By what it is known.
        lacks: String,
    },
    /// A master's image holds another etcd.
    #[error(
        "instance group `{group}`: image `{image}` holds etcd {found}, the specification says etcd {wanted} for the etcd \
         cluster `{etcd}`"
    )]
    EtcdVersion {
        /// The instance group.
        group: String,
        /// The image's id.
        image: String,
        /// What its tag says.
        found: String,
        /// The specification's version.
        wanted: String,
        /// The etcd cluster.
        etcd: String,
    },
}

impl FactsError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => error.hint(),
            Self::HostedZone(error) => error.hint(),
            Self::ExistingNetwork(error) => Some(error.hint()),
            Self::ExternalLoadBalancer(error) => Some(error.hint()),
            Self::Discovery(error) => Some(error.hint()),
            Self::NoRegion { near: Some(near), .. } => Some(format!("did you mean a zone of `{near}`?")),
            Self::NoRegion { near: None, .. } => {
                Some("`aws ec2 describe-regions --query Regions[].RegionName` lists them".to_owned())
            }
            Self::RegionOff { region } => Some(format!(
                "`aws account enable-region --region-name {region}` does, or name zones of another"
            )),
            Self::Zone { usable, .. } => Some(format!("zones that can be used: {}", usable.join(", "))),
            Self::KmsKey { region, source, .. } => source.as_ref().and_then(AwsError::hint).or_else(|| {
                Some(format!("`aws kms list-aliases --region {region}` lists the aliases that there are"))
            }),
            Self::MachineType { region, .. } => {
                Some(format!("`aws ec2 describe-instance-types --region {region}` lists those that are"))
            }
            Self::NotOffered { offered, machine_type, .. } if offered.is_empty() => {
                Some(format!("no zone of the cluster offers `{machine_type}`: choose another machine type"))
            }
            Self::NotOffered { offered, .. } => {
                Some(format!("choose another machine type, or only subnets in {}", offered.join(", ")))
            }
            Self::SecurityGroup { group, region, .. } => Some(format!(
                "`aws ec2 describe-security-groups --region {region}` lists those that there are; to name another: windlass \
                 edit {}",
                group.as_ref().map_or("cluster".to_owned(), |group| format!("instancegroup {group}"))
            )),
            Self::SecurityGroupVpc { group, .. } => {
                Some(format!("name one of the cluster's VPC: windlass edit instancegroup {group}"))
            }
            Self::Unlike { group, .. } => {
                Some(format!("make a group for each kind: windlass edit instancegroup {group}"))
            }
            Self::NotBurstable { group, .. } => {
                Some(format!("take `cpuCredits` out: windlass edit instancegroup {group}"))
            }
            Self::ImageParameter { parameter, region, problem: ImageParameterProblem::Missing, .. } => {
                Some(format!(
                    "`aws ssm describe-parameters --region {region}` lists those that there are; to make it: aws ssm put-parameter \
                     --region {region} --name {parameter} --type String --data-type aws:ec2:image --value <AMI id>"
                ))
            }
            Self::ImageParameter { parameter, region, .. } => Some(format!(
                "it must be a String that holds one AMI's id: aws ssm get-parameter --region {region} --name {parameter} shows \
                 it"
            )),
            Self::NoImage { advice, .. } => Some(advice.clone()),
            Self::Architecture { group, .. } => {
                Some(format!("choose another machine type or image: `windlass edit instancegroup {group}`"))
            }
            Self::KubernetesVersion { group, found, wanted, .. } => Some(match found {
                Some(found) => format!(
                    "build an image for Kubernetes {wanted} (see packer/), or set `kubernetesVersion: {found}` with \
                     `windlass edit cluster`"
                ),
                None => format!(
                    "images of windlass carry the tag `{IMAGE_KUBERNETES_VERSION}`: build one (see packer/) and name \
                     it in `windlass edit instancegroup {group}`"
                ),
            }),
            Self::OldImage { group, .. } => Some(format!(
                "build a new image: packer build -var agent_binary=… packer (see packer/README.md); where the group names \
                 its image, name the new one: windlass edit instancegroup {group}"
            )),
            Self::EtcdVersion { etcd, found, wanted, .. } => Some(format!(
                "build an image that holds etcd {wanted} (see packer/), or set `version: {found}` of the etcd cluster \
                 `{etcd}` with `windlass edit cluster`"
            )),
        }
    }
}
