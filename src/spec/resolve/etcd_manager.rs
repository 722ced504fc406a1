//! What the specification says of etcd's image and of kops's etcd-manager, whose work the agent does.

use std::collections::BTreeMap;

use super::{Report, Resolved, all, text};
use crate::spec::cluster::Backups;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{ClusterSpec, Duration, EnvVarSpec, EtcdClusterSpec};

/// etcd comes with the machine image. Another registry's image of the same version asks for the same etcd.
pub(super) fn image(cluster: &EtcdClusterSpec, path: &str, report: &mut Report<'_>) -> Resolved<()> {
    let (Some(image), Some(version)) = (&cluster.image, &cluster.version) else { return Ok(()) };
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    // Kubernetes counts its builds of a version behind it: `3.6.6-0`.
    let is_same =
        tag.strip_prefix(version.as_str()).is_some_and(|build| build.is_empty() || build.starts_with('-'));
    if is_same {
        return Ok(());
    }
    let message = format!("`{image}` is not etcd {version}, which the etcd cluster shall run");
    let hint = "leave it out: etcd comes with the machine image; `version` names it";
    Err(report.push(Problem::at(format!("{path}.image"), message).hint(hint)))
}

/// How often kops's etcd-manager makes a backup, and for how many days it keeps one.
const USUAL: Backups = Backups { interval_seconds: 900, retention_days: 90 };

/// A backup of a large etcd takes a while.
const SHORTEST_INTERVAL: u64 = 60;
/// Daily backups would be none.
const LONGEST_INTERVAL: u64 = 24 * 60 * 60;
/// As long as rules of S3 can wait and people plan.
const LONGEST_RETENTION: u32 = 3650;

/// How backups are made, of all etcd clusters at one time: so often as the most impatient of them asks for, and kept for as
/// long as any.
pub(super) fn backups(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Backups> {
    let (mut intervals, mut retentions) = (Vec::new(), Vec::new());
    for (index, cluster) in spec.etcd_clusters.iter().flatten().enumerate() {
        let Some(manager) = &cluster.manager else { continue };
        let path = |field: &str| format!("spec.etcdClusters[{index}].manager.{field}");
        if let Some(Duration(written)) = &manager.backup_interval {
            intervals.push(interval(written, path("backupInterval"), report));
        }
        if let Some(days) = manager.backup_retention_days {
            retentions.push(retention(days, path("backupRetentionDays"), report));
        }
    }
    let (intervals, retentions) = (all(intervals)?, all(retentions)?);
    Ok(Backups {
        interval_seconds: intervals.into_iter().min().unwrap_or(USUAL.interval_seconds),
        retention_days: retentions.into_iter().max().unwrap_or(USUAL.retention_days),
    })
}

fn interval(written: &str, path: String, report: &mut Report<'_>) -> Resolved<u32> {
    let message = match text::seconds(written) {
        Some(seconds @ SHORTEST_INTERVAL..=LONGEST_INTERVAL) => {
            return Ok(u32::try_from(seconds).unwrap_or(USUAL.interval_seconds));
        }
        Some(_) => format!("backups can't be made every `{written}`"),
        None => format!("`{written}` is not a duration"),
    };
    Err(report.push(Problem::at(path, message).hint("write it like `15m`: from a minute to a day")))
}

fn retention(days: u32, path: String, report: &mut Report<'_>) -> Resolved<u32> {
    if (1..=LONGEST_RETENTION).contains(&days) {
        return Ok(days);
    }
    let problem = Problem::at(path, format!("backups can't be kept for {days} days"));
    Err(report.push(problem.hint(format!("from 1 to {LONGEST_RETENTION}"))))
}

/// What etcd's environment may not say, because the agent does, by flags: without `ETCD_`.
const OWN: [&str; 31] = [
    "NAME",
    "DATA_DIR",
    "LISTEN_CLIENT_URLS",
    "LISTEN_CLIENT_HTTP_URLS",
    "ADVERTISE_CLIENT_URLS",
    "LISTEN_PEER_URLS",
    "INITIAL_ADVERTISE_PEER_URLS",
    "INITIAL_CLUSTER",
    "INITIAL_CLUSTER_TOKEN",
    "INITIAL_CLUSTER_STATE",
    "CLIENT_CERT_AUTH",
    "TRUSTED_CA_FILE",
    "CERT_FILE",
    "KEY_FILE",
    "PEER_CLIENT_CERT_AUTH",
    "PEER_TRUSTED_CA_FILE",
    "PEER_CERT_FILE",
    "PEER_KEY_FILE",
    "TLS_MIN_VERSION",
    "CIPHER_SUITES",
    "LISTEN_METRICS_URLS",
    "QUOTA_BACKEND_BYTES",
    "HEARTBEAT_INTERVAL",
    "ELECTION_TIMEOUT",
    "FEATURE_GATES",
    "WATCH_PROGRESS_NOTIFY_INTERVAL",
    "EXPERIMENTAL_INITIAL_CORRUPT_CHECK",
    "EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL",
    "CONFIG_FILE",
    "WAL_DIR",
    "FORCE_NEW_CLUSTER",
];

/// The environment of etcd: of etcd-manager's, what is named `ETCD_…`, as with kops.
pub(super) fn environment(
    cluster: &EtcdClusterSpec,
    path: &str,
    report: &mut Report<'_>,
) -> Resolved<BTreeMap<String, String>> {
    let written = cluster.manager.as_ref().and_then(|manager| manager.env.as_ref());
    let variables = written.into_iter().flatten().enumerate().map(|(index, variable)| {
        self::variable(variable).map_err(|(field, message, hint)| {
            let path = format!("{path}.manager.env[{index}].{field}");
            report.push(Problem::at(path, message).hint(hint))
        })
    });
    Ok(all(variables.collect::<Vec<_>>())?.into_iter().collect())
}

fn variable(variable: &EnvVarSpec) -> Result<(String, String), (&'static str, String, &'static str)> {
    let name = variable.name.clone().unwrap_or_default();
    if variable.value_from.is_some() {
        let message = "a static pod's variables have plain values".to_owned();
        return Err(("valueFrom", message, "write `value`"));
    }
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let flag = name.strip_prefix("ETCD_").filter(|flag| !flag.is_empty() && flag.bytes().all(plain));
    let Some(flag) = flag.filter(|flag| !flag.starts_with("MANAGER_")) else {
        let message = format!("`{name}` is for etcd-manager, and windlass has none");
        return Err(("name", message, "variables of etcd itself are named `ETCD_…`"));
    };
    if OWN.contains(&flag) {
        let message = format!("windlass says `{name}` itself");
        return Err(("name", message, "leave it out: the fields of the etcd cluster say what can be chosen"));
    }
    Ok((name, variable.value.clone().unwrap_or_default()))
}
