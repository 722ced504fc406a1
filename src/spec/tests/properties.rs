//! No input of any kind panics. `PROPTEST_CASES=1000000 cargo test --workspace spec::tests::properties` looks for
//! longer.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{complete, told};
use crate::spec::explain::explain;
use crate::spec::set::{set, unset};
use crate::spec::v1alpha2::{Cluster, InstanceGroup};
use crate::spec::{CreateOptions, Source, create};

const GOOD: &str = include_str!("good.yaml");

/// Pieces that YAML and the specification are made of.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "\n",
        "\n  ",
        "\n- ",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "'",
        "\"",
        "|\n",
        ">-\n",
        "&a ",
        "*a ",
        "<<: ",
        "---\n",
        "...\n",
        "? ",
        "!!str ",
        "!",
        "%YAML 1.2\n",
        "#",
        "\t",
        "\\",
        "\u{feff}",
        "\u{85}",
        "é",
        "𝕩",
        "\0",
        "null",
        "~",
        "true",
        "-1",
        "1e999",
        "0x10",
        "99999999999999999999",
        "apiVersion: kops.k8s.io/v1alpha2\n",
        "kind: Cluster\n",
        "kind: InstanceGroup\n",
        "metadata:\n  name: a.b\n",
        "spec:\n",
        "  subnets:\n",
        "  networkCIDR: ",
        "10.0.0.0/8",
        "::/0",
        "  etcdClusters:\n",
        "  role: Master\n",
        "us-east-1a",
    ];
    proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned)
}

/// The good specification with some characters replaced by others.
fn damaged() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((0..GOOD.len(), 0..12usize, piece()), 1..6);
    edits.prop_map(|edits| {
        let mut text = GOOD.to_owned();
        for (at, length, piece) in edits {
            let mut start = at.min(text.len());
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(start..end, &piece);
        }
        text
    })
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,400}") {
        let _ = told(&text);
    }

    #[test]
    fn anything_like_yaml_is_read_without_a_panic(pieces in prop::collection::vec(piece(), 0..60)) {
        let _ = told(&pieces.concat());
    }

    #[test]
    fn a_damaged_specification_is_read_without_a_panic(text in damaged()) {
        let _ = told(&text);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(source) = Source::from_bytes("-", bytes) {
            let _ = told(&source.text);
        }
    }

    #[test]
    fn any_assignment_is_taken_or_refused(path in "[a-zA-Z.\\[\\]*0-9\"=]{0,40}", value in ".{0,20}") {
        let (mut cluster, mut group) = (Cluster::named("a.b"), InstanceGroup::named("a"));
        let _ = set(&mut cluster, &format!("spec.{path}={value}"));
        let _ = set(&mut group, &format!("{path}={value}"));
        let _ = unset(&mut cluster, &path);
        let _ = explain(&path);
    }

    #[test]
    fn any_flags_are_taken_or_refused(
        name in "[a-z.]{0,20}",
        zones in prop::collection::vec("(us-east-1[a-c]|[a-z0-9-]{0,8})", 0..4),
        ranges in prop::collection::vec("[0-9]{1,3}\\.0\\.0\\.0/[0-9]{1,2}", 0..4),
        masters in prop::option::of(0..12u32),
        nodes in prop::option::of(any::<u32>()),
        private in any::<bool>(),
        ipv6 in any::<bool>(),
    ) {
        let options = CreateOptions {
            name,
            zones,
            network_cidr: ranges,
            control_plane_count: masters,
            node_count: nodes,
            topology: private.then(|| "private".to_owned()),
            ipv6,
            ..CreateOptions::default()
        };
        if let Ok(documents) = create(&options) {
            let _ = documents.resolve();
            let written = complete(&documents.to_yaml());
            prop_assert_eq!(written.is_ok(), documents.resolve().is_ok());
        }
    }
}

#[test]
fn deep_and_repeated_input_ends_soon() {
    let word = "k".repeat(1_000_000);
    let unknown =
        told(&format!("apiVersion: kops.k8s.io/v1alpha2\nkind: Cluster\nspec:\n  ? {word}\n  : 1\n"));
    assert!(unknown.contains("unknown field"));
    for text in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000), "? ".repeat(50_000)] {
        assert!(complete(&text).is_err());
    }
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..40 {
        let before = level - 1;
        let _ = writeln!(laughs, "a{level}: &a{level} [{}]", vec![format!("*a{before}"); 10].join(", "));
    }
    assert!(told(&laughs).contains("the file has more than"), "{}", told(&laughs));
}
