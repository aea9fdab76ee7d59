from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

from ocrlabel.engine import Engine
from ocrlabel.engines.local import LocalEngine
from ocrlabel.engines.rapidocr import KOREAN_NOTICE, RapidReader, rapid_ocr, runtime_for
from ocrlabel.engines.rapidocr_words import stepped
from ocrlabel.errors import ConfigError
from ocrlabel.labels import Page, Word
from ocrlabel.pipeline.plan import Plan, differences
from tests.support.drawn import drawn, encoded
from tests.support.offline_reader import OfflineReader
from tests.support.shared_data import shared_data

COLUMN = 8 / 48 / 0.85
"""What the recogniser sees at once, of a line's height: no edge is known better."""


def options_with(runtime: str) -> dict[str, str]:
    return {**rapid_ocr().options, "runtime": f"{runtime} {version(runtime)}"}


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def reader(request) -> RapidReader:
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} has no wheel for this machine")
    return RapidReader(options_with(request.param), threads=1)


def pages_of(engine: Engine, data: bytes) -> tuple[Page, ...]:
    async def go() -> tuple[Page, ...]:
        await engine.start()
        try:
            return (await engine.recognise(await engine.prepare(data), "local")).pages
        finally:
            await engine.close()

    return asyncio.run(go())


def direction(word: Word) -> str:
    (x0, y0), (x1, y1) = word.polygon[:2]
    across, down = x1 - x0, y1 - y0
    if abs(across) > abs(down):
        return "right" if across > 0 else "left"
    return "down" if down > 0 else "up"


def is_clockwise(word: Word) -> bool:
    corners = word.polygon
    following = (*corners[1:], corners[0])
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(corners, following, strict=True)) > 0


@pytest.mark.parametrize(
    ("turned", "reads"), [(0, "right"), (90, "up"), (180, "left"), (270, "down"), (10, "right")]
)
def test_polygons_begin_at_the_texts_own_top_left_whichever_way_it_lies(reader, turned, reads):
    page = drawn("Invoice total 12.50").rotate(turned, expand=True, fillcolor="white")
    words = reader(page)
    assert [word.text for word in words] == ["Invoice", "total", "12.50"]
    assert {direction(word) for word in words} == {reads}
    assert all(is_clockwise(word) for word in words)


def test_words_of_an_upside_down_line_lie_where_they_are_written(reader):
    page = drawn("Invoice total 12.50").rotate(180)
    lefts = [min(x for x, _ in word.polygon) for word in reader(page)]
    assert lefts == sorted(lefts, reverse=True)  # the first word is the one furthest right


def test_polygons_of_a_big_page_are_in_its_own_pixels(reader):
    small = drawn("Invoice total")
    big = small.resize((small.width * 5, small.height * 5))
    for word, fivefold in zip(reader(small), reader(big), strict=True):
        assert word.text == fivefold.text
        assert np.allclose(np.array(fivefold.polygon) / 5, word.polygon, atol=8)


def test_doubtful_words_are_kept_with_their_doubt(reader):
    image = Image.open(shared_data("ocr-dev", "images", "funsd_91372360.png")).convert("RGB")
    doubts = [word.confidence for word in reader(image) if word.confidence is not None]
    assert min(doubts) < 0.4
    assert max(doubts) > 0.99


def test_a_page_without_text_is_an_empty_page():
    (page,) = pages_of(rapid_ocr(parallel=1), encoded(Image.new("RGB", (300, 200), "white")))
    assert page == Page(1, 300, 200)


def test_words_of_a_photo_of_fifty_megapixels_lie_where_they_are_in_its_own_pixels():
    photo = Image.new("L", (8_160, 6_144), "white")
    small = drawn("Invoice total")
    photo.paste(small.resize((small.width * 5, small.height * 5)).convert("L"), (2_000, 4_000))
    (page,) = pages_of(rapid_ocr(parallel=1), encoded(photo, "JPEG"))
    assert (page.width_px, page.height_px) == photo.size
    invoice, total = page.words
    assert (invoice.text, total.text) == ("Invoice", "total")
    dark = np.argwhere(np.asarray(photo) < 128)  # rows of (y, x)
    (top, left), (bottom, right) = dark.min(axis=0), dark.max(axis=0)
    assert abs(min(x for x, _ in invoice.polygon) - left) < 60
    assert abs(max(x for x, _ in total.polygon) - right) < 60
    assert abs(min(y for _, y in invoice.polygon) - top) < 100  # letters are 200 px high
    assert abs(max(y for _, y in invoice.polygon) - bottom) < 100


@pytest.mark.parametrize("width_px", [1, 16, 17, 320, 321, 512, 2000])
def test_a_line_is_padded_to_one_of_few_widths_and_by_little(width_px):
    padded_px = stepped(width_px)
    assert width_px <= padded_px <= max(width_px + 15, width_px * 9 / 8)
    assert len({stepped(px) for px in range(1, 2049)}) == 40


