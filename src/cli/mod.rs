//! The command line: one folder per verb with a file per command, each of which loads, decides, shows, and acts. A verb
//! without an object is a file.
//!
//! The commands, flags and tables are kops's wherever they mean the same thing. Data goes to stdout, talk to stderr;
//! the exit code says how it ended ([`Exit`]).

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

mod completion;
mod context;
mod create;
mod delete;
mod diagnostic;
mod diff;
mod edit;
mod etcd;
mod explain;
mod export;
mod files;
mod get;
mod history;
mod interrupt;
mod output;
mod progress;
mod replace;
mod restore;
mod rollback;
mod start;
mod state;
mod stop;
mod toolbox;
mod unlock;
mod update;
mod upgrade;
mod validate;
mod version;

use context::Context;
pub use diagnostic::Exit;
use interrupt::Interrupt;

/// Bootstraps and operates Kubernetes clusters on AWS.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, disable_help_subcommand = true, subcommand_required = true)]
#[command(after_help = EXIT_CODES, arg_required_else_help = false)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or nothing to do
  1    the command line, the input or the cluster is wrong
  2    there is something to do or to see: a plan with changes, an unhealthy cluster
  3    you said no
  4    somebody else holds the cluster's lock
  5    AWS, the network, or time ran out
  130  interrupted";

/// What every command takes.
#[derive(Clone, Debug, Args)]
struct Global {
    /// The cluster's name, such as demo.example.com [env: WINDLASS_CLUSTER_NAME]
    #[arg(long, global = true, value_name = "CLUSTER", help_heading = "Global options")]
    name: Option<String>,
    /// Where clusters are kept: s3://BUCKET[/PREFIX] or file:///FOLDER [env: WINDLASS_STATE_STORE]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    state: Option<String>,
    /// Change what a newer windlass changed last
    #[arg(long, global = true, help_heading = "Global options")]
    allow_windlass_downgrade: bool,
    /// Say more about what is being done; twice for every call
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a cluster, an instance group, or whatever a file says
    Create(create::Args),
    /// List clusters, instance groups, instances; without a word everything of a cluster's specification
    Get(get::Args),
    /// Change a cluster or an instance group in an editor, or with --set
    Edit(edit::Args),
    /// Replace clusters and instance groups by what a file says
    Replace(replace::Args),
    /// Bring AWS to what the specification says
    Update(update::Args),
    /// Show what another Kubernetes version changes in the specification, and write it with --yes
    Upgrade(upgrade::Args),
    /// Say whether a cluster is healthy
    Validate(validate::Args),
    /// Stop all machines of a cluster for a while
    Stop(stop::Args),
    /// Start a cluster that was stopped
    Start(start::Args),
    /// Restore a cluster from a backup of etcd
    Restore(restore::Args),
    /// Make room in etcd where it has become full
    Etcd(etcd::Args),
    /// Write out credentials
    Export(export::Args),
    /// Delete a cluster, an instance group, or whatever a file says
    Delete(delete::Args),
    /// List what was applied to a cluster, by whom, and when
    History(history::Args),
    /// Show how the specification differs from that of an earlier revision
    Diff(diff::Args),
    /// Go back to the specification of an earlier revision
    Rollback(rollback::Args),
    /// Take the lock of a cluster away from whoever holds it
    Unlock(unlock::Args),
    /// Mend the state itself, where it is lost
    State(state::Args),
    /// What helps around the other commands
    Toolbox(toolbox::Args),
    /// Say what a field of the specification means
    Explain(explain::Args),
    /// Print a script that completes commands in a shell
    Completion(completion::Args),
    /// Print windlass's version
    Version(version::Args),
}

/// Runs the command line, prints what went wrong, and returns the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    start_logging(cli.global.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return diagnostic::report(&anyhow::Error::new(error).context("could not start")).into();
        }
    };
    let exit = runtime.block_on(run_until_interrupted(cli));
    // A call that hangs in a thread of its own must not keep an ended command arunning.
    runtime.shutdown_background();
    exit.into()
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Exit> {
    let parsed =
        command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let shown = error.print();
        // clap's own code for a wrong command line is 2, which means something else here.
        if error.use_stderr() || shown.is_err() { Exit::Wrong } else { Exit::Done }
    })
}

/// The whole command line, for parsing and for completion.
fn command() -> clap::Command {
    Cli::command()
}

async fn run_until_interrupted(cli: Cli) -> Exit {
    let interrupt = Interrupt::watch_signals();
    let context = Context::new(cli.global, interrupt.clone());
    tokio::select! {
        biased;
        () = interrupt.must_stop() => {
            output::say("interrupted");
            Exit::Interrupted
        }
        result = run(&context, cli.command) => result.unwrap_or_else(|error| diagnostic::report(&error)),
    }
}

async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Create(args) => create::run(context, args).await,
        Command::Get(args) => get::run(context, args).await,
        Command::Edit(args) => edit::run(context, args).await,
        Command::Replace(args) => replace::run(context, args).await,
        Command::Update(args) => update::run(context, args).await,
        Command::Upgrade(args) => upgrade::run(context, args).await,
        Command::Validate(args) => validate::run(context, args).await,
        Command::Stop(args) => stop::run(context, args).await,
        Command::Start(args) => start::run(context, args).await,
        Command::Restore(args) => restore::run(context, args).await,
        Command::Etcd(args) => etcd::run(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Delete(args) => delete::run(context, args).await,
        Command::History(args) => history::run(context, args).await,
        Command::Diff(args) => diff::run(context, args).await,
        Command::Rollback(args) => Box::pin(rollback::run(context, args)).await,
        Command::Unlock(args) => unlock::run(context, args).await,
        Command::State(args) => state::run(context, args).await,
        Command::Toolbox(args) => toolbox::run(context, args).await,
        Command::Explain(args) => explain::run(&args),
        Command::Completion(args) => completion::run(&args),
        Command::Version(args) => version::run(&args),
    }
}

/// Logs go to stderr; `WINDLASS_LOG` takes a filter such as `windlass=debug,aws_smithy_runtime=debug`.
fn start_logging(verbose: u8) {
    let level = match verbose {
        // Who couldn't reach an API says so itself, with the address and what to do.
        0 => "warn,kube_client=off",
        1 => "windlass=info,warn,kube_client=off",
        _ => "windlass=debug,aws_smithy_runtime=debug,info",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("WINDLASS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::colours_on_stderr())
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_is_exit_code_1() {
        let arguments = ["windlass", "create", "cluster", "--no-such-flag"].map(OsString::from);
        assert_eq!(parse(arguments).unwrap_err(), Exit::Wrong);
    }
}
