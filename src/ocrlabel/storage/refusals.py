"""What an object store's error means: no such object, something to mend, or try again.

S3 tells them apart by a status and a code in XML, which obstore hands on only as text.
"""

from __future__ import annotations

import re

from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

from ocrlabel.errors import ConfigError, OcrLabelError, StoreUnavailable
from ocrlabel.proxies import WITHOUT
from ocrlabel.storage.base import NotStored
from ocrlabel.storage.credentials import no_keys

_LACKING = 501
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>([\w.]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_REGION = re.compile(
    r"<Region>([\w-]+)</Region>|expecting '([\w-]+)'|<Endpoint>[^<]*?s3[.-]([a-z]+-[a-z-]+-\d)\."
)
_REGION_CODES = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect"})
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
_NOT_IMPLEMENTED = "NotImplemented"
_EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
_HELP = {
    "RequestTimeTooSkewed": "the clock of this machine is wrong by more than 15 minutes: set it",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key: copy both anew",
    "InvalidAccessKeyId": "AWS does not know the access key: it was deleted, was switched off, or"
    " is another server's or partition's; use another one",
    "InvalidObjectState": "the object is in an archive (Glacier): restore it first",
    _NOT_IMPLEMENTED: "this S3 server lacks what ocrlabel is built on, conditional writes"
    " (If-None-Match): take a newer version of it, or another",
    "KMS.DisabledException": "switch the bucket's KMS key on again",
    "KMS.NotFoundException": "the KMS key is gone, or AWS_SSE_KMS_KEY_ID names another one",
}
_RIGHTS = (
    "the keys in use need s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and"
    " s3:DeleteObject on its objects; where the requester pays, set AWS_REQUEST_PAYER=true"
)
_KMS_RIGHTS = (
    "the keys in use need kms:Decrypt and kms:GenerateDataKey on the KMS key of the bucket"
    " or of AWS_SSE_KMS_KEY_ID"
)
_FORBIDDEN = (
    "a policy forbids this to all or to these keys; where it demands encryption, set"
    " AWS_SERVER_SIDE_ENCRYPTION (AES256 or aws:kms) and, for a key of your own, AWS_SSE_KMS_KEY_ID"
)
_BAD_NAME = "object with invalid path"  # obstore's words for another tool's "a//b"
_SET_REGION = ": set AWS_REGION to the bucket's region"
_OTHER_REGION = "redirect without LOCATION"  # obstore's words for S3's 301


class OtherRegion(ConfigError):
    """The bucket is in another region, which the answer may name."""

    def __init__(self, url: str, region: str) -> None:
        set_it = f", {region}: set AWS_REGION={region}" if region else _SET_REGION
        super().__init__(f"{url}: the bucket is in another region{set_it}")
        self._url, self._region = url, region

    def at(self, region: str) -> OtherRegion:
        """The same, where something else has named the region."""
        return OtherRegion(self._url, self._region or region)


def refusal(error: Exception, key: str, url: str) -> Exception | None:
    """What to raise instead, or None where another attempt may succeed."""
    text = str(error)
    if isinstance(error, PreconditionError):
        return StoreUnavailable(f"{url}: {key!r} was replaced while it was read; run it again")
    if "invalid list response" in text:
        return no_listing(url)
    if _first(_CODE, text) == "NoSuchBucket":
        return ConfigError(f"{url}: there is no such bucket; make it first or mend its name")
    if isinstance(error, FileNotFoundError) and _first(_CODE, text) not in _PASSING:
        return NotStored(key)
    if _may_pass(text):
        return None
    return _to_mend(error, text, key, url)


def naming_proxy(told: Exception, error: Exception, through: str) -> Exception:
    """What is told of an error, and the way it came where the store has not said it itself."""
    if through and isinstance(told, OcrLabelError) and not _first(_CODE, str(error)):
        told.args = (f"{told}; asked {through} ({WITHOUT})",)
    return told


def no_listing(url: str) -> StoreUnavailable:
    """What to raise where something else answers in the store's place."""
    return StoreUnavailable(
        f"{url}: what answered is no listing of a bucket: is a login page or a proxy in between?"
        " What was saved stays saved: run the same command again to go on"
    )


def _may_pass(text: str) -> bool:
    if _OTHER_REGION in text or _BAD_NAME in text:
        return False
    if _first(_CODE, text) in _PASSING or _about_keys(text):
        return True  # who hands out keys may only be busy; else `missing_keys` says it
    status = int(_first(_STATUS, text) or 0)
    return status in {0, 429} or (status >= 500 and status != _LACKING)  # 0: the connection failed


def _to_mend(error: Exception, text: str, key: str, url: str) -> ConfigError | StoreUnavailable:
    code = _first(_CODE, text)
    if code in _REGION_CODES or _OTHER_REGION in text:
        return OtherRegion(url, _first(_REGION, text))
    if code in _EXPIRED:
        return StoreUnavailable(
            f"{url}: {reason(error)}; get new AWS keys: a run that goes on takes them up where"
            " they are kept, else run the same command again"
        )
    if f"status code: {_LACKING}" in text:
        code = _NOT_IMPLEMENTED
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or code in _HELP:
        return ConfigError(f"{url}: {reason(error)}; {_HELP.get(code) or _denied(code, text)}")
    if _BAD_NAME in text:
        return ConfigError(
            f"{url}: beside the objects of {key!r} lies one with a name that cannot be used; "
            f"move it away: {text.partition(_BAD_NAME)[2].splitlines()[0].strip(': ')}"
        )
    return ConfigError(f"{url}: the store refuses {key!r}: {reason(error)}")


def missing_keys(error: Exception, url: str) -> ConfigError | None:
    """The error of a last attempt that got no AWS keys; None where it failed otherwise."""
    return no_keys(url, reason(error)) if _about_keys(str(error)) else None


def reason(error: Exception) -> str:
    """One short sentence of a long error: the store's own code and words where it gave any."""
    text = str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    message = ": ".join(part for part in (_first(_CODE, text), _first(_MESSAGE, text)) if part)
    status = _first(_STATUS, text)
    if message or status:
        return " ".join(part for part in (status, message) if part)
    head = text.split("\n", 1)[0].strip()
    return head.rsplit(" - ", 1)[-1] or type(error).__name__


def _about_keys(text: str) -> bool:
    return any(sign in text for sign in _ABOUT_KEYS)


def _denied(code: str, text: str) -> str:
    message = _first(_MESSAGE, text)
    if code.startswith("KMS.") or "kms:" in message:
        return _KMS_RIGHTS
    return _FORBIDDEN if "explicit deny" in message else _RIGHTS


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return next(filter(None, found.groups()), "") if found else ""
