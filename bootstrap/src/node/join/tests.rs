use super::*;
use crate::contract::config::CONFIG_VERSION;
use crate::contract::keyset::Secret;
use crate::node::client_certificate::tests::sign;
use crate::progress::notify::Notify;
use crate::progress::reporter::Reporter;
use crate::progress::retry::chain;
use crate::progress::step::{Done, Step};
use crate::testing::fake_api::FakeApi;

const NODE: &str = "i-0123456789abcdef0";
const TOKEN: &str = "abcdef.0123456789abcdef";

pub(crate) async fn put_token(store: &StateStore, token: &str, expires: Timestamp) {
    let token = BootstrapToken { version: CONFIG_VERSION.into(), token: Secret::new(token), expires };
    store.put(&keys::bootstrap_token("demo"), serde_json::to_vec(&token).unwrap()).await.unwrap();
}

/// A machine, a state with a token, and an API that may not know it yet.
struct Cluster {
    folder: tempfile::TempDir,
    store: StateStore,
    api: FakeApi,
}

impl Cluster {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().join("state"));
        put_token(&store, TOKEN, Timestamp::now() + SignedDuration::from_hours(1)).await;
        Self { folder, store, api: FakeApi::start().await }
    }

    fn host(&self) -> Host {
        Host::folder(self.folder.path().join("machine"))
    }

    fn joining(&self) -> Joining {
        Joining::new(&self.host(), &self.store, &crate::testing::node_config(), NODE).at(self.api.address)
    }

    /// Joins as a step of the boot does.
    async fn join(&self) -> Reporter {
        let (mut joining, reporter) = (self.joining(), Reporter::new(Notify::nobody()));
        let step = Step::new("ensure_kubelet_certificate", Duration::from_mins(1));
        step.run(&reporter, async || joining.ensure().await.map(Done::changed_if)).await.unwrap();
        reporter
    }

    fn found(&self) -> CertificateFile {
        client_certificate::look(&self.host(), NODE, Timestamp::now()).unwrap()
    }
}

#[tokio::test]
async fn a_token_is_waited_for_until_there_is_one_that_holds() {
    let now = "2026-11-21T02:00:00Z".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = StateStore::Folder(folder.path().to_owned());
    let error = read_token(&store, "demo", now).await.unwrap_err();
    assert!(matches!(error, JoinError::NoToken(None)) && error.class() == Class::Waiting);
    put_token(&store, TOKEN, "2026-11-21T01:59:59Z".parse().unwrap()).await;
    let error = read_token(&store, "demo", now).await.unwrap_err();
    assert!(matches!(error, JoinError::Expired(_)) && error.class() == Class::Waiting);
    put_token(&store, TOKEN, "2026-11-21T02:30:00Z".parse().unwrap()).await;
    assert_eq!(read_token(&store, "demo", now).await.unwrap().token.expose(), TOKEN);
}

#[tokio::test]
async fn a_broken_token_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateStore::Folder(folder.path().to_owned());
    store.put(&keys::bootstrap_token("demo"), b"{\"token\": 17}".to_vec()).await.unwrap();
    let error = read_token(&store, "demo", Timestamp::now()).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent);
    assert!(!chain(&error).contains("17"));
}

#[tokio::test]
async fn nobody_who_listens_is_waited_for_and_soon_looked_for_again() {
    let nobody = Endpoint { host: "127.0.0.1".into(), port: 1 };
    let error = reach(&nobody).await.unwrap_err();
    assert_eq!((error.class(), error.again()), (Class::Waiting, Some(SOON)));
    assert_eq!(error.to_string(), "the Kubernetes API at 127.0.0.1:1 does not answer yet");
}

#[tokio::test]
async fn a_node_waits_until_its_token_is_known_and_its_request_is_answered() {
    let cluster = Cluster::start().await;
    let masters = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(cluster.api.created(), 0, "the API knows no token yet");
        cluster.api.know(TOKEN);
        let (name, request) = cluster.api.unanswered().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(cluster.found(), CertificateFile::Missing);
        cluster.api.issue(&name, &sign(&request, Timestamp::now(), Duration::from_hours(1)));
    };
    let (reporter, ()) = tokio::join!(cluster.join(), masters);
    assert!(matches!(cluster.found(), CertificateFile::Valid(_)), "{:?}", cluster.found());
    assert!(reporter.status().steps[0].changed);
    assert_eq!(cluster.api.created(), 1);
    let seconds = reporter.status().steps[0].seconds.unwrap();
    assert!(seconds < 2.0, "the answer is watched for, not looked for now and then: {seconds}");
    assert!(!cluster.joining().ensure().await.unwrap(), "it has a certificate that holds");
}

#[tokio::test]
async fn an_agent_that_was_killed_finds_its_request_again() {
    let cluster = Cluster::start().await;
    cluster.api.know(TOKEN);
    let mut killed = cluster.joining();
    assert!(matches!(killed.ensure().await, Err(JoinError::Requested(_))));
    drop(killed);
    let (name, request) = cluster.api.unanswered().await;
    cluster.api.issue(&name, &sign(&request, Timestamp::now(), Duration::from_hours(1)));
    cluster.join().await;
    assert_eq!(cluster.api.created(), 1, "masters grant a first certificate once");
    assert!(matches!(cluster.found(), CertificateFile::Valid(_)));
}

#[tokio::test]
async fn an_expired_certificate_is_replaced_with_the_token_of_the_day() {
    let cluster = Cluster::start().await;
    cluster.api.know(TOKEN);
    let before = Timestamp::now() - SignedDuration::from_hours(2);
    let request = Request::begin(&cluster.host(), NODE).unwrap();
    let issued = sign(&request.pem, before, Duration::from_hours(1));
    request.keep(&cluster.host(), NODE, issued.as_bytes(), before).unwrap();
    assert!(matches!(cluster.found(), CertificateFile::Expired(_)));
    let masters = async {
        let (name, request) = cluster.api.unanswered().await;
        cluster.api.issue(&name, &sign(&request, Timestamp::now(), Duration::from_hours(1)));
    };
    tokio::join!(cluster.join(), masters);
    assert!(matches!(cluster.found(), CertificateFile::Valid(_)), "{:?}", cluster.found());
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason_and_asked_again_only_later() {
    let cluster = Cluster::start().await;
    cluster.api.know(TOKEN);
    let mut joining = cluster.joining();
    assert!(matches!(joining.ensure().await, Err(JoinError::Requested(_))));
    let (name, _) = cluster.api.unanswered().await;
    cluster.api.deny(&name, "it was launched more than an hour ago; replace the instance");
    for _ in 0..3 {
        let error = joining.ensure().await.unwrap_err();
        assert!(chain(&error).contains("launched more than an hour ago; replace the instance"), "{error}");
        assert_eq!(error.class(), Class::Passing, "the report says that it failed");
    }
    assert_eq!(cluster.api.created(), 1);
    joining.refused.as_mut().unwrap().again = Timestamp::now();
    assert!(matches!(joining.ensure().await, Err(JoinError::Requested(_))));
    let (second, _) = cluster.api.unanswered().await;
    assert_ne!(second, name, "a request that was denied stays denied");
}
