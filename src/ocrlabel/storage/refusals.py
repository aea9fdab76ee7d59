"""What an object store's error means: no such object, something to mend, or try again.

S3 tells them apart by a status and a code in XML, which obstore hands on only as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from ocrlabel.errors import ConfigError
from ocrlabel.storage.base import NotStored

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Credential

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_REGION = re.compile(r"<Region>([\w-]+)</Region>|expecting '([\w-]+)'")
# Codes that pass by themselves although their status says that the request is to blame.
_PASSING = frozenset(
    {
        "RequestTimeout",
        "ConditionalRequestConflict",
        "OperationAborted",
        "NoSuchUpload",
        "Throttling",
        "ThrottlingException",
        "SlowDown",
    }
)
# How an error tells that it is about getting keys, not about the object: boto3 behind obstore,
# or the address where a role hands them out (instance, container, pod).
_ABOUT_KEYS = (
    "External AWS credential provider",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "fd00:ec2::254",
)
_BAD_NAME = "object with invalid path"  # obstore's words for another tool's "a//b"
_OTHER_REGION = "redirect without LOCATION"  # obstore's words for S3's 301
# boto3 renews a role's keys once less than 15 minutes of them are left; keys that are held longer
# than that (obstore's default is 30 minutes) would be used after they expired.
_HELD = timedelta(minutes=10)


def meaning(error: Exception, key: str, url: str) -> Exception | None:
    """What to raise instead, or None where another attempt may succeed."""
    text = str(error)
    if _first(_CODE, text) == "NoSuchBucket":
        return ConfigError(f"{url}: there is no such bucket; make it first or mend its name")
    if isinstance(error, FileNotFoundError) and _first(_CODE, text) not in _PASSING:
        return NotStored(key)
    if _may_pass(text):
        return None
    return _refusal(error, text, key, url)


def _may_pass(text: str) -> bool:
    if _OTHER_REGION in text or _BAD_NAME in text:
        return False
    if _first(_CODE, text) in _PASSING or _about_keys(text):
        return True  # who hands out keys may only be busy; `last_words` is for when not
    status = int(_first(_STATUS, text) or 0)
    return status in {0, 429} or status >= 500  # 0: the connection failed


def _refusal(error: Exception, text: str, key: str, url: str) -> ConfigError:
    code = _first(_CODE, text)
    if code in {"AuthorizationHeaderMalformed", "PermanentRedirect"} or _OTHER_REGION in text:
        return ConfigError(f"{url}: the bucket is in another region{_region(text)}")
    if code in {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}:
        return ConfigError(f"{url}: {reason(error)}; get new AWS keys and run it again")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return ConfigError(
            f"{url}: {reason(error)}; the keys in use need s3:ListBucket on the bucket and "
            f"s3:GetObject, s3:PutObject and s3:DeleteObject on its objects"
        )
    if _BAD_NAME in text:
        return ConfigError(
            f"{url}: beside the objects of {key!r} lies one with a name that cannot be used; "
            f"move it away: {text.partition(_BAD_NAME)[2].splitlines()[0].strip(': ')}"
        )
    return ConfigError(f"{url}: the store refuses {key!r}: {reason(error)}")


def last_words(error: Exception, url: str) -> ConfigError | None:
    """What to say when the last attempt failed so, where that is not "it does not answer"."""
    return no_keys(url, reason(error)) if _about_keys(str(error)) else None


def reason(error: Exception) -> str:
    """One short sentence of a long error: the store's own code and words where it gave any."""
    text = str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = ": ".join(part for part in (_first(_CODE, text), _first(_MESSAGE, text)) if part)
    status = _first(_STATUS, text)
    if said or status:
        return " ".join(part for part in (status, said) if part)
    head = text.split("\n", 1)[0].strip()
    return head.rsplit(" - ", 1)[-1] or type(error).__name__


def _about_keys(text: str) -> bool:
    return any(sign in text for sign in _ABOUT_KEYS)


def _region(text: str) -> str:
    found = _REGION.search(text)
    name = (found.group(1) or found.group(2)) if found else ""
    return f", {name}: set AWS_REGION={name}" if name else ": set AWS_REGION to the bucket's region"


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS keys given by hand; without them the usual places are searched."""

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
