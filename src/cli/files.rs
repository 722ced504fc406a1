//! Files that users name with `-f`.

use std::io::Read;

use anyhow::{Context as _, anyhow};
use clap::Args as ClapArgs;

use super::diagnostic::Refusal;
use crate::spec::yaml::{self, Documents, Source};

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
    pub(crate) fn read(&self) -> anyhow::Result<Documents> {
        let sources =
            self.filenames.iter().map(|name| read(name)).collect::<anyhow::Result<Vec<Source>>>()?;
        let documents = yaml::read(sources)?;
        let yaml::Documents { clusters, instance_groups, ssh_credentials, additional_objects, .. } =
            &documents;
        if clusters.is_empty()
            && instance_groups.is_empty()
            && ssh_credentials.is_empty()
            && additional_objects.is_empty()
        {
            let refusal = Refusal::new(format!("there is no document in {}", self.filenames.join(", ")));
            return Err(refusal.hint("check what wrote it: an empty file changes nothing").into());
        }
        Ok(documents)
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
