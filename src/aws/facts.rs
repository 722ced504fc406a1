//! Facts: everything a decision needs to know of AWS, gathered before anything is planned.

mod discovery;
mod discovery_error;
mod error;
mod external_load_balancer_error;
mod external_load_balancers;
mod image_parameter_problem;
mod image_parameters;
mod image_versions;
mod kms_keys;
mod machine_types;
mod network;
mod network_error;
mod network_ipv6;
mod security_groups;

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Image as Ami, ImageState};
use futures::future::try_join_all;
use futures::try_join;
use serde::{Deserialize, Serialize};
use windlass_bootstrap::config::{
    CONFIG_VERSION, EXTENDED_VERSION, GROUP_SETTINGS_VERSION, JOINING_VERSION, LIFECYCLE_VERSION,
    NODE_CONFIG_VERSIONS,
};

pub use self::discovery::Discovery;
use self::discovery::discovery;
pub use self::discovery_error::DiscoveryError;
pub use self::error::FactsError;
pub use self::external_load_balancer_error::ExternalLoadBalancerError;
use self::external_load_balancers::check_external_load_balancers;
pub use self::image_parameter_problem::ImageParameterProblem;
use self::image_parameters::image_parameters;
pub use self::image_versions::{ImageVersions, image_versions};
use self::kms_keys::kms_keys;
use self::machine_types::machine_types;
pub use self::network::ExistingNetwork;
pub use self::network_error::ExistingNetworkError;
use self::security_groups::security_groups;
use super::hosted_zone::{self, HostedZone};
use super::tags::{
    IMAGE_ARCHITECTURE, IMAGE_ETCD_VERSION, IMAGE_KUBERNETES_VERSION, IMAGE_NODE_CONFIG, filter,
};
use super::{Caller, Clients, During};
use crate::spec::cluster::{Cluster, EbsVolume, InstanceGroup};
use crate::spec::shape::nearest;

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The account's number.
    pub account: String,
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// Such as `eu-west-1`.
    pub region: String,
    /// The image of each instance group, by the group's name.
    pub images: BTreeMap<String, Image>,
    /// The hosted zone, where the specification names one.
    pub hosted_zone: Option<HostedZone>,
    /// The ARN of each KMS key that the specification names by an id or an alias, by what is written there.
    pub kms_keys: BTreeMap<String, String>,
    /// The part of the network that exists without the cluster.
    pub existing_network: ExistingNetwork,
    /// Where service accounts' discovery documents are published, where the specification says it.
    pub discovery: Option<Discovery>,
}

impl Facts {
    /// The ARN of a KMS key, as volumes are described with it.
    pub fn kms_key(&self, written: &str) -> String {
        self.kms_keys.get(written).map_or(written, String::as_str).to_owned()
    }

    /// A volume whose key, where it has one of its own, is named by its ARN.
    pub fn with_key_arn(&self, volume: &EbsVolume) -> EbsVolume {
        EbsVolume { kms_key: volume.kms_key.as_ref().map(|key| self.kms_key(key)), ..volume.clone() }
    }
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The AMI's id.
    pub id: String,
    /// As its owner calls it; several images may have one.
    pub name: String,
    /// The device name of its root volume.
    pub root_device: String,
}

