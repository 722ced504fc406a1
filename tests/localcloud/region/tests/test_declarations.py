"""What the files of the region declare of their kinds and services: that it is AWS's, and what the rest makes of it."""

import pkgutil
import sys
import urllib.error
from typing import Any

import pytest
from moto.core.utils import get_service_model

from .. import actions, overlay, resources, routes, services
from .conftest import code_of, tag_specification
from .test_authorization import TRUST


@pytest.fixture(scope="module", autouse=True)
def declared() -> None:
    """Everything that is declared, in this process, without the patches."""
    overlay.find_parts()


def members_of(service: str) -> set[str]:
    """The names of all members of all of a service's requests and answers."""
    model = get_service_model(service)
    found: set[str] = set()
    for name in model.operation_names:
        operation = model.operation_model(name)
        for shape in (operation.input_shape, operation.output_shape):
            found |= set(shape.members) if shape is not None else set()
    return found


def test_every_file_is_found_without_a_list() -> None:
    package = sys.modules[overlay.__package__]
    names = {part.name for part in pkgutil.iter_modules(package.__path__)} - {"__main__", "tests"}
    assert "volumes" in names
    assert {name for name in names if f"{overlay.__package__}.{name}" not in sys.modules} == set()


def test_a_declaration_names_only_what_aws_knows() -> None:
    """A misspelt action, parameter or list would be a declaration that says nothing. botocore's models are AWS's own."""
    wrong = []
    for kind in resources.RESOURCES:
        if kind.service == "s3":  # what its requests name is in their paths
            continue
        operations, members = set(get_service_model(kind.service).operation_names), members_of(kind.service)
        named = {*kind.parameters, *kind.lists} | ({kind.name_parameter} if kind.name_parameter else set())
        wrong += [(kind.type, name) for name in {*kind.created_by, *kind.filters} - operations]
        wrong += [(kind.type, name) for name in named - members]
    wrong += [key for key in actions.HANDLERS if key[1] not in get_service_model(key[0]).operation_names]
    wrong += [key for key in actions.CHECKS if key[1] and key[1] not in get_service_model(key[0]).operation_names]
    assert wrong == []


@pytest.mark.parametrize("what", ["id_prefix", "inventory"])
def test_no_two_kinds_are_known_by_the_same(what: str) -> None:
    values = [getattr(kind, what) for kind in resources.RESOURCES if getattr(kind, what)]
    names = [value if isinstance(value, str) else value[0] for value in values]
    assert len(names) > 10
    assert sorted(names) == sorted(set(names))


def test_no_two_requests_of_the_control_api_are_the_same() -> None:
    asked = [(method, path) for method, path, _, _ in routes.ROUTES]
    assert len(asked) == len(set(asked))


def test_a_service_is_known_by_its_version_and_by_the_name_in_a_signature() -> None:
    """Both generations of load balancers sign with one name (Service Authorization Reference, Elastic Load Balancing)."""
    assert services.of_version("2016-11-15") == "ec2"
    assert services.of_version("1999-01-01") is None
    assert services.signed_as("elasticloadbalancing", "2012-06-01") == "elb"
    assert services.signed_as("elasticloadbalancing", "2015-12-01") == "elbv2"
    assert services.signed_as("route53", "") == "route53"
    assert services.signed_as("kms", "") == "kms"


def test_tags_are_of_the_type_that_aws_names_and_only_of_what_exists(ec2: Any) -> None:
    """EC2 API Reference, DescribeTags, filter `resource-type`: an Elastic IP is `elastic-ip`."""
    address = ec2.allocate_address(TagSpecifications=tag_specification("elastic-ip", Name="api"))["AllocationId"]
    tags = {"Tags": [{"Key": "a", "Value": "1"}]}
    ec2.create_tags(Resources=[address], **tags)
    rows = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["elastic-ip"]}])["Tags"]
    assert [(one["ResourceId"], one["Key"]) for one in rows] == [(address, "Name"), (address, "a")]
    for absent in ("eipalloc-00000000", "vol-00000000", "thing-00000000"):
        assert code_of(ec2.create_tags, Resources=[absent], **tags) == "InvalidID"


def test_what_cannot_be_seen_hides_nothing_else_of_the_same_name(cloud: Any, iam: Any) -> None:
    """A role and an instance profile may have one name; eventual consistency is of each for itself."""
    cloud.control("POST", "/faults", [{"service": "iam", "action": "CreateInstanceProfile", "unseenMs": 60000}])
    iam.create_role(RoleName="nodes", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="nodes")
    assert iam.get_role(RoleName="nodes")["Role"]["RoleName"] == "nodes"
    assert code_of(iam.get_instance_profile, InstanceProfileName="nodes") == "NoSuchEntity"


def test_only_what_can_be_older_is_made_older(cloud: Any, ec2: Any) -> None:
    """README.md, `POST /_region/<kind>/<id>/age`."""
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    before = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["CreateTime"]
    cloud.control("POST", f"/volumes/{volume}/age", {"seconds": 3600})
    after = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["CreateTime"]
    assert (before - after).total_seconds() == 3600
    for path in ("/volumes/vol-0/age", "/vpcs/vpc-0/age", "/nonsense/x/age"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            cloud.control("POST", path, {"seconds": 1})
        assert refused.value.code == 404


def test_a_json_service_answers_with_the_shape_of_its_model(cloud: Any) -> None:
    """KMS API Reference, NotFoundException; an injected fault has the same form."""
    kms = cloud.client("kms")
    assert code_of(kms.describe_key, KeyId="alias/none") == "NotFoundException"
    cloud.control("POST", "/faults", [{"service": "kms", "code": "ThrottlingException", "status": 400}])
    assert code_of(kms.list_keys) == "ThrottlingException"
    assert [one["action"] for one in cloud.control("GET", "/journal")] == ["DescribeKey", "ListKeys"]
