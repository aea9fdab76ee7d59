"""Whose keys open a bucket. Apart from `refusals`, so that a folder is opened without obstore."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from botocore.session import Session
    from obstore.store import S3Config, S3Credential

_ASK_AGAIN = datetime.fromtimestamp(0, UTC)


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


class FoundKeys:
    """Keys from the places AWS's own tools search, as they stand there now.

    obstore asks before every request, since they are good for no time: roles and SSO sessions are
    renewed by botocore as they age, and a file of keys is read again once it has changed. Raises
    ValueError where there are none.
    """

    def __init__(
        self,
        new_session: Callable[[], Session],
        region: str | None,
        errors: tuple[type[Exception], ...],
    ) -> None:
        self._new_session, self._errors, self._region = new_session, errors, region
        self._load()

    def __call__(self) -> S3Credential:
        """The keys for the next request."""
        if self._changed_at() != self._read_at:
            # while somebody writes the file there may be none in it: then those that there were
            with contextlib.suppress(*self._errors):
                self._load()
        try:
            keys = self._keys.get_frozen_credentials()
        except self._errors:
            self._load()  # a role is taken on with keys that may be others by now
            keys = self._keys.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key or "",
            "secret_access_key": keys.secret_key or "",
            "token": keys.token,
            "expires_at": _ASK_AGAIN,
        }

    def _load(self) -> None:
        session = self._new_session()
        places = ("credentials_file", "config_file")
        self._files = [Path(session.get_config_variable(name)).expanduser() for name in places]
        read_at = self._changed_at()
        if (found := session.get_credentials()) is None:
            raise ValueError("no profile, no variables, and no role of this machine")
        self._keys, self._read_at = found, read_at
        region = self._region or session.get_config_variable("region")
        self.config: S3Config = {"region": region} if region else {}

    def _changed_at(self) -> list[int]:
        return [path.stat().st_mtime_ns if path.exists() else 0 for path in self._files]


def found_by_boto3(url: str, region: str | None) -> FoundKeys | None:
    """Keys from the usual places; None without boto3.

    Variables, profiles, SSO, assumed roles, containers (ECS, Batch) and instances. Without the
    `aws` extra obstore searches variables, web identities, containers and instances by itself.
    Raises ConfigError when there are none.
    """
    try:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 -- only the aws extra has it
        from botocore.session import get_session  # noqa: PLC0415 -- and it is slow to import
    except ModuleNotFoundError:
        return None
    errors = (BotoCoreError, ValueError)
    try:
        return FoundKeys(get_session, region, errors)
    except errors as error:
        raise no_keys(url, str(error)) from error


def no_keys(url: str, why: str) -> ConfigError:
    """The error for a bucket without any AWS keys to open it with."""
    return ConfigError(
        f"{url}: no AWS credentials were found ({why}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID "
        f"and AWS_SECRET_ACCESS_KEY, or run where a role gives the keys"
    )
