"""The control API: journal, faults, the world, the machines."""

import threading
import time
import urllib.error
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from .conftest import code_of, tag_specification
from .test_authorization import TRUST, make_role


def test_the_journal_tells_what_was_asked_by_whom(cloud: Any, ec2: Any, s3: Any) -> None:
    """README.md, `GET /_region/journal`: an update that changes nothing makes no mutating call."""
    s3.create_bucket(Bucket="state-store")
    ec2.describe_vpcs()
    code_of(ec2.describe_vpcs, VpcIds=["vpc-00000000000000000"])
    entries = cloud.control("GET", "/journal")
    assert [(one["service"], one["action"], one["mutating"], one["status"]) for one in entries] == [
        ("s3", "CreateBucket", True, 200),
        ("ec2", "DescribeVpcs", False, 200),
        ("ec2", "DescribeVpcs", False, 400),
    ]
    assert {one["principal"] for one in entries} == {"operator"}
    assert cloud.control("DELETE", "/journal") == []


@pytest.mark.parametrize(
    ("service", "call", "code", "status"),
    [
        ("ec2", "describe_vpcs", "RequestLimitExceeded", 503),
        ("autoscaling", "describe_auto_scaling_groups", "Throttling", 400),
        ("iam", "list_roles", "Throttling", 400),
        ("s3", "list_buckets", "SlowDown", 503),
        ("route53", "list_hosted_zones", "Throttling", 400),
    ],
)
def test_a_fault_has_the_shape_of_its_service(cloud: Any, service: str, call: str, code: str, status: int) -> None:
    """EC2 API, S3, query and REST error formats: the SDK must read the code out of each."""
    cloud.control("POST", "/faults", [{"service": service, "code": code, "status": status}])
    client = cloud.client(service)
    assert code_of(getattr(client, call)) == code
    getattr(client, call)()
    assert [one["fault"] for one in cloud.control("GET", "/journal")] == [code, None]


def test_the_sdk_retries_what_is_throttled(cloud: Any) -> None:
    """AWS SDKs reference guide, "Retry behavior": RequestLimitExceeded is retried."""
    cloud.control("POST", "/faults", [{"service": "ec2", "action": "Describe.*", "code": "RequestLimitExceeded", "times": 2}])
    patient = cloud.client("ec2", retries={"total_max_attempts": 3, "mode": "standard"})
    assert patient.describe_vpcs()["Vpcs"] == []
    assert [one["status"] for one in cloud.control("GET", "/journal")] == [503, 503, 200]


def test_a_lost_reply_leaves_its_effect(cloud: Any, network: Any, ec2: Any) -> None:
    """README.md, faults, `after`: done, but nobody is told; the client token finds it again."""
    cloud.control("POST", "/faults", [{"service": "ec2", "action": "RunInstances", "after": True}])
    assert code_of(network.run, ClientToken="token") == "InternalError"
    again = network.run(ClientToken="token")
    (reservation,) = ec2.describe_instances()["Reservations"]
    assert [one["InstanceId"] for one in reservation["Instances"]] == [again]


def test_latency_delays_only_its_own_request(cloud: Any, ec2: Any, s3: Any) -> None:
    """README.md, faults, `latencyMs`."""
    cloud.control("POST", "/faults", [{"service": "ec2", "latencyMs": 600}])
    started = time.monotonic()
    slow = threading.Thread(target=ec2.describe_vpcs)
    slow.start()
    s3.list_buckets()
    assert time.monotonic() - started < 0.5
    slow.join()
    assert time.monotonic() - started >= 0.6


@pytest.mark.parametrize(("moment", "written"), [("before", False), ("after", True)])
def test_a_held_request_hangs_until_it_is_released(cloud: Any, s3: Any, moment: str, written: bool) -> None:
    """README.md, faults, `hold` and `skip`: where a client is killed, it is known what its request has done."""
    s3.create_bucket(Bucket="state")
    cloud.control("POST", "/faults", [{"service": "s3", "action": "PutObject", "hold": moment, "skip": 1}])
    s3.put_object(Bucket="state", Key="first", Body=b"1")
    outcome: list[str | None] = []

    def put() -> None:
        try:
            s3.put_object(Bucket="state", Key="second", Body=b"2")
            outcome.append(None)
        except ClientError as error:
            outcome.append(error.response["Error"]["Code"])

    hanging = threading.Thread(target=put)
    hanging.start()
    cloud.eventually(lambda: cloud.control("GET", "/held"))
    expected = [{"service": "s3", "action": "PutObject", "path": "/state/second", "hold": moment}]
    assert cloud.control("GET", "/held") == expected
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="state")["Contents"]]
    assert keys == (["first", "second"] if written else ["first"])
    assert outcome == []
    assert cloud.control("DELETE", "/held") == expected
    hanging.join(timeout=10)
    assert outcome == [None if written else "ServiceUnavailable"]
    assert cloud.control("GET", "/held") == []
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="state")["Contents"]]
    assert keys == (["first", "second"] if written else ["first"])