/// Finds out what the specification's plan needs to know, all of it at once.
///
/// # Errors
///
/// Fails where the specification can't be made here and now: no such zone, machine type, image, hosted zone or key; and
/// with what AWS said.
pub async fn gather(cluster: &Cluster, clients: &Clients) -> Result<Facts, FactsError> {
    let parameters = image_parameters(cluster, clients).await?;
    let groups = groups_by_image(cluster, &parameters);
    let found = groups.keys().map(|image| find_images(clients, image, &cluster.kubernetes_version));
    let (identity, (), (), (), machines, hosted_zone, kms_keys, existing_network, discovery, found) = try_join!(
        caller(clients),
        check_zones(cluster, clients),
        security_groups(cluster, clients),
        check_external_load_balancers(cluster, clients),
        machine_types(cluster, clients),
        hosted_zone(cluster, clients),
        kms_keys(cluster, clients),
        network::existing_network(cluster, clients),
        Box::pin(discovery(cluster, clients)),
        try_join_all(found),
    )?;
    let (partition, account) = identity;
    let mut images = BTreeMap::new();
    for ((meant, groups), found) in groups.iter().zip(&found) {
        for group in groups {
            let architecture = machines.get(&group.machine_type).copied().unwrap_or(AMD64);
            let ours = Candidates { account: &account, meant, found };
            images.insert(group.name.clone(), choose(cluster, group, architecture, &ours)?);
        }
    }
    let region = cluster.region.clone();
    Ok(Facts { account, partition, region, images, hosted_zone, kms_keys, existing_network, discovery })
}

/// EC2's word and ours for an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Architecture {
    ec2: &'static str,
    ours: &'static str,
}

const AMD64: Architecture = Architecture { ec2: "x86_64", ours: "amd64" };
const ARM64: Architecture = Architecture { ec2: "arm64", ours: "arm64" };

/// The partition and the account of the credentials.
pub async fn caller(clients: &Clients) -> Result<(String, String), FactsError> {
    let Caller { partition, account } = clients.caller().await?;
    Ok((partition, account))
}

/// The hosted zone that the specification names, in which the API's name is free or the cluster's.
async fn hosted_zone(cluster: &Cluster, clients: &Clients) -> Result<Option<HostedZone>, FactsError> {
    let Some(api) = &cluster.api.dns else { return Ok(None) };
    Ok(Some(hosted_zone::find(clients, api, cluster).await?))
}

/// Checks that a region is one, and that the account has turned it on. The clients are of any region that is.
pub async fn check_region(region: &str, clients: &Clients) -> Result<(), FactsError> {
    let call = clients.ec2.describe_regions().all_regions(true);
    let answer = call.send().await.during("ec2", "DescribeRegions", region)?;
    let regions = answer.regions();
    match regions.iter().find(|known| known.region_name() == Some(region)) {
        Some(known) if known.opt_in_status() == Some("not-opted-in") => {
            Err(FactsError::RegionOff { region: region.to_owned() })
        }
        Some(_) => Ok(()),
        None => {
            let near = nearest(region, regions.iter().filter_map(|known| known.region_name()));
            Err(FactsError::NoRegion { region: region.to_owned(), near: near.map(str::to_owned) })
        }
    }
}

/// Checks that the subnets' zones are of the region and can be used.
pub async fn check_zones(cluster: &Cluster, clients: &Clients) -> Result<(), FactsError> {
    let call = clients.ec2.describe_availability_zones();
    let answer = call.send().await.during("ec2", "DescribeAvailabilityZones", &cluster.region)?;
    let usable: Vec<String> = answer
        .availability_zones()
        .iter()
        .filter(|zone| zone.state().is_none_or(|state| state.as_str() == "available"))
        .filter(|zone| zone.zone_type().is_none_or(|kind| kind == "availability-zone"))
        .filter_map(|zone| zone.zone_name().map(str::to_owned))
        .collect();
    match cluster.subnets.iter().find(|subnet| !usable.contains(&subnet.zone)) {
        None => Ok(()),
        Some(subnet) => {
            Err(FactsError::Zone { zone: subnet.zone.clone(), region: cluster.region.clone(), usable })
        }
    }
}

/// Each image as written, or by the id that its parameter holds, and the groups that want it: one look-up for each.
fn groups_by_image<'c>(
    cluster: &'c Cluster,
    parameters: &BTreeMap<String, String>,
) -> BTreeMap<String, Vec<&'c InstanceGroup>> {
    let mut groups: BTreeMap<String, Vec<&InstanceGroup>> = BTreeMap::new();
    for group in &cluster.instance_groups {
        let image = parameters.get(&group.image).unwrap_or(&group.image);
        groups.entry(image.clone()).or_default().push(group);
    }
    groups
}

