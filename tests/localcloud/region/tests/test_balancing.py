"""Load balancers and names as the machines see them, and what the machines say of targets."""

from typing import Any

import pytest

from .conftest import code_of
from .test_load_balancers import elb  # noqa: F401
from .test_target_groups import CERTIFICATE, balanced  # noqa: F401


def world(network: Any) -> Any:
    return network.cloud.control("GET", "/world")


def serving(network: Any) -> None:
    """Waits until the load balancer is active."""
    network.cloud.eventually(lambda: world(network)["loadBalancers"])


def report(network: Any, group: str, target: str, healthy: bool) -> None:
    network.cloud.control("POST", "/targets", {"targetGroup": group, "id": target, "port": 443, "healthy": healthy})


@pytest.fixture
def machines(network: Any) -> Any:
    network.cloud.control("POST", "/machines", {"connected": True})
    return network


def running(network: Any, subnet: int = 0) -> str:
    """An instance that the machines say runs."""
    instance = str(network.run(subnet))
    network.cloud.control("POST", f"/instances/{instance}/state", {"state": "running"})
    return instance


def test_the_world_has_who_listens_and_whom_what_is_handed_on_to(network: Any, balanced: Any) -> None:  # noqa: F811
    """README.md, "The world"."""
    assert world(network)["targetGroups"] == []
    balanced.listener()
    instance = network.run()
    balanced.register(instance)
    serving(network)
    (one,) = world(network)["loadBalancers"]
    assert (one["arn"], one["vpc"], one["securityGroups"]) == (balanced.balancer, network.vpc, [])
    assert one["dnsName"].startswith("api-") and one["listeners"] == [{"port": 443, "targetGroup": balanced.targets}]
    assert sorted(node["zone"] for node in one["nodes"]) == ["us-east-1a", "us-east-1b"]
    assert all(node["publicIp"].startswith("203.0.113.") for node in one["nodes"])
    balanced.wait_for(**{instance.replace("-", "_"): "healthy"})
    (group,) = world(network)["targetGroups"]
    address = network.describe(instance)["PrivateIpAddress"]
    target = {"id": instance, "address": address, "port": 443, "zone": "us-east-1a", "health": "healthy"}
    assert (group["arn"], group["targets"]) == (balanced.targets, [target])
    assert (group["preserveClientIp"], group["crossZone"], group["terminateDrained"]) == (True, False, False)
    assert group["healthCheck"] == {
        "protocol": "TCP",
        "port": None,
        "path": None,
        "matcher": None,
        "interval": 30,
        "timeout": 10,
        "healthyThreshold": 5,
        "unhealthyThreshold": 2,
    }
    attributes = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    balanced.elb.modify_load_balancer_attributes(LoadBalancerArn=balanced.balancer, Attributes=attributes)
    assert world(network)["targetGroups"][0]["crossZone"] is True


def test_where_there_are_machines_they_say_how_targets_are(machines: Any, balanced: Any) -> None:  # noqa: F811
    """README.md, `POST /_region/targets`."""
    balanced.listener()
    instance = running(machines)
    balanced.register(instance)
    machines.cloud.control("POST", "/clock", {"seconds": 600})
    assert balanced.health() == {instance: "initial"}
    for healthy, state in ((False, "unhealthy"), (True, "healthy"), (False, "unhealthy")):
        before = world(machines)["generation"]
        report(machines, balanced.targets, instance, healthy)
        assert balanced.health() == {instance: state}
        assert world(machines)["generation"] > before
        assert world(machines)["targetGroups"][0]["targets"][0]["health"] == state
    balanced.deregister(instance)
    report(machines, balanced.targets, instance, True)
    assert balanced.health() == {instance: "draining"}
    machines.cloud.control("POST", "/clock", {"seconds": 301})
    assert world(machines)["targetGroups"][0]["targets"] == []
    report(machines, balanced.targets, instance, True)
    assert balanced.health() == {}


def test_members_of_an_auto_scaling_group_are_targets_while_they_serve(
    machines: Any,
    balanced: Any,  # noqa: F811
    autoscaling: Any,
) -> None:
    """Auto Scaling User Guide, "Use Elastic Load Balancing"."""
    balanced.listener()
    machines.template()
    machines.auto_scaling_group(autoscaling, TargetGroupARNs=[balanced.targets])

    def targets() -> Any:
        groups = world(machines)["targetGroups"]
        return {one["id"]: one["health"] for group in groups for one in group["targets"]}

    (pending,) = machines.cloud.eventually(lambda: machines.members(autoscaling, state="Pending"))
    assert targets() == {}
    instance = pending["InstanceId"]
    machines.cloud.control("POST", f"/instances/{instance}/state", {"state": "running"})
    machines.cloud.eventually(lambda: targets() == {instance: "initial"})
    report(machines, balanced.targets, instance, True)
    assert targets() == {instance: "healthy"}
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
    assert targets()[instance] == "draining"
    machines.cloud.control("POST", f"/instances/{instance}/state", {"state": "terminated"})
    assert instance not in targets()


def test_what_the_machines_can_not_carry_is_refused_by_name(machines: Any, balanced: Any, cloud: Any) -> None:  # noqa: F811
    """README.md, "The network"."""
    tls = {"protocol": "TLS", "Certificates": [{"CertificateArn": CERTIFICATE}]}
    assert code_of(balanced.listener, **tls) == "NotImplementedByRegion"
    other = balanced.target_group("udp", Protocol="UDP", HealthCheckProtocol="TCP")
    assert code_of(balanced.listener, protocol="UDP", targets=other) == "NotImplementedByRegion"
    reasons = [one["reason"] for one in cloud.control("GET", "/unimplemented")]
    assert "TLS" in reasons[0] and "UDP" in reasons[1]
    cloud.control("POST", "/reset")


def test_the_world_has_the_zones_and_whom_they_are_for(network: Any, cloud: Any) -> None:
    """README.md, "The world"."""
    route53 = cloud.client("route53")
    public = route53.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    vpc = {"VPCRegion": "us-east-1", "VPCId": network.vpc}
    private = {"Comment": "", "PrivateZone": True}
    route53.create_hosted_zone(Name="inside.example.com", CallerReference="2", VPC=vpc, HostedZoneConfig=private)
    alias = {"HostedZoneId": "Z26RNL4JYFTOTI", "DNSName": "api-1.elb.us-east-1.amazonaws.com", "EvaluateTargetHealth": False}
    records = [
        {"Name": "api.example.com", "Type": "A", "AliasTarget": alias},
        {"Name": "www.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "198.51.100.7"}]},
    ]
    before = world(network)["generation"]
    changes = [{"Action": "CREATE", "ResourceRecordSet": one} for one in records]
    route53.change_resource_record_sets(HostedZoneId=public, ChangeBatch={"Changes": changes})
    assert world(network)["generation"] > before
    zones = {zone["name"]: zone for zone in world(network)["zones"]}
    assert (zones["example.com."]["vpcs"], zones["inside.example.com."]["vpcs"]) == (None, [network.vpc])
    found = {record["name"]: record for record in zones["example.com."]["records"] if record["type"] == "A"}
    assert found["api.example.com."]["alias"].rstrip(".") == "api-1.elb.us-east-1.amazonaws.com"
    assert found["www.example.com."]["values"] == ["198.51.100.7"]
