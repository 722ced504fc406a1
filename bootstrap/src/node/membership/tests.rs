use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::contract::endpoint::Endpoint;
use crate::host::file;
use crate::node::client_certificate::Request;
use crate::node::client_certificate::tests::sign;
use crate::node::join::tests::put_token;
use crate::progress::retry::chain;
use crate::testing::fake_api::FakeApi;
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
    config.api.endpoint = Endpoint { host: Ipv4Addr::LOCALHOST.into(), port: closed_port() };
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
        assert!(matches!(error, MembershipError::Join(JoinError::NoApi(..))), "{error}");
        waited += 1;
    });
    assert!(tokio::time::timeout(Duration::from_secs(2), joining).await.is_err(), "the API is away");
    assert!(waited > 1);
}

const TOKEN: &str = "abcdef.0123456789abcdef";

/// A machine whose certificate looks right, an API that refuses it and takes the token of the day, for as long as it
/// takes until the agent does something about it.
async fn refused_machine() -> (tempfile::TempDir, Membership, FakeApi) {
    let (folder, mut membership) = machine(SignedDuration::from_mins(30));
    let store = StateStore::Folder(folder.path().join("state"));
    put_token(&store, TOKEN, Timestamp::now() + SignedDuration::from_hours(1)).await;
    let api = FakeApi::start().await;
    api.know(TOKEN);
    show(&membership.host, &api, "of a cluster that is no more");
    let joining = Joining::new(&membership.host, &store, &node_config(), NODE);
    membership.joining = joining.at(api.address);
    membership.refused = Instant::now().checked_sub(REFUSED);
    (folder, membership, api)
}

/// The kubelet shows this to the API.
fn show(host: &Host, api: &FakeApi, token: &str) {
    file::ensure(&host.path(api::NODE_KUBECONFIG), api.kubeconfig(token), file::PRIVATE).unwrap();
}

fn found(host: &Host) -> CertificateFile {
    client_certificate::look(host, NODE, Timestamp::now()).unwrap()
}

/// The public key that a certificate, or a request for one, is for.
fn key_of(pem: &[u8]) -> Vec<u8> {
    let der = x509_parser::pem::parse_x509_pem(pem).unwrap().1.contents;
    match X509CertificationRequest::from_der(&der) {
        Ok((_, request)) => request.certification_request_info.subject_pki.raw.to_vec(),
        Err(_) => X509Certificate::from_der(&der).unwrap().1.public_key().raw.to_vec(),
    }
}

#[tokio::test]
async fn an_authority_that_is_on_its_way_is_waited_for() {
    let (_folder, mut membership, api) = refused_machine().await;
    membership.refused = Instant::now().checked_sub(REFUSED.saturating_sub(Duration::from_secs(10)));
    assert!(!membership.ensure(|_| ()).await.unwrap());
    assert_eq!(api.created(), 0);
}

#[tokio::test]
async fn a_certificate_that_the_api_has_refused_for_minutes_is_replaced_by_one_for_the_key_that_masters_know()
{
    let (_folder, mut membership, api) = refused_machine().await;
    let host = membership.host.clone();
    let (before, present) = (found(&host), file::read(&host.path(kubelet::CLIENT_CERTIFICATE)).unwrap());
    let masters = async {
        let (name, request) = api.unanswered().await;
        assert_eq!(
            key_of(request.as_bytes()),
            key_of(&present.unwrap()),
            "another key is refused for a week"
        );
        api.issue(&name, &sign(&request, Timestamp::now(), Duration::from_hours(1)));
    };
    let (replaced, ()) = tokio::join!(membership.ensure(|_| ()), masters);
    assert!(replaced.unwrap());
    assert!(
        matches!((before, found(&host)), (CertificateFile::Valid(old), CertificateFile::Valid(new)) if new > old)
    );
    let commands = std::fs::read_to_string(host.path("/run/windlass/commands")).unwrap();
    assert!(commands.contains("restart kubelet.service"), "{commands}");
    assert!(membership.refused.is_none());
}

#[tokio::test]
async fn a_node_whose_certificate_is_refused_and_not_replaced_says_both_and_why() {
    let (_folder, mut membership, api) = refused_machine().await;
    let mut told = Vec::new();
    let masters = async {
        let (name, _) = api.unanswered().await;
        api.deny(&name, "it was launched more than an hour ago; replace the instance");
    };
    let ensure = membership.ensure(|why| told.push(chain(why)));
    let (ensured, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(2), ensure), masters);
    assert!(ensured.is_err(), "it is tried again");
    let last = told.last().unwrap();
    assert!(last.contains("the API refuses this node's certificate"), "{last}");
    assert!(last.contains("replace the instance"), "{last}");
}

#[tokio::test]
async fn a_certificate_that_the_api_takes_again_is_left_to_the_kubelet() {
    let (_folder, mut membership, api) = refused_machine().await;
    membership.ask_every = Duration::ZERO;
    let host = membership.host.clone();
    let before = found(&host);
    let ensure = membership.ensure(|_| show(&host, &api, TOKEN));
    let replaced = tokio::time::timeout(Duration::from_secs(10), ensure).await;
    assert!(!replaced.expect("the answer to the request is waited for").unwrap());
    assert_eq!(found(&host), before);
}
