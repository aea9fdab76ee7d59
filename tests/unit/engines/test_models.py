"""Models beside the wheel's: how they come into the cache, and who reads with them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pyarrow.parquet as pq
import pytest

from ocrlabel.cli.settings import Keys
from ocrlabel.cli.wiring import choose_engine
from ocrlabel.engines.models import (
    KOREAN,
    TO_GET,
    Model,
    cache_folder,
    fetch,
    listed,
    path_of,
    recognised,
)
from ocrlabel.engines.rapidocr import MODELS, RapidReader, rapid_ocr
from ocrlabel.engines.rapidocr_words import Line, LineRecogniser, by_recogniser
from ocrlabel.errors import ConfigError
from ocrlabel.options import Options
from ocrlabel.pipeline.plan import Plan, differences
from ocrlabel.testing import HttpReply, HttpService
from tests.support.command import ocrlabel
from tests.support.drawn import drawn
from tests.support.process import Machine
from tests.support.small_models import SYLLABLE, korean_in, korean_recogniser, tiny_in

ROOT = Path(__file__).parents[3]
CACHE = "cache/ocrlabel/models"
GOOD = b"weights" * 4_000
CUT = HttpReply(body=GOOD[:20_000], cut=True)
WRONG = HttpReply(body=b"<!doctype html><title>Sign in</title>")


def model_at(url: str) -> Model:
    return Model(KOREAN, f"{url}/{KOREAN}.onnx", hashlib.sha256(GOOD).hexdigest())


def told(_done: int, _size: int | None) -> None: ...


# -- the list, and downloads


def test_what_can_be_got_stands_in_rapidocrs_own_list():
    known = listed()
    for names in TO_GET.values():
        for name in names:
            assert known[name].url.endswith(f"/{name}.onnx")
            assert len(known[name].sha256) == 64


def test_a_good_download_is_told_as_it_comes():
    seen: list[tuple[int, int | None]] = []
    with HttpService(HttpReply(body=GOOD)) as service:
        data = fetch(
            model_at(service.url), time.monotonic, lambda done, size: seen.append((done, size))
        )
    assert data == GOOD
    assert seen[-1] == (len(GOOD), len(GOOD))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (CUT, "the connection to 127.0.0.1 was cut after 20,000 B"),
        (WRONG, "127.0.0.1 sent another file"),
        (HttpReply(404), "127.0.0.1 answers 404"),
        (HttpReply(hangs=True), "nothing came from 127.0.0.1 for 0.3 s"),
    ],
)
def test_a_bad_download_is_one_sentence_and_the_ways_on(reply, said):
    # a busy machine may take longer than that for an answer that does come
    patience_s = 0.3 if reply.hangs else 30.0
    with HttpService(reply) as service, pytest.raises(ConfigError) as error:
        fetch(model_at(service.url), time.monotonic, told, patience_s=patience_s)
    sentence, remedy = str(error.value).splitlines()
    assert sentence.startswith(f"{KOREAN} was not fetched: {said}")
    assert remedy.startswith("  try again; or fetch http://127.0.0.1")
    assert remedy.endswith("ocrlabel models add FILE")


def test_who_is_not_there_is_told_as_well():
    with HttpService(HttpReply()) as service:
        gone = service.url
    with pytest.raises(ConfigError, match=r"was not fetched: .*refused"):
        fetch(model_at(gone), time.monotonic, told)


@pytest.fixture
def drip() -> Iterator[str]:
    """A service that goes on sending, a little at a time."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 100)
                    Event().wait(0.1)
            except OSError:
                return

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_download_that_drips_is_given_up(drip):
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1 is too slow: [\d,]+ B in \d+ s"):
        fetch(model_at(drip), time.monotonic, told, patience_s=3.0)


