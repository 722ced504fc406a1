"""What a request means to IAM: the actions it needs, on which resources, with which context.

Service Authorization Reference, the pages of EC2, S3, Auto Scaling, IAM and Route 53.
"""

import re
from collections.abc import Iterator
from typing import Any

from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from . import tags
from .protocol import Call
from .state import Region

Need = tuple[str, str, dict[str, Any]]

EC2_PARAMETERS = {
    "InstanceId": "instance",
    "InstanceIds": "instance",
    "VolumeId": "volume",
    "NetworkInterfaceId": "network-interface",
    "AllocationId": "elastic-ip",
    "GroupId": "security-group",
    "SubnetId": "subnet",
    "VpcId": "vpc",
    "RouteTableId": "route-table",
    "InternetGatewayId": "internet-gateway",
    "LaunchTemplateId": "launch-template",
    "ImageId": "image",
    "KeyName": "key-pair",
}
EC2_READS_OF_ONE = ("GetConsoleOutput", "DescribeInstanceAttribute")
EC2_CREATED = {
    "AllocateAddress": "elastic-ip",
    "CreateInternetGateway": "internet-gateway",
    "CreateLaunchTemplate": "launch-template",
    "CreateNetworkInterface": "network-interface",
    "CreateRouteTable": "route-table",
    "CreateSecurityGroup": "security-group",
    "CreateSubnet": "subnet",
    "CreateVolume": "volume",
    "CreateVpc": "vpc",
    "ImportKeyPair": "key-pair",
    "RunInstances": "instance",
}
S3_ACTIONS = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListBuckets": "ListAllMyBuckets",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
}
S3_VERSIONED = {"GetObject", "DeleteObject", "GetObjectTagging", "PutObjectTagging"}


def needs(region: Region, call: Call) -> Iterator[Need]:
    """Everything that must be allowed for a request to be."""
    if call.service == "s3":
        yield from _s3(call)
    elif call.service == "ec2":
        yield from _ec2(region, call)
    elif call.service == "autoscaling":
        yield from _auto_scaling(region, call)
    elif call.service == "iam":
        yield f"iam:{call.action}", _iam_resource(region, call.params), {}
    elif call.service == "route53":
        yield f"route53:{call.action}", _route53_resource(call), {}
    else:
        prefix = "elasticloadbalancing" if call.service in ("elb", "elbv2") else call.service
        yield f"{prefix}:{call.action}", "*", {}


def _s3(call: Call) -> Iterator[Need]:
    bucket, key = call.uri_params.get("Bucket"), call.uri_params.get("Key")
    query, headers = call.query, call.headers
    name = S3_ACTIONS.get(call.action, call.action)
    context = {
        "s3:prefix": query.get("prefix"),
        "s3:delimiter": query.get("delimiter"),
        "s3:max-keys": query.get("max-keys"),
        "s3:versionid": query.get("versionId"),
        "s3:x-amz-acl": headers.get("x-amz-acl"),
        "s3:x-amz-server-side-encryption": headers.get("x-amz-server-side-encryption"),
    }
    if query.get("versionId") and name in S3_VERSIONED:
        name = re.sub(r"Object", "ObjectVersion", name)
    if call.action == "DeleteObjects":
        for one in re.findall(rb"<Key>(.*?)</Key>", call.body, re.DOTALL):
            yield "s3:DeleteObject", f"arn:aws:s3:::{bucket}/{one.decode()}", context
        return
    resource = "*" if bucket is None else f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    yield f"s3:{name}", resource, context
    if source := headers.get("x-amz-copy-source"):
        yield "s3:GetObject", f"arn:aws:s3:::{source.lstrip('/').split('?')[0]}", context


def s3_list_need(call: Call) -> Need:
    """What it takes to be told that an object doesn't exist."""
    return "s3:ListBucket", f"arn:aws:s3:::{call.uri_params.get('Bucket')}", {}


def _ec2(region: Region, call: Call) -> Iterator[Need]:
    action, params = f"ec2:{call.action}", call.params
    common = {"ec2:region": region.name, **_request_tags(params), **_attributes(call)}
    if not call.mutating and call.action not in EC2_READS_OF_ONE:
        yield action, "*", common
        return
    named = list(_ec2_resources(region, params))
    if kind := EC2_CREATED.get(call.action):
        yield action, _ec2_arn(region, kind, "*"), common
        if params.get("TagSpecifications"):
            yield "ec2:CreateTags", _ec2_arn(region, kind, "*"), {**common, "ec2:createaction": call.action}
    elif not named:
        yield action, "*", common
    for kind, identifier in named:
        yield action, _ec2_arn(region, kind, identifier), {**common, **_ec2_resource_context(region, kind, identifier)}


