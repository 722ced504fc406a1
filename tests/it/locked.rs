//! While one operator works, others read, and what would write says who works and exits with 4.

use std::path::Path;
use std::process::Output;

use windlass::state::{ClusterState, Holder, Lease, Store};

const NAME: &str = "demo.example.com";

/// Runs windlass with nothing but these variables.
fn windlass(home: &Path, environment: &[(&str, &str)], line: &str) -> Output {
    let mut command = crate::support::operator::command(home);
    command.args(line.split_whitespace()).envs(environment.iter().copied()).output().unwrap()
}

/// Asserts that a command ended with 4 and said who holds the lock, where, with which command, since when, and what to
/// type.
fn is_locked_out(output: &Output, line: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{line}: {said}");
    let host = Holder::this_process("").host;
    let words = [
        "is locked: ",
        &format!(" on {host} runs "),
        "`windlass rolling-update cluster`",
        " since 20",
        " UTC",
    ];
    for word in words.iter().copied().chain(["windlass unlock demo.example.com --force"]) {
        assert!(said.contains(word), "{line}: `{word}` is not in: {said}");
    }
}

fn hold(state: &ClusterState) -> (tokio::runtime::Runtime, Lease) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lease = Lease::acquire(state, Holder::this_process("rolling-update cluster"));
    let lease = runtime.block_on(lease).unwrap();
    (runtime, lease)
}

#[test]
fn while_the_lock_is_held_the_specification_is_read_and_not_written() {
    let home = tempfile::tempdir().unwrap();
    let url = format!("file://{}/state", home.path().display());
    let run = |line: &str| windlass(home.path(), &[("WINDLASS_STATE_STORE", &url)], line);
    assert!(run("create cluster --name demo.example.com --zones us-east-1a").status.success());
    let group = run("get ig nodes-us-east-1a --name demo.example.com -o yaml").stdout;
    let group = String::from_utf8(group).unwrap();
    std::fs::write(home.path().join("new"), group.replace("nodes-us-east-1a", "new")).unwrap();
    std::fs::write(home.path().join("more"), group.replace("maxSize: 1", "maxSize: 2")).unwrap();
    let state = ClusterState::new(Store::file(home.path().join("state")), NAME);
    let (runtime, lease) = hold(&state);
    let (new, more) = (home.path().join("new"), home.path().join("more"));
    for line in [
        format!("create -f {}", new.display()),
        format!("replace -f {}", more.display()),
        "edit cluster demo.example.com --set spec.channel=alpha".to_owned(),
        "edit ig nodes-us-east-1a --name demo.example.com --set spec.maxSize=2".to_owned(),
    ] {
        is_locked_out(&run(&line), &line);
    }
    for line in ["get clusters", "get ig --name demo.example.com", "get clusters demo.example.com -o yaml"] {
        assert!(run(line).status.success(), "{line}");
    }
    runtime.block_on(lease.release()).unwrap();
    let line = format!("replace -f {}", more.display());
    assert!(run(&line).status.success());
}

#[test]
fn what_a_newer_windlass_wrote_is_read_and_written_only_with_the_flag() {
    let home = tempfile::tempdir().unwrap();
    let url = format!("file://{}/state", home.path().display());
    let run = |line: &str| windlass(home.path(), &[("WINDLASS_STATE_STORE", &url)], line);
    let line = "edit cluster demo.example.com --set spec.channel=alpha";
    assert!(run("create cluster --name demo.example.com --zones us-east-1a").status.success());
    let marker = home.path().join("state").join(NAME).join("format.json");
    std::fs::write(&marker, r#"{"version": 1, "writtenBy": "999.1.0"}"#).unwrap();
    let refused = run(line);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for word in ["999.1.0", env!("CARGO_PKG_VERSION"), "--allow-windlass-downgrade"] {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(!home.path().join("state").join(NAME).join("lock").exists());
    assert!(run("get clusters").status.success());
    assert!(run(&format!("{line} --allow-windlass-downgrade")).status.success());
    assert!(run("edit cluster demo.example.com --set spec.channel=beta").status.success());
    std::fs::write(&marker, r#"{"version": 99, "writtenBy": "999.1.0"}"#).unwrap();
    for line in [
        "get clusters",
        "get ig --name demo.example.com",
        "history demo.example.com",
        "diff 1 --name demo.example.com",
        "export kubeconfig demo.example.com --admin --api-server https://198.51.100.7",
        "edit cluster demo.example.com --set spec.channel=alpha --allow-windlass-downgrade",
    ] {
        let refused = run(line);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains("has format 99, written by windlass 999.1.0"), "{line}: {said}");
    }
}

mod with_region {
    use super::*;
    use crate::support::region::Region;

    #[test]
    #[ignore = "needs the emulated region"]
    fn while_the_lock_is_held_the_cluster_is_looked_at_and_not_changed() {
        let region = Region::start();
        region.register_image("1.36.3");
        let home = tempfile::tempdir().unwrap();
        let mut environment = region.environment().to_vec();
        environment.push(("WINDLASS_STATE_STORE", "s3://clusters"));
        let run = |line: &str| windlass(home.path(), &environment, line);
        let line = "create cluster demo.example.com --zones us-east-1a --kubernetes-version 1.36.3";
        assert!(run(&format!("{line} --create-state-store --yes")).status.success());
        assert!(run("edit cluster demo.example.com --set spec.cloudLabels.team=a").status.success());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let state = runtime.block_on(async {
            ClusterState::new(Store::open("s3://clusters", &region.clients().await).await.unwrap(), NAME)
        });
        let (runtime, lease) = hold(&state);
        for line in [
            "update cluster demo.example.com --yes",
            "rollback 1 --name demo.example.com --yes",
            "delete cluster demo.example.com --yes",
            "edit cluster demo.example.com --set spec.cloudLabels.team=b",
        ] {
            is_locked_out(&run(line), line);
        }
        for (line, code) in [
            ("update cluster demo.example.com", 0),
            ("update cluster demo.example.com --detailed-exitcode", 2),
            ("history demo.example.com", 0),
            ("get revision 1 --name demo.example.com", 0),
            ("diff 1 --name demo.example.com", 0),
            ("get instances --name demo.example.com", 0),
            ("delete cluster demo.example.com", 0),
        ] {
            let output = run(line);
            assert_eq!(
                output.status.code(),
                Some(code),
                "{line}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        // It looks for the API, which nobody serves here.
        assert_eq!(run("validate cluster demo.example.com").status.code(), Some(2));
        runtime.block_on(lease.release()).unwrap();
    }
}
