//! The `localcloud` command.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use fs_err as fs;
use localcloud::image::Image;
use localcloud::scenario::by_hand::{self, Layer};
use localcloud::status::Status;
use localcloud::{ImageSource, LocalCloud, Options, cleanup, cloud_name, default_directory, scenario};
use tokio::signal::unix::{SignalKind, signal};

/// A region of AWS on this machine, with real instances behind it.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Cli {
    /// Where the cloud lives: instances' disks, volumes, status.
    #[arg(long, global = true, value_name = "DIR", env = "LOCALCLOUD_DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Start a cloud and keep it until interrupted.
    Up {
        /// Return as soon as the cloud is there; `localcloud down` ends it.
        #[arg(long)]
        background: bool,
        /// A file that describes a machine image, as image/build prints it, instead of the repository's own.
        #[arg(long, value_name = "FILE", env = "LOCALCLOUD_IMAGE")]
        image: Vec<PathBuf>,
        /// The region's name.
        #[arg(long, default_value = "us-east-1")]
        region: String,
    },
    /// End the cloud and take everything of it away, also what a killed one has left.
    Down,
    /// Show the cloud's instances and volumes.
    Status {
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Run a command as the operator: in the cloud's Internet, with AWS's endpoint and credentials.
    Exec {
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Print an instance's console.
    Console {
        /// The instance's id.
        instance: String,
    },
    /// Kill an instance's machine, as a hardware failure would.
    Kill {
        /// The instance's id.
        instance: String,
    },
    /// Live a cluster's whole life in a cloud of its own: create, use, lose the master, keep the data, delete.
    Demo {
        /// The `windlass` binary.
        #[arg(long, value_name = "FILE")]
        windlass: PathBuf,
        /// Where its machines are: in public subnets, or in private ones behind NAT gateways, a bastion and load balancers; with
        /// `private-ha` there are three masters, of which each is lost in turn, and one is replaced in order.
        #[arg(long, value_enum, default_value_t = Shape::Public)]
        shape: Shape,
        /// Where to write how long everything took, as JSON.
        #[arg(long, value_name = "FILE")]
        timings: Option<PathBuf>,
    },
    /// Start the same components by windlass and by hand, and tell how long each takes until every Node is Ready.
    Compare {
        /// The `windlass` binary.
        #[arg(long, value_name = "FILE")]
        windlass: PathBuf,
        /// Where to write the times, as JSON.
        #[arg(long, value_name = "FILE")]
        timings: PathBuf,
    },
    /// Run a command inside an instance, as root.
    Shell {
        /// The instance's id.
        instance: String,
        /// The command and its arguments; a shell if there is none.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// The shapes of the cluster that a demo shows.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    Public,
    Private,
    PrivateHa,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(colours_on(&std::io::stderr()))
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .init();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "localcloud: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether log lines are coloured: on a terminal, unless `NO_COLOR` is set (no-color.org).
fn colours_on(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn run(cli: Cli) -> Result<()> {
    let directory = match cli.dir {
        Some(directory) => std::path::absolute(directory)?,
        None => default_directory(),
    };
    match cli.command {
        Commands::Up { background: true, image, region } => up_in_background(&directory, &image, &region),
        Commands::Up { background: false, image, region } => up(directory, image, region),
        Commands::Down => down(&directory),
        Commands::Status { output } => status(&directory, output),
        Commands::Exec { command } => exec(&directory, &command),
        Commands::Console { instance } => console(&directory, &instance),
        Commands::Kill { instance } => Ok(localcloud::kill(&running(&directory)?, &instance)?),
        Commands::Demo { windlass, shape, timings } => demo(directory, windlass, shape, timings.as_deref()),
        Commands::Compare { windlass, timings } => compare(directory, &windlass, &timings),
        Commands::Shell { instance, command } => shell(&directory, &instance, &command),
    }
}

/// Lives a cluster's life and says how long each stage took.
fn demo(directory: PathBuf, windlass: PathBuf, shape: Shape, timings: Option<&Path>) -> Result<()> {
    let windlass = std::path::absolute(windlass)?;
    let kubectl = scenario::kubectl()?;
    let folder = tempfile::tempdir()?;
    let options = scenario::Options { windlass, kubectl, folder: folder.path().to_owned() };
    let lived = until_interrupted(async {
        let cloud = LocalCloud::start(Options::in_directory(directory)).await?;
        let say = |text: &str| {
            let _ = writeln!(std::io::stdout(), "{text}");
        };
        let lived = match shape {
            Shape::Public => scenario::run(&cloud, &options, say).await,
            Shape::Private => scenario::run_private(&cloud, &options, say).await,
            Shape::PrivateHa => scenario::run_three_masters(&cloud, &options, say).await,
        };
        cloud.stop().await?;
        lived
    })?;
    if let Some(file) = timings {
        fs::write(file, serde_json::to_string_pretty(&lived)?)?;
    }
    print(&lived.to_string())
}

/// Starts the same components by windlass and by hand, in a cloud of its own.
fn compare(directory: PathBuf, windlass: &Path, timings: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let windlass = std::path::absolute(windlass)?;
    let options =
        scenario::Options { windlass, kubectl: scenario::kubectl()?, folder: folder.path().to_owned() };
    let compared = until_interrupted(async {
        let layer = Layer::make(&folder.path().join("layer"))?;
        let image = Image::build().await?;
        let mut cloud = Options::in_directory(directory);
        cloud.images = vec![ImageSource::Image(image.clone()), ImageSource::Image(layer.over(&image))];
        let cloud = LocalCloud::start(cloud).await?;
        let compared = by_hand::compare(&cloud, &options, &layer, |text| {
            let _ = writeln!(std::io::stdout(), "{text}");
        })
        .await;
        cloud.stop().await?;
        compared
    })?;
    fs::write(timings, serde_json::to_string_pretty(&compared)?)?;
    print(&format!("{:.2} times as long as by hand\n", compared.windlass / compared.by_hand))
}

/// Runs something that cleans up when it is dropped, and drops it when a signal asks for the end.
fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .map(signal)
            .into_iter()
            .collect::<std::io::Result<Vec<_>>>()?;
        let ended = futures::future::select_all(ends.iter_mut().map(|end| Box::pin(end.recv())));
        tokio::select! {
            result = work => result,
            _ = ended => bail!("interrupted"),
        }
    })
}

fn up(directory: PathBuf, images: Vec<PathBuf>, region_name: String) -> Result<()> {
    let mut options = Options { region_name, ..Options::in_directory(directory) };
    if !images.is_empty() {
        options.images = images.into_iter().map(ImageSource::Description).collect();
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        // Taken before anything is started, so that an interruption at any moment cleans up.
        let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .map(signal)
            .into_iter()
            .collect::<std::io::Result<Vec<_>>>()?;
        let ended = futures::future::select_all(ends.iter_mut().map(|end| Box::pin(end.recv())));
        tokio::pin!(ended);
        let cloud = tokio::select! {
            cloud = LocalCloud::start(options) => cloud?,
            _ = &mut ended => bail!("interrupted"),
        };
        tracing::info!(cloud = cloud.name(), "up");
        ended.await;
        tracing::info!("ending");
        cloud.stop().await?;
        Ok(())
    })
}

