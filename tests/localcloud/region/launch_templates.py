"""Launch templates, whole: moto loses user data, tags and versions."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.ec2.utils import random_launch_template_id

from . import ec2, tags
from .actions import action
from .errors import AwsError
from .filters import matches, paginate
from .state import Region, now

USER_DATA_LIMIT = 16384
NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")


@dataclass
class LaunchTemplate:
    """A launch template and its versions by number."""

    id: str
    name: str
    created: datetime
    default_version: int = 1
    latest_version: int = 1
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)

    def resolve(self, version: str | None) -> int:
        """The number that `$Latest`, `$Default`, nothing or a number stands for."""
        if version in (None, "", "$Default"):
            return self.default_version
        if version == "$Latest":
            return self.latest_version
        number = int(version) if str(version).isdigit() else None
        if number not in self.versions:
            raise AwsError(
                "InvalidLaunchTemplateId.VersionNotFound",
                f"Could not find the specified version {version} for the launch template with ID {self.id}.",
            )
        return number


def templates(region: Region) -> dict[str, LaunchTemplate]:
    """The templates by id."""
    return region.kept("launch templates")


TEMPLATE = ec2.kind(
    "launch-template",
    inventory=("launchTemplates", templates),
    id_prefix="lt",
    taggable=templates,
    parameters=("LaunchTemplateId",),
    created_by=("CreateLaunchTemplate",),
    not_found="InvalidLaunchTemplateId.NotFound",
    lists={"LaunchTemplates": "LaunchTemplateId", "LaunchTemplateVersions": "LaunchTemplateId"},
)


def find(region: Region, reference: dict[str, Any]) -> LaunchTemplate:
    """The template that a request names by id or by name."""
    identifier, name = reference.get("LaunchTemplateId"), reference.get("LaunchTemplateName")
    if bool(identifier) == bool(name):
        raise AwsError("MissingParameter", "Provide either the launch template ID or the launch template name.")
    if identifier:
        if identifier not in templates(region):
            raise AwsError("InvalidLaunchTemplateId.NotFound", f"The launch template ID {identifier} does not exist.")
        return templates(region)[identifier]
    for template in templates(region).values():
        if template.name == name:
            return template
    raise AwsError(
        "InvalidLaunchTemplateName.NotFoundException",
        f"The specified launch template, with template name {name}, does not exist.",
    )


def check_user_data(user_data: str | None) -> None:
    """User data is base64, and at most 16 KB before encoding (EC2 User Guide, "Run commands at launch")."""
    if user_data is None:
        return
    try:
        raw = base64.b64decode(user_data, validate=True)
    except binascii.Error:
        raise AwsError("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None
    if len(raw) > USER_DATA_LIMIT:
        raise AwsError("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")


def _describe(region: Region, template: LaunchTemplate) -> dict[str, Any]:
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "CreateTime": template.created,
        "CreatedBy": f"arn:aws:iam::{region.account}:root",
        "DefaultVersionNumber": template.default_version,
        "LatestVersionNumber": template.latest_version,
        "Tags": tags.described(region, template.id),
    }


def _describe_version(region: Region, template: LaunchTemplate, number: int) -> dict[str, Any]:
    version = template.versions[number]
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": number,
        "VersionDescription": version["description"],
        "CreateTime": version["created"],
        "CreatedBy": f"arn:aws:iam::{region.account}:root",
        "DefaultVersion": number == template.default_version,
        "LaunchTemplateData": version["data"],
    }


def _add_version(template: LaunchTemplate, number: int, params: dict[str, Any], data: dict[str, Any]) -> None:
    check_user_data(data.get("UserData"))
    template.versions[number] = {"description": params.get("VersionDescription"), "created": now(), "data": data}


@action("ec2", "CreateLaunchTemplate")
def create_launch_template(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    name = params.get("LaunchTemplateName", "")
    if not NAME.fullmatch(name):
        raise AwsError(
            "InvalidLaunchTemplateName.MalformedException",
            "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and ( ) . - / _",
        )

    def create() -> dict[str, Any]:
        if any(template.name == name for template in templates(region).values()):
            raise AwsError("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
        template = LaunchTemplate(random_launch_template_id(), name, now())
        _add_version(template, 1, params, params.get("LaunchTemplateData") or {})
        tags.apply(region, template.id, tags.specified(params, "launch-template"))
        templates(region)[template.id] = template
        return {"LaunchTemplate": _describe(region, template)}

    return region.idempotent("CreateLaunchTemplate", params, create)


@action("ec2", "CreateLaunchTemplateVersion")
def create_launch_template_version(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """With SourceVersion the new version starts as a copy of it (API_CreateLaunchTemplateVersion)."""
    template = find(region, params)

    def create() -> dict[str, Any]:
        data = params.get("LaunchTemplateData") or {}
        if source := params.get("SourceVersion"):
            data = {**template.versions[template.resolve(source)]["data"], **data}
        number = template.latest_version + 1
        _add_version(template, number, params, data)
        template.latest_version = number
        return {"LaunchTemplateVersion": _describe_version(region, template, number)}

    return region.idempotent("CreateLaunchTemplateVersion", params, create)


@action("ec2", "ModifyLaunchTemplate")
def modify_launch_template(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    template = find(region, params)
    if version := params.get("DefaultVersion"):
        template.default_version = template.resolve(version)
    return {"LaunchTemplate": _describe(region, template)}


@action("ec2", "DeleteLaunchTemplate")
def delete_launch_template(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    template = find(region, params)
    described = _describe(region, template)
    del templates(region)[template.id]
    tags.forget(region, template.id)
    return {"LaunchTemplate": described}


@action("ec2", "DeleteLaunchTemplateVersions")
def delete_launch_template_versions(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Each version succeeds or fails for itself; the default one can't be deleted."""
    template = find(region, params)
    deleted, failed = [], []
    for version in params.get("Versions") or []:
        row = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": version}
        number = int(version) if str(version).isdigit() else -1
        if number == template.default_version:
            error = {"Code": "unexpectedError", "Message": "The default version of a launch template can't be deleted"}
            failed.append({**row, "ResponseError": error})
        elif number not in template.versions:
            error = {"Code": "launchTemplateVersionDoesNotExist", "Message": f"version {version} does not exist"}
            failed.append({**row, "VersionNumber": max(number, 0), "ResponseError": error})
        else:
            del template.versions[number]
            deleted.append(row)
    template.latest_version = max(template.versions)
    return {"SuccessfullyDeletedLaunchTemplateVersions": deleted, "UnsuccessfullyDeletedLaunchTemplateVersions": failed}


