//! What needs the whole local cloud: the emulated region and real instances behind it.

use localcloud::{LocalCloud, Options, scenario};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local cloud"]
async fn a_cluster_lives_loses_its_master_keeps_its_data_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let options = scenario::Options {
        windlass: env!("CARGO_BIN_EXE_windlass").into(),
        kubectl: scenario::kubectl().unwrap(),
        folder: folder.path().to_owned(),
    };
    let cloud = LocalCloud::start(Options::in_directory(folder.path().join("cloud"))).await.unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let lived = scenario::run(&cloud, &options, |text| sender.send(text.to_owned()).unwrap()).await;
    let unimplemented: serde_json::Value = cloud.region().get("unimplemented").await.unwrap();
    cloud.stop().await.unwrap();
    drop(sender);
    let told: Vec<String> = receiver.iter().collect();
    assert_eq!(unimplemented, serde_json::json!([]), "the region was asked for what it doesn't implement");
    let timings = lived.unwrap_or_else(|error| panic!("{}\n{error:#}", told.join("\n")));
    let out = concat!(env!("CARGO_MANIFEST_DIR"), "/out");
    std::fs::create_dir_all(out).unwrap();
    std::fs::write(format!("{out}/timings.json"), serde_json::to_string_pretty(&timings).unwrap()).unwrap();
}
