//! `windlass version`.

use clap::Args as ClapArgs;

use super::diagnostic::Exit;
use super::output;

/// `windlass version`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Print the number only
    #[arg(long)]
    short: bool,
}

/// Runs `windlass version`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let number = env!("CARGO_PKG_VERSION");
    let text = if args.short { number.to_owned() } else { format!("Client version: {number}") };
    output::print_line(&text)?;
    Ok(Exit::Done)
}
