use std::fmt::Write as _;

use super::complete;

#[test]
fn a_thousand_instance_groups_are_read_and_completed() {
    let good = include_str!("good.yaml");
    let mut text = good.to_owned();
    for number in 0..1000 {
        let _ = write!(
            text,
            "---\napiVersion: kops.k8s.io/v1alpha2\nkind: InstanceGroup\nmetadata:\n  name: nodes-{number}\nspec:\n  \
             role: Node\n  machineType: t3.medium\n  minSize: 0\n  maxSize: 9\n  nodeLabels:\n    example.com/n: n{number}\n"
        );
    }
    let cluster = complete(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(cluster.instance_groups.len(), 1002);
    assert!(cluster.instance_groups.is_sorted_by_key(|group| &group.name));
}
