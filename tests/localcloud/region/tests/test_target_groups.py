"""Target groups, their targets, and the listeners that forward to them."""

from typing import Any

import pytest

from .conftest import code_of
from .test_load_balancers import balancer, elb  # noqa: F401

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"


class Balanced:
    """The network with a load balancer and a target group."""

    def __init__(self, network: Any, elb: Any):  # noqa: F811
        self.network, self.elb = network, elb
        self.balancer = balancer(network, elb)["LoadBalancerArn"]
        self.targets = self.target_group()

    def target_group(self, name: str = "api", **others: Any) -> str:
        asked = {"Name": name, "Protocol": "TCP", "Port": 443, "VpcId": self.network.vpc, **others}
        return str(self.elb.create_target_group(**asked)["TargetGroups"][0]["TargetGroupArn"])

    def listener(self, port: int = 443, protocol: str = "TCP", targets: str | None = None, **others: Any) -> str:
        forward = [{"Type": "forward", "TargetGroupArn": targets or self.targets}]
        asked = {"LoadBalancerArn": self.balancer, "Port": port, "Protocol": protocol, "DefaultActions": forward, **others}
        return str(self.elb.create_listener(**asked)["Listeners"][0]["ListenerArn"])

    def describe(self) -> Any:
        (found,) = self.elb.describe_target_groups(TargetGroupArns=[self.targets])["TargetGroups"]
        return found

    def register(self, *targets: str) -> None:
        self.elb.register_targets(TargetGroupArn=self.targets, Targets=[{"Id": one} for one in targets])

    def deregister(self, *targets: str) -> None:
        self.elb.deregister_targets(TargetGroupArn=self.targets, Targets=[{"Id": one} for one in targets])

    def health(self) -> dict[str, str]:
        rows = self.elb.describe_target_health(TargetGroupArn=self.targets)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in rows}

    def wait_for(self, **health: str) -> None:
        wanted = {name.replace("_", "-"): state for name, state in health.items()}
        self.network.cloud.eventually(lambda: self.health() == wanted)


@pytest.fixture
def balanced(network: Any, elb: Any) -> Balanced:  # noqa: F811
    return Balanced(network, elb)


def test_a_target_group_has_the_defaults_of_its_protocol(balanced: Any) -> None:
    """API_CreateTargetGroup."""
    found = balanced.describe()
    assert found["TargetGroupArn"].rpartition("/")[0].endswith(":123456789012:targetgroup/api")
    health = {name.removeprefix("HealthCheck"): value for name, value in found.items() if name.startswith("HealthCheck")}
    assert health == {"Protocol": "TCP", "Port": "traffic-port", "Enabled": True, "IntervalSeconds": 30, "TimeoutSeconds": 10}
    assert (found["HealthyThresholdCount"], found["UnhealthyThresholdCount"]) == (5, 2)
    assert (found["TargetType"], found["Protocol"], found["Port"], found["LoadBalancerArns"]) == ("instance", "TCP", 443, [])
    arn = balanced.target_group("https", HealthCheckProtocol="HTTPS", HealthCheckPath="/healthz", HealthCheckPort="3990")
    (other,) = balanced.elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"]
    assert (other["HealthCheckPath"], other["HealthCheckPort"], other["Matcher"]) == ("/healthz", "3990", {"HttpCode": "200-399"})


def test_the_same_name_with_other_settings_is_refused(balanced: Any) -> None:
    """API_CreateTargetGroup: idempotent; DuplicateTargetGroupName."""
    assert balanced.target_group() == balanced.targets
    assert code_of(balanced.target_group, Port=80) == "DuplicateTargetGroupName"
    for wrong in ({"name": "a" * 33}, {"name": "a_b"}, {"name": "x", "VpcId": "vpc-00000000"}):
        assert code_of(balanced.target_group, **wrong) == "ValidationError"
    slow = {"HealthCheckIntervalSeconds": 10, "HealthCheckTimeoutSeconds": 10}
    assert code_of(balanced.target_group, "x", **slow) == code_of(balanced.target_group, "x", Port=70000) == "ValidationError"


