//! The `windlass-bootstrap` command.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use windlass_bootstrap::aws::identity::Origin;
use windlass_bootstrap::aws::publisher::Publisher;
use windlass_bootstrap::background::tasks::Tasks;
use windlass_bootstrap::boot;
use windlass_bootstrap::host::Host;
use windlass_bootstrap::progress::notify::Notify;
use windlass_bootstrap::progress::reporter::Reporter;
use windlass_bootstrap::progress::retry::chain;
use windlass_bootstrap::progress::step::StepError;

/// How long to wait after a boot that failed before it is gone through again. Every step is idempotent, and somebody
/// may have put right what was wrong.
const AGAIN: Duration = Duration::from_secs(30);

/// Turns a bare instance into a Kubernetes master or node.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Verb>,
    /// Works on this folder instead of the machine: files are written below it, commands are recorded in
    /// `run/windlass/commands`, and steps that need a machine or change AWS are left out.
    #[arg(long, global = true, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// Goes through the boot once, and ends.
    #[arg(long, global = true)]
    once: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Boots, and then stays for renewals and approvals.
    Run,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The Kubernetes client logs every refused connection as an error; the steps report them once.
    let filter = tracing_subscriber::EnvFilter::try_from_env("WINDLASS_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("warn,windlass_bootstrap=info,kube_client=off")
    });
    // journald has its own clock.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .init();
    let Verb::Run = arguments.command.unwrap_or(Verb::Run);
    let reporter = Reporter::new(Notify::from_environment());
    let host = arguments.root.map_or_else(Host::machine, Host::folder);
    let once = arguments.once || !host.is_machine();
    let alive = {
        let reporter = reporter.clone();
        tokio::spawn(async move { reporter.keep_alive().await })
    };
    let code = run(&host, &reporter, once).await;
    alive.abort();
    code
}

async fn run(host: &Host, reporter: &Reporter, once: bool) -> ExitCode {
    loop {
        let error = match boot(host, reporter, once).await {
            Ok(()) if once => return ExitCode::SUCCESS,
            // What the state orders begins with the boot.
            Ok(()) => continue,
            Err(error) => error,
        };
        tracing::error!(error = chain(&error), "the boot failed");
        if once {
            return ExitCode::FAILURE;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn boot(host: &Host, reporter: &Reporter, once: bool) -> Result<(), StepError> {
    let origin = boot::identify(reporter).await?;
    let publisher = Arc::new(Publisher::new(reporter, &origin));
    let publishing = {
        let publisher = publisher.clone();
        tokio::spawn(async move { publisher.publish().await })
    };
    let booted = configure_and_boot(host, reporter, &origin).await;
    if booted.is_err() || once {
        publishing.abort();
        publisher.publish_once().await;
    }
    let mut tasks = booted?;
    if !once {
        // The tasks and the reports go on for as long as the machine does, or until one asks for the boot again.
        tasks.over().await;
        publishing.abort();
    }
    Ok(())
}

async fn configure_and_boot(host: &Host, reporter: &Reporter, origin: &Origin) -> Result<Tasks, StepError> {
    reporter.begin_again();
    let agent = Arc::new(boot::configure(host, reporter, origin).await?);
    let tasks = boot::boot(&agent).await?;
    reporter.ready();
    Ok(tasks)
}
