use super::*;

fn texts<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(ToOwned::to_owned).into()
}

fn first() -> Request {
    Request {
        username: "system:bootstrap:abcdef".into(),
        groups: texts(["system:bootstrappers", "system:authenticated"]),
        signer: CLIENT_SIGNER.into(),
        usages: texts(["digital signature", "client auth"]),
        common_names: vec!["system:node:i-1".into()],
        organizations: vec!["system:nodes".into()],
        ..Request::default()
    }
}

fn renewal() -> Request {
    Request { username: "system:node:i-1".into(), groups: texts(["system:nodes"]), ..first() }
}

fn serving() -> Request {
    Request {
        signer: SERVING_SIGNER.into(),
        usages: texts(["digital signature", "server auth"]),
        dns: texts(["i-1"]),
        addresses: BTreeSet::from(["172.20.32.11".parse().unwrap()]),
        ..renewal()
    }
}

fn instance() -> Instance {
    Instance {
        id: "i-1".into(),
        state: "running".into(),
        launched: "2026-11-21T02:00:00Z".parse().unwrap(),
        instance_group: Some("nodes".into()),
        private_addresses: BTreeSet::from(["172.20.32.11".parse().unwrap()]),
        private_names: texts(["ip-172-20-32-11.ec2.internal"]),
        devices: BTreeSet::new(),
        source_dest_check: true,
    }
}

/// A new instance of a group of nodes, one minute old.
fn facts(instance: &Instance) -> Facts<'_> {
    Facts {
        instance: Some(instance),
        role: Some(Role::Node),
        node_ready: false,
        now: "2026-11-21T02:01:00Z".parse().unwrap(),
        answering_since: "2026-11-21T01:00:00Z".parse().unwrap(),
    }
}

fn approved(request: &Request, facts: &Facts<'_>) -> bool {
    matches!(decide(request, facts), Verdict::Approve(_))
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
    let by_private_name = Request { dns: texts(["i-1", "ip-172-20-32-11.ec2.internal"]), ..serving() };
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
            Request { common_names: vec!["system:node:i-1".into(), "admin".into()], ..first() },
            "names no instance",
        ),
        (Request { common_names: vec![], ..first() }, "names no instance"),
        (Request { usages: texts(["digital signature", "server auth"]), ..first() }, "usages"),
        (Request { usages: texts(["digital signature", "client auth", "server auth"]), ..first() }, "usages"),
        (Request { usages: texts(["client auth"]), ..first() }, "usages"),
        (Request { dns: texts(["i-1"]), ..first() }, "no names"),
        (Request { username: "admin".into(), ..first() }, "may not ask"),
        (Request { username: "system:node:i-2".into(), ..renewal() }, "may not ask"),
        (Request { groups: texts(["system:authenticated"]), ..first() }, "not in system:bootstrappers"),
        (Request { groups: texts(["system:authenticated"]), ..renewal() }, "not in system:nodes"),
        (Request { username: "system:bootstrap:abcdef".into(), ..serving() }, "serving certificate"),
        (Request { groups: BTreeSet::new(), ..serving() }, "not in system:nodes"),
        (Request { usages: texts(["digital signature", "client auth"]), ..serving() }, "usages"),
        (Request { dns: texts(["kubernetes.default.svc"]), ..serving() }, "not a name of i-1"),
        (
            Request { addresses: BTreeSet::from(["172.20.32.10".parse().unwrap()]), ..serving() },
            "not an address of i-1",
        ),
        (Request { dns: BTreeSet::new(), addresses: BTreeSet::new(), ..serving() }, "without names"),
    ];
    for (request, expected) in bad {
        let reason = reason(&request, &facts);
        assert!(reason.contains(expected), "{reason}: {request:?}");
    }
}

#[test]
fn the_instance_has_to_agree_with_ec2() {
    let instance = instance();
    let good = facts(&instance);
    let terminated = Instance { state: "terminated".into(), ..instance.clone() };
    for request in [first(), renewal(), serving()] {
        assert!(reason(&request, &Facts { instance: Some(&terminated), ..good }).contains("terminated"));
        assert!(matches!(decide(&request, &Facts { instance: None, ..good }), Verdict::Later(_)));
    }
    let pending = Instance { state: "pending".into(), ..instance.clone() };
    assert!(matches!(decide(&first(), &Facts { instance: Some(&pending), ..good }), Verdict::Later(_)));
    assert!(reason(&first(), &Facts { role: None, ..good }).contains("no instance group"));
    assert!(reason(&first(), &Facts { role: Some(Role::ControlPlane), ..good }).contains("masters"));
}

#[test]
fn a_working_nodes_name_can_not_be_taken() {
    let instance = instance();
    let facts = Facts { node_ready: true, ..facts(&instance) };
    assert!(reason(&first(), &facts).contains("somebody else"));
    assert!(approved(&renewal(), &facts), "the node itself may");
}

#[test]
fn an_old_instance_gets_no_first_certificate_unless_it_had_to_wait_for_a_master() {
    let instance = instance();
    let late = Facts { now: "2026-11-21T03:00:01Z".parse().unwrap(), ..facts(&instance) };
    assert!(reason(&first(), &late).contains("more than an hour ago"));
    assert!(approved(&renewal(), &late));
    let waited = Facts { answering_since: "2026-11-21T02:30:00Z".parse().unwrap(), ..late };
    assert!(approved(&first(), &waited));
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
    params.distinguished_name.push(DnType::CommonName, "system:node:i-1");
    params.subject_alt_names = vec![
        SanType::DnsName("i-1".try_into().unwrap()),
        SanType::IpAddress("172.20.32.11".parse().unwrap()),
    ];
    let object = |params: &CertificateParams| {
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let mut request = CertificateSigningRequest::default();
        request.spec.request = k8s_openapi::ByteString(pem.into_bytes());
        request.spec.signer_name = SERVING_SIGNER.into();
        request.spec.username = Some("system:node:i-1".into());
        request.spec.groups = Some(vec!["system:nodes".into()]);
        request.spec.usages = Some(vec!["digital signature".into(), "server auth".into()]);
        request
    };
    assert_eq!(parse(&object(&params)), Some(serving()));
    params.subject_alt_names.push(SanType::Rfc822Name("root@example.com".try_into().unwrap()));
    assert!(parse(&object(&params)).unwrap().other_names);
    params.subject_alt_names.pop();
    params.distinguished_name.push(DnType::CountryName, "DE");
    assert!(parse(&object(&params)).unwrap().other_names);
    assert_eq!(parse(&CertificateSigningRequest::default()), None);
}
