"""The secret with the OCR key: as deploy makes it, and as a worker reads it (`fetch_secret`).

Deploy creates it, brings it back, or gives it another value, which goes into one request's body and
nowhere else: `plan.Hidden` wraps it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ocrlabel.aws.names import TAGS, tag_list
from ocrlabel.aws.plan import Call, Change, Hidden, Kind
from ocrlabel.aws.session import HTTP_FAULT, fault, if_there
from ocrlabel.errors import ConfigError, Interrupted

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_ARN_PARTS: Final = 7


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
            "Tags": tag_list(TAGS),
        }
        create = Call("secretsmanager", "create_secret", parameters)
        detail = "the key from UPSTAGE_API_KEY"
        return [Change(Kind.ADD, "secret", name, detail, (create,))]
    changes = []
    if present.being_deleted:
        restore = Call("secretsmanager", "restore_secret", {"SecretId": name})
        detail = "its deletion is called off"
        changes.append(Change(Kind.CHANGE, "secret", name, detail, (restore,)))
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


def parts_of(reference: str) -> tuple[str, str]:
    """The secret, and the key within its JSON that is meant, "" for all of its text.

    A job definition takes `arn:...:secret:NAME:json-key:version-stage:version-id` (documented:
    Batch's guide, "Specify sensitive data with Secrets Manager", read 2026-11-30); Secrets Manager
    itself knows only the ARN in it.
    """
    parts = reference.split(":")
    return ":".join(parts[:_ARN_PARTS]), "".join(parts[_ARN_PARTS : _ARN_PARTS + 1])


def text_in(text: str, key: str, *, where: str) -> str:
    """What a job gets of a secret's text. Raises ConfigError that repeats nothing of it."""
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"{where} holds no JSON with a key {key}") from None


def fetch_secret(arn: str, *, endpoint_url: str | None = None, region: str | None = None) -> str:
    """The secret's text. An ARN without its six-character suffix works too.

    Raises ConfigError that says what to do, Interrupted for a fault of AWS's; never with any part
    of the value.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra, and slow to import
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "AWS_SECRET_ARN is set, and reading it needs boto3: in the clone, pip install '.[aws]'"
        ) from error
    secret, key = parts_of(arn)
    parts = arn.split(":")
    where = parts[3] if arn.startswith("arn:") and len(parts) > 3 else None
    try:
        client = boto3.client(
            "secretsmanager", region_name=where or region, endpoint_url=endpoint_url
        )
        value = client.get_secret_value(SecretId=secret).get("SecretString")
    except (ClientError, BotoCoreError) as error:
        response = error.response if isinstance(error, ClientError) else {}
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if status >= HTTP_FAULT:  # it passes: a job is tried again
            doing = f"read the secret {arn}"
            raise Interrupted(fault(doing, f"HTTP {status} ({error})")) from error
        raise ConfigError(
            f"the secret {arn} cannot be read: {error}\n"
            "  the role needs secretsmanager:GetSecretValue on it, and the region must be its own"
        ) from error
    if not value:
        raise ConfigError(f"the secret {arn} holds no text; put the API key into it")
    return text_in(str(value), key, where=f"the secret {arn}")