/// How an image is looked for.
#[derive(Debug, PartialEq, Eq)]
enum Search {
    Id(String),
    /// Owner and name, which may hold `*`.
    Name(String, String),
}

/// An AMI's id, `owner/name`, or nothing: windlass's own images of the account for this Kubernetes.
fn search(image: &str, kubernetes_version: &str) -> Search {
    if image.is_empty() {
        return Search::Name("self".to_owned(), format!("windlass-{kubernetes_version}-debian-13-*"));
    }
    if image.starts_with("ami-") {
        return Search::Id(image.to_owned());
    }
    let (owner, name) = image.split_once('/').unwrap_or(("self", image));
    Search::Name(owner.to_owned(), name.to_owned())
}

/// The images that a specification can mean by what it says.
struct FoundImages {
    /// What is written can mean these.
    candidates: Vec<Ami>,
    /// It could mean these, if their owner were written; looked for only where there are none of the others.
    elsewhere: Vec<Ami>,
}

async fn find_images(
    clients: &Clients,
    image: &str,
    kubernetes_version: &str,
) -> Result<FoundImages, FactsError> {
    let candidates = candidates(clients, image, kubernetes_version).await?;
    let elsewhere = if candidates.is_empty() { shared_with_us(clients, image).await? } else { Vec::new() };
    Ok(FoundImages { candidates, elsewhere })
}

/// All images that what is written can mean.
async fn candidates(
    clients: &Clients,
    image: &str,
    kubernetes_version: &str,
) -> Result<Vec<Ami>, FactsError> {
    let call = clients.ec2.describe_images();
    let call = match search(image, kubernetes_version) {
        Search::Id(id) => call.image_ids(id),
        Search::Name(owner, name) => call.owners(owner).filters(filter("name", &name)),
    };
    match call.into_paginator().items().send().try_collect().await.during("ec2", "DescribeImages", image) {
        Ok(images) => Ok(images
            .into_iter()
            .filter(|i| i.state().is_none_or(|state| *state == ImageState::Available))
            .collect()),
        // An id that isn't there, or isn't one.
        Err(error) if error.code.as_deref().is_some_and(|code| code.starts_with("InvalidAMIID")) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// Images of a name that is looked for in the own account, which other accounts share with this one. They are only named:
/// anybody can share an image of any name, so that one is used only where its owner is written.
async fn shared_with_us(clients: &Clients, image: &str) -> Result<Vec<Ami>, FactsError> {
    let Some(name) = image.strip_prefix("self/") else { return Ok(Vec::new()) };
    let call = clients.ec2.describe_images().executable_users("self").filters(filter("name", name));
    let images = call.into_paginator().items().send().try_collect().await;
    Ok(images.during("ec2", "DescribeImages", image)?)
}

/// What an image is chosen from.
struct Candidates<'a> {
    /// The account of the cluster.
    account: &'a str,
    /// What was looked for: as written, or the id that the parameter holds which is written.
    meant: &'a str,
    /// What was found.
    found: &'a FoundImages,
}

/// The Kubernetes version that an image holds: what its tag says, or its name.
fn kubernetes_version(image: &Ami, account: &str) -> Option<String> {
    let by_tag = tag(image, IMAGE_KUBERNETES_VERSION);
    by_tag.or_else(|| version(name_of_shared(image, account)?.strip_prefix("windlass-")?))
}

/// The etcd version that an image holds: what its tag says, or its name. Images that don't say it are older than the
/// documents that windlass writes today.
fn etcd_version(image: &Ami, account: &str) -> Option<String> {
    let by_tag = tag(image, IMAGE_ETCD_VERSION);
    by_tag.or_else(|| version(name_of_shared(image, account)?.split_once(NAMES_ETCD)?.1))
}

/// What stands before etcd's version in the name of an image: `windlass-1.36.3-debian-13-amd64-etcd-3.6.16-<time>`.
const NAMES_ETCD: &str = "-etcd-";

/// The name of an image that another account shares. An account doesn't see such an image's tags (EC2 User Guide, "Share
/// an AMI"); its name, which windlass's builds give, it sees. Of an own image the tags count: they can be looked at.
fn name_of_shared<'i>(image: &'i Ami, account: &str) -> Option<&'i str> {
    let is_shared = image.owner_id().is_some_and(|owner| owner != account);
    image.name().filter(|name| is_shared && name.starts_with("windlass-"))
}

