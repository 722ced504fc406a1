//! What is neither refused as not supported yet nor filled in by a default is told where it stands.

use serde_json::json;

use super::rules::with;
use super::{complete, told};

#[test]
fn an_internal_range_that_nothing_can_be_cut_from_is_told_at_what_is_missing() {
    let text = include_str!("good.yaml");
    let lines = text.lines().filter(|line| {
        !line.trim_start().starts_with("podCIDR:") && !line.trim_start().starts_with("serviceClusterIPRange:")
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let good = "nonMasqueradeCIDR: 100.64.0.0/10";
    assert!(text.contains(good));
    let said = told(&text.replace(good, "nonMasqueradeCIDR: 100.64.0.0/32"));
    for path in ["spec.podCIDR", "spec.serviceClusterIPRange"] {
        let expected =
            format!("{path}: no range for it can be cut from spec.nonMasqueradeCIDR (`100.64.0.0/32`)");
        assert!(said.contains(&expected), "{path}: {said}");
    }
    assert!(said.contains("hint: write a larger one there"), "{said}");
}

#[test]
fn an_empty_list_in_place_of_a_plug_in_is_no_choice_that_passes() {
    let problems = with("demo.example.com", &json!({"networking": {"flannel": null, "canal": []}}));
    let told: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), &problem.message)).collect();
    assert_eq!(told, [("spec.networking.canal", &"this plug-in is not supported yet".to_owned())]);
    assert!(problems[0].location.is_some() && problems[0].hint.is_some(), "{problems:#?}");
}

#[test]
fn a_range_that_cannot_be_read_is_told_once_and_not_again_at_what_is_cut_from_it() {
    let fields =
        json!({"networkCIDR": "10.0.0.1/8", "subnets": [{"zone": "us-east-1a"}, {"zone": "us-east-1b"}]});
    let problems = with("demo.example.com", &fields);
    let told: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(told, ["spec.networkCIDR"]);
}

#[test]
fn detailed_monitoring_is_on_where_a_group_asks_for_it_and_off_otherwise() {
    let good = include_str!("good.yaml");
    let of_nodes = |written: &str| {
        let text = good.replacen("  role: Node\n", &format!("  role: Node\n{written}"), 1);
        let cluster = complete(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let groups = cluster.instance_groups.into_iter();
        groups.map(|group| (group.name, group.detailed_monitoring)).collect::<Vec<_>>()
    };
    let groups = |nodes: bool| [("control-plane-us-east-1a".to_owned(), false), ("nodes".to_owned(), nodes)];
    assert_eq!(of_nodes("  detailedInstanceMonitoring: true\n"), groups(true));
    assert_eq!(of_nodes("  detailedInstanceMonitoring: false\n"), groups(false));
    assert_eq!(of_nodes(""), groups(false));
}
