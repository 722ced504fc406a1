//! AWS's endpoint in the Internet's namespace: a plain forwarder to the region on the loopback of the machine.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

/// Forwards every connection of `listener`, which may live in another namespace, to `region`, until dropped.
pub async fn forward(listener: TcpListener, region: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((mut client, _)) => {
                tokio::spawn(async move {
                    let result = match TcpStream::connect(region).await {
                        Ok(mut server) => tokio::io::copy_bidirectional(&mut client, &mut server).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection to the region ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection to the region");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
