"""Objects in a bucket on S3, or on another server with its API, and in memory: over obstore.

obstore's own retries are off here: they re-send a create and then report its success as
AlreadyExists, and do not retry a 409. RemoteStore's one loop does both right, signs every attempt
anew, and ends in time.
"""

from __future__ import annotations

import asyncio
import io
import os
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import MemoryStore, S3Store

from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.proxies import through_proxy
from ocrlabel.storage.base import NotStored, RetryLimits, Stored, checked, folder_of
from ocrlabel.storage.credentials import Credentials, found_by_boto3
from ocrlabel.storage.refusals import (
    OtherRegion,
    missing_keys,
    naming_proxy,
    no_listing,
    reason,
    refusal,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config

T = TypeVar("T")
_HOUR = timedelta(hours=1)
_BUFFER_BYTES = 1024 * 1024  # one request for many small reads: a round trip costs more
_PART_BYTES = 8 * 1024 * 1024
_PAGE_KEYS = 1000
_uniform = SystemRandom().uniform
_MOST_PARTS = 10_000  # of one object, by S3's rules
_CA_VARIABLE = "SSL_CERT_FILE"
_BELIEVED_S = 5.0  # an empty listing, once one was seen to tell of an object
_UPLOADS_AT_ONCE = 4  # parts of _PART_BYTES each: what a large upload holds in memory


def open_bucket(
    bucket_and_prefix: str,
    *,
    endpoint_url: str | None,
    region: str | None,
    credentials: Credentials | None,
    ca_bundle: str | None,
    retry_limits: RetryLimits,
) -> RemoteStore:
    """Open `bucket/prefix`.

    Raises ConfigError for a bad name, for missing AWS keys, and for certificates that are none.
    """
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
            "connect_timeout": timedelta(seconds=retry_limits.attempt_s),
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
    part_s = retry_limits.attempt_s + retry_limits.extra_s(_PART_BYTES)
    retry: RetryConfig = {
        "max_retries": 5,
        "retry_timeout": timedelta(seconds=retry_limits.limit_s),
        "backoff": {
            "init_backoff": timedelta(seconds=retry_limits.first_wait_s),
            "max_backoff": timedelta(seconds=retry_limits.longest_wait_s),
            "base": 2,
        },
    }
    with _trusting(ca_bundle):
        single = native(_HOUR, {"max_retries": 0})
        bulk = native(timedelta(seconds=part_s), retry)
    server = endpoint_url or f"https://s3.{region or 'us-east-1'}.amazonaws.com"
    return RemoteStore(
        single,
        bulk,
        url,
        retry_limits,
        through=through_proxy(server, os.environ),  # noqa: TID251 -- where obstore finds it, too
        region_of=partial(_region_of, endpoint_url or "https://s3.amazonaws.com", bucket),
    )


def _region_of(endpoint_url: str, bucket: str) -> str:
    """The region that S3 names to whoever asks elsewhere; "" where it names none.

    It stands in a header, also of a refusal, and obstore hands on neither. Blocks.
    """
    request = urllib.request.Request(f"{endpoint_url}/{bucket}", method="HEAD")  # noqa: S310 -- the S3 server that is in use
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 -- as above
            headers = answer.headers
    except urllib.error.HTTPError as error:
        headers = error.headers
    except OSError:
        return ""
    return str(headers.get("x-amz-bucket-region") or "")


@contextmanager
def _trusting(ca_bundle: str | None) -> Iterator[None]:
    """Clients that are made in here trust these certificates, and no others do.

    obstore takes them from a variable alone, which would hold for all connections of the process.
    """
    if not ca_bundle:
        yield
        return
    try:
        held = "BEGIN CERTIFICATE" in Path(ca_bundle).read_text(encoding="utf-8", errors="replace")
        reason = "it holds no certificate in PEM form"
    except OSError as error:
        held, reason = False, error.strerror or str(error)
    if not held:
        raise ConfigError(f"AWS_CA_BUNDLE is {ca_bundle}: {reason}; mend it or unset it")
    before = os.environ.get(_CA_VARIABLE)  # noqa: TID251 -- see above
    os.environ[_CA_VARIABLE] = ca_bundle  # noqa: TID251 -- see above
    try:
        yield
    finally:
        del os.environ[_CA_VARIABLE]  # noqa: TID251 -- see above
        if before is not None:
            os.environ[_CA_VARIABLE] = before  # noqa: TID251 -- see above


def memory(retry_limits: RetryLimits) -> RemoteStore:
    """A store that is gone with the process: for rehearsals and tests."""
    native = MemoryStore()
    return RemoteStore(native, native, "memory://", retry_limits)


@dataclass(eq=False, slots=True)
class RemoteStore:
    """Objects of one native obstore store.

    native: without retries of its own. bulk: the same store with retries, for uploads in parts
    and for `open`, where a whole operation would be too much to repeat. region_of: blocks.
    through: the proxy on the way, in words. Of listings, an object that was there, and until when
    one may be empty.
    """

    native: S3Store | MemoryStore
    bulk: S3Store | MemoryStore
    url: str
    retry_limits: RetryLimits
    region_of: Callable[[], str] = str
    through: str = ""
    _there: str = ""
    _believed_s: float = 0.0

    async def get(self, key: str) -> bytes:
        """The whole object. Raises NotStored."""
        return await self._trying(key, "read", lambda: self._get(checked(key)))

    async def put(self, key: str, data: bytes) -> None:
        """Write or replace; all or nothing."""

        async def attempt() -> None:
            await obstore.put_async(self.native, checked(key), data, use_multipart=False)

        await self._trying(key, "written", attempt, size_bytes=len(data))
        self._there = self._there or key

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write unless the key exists; True when the object there is `data`.

        An attempt whose answer got lost may have written: so "already exists" is settled by
        reading. S3 says the same while another's write is under way (409); then nothing is there
        to read yet, or never will be, and it is tried again.
        """

        async def attempt() -> bool:
            try:
                await obstore.put_async(self.native, checked(key), data, mode="create")
            except AlreadyExistsError:
                try:
                    return await self._get(key) == data
                except FileNotFoundError as error:
                    raise _StillUndecided from error
            return True

        written = await self._trying(key, "written", attempt, size_bytes=len(data))
        self._there = self._there or key
        return written

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """Every object whose key starts with prefix; a page of keys in memory at a time."""
        # Stores list by folder. Starting just before the prefix and stopping behind it skips
        # what lies beside it: `train_batch_` does not read through all of `train/asks/`.
        folder = folder_of(prefix) or None
        last = _just_before(prefix)
        while True:

            async def attempt(after: str | None = last) -> Sequence[Stored]:
                return await self._page(folder, after)

            page = await self._trying(prefix, "listed", attempt)
            for stored in page:
                if stored.key.startswith(prefix):
                    if stored.size_bytes or await self._is_object(stored.key):
                        yield stored
                elif stored.key > prefix:
                    return
            if len(page) < _PAGE_KEYS:
                return
            last = page[-1].key

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete; keys that do not exist are no error."""
        wanted = [checked(key) for key in keys]
        for start in range(0, len(wanted), _PAGE_KEYS):
            some = wanted[start : start + _PAGE_KEYS]

            async def attempt(some: Sequence[str] = some) -> None:
                await obstore.delete_async(self.native, some)

            await self._trying(some[0], "deleted", attempt)

    async def upload(self, key: str, path: Path) -> None:
        """Write or replace from a file, in parts, without holding it in memory."""
        size_bytes = (await asyncio.to_thread(path.stat)).st_size

        async def attempt() -> None:
            await obstore.put_async(
                self.bulk,
                checked(key),
                path,
                chunk_size=max(_PART_BYTES, -(-size_bytes // _MOST_PARTS)),
                max_concurrency=_UPLOADS_AT_ONCE,
            )

        await self._trying(key, "written", attempt, size_bytes=size_bytes)

    async def download(self, key: str, path: Path) -> None:
        """Copy an object into a file, part by part; a part that fails is asked for again."""
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as file:
                head = await self._trying(key, "read", lambda: self._head(checked(key)))
                for start in range(0, head["size"], _PART_BYTES):
                    end = min(start + _PART_BYTES, head["size"])

                    async def attempt(start: int = start, end: int = end) -> bytes:
                        return await self._get(key, (start, end), head["e_tag"])

                    data = await self._trying(key, "read", attempt, size_bytes=end - start)
                    await asyncio.to_thread(file.write, data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def open(self, key: str) -> BinaryIO:
        """A seekable reader that fetches ranges as they are read. Raises NotStored."""
        raw = _RangeReader(self, checked(key))
        return cast("BinaryIO", io.BufferedReader(raw, _BUFFER_BYTES))

    async def _get(
        self, key: str, span: tuple[int, int] | None = None, e_tag: str | None = None
    ) -> bytes:
        """One attempt; the body gets the time that its size needs."""
        result = await (
            obstore.get_async(self.native, key, options={"range": span, "if_match": e_tag})
            if span
            else obstore.get_async(self.native, key)
        )
        size_bytes = span[1] - span[0] if span else result.meta["size"]
        async with asyncio.timeout(
            self.retry_limits.attempt_s + self.retry_limits.extra_s(size_bytes)
        ):
            data = bytes(await result.bytes_async())
        self._there = self._there or key
        return data

    async def _head(self, key: str) -> ObjectMeta:
        try:
            return await obstore.head_async(self.native, key)
        except FileNotFoundError:  # no reason is given with HEAD, such as a missing bucket
            return (await obstore.get_async(self.native, key)).meta

    async def _is_object(self, key: str) -> bool:
        """False for the empty "folder/" that S3's console makes and obstore lists as "folder"."""
        try:
            await self._trying(key, "read", lambda: self._head(key))
        except NotStored:
            return False
        return True

    async def _page(self, folder: str | None, after: str | None) -> Sequence[Stored]:
        """Up to _PAGE_KEYS objects of a folder, sorted, after a key."""
        stream = obstore.list(self.native, folder, offset=after, chunk_size=_PAGE_KEYS)
        async for chunk in stream:
            return [Stored(found["path"], found["size"]) for found in chunk]
        await self._refuse_what_is_no_listing()
        return []

    async def _refuse_what_is_no_listing(self) -> None:
        """Raise StoreUnavailable where an object that is there is not listed either.

        obstore takes every document of XML for a listing; that of a login page has no objects.
        """
        key = self._there
        if not key or time.monotonic() < self._believed_s:
            return
        stream = obstore.list(self.native, folder_of(key) or None, offset=_just_before(key))
        if not [chunk async for chunk in stream]:
            try:
                await obstore.head_async(self.native, key)
            except FileNotFoundError:
                self._there = ""
                return
            raise no_listing(self.url)
        self._believed_s = time.monotonic() + _BELIEVED_S

    async def _trying(
        self, key: str, done: str, attempt: Callable[[], Awaitable[T]], *, size_bytes: int = 0
    ) -> T:
        """The attempt's result, tried again while its error may pass and there is time."""
        extra_s = self.retry_limits.extra_s(size_bytes)
        end = time.monotonic() + self.retry_limits.limit_s + extra_s
        for longest_wait_s in self.retry_limits.waits_s():
            try:
                left_s = max(end - time.monotonic(), 0.0)
                async with asyncio.timeout(min(self.retry_limits.attempt_s + extra_s, left_s)):
                    return await attempt()
            except (BaseError, OSError, _StillUndecided) as error:
                refused = refusal(error, key, self.url)
                if isinstance(refused, OtherRegion):
                    refused = refused.at(await asyncio.to_thread(self.region_of))
                if refused is not None:
                    raise naming_proxy(refused, error, self.through) from error
                wait_s = _uniform(0.0, longest_wait_s)
                if time.monotonic() + wait_s >= end:
                    gave_up = self._gave_up(error, key, done, extra_s)
                    raise naming_proxy(gave_up, error, self.through) from error
            await asyncio.sleep(wait_s)
        raise AssertionError("waits never end")

    def _gave_up(self, error: Exception, key: str, done: str, extra_s: float) -> Exception:
        limit_s = self.retry_limits.limit_s + extra_s
        return missing_keys(error, self.url) or StoreUnavailable(
            f"{self.url}: {key!r} could not be {done} within {limit_s:.0f} s: {reason(error)}; "
            f"what was saved stays saved: run the same command again to go on"
        )


class _RangeReader(io.RawIOBase):
    """A stored object as a file: seekable, read by ranges, for readers that skip (parquet).

    What is read is of one version of it. Its calls block, so the store retries by itself.
    """

    def __init__(self, store: RemoteStore, key: str) -> None:
        super().__init__()
        self._store, self._key = store, key
        try:
            try:
                meta = obstore.head(store.bulk, key)
            except FileNotFoundError:  # no reason is given with HEAD, such as a missing bucket
                meta = obstore.get(store.bulk, key).meta
        except (BaseError, OSError) as error:
            raise self._translated(error) from error
        self._size_bytes: int = meta["size"]
        self._e_tag: str | None = meta["e_tag"]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer is not a run-time name
        end = min(self._at + min(len(buffer), _PART_BYTES), self._size_bytes)
        if end <= self._at:
            return 0
        try:
            result = obstore.get(
                self._store.bulk,
                self._key,
                options={"range": (self._at, end), "if_match": self._e_tag},
            )
            data = bytes(result.bytes())
        except (BaseError, OSError) as error:
            raise self._translated(error) from error
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def readall(self) -> bytes:
        """The rest, in large parts; the inherited way would ask for 8 KiB at a time."""
        rest = memoryview(bytearray(max(self._size_bytes - self._at, 0)))
        filled = 0
        while read := self.readinto(rest[filled:]):
            filled += read
        return bytes(rest)

    def _translated(self, error: Exception) -> Exception:
        url = self._store.url
        refused = refusal(error, self._key, url)
        if isinstance(refused, OtherRegion):
            return refused.at(self._store.region_of())
        told = refused or missing_keys(error, url)
        if told is None:
            read = f"{url}: {self._key!r} could not be read: {reason(error)}"
            told = StoreUnavailable(f"{read}; run the same command again to go on")
        return naming_proxy(told, error, self._store.through)


class _StillUndecided(Exception):
    """The key exists and cannot be read: a write of it is under way."""

    def __str__(self) -> str:
        return "409 ConditionalRequestConflict: another write of it is under way"


def _just_before(prefix: str) -> str | None:
    """A key after which a listing may start so that no key with this prefix is skipped."""
    folder, _, name = prefix.rpartition("/")
    shorter = name[:-1]
    if shorter in {"", ".", ".."}:  # such a part is no key
        return None
    return f"{folder}/{shorter}" if folder else shorter
