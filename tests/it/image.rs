//! The machine image's template. Debian's packer is too old for some of these arguments, so that `packer/lint` has to
//! leave them out; that they are there, and say what they must, is checked here.

use std::path::{Path, PathBuf};

use hcl::{Attribute, Block, Body, Expression};

/// What a path of block types and labels leads to: `["source", "metadata_options"]`.
fn block<'a>(body: &'a Body, path: &[&str]) -> &'a Block {
    let found = body
        .blocks()
        .find(|block| block.identifier() == path[0])
        .unwrap_or_else(|| panic!("no block {path:?}"));
    if path.len() == 1 { found } else { block(found.body(), &path[1..]) }
}

fn attribute<'a>(body: &'a Body, name: &str) -> &'a Expression {
    body.attributes()
        .find(|attribute| attribute.key() == name)
        .map_or_else(|| panic!("no attribute {name}"), Attribute::expr)
}

fn packer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packer")
}

fn template(file: &str) -> Body {
    hcl::parse(&std::fs::read_to_string(packer().join(file)).unwrap()).unwrap()
}

fn source() -> Body {
    block(&template("source.pkr.hcl"), &["source"]).body().clone()
}

#[test]
fn the_image_requires_imdsv2_of_every_instance_and_of_the_one_that_builds_it() {
    let source = source();
    assert_eq!(attribute(&source, "imds_support"), &Expression::from("v2.0"));
    let metadata = block(&source, &["metadata_options"]).body();
    assert_eq!(attribute(metadata, "http_tokens"), &Expression::from("required"));
    assert_eq!(attribute(metadata, "http_put_response_hop_limit"), &Expression::from(1));
}

#[test]
fn the_image_s_disk_is_encrypted_and_the_building_instance_s_is_not_left_behind() {
    let source = source();
    assert_eq!(attribute(&source, "encrypt_boot"), &Expression::from(true));
    let disk = block(&source, &["launch_block_device_mappings"]).body();
    assert_eq!(attribute(disk, "volume_type"), &Expression::from("gp3"));
    assert_eq!(attribute(disk, "delete_on_termination"), &Expression::from(true));
}

#[test]
fn the_building_instance_answers_to_one_address_only() {
    assert_eq!(attribute(&source(), "temporary_security_group_source_public_ip"), &Expression::from(true));
}

#[test]
fn the_image_is_made_from_what_debian_itself_publishes() {
    let source = source();
    let filter = block(&source, &["source_ami_filter"]).body();
    assert_eq!(attribute(filter, "owners"), &Expression::from(vec!["136693071363"]));
}

#[test]
fn the_amazon_plug_in_is_named_with_its_source_and_bounded() {
    let plugins = template("plugins.pkr.hcl");
    let required = block(&plugins, &["packer", "required_plugins"]).body();
    let Expression::Object(amazon) = attribute(required, "amazon") else { panic!("amazon is not an object") };
    let of = |name: &str| {
        amazon.iter().find(|(key, _)| key.to_string() == name).map(|(_, value)| value.to_string())
    };
    assert_eq!(of("source").as_deref(), Some("\"github.com/hashicorp/amazon\""));
    assert!(of("version").unwrap().contains("< 2.0.0"));
}

#[test]
fn every_provisioning_script_runs_in_its_order_and_the_test_last() {
    let build = template("build.pkr.hcl");
    let run: Vec<String> = block(&build, &["build"])
        .body()
        .blocks()
        .filter(|block| block.identifier() == "provisioner")
        .flat_map(|provisioner| provisioner.body().attributes())
        .filter(|attribute| attribute.key() == "inline")
        .flat_map(|attribute| match attribute.expr() {
            Expression::Array(lines) => lines.iter().filter_map(script).collect::<Vec<_>>(),
            other => panic!("inline is {other}"),
        })
        .collect();
    let mut there: Vec<String> = std::fs::read_dir(packer().join("scripts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    there.sort();
    assert_eq!(run, there);
    assert_eq!(run.last().map(String::as_str), Some("90-validate.sh"));
}

/// The provisioning script that a line runs.
fn script(line: &Expression) -> Option<String> {
    let Expression::String(line) = line else { return None };
    line.strip_prefix("bash /tmp/windlass/packer/scripts/").map(str::to_owned)
}

#[test]
fn the_image_s_tags_name_what_it_holds() {
    let variables = template("variables.pkr.hcl");
    let locals = block(&variables, &["locals"]).body();
    let Expression::Object(tags) = attribute(locals, "tags") else { panic!("tags is not an object") };
    let mut keys: Vec<String> = tags.keys().map(|key| key.to_string().trim_matches('"').to_owned()).collect();
    keys.sort();
    let expected = [
        "Name",
        "windlass.dev/agent-version",
        "windlass.dev/architecture",
        "windlass.dev/debian",
        "windlass.dev/kubernetes-version",
    ];
    assert_eq!(keys, expected);
}
