"""What an earlier version began, this one finishes: real processes on runs that it left behind.

tests/fixtures/runs holds them; tests/fixtures/make_runs.py tells how they were made.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings
from tests.support.aws import moto_process
from tests.support.earlier_runs import (
    KEY,
    VARIABLES,
    earlier_run,
    earlier_runs,
    images,
    objects,
    price_of,
    read_back,
)
from tests.support.fake_upstage import running
from tests.support.fleet import fleet
from tests.support.judge import judge_money, judge_rows, written
from tests.support.named_service import named

KEYS = f"{KEY}@60"
FINISHED = [name for name in earlier_runs() if name.startswith("finished_")]
CUT = [name for name in earlier_runs() if name not in FINISHED]


@pytest.fixture(scope="module")
def s3_url():
    with moto_process() as url:
        yield url


@pytest.fixture
def left(tmp_path, s3_url):
    """Lay out a saved run; gives it, its workers' place, and a service that logs."""
    with running(FakeSettings(keys=parse_keys(KEYS))) as fake, named(fake) as address:
        variables = VARIABLES | address | {"UPSTAGE_API_KEYS": KEYS}

        def lay_out(name: str):
            run = earlier_run(name)
            run.lay_out(ws)
            return run, ws, fake

        bucket = f"earlier-{tmp_path.parent.name}-{tmp_path.name}".replace("_", "-").lower()[-60:]
        with fleet(tmp_path, s3_url, bucket.strip("-"), **variables) as ws:
            yield lay_out


def go_on(ws, command):
    """The same command again, to its end."""
    return ws.run(*command.args, program=command.program)


def uncut(run, left_in):
    """The tables of the run that it would have been."""
    (left_in / "uncut").mkdir()
    like = earlier_run(run.like)
    for key, data in like.saved.by_key.items():
        if key.startswith(("data/processed/train_", "train")):
            name = key.rpartition("/")[2].replace("train_pseudo_labels", "train")
            (left_in / "uncut" / name).write_bytes(data)
    return written(left_in / "uncut", "train")


@pytest.mark.parametrize("name", CUT)
def test_it_is_finished_and_what_was_answered_is_not_asked_for_again(name, left, tmp_path):
    run, ws, fake = left(name)
    inputs, held = images(), run.saved.held
    command = run.command
    if name == "folder_cap_reached":
        command = replace(command, options=("--max-cost", "none"))
    status, said = go_on(ws, command)
    assert status == 0, said
    found = read_back(ws, command)
    judge_rows(inputs, found)
    assert found.timeless == uncut(run, tmp_path).timeless
    sent = [entry.sha256 for entry in fake.entries]
    assert not held & set(sent)
    if command.engine == "upstage":
        assert sorted(sent) == sorted(inputs.pages.keys() - held)
        entries = [*run.entries, *fake.entries]
        judge_money(inputs, entries, found)
        if name == "folder_cap_near":
            assert command.options == ("--max-cost", price_of(24))
            assert sum(entry.billed for entry in entries) <= 24


def with_one_more(run, ws, folder):
    """The input of a run with one image more, laid in place of what was there."""
    inputs = images()
    shutil.copytree(inputs.folder, folder)
    Image.new("RGB", (64, 48), "white").save(folder / "new.png")
    sha256 = hashlib.sha256((folder / "new.png").read_bytes()).hexdigest()
    if run.command.where == "folder":
        shutil.copy(folder / "new.png", ws.home / "images")
    else:
        ws.put_packed("train", folder)
    return replace(
        inputs,
        readable=inputs.readable | {"new.png"},
        pages=inputs.pages | {sha256: 1},
        sha256=inputs.sha256 | {"new.png": sha256},
    )


@pytest.mark.parametrize(
    "name",
    ["folder_retry", "folder_two_workers", "bucket_batch", "bucket_retry", "finished_bucket"],
)
def test_its_input_may_have_grown_meanwhile(name, left, tmp_path):
    run, ws, fake = left(name)
    inputs, held = with_one_more(run, ws, tmp_path / "grown"), run.saved.held
    grown = replace(run.command, options=(*run.command.options, "--grow"))
    status, said = go_on(ws, grown)
    assert status == 0, said
    found = read_back(ws, run.command)
    judge_rows(inputs, found)
    sent = [entry.sha256 for entry in fake.entries]
    assert not held & set(sent)
    if run.command.engine == "upstage":
        assert sorted(sent) == sorted(inputs.pages.keys() - held)
        judge_money(inputs, [*run.entries, *fake.entries], found)


@pytest.mark.parametrize("options", [("--max-cost", price_of(8)), ()])
def test_a_cap_that_was_reached_holds_whether_it_is_said_again_or_not(options, left):
    run, ws, fake = left("folder_cap_reached")
    assert run.command.options == ("--max-cost", price_of(8))
    status, said = go_on(ws, replace(run.command, options=options))
    assert status == 5, said
    before = sum(entry.billed for entry in run.entries)
    assert 0 < before + sum(entry.billed for entry in fake.entries) <= 8


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_one_is_known_as_finished(name, left):
    run, ws, fake = left(name)
    before = objects(ws, run.command)
    status, said = go_on(ws, run.command)
    assert status == 0, said
    assert "was done before" in said
    assert not fake.entries
    results = [key for key in before if key.endswith(("train.parquet", "_run.json"))]
    after = objects(ws, run.command)
    assert [after[key] for key in results] == [before[key] for key in results]


def test_the_saved_runs_hold_what_they_are_there_for():
    saved = {name: earlier_run(name).saved for name in CUT}
    for name in CUT:
        if not name.endswith(("_cap_reached", "_retry")):
            batches = set(range(5))
            assert saved[name].checkpoints(), name
            assert saved[name].journalled - saved[name].checkpoints(), name
            assert batches - saved[name].journalled - saved[name].checkpoints(), name
        if name not in {"folder_free", "folder_cap_reached"}:
            assert saved[name].asks_without_an_end, name
    assert {name for name in CUT if "_retry" in name} == {"bucket_retry", "folder_retry"}
