"""The real Upstage engine talking to the real fake, in virtual time: all but the sockets.

Requests are built and answers read as over HTTP; a cut connection is the client's own error for
it. An hour of outage takes a second.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

import httpx2
from PIL import Image
from starlette.requests import Request

from ocrlabel.engines.image_workers import ImagePreparer
from ocrlabel.engines.scripted import Scripted
from ocrlabel.engines.upstage import UpstageEngine
from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.answers import AnswerSource, from_bytes
from ocrlabel.fake.ledger import LoggedRequest
from ocrlabel.fake.server import received
from ocrlabel.fake.service import Ending, Service
from ocrlabel.fake.settings import FakeSettings
from tests.support.clock import clock, sleep
from tests.support.judge import Written, written
from tests.support.runs import LAYOUT, MadeImages
from tests.support.stores import DictStore


class Wire(httpx2.AsyncBaseTransport):
    """From the client to the service without a socket."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        scope = {"type": "http", "method": "POST", "path": request.url.path, "headers": headers}

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        # the service goes on when its client is gone
        working = asyncio.ensure_future(
            self._service.digitize(await received(Request(scope, receive)))
        )
        reply = await asyncio.shield(working)
        if reply.ending is Ending.HANG:
            try:
                await sleep(1e9)
            finally:
                self._service.left(reply)
        if reply.ending is Ending.CUT:
            raise httpx2.ReadError("the connection was cut")
        return httpx2.Response(
            reply.status or 200,
            headers={**reply.headers, "content-type": reply.content_type},
            content=reply.body,
        )


class InProcess(ImagePreparer):
    """Prepares images that are known to be harmless."""

    def __init__(self) -> None: ...

    async def prepare(self, data):
        return await Scripted().prepare(data)

    async def close(self) -> None: ...


@dataclass
class Upstage:
    """A fake service and its log; `engine` makes an engine that talks to it."""

    settings: FakeSettings = field(default_factory=FakeSettings)
    keys: str = "up_one@1000"
    request_timeout_s: float = 420.0
    answers: AnswerSource = from_bytes
    entries: list[LoggedRequest] = field(default_factory=list)
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        self.service = Service(
            self.settings, self.answers, clock=clock, sleep=sleep, log=self.entries.append
        )

    def engine(self, keys: str | None = None) -> UpstageEngine:
        whole_s = self.request_timeout_s
        return UpstageEngine(
            parse_keys(keys or self.keys),
            wall=lambda: 1_700_000_000.0 + clock(),
            clock=clock,
            base_url="https://fake.example/v1",
            transport=Wire(self.service),
            read_s=whole_s,
            whole_s=whole_s,
            preparer=InProcess(),
        )

    @property
    def billed_pages(self) -> int:
        return sum(entry.billed for entry in self.entries)


def images(count: int, *, pages: Sequence[int] = ()) -> MadeImages:
    """Distinct small images; `pages`: documents of so many pages, spread among them."""
    contents: list[bytes] = [_png(number) for number in range(count)]
    for number, one in enumerate(pages):
        contents.insert(number * max(1, count // max(1, len(pages))), _tiff(one, number))
    return MadeImages(contents)


@cache
def _png(number: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (60 + number % 50, 80 + number // 50), "white").save(out, "png")
    return out.getvalue()


@cache
def _tiff(pages: int, number: int) -> bytes:
    out = BytesIO()
    frames = [Image.new("L", (20 + number, 30 + page)) for page in range(pages)]
    frames[0].save(out, "tiff", save_all=True, append_images=frames[1:])
    return out.getvalue()


def stored(store: DictStore) -> Written:
    """Both tables and run.json of a run in a DictStore."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for key, name in (
            (LAYOUT.labels_key, "labels.parquet"),
            (LAYOUT.failures_key, "labels_failures.parquet"),
            (LAYOUT.run_key, "labels_run.json"),
        ):
            (home / name).write_bytes(store.objects[key])
        return written(home)


def told(store: DictStore) -> dict:
    """run.json alone: of a run that is not finished too."""
    return json.loads(store.objects[LAYOUT.run_key])
