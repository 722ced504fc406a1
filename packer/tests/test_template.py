"""The machine image's template.

Debian's packer is too old for some of its arguments, so that `packer/lint` has to leave them out; that they are there, and
say what they must, is checked here.
"""

from pathlib import Path
from typing import Any

import hcl2

PACKER = Path(__file__).resolve().parents[1]
RUNS = "bash /tmp/windlass/packer/scripts/"


def template(name: str) -> dict[str, Any]:
    with (PACKER / f"{name}.pkr.hcl").open() as file:
        return hcl2.load(file)


def source() -> dict[str, Any]:
    return template("source")["source"][0]["amazon-ebs"]["node"]


def test_the_image_requires_imdsv2_of_every_instance_and_of_the_one_that_builds_it():
    assert source()["imds_support"] == "v2.0"
    [metadata] = source()["metadata_options"]
    assert metadata["http_tokens"] == "required"
    assert metadata["http_put_response_hop_limit"] == 1


def test_the_images_disk_is_encrypted_and_the_building_instances_is_not_left_behind():
    assert source()["encrypt_boot"] is True
    [disk] = source()["launch_block_device_mappings"]
    assert disk["volume_type"] == "gp3"
    assert disk["delete_on_termination"] is True


def test_the_building_instance_answers_to_one_address_only():
    assert source()["temporary_security_group_source_public_ip"] is True


def test_the_image_is_made_from_what_debian_itself_publishes():
    [base] = source()["source_ami_filter"]
    assert base["owners"] == ["136693071363"]


def test_the_amazon_plug_in_is_named_with_its_source_and_bounded():
    amazon = template("plugins")["packer"][0]["required_plugins"][0]["amazon"]
    assert amazon["source"] == "github.com/hashicorp/amazon"
    assert "< 2.0.0" in amazon["version"]


def test_every_provisioning_script_runs_in_its_order_and_the_test_last():
    lines = [
        line
        for provisioner in template("build")["build"][0]["provisioner"]
        for line in provisioner.get("shell", {}).get("inline", [])
    ]
    run = [line.removeprefix(RUNS) for line in lines if line.startswith(RUNS)]
    assert run == sorted(script.name for script in (PACKER / "scripts").glob("[0-9]*"))
    assert run[-1] == "90-validate.sh"


def test_the_images_name_says_what_accounts_that_see_no_tags_must_know():
    name = next(entry["image_name"] for entry in template("variables")["locals"] if "image_name" in entry)
    assert "windlass-${local.kubernetes_version}-debian-" in name
    assert "-etcd-${local.versions.etcd}-" in name


def test_the_images_tags_name_what_it_holds():
    tags = next(entry["tags"] for entry in template("variables")["locals"] if "tags" in entry)
    assert sorted(key.strip('"') for key in tags) == [
        "Name",
        "windlass.dev/agent-version",
        "windlass.dev/architecture",
        "windlass.dev/debian",
        "windlass.dev/etcd-version",
        "windlass.dev/kubernetes-version",
        "windlass.dev/node-config",
    ]
