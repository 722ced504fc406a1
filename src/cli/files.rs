//! Files that users name with `-f`.

use std::io::Read;

use anyhow::Context as _;
use clap::Args as ClapArgs;

use crate::spec::yaml::{self, Documents, Source};

/// `-f FILE`, once or several times.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(crate) struct Files {
    /// A file with clusters, instance groups and SSH keys; - for standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", value_delimiter = ',')]
    pub(crate) filenames: Vec<String>,
}

impl Files {
    /// Reads all of them. Fails with everything that is wrong with them.
    pub(crate) fn read(&self) -> anyhow::Result<Documents> {
        let sources =
            self.filenames.iter().map(|name| read(name)).collect::<anyhow::Result<Vec<Source>>>()?;
        Ok(yaml::read(sources)?)
    }
}

fn read(name: &str) -> anyhow::Result<Source> {
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("could not read standard input")?;
        bytes
    } else {
        fs_err::read(name)?
    };
    Ok(Source::from_bytes(name, bytes)?)
}
