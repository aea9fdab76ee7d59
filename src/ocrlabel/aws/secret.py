"""The secret with the OCR key, as deploy makes it: created, brought back, or given another value.

Its value goes into one request's body, and nowhere else: `plan.Hidden` wraps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrlabel.aws.names import TAGS
from ocrlabel.aws.plan import Call, Change, Hidden, Kind
from ocrlabel.aws.session import if_there
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass(frozen=True, slots=True)
class SecretState:
    """A secret as it is. value is None where none was ever put."""

    arn: str
    value: Hidden | None
    being_deleted: bool = False


def plan_secret(present: SecretState | None, name: str, value: Hidden | None) -> list[Change]:
    """Create it, bring it back, or put another value. Raises ConfigError without any value."""
    if present is None:
        if value is None:
            raise ConfigError(
                f"there is no secret {name} yet, and no key to put into it\n"
                "  export UPSTAGE_API_KEY=up_... and run it again"
            )
        parameters = {
            "Name": name,
            "Description": "The Upstage API key for ocrlabel's jobs",
            "SecretString": value,
            "Tags": [{"Key": key, "Value": tag} for key, tag in TAGS.items()],
        }
        return [
            Change(
                Kind.ADD,
                "secret",
                name,
                "the key from UPSTAGE_API_KEY",
                (Call("secretsmanager", "create_secret", parameters),),
            )
        ]
    changes = []
    if present.being_deleted:
        restore = Call("secretsmanager", "restore_secret", {"SecretId": name})
        changes.append(
            Change(Kind.CHANGE, "secret", name, "its deletion is called off", (restore,))
        )
    if value is not None and value != present.value:
        put = Call("secretsmanager", "put_secret_value", {"SecretId": name, "SecretString": value})
        # somebody's key is in it, perhaps another's: replaced only when asked
        kind = Kind.REPLACE if present.value else Kind.CHANGE
        changes.append(Change(kind, "secret", name, "another key, from UPSTAGE_API_KEY", (put,)))
    return changes


def look_secret(client: SecretsManagerClient, name: str) -> SecretState | None:
    """The secret as it is; None where there is none."""
    doing, absent = f"look at secret {name}", "ResourceNotFoundException"
    found = if_there(doing, lambda: dict(client.describe_secret(SecretId=name)), absent)
    if found is None:
        return None
    arn = str(found["ARN"])
    if found.get("DeletedDate"):
        return SecretState(arn, None, being_deleted=True)
    held = if_there(doing, lambda: client.get_secret_value(SecretId=name), absent)
    value = held.get("SecretString") if held else None
    return SecretState(arn, Hidden(value) if value else None)
