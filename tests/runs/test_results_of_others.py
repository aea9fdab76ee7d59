"""A run writes over what it wrote itself, and over nothing else; what is lost of it is made again."""

from __future__ import annotations

import asyncio
import hashlib
import io
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from ocrlabel.cli.settings import from_environment, open_store
from ocrlabel.dataset.labels_table import read_labels, write_changed
from ocrlabel.errors import EngineUnusable, KeyRefused, RunMismatch
from ocrlabel.options import Options
from ocrlabel.pipeline.state.layout import of_dataset
from tests.support.clock import run_virtual
from tests.support.command import ocrlabel
from tests.support.faults import PowerCut
from tests.support.runs import LAYOUT, BillingEngine, go, labels, made
from tests.support.s3 import REGION, make_bucket, moto_server
from tests.support.stores import DictStore

RESULTS = ("_failures.parquet", "_run.json", "_report.html", "_partial.parquet")
OURS = ("run", "images/", "--engine", "scripted", "--max-failures", "100%", "--output")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with three images, and one file that is none."""
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "others"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            page = Image.new("RGB", (200, 100), "white")
            ImageDraw.Draw(page).text((10, 10), f"{folder} {number}", fill="black")
            page.save(tmp_path / folder / f"{number}.png")
        (tmp_path / folder / "broken.jpg").write_bytes(b"no image")
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def damaged_within(path):
    """The footer is whole, the rows are not."""
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 3] = bytes(len(data) // 3 - 4)
    path.write_bytes(data)


WRECKS = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "garbage": lambda path: path.write_bytes(b"\x00garbage" * 100),
    "damaged within": damaged_within,
}


@pytest.mark.parametrize("wreck", WRECKS)
@pytest.mark.parametrize("name", ["labels.parquet", "labels_failures.parquet"])
def test_a_table_of_a_finished_run_that_is_destroyed_is_made_again(here, name, wreck):
    assert ocrlabel(*OURS, "labels.parquet").status == 0
    before = contents(here)
    WRECKS[wreck](here / name)
    again = ocrlabel(*OURS, "labels.parquet")
    assert again.status == 0
    assert "was done before" not in again.out
    for path in (here / "labels.parquet", here / "labels_failures.parquet"):
        assert pq.read_table(path).equals(pq.read_table(io.BytesIO(before[path])))
    assert "was done before" in ocrlabel(*OURS, "labels.parquet").out


def filtered(path):
    assert ocrlabel("filter", str(path), "-o", "f.parquet", "--min-confidence", "1").status == 0
    shutil.move("f.parquet", path)


def edited(path):
    table = pd.read_parquet(path)
    table.drop(index=0).to_parquet(path)


def edited_and_signed_as_before(path):
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)


def of_another_run(path):
    assert ocrlabel("run", "others/", "--engine", "scripted", "--output", "o.parquet").status == 6
    shutil.copy("o.parquet", path)


CHANGES = (filtered, edited, edited_and_signed_as_before, of_another_run)


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_is_not_as_it_was_written_is_named_and_never_replaced(here, change):
    assert ocrlabel(*OURS, "labels.parquet").status == 0
    change(here / "labels.parquet")
    before = contents(here)
    ways = ((), ("--retry-failed", "all"), ("--fresh", "--yes"))
    for more in ways:
        ran = ocrlabel(*OURS, "labels.parquet", *more)
        assert ran.status == 3, more
        assert "labels.parquet: it " in ran.err
        assert "another --output, or move it away" in ran.err
    assert ocrlabel("merge", "images/", "--output", "labels.parquet").status == 3
    assert contents(here) == before
    (here / "labels.parquet").rename(here / "mine.parquet")
    assert ocrlabel(*OURS, "labels.parquet").status == 0


def test_corrections_that_were_imported_onto_the_table_count_as_the_runs_own_and_stay(here):
    assert ocrlabel(*OURS, "labels.parquet").status == 0
    path = here / "labels.parquet"
    write_changed(path, read_labels(path), source=path, changed_by="import coco")
    before = contents(here)
    ran = ocrlabel(*OURS, "labels.parquet")
    assert (ran.status, "was done before" in ran.out) == (0, True)
    assert contents(here) == before
    assert ocrlabel(*OURS, "labels.parquet", "--retry-failed", "all").status == 3
    (here / "labels_failures.parquet").unlink()
    assert ocrlabel(*OURS, "labels.parquet").status == 0
    assert contents(here).keys() == before.keys()
    assert (here / "labels.parquet").read_bytes() == before[here / "labels.parquet"]


@pytest.mark.parametrize("ending", RESULTS)
def test_a_users_own_file_under_the_name_of_any_result_is_found_before_anything_is_done(
    here, ending
):
    own = here / f"a{ending}"
    own.write_bytes(b"a user's own")
    ran = ocrlabel(*OURS, "a.parquet")
    assert ran.status == 3
    assert str(own) in ran.err
    assert "another --output, or move it away" in ran.err
    assert ocrlabel(*OURS, "a.parquet", "--dry-run").status == 3
    assert own.read_bytes() == b"a user's own"
    assert not (here / "checkpoints").exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a_failures.parquet", "a.parquet"),
        ("a.parquet", "a_failures.parquet"),
        ("a_partial.parquet", "a.parquet"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_run_whose_table_has_a_name_of_another_runs_is_refused(here, first, second, finished):
    more = () if finished else ("--sample", "2")
    assert ocrlabel(*OURS, first, *more).status == 0
    before = contents(here)
    ran = ocrlabel("run", "others/", "--engine", "scripted", "--output", second)
    assert ran.status == 3
    assert "it is of run" in ran.err
    assert contents(here) == before


def test_of_two_runs_with_one_output_and_different_prefixes_one_is_refused(here):
    assert ocrlabel(*OURS, "a.parquet", "--sample", "2").status == 0
    before = contents(here)
    again = (*OURS, "a.parquet", "--checkpoint-prefix", "elsewhere")
    assert ocrlabel(*again).status == 3
    assert contents(here) == before
    assert not (here / "elsewhere").exists()


def test_of_two_runs_that_come_to_one_output_at_once_one_is_refused_before_it_pays():
    store, engine = DictStore(), BillingEngine()

    async def story():
        return await asyncio.gather(
            *(
                go(
                    store,
                    made(rows),
                    engine,
                    worker=f"w{rows}",
                    layout=of_dataset("train", prefix=prefix),
                )
                for rows, prefix in ((10, "one"), (20, "two"))
            ),
            return_exceptions=True,
        )

    found = run_virtual(story())
    refused = [str(one) for one in found if isinstance(one, Exception)]
    assert len(refused) == 1
    assert "did not write" in refused[0]
    done = next(one for one in found if not isinstance(one, Exception))
    assert engine.asked.total() == done.record.rows


def test_a_merge_that_meets_anothers_table_writes_nothing_and_goes_on_once_it_is_gone():
    store, other, engine = DictStore(), DictStore(), BillingEngine()

    async def story():
        await go(other, made(3), BillingEngine(), worker="w9")
        theirs = other.objects[LAYOUT.failures_key]

        def comes(image, attempt):
            store.objects[LAYOUT.failures_key] = theirs

        engine.trouble = comes
        with pytest.raises(RunMismatch, match="all that was answered is saved"):
            await go(store, made(10), engine)
        assert store.objects[LAYOUT.failures_key] == theirs
        assert LAYOUT.labels_key not in store.objects
        del store.objects[LAYOUT.failures_key]
        return await go(store, made(10), engine, worker="w2")

    assert run_virtual(story()).record.labelled == 10
    assert engine.asked.total() == 10


class DiesBeforeTheRecord(DictStore):
    """The power goes between the tables of a merge and run.json."""

    on = False

    async def put(self, key, data):
        if self.on and key == LAYOUT.run_key:
            raise PowerCut
        await super().put(key, data)


def test_tables_of_a_merge_that_died_before_its_last_word_are_the_runs_own():
    store = DiesBeforeTheRecord()
    rows, engine = made(10, absent=[3]), BillingEngine()

    async def story():
        await go(store, rows, engine)
        store.on = True
        with pytest.raises(PowerCut):
            await go(store, rows, engine, Options(retry_failed=()), worker="w2")
        store.on = False
        result = await go(store, rows, engine, worker="w3")
        return result, await go(store, rows, engine, Options(retry_failed=()), worker="w4")

    known, retried = run_virtual(story())
    assert known.already
    assert retried.record.retries == 1


class DiesOnceItPutDown(DictStore):
    """The power goes right after the n-th table was put down, and before it is written."""

    left = -1

    async def put_if_absent(self, key, data):
        done = await super().put_if_absent(key, data)
        self.left -= "/written/" in key
        if not self.left:
            self.left = -1
            raise PowerCut
        return done


def as_an_earlier_version_left_it(store):
    """Nothing was put down by then, and no table says so."""
    for key in [key for key in store.objects if "/written/" in key]:
        del store.objects[key]
    for key in (LAYOUT.labels_key, LAYOUT.failures_key):
        table = pq.read_table(io.BytesIO(store.objects[key]))
        said = {
            name: said for name, said in table.schema.metadata.items() if b"put_down" not in name
        }
        out = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(said), out)
        store.objects[key] = out.getvalue()


@pytest.mark.parametrize("nth", [1, 2])
def test_tables_of_an_earlier_version_are_the_runs_own_also_where_a_merge_of_this_one_died(nth):
    store = DiesOnceItPutDown()
    rows, engine = made(10, absent=[3]), BillingEngine()

    async def story():
        await go(store, rows, engine)
        as_an_earlier_version_left_it(store)
        store.left = nth
        with pytest.raises(PowerCut):
            await go(store, rows, engine, Options(retry_failed=()), worker="w2")
        known = await go(store, rows, engine, worker="w3")
        return known, await go(store, rows, engine, Options(retry_failed=()), worker="w4")

    known, retried = run_virtual(story())
    assert known.already
    assert retried.record.retries == 1


@pytest.mark.parametrize("first", [0, 1])
def test_in_a_bucket_a_dataset_may_be_named_as_a_table_of_anothers(first):
    store, names = DictStore(), ["train", "train_failures"]

    async def story():
        for number in (first, 1 - first):
            layout = of_dataset(names[number])
            await go(store, made(5), BillingEngine(), worker=f"w{number}", layout=layout)
        return [await labels(store, of_dataset(name).labels_key) for name in names]

    assert [len(found) for found in run_virtual(story())] == [5, 5]


def test_a_run_that_goes_on_after_it_ended_with_nothing_holds_its_names_again():
    store, engine = DictStore(), BillingEngine()
    one, two = of_dataset("train", prefix="one"), of_dataset("train", prefix="two")

    async def other():
        await asyncio.sleep(1.0)
        with pytest.raises(RunMismatch, match="did not write"):
            await go(store, made(20), engine, worker="w3", layout=two)

    async def story():
        refused = BillingEngine(trouble=lambda *_: KeyRefused("no credit", status=403))
        with pytest.raises(EngineUnusable):
            await go(store, made(10), refused, layout=one)
        return await asyncio.gather(go(store, made(10), engine, worker="w2", layout=one), other())

    done, _ = run_virtual(story())
    assert engine.asked.total() == done.record.labelled == 10


@pytest.mark.parametrize("name", ["a.parquet", "a_failures.parquet", "a_run.json"])
def test_a_folder_under_the_name_of_a_result_is_a_sentence_before_anything_is_done(here, name):
    (here / name).mkdir()
    ran = ocrlabel(*OURS, "a.parquet")
    assert ran.status == 2
    assert f"{name} is a folder" in ran.err
    assert not (here / "checkpoints").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("filter", "labels.parquet", "--min-confidence", "0.5", "-o", "own.parquet"),
        ("report", "labels.parquet", "-o", "own.html"),
        ("view", "labels.parquet", "0.png", "-o", "own.html"),
        ("export", "labels.parquet", "--format", "paddleocr", "-o", "own"),
    ],
)
def test_a_command_that_writes_files_replaces_its_own_kind_and_nothing_else(here, command):
    assert ocrlabel(*OURS, "labels.parquet").status == 0
    own = here / command[-1]
    if command[0] == "export":
        own.mkdir()
        (own / "notes.txt").write_bytes(b"a user's own")
    else:
        own.write_bytes(b"a user's own")
    ran = ocrlabel(*command)
    assert ran.status == 2, ran
    assert str(own.name) in ran.err
    if own.is_file():
        assert own.read_bytes() == b"a user's own"
        own.unlink()
        for _ in range(2):
            assert ocrlabel(*command).status == 0


@pytest.fixture(scope="module")
def s3_url():
    with moto_server() as url:
        yield url


@pytest.fixture
def bucket(request, s3_url, monkeypatch):
    """A bucket of its own: its address, and what reads and writes it without the code under test."""
    name = f"b-{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}"
    make_bucket(s3_url, name)
    for variable, value in {
        "AWS_ENDPOINT_URL_S3": s3_url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(variable, value)
    return f"s3://{name}", open_store(f"s3://{name}", from_environment())


@pytest.mark.parametrize("name", ["c/a.parquet", "c/a_failures.parquet"])
def test_in_a_bucket_a_destroyed_table_is_made_again_and_a_foreign_one_is_named(bucket, name):
    root, store = bucket
    output = f"{root}/c/a.parquet"
    assert ocrlabel(*OURS, output).status == 0
    whole = asyncio.run(store.get(name))
    for wreck in (b"", whole[:-50]):
        asyncio.run(store.put(name, wreck))
        assert ocrlabel(*OURS, output).status == 0
        assert pq.read_table(io.BytesIO(asyncio.run(store.get(name)))).num_rows in {1, 3}
    assert "was done before" in ocrlabel(*OURS, output).out
    assert ocrlabel("run", "others/", "--engine", "scripted", "--output", "o.parquet").status == 6
    theirs = Path("o.parquet").read_bytes()
    asyncio.run(store.put(name, theirs))
    ran = ocrlabel(*OURS, output)
    assert ran.status == 3
    assert f"{root}/{name}: it is of run" in ran.err
    assert asyncio.run(store.get(name)) == theirs


def test_in_a_bucket_nothing_of_others_is_overwritten(bucket):
    root, store = bucket
    asyncio.run(store.put("c/a_run.json", b"a user's own"))
    ran = ocrlabel(*OURS, f"{root}/c/a.parquet")
    assert ran.status == 3
    assert f"{root}/c/a_run.json" in ran.err
    asyncio.run(store.delete(["c/a_run.json"]))
    assert ocrlabel(*OURS, f"{root}/c/a.parquet", "--sample", "2").status == 0
    for other in (("--output", f"{root}/c/a_failures.parquet"), ("--checkpoint-prefix", "two")):
        again = ocrlabel(*OURS, f"{root}/c/a.parquet", *other)
        assert again.status == 3, other


class WrittenMeanwhile(DictStore):
    """A table of this run is put down and written right behind a listing of what was."""

    on = False

    async def list(self, prefix):
        found = [stored async for stored in super().list(prefix)]
        if self.on and "/written/" in prefix:
            self.on = False
            again = io.BytesIO()
            table = pq.read_table(io.BytesIO(self.objects[LAYOUT.labels_key]))
            pq.write_table(table, again, compression="none")
            self.objects[LAYOUT.labels_key] = again.getvalue()
            self.objects[prefix + hashlib.sha256(again.getvalue()).hexdigest()] = b"{}"
        for stored in found:
            yield stored


def test_a_table_that_another_worker_writes_while_a_start_looks_is_the_runs_own():
    store, engine = WrittenMeanwhile(), BillingEngine()

    async def story():
        await go(store, made(10), engine)
        store.on = True
        return await go(store, made(10), engine, worker="w2")

    assert run_virtual(story()).already
    assert not store.on
