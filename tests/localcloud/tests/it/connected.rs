//! A network of namespaces without machines: what a world says, with real packets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use localcloud::cleanup;
use localcloud::namespace::Namespace;
use localcloud::network::Network;
use localcloud::world::World;

/// How long a connection that may not come about is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);

/// A network, taken away at the end of the test.
pub(crate) struct Cloud {
    pub(crate) name: String,
    pub(crate) network: Network,
    directory: tempfile::TempDir,
    listeners: Vec<TcpListener>,
}

impl Cloud {
    pub(crate) async fn of(world: &World) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}x{number}", std::process::id());
        let network = Network::create(&name).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut cloud = Self { name, network, directory, listeners: Vec::new() };
        cloud.apply(world).await;
        cloud
    }

    pub(crate) async fn apply(&mut self, world: &World) {
        self.network.apply(world, &BTreeSet::new()).await.unwrap();
    }

    pub(crate) fn of_instance(&self, id: &str) -> Namespace {
        self.network.namespace(id)
    }

    pub(crate) fn listen(&mut self, id: &str, port: u16) {
        let listener = self.of_instance(id).listen(Ipv4Addr::UNSPECIFIED, port).unwrap();
        self.listeners.push(listener);
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let left = cleanup::sweep(&self.name, self.directory.path());
        assert!(left.is_empty() || std::thread::panicking(), "{left:?}");
    }
}

pub(crate) fn reaches(from: &Namespace, address: &str, port: u16) -> bool {
    let to = SocketAddr::new(address.parse().unwrap(), port);
    from.inside("connect", || TcpStream::connect_timeout(&to, PATIENCE)).is_ok()
}
