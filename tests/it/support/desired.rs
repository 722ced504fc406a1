//! What is made of a specification where there is no AWS: the facts that AWS would tell, the place of the state and the keys
//! are always the same. An operation (`windlass::ops::planning`) asks for all of them; here is the only place where they are
//! written by hand.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use windlass::assets::addons;
use windlass::assets::user_data::StateLocation;
use windlass::aws::facts::{Discovery, ExistingNetwork, Facts, Image};
use windlass::aws::hosted_zone::HostedZone;
use windlass::cloud::state_object::{Content, StateObject};
use windlass::model::{self, Desired, Inputs, Keys};
use windlass::spec::cluster::{Cluster, Egress, NatAddress};
use windlass_bootstrap::keyset::Secret;

const SECRET: &str = "-----BEGIN PRIVATE KEY-----\nthis is a secret\n-----END PRIVATE KEY-----";

/// What is made of a specification.
pub(crate) fn desired_of(cluster: &Cluster, kms_key: Option<String>) -> Desired {
    let facts = facts(cluster);
    let (url, region) = ("s3://clusters/teams/a".to_owned(), "eu-central-1".to_owned());
    let state = StateLocation { url, region, owner: "123456789012".to_owned(), kms_key };
    let addons = addons::render(cluster).unwrap();
    let keys = keys(cluster);
    model::build(&Inputs {
        cluster,
        uid: "0123456789abcdef0123456789abcdef",
        facts: &facts,
        state: &state,
        keys: &keys,
        addons: &addons,
        additional_objects: &[],
    })
    .unwrap()
}

fn facts(cluster: &Cluster) -> Facts {
    let image = Image {
        id: "ami-0123456789abcdef0".to_owned(),
        name: "windlass".to_owned(),
        root_device: "/dev/xvda".to_owned(),
    };
    Facts {
        account: "123456789012".to_owned(),
        partition: partition(&cluster.region).to_owned(),
        region: cluster.region.clone(),
        kms_keys: BTreeMap::new(),
        existing_network: existing_network(cluster),
        discovery: discovery(cluster),
        images: cluster.instance_groups.iter().map(|group| (group.name.clone(), image.clone())).collect(),
        hosted_zone: cluster
            .api
            .dns
            .as_ref()
            .map(|_| HostedZone { id: "Z0123456789ABCDEFGHIJ".to_owned(), name: "example.com".to_owned() }),
    }
}

/// AWS's partition that a region is in, as `GetCallerIdentity` tells it.
fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// An existing VPC with an Internet gateway, and every address that is named.
fn existing_network(cluster: &Cluster) -> ExistingNetwork {
    let gateway = || "igw-0123456789abcdef0".to_owned();
    let allocation = |address: &Ipv4Addr| (*address, "eipalloc-0fedcba9876543210".to_owned());
    let addresses = cluster.subnets.iter().filter_map(|subnet| match &subnet.egress {
        Egress::NatGateway(NatAddress::Address(address)) => Some(address),
        _ => None,
    });
    ExistingNetwork {
        internet_gateway: cluster.network.existing_vpc.as_ref().map(|_| gateway()),
        ipv6_block: cluster
            .network
            .existing_vpc
            .as_ref()
            .and_then(|_| "2600:1f18:aaaa:bb00::/56".parse().ok()),
        egress_only_gateway: cluster
            .network
            .existing_vpc
            .as_ref()
            .map(|_| "eigw-0123456789abcdef0".to_owned()),
        allocations: addresses.map(allocation).collect(),
    }
}

/// A bucket in the cluster's region with a policy that lets everybody in.
fn discovery(cluster: &Cluster) -> Option<Discovery> {
    let store = cluster.service_accounts.discovery_store.as_ref()?;
    Some(Discovery { url: store.url(&cluster.region), by_acl: false })
}

fn keys(cluster: &Cluster) -> Keys {
    let object = StateObject {
        name: windlass_bootstrap::keys::keyset(&cluster.name, "kubernetes-ca"),
        describes: "the keyset kubernetes-ca".to_owned(),
        names: [].into(),
        content: Some(Content::Secret { keys: vec!["1".to_owned()], text: Secret::new(SECRET) }),
    };
    Keys {
        kubernetes_ca: "-----BEGIN CERTIFICATE-----\n…\n".to_owned(),
        service_account_jwks: "{\"keys\": [\"…\"]}\n".to_owned(),
        kubernetes_thumbprints: vec!["0123456789abcdef0123456789abcdef01234567".to_owned()],
        objects: vec![object],
    }
}
