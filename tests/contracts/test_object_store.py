"""What every store promises: one body for memory, a folder, and S3 over real HTTP."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path, PosixPath
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrlabel.errors import ConfigError, OcrLabelError, StoreUnavailable
from ocrlabel.storage.base import NotStored, ObjectStore, RetryLimits
from ocrlabel.storage.opening import open_store
from tests.support.s3 import (
    CREDENTIALS,
    REGION,
    Fault,
    Proxy,
    flaky_proxy,
    make_bucket,
    raw_keys,
    raw_put,
)

ODD_KEYS = (
    "data/한국어 영수증 (1).json",
    "a b/c%20d#e'f\"g?h&i+j=k.json",
    "~!@$()*,;:[]{}|^`<>.x",
    ".hidden/..b/%2F",
    "é/e\u0301",
)
QUICK = RetryLimits(limit_s=8, attempt_s=1.5, first_wait_s=0.01, longest_wait_s=0.05)
HASTY = RetryLimits(limit_s=0.3, attempt_s=0.2, first_wait_s=0.01, longest_wait_s=0.05)
SERVERS = ("moto_url", "seaweed_url")
STORES = ("memory", "folder", "moto_url", "moto_url prefix", "seaweed_url")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    kind, _, prefix = request.param.partition(" ")
    if kind == "memory":
        return open_store("memory://")
    if kind == "folder":
        return open_store(tmp_path / "한 글 %41")
    server = request.getfixturevalue(kind)
    url = f"s3://{_new_bucket(server)}" + ("/labels of 2026/한#%20" if prefix else "")
    return open_store(url, endpoint_url=server, region=REGION, credentials=CREDENTIALS)


def _new_bucket(server: str) -> str:
    name = f"bucket-{secrets.token_hex(8)}"
    make_bucket(server, name)
    return name


@pytest.fixture(params=SERVERS)
def s3_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def bucket(s3_url: str) -> str:
    return _new_bucket(s3_url)


@pytest.fixture
def proxy(s3_url: str) -> Iterator[Proxy]:
    with flaky_proxy(s3_url) as proxy:
        yield proxy


@pytest.fixture
def flaky(proxy: Proxy, bucket: str) -> ObjectStore:
    return open_store(
        f"s3://{bucket}",
        endpoint_url=proxy.url,
        region=REGION,
        credentials=CREDENTIALS,
        retry_limits=QUICK,
    )


@pytest.fixture
def hasty(proxy: Proxy, bucket: str) -> ObjectStore:
    return open_store(
        f"s3://{bucket}",
        endpoint_url=proxy.url,
        region=REGION,
        credentials=CREDENTIALS,
        retry_limits=HASTY,
    )


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted([stored.key async for stored in store.list(prefix)])


def read(store: ObjectStore, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


# every store ------------------------------------------------------------------------------------


async def test_what_was_put_is_read_back(store: ObjectStore) -> None:
    await store.put("a/b.json", b"one")

    assert await store.get("a/b.json") == b"one"
    assert [(found.key, found.size_bytes) async for found in store.list("a/")] == [("a/b.json", 3)]


async def test_put_replaces(store: ObjectStore) -> None:
    await store.put("a", b"a longer first one")
    await store.put("a", b"two")

    assert await store.get("a") == b"two"


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    await store.put("empty", b"")

    assert await store.get("empty") == b""
    assert await keys(store) == ["empty"]


async def test_put_if_absent_writes_once_and_never_replaces(store: ObjectStore) -> None:
    assert await store.put_if_absent("a", b"mine")
    assert not await store.put_if_absent("a", b"yours")

    assert await store.get("a") == b"mine"


async def test_put_if_absent_of_the_same_bytes_says_yes_again(store: ObjectStore) -> None:
    assert await store.put_if_absent("a", b"mine")
    assert await store.put_if_absent("a", b"mine")


async def test_of_32_that_race_for_a_key_exactly_one_wins(store: ObjectStore) -> None:
    for race in range(4):
        key = f"race/{race}"
        won = await asyncio.gather(
            *(store.put_if_absent(key, f"writer {n}".encode()) for n in range(32))
        )

        assert won.count(True) == 1
        assert await store.get(key) == f"writer {won.index(True)}".encode()


async def test_a_key_that_is_missing_is_told_apart_from_a_store_that_fails(
    store: ObjectStore, tmp_path: Path
) -> None:
    with pytest.raises(NotStored):
        await store.get("none")
    with pytest.raises(NotStored):
        await store.download("none", tmp_path / "copy")
    with pytest.raises(NotStored):
        store.open("none/at/all")
    assert not [*tmp_path.glob("*copy*")]


async def test_a_folder_is_not_an_object(store: ObjectStore) -> None:
    await store.put("a/b/c", b"")

    with pytest.raises(NotStored):
        await store.get("a/b")
    with pytest.raises(NotStored):
        store.open("a/b")


async def test_deleting_what_is_not_there_is_no_error(store: ObjectStore) -> None:
    await store.put("a/b", b"")
    await store.delete(["a/b", "none", "a/none/at/all"])
    await store.delete([])

    assert await keys(store) == []
    assert await store.put_if_absent("a/b", b"again")


@pytest.mark.parametrize("store", STORES[:-1], indirect=True)  # of SeaweedFS a\\b is a/b
async def test_a_backslash_in_a_key_is_no_slash(store: ObjectStore) -> None:
    await store.put("a\\b.x", b"one")

    assert await keys(store) == ["a\\b.x"]


async def test_odd_characters_in_keys_stay_as_they_are(store: ObjectStore, tmp_path: Path) -> None:
    for n, key in enumerate(ODD_KEYS):
        assert await store.put_if_absent(key, str(n).encode())

    assert await keys(store) == sorted(ODD_KEYS)
    for n, key in enumerate(ODD_KEYS):
        assert await store.get(key) == str(n).encode()
        assert [*await keys(store, key)] == [key]
        assert read(store, key) == str(n).encode()
        await store.download(key, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == str(n).encode()
        await store.upload(key, tmp_path / "copy")
    await store.delete(ODD_KEYS)
    assert await keys(store) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        "./a",
        "a\nb",
        "a\0b",
        "\ud800",
        "x" * 256,
        "x/" * 600 + "x",
    ],
)
async def test_a_key_that_some_store_cannot_hold_is_refused_by_all(
    store: ObjectStore, key: str
) -> None:
    with pytest.raises(ConfigError, match="choose another name"):
        await store.put(key, b"")
    with pytest.raises(ConfigError):
        await store.put_if_absent(key, b"")
    with pytest.raises(ConfigError):
        await store.get(key)


async def test_a_listing_takes_a_prefix_letter_by_letter(store: ObjectStore) -> None:
    wanted = ["c/train_batch_0000.parquet", "c/train_batch_0001.parquet"]
    for key in [
        *wanted,
        "c/train_batc",
        "c/train/asks/x/1.json",
        "c/train_v2_batch_0000.parquet",
        "c/train_batch/x",
        "c2/train_batch_0000.parquet",
        "c",
    ]:
        # "c" is a file here and a folder there: only a bucket can hold both
        if key != "c":
            await store.put(key, b"")

    assert await keys(store, "c/train_batch_") == wanted
    assert await keys(store, "c/train/") == ["c/train/asks/x/1.json"]
    assert await keys(store, "c/train/asks") == ["c/train/asks/x/1.json"]
    assert await keys(store, "c2") == ["c2/train_batch_0000.parquet"]
    assert await keys(store, "none/") == []
    assert len(await keys(store, "c")) == 7


async def test_a_listing_gives_more_than_a_page_of_a_thousand(store: ObjectStore) -> None:
    names = [f"many/{n:04}" for n in range(1100)]
    waiting = iter(names)

    async def writer() -> None:
        for name in waiting:
            await store.put(name, b"x")

    await asyncio.gather(*(writer() for _ in range(8)))
    await store.put("more", b"")

    assert await keys(store, "many/") == names
    assert await keys(store, "many/1") == names[1000:]
    await store.delete(names)
    assert await keys(store) == ["more"]


async def test_a_large_object_goes_up_and_down_by_file(store: ObjectStore, tmp_path: Path) -> None:
    data = secrets.token_bytes(1024) * (17 * 1024)  # 17 MiB: more than two parts
    (tmp_path / "here").write_bytes(data)

    await store.upload("big", tmp_path / "here")
    await store.download("big", tmp_path / "there")

    assert (tmp_path / "there").read_bytes() == data
    with store.open("big") as file:
        assert file.seekable()
        assert file.seek(-5, io.SEEK_END) == len(data) - 5
        assert file.read() == data[-5:]
        file.seek(10 * 1024 * 1024 + 3)
        assert file.read(2 * 1024 * 1024) == data[10 * 1024 * 1024 + 3 :][: 2 * 1024 * 1024]
        file.seek(0)
        assert file.read() == data
        assert file.read(1) == b""


async def test_an_empty_file_goes_up_and_down(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "here").touch()

    await store.upload("empty", tmp_path / "here")
    await store.download("empty", tmp_path / "there")

    assert (tmp_path / "there").read_bytes() == b""
    assert read(store, "empty") == b""


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "put_if_absent", "delete"]),
            st.sampled_from(["a", "b/c", "b/d", "ba"]),
            st.binary(max_size=3),
        ),
        max_size=12,
    )
)
def test_any_steps_leave_what_a_dictionary_would_hold(
    store: ObjectStore, steps: list[tuple[str, str, bytes]]
) -> None:
    async def go() -> None:
        held: dict[str, bytes] = {}
        await store.delete(await keys(store))
        for step, key, data in steps:
            match step:
                case "put":
                    await store.put(key, data)
                    held[key] = data
                case "put_if_absent":
                    assert await store.put_if_absent(key, data) == (held.get(key, data) == data)
                    held.setdefault(key, data)
                case _:
                    await store.delete([key])
                    held.pop(key, None)
        assert {key: await store.get(key) for key in await keys(store)} == held
        assert await keys(store, "b") == sorted(key for key in held if key.startswith("b"))

    asyncio.run(go())


# S3 that misbehaves -----------------------------------------------------------------------------

TRANSIENT = [
    Fault("PUT", 500, forward=True),
    Fault("PUT", 500),
    Fault("PUT", 503, "SlowDown"),
    Fault("PUT", 429, "TooManyRequests"),
    Fault("PUT", 400, "RequestTimeout"),
    Fault("PUT", 409, "ConditionalRequestConflict"),
    Fault("PUT", forward=True),
    Fault("PUT"),
    Fault("PUT", delay_s=1.7, forward=True),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
async def test_a_create_whose_answer_was_lost_or_refused_for_now_is_won(
    flaky: ObjectStore, proxy: Proxy, fault: Fault
) -> None:
    proxy.faults = [fault]

    assert await flaky.put_if_absent("a", b"mine")

    assert await flaky.get("a") == b"mine"
    assert proxy.seen.count("PUT") == 2


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
async def test_a_create_that_lost_is_lost_whatever_happens_to_its_answer(
    flaky: ObjectStore, proxy: Proxy, fault: Fault
) -> None:
    await flaky.put("a", b"yours")
    proxy.faults = [fault]

    assert not await flaky.put_if_absent("a", b"mine")

    assert await flaky.get("a") == b"yours"


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
async def test_a_put_gets_through_what_passes(
    flaky: ObjectStore, proxy: Proxy, fault: Fault
) -> None:
    proxy.faults = [fault]

    await flaky.put("a", b"mine")

    assert await flaky.get("a") == b"mine"


async def test_of_32_whose_answers_get_lost_exactly_one_wins(
    flaky: ObjectStore, proxy: Proxy
) -> None:
    proxy.faults = [Fault("PUT", 500, forward=n % 2 == 0) for n in range(32)]

    won = await asyncio.gather(
        *(flaky.put_if_absent("race", f"writer {n}".encode()) for n in range(32))
    )

    assert won.count(True) == 1
    assert await flaky.get("race") == f"writer {won.index(True)}".encode()


async def test_slow_down_is_waited_for(flaky: ObjectStore, proxy: Proxy) -> None:
    proxy.faults = [Fault("PUT", 503, "SlowDown")] * 5

    assert await flaky.put_if_absent("a", b"mine")


@pytest.mark.parametrize("fault", [Fault("GET", 500), Fault("GET"), Fault("GET", cut_at=3)])
async def test_a_read_that_is_cut_is_read_again_whole(
    flaky: ObjectStore, proxy: Proxy, tmp_path: Path, fault: Fault
) -> None:
    await flaky.put("a", b"0123456789")

    proxy.faults = [fault]
    assert await flaky.get("a") == b"0123456789"
    proxy.faults = [fault]
    await flaky.download("a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"0123456789"
    proxy.faults = [fault]
    assert read(flaky, "a") == b"0123456789"


async def test_listing_deleting_and_uploading_get_through_what_passes(
    flaky: ObjectStore, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(bytes(9 * 1024 * 1024))
    proxy.faults = [
        Fault("PUT", 500),
        Fault("POST", 503, "SlowDown"),
        Fault("GET", 503, "SlowDown"),
    ]

    await flaky.upload("a", tmp_path / "file")
    assert await keys(flaky) == ["a"]
    proxy.faults = [Fault("POST", 500)]
    await flaky.delete(["a"])
    assert await keys(flaky) == []


Call = Callable[[ObjectStore, Path], object]
CALLS: list[Call] = [
    lambda store, _: store.get("a"),
    lambda store, _: store.put("a", b""),
    lambda store, _: store.put_if_absent("a", b""),
    lambda store, _: keys(store),
    lambda store, _: store.delete(["a"]),
    lambda store, path: store.download("a", path / "copy"),
    lambda store, path: store.upload("a", path / "file"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [503, 0])
async def test_a_store_that_stays_away_is_given_up_in_time(
    proxy: Proxy, hasty: ObjectStore, tmp_path: Path, call: Call, status: int
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    proxy.faults = [
        Fault(method, status, "SlowDown") for method in ("GET", "PUT", "POST", "HEAD")
    ] * 500

    with pytest.raises(StoreUnavailable, match="run the same command again"):
        await asyncio.wait_for(call(hasty, tmp_path), 8)  # type: ignore[arg-type]  # a coroutine of any result


async def test_a_store_that_accepts_and_never_answers_is_given_up_in_time(
    proxy: Proxy, hasty: ObjectStore
) -> None:
    proxy.faults = [Fault("GET", delay_s=1)] * 50

    with pytest.raises(StoreUnavailable, match="no answer in time"):
        await asyncio.wait_for(hasty.get("a"), 2)


async def test_nobody_listening_is_an_outage(bucket: str) -> None:
    store = open_store(
        f"s3://{bucket}",
        endpoint_url="http://127.0.0.1:9",
        region=REGION,
        credentials=CREDENTIALS,
        retry_limits=HASTY,
    )

    with pytest.raises(StoreUnavailable, match=bucket):
        await store.put("a", b"")


async def test_a_bucket_that_does_not_exist_is_named(s3_url: str, tmp_path: Path) -> None:
    store = open_store(
        "s3://not-made-yet/labels",
        endpoint_url=s3_url,
        region=REGION,
        credentials=CREDENTIALS,
    )
    for call in (*CALLS[:6], lambda store, _: store.open("a")):
        with pytest.raises(ConfigError, match="s3://not-made-yet/labels: there is no such bucket"):
            await call(store, tmp_path)  # type: ignore[misc]  # a coroutine of any result


@pytest.mark.parametrize("page", [b"<html>login</html>", b"<html><p>login</html>", b"login"])
async def test_a_login_page_is_not_an_empty_bucket(
    flaky: ObjectStore, proxy: Proxy, page: bytes
) -> None:
    assert not await keys(flaky, "run/")
    await flaky.put_if_absent("run/plan.json", b"1")
    proxy.login_page = page
    with pytest.raises(StoreUnavailable, match="no listing of a bucket: is a login page"):
        await keys(flaky, "run/leases/")
    proxy.login_page = b""
    assert not await keys(flaky, "run/leases/")
    await flaky.delete(["run/plan.json"])
    assert not await keys(flaky, "run/")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("PUT", 403, "AccessDenied"), "403 AccessDenied.*s3:PutObject"),
        (Fault("PUT", 403, "InvalidAccessKeyId"), "InvalidAccessKeyId"),
        (Fault("PUT", 401, "Unauthorized"), "401"),
        (Fault("PUT", 400, "AuthorizationHeaderMalformed"), "AWS_REGION"),
        (Fault("PUT", 301, "PermanentRedirect"), "AWS_REGION"),
        (Fault("PUT", 400, "EntityTooLarge"), "refuses 'a': 400 EntityTooLarge"),
    ],
    ids=repr,
)
async def test_a_refusal_is_told_at_once_with_what_to_do(
    flaky: ObjectStore, proxy: Proxy, bucket: str, fault: Fault, says: str
) -> None:
    proxy.faults = [fault]

    with pytest.raises(ConfigError, match=f"s3://{bucket}: .*{says}"):
        await flaky.put_if_absent("a", b"mine")

    assert proxy.seen.count("PUT") == 1


async def test_a_reader_never_mixes_two_versions(flaky: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(bytes(9 * 1024 * 1024))
    await flaky.upload("a", tmp_path / "old")
    file = flaky.open("a")
    file.read(10)

    await flaky.put("a", b"new")

    with pytest.raises(OcrLabelError, match="replaced while it was read"):
        file.read()


async def test_a_download_never_mixes_two_versions(
    flaky: ObjectStore, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "old").write_bytes(bytes(20 * 1024 * 1024))
    await flaky.upload("a", tmp_path / "old")
    proxy.faults = [Fault("GET", 500)] * 8
    download = asyncio.create_task(flaky.download("a", tmp_path / "copy"))
    while len(proxy.faults) > 4:  # noqa: ASYNC110 -- the proxy is in a thread; its size is known then
        await asyncio.sleep(0.005)

    await flaky.put("a", b"new")

    with pytest.raises(StoreUnavailable, match="replaced while it was read"):
        await download
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


async def test_keys_in_the_bucket_are_what_other_tools_see(s3_url: str, bucket: str) -> None:
    store = open_store(
        f"s3://{bucket}/pre fix", endpoint_url=s3_url, region=REGION, credentials=CREDENTIALS
    )
    for key in ODD_KEYS:
        await store.put(key, b"")

    assert raw_keys(s3_url, bucket) == sorted(f"pre fix/{key}" for key in ODD_KEYS)


async def test_a_folder_made_in_the_console_is_no_object(s3_url: str, bucket: str) -> None:
    raw_put(s3_url, f"{bucket}/data/labels/")
    store = open_store(
        f"s3://{bucket}", endpoint_url=s3_url, region=REGION, credentials=CREDENTIALS
    )
    await store.put("data/labels/empty", b"")

    assert await keys(store, "data/") == ["data/labels/empty"]


@pytest.mark.parametrize("s3_url", ["moto_url"], indirect=True)  # SeaweedFS makes data/x of it
async def test_a_name_of_another_tool_that_cannot_be_used_is_told(s3_url: str, bucket: str) -> None:
    raw_put(s3_url, f"{bucket}/data//x")
    store = open_store(
        f"s3://{bucket}", endpoint_url=s3_url, region=REGION, credentials=CREDENTIALS
    )

    with pytest.raises(ConfigError, match='move it away: Path "data//x"'):
        await keys(store, "data/")


# a folder ---------------------------------------------------------------------------------------


async def test_a_half_written_file_of_a_killed_process_is_no_object(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".~0123456789abcdef.part").write_bytes(b"half")
    await store.put("a/b", b"")

    assert await keys(store) == ["a/b"]


async def test_an_emptied_folder_is_removed_and_the_root_stays(tmp_path: Path) -> None:
    store = open_store(tmp_path / "root")
    await store.put("a/b/c/d", b"")
    await store.put("a/e", b"")

    await store.delete(["a/b/c/d"])
    assert [path.name for path in (tmp_path / "root" / "a").iterdir()] == ["e"]
    await store.delete(["a/e"])
    assert [*(tmp_path / "root").iterdir()] == []


async def test_writers_and_deleters_of_one_folder_do_not_disturb_each_other(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)

    async def worker(n: int) -> None:
        for turn in range(25):
            assert await store.put_if_absent(f"a/b/{n}", f"{n} {turn}".encode())
            await store.delete([f"a/b/{n}"])

    await asyncio.gather(*(worker(n) for n in range(6)))

    assert await keys(store) == []


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"file/labels.*choose another folder"):
        await open_store(tmp_path / "file" / "labels").put("a", b"")


async def test_a_folder_behind_a_dead_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels").symlink_to(tmp_path / "gone")

    with pytest.raises(ConfigError, match="dead link"):
        await open_store(tmp_path / "labels").put("a", b"")
    store = open_store(tmp_path)
    for put in (store.put, store.put_if_absent):
        with pytest.raises(ConfigError, match="/labels: a dead link; bring back what it leads to"):
            await put("labels", b"")
    assert (tmp_path / "labels").is_symlink()


async def test_a_name_that_is_a_folder_already_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    await store.put("a/b", b"")

    for put in (store.put, store.put_if_absent):
        with pytest.raises(ConfigError, match=r"/a: there is a folder where a file belongs; move"):
            await put("a", b"")
    with pytest.raises(ConfigError):
        await store.put("a/b/c", b"")


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.ENOSPC, StoreUnavailable, "make room"),
        (errno.EIO, StoreUnavailable, "run the same command again"),
        (errno.EACCES, ConfigError, "mend its rights"),
    ],
)
async def test_what_a_disk_reports_is_told_with_the_next_step(
    tmp_path: Path, number: int, kind: type[Exception], says: str
) -> None:
    class Unreadable(PosixPath):
        def open(self, *_: object, **__: object) -> NoReturn:
            raise OSError(number, os.strerror(number), str(self))

    with pytest.raises(kind, match=says):
        await open_store(tmp_path).upload("a", Unreadable(tmp_path / "file"))
    assert [*tmp_path.iterdir()] == []


async def test_a_disk_without_hard_links_is_told_as_such(tmp_path: Path) -> None:
    class Unlinkable(PosixPath):
        def open(self, *_: object, **__: object) -> NoReturn:
            raise OSError(errno.EPERM, "Operation not permitted", "part", None, "a")

    with pytest.raises(ConfigError, match=r"no hard links.*another disk"):
        await open_store(tmp_path).upload("a", Unlinkable(tmp_path / "file"))


@pytest.mark.parametrize("store", ["memory", "moto_url prefix"], indirect=True)
async def test_a_store_says_where_it_is_as_a_user_writes_it(
    store: ObjectStore, tmp_path: Path
) -> None:
    assert re.fullmatch(r"memory://|s3://bucket-\w+/labels of 2026/한#%20", store.url)
    assert open_store(tmp_path).url == open_store(f"file://{tmp_path}").url == str(tmp_path)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="s3://bucket/prefix or a folder"):
        open_store("gs://bucket/x")
    with pytest.raises(ConfigError, match="bucket's name is missing"):
        open_store("s3://", credentials=CREDENTIALS)