@pytest.mark.parametrize("after", [False, True])
def test_a_dropped_request_gets_no_answer(cloud: Any, s3: Any, after: bool) -> None:
    """README.md, faults, `drop`."""
    s3.create_bucket(Bucket="state")
    cloud.control("POST", "/faults", [{"service": "s3", "action": "PutObject", "drop": True, "after": after}])
    with pytest.raises(HTTPClientError):
        s3.put_object(Bucket="state", Key="one", Body=b"1")
    assert s3.list_objects_v2(Bucket="state")["KeyCount"] == int(after)
    s3.put_object(Bucket="state", Key="two", Body=b"2")


def test_what_was_just_made_is_not_seen_by_filters_and_for_a_shorter_while_not_by_its_id(cloud: Any, ec2: Any) -> None:
    """EC2 API Reference, "Eventual consistency"; README.md, faults, `unseenMs`."""
    cloud.control("POST", "/faults", [{"service": "ec2", "action": "CreateVpc", "unseenMs": 1000}])
    vpc = ec2.create_vpc(CidrBlock="172.20.0.0/16")["Vpc"]["VpcId"]
    started = time.monotonic()
    assert ec2.describe_vpcs()["Vpcs"] == []
    assert code_of(ec2.describe_vpcs, VpcIds=[vpc]) == "InvalidVpcID.NotFound"
    assert code_of(ec2.create_subnet, VpcId=vpc, CidrBlock="172.20.0.0/24") == "InvalidVpcID.NotFound"
    cloud.eventually(lambda: time.monotonic() - started > 0.5)
    assert [one["VpcId"] for one in ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]] == [vpc]
    assert ec2.describe_vpcs()["Vpcs"] == []
    cloud.eventually(lambda: ec2.describe_vpcs()["Vpcs"])


def test_a_role_that_was_just_made_is_not_found_by_its_name(cloud: Any) -> None:
    """IAM User Guide, "Changes that I make are not always immediately visible"."""
    iam = cloud.client("iam")
    cloud.control("POST", "/faults", [{"service": "iam", "action": "CreateRole", "unseenMs": 600}])
    iam.create_role(RoleName="masters", AssumeRolePolicyDocument=TRUST)
    assert code_of(iam.get_role, RoleName="masters") == "NoSuchEntity"
    assert code_of(iam.create_role, RoleName="masters", AssumeRolePolicyDocument=TRUST) == "EntityAlreadyExists"
    time.sleep(0.4)
    assert iam.get_role(RoleName="masters")["Role"]["RoleName"] == "masters"