def test_the_health_check_is_changed(balanced: Any) -> None:
    """API_ModifyTargetGroup."""
    modify = balanced.elb.modify_target_group
    modify(
        TargetGroupArn=balanced.targets, HealthCheckProtocol="HTTPS", HealthCheckPath="/healthz", HealthCheckIntervalSeconds=20
    )
    found = balanced.describe()
    assert (found["HealthCheckProtocol"], found["HealthCheckPath"], found["HealthCheckIntervalSeconds"]) == (
        "HTTPS",
        "/healthz",
        20,
    )
    modify(TargetGroupArn=balanced.targets, HealthCheckProtocol="TCP")
    assert "HealthCheckPath" not in balanced.describe()
    assert code_of(modify, TargetGroupArn=balanced.targets, HealthyThresholdCount=11) == "ValidationError"
    assert code_of(modify, TargetGroupArn=balanced.targets[:-16] + "0" * 16) == "TargetGroupNotFound"


def test_attributes_have_defaults_and_are_changed(balanced: Any) -> None:
    """API_TargetGroupAttribute; "Client IP preservation" depends on type and protocol."""

    def attributes(arn: str) -> dict[str, str]:
        answer = balanced.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        return {one["Key"]: one["Value"] for one in answer}

    def change(key: str, value: str) -> None:
        wanted = [{"Key": key, "Value": value}]
        balanced.elb.modify_target_group_attributes(TargetGroupArn=balanced.targets, Attributes=wanted)

    before = attributes(balanced.targets)
    assert before["deregistration_delay.timeout_seconds"] == "300" and before["preserve_client_ip.enabled"] == "true"
    by_address = attributes(balanced.target_group("by-address", TargetType="ip"))
    assert (by_address["preserve_client_ip.enabled"], by_address["proxy_protocol_v2.enabled"]) == ("false", "false")
    change("deregistration_delay.timeout_seconds", "30")
    change("deregistration_delay.connection_termination.enabled", "true")
    changed = {"deregistration_delay.timeout_seconds": "30", "deregistration_delay.connection_termination.enabled": "true"}
    assert attributes(balanced.targets) == {**before, **changed}
    assert code_of(change, "deregistration_delay.timeout_seconds", "3601") == "ValidationError"
    assert code_of(change, "nonsense", "1") == "ValidationError"


def test_a_used_target_group_stays(balanced: Any) -> None:
    """API_DeleteTargetGroup: ResourceInUse; one that isn't there is no error. API_TargetGroup, LoadBalancerArns."""
    elb = balanced.elb  # noqa: F811
    listener = balanced.listener()
    assert balanced.describe()["LoadBalancerArns"] == [balanced.balancer]
    (found,) = elb.describe_target_groups(LoadBalancerArn=balanced.balancer)["TargetGroups"]
    assert found["TargetGroupArn"] == balanced.targets
    assert code_of(elb.delete_target_group, TargetGroupArn=balanced.targets) == "ResourceInUse"
    elb.delete_listener(ListenerArn=listener)
    for _ in range(2):
        elb.delete_target_group(TargetGroupArn=balanced.targets)
    assert code_of(elb.describe_target_groups, TargetGroupArns=[balanced.targets]) == "TargetGroupNotFound"
    assert code_of(elb.describe_target_groups, Names=["api"]) == "TargetGroupNotFound"


def test_a_deletion_of_the_load_balancer_takes_its_listeners_along(balanced: Any) -> None:
    """API_DeleteLoadBalancer: "Deleting a load balancer also deletes its listeners"; target groups stay."""
    listener = balanced.listener()
    balanced.elb.delete_load_balancer(LoadBalancerArn=balanced.balancer)
    assert code_of(balanced.elb.describe_listeners, ListenerArns=[listener]) == "ListenerNotFound"
    assert balanced.describe()["LoadBalancerArns"] == []
    balanced.elb.delete_target_group(TargetGroupArn=balanced.targets)


