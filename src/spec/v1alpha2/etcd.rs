//! etcd.

use super::row::{HONOURED, IN_PART, KEPT, not_yet, only, refused};
use super::{Duration, Quantity};

const OWN_STORE: &str = "leave it out: backups are in the cluster's state, below `backups/etcd/`, where masters can add but not delete";

wire! {
    /// An etcd cluster.
    pub struct EtcdClusterSpec {
        /// Its name: `main`, which holds what no other does; `events`, which holds events; `leases`, which holds leases; or
        /// any other, of an etcd that Kubernetes doesn't use.
        name: String = HONOURED,
        /// How kops runs it: `Manager`. Windlass's agent runs etcd as a static pod.
        provider: String = only(["Manager"]),
        /// Its members: an odd number.
        etcd_members: Vec<EtcdMemberSpec> = HONOURED,
        /// Deprecated: etcd always speaks TLS.
        #[serde(rename = "enableEtcdTLS")]
        enable_etcd_tls: bool = only([true]),
        /// Deprecated: etcd always checks certificates.
        #[serde(rename = "enableTLSAuth")]
        enable_tls_auth: bool = only([true]),
        /// The etcd version; the machine image must hold exactly this one.
        version: String = HONOURED,
        /// How long a member waits for its leader before it stands for election: a second when left out. At least five
        /// times as long as `heartbeatInterval`, and at most 50 seconds.
        leader_election_timeout: Duration = HONOURED,
        /// How often a leader says that it is there: every 100 ms when left out.
        heartbeat_interval: Duration = HONOURED,
        /// etcd's image, of the version that `version` names: etcd of that version comes with the machine image.
        image: String = HONOURED,
        /// Backups.
        backups: EtcdBackupSpec =
            not_yet(OWN_STORE),
        /// kops's etcd-manager.
        manager: EtcdManagerSpec = IN_PART.hint("leave it out: the agent does etcd-manager's work"),
        /// The pod's request for memory: `100Mi` when left out.
        memory_request: Quantity = HONOURED,
        /// The pod's request for CPU: `100m` when left out.
        cpu_request: Quantity = HONOURED,
    }

    /// A member of an etcd cluster, and the volume that holds its data.
    pub struct EtcdMemberSpec {
        /// Its name, such as `a`.
        name: String,
        /// The master group whose instance it runs on.
        instance_group: String,
        /// The master's stable private address. When left out, it is chosen in the group's subnet: the eleventh
        /// address, or the next for a second master in the same subnet. This field is windlass's own.
        private_address: String,
        /// Whether the cluster lived before this member was added: its volume is blank, and the other members take it in. To be
        /// written with each member that is added. This field is windlass's own.
        joins: bool,
        /// The volume's type: `gp3` when left out.
        volume_type: String,
        /// The volume's provisioned operations a second.
        volume_iops: u32,
        /// The volume's throughput in MiB/s.
        volume_throughput: u32,
        /// The volume's size in GiB: 20 when left out.
        volume_size: u32,
        /// The KMS key for the volume: AWS's own for EBS when left out.
        kms_key_id: String,
        /// Whether the volume is encrypted: it is when left out.
        encrypted_volume: bool,
    }

    /// Backups of an etcd cluster.
    pub struct EtcdBackupSpec {
        /// Where they go.
        backup_store: String,
        /// Deprecated: kops's backup image.
        image: String,
    }

    /// kops's etcd-manager. Windlass's agent does its work, so most of these have no counterpart.
    pub struct EtcdManagerSpec {
        /// Its image.
        image: String = KEPT,
        /// Its environment; variables named `ETCD_…` reach etcd, and others are refused.
        env: Vec<EnvVarSpec> = HONOURED,
        /// How often a backup is made, of all etcd clusters at one time: every 15 minutes when left out. Of several the shortest
        /// counts; at least a minute.
        backup_interval: Duration = HONOURED,
        /// For how many days the first backup of a day is kept: 90 when left out. Of several the longest counts. The first one of
        /// an hour is kept for a week, the others for a day.
        backup_retention_days: u32 = HONOURED,
        /// How often members look for each other. The specification says where they are.
        discovery_poll_interval: Duration = KEPT,
        /// Where metrics are served.
        #[serde(rename = "listenMetricsURLs")]
        listen_metrics_urls: Vec<String> = refused("metrics are served on 127.0.0.1, at a port of each etcd cluster's own"),
        /// Where HTTP clients are served.
        #[serde(rename = "listenClientHTTPURLs")]
        listen_client_http_urls: Vec<String> = refused("nothing but the API server speaks to etcd"),
        /// How much it logs.
        log_level: i32 = KEPT,
    }

    /// An environment variable.
    pub struct EnvVarSpec {
        /// Such as `ETCD_SNAPSHOT_COUNT`.
        name: String,
        /// What it is set to, as text.
        value: String,
        /// Where the value comes from instead.
        value_from: serde_json::Value,
    }
}
