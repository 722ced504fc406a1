"""Key pairs: moto's, without the tags of those that are gone."""

from typing import Any

from moto.ec2.models import EC2Backend

from . import ec2
from .actions import patch

KEY_PAIR = ec2.kind(
    "key-pair",
    inventory=("keyPairs", lambda region: region.ec2.key_pairs),
    id_prefix="key",
    parameters=("KeyName",),
    created_by=("ImportKeyPair",),
    not_found="InvalidKeyPair.NotFound",
    lists={"KeyPairs": "KeyPairId"},
    filters={"DescribeKeyPairs": {"key-name", "key-pair-id", "fingerprint"}},
)


@patch
def install() -> None:
    """Patches moto: a key pair that is deleted loses its tags."""
    delete_key_pair = EC2Backend.delete_key_pair

    def delete_key_pair_and_tags(self: Any, name: str) -> Any:
        pair = delete_key_pair(self, name)
        if pair is not None:
            self.tags.pop(pair.id, None)
        return pair

    EC2Backend.delete_key_pair = delete_key_pair_and_tags