def test_a_target_becomes_healthy_once_a_listener_forwards_to_it(balanced: Any) -> None:
    """API_TargetHealth, State; moto says healthy at once, of anything."""
    cloud, instance = balanced.network.cloud, balanced.network.run()
    balanced.register(instance)
    (row,) = balanced.elb.describe_target_health(TargetGroupArn=balanced.targets)["TargetHealthDescriptions"]
    assert (row["Target"], row["HealthCheckPort"]) == ({"Id": instance, "Port": 443}, "443")
    assert (row["TargetHealth"]["State"], row["TargetHealth"]["Reason"]) == ("unused", "Target.NotInUse")
    cloud.control("POST", "/transitions", {"slow": True})
    balanced.listener()
    assert balanced.health() == {instance: "initial"}
    cloud.control("POST", "/transitions", {"slow": False})
    assert balanced.health() == {instance: "healthy"}
    cloud.control("POST", f"/targets/{instance}/health", {"healthy": False})
    assert balanced.health() == {instance: "unhealthy"}
    cloud.control("POST", f"/targets/{instance}/health", {"healthy": True})
    assert balanced.health() == {instance: "healthy"}
    other = [{"Id": "i-00000000000000000"}]
    (row,) = balanced.elb.describe_target_health(TargetGroupArn=balanced.targets, Targets=other)["TargetHealthDescriptions"]
    assert row["TargetHealth"]["Reason"] == "Target.NotRegistered"


def test_a_target_drains_for_as_long_as_its_group_says(balanced: Any) -> None:
    """ "Deregistration delay"; README.md, `POST /_region/clock`. Registered again it serves again."""
    balanced.listener()
    instance, cloud = balanced.network.run(), balanced.network.cloud
    balanced.register(instance)
    cloud.eventually(lambda: balanced.health() == {instance: "healthy"})
    balanced.deregister(instance)
    assert balanced.health() == {instance: "draining"}
    balanced.register(instance)
    cloud.eventually(lambda: balanced.health() == {instance: "healthy"})
    cloud.control("POST", "/clock", {"seconds": 301})
    assert balanced.health() == {instance: "healthy"}
    balanced.deregister(instance)
    cloud.control("POST", "/clock", {"seconds": 290})
    assert balanced.health() == {instance: "draining"}
    cloud.control("POST", "/clock", {"seconds": 11})
    assert balanced.health() == {}
    balanced.deregister(instance)


def test_instances_that_stop_or_end_are_no_use(balanced: Any, ec2: Any) -> None:
    """API_TargetHealth, Target.InvalidState; terminated instances are deregistered."""
    balanced.listener()
    stopped, ended = balanced.network.run(), balanced.network.run()
    balanced.register(stopped, ended)
    cloud = balanced.network.cloud
    cloud.eventually(lambda: set(balanced.health().values()) == {"healthy"})
    ec2.stop_instances(InstanceIds=[stopped])
    ec2.terminate_instances(InstanceIds=[ended])
    assert balanced.health() == {stopped: "unused"}
    ec2.start_instances(InstanceIds=[stopped])
    assert balanced.health() == {stopped: "initial"}
    cloud.eventually(lambda: balanced.health() == {stopped: "healthy"})
    assert code_of(balanced.register, ended) == code_of(balanced.register, "i-00000000000000000") == "InvalidTarget"


def test_targets_may_be_addresses(balanced: Any) -> None:
    """API_TargetDescription, Id; "Register targets"."""
    balanced.targets = balanced.target_group("by-address", TargetType="ip")
    balanced.listener()
    balanced.register("172.20.32.9", "10.1.2.3")
    balanced.network.cloud.eventually(lambda: balanced.health() == {"172.20.32.9": "healthy", "10.1.2.3": "healthy"})
    assert code_of(balanced.register, "198.51.100.1") == code_of(balanced.register, "i-0") == "ValidationError"


def test_a_port_has_one_listener(balanced: Any) -> None:
    """API_CreateListener: idempotent; DuplicateListener. moto makes a second one."""
    first = balanced.listener()
    assert balanced.listener() == first
    assert first.rpartition("/")[0] == balanced.balancer.replace("loadbalancer/", "listener/")
    other = balanced.target_group("other")
    assert code_of(balanced.listener, targets=other) == "DuplicateListener"
    second = balanced.listener(8443, targets=other)
    assert code_of(balanced.elb.modify_listener, ListenerArn=second, Port=443) == "DuplicateListener"


