//! A user of the command line, with a home folder, and what the commands say to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use snapbox::cmd::{Command, OutputAssert};
use tempfile::TempDir;

/// A user with a home folder, and with a state in a folder unless said otherwise.
pub(crate) struct User {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl User {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = format!("file://{}/state", folder.path().display());
        Self { folder, environment: vec![("WINDLASS_STATE_STORE".to_owned(), state)] }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file; returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// An editor that runs a `sed` script on the file.
    pub(crate) fn editor(&self, script: &str) -> String {
        let path = self.file("editor", &format!("#!/bin/sh\nsed -i '{script}' \"$1\"\n"));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    pub(crate) fn run(&self, line: &str) -> OutputAssert {
        self.run_with(line, &[])
    }

    /// With text on standard input.
    pub(crate) fn run_with_input(&self, line: &str, input: &str) -> OutputAssert {
        self.command(line).stdin(input.to_owned()).assert()
    }

    pub(crate) fn run_with(&self, line: &str, more: &[(&str, &str)]) -> OutputAssert {
        let command = self.command(line);
        more.iter().fold(command, |command, (name, value)| command.env(name, value)).assert()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::from_std(super::operator::command(self.folder.path()))
            .env("USER", "ada")
            .current_dir(self.folder.path())
            .args(line.split_whitespace());
        for (name, value) in &self.environment {
            command = command.env(name, value);
        }
        command
    }

    pub(crate) fn create(&self) {
        self.run("create cluster --name demo.example.com --zones us-east-1a,us-east-1b").code(0);
    }

    /// Every file of the state with its content.
    pub(crate) fn state(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.path("state"), &mut files);
        files
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if !path.ends_with(".windlass-lock") {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
}

pub(crate) fn stdout(assert: &OutputAssert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

pub(crate) fn stderr(assert: &OutputAssert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// Asserts that a command ended with a code and one clear error, and printed no data.
pub(crate) fn refused(assert: OutputAssert, code: i32, words: &[&str]) {
    let assert = assert.code(code);
    let text = stderr(&assert);
    assert_eq!(stdout(&assert), "");
    assert!(text.starts_with("error: "), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

/// What is below a folder, hidden files too.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
