"""IAM's OpenID Connect providers: API_CreateOpenIDConnectProvider and its siblings."""

from typing import Any

import pytest

from .conftest import code_of

URL = "https://discovery.s3.us-east-1.amazonaws.com/demo"
ARN = "arn:aws:iam::123456789012:oidc-provider/discovery.s3.us-east-1.amazonaws.com/demo"


@pytest.fixture
def provider(iam: Any) -> str:
    tags = [{"Key": "windlass.dev/cluster", "Value": "demo"}]
    return iam.create_open_id_connect_provider(Url=URL, ClientIDList=["amazonaws.com"], Tags=tags)["OpenIDConnectProviderArn"]


def test_a_provider_is_known_by_its_url_alone(iam: Any, provider: str) -> None:
    assert provider == ARN
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=ARN)
    assert (found["Url"], found["ClientIDList"]) == (URL.removeprefix("https://"), ["amazonaws.com"])
    assert found["Tags"] == [{"Key": "windlass.dev/cluster", "Value": "demo"}]
    assert len(found["ThumbprintList"]) == 1, "IAM asks the server where none is given"
    assert code_of(iam.create_open_id_connect_provider, Url=URL) == "EntityAlreadyExists"
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == [{"Arn": ARN}]


def test_a_url_is_https_and_has_no_query(cloud: Any) -> None:
    iam = cloud.client("iam", parameter_validation=False)
    for wrong in ("http://a.example.com", "a.example.com", "https://a.example.com?b=c", f"https://a.example.com/{'x' * 250}"):
        assert code_of(iam.create_open_id_connect_provider, Url=wrong) == "InvalidInput", wrong
    assert code_of(iam.create_open_id_connect_provider, Url=URL, ThumbprintList=["abc"]) == "InvalidInput"


def test_audiences_thumbprints_and_tags_are_changed_in_place(iam: Any, provider: str) -> None:
    named = {"OpenIDConnectProviderArn": provider}
    for _ in range(2):
        iam.add_client_id_to_open_id_connect_provider(**named, ClientID="sts.amazonaws.com")
        iam.remove_client_id_from_open_id_connect_provider(**named, ClientID="amazonaws.com")
    iam.update_open_id_connect_provider_thumbprint(**named, ThumbprintList=["a" * 40])
    iam.tag_open_id_connect_provider(**named, Tags=[{"Key": "a", "Value": "b"}])
    iam.untag_open_id_connect_provider(**named, TagKeys=["windlass.dev/cluster"])
    found = iam.get_open_id_connect_provider(**named)
    assert (found["ClientIDList"], found["ThumbprintList"]) == (["sts.amazonaws.com"], ["a" * 40])
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]


def test_what_is_not_there_is_no_such_entity(iam: Any, provider: str) -> None:
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider)
    assert code_of(iam.delete_open_id_connect_provider, OpenIDConnectProviderArn=provider) == "NoSuchEntity"
    assert code_of(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=provider) == "NoSuchEntity"
