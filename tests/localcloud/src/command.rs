//! Running the system's own tools (`ip`, `nft`, `losetup`, `mount`) to their end.

use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncWriteExt as _;

/// Why a tool did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is missing or can't be started.
    #[error("can't start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The program could not be fed or waited for.
    #[error("lost touch with `{command}`")]
    Talk {
        /// The command line.
        command: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The program ran and failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
}

/// Runs `line[0]` with the other words as its arguments; returns what it printed on stdout.
pub async fn run<S: AsRef<str>>(line: &[S]) -> Result<String, Error> {
    feed(line, "").await
}

/// Like [`run`], for what takes minutes: what it says on stderr is seen as it is said.
pub async fn run_aloud<S: AsRef<str>>(line: &[S]) -> Result<String, Error> {
    execute(line, "", Stdio::inherit()).await
}

/// Like [`run`], with `input` on the program's stdin.
pub async fn feed<S: AsRef<str>>(line: &[S], input: &str) -> Result<String, Error> {
    execute(line, input, Stdio::piped()).await
}

async fn execute<S: AsRef<str>>(line: &[S], input: &str, stderr: Stdio) -> Result<String, Error> {
    let words: Vec<&str> = line.iter().map(AsRef::as_ref).collect();
    let command = words.join(" ");
    let (program, arguments) =
        words.split_first().map_or(("", [].as_slice()), |(first, rest)| (*first, rest));
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Start { command: command.clone(), source })?;
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that fails early closes its stdin: its own message says more than a broken pipe.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output.map_err(|source| Error::Talk { command: command.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = match String::from_utf8_lossy(&output.stderr).trim() {
        "" => "it says no more".to_owned(),
        said => said.to_owned(),
    };
    Err(Error::Failed { command, status: output.status, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_fed_comes_back_from_cat() {
        assert_eq!(feed(&["cat"], "one\ntwo\n").await.unwrap(), "one\ntwo\n");
    }

    #[tokio::test]
    async fn a_failing_tool_is_named_with_what_it_said() {
        let error = run(&["sh", "-c", "echo no such link >&2; exit 3"]).await.unwrap_err();
        assert!(error.to_string().contains("no such link"), "{error}");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_tool_is_an_error_with_its_name() {
        let error = run(&["no-such-tool-anywhere"]).await.unwrap_err();
        assert!(matches!(&error, Error::Start { command, .. } if command == "no-such-tool-anywhere"));
    }
}
