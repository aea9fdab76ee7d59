"""Whose keys open a bucket. Apart from `refusals`, so that a folder is opened without obstore."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Credential

# boto3 renews a role's keys once less than 15 minutes of them are left; keys that are held longer
# than that (obstore's default is 30 minutes) would be used after they expired.
_HELD = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS keys that were given; without them the usual places are searched."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def __call__(self) -> S3Credential:
        """The form in which obstore asks for keys; nothing of the environment is mixed in."""
        return {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "token": self.session_token,
            "expires_at": None,
        }


def found_by_boto3(url: str, region: str | None) -> Boto3CredentialProvider | None:
    """Keys from the places AWS's own tools search, renewed as they age; None without boto3.

    Variables, profiles, SSO, assumed roles, containers (ECS, Batch) and instances. Without the
    `aws` extra obstore searches variables, web identities, containers and instances by itself.
    Raises ConfigError when there are none.
    """
    try:
        import boto3  # noqa: PLC0415 -- only the aws extra has it, and it takes 0.3 s to import
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 -- comes with boto3
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 -- imports boto3
    except ModuleNotFoundError:
        return None
    try:
        return Boto3CredentialProvider(boto3.Session(region_name=region), ttl=_HELD)
    except BotoCoreError as error:
        raise no_keys(url, str(error)) from error
    except ValueError as error:
        raise no_keys(url, "no profile, no variables, and no role of this machine") from error


def no_keys(url: str, why: str) -> ConfigError:
    """The error for a bucket without any AWS keys to open it with."""
    return ConfigError(
        f"{url}: no AWS credentials were found ({why}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID "
        f"and AWS_SECRET_ACCESS_KEY, or run where a role gives the keys"
    )
