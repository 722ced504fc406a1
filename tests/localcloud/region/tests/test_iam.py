"""IAM's roles and profiles: what must go first, and how long a policy may be."""

import json
from typing import Any

from .conftest import code_of
from .test_authorization import TRUST, allow, make_role


def test_a_role_goes_after_what_hangs_on_it(iam: Any) -> None:
    """API_DeleteRole, API_DeleteInstanceProfile: DeleteConflict until profile and inline policies are gone."""
    make_role(iam, "nodes")
    assert code_of(iam.delete_instance_profile, InstanceProfileName="nodes") == "DeleteConflict"
    assert code_of(iam.delete_role, RoleName="nodes") == "DeleteConflict"
    iam.remove_role_from_instance_profile(InstanceProfileName="nodes", RoleName="nodes")
    iam.delete_instance_profile(InstanceProfileName="nodes")
    assert code_of(iam.delete_role, RoleName="nodes") == "DeleteConflict"
    iam.delete_role_policy(RoleName="nodes", PolicyName="nodes")
    iam.delete_role(RoleName="nodes")
    assert code_of(iam.get_role, RoleName="nodes") == "NoSuchEntity"


def test_a_role_is_as_it_was_made(iam: Any) -> None:
    """API_GetRole, API_GetRolePolicy, API_UpdateRole, API_UpdateAssumeRolePolicy, API_TagRole."""
    tags = [{"Key": "cluster", "Value": "demo"}]
    iam.create_role(RoleName="nodes", AssumeRolePolicyDocument=TRUST, Tags=tags, Description="one")
    policy = {"Version": "2012-10-17", "Statement": [allow(["s3:GetObject"], ["arn:aws:s3:::a/*"])]}
    iam.put_role_policy(RoleName="nodes", PolicyName="nodes", PolicyDocument=json.dumps(policy))
    iam.update_role(RoleName="nodes", Description="two", MaxSessionDuration=7200)
    role = iam.get_role(RoleName="nodes")["Role"]
    assert (role["AssumeRolePolicyDocument"], role["Tags"]) == (json.loads(TRUST), tags)
    assert (role["Description"], role["MaxSessionDuration"]) == ("two", 7200)
    assert iam.get_role_policy(RoleName="nodes", PolicyName="nodes")["PolicyDocument"] == policy
    iam.create_instance_profile(InstanceProfileName="nodes", Tags=tags)
    assert iam.list_instance_profile_tags(InstanceProfileName="nodes")["Tags"] == tags
    assert code_of(iam.create_role, RoleName="nodes", AssumeRolePolicyDocument=TRUST) == "EntityAlreadyExists"


def test_inline_policies_are_limited_in_size(iam: Any) -> None:
    """IAM User Guide, "IAM and STS quotas": 10,240 characters for a role's inline policies together."""
    make_role(iam, "nodes")
    long = [allow(["s3:GetObject"], [f"arn:aws:s3:::{'x' * 60}/{number}/*" for number in range(150)])]
    document = json.dumps({"Version": "2012-10-17", "Statement": long})
    code = code_of(iam.put_role_policy, RoleName="nodes", PolicyName="long", PolicyDocument=document)
    assert code == "LimitExceeded"


def test_names_and_trust_policies_are_checked(cloud: Any) -> None:
    """API_CreateRole: 64 characters; MalformedPolicyDocument."""
    unchecked = cloud.client("iam", parameter_validation=False)
    assert code_of(unchecked.create_role, RoleName="x" * 65, AssumeRolePolicyDocument=TRUST) == "ValidationError"
    assert code_of(unchecked.create_role, RoleName="a/b", AssumeRolePolicyDocument=TRUST) == "ValidationError"
    assert code_of(unchecked.create_role, RoleName="x", AssumeRolePolicyDocument="{") == "MalformedPolicyDocument"


def test_a_role_that_does_not_exist_is_not_assumed(cloud: Any, iam: Any) -> None:
    """API_AssumeRole; moto hands out credentials of a role that nobody has made."""
    sts = cloud.client("sts")
    request = {"RoleArn": "arn:aws:iam::123456789012:role/nodes", "RoleSessionName": "me"}
    assert code_of(sts.assume_role, **request) == "AccessDenied"
    make_role(iam, "nodes")
    given = sts.assume_role(**request)["Credentials"]
    as_role = cloud.client("sts", given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    assert as_role.get_caller_identity()["Arn"] == "arn:aws:sts::123456789012:assumed-role/nodes/me"
