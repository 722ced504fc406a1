//! What systemd is told: readiness, a line of status, more time, and that the agent is alive.
//!
//! The protocol is one datagram per message to the socket that `NOTIFY_SOCKET` names (sd_notify(3)).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to systemd; without `NOTIFY_SOCKET` nobody listens and nothing is sent.
#[derive(Debug)]
pub struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// Takes the socket's name from the environment.
    pub fn from_environment() -> Self {
        Self::to(std::env::var_os("NOTIFY_SOCKET").as_deref())
    }

    /// Nobody listens.
    pub fn nobody() -> Self {
        Self(None)
    }

    fn to(name: Option<&OsStr>) -> Self {
        let address = name.and_then(|name| match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest).ok(),
            _ => SocketAddr::from_pathname(name).ok(),
        });
        Self(address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))))
    }

    /// The boot is done.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// One line for `systemctl status`.
    pub fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// The start may take this much longer, counted from now.
    pub fn extend_start(&self, time: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()));
    }

    /// The agent is alive.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd did not take a notification");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_the_socket_that_systemd_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(Some(path.as_os_str()));
        notify.ready();
        notify.status("waiting\nfor a volume");
        notify.extend_start(Duration::from_secs(2));
        let mut buffer = [0; 100];
        let mut next = || {
            let length = listener.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        assert_eq!(next(), "READY=1");
        assert_eq!(next(), "STATUS=waiting for a volume");
        assert_eq!(next(), "EXTEND_TIMEOUT_USEC=2000000");
    }

    #[test]
    fn an_abstract_socket_is_reached_too() {
        let address =
            SocketAddr::from_abstract_name(format!("windlass-test-{}", std::process::id())).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        Notify::to(Some(OsStr::new(&format!("@windlass-test-{}", std::process::id())))).alive();
        let mut buffer = [0; 20];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"WATCHDOG=1");
    }
}
