//! `windlass edit`: changes the specification in an editor, or with `--set` and `--unset`.
//!
//! What comes out of the editor is checked as a whole; when something is wrong with it, the editor opens again with the
//! problems at the top. Nothing is written over what somebody else has changed meanwhile.

use std::env;
use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use tokio::process::Command;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};
use super::output;
use crate::ops::{Running, SpecificationChange};
use crate::spec::Documents;
use crate::spec::set::{assignments, paths, set, unset};
use crate::spec::v1alpha2::{Cluster, InstanceGroup, Object};
use crate::spec::yaml::{self, Source};
use crate::state::{ClusterState, Specification, StateError};

/// `windlass edit`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Change a cluster
    Cluster {
        /// The cluster's name; or use --name
        cluster: Option<String>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change an instance group
    #[command(name = "instancegroup", visible_aliases = ["instancegroups", "ig"])]
    InstanceGroup {
        /// The group's name
        group: String,
        #[command(flatten)]
        fields: Fields,
    },
}

#[derive(Debug, ClapArgs)]
struct Fields {
    /// Set a field instead of opening an editor: spec.kubernetesVersion=1.36.3
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Remove a field instead of opening an editor
    #[arg(long, value_name = "PATH")]
    unset: Vec<String>,
}

/// Runs `windlass edit`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Cluster { cluster, fields } => {
            let state = context.cluster_state(cluster.as_deref()).await?;
            let read = context.read(&state).await?;
            let document = read.documents.cluster.clone();
            edit::<Cluster>(context, &state, &read, &document, &fields).await
        }
        What::InstanceGroup { group, fields } => {
            let state = context.cluster_state(None).await?;
            let read = context.read(&state).await?;
            let found = read.documents.instance_groups.iter().find(|known| known.name() == group);
            let cluster = state.name().to_owned();
            let document = found.ok_or(StateError::NoInstanceGroup { cluster, name: group })?.clone();
            edit::<InstanceGroup>(context, &state, &read, &document, &fields).await
        }
    }
}

/// A document that can be edited.
pub(super) trait Editable: Object + Clone + PartialEq + Into<Documents<Option<Cluster>>> {
    /// The documents of this kind.
    fn pick(documents: &Documents<Vec<Cluster>>) -> &[Self];
}

impl Editable for Cluster {
    fn pick(documents: &Documents<Vec<Cluster>>) -> &[Self] {
        &documents.cluster
    }
}

impl Editable for InstanceGroup {
    fn pick(documents: &Documents<Vec<Cluster>>) -> &[Self] {
        &documents.instance_groups
    }
}

async fn edit<T: Editable>(
    context: &Context,
    state: &ClusterState,
    read: &Specification,
    document: &T,
    fields: &Fields,
) -> anyhow::Result<Exit> {
    let running = Running::of(state).await?;
    let edited = if fields.set.is_empty() && fields.unset.is_empty() {
        in_editor(context, read, &running, document, false).await?
    } else {
        Some(with_fields(read, &running, document.clone(), fields)?)
    };
    let Some(edited) = edited.filter(|edited| edited != document) else {
        context.lease_guard(state, "edit").leave_nothing(read).await?;
        output::say("Edit cancelled, no changes made.");
        return Ok(Exit::Done);
    };
    let text = yaml::to_yaml(&edited);
    let change = SpecificationChange::writing(edited);
    if let Err(error) = change.write(&context.lease_guard(state, "edit"), read).await {
        let kept = keep(&text).map(|path| format!("; your version is in {path}")).unwrap_or_default();
        return Err(anyhow::Error::new(error).context(format!(
            "could not write the changed {} {}{kept}",
            T::KIND,
            document.name()
        )));
    }
    let flags = context.flags_to_repeat();
    output::say(&format!("Changed {} {}.", T::KIND, document.name()));
    output::say(&format!("To bring it to AWS: windlass update cluster --name {}{flags} --yes", state.name()));
    Ok(Exit::Done)
}

fn with_fields<T: Editable>(
    read: &Specification,
    running: &Running,
    mut document: T,
    fields: &Fields,
) -> anyhow::Result<T> {
    let name = document.name().to_owned();
    for assignment in fields.set.iter().flat_map(|flag| assignments(flag)) {
        set(&mut document, &assignment)?;
    }
    for path in fields.unset.iter().flat_map(|flag| paths(flag)) {
        unset(&mut document, &path)?;
    }
    if document.name() != name {
        let refusal = Refusal::new(format!("metadata.name: the name `{name}` can't be changed"));
        return Err(refusal
            .hint("what has another name is another one: create it, and delete this one")
            .into());
    }
    SpecificationChange::writing(document.clone()).check(&read.documents, running)?;
    Ok(document)
}

/// Opens the editor on a document that isn't there yet. `None` when the user emptied it.
pub(super) async fn compose<T: Editable>(
    context: &Context,
    read: &Specification,
    running: &Running,
    document: &T,
) -> anyhow::Result<Option<T>> {
    in_editor(context, read, running, document, true).await
}

