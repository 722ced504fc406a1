"""Private hosted zones: moto's, which lets one be without a VPC, takes VPCs that don't exist, and any number of zones of one
name for a VPC."""

import functools
from typing import Any

from moto.ec2.models import ec2_backends
from moto.route53.exceptions import InvalidInput, InvalidVPCId, Route53ClientError
from moto.route53.models import Route53Backend

from .actions import patch


@patch
def install() -> None:
    """Patches moto: a private zone is made for a VPC, and a VPC sees one zone of a name."""
    create, associate = Route53Backend.create_hosted_zone, Route53Backend.associate_vpc_with_hosted_zone
    disassociate = Route53Backend.disassociate_vpc_from_hosted_zone

    @functools.wraps(create)
    def create_for_vpc(self: Any, name: str, private_zone: bool, *args: Any, **kwargs: Any) -> Any:
        if private_zone:
            vpc, region = kwargs.get("vpcid"), kwargs.get("vpcregion")
            if not vpc or not region:
                raise InvalidInput(
                    "When you're creating a private hosted zone (when you specify true for PrivateZone), you must also "
                    "specify values for VPCId and VPCRegion."
                )
            _check(self, name, vpc, region)
        return create(self, name, private_zone, *args, **kwargs)

    @functools.wraps(associate)
    def associate_once(self: Any, zone_id: str, vpcid: str, vpcregion: str) -> Any:
        zone = self.get_hosted_zone(zone_id)
        if zone.private_zone:
            _check(self, zone.name, vpcid, vpcregion)
        return associate(self, zone_id, vpcid, vpcregion)

    @functools.wraps(disassociate)
    def disassociate_what_is(self: Any, zone_id: str, vpcid: str) -> Any:
        if not _sees(self.get_hosted_zone(zone_id), vpcid):
            message = f"The specified VPC {vpcid} and the hosted zone are not currently associated."
            raise Route53ClientError("VPCAssociationNotFound", message)
        return disassociate(self, zone_id, vpcid)

    Route53Backend.create_hosted_zone = create_for_vpc
    Route53Backend.associate_vpc_with_hosted_zone = associate_once
    Route53Backend.disassociate_vpc_from_hosted_zone = disassociate_what_is


def _sees(zone: Any, vpc: str) -> bool:
    return any(associated.get("vpc_id") == vpc for associated in zone.vpcs)


def _check(backend: Any, name: str, vpc: str, region: str) -> None:
    """API_AssociateVPCWithHostedZone: InvalidVPCId, and ConflictingDomainExists also of the zone itself."""
    if vpc not in ec2_backends[backend.account_id][region].vpcs:
        raise InvalidVPCId
    same = (zone for zone in backend.zones.values() if zone.private_zone and zone.name.rstrip(".") == name.rstrip("."))
    if other := next((zone for zone in same if _sees(zone, vpc)), None):
        raise Route53ClientError(
            "ConflictingDomainExists",
            f"The VPC {vpc} in region {region} has already been associated with the hosted zone {other.resource_id} with the "
            "same domain name.",
        )