FILTERS = {
    "launch-template-name": lambda template: template.name,
    "create-time": lambda template: template.created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
}


@action("ec2", "DescribeLaunchTemplates")
def describe_launch_templates(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    wanted = [find(region, {"LaunchTemplateId": one}) for one in params.get("LaunchTemplateIds") or []]
    wanted += [find(region, {"LaunchTemplateName": one}) for one in params.get("LaunchTemplateNames") or []]
    rows = [
        _describe(region, template)
        for template in wanted or templates(region).values()
        if matches(template, params.get("Filters"), FILTERS, tags.of(region, template.id), "DescribeLaunchTemplates")
    ]
    return paginate("LaunchTemplates", rows, {"MaxResults": 200, **params})


@action("ec2", "DescribeLaunchTemplateVersions")
def describe_launch_template_versions(region: Region, params: dict[str, Any]) -> dict[str, Any]:
    """Without a template, the `$Latest` or `$Default` versions of all of them."""
    asked = params.get("Versions") or []
    if params.get("Filters"):
        matches(None, params["Filters"], {}, {}, "DescribeLaunchTemplateVersions")
    if params.get("LaunchTemplateId") or params.get("LaunchTemplateName"):
        template = find(region, params)
        numbers = [template.resolve(version) for version in asked] or sorted(template.versions, reverse=True)
        low, high = int(params.get("MinVersion") or 0), int(params.get("MaxVersion") or 1 << 62)
        pairs = [(template, number) for number in numbers if low <= number <= high]
    elif asked and set(asked) <= {"$Latest", "$Default"}:
        pairs = [(template, template.resolve(one)) for template in templates(region).values() for one in asked]
    else:
        raise AwsError("MissingParameter", "Without a launch template, the versions must be $Latest or $Default.")
    rows = [_describe_version(region, template, number) for template, number in pairs]
    return paginate("LaunchTemplateVersions", rows, {"MaxResults": 200, **params})
