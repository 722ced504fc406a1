use super::*;
use crate::aws::Access;
use crate::aws::ec2::is_instance_id;
use crate::aws::state::sha256;
use crate::contract::auto_scaling::Group;
use crate::contract::config::Role;
use crate::control_plane::grants::Outage;

const NODE: &str = "i-0123456789abcdef0";
const WEEK: Duration = Duration::from_hours(168);
const OTHER: &str = "i-0123456789abcdef1";

fn texts<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(ToOwned::to_owned).into()
}

fn first() -> Request {
    Request {
        username: "system:bootstrap:abcdef".into(),
        groups: texts(["system:bootstrappers", "system:authenticated"]),
        signer: CLIENT_SIGNER.into(),
        usages: texts(["digital signature", "client auth"]),
        common_names: vec![format!("system:node:{NODE}")],
        organizations: vec!["system:nodes".into()],
        key: "one".into(),
        ..Request::default()
    }
}

fn renewal() -> Request {
    Request { username: format!("system:node:{NODE}"), groups: texts(["system:nodes"]), ..first() }
}

fn serving() -> Request {
    Request {
        signer: SERVING_SIGNER.into(),
        usages: texts(["digital signature", "server auth"]),
        dns: texts([NODE]),
        addresses: BTreeSet::from(["172.20.32.11".parse().unwrap()]),
        ..renewal()
    }
}

fn instance() -> Instance {
    Instance {
        id: NODE.into(),
        state: "running".into(),
        launched: "2026-11-21T02:00:00Z".parse().unwrap(),
        group: Some(Group { name: "nodes".into(), role: Role::Node }),
        zone: "us-east-1a".into(),
        machine_type: "t3.medium".into(),
        private_addresses: BTreeSet::from(["172.20.32.11".parse().unwrap()]),
        network_interface: None,
        prefixes: Vec::new(),
        private_names: texts(["ip-172-20-32-11.ec2.internal"]),
        devices: BTreeSet::new(),
        source_dest_check: true,
    }
}

/// The master has answered since one o'clock.
fn answered() -> &'static Answered {
    static ANSWERED: std::sync::OnceLock<Answered> = std::sync::OnceLock::new();
    ANSWERED.get_or_init(|| Answered::resume(None, at("01:00:00"), at("01:00:00")))
}

fn at(time: &str) -> Timestamp {
    format!("2026-11-21T{time}Z").parse().unwrap()
}

/// A new instance of a group of nodes, one minute old.
fn facts(instance: &Instance) -> Facts<'_> {
    Facts {
        instance: Some(instance),
        grant: None,
        node_ready: false,
        now: at("02:01:00"),
        answered: answered(),
        longest: WEEK,
    }
}

/// What was granted to the instance at two o'clock, for an hour.
fn granted(key: &str) -> Grant {
    Grant { launched: at("02:00:00"), expires: at("03:00:00"), key: key.into() }
}

fn approved(request: &Request, facts: &Facts<'_>) -> bool {
    matches!(decide(request, facts), Verdict::Approve(_))
}

