"""One region for the whole run, behind real HTTP; every test starts with it empty."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

PACKAGE_PARENT = Path(__file__).resolve().parents[2]


class Cloud:
    """A client's view of the region: boto3 clients without retries, and the control API."""

    def __init__(self, endpoint: str):
        self.endpoint = endpoint

    def client(
        self, service: str, key: str = "operator", secret: str = "operator-secret", token: str | None = None, **config: Any
    ) -> Any:
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(**{"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}, **config}),
        )

    def as_instance(self, service: str, instance_id: str) -> Any:
        """A client with the role credentials of an instance."""
        given = self.control("GET", f"/instances/{instance_id}/credentials")
        return self.client(service, given["AccessKeyId"], given["SecretAccessKey"], given["Token"])

    def control(self, method: str, path: str, value: Any = None) -> Any:
        body = value if isinstance(value, bytes) else json.dumps(value).encode() if value is not None else None
        request = urllib.request.Request(f"{self.endpoint}/_region{path}", method=method, data=body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def eventually(self, probe: Callable[[], Any], seconds: float = 10) -> Any:
        """Waits until a probe is true."""
        deadline = time.monotonic() + seconds
        while not (value := probe()):
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.02)
        return value


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    command = [sys.executable, "-m", "region", "--port", "0", "--reconcile-seconds", "0.1"]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline().strip()
        assert line.startswith("listening on "), line
        yield line.removeprefix("listening on ")
        process.terminate()


@pytest.fixture
def cloud(endpoint: str) -> Iterator[Cloud]:
    cloud = Cloud(endpoint)
    cloud.control("POST", "/reset")
    yield cloud
    left = cloud.control("GET", "/unimplemented")
    assert left == []


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    return cloud.client("ec2")


@pytest.fixture
def autoscaling(cloud: Cloud) -> Any:
    return cloud.client("autoscaling")


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3")


@pytest.fixture
def iam(cloud: Cloud) -> Any:
    return cloud.client("iam")


def tag_specification(kind: str, **tags: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


class Network:
    """A VPC with an Internet gateway and a public subnet in each of two zones, and an image to launch."""

    def __init__(self, cloud: Cloud, ec2: Any):
        self.cloud, self.ec2 = cloud, ec2
        self.vpc = ec2.create_vpc(CidrBlock="172.20.0.0/16")["Vpc"]["VpcId"]
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.table = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=self.gateway)
        self.subnets = [self._subnet("us-east-1a", "172.20.32.0/24"), self._subnet("us-east-1b", "172.20.64.0/24")]
        self.group = ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=self.vpc)["GroupId"]
        self.image = cloud.control("POST", "/images", {"name": "windlass-1", "tags": {"a": "b"}})["imageId"]

    def _subnet(self, zone: str, cidr: str) -> str:
        subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        self.ec2.associate_route_table(RouteTableId=self.table, SubnetId=subnet)
        return subnet

    def run(self, subnet: int = 0, **more: Any) -> str:
        """Launches an instance; answers its id."""
        request = {
            "ImageId": self.image,
            "InstanceType": "t3.medium",
            "SubnetId": self.subnets[subnet],
            "MinCount": 1,
            "MaxCount": 1,
        }
        if "NetworkInterfaces" in more or "LaunchTemplate" in more:
            del request["SubnetId"]
        return self.ec2.run_instances(**{**request, **more})["Instances"][0]["InstanceId"]

    def describe(self, instance: str) -> dict[str, Any]:
        return self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]

    def template(self, name: str = "nodes", **more: Any) -> str:
        """A launch template; answers its id."""
        data = {"ImageId": self.image, "InstanceType": "t3.medium", "SecurityGroupIds": [self.group], **more}
        return self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"][
            "LaunchTemplateId"
        ]

    def auto_scaling_group(self, autoscaling: Any, name: str = "nodes", size: int = 1, **more: Any) -> None:
        request = {
            "AutoScalingGroupName": name,
            "MinSize": size,
            "MaxSize": size,
            "VPCZoneIdentifier": ",".join(self.subnets),
            "LaunchTemplate": {"LaunchTemplateName": "nodes", "Version": "$Latest"},
        }
        autoscaling.create_auto_scaling_group(**{**request, **more})

    def members(self, autoscaling: Any, name: str = "nodes", state: str = "InService") -> list[dict[str, Any]]:
        found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return [one for group in found for one in group["Instances"] if one["LifecycleState"] == state]

    def wait_for(self, autoscaling: Any, count: int, name: str = "nodes") -> list[dict[str, Any]]:
        """The members in service, once there are so many."""
        self.cloud.eventually(lambda: len(self.members(autoscaling, name)) == count)
        return self.members(autoscaling, name)


@pytest.fixture
def network(cloud: Cloud, ec2: Any) -> Network:
    return Network(cloud, ec2)


def code_of(act: Callable[..., Any], *arguments: Any, **parameters: Any) -> str:
    """The error code that a call fails with."""
    with pytest.raises(ClientError) as caught:
        act(*arguments, **parameters)
    return caught.value.response["Error"]["Code"]
