"""Instances: their states, their end, and how they are described."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import addresses, ec2, network_interfaces, tags, volumes
from .actions import action
from .errors import AwsError
from .filters import matches, paginate
from .state import Region, now

STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
Reason = tuple[str, str]
USER_TERMINATED: Reason = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
MACHINE_DIED: Reason = (
    "Client.InstanceInitiatedShutdown",
    "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
)


@dataclass(eq=False)
class Instance:
    """An instance. `nics` is empty once it is terminated."""

    id: str
    reservation: str
    image: Any
    kind: str
    subnet: Any
    launched: datetime
    key_name: str | None = None
    user_data: str | None = None
    profile: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    ebs_optimized: bool = False
    monitoring: bool = False
    disable_api_termination: bool = False
    shutdown_behavior: str = "stop"
    client_token: str | None = None
    private_dns: dict[str, Any] = field(default_factory=dict)
    nics: dict[int, Any] = field(default_factory=dict)
    state: str = "pending"
    reason: Reason | None = None
    ended: datetime | None = None
    auto_scaling_group: str | None = None
    reboots: int = 0
    lifecycle: str | None = None
    interruption: dict[str, str] | None = None
    rebalance: str | None = None

    @property
    def zone(self) -> str:
        return self.subnet.availability_zone

    @property
    def private_ip(self) -> str | None:
        return self.nics[0].private_ip_address if self.nics else None

    @property
    def alive(self) -> bool:
        """Whether nobody has asked for its end yet."""
        return self.state in ("pending", "running")


def consoles(region: Region) -> dict[str, bytes]:
    """What instances have written to their consoles."""
    return region.kept("consoles")


def _not_terminated(region: Region) -> list[str]:
    return [name for name, instance in region.instances.items() if instance.state != "terminated"]


def _context(region: Region, identifier: str) -> dict[str, Any]:
    if identifier not in region.instances:
        return {}
    one = region.instances[identifier]
    context = {"ec2:instanceid": identifier, "ec2:instancetype": one.kind, "ec2:availabilityzone": one.zone}
    return {**context, "ec2:instanceprofile": one.profile.arn} if one.profile else context


INSTANCE = ec2.kind(
    "instance",
    inventory=("instances", _not_terminated),
    id_prefix="i",
    taggable=lambda region: region.instances,
    parameters=("InstanceId", "InstanceIds"),
    context=_context,
    created_by=("RunInstances",),
)


def find(region: Region, instance_id: str | None) -> Instance:
    """The instance with an id."""
    if instance_id not in region.instances:
        raise AwsError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    return region.instances[instance_id]


def terminate(region: Region, instance: Instance, reason: Reason = USER_TERMINATED) -> None:
    """Starts an instance's end. Without machines it is over at once."""
    if instance.state in ("shutting-down", "terminated"):
        return
    instance.state, instance.reason = "shutting-down", reason
    if not region.machines_connected:
        finish_termination(region, instance)


def finish_termination(region: Region, instance: Instance, reason: Reason = MACHINE_DIED) -> None:
    """The machine is gone: addresses and volumes are let go (EC2 User Guide, "Terminate Amazon EC2 instances")."""
    instance.reason = instance.reason or reason
    instance.state, instance.ended = "terminated", now()
    for volume in volumes.of_instance(region, instance):
        gone = volume.attachment.delete_on_termination
        volume.attachment = None
        if gone:
            volumes.delete(region, volume)
    for interface in instance.nics.values():
        interface.instance = None
        if interface.delete_on_termination:
            network_interfaces.delete(region, interface)
        else:
            addresses.release_interface(region, interface)
    instance.nics = {}


