"""A bucket on S3, or on another server that speaks its language, as a RemoteStore."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import MemoryStore, S3Store

from ocrlabel.errors import ConfigError
from ocrlabel.storage.credentials import Credentials, found_by_boto3
from ocrlabel.storage.keys import checked
from ocrlabel.storage.patience import Patience
from ocrlabel.storage.ranges import PART_BYTES
from ocrlabel.storage.remote import RemoteStore

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_HOUR = timedelta(hours=1)


def open_bucket(
    bucket_and_prefix: str,
    *,
    endpoint_url: str | None,
    region: str | None,
    credentials: Credentials | None,
    patience: Patience,
) -> RemoteStore:
    """Open `bucket/prefix`. Raises ConfigError for a bad name and for missing AWS keys."""
    url = f"s3://{bucket_and_prefix}"
    bucket, _, prefix = bucket_and_prefix.partition("/")
    if not bucket:
        raise ConfigError(f"{url}: the bucket's name is missing; write s3://bucket/prefix")
    if prefix:
        checked(prefix)
    keys = credentials or found_by_boto3(url, region)
    config: S3Config = {}
    if region:
        config["region"] = region
    if endpoint_url:
        config["endpoint"] = endpoint_url

    def native(timeout: timedelta, retry: RetryConfig) -> S3Store:
        client: ClientConfig = {
            "allow_http": (endpoint_url or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=patience.attempt_s),
            "timeout": timeout,
        }
        return S3Store(
            bucket,
            prefix=prefix or None,
            config=config,
            client_options=client,
            retry_config=retry,
            credential_provider=keys,
        )

    # RemoteStore ends every attempt by itself, after a time that grows with its size: the
    # client's own limit must only be longer.
    single = native(_HOUR, {"max_retries": 0})
    part_s = patience.attempt_s + patience.extra_s(PART_BYTES)
    return RemoteStore(single, native(timedelta(seconds=part_s), _retry(patience)), url, patience)


def memory(patience: Patience) -> RemoteStore:
    """A store that is gone with the process: for rehearsals and tests."""
    native = MemoryStore()
    return RemoteStore(native, native, "memory://", patience)


def _retry(patience: Patience) -> RetryConfig:
    return {
        "max_retries": 5,
        "retry_timeout": timedelta(seconds=patience.limit_s),
        "backoff": {
            "init_backoff": timedelta(seconds=patience.first_wait_s),
            "max_backoff": timedelta(seconds=patience.longest_wait_s),
            "base": 2,
        },
    }
