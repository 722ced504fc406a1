//! `windlass toolbox restore-object`: the versions of an object of the state, and with `--yes` the way back to one.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output::{self, Table};
use crate::ops::OperationError;
use crate::state::damage::Restored;
use crate::state::versions::ObjectVersion;
use crate::state::{ClusterState, Recovery, layout};

/// What others are told that is being done.
const COMMAND: &str = "toolbox restore-object";

/// `windlass toolbox restore-object`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The object's key in the state store, such as demo.example.com/applied
    key: String,
    /// The version to bring back; if left out, the newest that is sound
    #[arg(long, value_name = "ID")]
    version_id: Option<String>,
    /// Bring it back; without it the versions are only listed
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass toolbox restore-object`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    // What error messages show, with the store in front, does as well.
    let key = args.key.strip_prefix(&format!("{}/", store.url())).unwrap_or(&args.key).to_owned();
    let state = ClusterState::new(store, cluster_of(&key)?);
    let versions = state.store().versions(&key).await?.ok_or_else(|| {
        Refusal::new(format!("{} keeps no versions of its objects", state.store().url()))
            .hint("bring the object back from a copy of your own")
    })?;
    if versions.is_empty() {
        let refusal = Refusal::new(format!("{} has no version of `{key}`", state.store().url()));
        return Err(refusal.hint("check the key: it begins with the cluster's name").into());
    }
    let wanted = choose(&state, &key, &versions, args.version_id.as_deref()).await?;
    if !args.yes {
        show(&versions, &wanted)?;
        output::say(&format!(
            "Nothing was changed. To bring back version {}: windlass toolbox restore-object {key} --version-id {}{} --yes",
            wanted.id,
            wanted.id,
            context.flags_to_repeat()
        ));
        return Ok(Exit::Done);
    }
    // A change that is half done may be waiting for this very object.
    let work = async { Ok::<_, OperationError>(state.restore(&key, &wanted).await?) };
    let restored = if key == layout::format(state.name()) {
        context.lease_guard(&state, COMMAND).holding_unmarked(work).await?
    } else {
        context.lease_guard(&state, COMMAND).holding_unfinished(work).await?
    };
    output::say(&match restored {
        Restored::Written(version) => {
            format!("Restored {key}: it is version {} of {} again.", version.id, version.written())
        }
        Restored::Same(version) => {
            format!("{key} says what its version {} says already; nothing was changed.", version.id)
        }
    });
    Ok(Exit::Done)
}

/// The cluster that a key belongs to. The lease is what is taken to restore anything, and instances' reports are theirs.
fn cluster_of(key: &str) -> Result<String, Refusal> {
    let Some((cluster, rest)) = key.split_once('/').filter(|(cluster, _)| !cluster.is_empty()) else {
        return Err(Refusal::new(format!("`{key}` is no key of a cluster"))
            .hint("a key begins with the cluster's name: demo.example.com/applied"));
    };
    if key == layout::lock(cluster) || rest.starts_with("status/") {
        return Err(Refusal::new(format!(
            "`{key}` is written again and again: an earlier version says nothing"
        ))
        .hint(format!("whoever holds the lock is shown by: windlass unlock {cluster}")));
    }
    Ok(cluster.to_owned())
}

/// The version that is asked for, else the newest that is sound where what is there isn't.
async fn choose(
    state: &ClusterState,
    key: &str,
    versions: &[ObjectVersion],
    id: Option<&str>,
) -> anyhow::Result<ObjectVersion> {
    if let Some(id) = id {
        let wanted = versions.iter().find(|version| version.id == id && !version.is_deletion());
        return Ok(wanted.cloned().ok_or_else(|| {
            Refusal::new(format!("`{key}` has no version `{id}`"))
                .hint(format!("see which there are: windlass toolbox restore-object {key}"))
        })?);
    }
    let now = state.store().get(key).await?;
    let is_sound = match now {
        Some(now) => state.fault(key, &now.bytes).await?.is_none(),
        None => false,
    };
    if is_sound {
        show(versions, &versions[0])?;
        return Err(Refusal::new(format!("`{key}` is there and sound"))
            .hint("to go back to an earlier version of it, name that with --version-id")
            .into());
    }
    let damage = state.damage(key, "it can't be used").await;
    if let Recovery::Version(version) = damage.recovery {
        return Ok(version);
    }
    show(versions, &versions[0])?;
    let hint = damage.last_resort();
    Err(Refusal::new(damage.to_string()).hint(hint).into())
}

fn show(versions: &[ObjectVersion], marked: &ObjectVersion) -> anyhow::Result<()> {
    let mut table = Table::new(["", "VERSION", "TIME", "BYTES"]).in_order();
    for version in versions {
        table.row([
            if version == marked { "*" } else { "" }.to_owned(),
            version.id.clone(),
            version.written(),
            version.size.map_or("(deleted)".to_owned(), |size| size.to_string()),
        ]);
    }
    output::print(&table.render())
}
