use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::client_certificate::Request;
use crate::client_certificate::tests::sign;
use crate::testing::node_config;

const NODE: &str = "i-0123456789abcdef0";

/// A machine whose kubelet has a certificate that was issued so long ago, for an hour.
fn machine(ago: SignedDuration) -> (tempfile::TempDir, Membership) {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::folder(folder.path().join("machine"));
    let then = Timestamp::now() - ago;
    let request = Request::begin(&host, NODE).unwrap();
    let issued = sign(&request.pem, then, Duration::from_hours(1));
    request.keep(&host, NODE, issued.as_bytes(), then).unwrap();
    let store = StateStore::Folder(folder.path().join("state"));
    let mut config = node_config();
    (config.api.private_address, config.api.port) = (Ipv4Addr::LOCALHOST, closed_port());
    let membership = Membership::new(&host, &store, &config, NODE);
    (folder, membership)
}

/// A port of this machine at which nobody listens any more.
fn closed_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_certificate_that_holds_is_left_to_the_kubelet() {
    let (_folder, mut membership) = machine(SignedDuration::from_mins(30));
    assert!(!membership.ensure(|_| ()).await.unwrap());
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_asked_for_anew_for_as_long_as_it_takes() {
    let (_folder, mut membership) = machine(SignedDuration::from_mins(90));
    let mut waited = 0;
    let joining = membership.ensure(|error| {
        assert!(matches!(error, JoinError::NoApi(..)), "{error}");
        waited += 1;
    });
    assert!(tokio::time::timeout(Duration::from_secs(2), joining).await.is_err(), "the API is away");
    assert!(waited > 1);
}

#[tokio::test]
async fn a_certificate_that_the_api_has_refused_for_minutes_is_replaced() {
    let (_folder, mut membership) = machine(SignedDuration::from_mins(30));
    membership.asked = Some(Instant::now());
    membership.refused = Instant::now().checked_sub(REFUSED.saturating_sub(Duration::from_secs(10)));
    assert!(!membership.is_due().await.unwrap(), "an authority may be on its way");
    membership.refused = Instant::now().checked_sub(REFUSED);
    assert!(membership.is_due().await.unwrap());
}