@pytest.mark.parametrize(
    ("system", "machine", "processor", "runtime", "wheels"),
    [
        ("Linux", "x86_64", "fma avx2 avx512f", "openvino", {"openvino", "onnxruntime"}),
        ("Linux", "x86_64", "fma avx2", "onnxruntime", {"openvino", "onnxruntime"}),
        ("Darwin", "arm64", "", "openvino", {"openvino"}),
        ("Linux", "aarch64", "fp asimd", "onnxruntime", {"onnxruntime"}),
        ("Darwin", "x86_64", "", "onnxruntime", {"onnxruntime"}),
    ],
)
def test_pip_installs_the_runtimes_that_the_table_may_name(
    system, machine, processor, runtime, wheels
):
    of_pip = {"sys_platform": system.lower(), "platform_machine": machine, "extra": "local"}
    needed = {
        one.name
        for one in map(Requirement, requires("ocrlabel") or [])
        if one.marker and one.marker.evaluate(of_pip)
    }
    assert runtime_for(system, machine, processor) == runtime
    assert needed & {"openvino", "onnxruntime"} == wheels


def test_who_joins_a_run_works_with_its_runtime():
    engine, planned = rapid_ocr(parallel=1), options_with("onnxruntime")
    engine.join(planned)
    assert engine.options == planned
    (page,) = pages_of(engine, encoded(drawn("as planned")))
    assert [word.text for word in page.words] == ["as", "planned"]


@pytest.mark.parametrize("runtime", ["openvino 1999.1", "onnxruntime 0.1"])
def test_who_lacks_the_runtime_of_the_plan_is_told_what_to_install(runtime):
    package, _, version = runtime.partition(" ")
    engine = rapid_ocr(parallel=1)
    engine.join({**engine.options, "runtime": runtime})
    with pytest.raises(ConfigError) as told:
        asyncio.run(engine.start())
    assert f"begun with {runtime}, and here is" in str(told.value)
    assert f"pip install '{package}=={version}'" in str(told.value)
    assert "--fresh" in str(told.value)


def test_a_run_that_the_engine_before_this_one_began_is_another_run():
    options = rapid_ocr().options
    before = {name: options[name] for name in options if name not in {"lines", "runtime"}}
    there = Plan("old", "d", "s", "ab" * 32, 5, "rapidocr", before)
    here = replace(there, options=options)
    lines, runtime = differences(there, here)
    assert lines.startswith("rapidocr option lines: there unset, here one by one")
    assert runtime.startswith("rapidocr option runtime: there unset, here ")


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_it_reads_without_a_network(runtime):
    if find_spec(runtime) is None:
        pytest.skip(f"{runtime} has no wheel for this machine")
    engine = LocalEngine("rapidocr", OfflineReader, options_with(runtime), parallel=1)
    (page,) = pages_of(engine, encoded(drawn("no network")))
    assert [word.text for word in page.words] == ["no", "network"]


def test_the_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)  # as Python itself marks what is not there
    with pytest.raises(ConfigError, match=r"needs rapidocr: .*pip install '\.\[local\]'"):
        rapid_ocr()


def test_a_number_of_processes_below_one_is_refused():
    with pytest.raises(ConfigError, match="it must be 1 or more"):
        rapid_ocr(parallel=0)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_the_bad_files_that_take_most_stay_within_360_mb_above_the_idle_engine():
    async def go() -> dict[str, int]:
        engine = rapid_ocr(parallel=1)
        await engine.start()
        (pid,) = engine._pool.pids
        process = Path(f"/proc/{pid}")

        async def peak_mb(name: str) -> int:
            document = await engine.prepare(shared_data("bad", name).read_bytes())
            (process / "clear_refs").write_text("5")  # forget the peak so far
            await engine.recognise(document, "local")
            return megabytes(process, "VmHWM")

        try:
            for _ in range(2):
                await peak_mb("UPPER.JPG")
            idle_mb = megabytes(process, "VmRSS")
            return {
                name: await peak_mb(name) - idle_mb for name in ("photo.heic", "really_png.jpg")
            }
        finally:
            await engine.close()

    assert max(asyncio.run(go()).values()) < 360


def megabytes(process: Path, name: str) -> int:
    status = (process / "status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) // 1024


def test_its_korean_limits_are_said_by_the_engine_itself():
    engine = rapid_ocr(parallel=1)
    assert engine.notice == KOREAN_NOTICE
    assert "no Hangul" in engine.notice
    assert "--language ko" in engine.notice


@pytest.fixture(scope="module")
def bare() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.text_score": 0.0,
            "Global.return_word_box": True,
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        }
    )


def test_nearly_all_words_are_those_of_the_bare_library_and_lie_there(reader, bare):
    same, near = [], []
    for name in ("ic15_img_1.jpg", "funsd_0011505151.png", "sroie_320.jpg"):
        image = Image.open(shared_data("ocr-dev", "images", name)).convert("RGB")
        result = bare(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
        left = Counter(text for line in result.word_results for text, _, _ in line)
        corners = np.array([polygon for line in result.word_results for _, _, polygon in line])
        for word in reader(image):
            same.append(left[word.text] > 0)
            left[word.text] -= 1
            apart_px = np.abs(np.sort(corners, axis=1) - np.sort(word.polygon, axis=0))
            high_px = np.ptp([y for _, y in word.polygon])
            near.append(apart_px.max(axis=(1, 2)).min() <= max(8, high_px * COLUMN))
    assert np.mean(same) >= 0.9
    assert np.mean(near) >= 0.95


def test_the_module_does_without_the_extra_outside_of_the_child():
    imports = "import sys, ocrlabel.engines.rapidocr; "
    check = (
        "assert not {'rapidocr', 'openvino', 'onnxruntime', 'numpy', 'cv2'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", imports + check], check=True)
