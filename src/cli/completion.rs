//! `windlass completion`: `source <(windlass completion bash)`.

use clap::Args as ClapArgs;
use clap_complete::Shell;

use super::diagnostic::Exit;
use super::output;

/// `windlass completion`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs `windlass completion`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "windlass", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
