use rcgen::{BasicConstraints, IsCa};

use super::*;
use crate::contract::config::CONFIG_VERSION;
use crate::contract::keyset::Secret;

fn authority(name: &str) -> Keyset {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let public = params.self_signed(&key).unwrap().pem();
    let key = Key { id: "1".into(), public, private: Secret::new(key.serialize_pem()) };
    Keyset { version: CONFIG_VERSION.into(), name: name.into(), primary: "1".into(), keys: vec![key] }
}

fn leaf() -> Leaf {
    Leaf::client("kube-apiserver", "server", "kube-apiserver", None).serving(
        Usage::Server,
        ["kubernetes".to_owned()],
        ["127.0.0.1".parse().unwrap(), "203.0.113.7".parse().unwrap()],
    )
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

#[test]
fn a_leaf_is_made_once_and_then_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::folder(folder.path());
    let authority = authority("kubernetes");
    assert!(ensure_leaf(&host, &authority, &leaf(), now()).unwrap());
    assert!(!ensure_leaf(&host, &authority, &leaf(), now()).unwrap());
}

#[test]
fn a_leaf_is_renewed_after_two_thirds_of_its_life() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::folder(folder.path());
    let authority = authority("kubernetes");
    assert!(ensure_leaf(&host, &authority, &leaf(), now()).unwrap());
    let days = |days: i64| Timestamp::from_second(now().as_second() + days * 24 * 3600).unwrap();
    assert!(!ensure_leaf(&host, &authority, &leaf(), days(59)).unwrap());
    assert!(ensure_leaf(&host, &authority, &leaf(), days(61)).unwrap());
    assert!(!ensure_leaf(&host, &authority, &leaf(), days(62)).unwrap());
}

#[test]
fn another_address_name_subject_usage_or_authority_makes_a_new_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::folder(folder.path());
    let authority = authority("kubernetes");
    let changes: [fn(&mut Leaf); 5] = [
        |leaf| {
            leaf.addresses.insert("172.20.32.10".parse().unwrap());
        },
        |leaf| leaf.dns.clear(),
        |leaf| leaf.common_name = "x".into(),
        |leaf| leaf.organization = Some("system:nodes"),
        |leaf| leaf.usage = Usage::Peer,
    ];
    for change in changes {
        ensure_leaf(&host, &authority, &leaf(), now()).unwrap();
        let mut other = leaf();
        change(&mut other);
        assert!(ensure_leaf(&host, &authority, &other, now()).unwrap(), "{other:?}");
    }
    ensure_leaf(&host, &authority, &leaf(), now()).unwrap();
    let successor = self::authority("kubernetes");
    assert!(ensure_leaf(&host, &successor, &leaf(), now()).unwrap(), "same name, another key");
}

#[test]
fn a_certificate_whose_key_is_another_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::folder(folder.path());
    let authority = authority("kubernetes");
    ensure_leaf(&host, &authority, &leaf(), now()).unwrap();
    let key = host.path("/srv/kubernetes/kube-apiserver/server.key");
    std::fs::write(key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(ensure_leaf(&host, &authority, &leaf(), now()).unwrap());
}

#[test]
fn keys_are_readable_by_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let host = Host::folder(folder.path());
    ensure_leaf(&host, &authority("kubernetes"), &leaf(), now()).unwrap();
    let path = host.path("/srv/kubernetes/kube-apiserver/server.key");
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_certificate_shows_its_authority_behind_it_where_it_is_to_and_is_made_anew_where_that_changes() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::folder(folder.path());
    let authority = authority("kubernetes-ca");
    let shown = |shows_authority| {
        let leaf = leaf().showing_authority_if(shows_authority);
        assert!(ensure_leaf(&host, &authority, &leaf, now()).unwrap());
        assert!(!ensure_leaf(&host, &authority, &leaf, now()).unwrap(), "it is right");
        let path = host.path(root::SECRETS).join("kube-apiserver/server.crt");
        let text = std::fs::read_to_string(path).unwrap();
        (text.matches("BEGIN CERTIFICATE").count(), text.ends_with(&authority.keys[0].public))
    };
    assert_eq!([shown(false), shown(true), shown(false)], [(1, false), (2, true), (1, false)]);
}

#[test]
fn an_etcd_member_is_known_to_the_others_by_the_address_that_its_connections_come_from() {
    let config = crate::testing::master_config();
    let (primary, stable) = (Ipv4Addr::new(172, 20, 32, 4), Ipv4Addr::new(172, 20, 32, 10));
    let addresses = Addresses { primary: Some(primary), stable: Some(stable), ..Addresses::default() };
    let leaves = super::leaves(&config, &crate::testing::identity(), addresses).unwrap();
    let peers: Vec<&Leaf> = leaves.iter().filter(|leaf| leaf.usage == Usage::Peer).collect();
    assert!(!peers.is_empty());
    for peer in peers.into_iter().filter(|leaf| !leaf.addresses.contains(&Ipv4Addr::LOCALHOST.into())) {
        assert!(
            [primary, stable].iter().all(|address| peer.addresses.contains(&IpAddr::V4(*address))),
            "{peer:?}"
        );
    }
}

#[test]
fn in_an_ipv6_cluster_the_api_is_also_known_by_its_ipv6_addresses_and_etcd_is_not() {
    let mut config = crate::testing::master_config();
    config.network = crate::testing::ipv6_network();
    let identity = InstanceIdentity {
        private_address: Some(Ipv4Addr::new(172, 20, 32, 4)),
        ipv6_addresses: vec!["2001:db8::b".parse().unwrap()],
        ..crate::testing::identity()
    };
    let addresses = Addresses {
        stable: Some(Ipv4Addr::new(172, 20, 32, 10)),
        stable_ipv6: Some("2001:db8::ac14:200a".parse().unwrap()),
        ..Addresses::of(&identity, &config)
    };
    let leaves = super::leaves(&config, &identity, addresses).unwrap();
    let of = |folder: &str, name: &str| {
        let leaf = leaves.iter().find(|leaf| (leaf.folder, leaf.name) == (folder, name)).unwrap();
        leaf.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        of("kube-apiserver", "server"),
        [
            "127.0.0.1",
            "172.20.32.4",
            "172.20.32.10",
            "::1",
            "2001:db8::b",
            "2001:db8::ac14:200a",
            "fd00:5e4f:ce::1"
        ]
    );
    assert_eq!(of("kubelet", "server"), ["172.20.32.4", "2001:db8::b"]);
    assert_eq!(of("etcd", "peer"), ["172.20.32.4", "172.20.32.10"]);
    assert_eq!(of("etcd", "server"), ["127.0.0.1", "172.20.32.10"]);
}