/// The version that a part of a name begins with.
fn version(part: &str) -> Option<String> {
    let version = part.split('-').next()?;
    let is_version = version.split('.').count() == 3 && version.starts_with(|c: char| c.is_ascii_digit());
    is_version.then(|| version.to_owned())
}

/// The newest image of the right architecture; one that doesn't hold what the specification says is an error.
fn choose(
    cluster: &Cluster,
    group: &InstanceGroup,
    wanted: Architecture,
    candidates: &Candidates<'_>,
) -> Result<Image, FactsError> {
    let newest = |images: Vec<&Ami>| {
        images.into_iter().max_by_key(|image| image.creation_date().map(str::to_owned)).cloned()
    };
    let images = &candidates.found.candidates;
    let fitting = images.iter().filter(|image| architecture(image) == wanted.ours).collect();
    let Some(image) = newest(fitting) else {
        let other = newest(images.iter().collect());
        return Err(misfit(cluster, group, wanted, other, candidates));
    };
    let id = image.image_id().unwrap_or_default().to_owned();
    let found = kubernetes_version(&image, candidates.account);
    let specified = cluster.version_of(group);
    if found.as_deref() != Some(specified) {
        return Err(FactsError::KubernetesVersion {
            group: group.name.clone(),
            image: id,
            found,
            wanted: specified.to_owned(),
        });
    }
    let etcd = etcd_version(&image, candidates.account);
    let etcd = etcd.ok_or_else(|| old_image(group, &image, candidates.account))?;
    check_etcd(group, &id, &etcd)?;
    check_agent(cluster, group, &image, candidates.account)?;
    Ok(Image {
        id,
        name: image.name().unwrap_or_default().to_owned(),
        root_device: image.root_device_name().unwrap_or("/dev/xvda").to_owned(),
    })
}

/// An older agent refuses a node configuration of a newer version, and the master would not come up. Of an image that
/// another account shares it can't be known: then its agent says it.
fn check_agent(
    cluster: &Cluster,
    group: &InstanceGroup,
    image: &Ami,
    account: &str,
) -> Result<(), FactsError> {
    let wanted = cluster.node_config_version(group);
    let age = |version: &str| NODE_CONFIG_VERSIONS.iter().position(|known| *known == version);
    let is_shared = name_of_shared(image, account).is_some();
    let read = tag(image, IMAGE_NODE_CONFIG);
    // A version that isn't known is newer than all that are.
    let reads = read.map_or(age(CONFIG_VERSION), |read| age(&read).or(Some(usize::MAX)));
    if is_shared || reads >= age(wanted) {
        return Ok(());
    }
    let unknown = match wanted {
        JOINING_VERSION => "would have etcd's new members begin a cluster of their own",
        EXTENDED_VERSION | LIFECYCLE_VERSION => "doesn't know all that the specification asks for",
        GROUP_SETTINGS_VERSION => "knows neither `additionalUserData` nor `sysctlParameters`",
        _ => "knows neither several etcd clusters, nor what their pods request, nor intervals",
    };
    let lacks = format!("it has no tag `{IMAGE_NODE_CONFIG}: {wanted}`, so that its agent {unknown}");
    Err(old_image_that_lacks(group, image, lacks))
}

