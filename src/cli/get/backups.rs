//! `windlass get backups`: which backups of etcd there are, and whether they could be restored.

use clap::Args as ClapArgs;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;
use windlass_bootstrap::backup::{Backup, Proof};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::output::{self, Format, Table};
use crate::health::snapshot::harmless;
use crate::spec::to_yaml;
use crate::state::backups::ListedBackup;
use crate::state::{ClusterState, StateError};

/// How many are shown unless all are asked for.
const SHOWN: usize = 20;

/// How many are read at once.
const READS: usize = 16;

/// `windlass get backups`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Show all of them; without it the newest twenty
    #[arg(long)]
    all: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A backup, as it is listed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(flatten)]
    listed: ListedBackup,
    /// What it is, where it is whole.
    backup: Option<Backup>,
    /// How it went when it was tried.
    proof: Option<Proof>,
}

/// Runs `windlass get backups`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(args.cluster.as_deref()).await?;
    // That there is such a cluster.
    context.read(&state).await?;
    let listed = state.backups().await?;
    let shown = if args.all { listed.len() } else { SHOWN.min(listed.len()) };
    let hidden = listed.len() - shown;
    let rows = stream::iter(listed.into_iter().take(shown).map(|listed| read(&state, listed)));
    let rows: Vec<Row> = rows.buffered(READS).try_collect().await?;
    if rows.is_empty() {
        output::say(&format!("The cluster {} has no backups yet.", state.name()));
    }
    match args.output {
        Format::Table => output::print(&table(&rows, Timestamp::now()))?,
        // A list always, whatever is in it.
        Format::Yaml => output::print(&to_yaml(&rows))?,
        Format::Json => output::print_json(&rows)?,
    }
    if hidden > 0 {
        output::say(&format!("{hidden} older ones are not shown. To see them: --all"));
    }
    Ok(Exit::Done)
}

/// What masters wrote isn't trusted with a terminal. A description that can't be read is told as one that isn't there.
async fn read(state: &ClusterState, listed: ListedBackup) -> anyhow::Result<Row> {
    let (mut backup, mut proof) = match state.backup(&listed).await {
        Err(StateError::Malformed { key, reason }) => {
            output::say(&format!("warning: {key} can't be read: {}", harmless(&reason)));
            (None, None)
        }
        read => read?,
    };
    if let Some(why) = proof.as_mut().and_then(|proof| proof.failure.as_mut()) {
        *why = harmless(why);
    }
    if let Some(backup) = &mut backup {
        let etcd = std::mem::take(&mut backup.etcd);
        backup.etcd = etcd.into_iter().map(|(name, snapshot)| (harmless(&name), snapshot)).collect();
    }
    Ok(Row { listed, backup, proof })
}

fn table(rows: &[Row], now: Timestamp) -> String {
    let mut table = Table::new(["BACKUP", "AGE", "KEPT", "ETCD", "KEYS", "SIZE", "PROVEN"]).in_order();
    for Row { listed, backup, proof } in rows {
        let etcd = backup.iter().flat_map(|backup| &backup.etcd);
        let names: Vec<&str> = etcd.clone().map(|(name, _)| name.as_str()).collect();
        let keys: u64 = etcd.clone().map(|(_, snapshot)| snapshot.keys).sum();
        let bytes: u64 = etcd.map(|(_, snapshot)| snapshot.compressed_bytes).sum();
        let is_whole = backup.is_some();
        let of_whole = |text: String| if is_whole { text } else { "-".to_owned() };
        table.row([
            listed.id.to_string(),
            age(now, listed.id.moment()),
            listed.class.folder().to_owned(),
            if is_whole { names.join(",") } else { "not whole".to_owned() },
            of_whole(keys.to_string()),
            of_whole(size(bytes)),
            match proof {
                None => "not yet".to_owned(),
                Some(Proof { failure: Some(why), .. }) => format!("CAN'T BE RESTORED: {why}"),
                Some(proof) => format!("{} ago, {:.0} s", age(now, proof.proven), proof.seconds),
            },
        ]);
    }
    table.render()
}

/// As kubectl shows ages: the two largest units at most.
fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - then.as_second()).unwrap_or_default();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if minutes < 2 => format!("{seconds}s"),
        () if hours < 2 => format!("{minutes}m"),
        () if days < 2 => format!("{hours}h"),
        () => format!("{days}d"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{} MB", bytes.div_ceil(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_short() {
        let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
        let ages = [5, 119, 120, 7199, 7200, 172_800].map(|seconds| age(at(seconds), at(0)));
        assert_eq!(ages, ["5s", "119s", "2m", "119m", "2h", "2d"]);
        assert_eq!([1, 999_000, 1_000_001].map(size), ["1 kB", "999 kB", "2 MB"]);
    }
}
