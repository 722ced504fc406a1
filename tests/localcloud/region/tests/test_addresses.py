"""Elastic and private addresses as AWS hands them out."""

from typing import Any

from .conftest import code_of, tag_specification


def allocate(ec2: Any) -> dict[str, Any]:
    return ec2.allocate_address(Domain="vpc")


def interface_of(network: Any, instance: str) -> str:
    return network.describe(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]


def test_addresses_are_of_the_ranges_for_documentation(network: Any, ec2: Any) -> None:
    """The contract with the machines: Elastic ones of 198.51.100.0/24, automatic ones of 203.0.113.0/24."""
    ec2.modify_subnet_attribute(SubnetId=network.subnets[0], MapPublicIpOnLaunch={"Value": True})
    assert allocate(ec2)["PublicIp"].startswith("198.51.100.")
    assert network.describe(network.run())["PublicIpAddress"].startswith("203.0.113.")
    assert "PublicIpAddress" not in network.describe(network.run(1))


def test_an_elastic_ip_displaces_the_automatic_address_and_gives_way_to_one(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "Elastic IP addresses": the public IPv4 address is released on association, a new one comes after."""
    ec2.modify_subnet_attribute(SubnetId=network.subnets[0], MapPublicIpOnLaunch={"Value": True})
    instance, address = network.run(), allocate(ec2)
    association = ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=instance)["AssociationId"]
    assert network.describe(instance)["PublicIpAddress"] == address["PublicIp"]
    (seen,) = network.cloud.control("GET", "/world")["instances"]
    assert seen["publicIps"] == {seen["privateIp"]: address["PublicIp"]}
    ec2.disassociate_address(AssociationId=association)
    assert network.describe(instance)["PublicIpAddress"].startswith("203.0.113.")


def test_association_moves_by_itself_unless_forbidden(network: Any, ec2: Any) -> None:
    """API_AssociateAddress, AllowReassociation: automatic in a VPC; false makes it fail. Idempotent."""
    first, second, address = network.run(), network.run(), allocate(ec2)
    allocation = address["AllocationId"]
    association = ec2.associate_address(AllocationId=allocation, InstanceId=first)["AssociationId"]
    assert ec2.associate_address(AllocationId=allocation, InstanceId=first)["AssociationId"] == association
    refused = code_of(ec2.associate_address, AllocationId=allocation, InstanceId=second, AllowReassociation=False)
    assert refused == "Resource.AlreadyAssociated"
    ec2.associate_address(AllocationId=allocation, InstanceId=second)
    assert "PublicIpAddress" not in network.describe(first)
    assert network.describe(second)["PublicIpAddress"] == address["PublicIp"]
    (described,) = ec2.describe_addresses(Filters=[{"Name": "instance-id", "Values": [second]}])["Addresses"]
    assert described["NetworkInterfaceId"] == interface_of(network, second)


def test_an_associated_address_is_not_released(network: Any, ec2: Any) -> None:
    """API_ReleaseAddress: InvalidIPAddress.InUse; released it is gone."""
    instance, allocation = network.run(), allocate(ec2)["AllocationId"]
    association = ec2.associate_address(AllocationId=allocation, InstanceId=instance)["AssociationId"]
    assert code_of(ec2.release_address, AllocationId=allocation) == "InvalidIPAddress.InUse"
    ec2.disassociate_address(AssociationId=association)
    ec2.release_address(AllocationId=allocation)
    assert code_of(ec2.release_address, AllocationId=allocation) == "InvalidAllocationID.NotFound"


def test_an_address_needs_an_internet_gateway_and_a_running_instance(network: Any, ec2: Any) -> None:
    """EC2 API error codes: Gateway.NotAttached, InvalidInstanceID."""
    network.cloud.control("POST", "/machines", {"connected": True})
    instance, allocation = network.run(), allocate(ec2)["AllocationId"]
    assert code_of(ec2.associate_address, AllocationId=allocation, InstanceId=instance) == "InvalidInstanceID"
    network.cloud.control("POST", f"/instances/{instance}/state", {"state": "running"})
    ec2.detach_internet_gateway(InternetGatewayId=network.gateway, VpcId=network.vpc)
    assert code_of(ec2.associate_address, AllocationId=allocation, InstanceId=instance) == "Gateway.NotAttached"


def test_a_secondary_address_moves_only_when_allowed_and_takes_its_elastic_ip_along(network: Any, ec2: Any) -> None:
    """API_AssignPrivateIpAddresses, AllowReassignment; an associated Elastic IP moves with the private address."""
    first, second = (interface_of(network, network.run()) for _ in range(2))
    ec2.assign_private_ip_addresses(NetworkInterfaceId=first, PrivateIpAddresses=["172.20.32.200"])
    address = allocate(ec2)
    ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=first, PrivateIpAddress="172.20.32.200")
    move = {"NetworkInterfaceId": second, "PrivateIpAddresses": ["172.20.32.200"]}
    assert code_of(ec2.assign_private_ip_addresses, **move) == "InvalidParameterValue"
    ec2.assign_private_ip_addresses(**move, AllowReassignment=True)
    (described,) = ec2.describe_addresses()["Addresses"]
    assert (described["NetworkInterfaceId"], described["PrivateIpAddress"]) == (second, "172.20.32.200")
    seen = {one["networkInterface"]: one for one in network.cloud.control("GET", "/world")["instances"]}
    assert seen[first]["secondaryPrivateIps"] == [] and seen[second]["secondaryPrivateIps"] == ["172.20.32.200"]
    assert seen[second]["publicIps"] == {"172.20.32.200": address["PublicIp"]}
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=second, PrivateIpAddresses=["172.20.32.200"])
    assert "AssociationId" not in ec2.describe_addresses()["Addresses"][0]


def test_a_primary_address_neither_moves_nor_is_unassigned(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "Secondary IP addresses": the primary private address stays."""
    first, second = network.run(), network.run()
    primary = network.describe(first)["PrivateIpAddress"]
    move = {"NetworkInterfaceId": interface_of(network, second), "PrivateIpAddresses": [primary], "AllowReassignment": True}
    assert code_of(ec2.assign_private_ip_addresses, **move) == "InvalidParameterValue"
    remove = {"NetworkInterfaceId": interface_of(network, first), "PrivateIpAddresses": [primary]}
    assert code_of(ec2.unassign_private_ip_addresses, **remove) == "InvalidParameterValue"


def test_a_reserved_range_is_only_for_who_names_an_address(network: Any, ec2: Any) -> None:
    """VPC User Guide, "Subnet CIDR reservations": `explicit` keeps a range from automatic assignment."""
    reservation = ec2.create_subnet_cidr_reservation(
        SubnetId=network.subnets[0],
        Cidr="172.20.32.0/28",
        ReservationType="explicit",
        Description="masters",
        TagSpecifications=tag_specification("subnet-cidr-reservation", cluster="demo"),
    )["SubnetCidrReservation"]
    instance = network.run()
    assert network.describe(instance)["PrivateIpAddress"] == "172.20.32.16"
    ec2.assign_private_ip_addresses(NetworkInterfaceId=interface_of(network, instance), PrivateIpAddresses=["172.20.32.10"])
    (found,) = ec2.get_subnet_cidr_reservations(SubnetId=network.subnets[0])["SubnetIpv4CidrReservations"]
    assert found["Description"] == "masters"
    assert "Tags" not in found
    (tag,) = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [found["SubnetCidrReservationId"]]}])["Tags"]
    assert (tag["Key"], tag["Value"]) == ("cluster", "demo")
    ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=reservation["SubnetCidrReservationId"])
    assert ec2.get_subnet_cidr_reservations(SubnetId=network.subnets[0])["SubnetIpv4CidrReservations"] == []


def test_a_full_subnet_says_so(network: Any, ec2: Any) -> None:
    """VPC User Guide, "Subnet CIDR blocks": five addresses of each are AWS's. Error: InsufficientFreeAddressesInSubnet."""
    small = ec2.create_subnet(VpcId=network.vpc, CidrBlock="172.20.99.0/28", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
    assert network.describe(network.run(SubnetId=small))["PrivateIpAddress"] == "172.20.99.4"
    for _ in range(10):
        network.run(SubnetId=small)
    assert code_of(network.run, SubnetId=small) == "InsufficientFreeAddressesInSubnet"


def test_an_interface_holds_as_many_addresses_as_its_instance_type_allows(network: Any, ec2: Any) -> None:
    """EC2 User Guide, "IP addresses per network interface": six for a t3.medium."""
    interface = interface_of(network, network.run())
    ec2.assign_private_ip_addresses(NetworkInterfaceId=interface, SecondaryPrivateIpAddressCount=5)
    more = {"NetworkInterfaceId": interface, "SecondaryPrivateIpAddressCount": 1}
    assert code_of(ec2.assign_private_ip_addresses, **more) == "PrivateIpAddressLimitExceeded"