def test_a_fault_that_is_not_one_is_refused(cloud: Any) -> None:
    """A misspelt fault must not be a test that passes for nothing."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        cloud.control("POST", "/faults", [{"servcie": "ec2"}])
    assert refused.value.code == 400
    with pytest.raises(urllib.error.HTTPError) as refused:
        cloud.control("POST", "/nonsense", {})
    assert refused.value.code == 404


@pytest.mark.parametrize(
    ("service", "call", "parameters"),
    [
        ("ec2", "create_placement_group", {"GroupName": "g", "Strategy": "cluster"}),
        ("autoscaling", "put_scaling_policy", {"AutoScalingGroupName": "g", "PolicyName": "p"}),
        ("ec2", "describe_vpcs", {"Filters": [{"Name": "no-such-filter", "Values": ["x"]}]}),
    ],
)
def test_what_is_not_implemented_fails_at_once_by_name(cloud: Any, service: str, call: str, parameters: Any) -> None:
    """moto answers 500 and HTML, which an SDK retries until its deadline."""
    client = cloud.client(service, retries={"total_max_attempts": 5, "mode": "standard"})
    assert code_of(getattr(client, call), **parameters) == "NotImplementedByRegion"
    assert len(cloud.control("GET", "/journal")) == 1
    (entry,) = cloud.control("GET", "/unimplemented")
    assert entry["service"] == service
    cloud.control("POST", "/reset")


def test_the_world_is_told_as_soon_as_it_changes(cloud: Any, ec2: Any) -> None:
    """README.md, `GET /_region/world?after&wait`."""
    before = cloud.control("GET", "/world")
    started = time.monotonic()
    assert cloud.control("GET", f"/world?after={before['generation']}&wait=0.3")["generation"] == before["generation"]
    assert time.monotonic() - started >= 0.3
    threading.Timer(0.2, lambda: ec2.create_vpc(CidrBlock="10.0.0.0/16")).start()
    after = cloud.control("GET", f"/world?after={before['generation']}&wait=20")
    assert after["generation"] > before["generation"] and after["vpcs"][0]["cidr"] == "10.0.0.0/16"
    assert time.monotonic() - started < 5


def test_the_world_shows_what_a_machine_needs(network: Any, iam: Any, ec2: Any) -> None:
    """README.md, "The world"."""
    make_role(iam, "masters")
    ec2.authorize_security_group_ingress(
        GroupId=network.group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": network.group}]},
        ],
    )
    network.template(IamInstanceProfile={"Name": "masters"}, UserData="aGVsbG8=", MetadataOptions={"HttpTokens": "required"})
    ec2.run_instances(
        LaunchTemplate={"LaunchTemplateName": "nodes"},
        SubnetId=network.subnets[0],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=tag_specification("instance", Name="master"),
    )
    world = network.cloud.control("GET", "/world")
    (vpc,), (instance,) = world["vpcs"], world["instances"]
    assert vpc == {"id": network.vpc, "cidr": "172.20.0.0/16", "internetGateway": network.gateway}
    assert world["subnets"][0]["routes"] == [{"destination": "0.0.0.0/0", "target": network.gateway}]
    group = next(one for one in world["securityGroups"] if one["id"] == network.group)
    assert group["ingress"] == [
        {"protocol": "tcp", "from": 443, "to": 443, "cidrs": ["0.0.0.0/0"], "groups": []},
        {"protocol": "-1", "from": None, "to": None, "cidrs": [], "groups": [network.group]},
    ]
    assert (instance["state"], instance["role"], instance["userData"]) == ("running", "masters", "aGVsbG8=")
    assert instance["metadata"]["tokens"] == "required" and instance["tags"]["Name"] == "master"
    assert instance["securityGroups"] == [network.group] and instance["mac"].startswith("02:")
    assert world["volumes"] == []


def test_machines_decide_when_an_instance_runs_and_ends(network: Any, ec2: Any) -> None:
    """README.md, `POST /_region/machines`; EC2 User Guide, "Instance lifecycle"."""
    cloud = network.cloud
    cloud.control("POST", "/machines", {"connected": True})
    instance = network.run()

    def state() -> str:
        return network.describe(instance)["State"]["Name"]

    assert state() == "pending"
    cloud.control("POST", f"/instances/{instance}/state", {"state": "running"})
    assert state() == "running"
    ec2.terminate_instances(InstanceIds=[instance])
    assert state() == "shutting-down"
    assert [one["state"] for one in cloud.control("GET", "/world")["instances"]] == ["shutting-down"]
    assert code_of(ec2.delete_subnet, SubnetId=network.subnets[0]) == "DependencyViolation"
    cloud.control("POST", f"/instances/{instance}/state", {"state": "terminated"})
    assert state() == "terminated" and cloud.control("GET", "/world")["instances"] == []


def test_an_instance_without_a_role_has_no_credentials(network: Any, iam: Any) -> None:
    """EC2 User Guide, "Instance metadata": without a role there is nothing under iam/security-credentials."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        network.cloud.control("GET", f"/instances/{network.run()}/credentials")
    assert refused.value.code == 404
    make_role(iam, "nodes")
    path = f"/instances/{network.run(IamInstanceProfile={'Name': 'nodes'})}/credentials"
    given = network.cloud.control("GET", path)
    assert (given["Code"], given["AccessKeyId"][:4]) == ("Success", "ASIA")
    assert network.cloud.control("GET", path)["AccessKeyId"] == given["AccessKeyId"]


def test_without_machines_nothing_waits_for_them(network: Any, ec2: Any) -> None:
    """README.md, `POST /_region/machines`: when they go, what waits for them passes at once."""
    cloud = network.cloud
    cloud.control("POST", "/machines", {"connected": True})
    starting, ending = network.run(), network.run()
    ec2.terminate_instances(InstanceIds=[ending])
    cloud.control("POST", "/machines", {"connected": False})
    assert [network.describe(one)["State"]["Name"] for one in (starting, ending)] == ["running", "terminated"]
