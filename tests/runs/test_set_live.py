"""`ocrlabel set` says whom a change reaches: workers at it, those to come, or nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from PIL import Image

from ocrlabel.cli.wiring import make_runtime
from ocrlabel.pipeline.replacement import find_run
from ocrlabel.pipeline.runtime import Owner
from ocrlabel.pipeline.state.layout import beside
from ocrlabel.pipeline.workers.heartbeat import Heartbeats, WorkerReport
from ocrlabel.storage.folder import FolderStore
from tests.support.command import ocrlabel

LAYOUT = beside("labels.parquet")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with two images, which the commands work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(2):
        Image.new("RGB", (40, 20), (number, 0, 0)).save(tmp_path / f"images/{number}.png")
    return tmp_path


def settings_written(folder):
    return list(folder.glob("checkpoints/labels/*/settings/*.json"))


def a_worker_of_another_machine_beats(folder, *, ago_s=0.0):
    """Its one heartbeat, as it is found when it was written so long ago."""

    async def beat():
        real = make_runtime(FolderStore(folder), lambda _: None)
        runtime = replace(real, me=Owner("far", host="another machine", pid=1, started="x"))
        run = await find_run(runtime, LAYOUT)
        assert run is not None
        heartbeats = Heartbeats(run)
        await heartbeats.beat(1, WorkerReport(at_s=runtime.wall() - ago_s))

    asyncio.run(beat())


def test_of_a_finished_run_nothing_is_changed_and_that_is_an_error(here):
    assert ocrlabel("run", "images/", "--engine", "scripted").status == 0
    ran = ocrlabel("set", "labels.parquet", "--rps", "5")
    assert ran.status == 2
    assert "is finished" in ran.err
    assert "--retry-failed" in ran.err
    assert settings_written(here) == []


def test_of_a_stopped_run_it_says_that_nobody_is_at_it_and_for_whom_it_holds(here):
    ocrlabel("run", "images/", "--engine", "scripted", "--limit", "1")
    ran = ocrlabel("set", "labels.parquet", "--rps", "5")
    assert ran.status == 0
    assert "no worker is at it now" in ran.out
    assert "whoever goes on" in ran.out
    assert len(settings_written(here)) == 1
    again = ocrlabel("run", "images/", "--engine", "scripted", "--log", "lines")
    assert "the rate of 5 requests/s" in again.err


def test_of_a_live_run_it_says_how_many_workers_take_it_over(here):
    ocrlabel("run", "images/", "--engine", "scripted", "--limit", "1")
    a_worker_of_another_machine_beats(here)
    ran = ocrlabel("set", "labels.parquet", "--rps", "5")
    assert ran.status == 0
    assert ran.out == "changed: --rps 5; 1 worker at it takes it over within seconds\n"
    lifted = ocrlabel("set", "labels.parquet", "--rps", "auto", "--max-cost", "none")
    assert lifted.out.startswith("changed: --rps auto, --max-cost none; ")


def test_a_finished_run_that_somebody_still_works_on_can_be_changed(here):
    ocrlabel("run", "images/", "--engine", "scripted")
    a_worker_of_another_machine_beats(here)  # as in a round of --retry-failed
    assert ocrlabel("set", "labels.parquet", "--rps", "5").status == 0
    assert "tables are written; 1 worker at it again" in ocrlabel("status", "labels.parquet").out
    assert len(settings_written(here)) == 1


def test_a_machine_that_was_lost_is_not_at_it(here):
    ocrlabel("run", "images/", "--engine", "scripted", "--limit", "1")
    a_worker_of_another_machine_beats(here, ago_s=86_400.0)
    ran = ocrlabel("set", "labels.parquet", "--rps", "5")
    assert "no worker is at it now" in ran.out


def test_a_finished_run_that_once_lost_a_machine_is_finished(here):
    ocrlabel("run", "images/", "--engine", "scripted")
    a_worker_of_another_machine_beats(here, ago_s=86_400.0)
    ran = ocrlabel("set", "labels.parquet", "--rps", "5")
    assert ran.status == 2
    assert "is finished" in ran.err
    assert settings_written(here) == []
