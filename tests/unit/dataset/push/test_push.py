"""`push` to a real S3 server: what lies in the bucket afterwards, and that it reads back equal."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocrlabel.dataset.push.push import PushOptions
from ocrlabel.errors import ConfigError, DatasetError, StoreUnavailable
from ocrlabel.labels import FailureClass
from tests.support.faults import PowerCut
from tests.support.stores import DictStore
from tests.unit.dataset.opened import all_refs, opened, read, refusal
from tests.unit.dataset.push.pushing import PAGE, Pusher, folder_of, listed, picture, sha256, stored


def test_a_folder_is_labelled_from_the_bucket_with_no_flag_at_all(pusher, open_s3, tmp_path):
    files = {
        "a.png": picture(1),
        "영수증 #1 (50%).jpg": picture(2, "JPEG"),
        unicodedata.normalize("NFD", "한글/영수증.png"): picture(3),
        "same as a.png": picture(1),
        "really_png.jpg": picture(4),
    }
    folder_of(tmp_path, files)
    done = pusher("scans")
    assert (done.rows, done.uploaded, done.there, done.identical) == (5, 4, 0, 1)
    assert (done.unreadable, done.table, done.checked) == (0, "written", 4)
    assert done.uploaded_bytes == sum(len(picture(n)) for n in (1, 3, 4)) + len(
        files["영수증 #1 (50%).jpg"]
    )
    away = tmp_path / "another machine"
    away.mkdir()
    url = f"s3://{pusher.bucket}/data/processed/scans.parquet"
    with opened(url, away, store_opener=open_s3) as dataset:
        refs = all_refs(dataset)
        assert {ref.id: read(dataset, ref.ordinal) for ref in refs} == files
        assert [json.loads(ref.input_row)["original_path"] for ref in refs] == sorted(
            files, key=str.encode
        )
    # a name is what the bytes are, not what the file is called
    assert set(listed(pusher.store, "data/images/")) == {
        f"data/images/{name[:2]}/{name}"
        for name in (
            *(f"{sha256(picture(n))}.png" for n in (1, 3, 4)),
            f"{sha256(files['영수증 #1 (50%).jpg'])}.jpg",
        )
    }


def test_a_second_push_sends_nothing_and_leaves_the_table_as_it_is(pusher, tmp_path):
    folder_of(tmp_path, {f"{n}.png": picture(n) for n in range(5)})
    pusher("scans")
    table = stored(pusher.store, "data/processed/scans.parquet")
    done = pusher("scans")
    assert (done.uploaded, done.there, done.identical, done.table) == (0, 5, 0, "unchanged")
    assert stored(pusher.store, "data/processed/scans.parquet") == table


@pytest.mark.parametrize("packed", [False, True])
def test_equal_input_gives_equal_bytes_whoever_pushes_it(plain, tmp_path, packed):
    folder_of(tmp_path, {f"{n}.png": picture(n) for n in range(7)})
    plain("scans", embedded=packed)
    once = plain.store.objects["data/processed/scans.parquet"]
    plain.store.objects.clear()
    plain("scans", embedded=packed, at_once=1)
    assert plain.store.objects["data/processed/scans.parquet"] == once


class CutAfter(DictStore):
    """The process dies with the n-th write, after or before it took place."""

    def __init__(self, writes: int, *, written: bool) -> None:
        super().__init__()
        self.left, self.written = writes, written

    async def put(self, key: str, data: bytes) -> None:
        self.left -= 1
        if self.left == 0 and not self.written:
            raise PowerCut
        await super().put(key, data)
        if self.left == 0:
            raise PowerCut

    async def upload(self, key: str, path: Path) -> None:
        await self.put(key, path.read_bytes())


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("cut_at", range(1, 8))
def test_cut_anywhere_and_pushed_again_it_sends_only_what_is_not_there(
    plain, tmp_path, cut_at, written
):
    folder_of(tmp_path, {f"{n}.png": picture(n) for n in range(6)})
    plain("scans")
    whole = plain.store.objects
    store = CutAfter(cut_at, written=written)
    with pytest.raises(PowerCut):
        plain("scans", store=store, at_once=1)
    there = len([key for key in store.objects if key.startswith("data/images/")])
    has_table = "data/processed/scans.parquet" in store.objects
    assert not has_table or there == 6
    done = plain("scans", store=store)
    assert (done.uploaded, done.there) == (6 - there, there)
    assert done.table == ("unchanged" if has_table else "written")
    assert store.objects == whole


def test_an_image_of_another_size_under_its_name_is_sent_again(plain, tmp_path):
    folder_of(tmp_path, {"a.png": picture(1), "b.png": picture(2)})
    plain("scans")
    whole = dict(plain.store.objects)
    key = next(key for key in whole if sha256(picture(1)) in key)
    plain.store.objects[key] = picture(1)[:-1]
    assert plain("scans").uploaded == 1
    assert plain.store.objects == whole


class Forgets(DictStore):
    """Loses one image, and says nothing."""

    lost = picture(1)

    async def put(self, key: str, data: bytes) -> None:
        if data != self.lost:
            await super().put(key, data)


@pytest.mark.parametrize("images", [2, 60])
def test_no_table_is_written_whose_images_are_not_there(plain, tmp_path, images):
    # of sixty, the one that is lost is not in the sample that is read back
    folder_of(tmp_path, {f"{n:02}.png": picture(n) for n in range(images)})
    store = Forgets()
    with pytest.raises(StoreUnavailable, match="and 0 others are not there any more; no table"):
        plain("scans", store=store)
    assert "data/processed/scans.parquet" not in store.objects


@pytest.mark.parametrize(("verify", "found"), [("sample", False), ("all", True)])
def test_verify_all_reads_every_byte_back(plain, tmp_path, verify, found):
    folder_of(tmp_path, {f"{n:02}.png": picture(n) for n in range(60)})
    plain("scans")
    key = next(key for key in plain.store.objects if sha256(picture(1)) in key)
    plain.store.objects[key] = bytes(len(picture(1)))
    if not found:
        assert plain("scans", verify=verify).checked == 20
        return
    with pytest.raises(StoreUnavailable, match="holds other bytes: delete it"):
        plain("scans", verify=verify)


def test_unreadable_images_stay_rows_with_their_own_path_and_nothing_of_them_is_sent(
    pusher, open_s3, tmp_path
):
    (tmp_path / "t.csv").write_text(
        "id,image_path\n1,ok.png\n2,gone.png\n3,page.jpg\n4,empty.png\n5,/etc/passwd\n"
    )
    (tmp_path / "ok.png").write_bytes(PAGE)
    (tmp_path / "page.jpg").write_bytes(b"<html>secret</html>")
    (tmp_path / "empty.png").write_bytes(b"")
    done = pusher("t.csv")
    assert (done.rows, done.unreadable, done.uploaded) == (5, 4, 1)
    assert sorted(done.reasons) == [1, 2, 3, 4]
    assert done.reasons[2].startswith("page.jpg: it is a web page")
    assert done.reasons[1].startswith("gone.png is not there; looked at")
    assert len(listed(pusher.store)) == 2
    with opened(pusher.target("t.csv").url, tmp_path / "..", store_opener=open_s3) as dataset:
        refs = all_refs(dataset)
        assert [ref.path for ref in refs[1:]] == [
            "gone.png",
            "page.jpg",
            "empty.png",
            "/etc/passwd",
        ]
        assert read(dataset) == PAGE
        assert [refusal(dataset, row).failure for row in (1, 2, 3, 4)] == [
            *[FailureClass.NOT_FOUND] * 3,
            FailureClass.NOT_ALLOWED,
        ]


@pytest.mark.parametrize("packed", [False, True])
def test_rows_without_a_readable_image_can_be_left_out(plain, tmp_path, packed):
    folder_of(tmp_path, {"a.png": b"", "b.png": picture(1), "c.png": b"x", "d.png": picture(2)})
    done = plain("scans", embedded=packed, skip_unreadable=True, verify="all")
    assert (done.rows, done.unreadable, done.checked) == (2, 2, 2)
    table = pq.read_table(pa.BufferReader(plain.store.objects["data/processed/scans.parquet"]))
    assert table["id"].to_pylist() == ["b.png", "d.png"]


def test_a_dataset_without_any_readable_image_is_refused_before_anything_is_sent(plain, tmp_path):
    folder_of(tmp_path, {"a.png": b"", "b.png": b"text"})
    with pytest.raises(DatasetError, match=r"none of its 2 images can be read; row 1: .*empty"):
        plain("scans")
    assert not plain.store.objects


def test_the_reasons_of_a_million_unreadable_rows_are_the_first_twenty(plain, tmp_path):
    folder_of(tmp_path, {**{f"{n:02}.png": b"" for n in range(50)}, "z.png": PAGE})
    done = plain("scans")
    assert done.unreadable == 50
    assert sorted(done.reasons) == list(range(20))


def test_another_table_is_not_replaced_unless_that_is_said(plain, tmp_path):
    folder_of(tmp_path, {"a.png": picture(1), "b.png": picture(2)})
    plain("scans")
    before = dict(plain.store.objects)
    (tmp_path / "scans/a.png").unlink()
    (tmp_path / "scans/b.png").write_bytes(picture(3))
    (tmp_path / "scans/c.png").write_bytes(picture(4))
    with pytest.raises(ConfigError, match="holds another table") as told:
        plain("scans")
    assert (
        "2 rows there, 2 here: 1 only here, 1 only there, 1 with another content; "
        "the first that differs is 'b.png'"
    ) in str(told.value)
    assert "--replace" in str(told.value)
    assert plain.store.objects == before  # not an image of it was sent
    assert plain("scans", replace=True).table == "replaced"
    table = pq.read_table(pa.BufferReader(plain.store.objects["data/processed/scans.parquet"]))
    assert table["id"].to_pylist() == ["b.png", "c.png"]


def test_a_table_with_the_same_rows_written_by_another_tool_is_left_as_it_is(plain, tmp_path):
    folder_of(tmp_path, {"a.png": picture(1), "b.png": picture(2)})
    plain("scans")
    key = "data/processed/scans.parquet"
    table = pq.read_table(pa.BufferReader(plain.store.objects[key]))
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({}), sink, compression="snappy")
    plain.store.objects[key] = sink.getvalue().to_pybytes()
    assert plain("scans").table == "unchanged"
    assert plain.store.objects[key] == sink.getvalue().to_pybytes()


def test_what_is_no_table_is_not_replaced_even_if_that_is_said(plain, tmp_path):
    folder_of(tmp_path, {"a.png": picture(1)})
    plain.store.objects["data/processed/scans.parquet"] = b"a note"
    with pytest.raises(ConfigError, match="is no parquet table; move it away"):
        plain("scans", replace=True)


def test_a_file_that_changes_while_it_is_pushed_stops_the_push(plain, tmp_path):
    folder_of(tmp_path, {"a.png": picture(1), "b.png": picture(2)})

    class Meddles(DictStore):
        async def put(self, key: str, data: bytes) -> None:
            (tmp_path / "scans/b.png").write_bytes(picture(9))
            await super().put(key, data)

    store = Meddles()
    with pytest.raises(DatasetError, match=r"b\.png was changed while it was pushed"):
        plain("scans", store=store, at_once=1)
    assert "data/processed/scans.parquet" not in store.objects


def test_a_pushed_table_can_be_pushed_on_into_another_bucket(pusher, tmp_path):
    folder_of(tmp_path, {"a.png": picture(1), "b.png": picture(2)})
    pusher("scans")
    second = Pusher(DictStore(), "other", tmp_path, pusher.open_s3)
    done = second(f"s3://{pusher.bucket}/data/processed/scans.parquet")
    assert (done.uploaded, done.rows) == (2, 2)
    for key, data in second.store.objects.items():
        if key.startswith("data/images/"):
            assert stored(pusher.store, key) == data
    table = pq.read_table(pa.BufferReader(second.store.objects["data/processed/scans.parquet"]))
    assert table["original_path"].to_pylist() == ["a.png", "b.png"]


def test_every_step_is_told_with_its_end(plain, tmp_path):
    folder_of(tmp_path, {f"{n}.png": picture(n) for n in range(3)})
    plain("scans")
    last = {step.stage: (step.done, step.total) for step in plain.steps}
    assert last == {"reading": (3, 3), "uploading": (3, 3), "checking": (3, 3)}


def test_the_defaults_are_what_the_command_says():
    assert PushOptions() == PushOptions(
        embedded=False, skip_unreadable=False, replace=False, verify="sample", at_once=16
    )


def test_a_cancelled_push_leaves_no_table(plain, tmp_path):
    folder_of(tmp_path, {f"{n}.png": picture(n) for n in range(6)})

    class Cancels(DictStore):
        async def put(self, key: str, data: bytes) -> None:
            await super().put(key, data)
            if len(self.objects) == 3:
                raise asyncio.CancelledError

    store = Cancels()
    with pytest.raises(asyncio.CancelledError):
        plain("scans", store=store, at_once=1)
    assert len(store.objects) == 3
    assert plain("scans", store=store).uploaded == 3
