//! What the specification says of etcd's image and of kops's etcd-manager, whose work the agent does.

use std::collections::BTreeMap;

use super::{Report, Resolved, all};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{EnvVarSpec, EtcdClusterSpec};

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