/// The error of an image that an older windlass has built: its agent refuses fields that it doesn't know, in the node
/// configuration of any group, so that neither a master nor a node would boot from it.
fn old_image(group: &InstanceGroup, image: &Ami, account: &str) -> FactsError {
    let lacks = if name_of_shared(image, account).is_some() {
        format!(
            "another account shares it, so that its tags can't be seen, and its name doesn't say which etcd it holds, as \
             `windlass-<Kubernetes>-debian-<release>-<architecture>{NAMES_ETCD}<etcd>-<time>` does"
        )
    } else {
        format!("it has no tag `{IMAGE_ETCD_VERSION}`")
    };
    old_image_that_lacks(group, image, lacks)
}

fn old_image_that_lacks(group: &InstanceGroup, image: &Ami, lacks: String) -> FactsError {
    FactsError::OldImage {
        group: group.name.clone(),
        image: image.image_id().unwrap_or_default().to_owned(),
        name: image.name().unwrap_or("without a name").to_owned(),
        lacks,
    }
}

/// A master runs the etcd that its image holds.
fn check_etcd(group: &InstanceGroup, image: &str, found: &str) -> Result<(), FactsError> {
    let mut held = group.master().into_iter().flat_map(|master| &master.members).map(|held| &held.etcd);
    match held.find(|etcd| etcd.version != found) {
        None => Ok(()),
        Some(etcd) => Err(FactsError::EtcdVersion {
            group: group.name.clone(),
            image: image.to_owned(),
            found: found.to_owned(),
            wanted: etcd.version.clone(),
            etcd: etcd.name.clone(),
        }),
    }
}

fn misfit(
    cluster: &Cluster,
    group: &InstanceGroup,
    wanted: Architecture,
    other: Option<Ami>,
    candidates: &Candidates<'_>,
) -> FactsError {
    let mut elsewhere = candidates.found.elsewhere.iter();
    let shared = elsewhere.find_map(|image| Some(format!("{}/{}", image.owner_id()?, image.name()?)));
    match other {
        Some(image) => FactsError::Architecture {
            group: group.name.clone(),
            image: image.image_id().unwrap_or_default().to_owned(),
            found: architecture(&image),
            machine_type: group.machine_type.clone(),
            wanted: wanted.ours,
        },
        None => FactsError::NoImage {
            group: group.name.clone(),
            image: match search(candidates.meant, &cluster.kubernetes_version) {
                Search::Id(id) if id != group.image => format!("{id}` of `{}", group.image),
                Search::Id(id) => id,
                Search::Name(owner, name) => format!("{owner}/{name}"),
            },
            architecture: wanted.ours,
            advice: shared.map_or_else(|| format!(
                "build one with packer (see packer/README.md), or name another: `windlass edit instancegroup {}`, \
                 `image: <AMI id>` or `image: <owner>/<name>`",
                group.name
            ), |shared| format!(
                "another account shares one: if you trust it, write `image: {shared}` with `windlass edit instancegroup {}`",
                group.name
            )),
        },
    }
}

/// Our word for the image's architecture: what its tag says, else what EC2 says.
fn architecture(image: &Ami) -> String {
    tag(image, IMAGE_ARCHITECTURE).unwrap_or_else(|| {
        let ec2 =
            image.architecture().map(aws_sdk_ec2::types::ArchitectureValues::as_str).unwrap_or_default();
        [AMD64, ARM64].iter().find(|known| known.ec2 == ec2).map_or(ec2, |known| known.ours).to_owned()
    })
}

