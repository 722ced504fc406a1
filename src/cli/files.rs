//! Files that users name with `-f`.

use std::io::Read;

use anyhow::{Context as _, anyhow};
use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::Refusal;
use super::output;
use crate::ops::SpecificationChange;
use crate::spec::documents::Clusters;
use crate::spec::v1alpha2::{CLUSTER_LABEL, Cluster, Metadata, Object as _};
use crate::spec::yaml::{self, Source};
use crate::spec::{Documents, PlacedDocuments};

/// `-f FILE`, once or several times.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(crate) struct Files {
    /// A file with clusters, instance groups, SSH keys and Kubernetes objects; - for standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_delimiter = ',')]
    pub(crate) filenames: Vec<String>,
}

impl Files {
    /// Reads all of them. Fails with everything that is wrong with them.
    pub(crate) fn read(&self) -> anyhow::Result<PlacedDocuments> {
        let sources =
            self.filenames.iter().map(|name| read(name)).collect::<anyhow::Result<Vec<Source>>>()?;
        let placed = yaml::read(sources)?;
        if placed.documents.is_empty() {
            let refusal = Refusal::new(format!("there is no document in {}", self.filenames.join(", ")));
            return Err(refusal.hint("check what wrote it: an empty file changes nothing").into());
        }
        Ok(placed)
    }
}

/// The change that files ask for: their documents take the place of those of the same name, or are added.
pub(super) fn change_of(placed: &PlacedDocuments) -> Result<SpecificationChange, Refusal> {
    let written = placed.documents.clone().of_one_cluster();
    written.map(SpecificationChange::writing).ok_or_else(|| {
        Refusal::new("there are several Clusters among the documents").hint("name one at a time")
    })
}

/// Says of each document what was done with it: `Created instancegroup/nodes`.
pub(super) fn say_of_each<C: Clusters>(done: &str, documents: &Documents<C>) {
    for document in documents.iter() {
        output::say(&format!("{done} {}", document.name().resource()));
    }
}

/// The one cluster that documents are about: the Cluster among them, or the one that groups and SSH keys name in
/// their label, or the one of the command line.
pub(super) fn cluster_of(context: &Context, documents: &Documents<Vec<Cluster>>) -> anyhow::Result<String> {
    let label = |metadata: &Metadata| metadata.labels.as_ref()?.get(CLUSTER_LABEL).cloned();
    let mut names: Vec<String> = documents.cluster.iter().map(|cluster| cluster.name().to_owned()).collect();
    names.extend(documents.instance_groups.iter().filter_map(|group| label(&group.metadata)));
    names.extend(documents.ssh_credentials.iter().filter_map(|credential| label(&credential.metadata)));
    names.extend(context.named_cluster(None)?);
    names.sort();
    names.dedup();
    match names.as_slice() {
        [name] => Ok(name.clone()),
        [] => {
            let refusal = Refusal::new("which cluster are the documents of?");
            Err(refusal.hint(format!("write the label `{CLUSTER_LABEL}` into them, or use --name")).into())
        }
        several => {
            Err(Refusal::new(format!("the documents are of several clusters: {}", several.join(", ")))
                .hint("replace one cluster at a time")
                .into())
        }
    }
}

/// A file's text with its name; `-` is standard input. Fails where it is not UTF-8.
pub(crate) fn read(name: &str) -> anyhow::Result<Source> {
    Ok(Source::from_bytes(name, bytes(name)?)?)
}

/// A file's text, which may be secret; `-` is standard input. Nothing of it is shown where it is not UTF-8.
pub(crate) fn read_text(name: &str) -> anyhow::Result<String> {
    String::from_utf8(bytes(name)?)
        .map_err(|error| anyhow!("{name}: byte {} is not UTF-8", error.utf8_error().valid_up_to()))
}

fn bytes(name: &str) -> anyhow::Result<Vec<u8>> {
    if name != "-" {
        return Ok(fs_err::read(name)?);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("could not read standard input")?;
    Ok(bytes)
}