def test_a_listener_with_tls_has_a_certificate_and_a_policy(balanced: Any) -> None:
    """API_CreateListener, Certificates and SslPolicy; API_ModifyListener."""
    elb, certificates = balanced.elb, [{"CertificateArn": CERTIFICATE}]  # noqa: F811
    assert code_of(balanced.listener, 443, "TLS") == "ValidationError"
    assert code_of(balanced.listener, 443, "TLS", Certificates=[{"CertificateArn": "nonsense"}]) == "ValidationError"
    assert code_of(balanced.listener, 443, "TLS", Certificates=certificates, SslPolicy="mine") == "SSLPolicyNotFound"
    policy = "ELBSecurityPolicy-TLS13-1-2-2021-06"
    arn = balanced.listener(443, "TLS", Certificates=certificates, SslPolicy=policy)

    def found() -> Any:
        (one,) = elb.describe_listeners(ListenerArns=[arn])["Listeners"]
        return one

    assert (found()["Certificates"], found()["SslPolicy"]) == (certificates, policy)
    (action,) = found()["DefaultActions"]
    assert (action["Type"], action["TargetGroupArn"]) == ("forward", balanced.targets)
    assert action["ForwardConfig"]["TargetGroups"] == [{"TargetGroupArn": balanced.targets}]
    other = balanced.target_group("other")
    elb.modify_listener(ListenerArn=arn, DefaultActions=[{"Type": "forward", "TargetGroupArn": other}])
    assert (found()["DefaultActions"][0]["TargetGroupArn"], found()["SslPolicy"]) == (other, policy)
    elb.modify_listener(ListenerArn=arn, Protocol="TCP", Port=80)
    assert (found()["Port"], found()["Protocol"], "Certificates" in found(), "SslPolicy" in found()) == (80, "TCP", False, False)
    assert code_of(elb.modify_listener, ListenerArn=arn, Protocol="TLS") == "ValidationError"


def test_a_listener_forwards_only_to_what_fits(balanced: Any) -> None:
    """API_CreateListener, Errors."""
    other = balanced.target_group("other", Protocol="TLS")
    assert code_of(balanced.listener, targets=other) == "IncompatibleProtocols"
    assert code_of(balanced.listener, 443, "HTTPS") == "ValidationError"
    assert code_of(balanced.listener, targets=other[:-16] + "0" * 16) == "TargetGroupNotFound"
    balanced.listener()
    balanced.balancer = balancer(balanced.network, balanced.elb, "second")["LoadBalancerArn"]
    assert code_of(balanced.listener) == "TargetGroupAssociationLimit"


def test_listeners_are_found_in_pages_with_tags_and_deleted_once(balanced: Any) -> None:
    """API_DescribeListeners; API_DeleteListener: ListenerNotFound; tags on listeners."""
    elb = balanced.elb  # noqa: F811
    arns = [balanced.listener(port, Tags=[{"Key": "port", "Value": str(port)}]) for port in (443, 8443, 3988)]
    pages = elb.get_paginator("describe_listeners").paginate(LoadBalancerArn=balanced.balancer, PaginationConfig={"PageSize": 2})
    assert [[one["ListenerArn"] for one in page["Listeners"]] for page in pages] == [arns[:2], arns[2:]]
    described = elb.describe_tags(ResourceArns=[*arns, balanced.targets])["TagDescriptions"]
    assert [[tag["Value"] for tag in one["Tags"]] for one in described] == [["443"], ["8443"], ["3988"], []]
    elb.delete_listener(ListenerArn=arns[0])
    assert code_of(elb.delete_listener, ListenerArn=arns[0]) == "ListenerNotFound"
    assert code_of(elb.describe_tags, ResourceArns=[arns[0]]) == "ListenerNotFound"
    assert code_of(elb.describe_listeners) == "ValidationError"
    gone = balanced.balancer[:-16] + "0" * 16
    assert code_of(elb.describe_listeners, LoadBalancerArn=gone) == "LoadBalancerNotFound"


def test_target_groups_and_listeners_that_were_just_made_cannot_be_seen(balanced: Any) -> None:
    """README.md, faults, `unseenMs`: a listener can't forward to what isn't seen."""
    cloud, elb = balanced.network.cloud, balanced.elb  # noqa: F811
    for action in ("CreateTargetGroup", "CreateListener"):
        cloud.control("POST", "/faults", [{"service": "elbv2", "action": action, "unseenMs": 60000}])
    listener = balanced.listener()
    assert elb.describe_listeners(LoadBalancerArn=balanced.balancer)["Listeners"] == []
    assert code_of(elb.delete_listener, ListenerArn=listener) == "ListenerNotFound"
    other = balanced.target_group("other")
    assert [one["TargetGroupName"] for one in elb.describe_target_groups()["TargetGroups"]] == ["api"]
    assert code_of(balanced.listener, 80, targets=other) == "TargetGroupNotFound"
