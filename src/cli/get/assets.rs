//! `windlass get assets`.

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::assets::images::{self, Image};
use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output::{self, Format, Table};

/// `windlass get assets`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Not supported: what copies images is a tool of its own
    #[arg(long, hide = true)]
    copy: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What is printed as data, with the names that kops has for it.
#[derive(Serialize)]
struct Assets {
    images: Vec<Image>,
}

/// Runs `windlass get assets`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    if args.copy {
        return Err(Refusal::new("--copy is not supported: windlass copies no images".to_owned())
            .hint(
                "windlass get assets -o json | jq -r '.images[] | .canonical + \" \" + .download' | while read from to; do \
                 crane copy $from $to; done",
            )
            .into());
    }
    let state = context.cluster_state(args.cluster.as_deref()).await?;
    let cluster = context.read(&state).await?.resolve()?;
    let images = images::images(&cluster)?;
    match args.output {
        Format::Table => output::print(&table(images).render())?,
        format => output::print_documents(&[Assets { images }], format)?,
    }
    Ok(Exit::Done)
}

fn table(images: Vec<Image>) -> Table<3> {
    let mut table = Table::new(["COMPONENT", "IMAGE", "RUNS ON"]);
    for image in images {
        table.row([image.component, image.download, image.runs_on.name().to_owned()]);
    }
    table
}
