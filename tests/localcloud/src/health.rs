//! Health checks of load balancers' targets, made from the load balancers' nodes with real packets.
//!
//! One node checks a target: the one in the target's zone, or the first there is. So the load balancer's and the target's
//! security groups hold for checks as they do for connections, and the region tells what the checks say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::balancer;
use crate::command;
use crate::namespace::Namespace;
use crate::region::Region;
use crate::world::{BalancerNode, HealthCheck, LoadBalancer, Target, TargetHealth, World};

/// A target of a target group: the group's ARN, the target's id, its port.
type Key = (String, String, u16);

/// A target's check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The network interface of the node that makes it.
    pub node: String,
    /// What is connected to.
    pub address: SocketAddr,
    /// How.
    pub how: HealthCheck,
}

/// Every check that the world wants.
pub fn checks(world: &World) -> BTreeMap<Key, Check> {
    let mut checks = BTreeMap::new();
    for balancer in &world.load_balancers {
        for (_, group) in balancer::groups(world, balancer) {
            for target in group.targets.iter().filter(|target| is_checked(target)) {
                if let Some(node) = checking(balancer, target) {
                    let port = group.health_check.port.unwrap_or(target.port);
                    let address = SocketAddr::from((target.address, port));
                    let (node, how) = (node.network_interface.clone(), group.health_check.clone());
                    let key = (group.arn.clone(), target.id.clone(), target.port);
                    checks.insert(key, Check { node, address, how });
                }
            }
        }
    }
    checks
}

fn is_checked(target: &Target) -> bool {
    matches!(target.health, TargetHealth::Initial | TargetHealth::Healthy | TargetHealth::Unhealthy)
}

fn checking<'a>(balancer: &'a LoadBalancer, target: &Target) -> Option<&'a BalancerNode> {
    let near = balancer.nodes.iter().find(|node| Some(&node.zone) == target.zone.as_ref());
    near.or_else(|| balancer.nodes.first())
}

/// The checks that go on. They end when this is dropped.
#[derive(Debug)]
pub struct Checks {
    cloud: String,
    region: Region,
    running: BTreeMap<Key, (Check, JoinHandle<()>)>,
}

impl Checks {
    /// No checks yet, in the cloud of this name.
    pub fn new(cloud: &str, region: Region) -> Self {
        Self { cloud: cloud.to_owned(), region, running: BTreeMap::new() }
    }

    /// From now on what this world wants is checked. What goes on already goes on.
    pub fn follow(&mut self, world: &World) {
        let wanted = checks(world);
        self.running.retain(|key, (check, task)| {
            let stays = wanted.get(key) == Some(check);
            if !stays {
                task.abort();
            }
            stays
        });
        for (key, check) in wanted {
            if !self.running.contains_key(&key) {
                let node = Namespace::named(format!("{}-{}", self.cloud, check.node));
                let task = tokio::spawn(go_on(self.region.clone(), key.clone(), check.clone(), node));
                self.running.insert(key, (check, task));
            }
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        for (_, task) in self.running.values() {
            task.abort();
        }
    }
}

/// Checks a target for ever, and reports it whenever it changes from one to the other for good.
async fn go_on(region: Region, (group, target, port): Key, check: Check, node: Namespace) {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(check.how.interval.max(0.05)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut row, mut last, mut told) = (0, None, None);
    loop {
        ticks.tick().await;
        let healthy = succeeds(&check, &node).await;
        row = if last == Some(healthy) { row + 1 } else { 1 };
        last = Some(healthy);
        let enough = match (healthy, told) {
            // A new target is in service once it has passed one check ("Troubleshoot your Network Load Balancer").
            (true, None) => 1,
            (true, Some(_)) => check.how.healthy_threshold,
            (false, _) => check.how.unhealthy_threshold,
        };
        if row < enough || told == Some(healthy) {
            continue;
        }
        tracing::info!(target, port, healthy, "health checks say");
        match region.report_target(&group, &target, port, healthy).await {
            Ok(()) => told = Some(healthy),
            Err(error) => tracing::warn!(target, %error, "the region doesn't take the report"),
        }
    }
}

async fn succeeds(check: &Check, node: &Namespace) -> bool {
    let made = async {
        match check.how.protocol.as_str() {
            "TCP" => connects(node, check.address).await,
            protocol => answers(node, protocol, check).await,
        }
    };
    let limit = Duration::from_secs_f64(check.how.timeout.max(0.05));
    let outcome = tokio::time::timeout(limit, made).await;
    match outcome {
        Ok(Ok(())) => true,
        Ok(Err(reason)) => {
            tracing::debug!(target = %check.address, reason, "a health check failed");
            false
        }
        Err(_) => false,
    }
}

async fn connects(node: &Namespace, address: SocketAddr) -> Result<(), String> {
    let socket = node.socket().map_err(|error| error.to_string())?;
    let socket = tokio::net::TcpSocket::from_std_stream(socket);
    socket.connect(address).await.map(drop).map_err(|error| error.to_string())
}

/// A load balancer doesn't look at the certificates of its targets.
async fn answers(node: &Namespace, protocol: &str, check: &Check) -> Result<(), String> {
    let path = check.how.path.as_deref().unwrap_or("/");
    let url = format!("{}://{}{path}", protocol.to_ascii_lowercase(), check.address);
    let (namespace, limit) = (format!("--net={}", node.path().display()), check.how.timeout.to_string());
    let line = ["nsenter", &namespace, "curl", "--silent", "--insecure", "--output", "/dev/null"];
    let asking = ["--user-agent", "ELB-HealthChecker/2.0", "--noproxy", "*", "--max-time", &limit];
    let rest = ["--write-out", "%{http_code}", &url];
    let status =
        command::run(&[&line[..], &asking, &rest].concat()).await.map_err(|error| error.to_string())?;
    let matcher = check.how.matcher.as_deref().unwrap_or("200-399");
    if matches(matcher, status.trim()) { Ok(()) } else { Err(format!("its status is {status}")) }
}

/// Whether a status is one of `200`, `200,202` or `200-399`.
fn matches(matcher: &str, status: &str) -> bool {
    let Ok(status) = status.parse::<u16>() else { return false };
    matcher.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = (first.trim().parse::<u16>(), last.trim().parse::<u16>());
        matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&status))
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn statuses_are_listed_or_a_range() {
        for (matcher, status) in
            [("200", "200"), ("200,202", "202"), ("200-399", "301"), ("200-299,404", "404")]
        {
            assert!(matches(matcher, status), "{matcher} {status}");
        }
        for (matcher, status) in [("200", "201"), ("200-399", "400"), ("200", "000"), ("", "200")] {
            assert!(!matches(matcher, status), "{matcher} {status}");
        }
    }
}
