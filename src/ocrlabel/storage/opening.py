"""From what a user writes to a store: `s3://bucket/prefix`, `memory://`, or a folder."""

from __future__ import annotations

from pathlib import Path

from ocrlabel.errors import ConfigError
from ocrlabel.storage.base import ObjectStore, RetryLimits
from ocrlabel.storage.credentials import Credentials
from ocrlabel.storage.folder import FolderStore


def open_store(
    url_or_path: str | Path,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    credentials: Credentials | None = None,
    ca_bundle: str | None = None,
    retry_limits: RetryLimits | None = None,
) -> ObjectStore:
    """Open a store; nothing is sent yet, and a folder is made by its first write.

    endpoint_url: another S3 server than AWS's. region: the bucket's, else the profile's, else
    us-east-1. credentials: else the usual places are searched. ca_bundle: a PEM
    file of the certificates to trust, as AWS_CA_BUNDLE names it. memory:// is new on every call.
    Raises ConfigError for an address of another kind and for missing AWS keys.
    """
    text = str(url_or_path)
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme or scheme == "file":
        return FolderStore(Path(rest if has_scheme else text).expanduser().absolute())
    from ocrlabel.storage import bucket  # noqa: PLC0415 -- obstore is slow to import for a folder

    if scheme == "memory":
        return bucket.memory(retry_limits or RetryLimits())
    if scheme in {"s3", "s3a"}:
        return bucket.open_bucket(
            rest.rstrip("/"),
            endpoint_url=endpoint_url,
            region=region,
            credentials=credentials,
            ca_bundle=ca_bundle,
            retry_limits=retry_limits or RetryLimits(),
        )
    raise ConfigError(f"{text}: cannot open {scheme}://; give s3://bucket/prefix or a folder")
