//! Files that the specification asks for (`fileAssets`), before anything is started that may read them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::agent::Agent;
use crate::contract::config::FileConfig;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Writes the files.
pub const STEP: Step = Step::new("ensure_files", Duration::from_mins(1));

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It can't be written.
    #[error("a file of the specification (`fileAssets`) can't be written")]
    Write(#[source] FileError),
    /// It isn't what it should be.
    #[error("the file {0} of the specification (`fileAssets`) has no content in base64, or no mode in octal")]
    Content(String),
}

impl Classed for FilesError {
    fn class(&self) -> Class {
        match self {
            Self::Write(_) => Class::Passing,
            Self::Content(_) => Class::Permanent,
        }
    }
}

/// The step; nothing is reported of it where the specification asks for none.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let files = &agent.config.files;
    if files.is_empty() {
        return Ok(());
    }
    STEP.run(&agent.reporter, async || ensure(&agent.host, files).map(Done::changed_if)).await
}

/// Writes those that aren't right. Returns whether there were any.
fn ensure(host: &Host, files: &[FileConfig]) -> Result<bool, FilesError> {
    let mut changed = false;
    for wanted in files {
        let FileConfig { path, mode, content, is_base64 } = wanted;
        let wrong = || FilesError::Content(path.clone());
        let mode = u32::from_str_radix(mode, 8).map_err(|_| wrong())?;
        let bytes = if *is_base64 {
            STANDARD.decode(content).map_err(|_| wrong())?
        } else {
            content.clone().into_bytes()
        };
        changed |= file::ensure(&host.path(path), bytes, mode).map_err(FilesError::Write)?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(path: &str, mode: &str, content: &str, is_base64: bool) -> FileConfig {
        let (path, mode, content) = (path.to_owned(), mode.to_owned(), content.to_owned());
        FileConfig { path, mode, content, is_base64 }
    }

    #[test]
    fn files_have_their_content_and_their_mode_and_are_set_right_where_somebody_changed_them() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let files = [
            file("/etc/app/settings.yaml", "0440", "a: 1\n", false),
            file("/opt/app/data", "0755", "AAH/", true),
        ];
        assert!(ensure(&host, &files).unwrap());
        assert!(!ensure(&host, &files).unwrap());
        let (text, data) = (host.path("/etc/app/settings.yaml"), host.path("/opt/app/data"));
        assert_eq!(std::fs::read(&data).unwrap(), [0, 1, 255]);
        assert_eq!(std::fs::metadata(&text).unwrap().permissions().mode() & 0o7777, 0o440);
        std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&text, "a: 2\n").unwrap();
        assert!(ensure(&host, &files).unwrap());
        assert_eq!(std::fs::read_to_string(&text).unwrap(), "a: 1\n");
    }

    #[test]
    fn what_can_not_be_read_is_told_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        for wrong in [file("/a", "0999", "", false), file("/a", "0440", "?", true)] {
            let error = ensure(&host, &[wrong]).unwrap_err();
            assert!(error.to_string().contains("/a") && error.class() == Class::Permanent, "{error}");
        }
    }
}
