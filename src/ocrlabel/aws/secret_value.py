"""The OCR key as a worker reads it: the text of the secret that AWS_SECRET_ARN names.

Apart from secret.py because the run calls it where boto3 may not be installed, and then says so.
"""

from __future__ import annotations

import json
from typing import Final

from ocrlabel.aws.session import HTTP_FAULT, fault
from ocrlabel.errors import ConfigError, Interrupted

_ARN_PARTS: Final = 7


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