def _ec2_arn(region: Region, kind: str, identifier: str) -> str:
    account = "" if kind == "image" else region.account
    return f"arn:aws:ec2:{region.name}:{account}:{kind}/{identifier}"


def _ec2_resources(region: Region, params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for parameter, kind in EC2_PARAMETERS.items():
        value = params.get(parameter)
        for identifier in value if isinstance(value, list) else [value] if value else []:
            yield kind, identifier
    for identifier in params.get("Resources") or []:
        yield EC2_PREFIX_TO_RESOURCE.get(get_prefix(identifier), "unknown"), identifier
    for address in region.ec2.addresses:
        if params.get("AssociationId") == address.association_id is not None or params.get("PublicIp") == address.public_ip:
            yield "elastic-ip", address.id


def _attributes(call: Call) -> dict[str, Any]:
    if not call.action.endswith("Attribute"):
        return {}
    given = [name for name in call.params if name not in (*EC2_PARAMETERS, "DryRun", "Attribute")]
    context: dict[str, Any] = {"ec2:attribute": given or [call.params.get("Attribute", "")]}
    for name in given:
        value = call.params[name]
        context[f"ec2:attribute/{name}".lower()] = value.get("Value") if isinstance(value, dict) else value
    return context


def _request_tags(params: dict[str, Any]) -> dict[str, Any]:
    given = list(params.get("Tags") or [])
    for specification in params.get("TagSpecifications") or []:
        given += specification.get("Tags") or []
    if not given:
        return {}
    context: dict[str, Any] = {f"aws:requesttag/{tag['Key']}".lower(): tag.get("Value", "") for tag in given}
    return {**context, "aws:tagkeys": [tag["Key"] for tag in given]}


def _ec2_resource_context(region: Region, kind: str, identifier: str) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for key, value in tags.of(region, identifier).items():
        context[f"aws:resourcetag/{key}".lower()] = context[f"ec2:resourcetag/{key}".lower()] = value
    if kind == "instance" and identifier in region.instances:
        instance = region.instances[identifier]
        context |= {"ec2:instanceid": identifier, "ec2:instancetype": instance.kind, "ec2:availabilityzone": instance.zone}
        if instance.profile:
            context["ec2:instanceprofile"] = instance.profile.arn
    elif kind == "volume" and identifier in region.ec2.volumes:
        volume = region.ec2.volumes[identifier]
        context |= {"ec2:volumeid": identifier, "ec2:availabilityzone": volume.zone, "ec2:volumesize": volume.size}
    elif kind == "network-interface" and identifier in region.ec2.enis:
        interface = region.ec2.enis[identifier]
        context |= {
            "ec2:networkinterfaceid": identifier,
            "ec2:subnet": _ec2_arn(region, "subnet", interface.subnet.id),
            "ec2:vpc": _ec2_arn(region, "vpc", interface.vpc_id),
            "ec2:availabilityzone": interface.subnet.availability_zone,
        }
    return context


def _auto_scaling(region: Region, call: Call) -> Iterator[Need]:
    action, params = f"autoscaling:{call.action}", call.params
    names = [params["AutoScalingGroupName"]] if params.get("AutoScalingGroupName") else []
    names += [tag["ResourceId"] for tag in params.get("Tags") or [] if tag.get("ResourceId")]
    if not names and params.get("InstanceId") in region.instances:
        owner = region.instances[params["InstanceId"]].auto_scaling_group
        names = [owner] if owner else []
    if not call.mutating or not names:
        yield action, "*", {}
        return
    for name in names:
        group = region.auto_scaling_groups.get(name)
        context: dict[str, Any] = _request_tags(params)
        for key, tag in group.tags.items() if group else ():
            context[f"aws:resourcetag/{key}".lower()] = context[f"autoscaling:resourcetag/{key}".lower()] = tag["Value"]
        prefix = f"arn:aws:autoscaling:{region.name}:{region.account}:autoScalingGroup"
        yield action, group.arn if group else f"{prefix}:*:autoScalingGroupName/{name}", context


def _iam_resource(region: Region, params: dict[str, Any]) -> str:
    for parameter, kind in (("InstanceProfileName", "instance-profile"), ("RoleName", "role"), ("UserName", "user")):
        if params.get(parameter):
            return f"arn:aws:iam::{region.account}:{kind}/{params[parameter]}"
    return params.get("PolicyArn") or "*"


def _route53_resource(call: Call) -> str:
    identifier = call.uri_params.get("Id")
    if not identifier:
        return "*"
    return f"arn:aws:route53:::{'change' if call.action == 'GetChange' else 'hostedzone'}/{identifier}"
