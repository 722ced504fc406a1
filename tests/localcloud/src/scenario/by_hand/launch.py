"""Launches the machines that its argument describes, in a VPC of their own where everything may talk to everything."""

import json
import os
import sys

import boto3

wanted = json.loads(sys.argv[1])
ec2 = boto3.client("ec2", region_name=os.environ["AWS_REGION"])
vpc = ec2.create_vpc(CidrBlock=wanted["cidr"])["Vpc"]["VpcId"]
group = ec2.create_security_group(GroupName="by-hand", Description="by hand", VpcId=vpc)["GroupId"]
anything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[anything])
subnets = {}
for machine in wanted["machines"]:
    cidr, zone = machine["subnet"], machine["zone"]
    if cidr not in subnets:
        subnets[cidr] = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
for machine in wanted["machines"]:
    others = [{"PrivateIpAddress": address, "Primary": False} for address in machine["secondary"]]
    interface = {
        "DeviceIndex": 0,
        "SubnetId": subnets[machine["subnet"]],
        "Groups": [group],
        "PrivateIpAddresses": [{"PrivateIpAddress": machine["address"], "Primary": True}, *others],
    }
    ec2.run_instances(
        ImageId=wanted["image"], InstanceType=machine["type"], MinCount=1, MaxCount=1, NetworkInterfaces=[interface]
    )
