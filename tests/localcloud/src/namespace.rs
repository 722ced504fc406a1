//! Network namespaces: made by name under `/run/netns`, as `ip netns` does, entered by a thread of our own.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command;

/// Where `ip netns` keeps the names.
pub const DIRECTORY: &str = "/run/netns";

/// Where `ip netns exec` finds the files that stand in place of those of `/etc`, by namespace.
pub const FILES: &str = "/etc/netns";

/// Why a namespace could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `ip` failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// The namespace could not be entered.
    #[error("can't enter the network namespace {name}")]
    Enter {
        /// The namespace.
        name: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Something inside the namespace failed.
    #[error("can't {act} in the network namespace {name}")]
    Inside {
        /// What was tried.
        act: String,
        /// The namespace.
        name: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// A named network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of this name, whether it exists or not.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// As `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// Makes the namespace, with its loopback up and without IPv6.
    pub async fn create(&self) -> Result<(), Error> {
        command::run(&["ip", "netns", "add", &self.name]).await?;
        self.set("net/ipv6/conf/all/disable_ipv6", "1")?;
        self.set("net/ipv6/conf/default/disable_ipv6", "1")?;
        self.links("link set lo up\n").await
    }

    /// Has what `ip netns exec` runs inside resolve names there.
    pub fn resolve_by(&self, resolver: Ipv4Addr) -> Result<(), Error> {
        let folder = Path::new(FILES).join(&self.name);
        let write = || {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join("resolv.conf"), format!("nameserver {resolver}\n"))
        };
        write().map_err(|source| Error::Inside {
            act: "say who resolves names".to_owned(),
            name: self.name.clone(),
            source,
        })
    }

    /// Removes the name; the namespace itself goes with its last process.
    pub async fn delete(&self) -> Result<(), Error> {
        command::run(&["ip", "netns", "delete", &self.name]).await?;
        Ok(())
    }

    /// Runs a batch of `ip` commands inside; the first that fails ends it.
    pub async fn links(&self, batch: &str) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        command::feed(&["ip", "-n", &self.name, "-batch", "-"], batch).await?;
        Ok(())
    }

    /// Runs a batch of `ip` commands inside that take things away; those that are gone already are no failure.
    pub async fn unlink(&self, batch: &str) {
        if batch.is_empty() {
            return;
        }
        if let Err(error) = command::feed(&["ip", "-n", &self.name, "-force", "-batch", "-"], batch).await {
            tracing::debug!(namespace = self.name, %error, "some were gone already");
        }
    }

    /// Loads an nftables ruleset inside, all or nothing.
    pub async fn load_ruleset(&self, ruleset: &str) -> Result<(), Error> {
        let namespace = format!("--net={}", self.path().display());
        command::feed(&["nsenter", &namespace, "nft", "-f", "-"], ruleset).await?;
        Ok(())
    }

    /// Forgets the tracked connections to and from an address that is translated to another one now. Their next
    /// packets go where the address leads now, and are refused there, as in AWS; otherwise they would go on to
    /// where it led before.
    pub async fn forget_connections(&self, address: Ipv4Addr) {
        let (namespace, address) = (format!("--net={}", self.path().display()), address.to_string());
        for side in ["--orig-dst", "--reply-dst"] {
            let line = ["nsenter", &namespace, "conntrack", "--delete", side, &address];
            // It fails, too, when there is nothing to forget.
            if let Err(error) = command::run(&line).await {
                tracing::debug!(%error, "nothing forgotten");
            }
        }
    }

    /// Forgets the tracked TCP connections that were handed on to this address and port.
    pub async fn end_connections(&self, address: Ipv4Addr, port: u16) {
        let (namespace, address) = (format!("--net={}", self.path().display()), address.to_string());
        let (port, side) = (port.to_string(), ["--reply-src", "--reply-port-src"]);
        let line = ["nsenter", &namespace, "conntrack", "--delete", "--proto", "tcp"];
        // It fails, too, when there is nothing to forget.
        if let Err(error) = command::run(&[&line[..], &[side[0], &address, side[1], &port]].concat()).await {
            tracing::debug!(%error, "nothing forgotten");
        }
    }

    /// A TCP socket inside the namespace, not connected yet, ready for tokio.
    pub fn socket(&self) -> Result<std::net::TcpStream, Error> {
        self.inside("make a socket", || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
            Ok(std::net::TcpStream::from(socket))
        })
    }

    /// Writes a kernel setting of the namespace, named by its path below `/proc/sys`.
    pub fn set(&self, setting: &str, value: &str) -> Result<(), Error> {
        let path = Path::new("/proc/sys").join(setting);
        let value = value.to_owned();
        self.inside(&format!("set {setting}"), move || std::fs::write(path, value))
    }

    /// A TCP listener inside the namespace, ready for tokio.
    pub fn listen(&self, address: Ipv4Addr, port: u16) -> Result<TcpListener, Error> {
        self.inside(&format!("listen on {address}:{port}"), move || {
            let listener = TcpListener::bind(SocketAddrV4::new(address, port))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
    }

    /// A bound UDP socket inside the namespace, ready for tokio.
    pub fn bind_udp(&self, address: Ipv4Addr, port: u16) -> Result<UdpSocket, Error> {
        self.inside(&format!("bind udp {address}:{port}"), move || {
            let socket = UdpSocket::bind(SocketAddrV4::new(address, port))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
    }

    /// Runs `work` in a thread that lives in the namespace.
    pub fn inside<T: Send>(
        &self,
        act: &str,
        work: impl FnOnce() -> std::io::Result<T> + Send,
    ) -> Result<T, Error> {
        let enter = |source| Error::Enter { name: self.name.clone(), source };
        let file = std::fs::File::open(self.path()).map_err(enter)?;
        let result = std::thread::scope(|scope| {
            let thread = scope.spawn(move || -> Result<T, Error> {
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))
                    .map_err(|errno| enter(errno.into()))?;
                work().map_err(|source| Error::Inside {
                    act: act.to_owned(),
                    name: self.name.clone(),
                    source,
                })
            });
            thread.join()
        });
        result.unwrap_or_else(|_| Err(enter(std::io::Error::other("the thread inside panicked"))))
    }
}