/// Opens the editor until what comes out of it is good. `None` when the user gave up; unless the document is new, a
/// text without a change says so.
async fn in_editor<T: Editable>(
    context: &Context,
    read: &Specification,
    running: &Running,
    document: &T,
    new: bool,
) -> anyhow::Result<Option<T>> {
    // Ctrl-C in an editor is the editor's.
    let _editing = context.interrupt.ignore();
    let original = yaml::to_yaml(document);
    let mut shown = original.clone();
    let mut problems: Option<String> = None;
    loop {
        let first = if new { HEADER_OF_NEW } else { HEADER };
        let answer = open_editor(&format!("{}{shown}", header(first, problems.as_deref()))).await?;
        let edited = without_header(&answer);
        if edited.trim().is_empty() || (!new && edited.trim() == original.trim()) {
            return Ok(None);
        }
        if let Some(problems) = problems.as_ref().filter(|_| edited.trim() == shown.trim()) {
            let kept = keep(&edited).map(|path| format!(" (your version is in {path})")).unwrap_or_default();
            return Err(Refusal::new(format!("the problems were not mended{kept}:\n{problems}")).into());
        }
        match parse(read, running, document, &edited) {
            Ok(parsed) => return Ok(Some(parsed)),
            Err(wrong) => (problems, shown) = (Some(wrong), edited),
        }
    }
}

/// The edited document, checked. Fails with all that is wrong, for the user to read.
fn parse<T: Editable>(
    read: &Specification,
    running: &Running,
    document: &T,
    text: &str,
) -> Result<T, String> {
    let source = Source { name: "edited".to_owned(), text: text.to_owned() };
    let placed = yaml::read(vec![source]).map_err(|problems| problems.to_string())?;
    let ([edited], 1) = (T::pick(&placed.documents), placed.documents.iter().count()) else {
        return Err(format!("there must be exactly one {}, and nothing else", T::KIND));
    };
    if edited.name() != document.name() {
        return Err(format!("metadata.name: the name `{}` can't be changed", document.name()));
    }
    let checked = SpecificationChange::writing(edited.clone()).check(&read.documents, running);
    checked.map_err(|problems| placed.locate(problems).to_string())?;
    Ok(edited.clone())
}

const HEADER: &str = "\
# Lines at the top that begin with # are left out. An empty file, or one without a change, cancels the edit.
";

const HEADER_OF_NEW: &str = "\
# This is about to be created. Lines at the top that begin with # are left out. An empty file cancels.
";

fn header(first: &str, problems: Option<&str>) -> String {
    let lines = problems.unwrap_or_default().lines().map(|line| format!("# {line}\n"));
    let problems: String = lines.collect();
    if problems.is_empty() { first.to_owned() } else { format!("{first}#\n{problems}#\n") }
}

fn without_header(text: &str) -> String {
    text.lines().skip_while(|line| line.starts_with('#')).fold(String::new(), |text, line| text + line + "\n")
}

/// Lets the user change a text in an editor. The file has a folder of its own, which nobody else can look into, and
/// whatever the editor leaves beside it goes with it.
async fn open_editor(text: &str) -> anyhow::Result<String> {
    let folder = tempfile::Builder::new()
        .prefix("windlass-edit-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .context("could not make a folder for the editor's file")?;
    let path = folder.path().join("edit.yaml");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("could not write {}", path.display()))?;
    drop(file);
    let editor = editor();
    // As git does it: what is set may have arguments, and the shell takes it apart.
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("{editor} \"$@\"")).arg(&editor).arg(&path).kill_on_drop(true);
    let status = command.status().await.with_context(|| format!("could not run the editor {editor}"))?;
    if !status.success() {
        let refusal = Refusal::new(format!("the editor `{editor}` failed ({status}); nothing was changed"));
        return Err(refusal.hint("name another one in EDITOR").exit(Exit::Declined).into());
    }
    fs_err::read_to_string(&path).context("could not read what the editor wrote")
}

/// kubectl's order, with `VISUAL` as everywhere.
fn editor() -> String {
    let mut set = ["KUBE_EDITOR", "VISUAL", "EDITOR"].into_iter().filter_map(|name| env::var(name).ok());
    set.find(|program| !program.trim().is_empty()).unwrap_or_else(|| "vi".to_owned())
}

/// Keeps what the user wrote where they, and nobody else, find it again.
pub(super) fn keep(text: &str) -> Option<String> {
    let mut file = tempfile::Builder::new().prefix("windlass-edit-").suffix(".yaml").tempfile().ok()?;
    file.write_all(text.as_bytes()).ok()?;
    let (_, path) = file.keep().ok()?;
    Some(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_above_the_document_is_left_out_again() {
        let text = "apiVersion: x\n# a comment of the user\nkind: y\n";
        let shown = format!("{}{text}", header(HEADER, Some("spec.x: wrong\n\n  hint: do")));
        assert!(shown.contains("# spec.x: wrong\n# \n#   hint: do\n"), "{shown}");
        assert_eq!(without_header(&shown), text);
    }
}
