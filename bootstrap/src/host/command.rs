//! Programs of the host: absolute paths, arguments instead of a shell, a time limit, and errors that say what the
//! program said.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};

/// What can go wrong with a program.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It isn't there, or can't be executed.
    #[error("can't start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// It took too long and was killed.
    #[error("`{command}` was killed after {} s", limit.as_secs())]
    TimedOut {
        /// The command line.
        command: String,
        /// Its limit.
        limit: Duration,
    },
    /// It ended with another exit code than the ones that mean success.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// `exit status: N` or the signal.
        status: String,
        /// The last lines that it wrote on stderr.
        stderr: String,
    },
    /// It could not be recorded.
    #[error("can't record `{command}`")]
    Record {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: FileError,
    },
}

impl Classed for CommandError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// A program with its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    program: &'static str,
    arguments: Vec<String>,
    limit: Duration,
    success: &'static [i32],
}

impl Command {
    /// A program by its absolute path. It has 30 seconds, and exit code 0 means success.
    pub fn new(program: &'static str) -> Self {
        Self { program, arguments: Vec::new(), limit: Duration::from_secs(30), success: &[0] }
    }

    /// One argument more.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Several arguments more.
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The exit codes that mean success.
    #[must_use]
    pub fn success(mut self, codes: &'static [i32]) -> Self {
        self.success = codes;
        self
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(formatter, " {argument}"))
    }
}

/// What a program that succeeded said.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Its exit code, one of those that mean success.
    pub code: i32,
    /// What it wrote on stdout.
    pub stdout: String,
}

/// Runs programs, or writes down what it would have run.
#[derive(Clone, Debug)]
pub enum Commands {
    /// Runs them on this machine.
    Machine,
    /// Appends each command line to this file, and pretends that it succeeded and said nothing.
    Recorded(PathBuf),
}

impl Commands {
    /// Runs a program to its end.
    pub async fn run(&self, command: Command) -> Result<Output, CommandError> {
        match self {
            Self::Machine => run(command).await,
            Self::Recorded(path) => record(path, &command),
        }
    }
}

async fn run(command: Command) -> Result<Output, CommandError> {
    let line = command.to_string();
    tracing::debug!(command = line, "running");
    let child = tokio::process::Command::new(command.program)
        .args(&command.arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(command.limit, child).await {
        Err(_) => return Err(CommandError::TimedOut { command: line, limit: command.limit }),
        Ok(Err(source)) => return Err(CommandError::Start { command: line, source }),
        Ok(Ok(output)) => output,
    };
    match output.status.code() {
        Some(code) if command.success.contains(&code) => {
            Ok(Output { code, stdout: String::from_utf8_lossy(&output.stdout).into_owned() })
        }
        _ => Err(CommandError::Failed {
            command: line,
            status: output.status.to_string(),
            stderr: last_lines(&output.stderr),
        }),
    }
}

fn record(path: &std::path::Path, command: &Command) -> Result<Output, CommandError> {
    let failed = |source| CommandError::Record { command: command.to_string(), source };
    let mut lines = file::read(path).map_err(failed)?.unwrap_or_default();
    lines.extend_from_slice(format!("{command}\n").as_bytes());
    file::ensure(path, lines, file::PUBLIC).map_err(failed)?;
    Ok(Output::default())
}

/// The end of what a program complained about, on one line: that is where programs say why.
fn last_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_says_what_the_program_said() {
        let command = Command::new("/bin/sh").arguments(["-c", "echo no such volume >&2; exit 3"]);
        let error = Commands::Machine.run(command).await.unwrap_err().to_string();
        assert!(error.ends_with("failed (exit status: 3): no such volume"), "{error}");
    }

    #[tokio::test]
    async fn other_exit_codes_can_mean_success() {
        let command = Command::new("/bin/sh").arguments(["-c", "echo out; exit 2"]).success(&[0, 2]);
        let output = Commands::Machine.run(command).await.unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (2, "out\n"));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed() {
        let command = Command::new("/bin/sleep").argument("60").limit(Duration::from_millis(50));
        let error = Commands::Machine.run(command).await.unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn recorded_commands_are_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("commands");
        let commands = Commands::Recorded(record.clone());
        commands
            .run(Command::new("/usr/bin/touch").argument(folder.path().join("x").display().to_string()))
            .await
            .unwrap();
        commands.run(Command::new("/usr/bin/false")).await.unwrap();
        let text = std::fs::read_to_string(record).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(!folder.path().join("x").exists());
    }
}