def machine_with(tmp_path: Path, url: str) -> Machine:
    """A machine whose rapidocr lists the models of a service."""
    package = tmp_path / "packages" / "rapidocr"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    sha256 = hashlib.sha256(GOOD).hexdigest()
    entries = {
        name: {"model_dir": f"{url}/{name}.onnx", "SHA256": sha256}
        for names in TO_GET.values()
        for name in names
    }
    listing = {"onnxruntime": {"PP-OCRv5": {"rec": entries}}}
    (package / "default_models.yaml").write_text(json.dumps(listing))
    return Machine(
        tmp_path,
        {"PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )


def test_models_are_got_once_listed_and_mended(tmp_path):
    with HttpService(HttpReply(body=GOOD)) as service:
        machine = machine_with(tmp_path, service.url)
        assert "not here: ocrlabel models get korean" in machine.run("models", "list").out
        for _ in range(2):
            got = machine.run("models", "get", "tiny")
            assert (got.status, service.received) == (0, 2), got.err
            paths = [Path(line) for line in got.out.splitlines()]
            assert paths == [path_of(tmp_path / CACHE, name) for name in TO_GET["tiny"]]
            assert [path.read_bytes() for path in paths] == [GOOD, GOOD]
        assert str(paths[0]) in machine.run("models", "list").out
        paths[0].write_bytes(GOOD[:-1])
        assert f"{paths[0]} is not as listed: ocrlabel models get tiny" in (
            machine.run("models", "list").out
        )
        machine.run("models", "get", "tiny")
        assert service.received == 3
        assert paths[0].read_bytes() == GOOD


@pytest.mark.parametrize("reply", [CUT, WRONG, HttpReply(503)])
def test_a_bad_download_ends_with_2_and_leaves_nothing_behind(tmp_path, reply):
    with HttpService(reply) as service:
        machine = machine_with(tmp_path, service.url)
        done = machine.run("models", "get", "korean")
    assert done.status == 2
    assert f"{KOREAN} was not fetched" in done.err
    assert "Traceback" not in done.err
    assert not list((tmp_path / "cache").rglob("*"))


def test_a_file_is_added_by_what_it_is_and_not_by_its_name(tmp_path):
    machine = machine_with(tmp_path, "http://127.0.0.1:9")
    file = tmp_path / "download (1)"
    file.write_bytes(GOOD)
    added = machine.run("models", "add", str(file))
    assert added.status == 0, added.err
    assert Path(added.out.strip()).read_bytes() == GOOD
    file.write_bytes(GOOD[:-1])
    refused = machine.run("models", "add", str(file))
    assert refused.status == 2
    assert "download (1)" in refused.err
    assert "none of them (SHA-256" in refused.err
    assert machine.run("models", "add", "nowhere").status == 2


def test_a_model_of_the_list_that_is_not_used_is_refused_by_its_name():
    origin = find_spec("rapidocr")
    assert origin is not None
    wheel = Path(str(origin.origin)).parent / "models"
    with pytest.raises(ConfigError, match="this is PP-OCRv6_det_small, which is not used"):
        recognised(path_of(wheel, "PP-OCRv6_det_small"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    with HttpService(HttpReply(body=GOOD)) as service:
        machine = machine_with(tmp_path, service.url)
        (tmp_path / "cache").write_text("a file")
        done = machine.run("models", "get", "korean")
    assert done.status == 2, done.err
    assert str(tmp_path / CACHE) in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/ocrlabel/models"),
        ({"HOME": "/h"}, "/h/.cache/ocrlabel/models"),
    ],
)
def test_models_are_kept_in_the_users_cache_folder(variables, folder):
    assert cache_folder(variables) == Path(folder)


def test_the_commands_of_the_page_on_models_do_what_they_say(tmp_path):
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    commands = re.findall(r"^ocrlabel (models .*?) *#", page, re.MULTILINE)
    assert len(commands) == 4
    (tmp_path / "FILE").write_bytes(GOOD)
    with HttpService(HttpReply(body=GOOD)) as service:
        machine = machine_with(tmp_path, service.url)
        for command in commands:
            done = machine.run(*command.split())
            assert done.status == 0, done.err
    assert len([*(tmp_path / CACHE).iterdir()]) == 3


def test_the_image_takes_the_models_that_its_argument_names(tmp_path):
    dockerfile = (ROOT / "scripts" / "cloud" / "Dockerfile.batch").read_text()
    assert "\nENV XDG_CACHE_HOME=/app/cache\n" in dockerfile.partition("AS local\n")[2]
    (loop,) = re.findall(r"^RUN (for model in .*?done)$", dockerfile, re.MULTILINE | re.DOTALL)
    program = tmp_path / "venv" / "bin" / "ocrlabel"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$XDG_CACHE_HOME $*"; test "$3" != none\n')
    program.chmod(0o755)
    for models, status in (("", 0), ("korean tiny", 0), ("none korean", 1)):
        done = subprocess.run(
            ["/bin/sh", "-c", loop.replace("/app", str(tmp_path))],
            env={"MODELS": models},
            capture_output=True,
            text=True,
            check=False,
        )
        got = models.split()[: 1 if status else 2]
        assert done.stdout.splitlines() == [f"{tmp_path}/cache models get {one}" for one in got]
        assert done.returncode == status


# -- the reader of Hangul


@pytest.fixture(params=["openvino", "onnxruntime"])
def korean(request, tmp_path) -> RapidReader:
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} has no wheel for this machine")
    korean_in(tmp_path)
    options = dict(rapid_ocr(languages=("ko",), cache=tmp_path).options)
    options["runtime"] = f"{request.param} {version(request.param)}"
    return RapidReader(options, threads=1, cache=tmp_path)


def test_lines_that_are_not_surely_latin_go_to_the_korean_recogniser(korean):
    page = drawn("All of it", "12  34", "paid in cash", height=260)
    ink = np.argwhere(np.asarray(page.convert("L"))[84:148] < 128)[:, 1]
    words = korean(page)
    assert [word.text for word in words if not word.text.startswith(SYLLABLE)] == [
        *("All", "of", "it"),
        *("paid", "in", "cash"),
    ]
    hangul = [word for word in words if word.text.startswith(SYLLABLE)]
    assert [set(word.text) for word in hangul] == [{SYLLABLE}] * 2
    xs = [x for word in hangul for x, _ in word.polygon]
    assert abs(min(xs) - ink.min()) < 15
    assert abs(max(xs) - ink.max()) < 15


class Says:
    """A recogniser that sees one character of a text after the other, as sure as it is told."""

    characters = ("합", "계", "a")

    def __init__(self, text: str, sure: float) -> None:
        self._answer = np.full((1, 2 * len(text) + 1, 5), (1 - sure) / 4, np.float32)
        for step in range(2 * len(text) + 1):
            seen = 1 + self.characters.index(text[step // 2]) if step % 2 else 0
            self._answer[0, step, seen] = sure

    def __call__(self, _batch: object) -> object:
        return self._answer


@pytest.mark.parametrize(
    ("text", "sure", "other", "stands"),
    [
        ("합계", 0.97, 0.95, True),
        ("합계", 0.8, 0.95, False),  # Chinese, of which it makes Hangul as best it can
        ("aa", 0.97, 0.5, False),
    ],
)
def test_of_two_recognisers_the_surer_is_right_where_there_is_hangul(text, sure, other, stands):
    corners = np.array([[0, 0], [200, 0], [200, 48], [0, 48]], np.float32)
    line = Line(corners, np.zeros((48, 200, 3), np.uint8), (200, 48))
    (words,) = by_recogniser(LineRecogniser(Says(text, sure)), [(line, (), other)])
    assert "".join(word for word, _, _ in words) == (text if stands else "")


# -- plans and keys


def test_the_korean_recogniser_comes_before_tesseract_and_stands_in_options_and_table(tmp_path):
    sha256 = korean_in(tmp_path)
    engine = rapid_ocr(languages=("ko",), cache=tmp_path)
    assert engine.options["hangul"] == f"{KOREAN} {sha256}"
    assert engine.notice == ""
    about = RapidReader(engine.options, threads=1, cache=tmp_path).about
    assert about.endswith(f", Hangul by {KOREAN} {sha256[:12]}")
    assert "hangul" not in rapid_ocr(cache=tmp_path).options


def test_without_any_reader_of_hangul_the_ways_are_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError) as error:
        rapid_ocr(languages=("ko",))
    assert "ocrlabel models get korean" in str(error.value)
    assert "apt-get install tesseract-ocr tesseract-ocr-kor" in str(error.value)


def test_who_joins_reads_hangul_as_the_plan_says_or_not_at_all(tmp_path):
    sha256 = korean_in(tmp_path / "planner")
    planned = rapid_ocr(languages=("ko",), cache=tmp_path / "planner").options
    for model in (b"", b"another"):
        joiner = rapid_ocr(cache=tmp_path, parallel=1)
        if model:
            path_of(tmp_path, KOREAN).write_bytes(model)
        joiner.join(planned)
        with pytest.raises(ConfigError) as error:
            asyncio.run(joiner.start())
        assert f"begun with {KOREAN} {sha256}, and here is" in str(error.value)
        assert ("none" in str(error.value)) is (not model)
        assert "ocrlabel models get korean" in str(error.value)


def test_who_joins_a_run_that_tesseract_reads_needs_that_tesseract(tmp_path):
    korean_in(tmp_path)
    joiner = rapid_ocr(languages=("ko",), cache=tmp_path, parallel=1)
    joiner.join({**joiner.options, "hangul": "tesseract 1.0 kor+eng"})
    with pytest.raises(ConfigError, match=r"begun with tesseract 1\.0 kor\+eng, and here is"):
        asyncio.run(joiner.start())


def test_which_reader_of_hangul_may_differ_by_machine_and_not_whether_there_is_one():
    there = Plan("a", "d", "s", "ab" * 32, 5, "rapidocr", {"hangul": "tesseract 5.3.0 kor+eng"})
    here = replace(there, options={"hangul": f"{KOREAN} {'ab' * 32}"})
    assert differences(there, here) == []
    (line,) = differences(there, replace(here, options={}))
    assert line.startswith("rapidocr option hangul: there tesseract")


def test_a_run_goes_on_with_its_reader_and_exits_2_where_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    korean_in(tmp_path / "ocrlabel" / "models")
    (tmp_path / "pages").mkdir()
    for number in range(2):
        drawn("total", f"{number} 34").save(tmp_path / "pages" / f"{number}.png")
    words = ["run", str(tmp_path / "pages"), "-o", str(tmp_path / "labels.parquet")]
    words += ["--engine", "rapidocr", "--language", "ko", "--processes", "1", "--log", "quiet"]
    first = ocrlabel(*words, "--limit", "1")
    assert first.status == 0, first.err
    path_of(tmp_path / "ocrlabel" / "models", KOREAN).unlink()
    lacking = ocrlabel(*words)
    assert lacking.status == 2
    assert KOREAN in lacking.err
    assert "ocrlabel models get korean" in lacking.err
    korean_in(tmp_path / "ocrlabel" / "models")
    assert ocrlabel(*words).status == 0
    table = pq.read_table(tmp_path / "labels.parquet")
    assert all(f"Hangul by {KOREAN}" in one for one in table["model_version"].to_pylist())
    assert all(SYLLABLE in "".join(one) for one in table["texts"].to_pylist())


# -- the tiny models


def test_the_tiny_models_are_another_engine_in_plan_and_table(tmp_path):
    tiny_in(tmp_path)
    small, tiny = (rapid_ocr(model=model, cache=tmp_path) for model in MODELS)
    det, cls, rec = tiny.options["models"].split(", ")
    assert [det.split()[0], rec.split()[0]] == list(TO_GET["tiny"])
    assert len(det.split()[1]) == len(rec.split()[1]) == 64
    assert cls in small.options["models"]
    reader = RapidReader(tiny.options, threads=1, cache=tmp_path)
    assert [word.text for word in reader(drawn("Invoice total"))] == ["Invoice", "total"]
    assert reader.about.endswith(" PP-OCRv6 tiny")
    there = Plan("a", "d", "s", "ab" * 32, 5, "rapidocr", small.options)
    (line,) = differences(there, replace(there, options=tiny.options))
    assert line.startswith("rapidocr option models")


def test_tiny_models_that_are_not_here_are_not_fetched_but_named(tmp_path):
    with pytest.raises(ConfigError, match=r"needs PP-OCRv6_det_tiny: ocrlabel models get tiny"):
        rapid_ocr(model="tiny", cache=tmp_path)
    tiny_in(tmp_path)
    engine = rapid_ocr(model="tiny", cache=tmp_path, parallel=1)
    path_of(tmp_path, "PP-OCRv6_rec_tiny").unlink()
    with pytest.raises(ConfigError, match=r"PP-OCRv6_rec_tiny .*here is none: ocrlabel models get"):
        asyncio.run(engine.start())


@pytest.mark.parametrize(
    ("engine", "model", "said"),
    [
        ("rapidocr", "ocr-250904", "--model ocr-250904: rapidocr has small and tiny"),
        ("upstage", "tiny", "--model tiny is for --engine rapidocr, and the engine is upstage"),
    ],
)
def test_a_model_of_another_engine_is_refused(engine, model, said):
    with pytest.raises(ConfigError, match=said):
        choose_engine(Options(engine=engine, model=model), Keys({"UPSTAGE_API_KEY": "k"}))


def test_the_model_is_chosen_by_its_name(tmp_path):
    tiny_in(cache_folder({"XDG_CACHE_HOME": str(tmp_path)}))
    keys = Keys({"XDG_CACHE_HOME": str(tmp_path)})
    for model, part in (("ocr", "rec_small"), ("small", "rec_small"), ("tiny", "rec_tiny")):
        engine = choose_engine(Options(engine="rapidocr", model=model), keys).engine
        assert part in engine.options["models"]


def test_the_models_of_tests_are_no_models_of_the_list(tmp_path):
    (tmp_path / "made").write_bytes(korean_recogniser())
    with pytest.raises(ConfigError, match="none of them"):
        recognised(tmp_path / "made")
