//! The operator's command: windlass, with nothing in its environment but what a test puts there.

use std::path::Path;
use std::process::{Command, Stdio};

/// windlass, without arguments, for somebody with a home folder. Nothing of the environment of the tests reaches it.
pub(crate) fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        // Without it, a command without credentials asks the machine's own metadata service.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

/// The same, of the administrator of an emulated region, with a state store.
pub(crate) fn command_in(region: &str, url: &str, home: &Path, store: &str) -> Command {
    let mut command = command(home);
    command.envs(environment(region, url)).env("WINDLASS_STATE_STORE", store);
    command
}

/// What a process needs in its environment to use the emulated region at a URL instead of AWS, as its administrator.
pub(crate) fn environment<'a>(region: &'a str, url: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_REGION", region),
        ("AWS_ACCESS_KEY_ID", "operator"),
        ("AWS_SECRET_ACCESS_KEY", "operator-secret"),
        ("AWS_CONFIG_FILE", "/dev/null"),
    ]
}
