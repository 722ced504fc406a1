use snapbox::{assert_data_eq, file};

use crate::spec::{CreateOptions, create, to_yaml};

fn demo() -> CreateOptions {
    CreateOptions {
        name: "demo.example.com".to_owned(),
        zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        ..CreateOptions::default()
    }
}

fn written(options: &CreateOptions) -> String {
    match create(options) {
        Ok(manifests) => manifests.to_yaml(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn the_fewest_flags_make_a_cluster_of_one_master_and_a_node_in_each_zone() {
    assert_data_eq!(written(&demo()), file!["create/demo.yaml"]);
}

#[test]
fn what_is_created_completes_without_a_problem() {
    let complete = create(&demo()).and_then(|manifests| manifests.complete());
    let shown = complete.as_ref().map_or_else(ToString::to_string, to_yaml);
    assert_data_eq!(shown, file!["create/demo-complete.yaml"]);
}

#[test]
fn every_bad_flag_is_named() {
    let options = CreateOptions {
        name: "Demo".to_owned(),
        zones: vec!["us-east-1".to_owned()],
        control_plane_zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        control_plane_count: Some(1),
        network_cidr: vec!["10.0.0.1/16".to_owned()],
        ssh_public_key: Some("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned()),
        ..CreateOptions::default()
    };
    assert_data_eq!(written(&options), file!["create/bad-flags.txt"]);
}
