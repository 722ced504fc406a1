//! `windlass rollback`: the specification becomes that of an earlier revision, and AWS with it. Without `--yes` both
//! differences are shown, and nothing is written.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use similar::TextDiff;

use super::context::Context;
use super::diagnostic::Exit;
use super::{output, update};
use crate::aws::facts::{self, FactsError, Image};
use crate::ops::Located;
use crate::ops::planning::{self, PlanningInput, PreparedUpdate};
use crate::ops::{Running, SpecificationChange};
use crate::spec::Documents;
use crate::spec::v1alpha2::Object;
use crate::state::revision::Revision;
use crate::state::{ClusterState, Specification};

/// What others are told that is being done.
const COMMAND: &str = "rollback";

/// `windlass rollback`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The revision, as `windlass history` counts them
    revision: u64,
    /// Write the specification and apply it; without it what would change is only shown
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass rollback`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(None)?;
    let state = context.cluster_state(Some(&name)).await?;
    if !args.yes {
        return Box::pin(show(context, &state, args.revision)).await;
    }
    // Where there is no such revision, no lease is left.
    state.revision(args.revision).await?;
    context
        .lease_guard(&state, COMMAND)
        .holding(async {
            let (read, change) = Box::pin(decide(context, &state, args.revision)).await?;
            if change.is_nothing_new_in(&read.documents) {
                output::say(&format!("The specification is that of revision {} already.", args.revision));
            } else {
                // What can't be made must not become the specification.
                Box::pin(plan(&state, &change.of(&read.documents))).await?;
                change.write_under_lease(&state, COMMAND, &read).await?;
                output::say(&format!("The specification is that of revision {} again.", args.revision));
            }
            let args = update::cluster::Args::of_rollback(name);
            Box::pin(update::cluster::apply_under_lease(context, &args, &state)).await
        })
        .await
}

/// Shows what would change, in the specification and in AWS.
async fn show(context: &Context, state: &ClusterState, number: u64) -> anyhow::Result<Exit> {
    let (read, change) = Box::pin(decide(context, state, number)).await?;
    let then = change.of(&read.documents);
    if change.is_nothing_new_in(&read.documents) {
        output::say(&format!("The specification is that of revision {number} already."));
    } else {
        let (now, then) = read.documents.masked_yaml_beside(&then);
        let diff = TextDiff::from_lines(&now, &then);
        let header = format!("revision {number}");
        output::print(&diff.unified_diff().header("present specification", &header).to_string())?;
    }
    let prepared = plan(state, &then).await?;
    update::cluster::print(&prepared.plan, update::cluster::Format::Text)?;
    output::say(&format!(
        "Nothing was changed. To make these changes: windlass rollback {number} --name {}{} --yes",
        state.name(),
        context.flags_to_repeat()
    ));
    Ok(Exit::Done)
}

/// What would have to be done for a specification. Fails where it can't be made.
async fn plan(state: &ClusterState, documents: &Documents) -> anyhow::Result<PreparedUpdate> {
    let mut input = Box::pin(PlanningInput::gather(state, documents)).await?;
    Ok(input.decide(state, planning::stored(state).await?.as_ref()).await?)
}

/// The specification as it is, and what makes it that of a revision again, checked.
async fn decide(
    context: &Context,
    state: &ClusterState,
    number: u64,
) -> anyhow::Result<(Specification, SpecificationChange)> {
    let read = context.read(state).await?;
    let (revision, remarks) = with_its_images(state, state.revision(number).await?).await?;
    let change = SpecificationChange::between(&read.documents, revision.documents);
    change.check(&read.documents, &Running::of(state).await?)?;
    for remark in remarks {
        output::say(&remark);
    }
    Ok((read, change))
}

/// The revision, whose groups name the images that they ran where its words mean others today: what is asked for is
/// what ran, and `image` left out, or a name, means the newest one that fits. With what is to be said of it.
async fn with_its_images(
    state: &ClusterState,
    mut revision: Revision,
) -> anyhow::Result<(Revision, Vec<String>)> {
    let mut remarks: Vec<String> =
        revision.partial.iter().map(|part| in_part(part, revision.number)).collect();
    if revision.images.is_empty() && revision.partial.is_some() {
        return Ok((revision, remarks));
    }
    if revision.images.is_empty() {
        let remark = format!(
            "Revision {} doesn't say which images ran: an older windlass made it. Its words are taken as they mean today.",
            revision.number
        );
        return Ok((revision, vec![remark]));
    }
    let resolved = revision.documents.resolve();
    let then = resolved
        .with_context(|| format!("the specification of revision {} is not good any more", revision.number))?;
    let Located { clients, .. } = Located::find(state, &then.region).await?;
    // Where its words mean nothing any more, the images that ran may be there all the same.
    let today = match facts::gather(&then, &clients).await {
        Ok(facts) => facts.images,
        // That AWS didn't answer, or denied it, says nothing about images.
        Err(error @ FactsError::Aws(_)) => {
            return Err(error).context("the images of today could not be looked up");
        }
        Err(_) => BTreeMap::new(),
    };
    remarks.extend(pin(&mut revision, &today));
    Ok((revision, remarks))
}

/// What is to be said of a revision of which not everything was applied.
fn in_part(part: &str, number: u64) -> String {
    format!(
        "Of revision {number} only {part} was applied then; the specification becomes all of it, and is applied whole."
    )
}

/// Names the images that ran in the groups where today others would be chosen. Returns what is to be said of it.
fn pin(revision: &mut Revision, today: &BTreeMap<String, Image>) -> Vec<String> {
    let mut said = Vec::new();
    for group in &mut revision.documents.instance_groups {
        let Some(ran) = revision.images.get(group.name()) else { continue };
        let chosen = today.get(group.name()).map(|image| image.id.as_str());
        if chosen == Some(&ran.id) {
            continue;
        }
        said.push(format!(
            "Instance group {}: its image is {} ({}), which revision {} ran; without a name it would be {} today.",
            group.name(),
            ran.id,
            ran.name,
            revision.number,
            chosen.unwrap_or("none")
        ));
        group.spec.image = Some(ran.id.clone());
    }
    said
}
