//! The kubeconfig: what is exported, and that nothing else is ever overwritten.

use crate::support::user::{User, names, refused, stderr};

#[test]
fn a_kubeconfig_is_exported_for_some_hours() {
    let user = User::new();
    user.create();
    user.run("export kubeconfig demo.example.com --admin=1h --api-server https://198.51.100.7").code(0);
    let text = std::fs::read_to_string(user.path(".kube/config")).unwrap();
    assert!(
        text.contains("server: \"https://198.51.100.7\"") && text.contains("client-key-data: "),
        "{text}"
    );
    // From here on, kubectl's context says which cluster is meant.
    let groups = user.run("get ig").code(0);
    assert!(stderr(&groups).contains("Using cluster from kubectl context: demo.example.com"));
    refused(user.run("unlock"), 1, &["which cluster?"]);
    user.run("export kubeconfig demo.example.com --admin=99999h").code(1);
}

#[test]
fn a_full_disk_leaves_the_kubeconfig_as_it_was_and_nothing_beside_it() {
    let user = User::new();
    user.create();
    std::fs::create_dir(user.path("kube")).unwrap();
    let before = "apiVersion: v1\nkind: Config\n";
    let config = user.file("kube/config", before);
    // No file may grow beyond nothing: what a full disk does, too.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    let line = "export kubeconfig demo.example.com --admin --api-server https://198.51.100.7";
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_windlass")])
        .args(line.split_whitespace())
        .env_clear()
        .env("HOME", user.path(""))
        .env("KUBECONFIG", &config)
        .env("WINDLASS_STATE_STORE", format!("file://{}", user.path("state").display()))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("could not write") && told.contains(&config), "{told}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), before);
    assert_eq!(names(&user.path("kube")), ["config"]);
}

#[test]
fn a_kubeconfig_that_is_no_file_is_refused_at_once() {
    let user = User::new();
    user.create();
    let fifo = user.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let line = "export kubeconfig demo.example.com --admin --api-server https://198.51.100.7";
    for (path, what) in [(fifo.to_str().unwrap(), "is a FIFO"), ("/dev/null", "is a device")] {
        let begun = std::time::Instant::now();
        refused(user.run_with(line, &[("KUBECONFIG", path)]), 1, &[path, what, "--kubeconfig"]);
        refused(user.run_with("get ig", &[("KUBECONFIG", path)]), 1, &["which cluster?"]);
        assert!(begun.elapsed().as_secs() < 5);
    }
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn sigterm_ends_a_command_that_waits_for_a_pipe() {
    let user = User::new();
    user.create();
    let fifo = user.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut waiting = crate::support::operator::command(&user.path(""))
        .args(["replace", "-f", fifo.to_str().unwrap()])
        .env("WINDLASS_STATE_STORE", format!("file://{}", user.path("state").display()))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(waiting.try_wait().unwrap().is_none(), "it does not wait for the pipe");
    let begun = std::time::Instant::now();
    let id = waiting.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ended = loop {
        match waiting.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if begun.elapsed().as_secs() > 20 => break None,
            None => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
    };
    let _ = waiting.kill();
    assert_eq!(ended.and_then(|status| status.code()), Some(130));
}