fn up_in_background(directory: &Path, images: &[PathBuf], region: &str) -> Result<()> {
    fs::create_dir_all(directory)?;
    let log = directory.join("log");
    let file = fs::File::create(&log)?;
    let mut command = std::process::Command::new("setsid");
    command.arg(std::env::current_exe()?).arg("--dir").arg(directory).args(["up", "--region", region]);
    for image in images {
        command.arg("--image").arg(std::path::absolute(image)?);
    }
    command.stdin(Stdio::null()).stdout(file.try_clone()?.into_parts().0).stderr(file.into_parts().0);
    let mut child = command.spawn().context("can't start the cloud's process")?;
    loop {
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(&log)?;
            let last = said.lines().last().unwrap_or_default().trim_start_matches("localcloud: ").to_owned();
            bail!("the cloud didn't start ({status}): {last}\nits log is {}", log.display());
        }
        if let Some(status) = Status::read(directory)?
            && status.pid == child.id()
        {
            return print(&status.table());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks the process that keeps the cloud to end it; takes away what is left if there is no such process.
fn down(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let directory = fs::canonicalize(directory)?;
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut asked = false;
    let _lock = loop {
        if let Some(lock) = localcloud::lock(&directory)? {
            break lock;
        }
        let Some(status) = Status::read(&directory)? else {
            bail!("a cloud is just being started in {}", directory.display());
        };
        if !asked && let Some(pid) = i32::try_from(status.pid).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            asked = true;
        }
        if Instant::now() > deadline {
            bail!("the cloud's process {} doesn't end", status.pid);
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let left = cleanup::sweep(&cloud_name(&directory), &directory);
    if left.is_empty() { Ok(()) } else { bail!("not everything was cleaned up: {}", left.join("; ")) }
}

/// The status of the cloud that runs in the directory.
fn running(directory: &Path) -> Result<Status> {
    let status = Status::read(directory)?;
    status.with_context(|| format!("no cloud runs in {}; `localcloud up` starts one", directory.display()))
}

fn status(directory: &Path, output: Output) -> Result<()> {
    let status = running(directory)?;
    match output {
        Output::Table => print(&status.table()),
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&status)?)),
    }
}

fn exec(directory: &Path, command: &[String]) -> Result<()> {
    let status = running(directory)?;
    let (program, arguments) = command.split_first().context("no command")?;
    let mut command = localcloud::operator_command(&status.cloud, &status.region_name, program);
    Err(command.args(arguments).exec()).with_context(|| format!("can't run {program}"))
}

fn console(directory: &Path, instance: &str) -> Result<()> {
    let path = localcloud::console(directory, instance);
    let text = fs::read(path).with_context(|| format!("{instance} has no console"))?;
    std::io::stdout().write_all(&text)?;
    Ok(())
}

fn shell(directory: &Path, instance: &str, command: &[String]) -> Result<()> {
    let status = running(directory)?;
    let mut inside = match command.split_first() {
        Some((program, arguments)) => {
            let mut inside = localcloud::instance_command(&status, instance, program)?;
            inside.args(arguments);
            inside
        }
        None => localcloud::instance_command(&status, instance, "bash")?,
    };
    inside.env("TERM", std::env::var_os("TERM").unwrap_or_default());
    Err(inside.exec()).context("can't run nsenter")
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_gets_no_colours() {
        let file = tempfile::tempfile().expect("a file");
        assert!(!colours_on(&file));
    }
}
