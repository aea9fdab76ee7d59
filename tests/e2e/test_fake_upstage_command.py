from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from ocrlabel.cli.fake_upstage import fake_upstage
from ocrlabel.engine import Answer, Lane
from ocrlabel.engines.upstage import UpstageEngine
from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import ConfigError, Rejected, Unreadable
from ocrlabel.fake.answers import from_engine
from ocrlabel.fake.settings import FakeSettings
from ocrlabel.labels import Document, Page, Word
from tests.support.fake_upstage import running

SERVE = "import typer; from ocrlabel.cli.fake_upstage import fake_upstage; typer.run(fake_upstage)"


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (60, 80)).save(out, "png")
    return out.getvalue()


def recognised(base_url, keys):
    async def once():
        engine = UpstageEngine(keys, wall=lambda: 0.0, clock=lambda: 0.0, base_url=base_url)
        await engine.start()
        try:
            return await engine.recognise(Document(png(), "png", 1, ((60, 80),)), keys[0].name)
        finally:
            await engine.close()

    return asyncio.run(once())


@contextmanager
def command(*options):
    """The command in a process of its own, and what it printed up to the exports."""
    arguments = [sys.executable, "-c", SERVE, "--port", "0", "--latency", "0", *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        said = ""
        while "UPSTAGE_API_KEY" not in said and (line := process.stdout.readline()):
            said += line
        try:
            yield process, said
        finally:
            process.kill()


def test_it_prints_the_exports_to_use_logs_each_request_and_ends_with_a_summary(tmp_path):
    log = tmp_path / "fake.jsonl"
    with command("--keys", "k1@3,k2@1", "--request-log", str(log)) as (process, said):
        exports = dict(re.findall(r"export (\w+)=(\S+)", said))
        keys = parse_keys(exports["UPSTAGE_API_KEYS"])
        assert recognised(exports["UPSTAGE_BASE_URL"], keys).billed_pages == 1
        process.send_signal(signal.SIGINT)
        summary = process.stdout.read()
        assert process.wait(timeout=10) == 0
    assert "1 request: 1 answered" in summary
    assert f"{keys[0].name}: 1 page billed" in summary
    (entry,) = map(json.loads, log.read_text().splitlines())
    assert (entry["key"], entry["billed"], entry["status"]) == (keys[0].name, 1, 200)
    assert "k1" not in log.read_text()


@pytest.mark.parametrize(
    "options",
    [
        ["--fail", "500"],
        ["--refuse", "k9@1"],
        ["--latency", "slow"],
        ["--answers", "/nowhere"],
        ["--keys", "a,a"],
    ],
)
def test_an_option_that_makes_no_sense_ends_it_before_it_serves(options):
    app = typer.Typer()
    app.command()(fake_upstage)
    ended = CliRunner().invoke(app, ["--port", "0", *options])
    assert isinstance(ended.exception, ConfigError)  # the command line turns it into a sentence
    assert "UPSTAGE_BASE_URL" not in ended.output


class ReadsHello:
    """A local engine in small: it reads one word, and refuses what is not a PNG."""

    lanes = (Lane("local"),)

    async def prepare(self, data):
        return Document(data, "png", 1, ((60, 80),))

    async def recognise(self, document, lane):
        if not document.data.startswith(b"\x89PNG"):
            raise Unreadable("no PNG")
        word = Word("hello", ((1.4, 2), (30, 2), (30, 9), (1.4, 9)), 0.5)
        return Answer((Page(1, 60, 80, (word,), 0.5),), "small")


def test_a_client_that_goes_away_within_its_request_is_no_error_of_the_fake(caplog):
    head = b"POST /v1/document-digitization HTTP/1.1\r\nHost: here\r\nContent-Length: 999\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    with running(FakeSettings()) as fake:
        port = int(fake.base_url.split(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head + kind)
        assert recognised(fake.base_url, parse_keys("up_one@3"))
    assert "Exception" not in caplog.text
    assert len(fake.entries) == 1


def test_what_a_local_engine_reads_is_answered_in_the_services_shape():
    with running(answers=from_engine(ReadsHello())) as fake:
        answer = recognised(fake.base_url, parse_keys("any"))
    (word,) = answer.pages[0].words
    assert (word.text, word.polygon[0], word.confidence) == ("hello", (1, 2), 0.5)
    assert json.loads(answer.raw)["text"] == "hello"


def test_what_a_local_engine_cannot_read_is_refused_like_a_damaged_document():
    class ReadsNothing(ReadsHello):
        async def recognise(self, document, lane):
            raise Unreadable("too dark")

    with (
        running(answers=from_engine(ReadsNothing())) as fake,
        pytest.raises(Rejected, match="too dark") as caught,
    ):
        recognised(fake.base_url, parse_keys("any"))
    assert caught.value.status == 422
    assert fake.entries[0].billed == 0
