//! `windlass rollback`: the specification becomes that of an earlier revision; `--yes` applies it too.

use clap::Args as ClapArgs;

use super::change::Change;
use super::context::Context;
use super::diagnostic::Exit;
use super::{output, update};
use crate::spec::v1alpha2::Object;
use crate::state::{Stored, lease};

/// `windlass rollback`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The revision, as `windlass history` counts them
    revision: u64,
    /// Apply it too; without it the plan is only shown
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass rollback`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(None)?;
    let state = context.cluster_state(Some(&name)).await?;
    let read = state.read().await?;
    let revision = state.revision(args.revision).await?;
    let change = Change {
        removed_groups: unwanted(&read.instance_groups, &revision.instance_groups),
        removed_ssh_credentials: unwanted(&read.ssh_credentials, &revision.ssh_credentials),
        removed_objects: read
            .additional_objects
            .iter()
            .map(|stored| stored.value.key())
            .filter(|key| !revision.additional_objects.iter().any(|object| object.key() == *key))
            .cloned()
            .collect(),
        cluster: Some(revision.cluster),
        instance_groups: revision.instance_groups,
        ssh_credentials: revision.ssh_credentials,
        additional_objects: revision.additional_objects,
    };
    if change.is_nothing_new_in(&read) {
        lease::clear_away(&state).await?;
        output::say(&format!("The specification is that of revision {} already.", args.revision));
    } else {
        change.check(&read)?;
        change.write(context, &state, "rollback", &read).await?;
        output::say(&format!("The specification is that of revision {} again.", args.revision));
    }
    update::run(context, if args.yes { update::Args::apply(name) } else { update::Args::show(name) }).await
}

/// The names of what is there now and wasn't in the revision.
fn unwanted<T: Object>(now: &[Stored<T>], then: &[T]) -> Vec<String> {
    let names = now.iter().map(|stored| stored.value.name());
    names.filter(|name| !then.iter().any(|then| then.name() == *name)).map(str::to_owned).collect()
}