fn waits(request: &Request, facts: &Facts<'_>) -> String {
    match decide(request, facts) {
        Verdict::Later(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn reason(request: &Request, facts: &Facts<'_>) -> String {
    match decide(request, facts) {
        Verdict::Deny(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_instance_gets_its_certificates() {
    let instance = instance();
    assert!(approved(&first(), &facts(&instance)));
    assert!(approved(&renewal(), &facts(&instance)));
    assert!(approved(&serving(), &facts(&instance)));
    let with_rsa_key =
        Request { usages: texts(["digital signature", "key encipherment", "client auth"]), ..first() };
    assert!(approved(&with_rsa_key, &facts(&instance)));
    let by_private_name = Request { dns: texts([NODE, "ip-172-20-32-11.ec2.internal"]), ..serving() };
    assert!(approved(&by_private_name, &facts(&instance)));
}

#[test]
fn whatever_is_not_exactly_a_nodes_request_is_denied() {
    let instance = instance();
    let facts = facts(&instance);
    let bad = [
        (Request { organizations: vec!["system:masters".into()], ..first() }, "subject"),
        (
            Request { organizations: vec!["system:nodes".into(), "system:masters".into()], ..first() },
            "subject",
        ),
        (Request { organizations: vec![], ..first() }, "subject"),
        (Request { other_names: true, ..first() }, "subject"),
        (Request { common_names: vec!["admin".into()], ..first() }, "names no instance"),
        (Request { common_names: vec!["system:node:master".into()], ..first() }, "names no instance"),
        (
            Request { common_names: vec![format!("system:node:{NODE}"), "admin".into()], ..first() },
            "names no instance",
        ),
        (Request { common_names: vec![], ..first() }, "names no instance"),
        (Request { usages: texts(["digital signature", "server auth"]), ..first() }, "usages"),
        (Request { usages: texts(["digital signature", "client auth", "server auth"]), ..first() }, "usages"),
        (Request { usages: texts(["client auth"]), ..first() }, "usages"),
        (Request { dns: texts([NODE]), ..first() }, "no names"),
        (Request { username: "admin".into(), ..first() }, "may not ask"),
        (Request { username: format!("system:node:{OTHER}"), ..renewal() }, "may not ask"),
        (Request { groups: texts(["system:authenticated"]), ..first() }, "not in system:bootstrappers"),
        (Request { groups: texts(["system:authenticated"]), ..renewal() }, "not in system:nodes"),
        (Request { username: "system:bootstrap:abcdef".into(), ..serving() }, "serving certificate"),
        (Request { groups: BTreeSet::new(), ..serving() }, "not in system:nodes"),
        (Request { usages: texts(["digital signature", "client auth"]), ..serving() }, "usages"),
        (Request { dns: BTreeSet::new(), addresses: BTreeSet::new(), ..serving() }, "without names"),
    ];
    for (request, expected) in bad {
        let reason = reason(&request, &facts);
        assert!(reason.contains(expected), "{reason}: {request:?}");
    }
}

#[test]
fn a_name_that_means_more_than_one_instance_is_denied() {
    let instance = instance();
    for name in [
        "i-0*",
        "i-*",
        "i-012345678?abcdef0",
        "i-",
        "i-1",
        "i-0123456",
        "i-0123456789abcdef01",
        "i-0123456789ABCDEF0",
        "i-0123456789abcdeg0",
        "I-0123456789abcdef0",
        "i-0123456789abcdef0 ",
        "mi-0123456789abcdef0",
    ] {
        assert!(!is_instance_id(name), "{name}");
        let request = Request { common_names: vec![format!("system:node:{name}")], ..first() };
        assert_eq!(instance_of(&request), None, "it goes into no filter");
        assert!(reason(&request, &facts(&instance)).contains("names no instance"), "{name}");
    }
    assert!(is_instance_id("i-0123456789abcdef0") && is_instance_id("i-01234567"));
}

#[test]
fn a_serving_certificate_has_no_foreign_names() {
    let instance = instance();
    let foreign = Request { dns: texts(["kubernetes.default.svc"]), ..serving() };
    assert!(waits(&foreign, &facts(&instance)).contains("not a name of"));
    let address = BTreeSet::from(["172.20.32.10".parse().unwrap()]);
    let foreign = Request { addresses: address, ..serving() };
    assert!(waits(&foreign, &facts(&instance)).contains("not an address of"));
}

#[test]
fn the_instance_has_to_agree_with_ec2() {
    let instance = instance();
    let good = facts(&instance);
    let with_state = |state: &str| Instance { state: state.into(), ..instance.clone() };
    for request in [first(), renewal(), serving()] {
        let terminated = with_state("terminated");
        assert!(reason(&request, &Facts { instance: Some(&terminated), ..good }).contains("terminated"));
        assert!(waits(&request, &Facts { instance: None, ..good }).contains("does not show"));
        for state in ["pending", "stopped", "something new"] {
            assert!(waits(&request, &Facts { instance: Some(&with_state(state)), ..good }).contains(state));
        }
    }
}

#[test]
fn a_group_that_the_master_has_never_heard_of_joins_and_an_unknown_one_waits() {
    let member = |role| Some(Group { name: "made-a-minute-ago".into(), role });
    let new = Instance { group: member(Role::Node), ..instance() };
    assert!(approved(&first(), &facts(&new)));
    let unknown = Instance { group: None, ..instance() };
    assert!(waits(&first(), &facts(&unknown)).contains("in an instance group"));
    let master = Instance { group: member(Role::ControlPlane), ..instance() };
    assert!(reason(&first(), &facts(&master)).contains("masters"));
}

#[test]
fn a_working_nodes_name_can_not_be_taken() {
    let instance = instance();
    let facts = Facts { node_ready: true, ..facts(&instance) };
    assert!(waits(&first(), &facts).contains("somebody else"));
    assert!(approved(&renewal(), &facts), "the node itself may");
}

#[test]
fn an_old_instance_gets_no_first_certificate_unless_no_master_could_answer() {
    let instance = instance();
    let late = Facts { now: at("03:00:01"), ..facts(&instance) };
    assert!(reason(&first(), &late).contains("more than an hour ago"));
    assert!(approved(&renewal(), &late));
    let outage = Outage { from: at("02:10:00"), to: at("02:50:00") };
    let waited = Answered { last: at("03:00:00"), outages: vec![outage] };
    let late = Facts { answered: &waited, ..late };
    assert!(approved(&first(), &late));
    assert!(reason(&first(), &Facts { now: at("03:41:00"), ..late }).contains("more than an hour ago"));
}

#[test]
fn a_first_certificate_is_granted_once_for_each_launch() {
    let instance = instance();
    let grant = granted("one");
    let soon = Facts { grant: Some(&grant), ..facts(&instance) };
    let other_key = Request { key: "two".into(), ..first() };
    assert!(approved(&first(), &soon), "the same key may ask again");
    assert!(waits(&other_key, &soon).contains("another key"));
    let expired = Facts { now: at("09:00:00"), ..soon };
    assert!(approved(&other_key, &expired), "however long ago the launch was");
    assert!(waits(&other_key, &Facts { node_ready: true, ..expired }).contains("somebody else"));
    let unknown = Instance { group: None, ..instance.clone() };
    waits(&other_key, &Facts { instance: Some(&unknown), ..expired });
    let started_again = Instance { launched: at("02:30:00"), ..instance.clone() };
    let again = Facts { instance: Some(&started_again), now: at("02:31:00"), ..soon };
    assert!(approved(&other_key, &again), "a stop and a start is another launch");
}

#[test]
fn what_is_remembered_ends_with_the_certificate_at_the_latest() {
    let instance = instance();
    let facts = facts(&instance);
    let expires = |request: &Request| grant(request, &facts).map(|grant| grant.expires);
    assert_eq!(expires(&first()), Some("2026-11-28T02:01:00Z".parse().unwrap()));
    let short = Request { lifetime: Some(Duration::from_mins(10)), ..renewal() };
    assert_eq!(expires(&short), Some(at("02:11:00")));
    let long = Request { lifetime: Some(Duration::from_hours(999)), ..renewal() };
    assert_eq!(expires(&long), expires(&first()));
    assert_eq!(expires(&serving()), None);
}

/// An instance that was launched just now, and an empty memory.
fn just_now() -> (Instance, Answered) {
    let now = Timestamp::now();
    (Instance { launched: now, ..instance() }, Answered::resume(None, now, now))
}

fn queued(requests: &[Request], since: Instant) -> Queue {
    let mut queue = Queue::default();
    for (number, request) in requests.iter().enumerate() {
        let object = CertificateSigningRequest::default();
        queue.add(format!("csr-{number}"), request.clone(), object, since);
    }
    queue
}

fn judged(
    queue: &Queue,
    found: &LookedUp<'_>,
    now: Instant,
) -> (Vec<Verdict>, BTreeMap<String, Option<Grant>>) {
    let names = queue.due(now + Duration::from_secs(1), 10);
    let mut granted = BTreeMap::new();
    let pending = names.iter().map(|name| (name, queue.get(name).unwrap()));
    let verdicts = judge(pending, found, &mut granted, now);
    (verdicts.into_iter().map(|(_, verdict)| verdict).collect(), granted)
}

#[test]
fn of_two_requests_that_come_together_only_the_first_is_granted() {
    let (instance, answered) = just_now();
    let instances = BTreeMap::from([(NODE, &instance)]);
    let found =
        LookedUp { instances, ready: [].into(), grants: &[].into(), answered: &answered, longest: WEEK };
    let now = Instant::now();
    let queue = queued(&[first(), Request { key: "two".into(), ..first() }], now);
    let (verdicts, granted) = judged(&queue, &found, now);
    assert!(matches!(verdicts[..], [Verdict::Approve(_), Verdict::Later(_)]), "{verdicts:?}");
    assert_eq!(granted[NODE].as_ref().unwrap().key, "one");
}

#[test]
fn what_can_not_be_granted_is_denied_only_after_minutes_with_its_reason() {
    let (_, answered) = just_now();
    let found = LookedUp {
        instances: [].into(),
        ready: [].into(),
        grants: &[].into(),
        answered: &answered,
        longest: WEEK,
    };
    let since = Instant::now();
    let queue = queued(&[first()], since);
    let (verdicts, granted) = judged(&queue, &found, since + PATIENCE / 2);
    assert!(matches!(verdicts[..], [Verdict::Later(_)]) && granted.is_empty());
    let (verdicts, granted) = judged(&queue, &found, since + PATIENCE);
    let [Verdict::Deny(reason)] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert!(reason.contains("EC2 does not show i-0123456789abcdef0") && granted.is_empty());
}

#[test]
fn what_is_decided_is_left_alone_whatever_the_decision() {
    let mut request = CertificateSigningRequest::default();
    assert!(!is_decided(&request));
    for verdict in ["Approved", "Denied", "Failed"] {
        let condition = CertificateSigningRequestCondition {
            type_: verdict.into(),
            ..CertificateSigningRequestCondition::default()
        };
        request.status.get_or_insert_default().conditions = Some(vec![condition]);
        assert!(is_decided(&request), "{verdict}");
    }
}

#[test]
fn other_signers_requests_are_left_alone() {
    let instance = instance();
    let other = Request { signer: "kubernetes.io/kube-apiserver-client".into(), ..first() };
    assert_eq!(decide(&other, &facts(&instance)), Verdict::NotOurs);
    assert_eq!(instance_of(&other), None);
}

#[test]
fn a_request_is_read_whole() {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{NODE}"));
    params.subject_alt_names =
        vec![SanType::DnsName(NODE.try_into().unwrap()), SanType::IpAddress("172.20.32.11".parse().unwrap())];
    let object = |params: &CertificateParams| {
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let mut request = CertificateSigningRequest::default();
        request.spec.request = k8s_openapi::ByteString(pem.into_bytes());
        request.spec.signer_name = SERVING_SIGNER.into();
        request.spec.username = Some(format!("system:node:{NODE}"));
        request.spec.groups = Some(vec!["system:nodes".into()]);
        request.spec.usages = Some(vec!["digital signature".into(), "server auth".into()]);
        request
    };
    let key = sha256(&rcgen::PublicKeyData::subject_public_key_info(&key));
    assert_eq!(parse(&object(&params)), Some(Request { key, ..serving() }));
    params.subject_alt_names.push(SanType::Rfc822Name("root@example.com".try_into().unwrap()));
    assert!(parse(&object(&params)).unwrap().other_names);
    params.subject_alt_names.pop();
    params.distinguished_name.push(DnType::CountryName, "DE");
    assert!(parse(&object(&params)).unwrap().other_names);
    assert_eq!(parse(&CertificateSigningRequest::default()), None);
}

#[tokio::test]
async fn approvals_reckon_with_the_certificates_life_that_the_cluster_specifies() {
    let ec2 = Ec2::open("us-east-1", "demo", &Access::default()).await;
    let former = include_bytes!("../../../tests/former/579859e-master.json");
    let config: crate::contract::config::NodeConfig = crate::contract::config::read(former).unwrap();
    let mut control_plane = config.control_plane.unwrap();
    let longest = |control_plane: &ControlPlaneConfig| {
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        approver(Client::try_from(nowhere).unwrap(), &ec2, control_plane).longest
    };
    assert_eq!(longest(&control_plane), Duration::from_hours(168));
    control_plane.certificate_seconds = Some(1800);
    assert_eq!(longest(&control_plane), Duration::from_mins(30));
}
