"""What EC2 offers here: zones, and types of instances in them. All of it is moto's."""

from . import ec2

ZONE = ec2.kind(
    "availability-zone",
    arn=None,
    filters={"DescribeAvailabilityZones": {"zone-id", "zone-name", "zone-type", "region-name", "state"}},
)
OFFERING = ec2.kind(
    "instance-type-offering",
    arn=None,
    filters={"DescribeInstanceTypeOfferings": {"instance-type", "location"}},
)