fn tag(image: &Ami, key: &str) -> Option<String> {
    image.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use windlass_bootstrap::config::SEVERAL_ETCD_VERSION;

    use super::*;
    use crate::spec::cluster::{Instances, UserDataPart};
    use crate::spec::non_empty::NonEmpty;

    #[test]
    fn the_versions_of_an_image_that_another_account_shares_are_in_its_name_as_its_tags_are_not_seen() {
        let image = |owner: &str, name: &str| Ami::builder().owner_id(owner).name(name).build();
        let versions = |owner, name| {
            let image = image(owner, name);
            (kubernetes_version(&image, "123456789012"), etcd_version(&image, "123456789012"))
        };
        let some = |version: &str| Some(version.to_owned());
        let name = "windlass-1.36.3-debian-13-amd64-etcd-3.6.16-20261121190000";
        assert_eq!(versions("210987654321", name), (some("1.36.3"), some("3.6.16")));
        assert_eq!(versions("123456789012", name), (None, None), "of an own image the tags count");
        assert_eq!(versions("210987654321", "windlass-1.36.3-debian-13-amd64-1"), (some("1.36.3"), None));
        assert_eq!(versions("210987654321", "windlass-debian"), (None, None));
        assert_eq!(versions("210987654321", "ubuntu-24.04-etcd-3.6.16"), (None, None));
    }

    #[test]
    fn an_image_is_an_id_or_an_owner_and_a_name_or_windlass_own() {
        assert_eq!(search("ami-1", "1.36.3"), Search::Id("ami-1".to_owned()));
        assert_eq!(search("123/my-*", "1.36.3"), Search::Name("123".to_owned(), "my-*".to_owned()));
        let own = Search::Name("self".to_owned(), "windlass-1.36.3-debian-13-*".to_owned());
        assert_eq!(search("", "1.36.3"), own);
    }

    fn sample() -> Cluster {
        let text = include_str!("../../tests/scenarios/minimal/cluster.yaml").to_owned();
        let source = crate::spec::Source { name: "cluster.yaml".to_owned(), text };
        crate::spec::read(vec![source]).unwrap().resolve().unwrap()
    }

    const ACCOUNT: &str = "123456789012";

    /// An image of the account for Kubernetes 1.36.3, with what its tag says of etcd.
    fn own_image(etcd: Option<&str>) -> Ami {
        let tag = |key: &str, value: &str| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build();
        let image = Ami::builder().image_id("ami-1").name("windlass-1.36.3-debian-13-amd64-1");
        let image = image.owner_id(ACCOUNT).tags(tag(IMAGE_KUBERNETES_VERSION, "1.36.3"));
        let image = image.tags(tag(IMAGE_ARCHITECTURE, "amd64"));
        etcd.map_or(image.clone(), |etcd| image.tags(tag(IMAGE_ETCD_VERSION, etcd))).build()
    }

    fn chosen(cluster: &Cluster, group: &InstanceGroup, image: Ami) -> Result<Image, FactsError> {
        let found = FoundImages { candidates: vec![image], elsewhere: Vec::new() };
        choose(cluster, group, AMD64, &Candidates { account: ACCOUNT, meant: &group.image, found: &found })
    }

    #[test]
    fn an_image_with_another_etcd_is_refused_for_masters_before_anything_is_planned() {
        let cluster = sample();
        let [masters, nodes] = cluster.instance_groups.as_slice() else { panic!("two groups") };
        let choose = |group, etcd| chosen(&cluster, group, own_image(Some(etcd)));
        assert_eq!(choose(masters, "3.6.16").unwrap().id, "ami-1");
        assert_eq!(choose(nodes, "3.5.21").unwrap().id, "ami-1", "nodes run no etcd");
        let error = choose(masters, "3.5.21").unwrap_err();
        assert_eq!(
            error.to_string(),
            "instance group `control-plane-us-east-1a`: image `ami-1` holds etcd 3.5.21, the specification says etcd \
             3.6.16 for the etcd cluster `main`"
        );
        assert!(error.hint().unwrap().contains("version: 3.5.21"));
    }

    #[test]
    fn a_master_with_several_etcd_clusters_needs_an_image_whose_agent_knows_of_them() {
        let mut cluster = sample();
        let Instances::ControlPlane(master) = &mut cluster.instance_groups[0].instances else {
            panic!("a master")
        };
        let mut events = master.members.first().clone();
        events.etcd.name = "events".to_owned();
        master.members = NonEmpty::of([master.members.first().clone(), events]).unwrap();
        let [masters, nodes] = cluster.instance_groups.as_slice() else { panic!("two groups") };
        let error = chosen(&cluster, masters, own_image(Some("3.6.16"))).unwrap_err();
        let text = format!("{error} {}", error.hint().unwrap());
        assert!(
            text.contains("`windlass.dev/node-config: windlass/v2`") && text.contains("packer build"),
            "{text}"
        );
        chosen(&cluster, nodes, own_image(Some("3.6.16"))).unwrap();
        let mut newer = own_image(Some("3.6.16"));
        let tag =
            aws_sdk_ec2::types::Tag::builder().key(IMAGE_NODE_CONFIG).value(SEVERAL_ETCD_VERSION).build();
        newer.tags.get_or_insert_default().push(tag);
        chosen(&cluster, masters, newer).unwrap();
    }

    #[test]
    fn a_group_with_parts_of_user_data_needs_an_image_whose_agent_finds_its_own() {
        let mut cluster = sample();
        let content = "echo hello".to_owned();
        let (name, media_type) = ("hello.sh".to_owned(), "text/x-shellscript".to_owned());
        cluster.instance_groups[1].user_data = vec![UserDataPart { name, media_type, content }];
        let image = |reads: &str| {
            let mut image = own_image(Some("3.6.16"));
            let tag = aws_sdk_ec2::types::Tag::builder().key(IMAGE_NODE_CONFIG).value(reads).build();
            image.tags.get_or_insert_default().push(tag);
            image
        };
        let [masters, nodes] = cluster.instance_groups.as_slice() else { panic!("two groups") };
        for old in [image(SEVERAL_ETCD_VERSION), own_image(Some("3.6.16"))] {
            let error = chosen(&cluster, nodes, old).unwrap_err().to_string();
            assert!(error.contains("windlass/v3") && error.contains("additionalUserData"), "{error}");
        }
        chosen(&cluster, nodes, image(GROUP_SETTINGS_VERSION)).unwrap();
        chosen(&cluster, nodes, image("windlass/v9")).unwrap();
        chosen(&cluster, masters, own_image(Some("3.6.16"))).unwrap();
    }

    #[test]
    fn what_builds_images_tags_them_with_the_newest_node_configuration_that_the_agent_reads() {
        for build in [
            include_str!("../../packer/variables.pkr.hcl"),
            include_str!("../../tests/localcloud/image/build"),
        ] {
            let line = build.lines().find(|line| line.contains(IMAGE_NODE_CONFIG)).unwrap();
            assert!(line.contains(&format!("\"{}\"", NODE_CONFIG_VERSIONS.last().unwrap())), "{line}");
        }
    }

    #[test]
    fn an_image_that_an_older_windlass_built_is_refused_for_masters_and_nodes() {
        let cluster = sample();
        let shared = Ami::builder().image_id("ami-2").name("windlass-1.36.3-debian-13-amd64-1");
        let shared = shared.owner_id("210987654321").architecture("x86_64".into()).build();
        for group in &cluster.instance_groups {
            let error = chosen(&cluster, group, own_image(None)).unwrap_err();
            let text = error.to_string();
            for words in [&group.name, "ami-1", "windlass-1.36.3-debian-13-amd64-1", IMAGE_ETCD_VERSION] {
                assert!(text.contains(words), "{words}: {text}");
            }
            let hint = error.hint().unwrap();
            assert!(
                hint.contains("packer build") && hint.contains(&format!("edit instancegroup {}", group.name))
            );
            let error = chosen(&cluster, group, shared.clone()).unwrap_err().to_string();
            assert!(error.contains("ami-2") && error.contains("its tags can't be seen"), "{error}");
        }
    }
}
