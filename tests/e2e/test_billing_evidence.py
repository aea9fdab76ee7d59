"""What an attempt is written down to have cost, against what the service itself has logged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest

from ocrlabel.engine import NeverSent
from ocrlabel.engines.upstage import UpstageEngine
from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import ImageError, KeyRefused, OcrLabelError, Unavailable
from ocrlabel.fake.settings import FakeSettings, Latency, parse_faults
from ocrlabel.labels import AttemptResult, Document
from ocrlabel.options import Options
from ocrlabel.pipeline.budget.account import pages_charged, pages_spent
from ocrlabel.pipeline.outcome import image_key
from ocrlabel.pipeline.state.journal import journal_objects, merge_attempts, read_journal
from tests.support.clock import run_virtual
from tests.support.fake_upstage import running
from tests.support.runs import LAYOUT, go, run_of, runtime
from tests.support.stores import DictStore
from tests.support.virtual_upstage import Upstage, images

KEYS = parse_keys("up_first@1000", pages_per_minute=None)
FAULTS = (
    "302-html", "400", "400-html", "401-html", "403-html", "404-html", "407", "407-html", "408",
    "408-html", "409", "409-html", "413-html", "421", "425", "429", "429-html", "499", "499-html",
    "500", "500-html", "500-html-after", "501", "502", "502-after", "502-html", "502-html-after", "503",
    "503-html", "503-html-after", "504-after", "511", "511-html", "520-html-after", "html",
    "drop-before", "drop-after", "cut-json", "401", "403",
)  # fmt: skip
PERHAPS = {
    "500-html", "500-html-after", "501", "502", "502-after", "502-html", "502-html-after", "503-html",
    "503-html-after", "504-after", "520-html-after", "drop-before", "drop-after", "cut-json",
}  # fmt: skip
"""A gateway's words with 5xx, an own one but 500 and 503, a cut, half an answer."""


async def attempts_by_image(store: DictStore) -> dict[str, tuple]:
    """Every attempt that is written down, by image key."""
    plan = store.objects[LAYOUT.plan_key].decode()
    run_id = plan.split('"run_id": "')[1].split('"')[0]
    run = run_of(runtime(store), run_id)
    found: dict[str, tuple] = {}
    for batch in await journal_objects(run.round()):
        for key, tried in (await read_journal(run.round(), batch)).tried.items():
            found[key] = merge_attempts(found.get(key, ()), tried)
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_what_an_attempt_is_written_down_to_have_cost_the_services_log_bears_out(fault):
    shape = "nested" if FAULTS.index(fault) % 2 else "flat"
    settings = FakeSettings(faults=parse_faults(f"{fault}:0.5"), error_shape=shape, seed=3)
    upstage, store = Upstage(settings), DictStore()

    async def story():
        # one row is never done, so that the journal is there to be read
        options = Options(batch_size=100, limit=12, attempts=3)
        with contextlib.suppress(OcrLabelError):
            await go(store, images(13), upstage.engine(), options)
        return await attempts_by_image(store)

    attempts = run_virtual(story())
    engine, cost_known = upstage.engine(), 0
    for data in images(13).contents:
        digest = sha256(data).hexdigest()
        logged = [entry for entry in upstage.entries if entry.sha256 == digest]
        tried = attempts.get(image_key(digest, engine.name, engine.options), ())
        sent = [one for one in tried if one.result is not AttemptResult.UNSENT]
        for attempt, entry in zip(sent, logged, strict=True):
            if pages_spent(attempt) == pages_charged(attempt):
                assert entry.billed == pages_charged(attempt)
                cost_known += 1
            else:
                assert entry.billed <= pages_spent(attempt)
    assert cost_known >= 1
    perhaps = any(
        pages_spent(one) > pages_charged(one) for tried in attempts.values() for one in tried
    )
    assert perhaps is (fault in PERHAPS)


@contextlib.contextmanager
def cutting(port: int, after_bytes: int):
    """The port of a server that hands one connection's first bytes on to another, and cuts it."""

    def serve(listener: socket.socket) -> None:
        here, _ = listener.accept()
        with here, socket.create_connection(("127.0.0.1", port)) as there:
            left = after_bytes
            here.settimeout(1.0)  # it has sent all, and waits for an answer
            with contextlib.suppress(TimeoutError):
                while left and (data := here.recv(min(left, 65536))):
                    there.sendall(data)
                    left -= len(data)
            here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@asynccontextmanager
async def client_at(base_url: str):
    client = UpstageEngine(
        KEYS, wall=lambda: 0.0, clock=lambda: 0.0, base_url=base_url, max_body_bytes=10**9
    )
    await client.start()
    try:
        yield client
    finally:
        await client.close()


def noise(number: int, size_bytes: int) -> Document:
    """No image at all: the fake refuses it, once it has all of it."""
    return Document(number.to_bytes(4) + os.urandom(size_bytes), "png", 1)


def in_log(fake, document: Document) -> bool:
    digest = sha256(document.data).hexdigest()
    return any(entry.sha256 == digest for entry in fake.entries)


BIG_BYTES = 20_000_000
"""More than the buffers of two sockets hold: the client notices a cut while it still sends."""


def test_what_was_cut_before_its_last_part_was_asked_for_never_is_in_the_services_log():
    cuts = [0, 1, 300, 700, 65_536, 1_000_000, BIG_BYTES + 300, BIG_BYTES + 10_000]

    async def cut(fake, number: int, after_bytes: int) -> tuple[bool, Document]:
        port = int(fake.base_url.split(":")[2].split("/")[0])
        document = noise(number, BIG_BYTES)
        with cutting(port, after_bytes) as proxy:
            async with client_at(f"http://127.0.0.1:{proxy}/v1") as client:
                with pytest.raises((ImageError, KeyRefused)) as caught:
                    await client.recognise(document, KEYS[0].name)
        return isinstance(caught.value, Unavailable) and not caught.value.sent, document

    async def story(fake):
        ends = [await cut(fake, number, after) for number, after in enumerate(cuts)]
        for _ in range(100):  # what was handed on may still be read
            if in_log(fake, ends[-1][1]):
                break
            await asyncio.sleep(0.1)
        return [(unsent, in_log(fake, document)) for unsent, document in ends]

    with running(FakeSettings()) as fake:
        found = asyncio.run(story(fake))
    assert (True, True) not in found
    assert sum(unsent for unsent, _ in found) >= 6
    assert found[-1] == (False, True)


@pytest.mark.parametrize("size_bytes", [10, 400_000])
def test_what_was_cancelled_at_any_await_before_its_last_part_never_is_in_the_services_log(
    size_bytes,
):
    async def cancelled(fake, client, steps: int) -> tuple[str, Document]:
        document = noise(steps, size_bytes)
        task = asyncio.ensure_future(client.recognise(document, KEYS[0].name))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except NeverSent:
            return "never sent", document
        except asyncio.CancelledError:
            return "perhaps", document
        except ImageError:
            return "over", document
        raise AssertionError(task)

    async def story(fake):
        async with client_at(fake.base_url) as client:
            return [await cancelled(fake, client, steps) for steps in range(200)]

    with running(FakeSettings(latency=Latency(0.01))) as fake:
        ends = asyncio.run(story(fake))
        seen = [in_log(fake, document) for how, document in ends if how == "never sent"]
    assert not any(seen)
    assert len(seen) > 5
    assert any(how == "perhaps" for how, _ in ends)
