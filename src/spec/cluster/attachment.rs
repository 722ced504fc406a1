//! Load balancers of others that a group's instances are put into.

use std::fmt;

use serde::Serialize;

/// What an Auto Scaling group is attached to and isn't the cluster's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Attachment {
    /// A target group, by its ARN.
    TargetGroup(String),
    /// A Classic Load Balancer, by its name.
    ClassicLoadBalancer(String),
}

impl Attachment {
    /// What AWS calls it.
    pub fn name(&self) -> &str {
        match self {
            Self::TargetGroup(name) | Self::ClassicLoadBalancer(name) => name,
        }
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetGroup(arn) => formatter.write_str(arn),
            Self::ClassicLoadBalancer(name) => write!(formatter, "load balancer {name}"),
        }
    }
}
