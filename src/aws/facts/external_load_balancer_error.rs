//! Why a group can't be put into a load balancer of others, and what to do about it.

use thiserror::Error;

/// Why a group can't be put into a load balancer.
#[derive(Debug, Error)]
pub enum ExternalLoadBalancerError {
    /// There is none of that name.
    #[error("instance group `{group}`: spec.externalLoadBalancers: there is no {what} `{name}` in {region}")]
    Missing {
        /// The instance group.
        group: String,
        /// What was looked for.
        what: &'static str,
        /// As written.
        name: String,
        /// Where it was looked for.
        region: String,
    },
    /// It takes no instances.
    #[error(
        "instance group `{group}`: spec.externalLoadBalancers: the target group `{arn}` is for targets of the type {found}, \
         not for instances"
    )]
    TargetType {
        /// The instance group.
        group: String,
        /// As written.
        arn: String,
        /// As it is.
        found: String,
    },
    /// It is in another VPC.
    #[error(
        "instance group `{group}`: spec.externalLoadBalancers: `{name}` is in {found}, and the cluster in {wanted}"
    )]
    Vpc {
        /// The instance group.
        group: String,
        /// As written.
        name: String,
        /// The load balancer's.
        found: String,
        /// The cluster's.
        wanted: String,
    },
}

impl ExternalLoadBalancerError {
    /// What to type next.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { group, what, region, .. } => {
                let command = match *what {
                    TARGET_GROUP => "aws elbv2 describe-target-groups",
                    _ => "aws elb describe-load-balancers",
                };
                format!(
                    "`{command} --region {region}` lists those that there are; to name another: windlass edit instancegroup \
                     {group}"
                )
            }
            Self::TargetType { group, .. } => {
                format!("name one with the target type `instance`: windlass edit instancegroup {group}")
            }
            Self::Vpc { group, .. } => format!("name one of that VPC: windlass edit instancegroup {group}"),
        }
    }
}

/// What is looked for by an ARN.
pub(super) const TARGET_GROUP: &str = "target group";
/// What is looked for by a name.
pub(super) const LOAD_BALANCER: &str = "Classic Load Balancer";