@action("ec2", "TerminateInstances")
def terminate_instances(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """All or nothing where an id is unknown or protected (API_TerminateInstances)."""
    wanted = [find(region, instance_id) for instance_id in params.get("InstanceIds") or []]
    if not wanted:
        raise AwsError("MissingParameter", "The request must contain the parameter InstanceId")
    for instance in wanted:
        if instance.disable_api_termination and instance.state != "terminated":
            raise AwsError(
                "OperationNotPermitted",
                f"The instance '{instance.id}' may not be terminated. "
                "Modify its 'disableApiTermination' instance attribute and try again.",
            )
    rows = []
    for instance in wanted:
        before = instance.state
        terminate(region, instance)
        current = "terminated" if before == "terminated" else "shutting-down"
        rows.append({"InstanceId": instance.id, "PreviousState": _state(before), "CurrentState": _state(current)})
    return {"TerminatingInstances": rows}


@action("ec2", "StopInstances")
def stop_instances(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Private and Elastic addresses and volumes stay, the automatic public address goes (API_StopInstances). A Spot instance
    of a request for one time can't be stopped (EC2 User Guide, "Stop a Spot Instance"), and Auto Scaling makes no others."""
    wanted = [find(region, instance_id) for instance_id in params.get("InstanceIds") or []]
    for instance in wanted:
        if instance.lifecycle == "spot":
            raise AwsError(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time Spot Instance "
                "request. You can only stop Spot Instances associated with persistent Spot Instance requests.",
            )
        if instance.state not in ("running", "stopping", "stopped"):
            raise AwsError(
                "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state from which it can be stopped."
            )
    rows = []
    for instance in wanted:
        before = instance.state
        if before == "running":
            stop(region, instance)
        current = "stopped" if before == "stopped" else "stopping"
        rows.append({"InstanceId": instance.id, "PreviousState": _state(before), "CurrentState": _state(current)})
    return {"StoppingInstances": rows}


def stop(region: Region, instance: Instance, reason: Reason = USER_TERMINATED) -> None:
    """Starts the stop of an instance that runs. Without machines it is over at once."""
    instance.state, instance.reason = "stopping", reason
    if not region.machines_connected:
        finish_stop(instance)


def finish_stop(instance: Instance) -> None:
    """The machine is off, its disk is kept."""
    instance.state = "stopped"
    for interface in instance.nics.values():
        interface.automatic_public_ip = None


@action("ec2", "StartInstances")
def start_instances(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """A stopped instance runs again, with a new automatic public address and launch time (API_StartInstances; API_Instance,
    launchTime: "The time that the instance was last launched")."""
    wanted = [find(region, instance_id) for instance_id in params.get("InstanceIds") or []]
    for instance in wanted:
        if instance.state not in ("stopped", "pending", "running"):
            raise AwsError(
                "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state from which it can be started."
            )
    rows = []
    for instance in wanted:
        before = instance.state
        if before == "stopped":
            start(region, instance)
        current = "running" if before == "running" else "pending"
        rows.append({"InstanceId": instance.id, "PreviousState": _state(before), "CurrentState": _state(current)})
    return {"StartingInstances": rows}


def start(region: Region, instance: Instance) -> None:
    """Has a stopped instance run again."""
    instance.state, instance.reason = "pending" if region.machines_connected else "running", None
    instance.launched = now()
    for interface in instance.nics.values():
        network_interfaces.give_automatic_address(region, interface)


@action("ec2", "RebootInstances")
def reboot_instances(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The state stays `running`, and so do addresses, volumes and launch time; it says nothing (API_RebootInstances)."""
    wanted = [find(region, instance_id) for instance_id in params.get("InstanceIds") or []]
    for instance in wanted:
        if instance.state != "running":
            raise AwsError("IncorrectState", f"The instance '{instance.id}' is not in a state from which it can be rebooted.")
    for instance in wanted:
        instance.reboots += 1
    return {}


@action("ec2", "ModifyInstanceAttribute")
def modify_instance_attribute(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The source/destination check of an instance is that of its first interface."""
    instance = find(region, params.get("InstanceId"))
    if check := params.get("SourceDestCheck"):
        _first_interface(instance).source_dest_check = check["Value"]
    elif groups := params.get("Groups"):
        interface = _first_interface(instance)
        interface.groups = network_interfaces.find_groups(region, groups, interface.vpc_id)
    elif protection := params.get("DisableApiTermination"):
        instance.disable_api_termination = protection["Value"]
    elif behavior := params.get("InstanceInitiatedShutdownBehavior"):
        instance.shutdown_behavior = behavior["Value"]
    elif mappings := params.get("BlockDeviceMappings"):
        _modify_mappings(region, instance, mappings)
    elif instance.state == "stopped" and "UserData" in params:
        instance.user_data = base64.b64encode(params["UserData"]["Value"]).decode()
    elif instance.state == "stopped" and "InstanceType" in params:
        instance.kind = params["InstanceType"]["Value"]
    elif "UserData" in params or "InstanceType" in params:
        raise AwsError("IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state.")
    else:
        raise AwsError("InvalidParameterCombination", "No attributes specified.")
    return {}


def _first_interface(instance: Instance) -> Any:
    if not instance.nics:
        raise AwsError("IncorrectInstanceState", f"The instance '{instance.id}' is terminated.")
    return instance.nics[0]


def _modify_mappings(region: Region, instance: Instance, mappings: list[dict[str, Any]]) -> None:
    attached = {volume.attachment.device: volume.attachment for volume in volumes.of_instance(region, instance)}
    for mapping in mappings:
        device = mapping.get("DeviceName")
        if device not in attached:
            raise AwsError("InvalidInstanceAttributeValue", f"No device is currently mapped at {device}")
        attached[device].delete_on_termination = mapping.get("Ebs", {}).get("DeleteOnTermination", False)


@action("ec2", "ModifyInstanceMetadataOptions")
def modify_instance_metadata_options(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """What the request doesn't name stays as it is (API_ModifyInstanceMetadataOptions)."""
    instance = find(region, params.get("InstanceId"))
    changed = {name: params[name] for name in METADATA_DEFAULTS if params.get(name) is not None}
    instance.metadata = {**instance.metadata, **changed}
    return {"InstanceId": instance.id, "InstanceMetadataOptions": {**instance.metadata, "State": "pending"}}


METADATA_DEFAULTS = {
    "HttpTokens": "optional",
    "HttpPutResponseHopLimit": 1,
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}


@action("ec2", "DescribeInstanceAttribute")
def describe_instance_attribute(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    instance = find(region, params.get("InstanceId"))
    described = describe(region, instance)
    values = {
        "userData": ("UserData", {"Value": instance.user_data}),
        "instanceType": ("InstanceType", {"Value": instance.kind}),
        "sourceDestCheck": ("SourceDestCheck", {"Value": described.get("SourceDestCheck", True)}),
        "disableApiTermination": ("DisableApiTermination", {"Value": instance.disable_api_termination}),
        "instanceInitiatedShutdownBehavior": ("InstanceInitiatedShutdownBehavior", {"Value": instance.shutdown_behavior}),
        "groupSet": ("Groups", described["SecurityGroups"]),
        "rootDeviceName": ("RootDeviceName", {"Value": instance.image.root_device}),
        "blockDeviceMapping": ("BlockDeviceMappings", described["BlockDeviceMappings"]),
        "ebsOptimized": ("EbsOptimized", {"Value": instance.ebs_optimized}),
    }
    attribute = params.get("Attribute")
    if attribute not in values:
        raise AwsError("InvalidParameterValue", f"Value ({attribute}) for parameter attribute is invalid. Unknown attribute.")
    return {"InstanceId": instance.id, values[attribute][0]: values[attribute][1]}


@action("ec2", "GetConsoleOutput")
def get_console_output(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """The last 64 KB of the console (API_GetConsoleOutput)."""
    instance = find(region, params.get("InstanceId"))
    text = consoles(region).get(instance.id, b"")
    return {"InstanceId": instance.id, "Timestamp": now(), "Output": base64.b64encode(text[-65536:]).decode()}


def _nic_values(read: Any) -> Any:
    return lambda instance: [value for nic in instance.nics.values() for value in read(nic)]


FILTERS: dict[str, Any] = {
    "instance-id": lambda one: one.id,
    "instance-state-name": lambda one: one.state,
    "instance-state-code": lambda one: STATE_CODES[one.state],
    "instance-type": lambda one: one.kind,
    "instance-lifecycle": lambda one: one.lifecycle,
    "image-id": lambda one: one.image.id,
    "key-name": lambda one: one.key_name,
    "client-token": lambda one: one.client_token,
    "reservation-id": lambda one: one.reservation,
    "architecture": lambda one: one.image.architecture,
    "availability-zone": lambda one: one.zone,
    "vpc-id": lambda one: one.subnet.vpc_id if one.nics else None,
    "subnet-id": lambda one: one.subnet.id if one.nics else None,
    "private-ip-address": lambda one: one.private_ip,
    "iam-instance-profile.arn": lambda one: one.profile.arn if one.profile else None,
    "instance.group-id": _nic_values(lambda nic: [group.id for group in nic.groups]),
    "network-interface.group-id": _nic_values(lambda nic: [group.id for group in nic.groups]),
    "network-interface.network-interface-id": _nic_values(lambda nic: [nic.id]),
    "network-interface.subnet-id": _nic_values(lambda nic: [nic.subnet.id]),
    "network-interface.vpc-id": _nic_values(lambda nic: [nic.vpc_id]),
    "network-interface.addresses.private-ip-address": _nic_values(lambda nic: nic.private_ips),
    "root-device-type": lambda one: "ebs",
    "tenancy": lambda one: "default",
    "launch-time": lambda one: one.launched.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
}


def _selected(region: Region, params: dict[str, Any], action_name: str) -> list[Instance]:
    wanted = params.get("InstanceIds") or []
    missing = [instance_id for instance_id in wanted if instance_id not in region.instances]
    if missing:
        word = "ID" if len(missing) == 1 else "IDs"
        raise AwsError("InvalidInstanceID.NotFound", f"The instance {word} '{', '.join(missing)}' does not exist")
    candidates = [region.instances[one] for one in dict.fromkeys(wanted)] or list(region.instances.values())
    public = {"ip-address": lambda one: describe(region, one).get("PublicIpAddress"), **FILTERS}
    return [one for one in candidates if matches(one, params.get("Filters"), public, tags.of(region, one.id), action_name)]


@action("ec2", "DescribeInstances")
def describe_instances(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Pages hold MaxResults instances, in their reservations; not together with ids (API_DescribeInstances)."""
    if params.get("InstanceIds") and params.get("MaxResults"):
        raise AwsError("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
    page = paginate("Instances", _selected(region, params, "DescribeInstances"), params)
    reservations: dict[str, dict[str, Any]] = {}
    for instance in page.pop("Instances"):
        reservation = reservations.setdefault(instance.reservation, describe_reservation(region, instance.reservation, []))
        reservation["Instances"].append(describe(region, instance))
    return {"Reservations": list(reservations.values()), **page}


@action("ec2", "DescribeInstanceStatus")
def describe_instance_status(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    chosen = _selected(region, params, "DescribeInstanceStatus")
    rows = []
    for instance in chosen:
        running = instance.state == "running"
        if running or params.get("IncludeAllInstances"):
            status = {"Status": "ok" if running else "not-applicable"}
            rows.append(
                {
                    "InstanceId": instance.id,
                    "AvailabilityZone": instance.zone,
                    "InstanceState": _state(instance.state),
                    "InstanceStatus": status,
                    "SystemStatus": status,
                }
            )
    return paginate("InstanceStatuses", rows, params)


def _state(name: str) -> dict[str, Any]:
    return {"Code": STATE_CODES[name], "Name": name}


def describe_reservation(region: Region, reservation: str, members: list[Instance]) -> dict[str, Any]:
    """A reservation with the instances given."""
    return {
        "ReservationId": reservation,
        "OwnerId": region.account,
        "Groups": [],
        "Instances": [describe(region, one) for one in members],
    }


def describe(region: Region, instance: Instance) -> dict[str, Any]:
    """An instance in the form of DescribeInstances; a terminated one has no network any more."""
    code, message = instance.reason or ("", "")
    row: dict[str, Any] = {
        "InstanceId": instance.id,
        "ImageId": instance.image.id,
        "InstanceType": instance.kind,
        "KeyName": instance.key_name,
        "LaunchTime": instance.launched,
        "AmiLaunchIndex": 0,
        "Architecture": instance.image.architecture,
        "ClientToken": instance.client_token or "",
        "EbsOptimized": instance.ebs_optimized,
        "EnaSupport": True,
        "Hypervisor": "xen",
        "InstanceLifecycle": instance.lifecycle,
        "MetadataOptions": {**instance.metadata, "State": "applied"},
        "Monitoring": {"State": "enabled" if instance.monitoring else "disabled"},
        "Placement": {"AvailabilityZone": instance.zone, "Tenancy": "default", "GroupName": ""},
        "PlatformDetails": "Linux/UNIX",
        "PrivateDnsNameOptions": instance.private_dns,
        "RootDeviceName": instance.image.root_device,
        "RootDeviceType": "ebs",
        "State": _state(instance.state),
        "StateReason": {"Code": code, "Message": message} if code else None,
        "StateTransitionReason": f"User initiated ({instance.ended:%Y-%m-%d %H:%M:%S} GMT)" if instance.ended else "",
        "VirtualizationType": "hvm",
        "IamInstanceProfile": {"Arn": instance.profile.arn, "Id": instance.profile.id} if instance.profile else None,
        "BlockDeviceMappings": _describe_mappings(region, instance),
        "SecurityGroups": [],
        "NetworkInterfaces": [],
        "Tags": tags.described(region, instance.id),
    }
    return row | (_describe_network(region, instance) if instance.nics else {})


def _describe_mappings(region: Region, instance: Instance) -> list[dict[str, Any]]:
    return [
        {
            "DeviceName": volume.attachment.device,
            "Ebs": {
                "VolumeId": volume.id,
                "Status": volume.attachment.state,
                "AttachTime": volume.attachment.since,
                "DeleteOnTermination": volume.attachment.delete_on_termination,
            },
        }
        for volume in volumes.of_instance(region, instance)
    ]


def private_dns_name(region: Region, instance: Instance) -> str:
    """The name that the subnet's HostnameType gives it (EC2 User Guide, "EC2 instance hostnames")."""
    domain = "ec2.internal" if region.name == "us-east-1" else f"{region.name}.compute.internal"
    if instance.private_dns.get("HostnameType") == "resource-name":
        return f"{instance.id}.{domain}"
    return f"ip-{(instance.private_ip or '').replace('.', '-')}.{domain}"


def _describe_network(region: Region, instance: Instance) -> dict[str, Any]:
    first = instance.nics[0]
    public = network_interfaces.association(region, first, first.private_ip_address)
    groups = [{"GroupId": group.id, "GroupName": group.name} for group in first.groups]
    return {
        "SubnetId": instance.subnet.id,
        "VpcId": instance.subnet.vpc_id,
        "PrivateIpAddress": first.private_ip_address,
        "PrivateDnsName": private_dns_name(region, instance),
        "PublicIpAddress": public["PublicIp"] if public else None,
        "SourceDestCheck": first.source_dest_check,
        "SecurityGroups": groups,
        "NetworkInterfaces": [_describe_interface(region, nic) for nic in instance.nics.values()],
    }


def _describe_interface(region: Region, interface: Any) -> dict[str, Any]:
    described = network_interfaces.describe(region, interface)
    return {
        name: value
        for name, value in described.items()
        if name not in ("TagSet", "AvailabilityZone", "RequesterId", "RequesterManaged")
    }
