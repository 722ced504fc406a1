//! What a container of a static pod said last before it ended: where etcd or the API server crashes again and again, that
//! is the reason, and the API can't be asked for it.
//!
//! The kubelet keeps the logs of this start and the one before it in `/var/log/pods/<namespace>_<pod>_<uid>/<container>/
//! <restarts>.log` (KEP 2411, and the kubelet's `kuberuntime` package); a line is `<time> <stream> <P|F> <text>` (the CRI
//! logging format).

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;

use crate::host::Host;
use crate::progress::reporter::since_boot;

const LOGS: &str = "/var/log/pods";
/// How much of a log's end is read: some lines, however long they are.
const TAIL: u64 = 16 * 1024;
/// How long ago the last end may be that is still the reason for anything: the kubelet waits five minutes at most before
/// it starts a container again (Kubernetes, "Pod Lifecycle").
const LATELY: Duration = Duration::from_mins(10);
/// How many lines are told, and how much of each.
const LINES: usize = 3;
const LINE: usize = 400;

/// What these static pods of `kube-system` said last, one line for each that has ended lately; nothing for those that have
/// not. What ended with the machine itself, before it was started, ended as it should.
pub fn of(host: &Host, pods: &[String]) -> Option<String> {
    let up = Duration::try_from_secs_f64(since_boot()).unwrap_or_default();
    said_within(host, pods, SystemTime::now().checked_sub(up.min(LATELY))?)
}

/// The same of those that have ended since then.
fn said_within(host: &Host, pods: &[String], since: SystemTime) -> Option<String> {
    let said: Vec<String> = pods.iter().filter_map(|pod| of_pod(&host.path(LOGS), pod, since)).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

fn of_pod(logs: &Path, pod: &str, since: SystemTime) -> Option<String> {
    // A changed manifest is another pod with another UID: the youngest is the one that counts.
    let folders = folders(logs).into_iter().filter(|folder| is_of_pod(folder, pod));
    let newest = folders.max_by_key(|folder| fs::metadata(folder).and_then(|data| data.modified()).ok())?;
    let attempts = folders_of_attempts(&newest);
    let (restarts, _) = attempts.last()?;
    if *restarts == 0 || last_end(&attempts)? < since {
        return None;
    }
    // The last start may not have said anything yet: then the one before it has.
    let said = attempts.iter().rev().map(|(_, log)| last_lines(log)).find(|lines| !lines.is_empty())?;
    let times = if *restarts == 1 { "once".to_owned() } else { format!("{restarts} times") };
    Some(format!("{pod} has ended {times}, and said last: {}", said.join(" | ")))
}

/// When a container last ended: then its log was written last. The one before the present start has ended; where its log
/// is gone already, the kubelet has cleaned up behind a container that waits to be started again.
fn last_end(attempts: &[(u32, PathBuf)]) -> Option<SystemTime> {
    let (_, log) = attempts.iter().rev().nth(1).or(attempts.last())?;
    fs::metadata(log).and_then(|data| data.modified()).ok()
}

/// `kube-system_<pod>-<node>_<uid>`: the kubelet adds the node's name to a static pod's.
fn is_of_pod(folder: &Path, pod: &str) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix("kube-system_").and_then(|rest| rest.strip_prefix(pod));
    rest.is_some_and(|rest| rest.starts_with("-i-"))
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The logs of a pod's containers by how often each had been started before, in that order.
fn folders_of_attempts(pod: &Path) -> Vec<(u32, PathBuf)> {
    let files = folders(pod).into_iter().flat_map(|container| {
        fs::read_dir(container).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path())
    });
    let mut attempts: Vec<(u32, PathBuf)> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "log"))
        .filter_map(|file| Some((file.file_stem()?.to_str()?.parse().ok()?, file)))
        .collect();
    attempts.sort();
    attempts
}

fn last_lines(log: &Path) -> Vec<String> {
    let Ok(tail) = read_tail(log) else { return Vec::new() };
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().map(message).filter(|line| !line.is_empty()).collect();
    let shortened = |line: &&str| line.chars().filter(|one| !one.is_control()).take(LINE).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(shortened).collect()
}

fn read_tail(log: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

/// The text of a line, without its time and stream.
fn message(line: &str) -> &str {
    line.splitn(4, ' ').nth(3).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(logs: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        for (path, text) in logs {
            let path = host.path(LOGS).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        (folder, host)
    }

    fn pods() -> [String; 2] {
        ["etcd-main".to_owned(), "kube-apiserver".to_owned()]
    }

    /// Of a machine that was started a minute ago.
    fn of_both(host: &Host) -> Option<String> {
        said_within(host, &pods(), SystemTime::now() - Duration::from_mins(1))
    }

    #[test]
    fn what_ended_with_the_machine_or_long_ago_is_no_crash() {
        let (_folder, host) = host(&[
            ("kube-system_etcd-main-i-0a_1/etcd/4.log", "x stderr F received signal; shutting down\n"),
            ("kube-system_etcd-main-i-0a_1/etcd/5.log", "x stderr F starting\n"),
        ]);
        let log = host.path(LOGS).join("kube-system_etcd-main-i-0a_1/etcd/4.log");
        let ended = |ago: Duration| {
            let file = std::fs::File::options().write(true).open(&log).unwrap();
            file.set_modified(SystemTime::now() - ago).unwrap();
        };
        ended(Duration::from_secs(90));
        assert_eq!(of_both(&host), None, "half a minute before the machine's start");
        ended(Duration::from_secs(30));
        let said = of_both(&host).unwrap();
        assert!(said.contains("shutting down") || said.contains("starting"), "{said}");
        ended(LATELY + Duration::from_secs(1));
        assert_eq!(of(&host, &pods()), None);
    }

    #[test]
    fn a_container_that_crashes_again_and_again_is_told_by_its_own_last_lines() {
        let stamp = "2026-11-21T01:02:03.000000001Z stderr F";
        let before = format!(
            "{stamp} starting\n{stamp} reading data\n{stamp} \n{stamp} checksum mismatch\n\
                              {stamp} panic: \u{1b}[31mwal: crc\n"
        );
        let (_folder, host) = host(&[
            ("kube-system_etcd-main-i-0a_1/etcd/4.log", &before),
            ("kube-system_etcd-main-i-0a_1/etcd/5.log", ""),
            ("kube-system_kube-apiserver-i-0a_2/kube-apiserver/0.log", "x stderr F never ended\n"),
            ("default_etcd-main-i-0a_3/etcd/9.log", "x stderr F somebody else\n"),
        ]);
        assert_eq!(
            of_both(&host).unwrap(),
            "etcd-main has ended 5 times, and said last: reading data | checksum mismatch | panic: [31mwal: crc"
        );
    }

    #[test]
    fn nothing_is_told_of_what_never_ended() {
        let (_folder, host) = host(&[("kube-system_etcd-main-i-0a_1/etcd/0.log", "x stderr F fine\n")]);
        assert_eq!(of_both(&host), None);
        assert_eq!(of_both(&Host::folder("/nowhere")), None);
    }
}
