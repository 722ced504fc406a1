"""Makes a Network Load Balancer that brings clients to a port of instances, or takes it away: what somebody does by hand whose
clusters come and go behind it. Prints the ARN of its target group."""

import json
import os
import sys

import boto3

NAME = "web"
wanted = json.loads(sys.argv[1])
elb = boto3.client("elbv2", region_name=os.environ["AWS_REGION"])


def make(vpc: str, subnets: list[str], port: int, delay: int) -> str:
    check = {"HealthCheckProtocol": "HTTP", "HealthCheckPath": "/healthz", "HealthCheckIntervalSeconds": 5}
    limits = {"HealthCheckTimeoutSeconds": 2, "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2}
    targets = {"Name": NAME, "Protocol": "TCP", "Port": port, "VpcId": vpc, "TargetType": "instance"}
    group = elb.create_target_group(**targets, **check, **limits)["TargetGroups"][0]["TargetGroupArn"]
    attributes = {"deregistration_delay.timeout_seconds": str(delay), "load_balancing.cross_zone.enabled": "true"}
    changes = [{"Key": key, "Value": value} for key, value in attributes.items()]
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=changes)
    balancer = elb.create_load_balancer(Name=NAME, Type="network", Scheme="internet-facing", Subnets=subnets)
    arn = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    elb.create_listener(LoadBalancerArn=arn, Protocol="TCP", Port=80, DefaultActions=forward)
    return group


def remove() -> None:
    for one in elb.describe_load_balancers(Names=[NAME])["LoadBalancers"]:
        elb.delete_load_balancer(LoadBalancerArn=one["LoadBalancerArn"])
    for one in elb.describe_target_groups(Names=[NAME])["TargetGroups"]:
        elb.delete_target_group(TargetGroupArn=one["TargetGroupArn"])


if wanted:
    print(make(**wanted))
else:
    remove()
