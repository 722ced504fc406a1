//! What needs the whole local cloud: the emulated region and real instances behind it.

use std::fs;

use base64::Engine as _;
use localcloud::scenario::{self, ForgedRequest, NetworkPlugin, Timings};
use localcloud::{LocalCloud, Options};
use windlass::assets::addons;
use windlass::spec::{CreateOptions, create};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn a_cluster_lives_loses_its_master_keeps_its_data_and_leaves_nothing_behind() {
    let timings = live(async |cloud, options, say| scenario::run(cloud, options, say).await).await;
    keep(&timings, "timings");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn every_node_returns_by_itself_after_its_certificate_has_expired_while_the_api_or_the_machine_was_off()
{
    live(async |cloud, options, say| scenario::outage::run(cloud, options, say).await).await;
}

/// What the operator brings is flannel too, because its image is there; windlass knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn a_cluster_without_a_network_waits_for_the_operator_s_own() {
    let manifest = flannel();
    let plugin =
        NetworkPlugin { manifest: &manifest, configure: include_str!("with_local_cloud/own-network.sh") };
    live(async |cloud, options, say| scenario::run_with_own_network(cloud, options, plugin, say).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn the_smallest_cluster_runs_pods_on_its_master_and_a_group_of_nodes_comes_and_goes() {
    let request = forged_request();
    let forged = ForgedRequest(&request);
    live(async |cloud, options, say| scenario::run_smallest(cloud, options, forged, say).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn a_private_cluster_lives_behind_nat_gateways_a_bastion_and_load_balancers_that_drain() {
    live(async |cloud, options, say| scenario::run_private(cloud, options, say).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn three_masters_are_one_cluster_that_outlives_each_of_them() {
    let timings =
        live(async |cloud, options, say| scenario::run_three_masters(cloud, options, say).await).await;
    keep(&timings, "three-masters");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn an_api_server_beside_the_master_answers_while_the_master_s_own_is_gone() {
    live(async |cloud, options, say| scenario::run_api_servers(cloud, options, say).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn nodes_that_ec2_or_their_group_takes_are_drained_first_as_a_disruption_budget_allows() {
    live(async |cloud, options, say| scenario::run_interrupted(cloud, options, say).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn an_instance_of_a_warm_pool_is_made_ready_and_stopped_and_joins_when_the_group_is_scaled_out() {
    let timings =
        live(async |cloud, options, say| scenario::run_with_warm_pool(cloud, options, say).await).await;
    keep(&timings, "warm-pool");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn names_in_a_private_zone_lead_to_the_api_from_inside_of_the_vpc_alone() {
    live(async |cloud, options, say| scenario::run_with_private_names(cloud, options, say).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn a_cluster_is_restored_from_a_backup_after_a_mistake_and_after_all_of_its_control_plane_is_gone() {
    let timings = live(async |cloud, options, say| scenario::run_restored(cloud, options, say).await).await;
    keep(&timings, "restored");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn a_master_becomes_three_of_which_one_comes_back_without_its_volumes_and_two_by_a_backup() {
    let timings =
        live(async |cloud, options, say| scenario::run_lost_volumes(cloud, options, say).await).await;
    keep(&timings, "lost-volumes");
}

/// What a kubelet of the name `i-0*` would ask for, which in a filter of EC2 stands for most instances.
fn forged_request() -> String {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, "system:node:i-0*");
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    base64::prelude::BASE64_STANDARD.encode(request.pem().unwrap())
}

/// Keeps what was measured, as `out/<name>.json`.
fn keep(timings: &Timings, name: &str) {
    let out = concat!(env!("CARGO_MANIFEST_DIR"), "/out");
    fs::create_dir_all(out).unwrap();
    fs::write(format!("{out}/{name}.json"), serde_json::to_string_pretty(timings).unwrap()).unwrap();
}

/// Lives a scenario in a cloud of its own, and fails with everything that it told.
async fn live(
    life: impl AsyncFnOnce(&LocalCloud, &scenario::Options, &dyn Fn(&str)) -> anyhow::Result<Timings>,
) -> Timings {
    let folder = tempfile::tempdir().unwrap();
    let options = scenario::Options {
        windlass: env!("CARGO_BIN_EXE_windlass").into(),
        kubectl: scenario::kubectl().unwrap(),
        folder: folder.path().to_owned(),
    };
    let cloud = LocalCloud::start(Options::in_directory(folder.path().join("cloud"))).await.unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let lived = life(&cloud, &options, &|text| sender.send(text.to_owned()).unwrap()).await;
    let unimplemented = cloud.region().unimplemented().await.unwrap();
    cloud.stop().await.unwrap();
    drop(sender);
    let told: Vec<String> = receiver.iter().collect();
    assert!(
        unimplemented.is_empty(),
        "the region was asked for what it doesn't implement: {unimplemented:?}"
    );
    lived.unwrap_or_else(|error| panic!("{}\n{error:#}", told.join("\n")))
}

fn flannel() -> String {
    let options = CreateOptions {
        name: "demo.example.com".to_owned(),
        zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        networking: Some("flannel".to_owned()),
        ..CreateOptions::default()
    };
    let cluster = create(&options).unwrap().resolve().unwrap();
    addons::render(&cluster).unwrap().into_iter().find(|addon| addon.name == "flannel").unwrap().manifest
}
