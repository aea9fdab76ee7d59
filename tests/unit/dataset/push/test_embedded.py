"""Images inside of the table: equal when read back, and one read without the others."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocrlabel.dataset.push.table import images_in
from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.labels import FailureClass
from tests.support.stores import DictStore
from tests.unit.dataset.made import corners
from tests.unit.dataset.opened import all_refs, opened, read, refusal
from tests.unit.dataset.push.pushing import folder_of, listed, picture, sha256, stored


def test_packed_images_are_in_the_table_read_back_equal_and_loaded_by_datasets(
    pusher, open_s3, tmp_path, monkeypatch
):
    import datasets

    files = {f"{n:03}.png": picture(n % 150) for n in range(230)} | {"bad.png": b"no image"}
    folder_of(tmp_path, files)
    done = pusher("scans", "packed/", embedded=True, verify="all")
    assert (done.rows, done.uploaded, done.unreadable, done.checked) == (231, 230, 1, 230)
    assert list(listed(pusher.store)) == ["packed/scans.parquet"]
    data = stored(pusher.store, "packed/scans.parquet")
    table = pq.ParquetFile(pa.BufferReader(data))
    sizes = [table.metadata.row_group(n).num_rows for n in range(table.num_row_groups)]
    assert sizes == [100, 100, 31]
    with opened(
        f"s3://{pusher.bucket}/packed/scans.parquet", tmp_path / "..", store_opener=open_s3
    ) as dataset:
        refs = all_refs(dataset)
        assert {ref.id: read(dataset, ref.ordinal) for ref in refs[:-1]} == {
            name: files[name] for name in files if name != "bad.png"
        }
        assert refs[0].path == f"{sha256(files['000.png'])}.png"
        assert refusal(dataset, 230).failure == FailureClass.NOT_FOUND
        assert refs[230].path == "bad.png"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "packed.parquet").write_bytes(data)
    loaded = datasets.Dataset.from_parquet(
        str(tmp_path / "packed.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded[17]["image"].size == corners(48 + 2 * 17, 32).size
    again = pusher("scans", "packed/", embedded=True)
    assert (again.uploaded, again.there, again.table) == (0, 230, "unchanged")


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_one_image_of_a_packed_table_is_read_without_the_rest_of_its_group(plain, tmp_path):
    big = {f"{n:02}.png": picture(n) + bytes([n]) * 100_000 for n in range(90)}
    folder_of(tmp_path, big)
    plain("scans", embedded=True)
    file = Counted(plain.store.objects["data/processed/scans.parquet"])
    assert len(file.getvalue()) > 9_000_000
    assert list(images_in(file, [0, 7])) == [(0, big["00.png"]), (7, big["07.png"])]
    assert file.taken < 4_000_000


def test_a_packed_table_with_other_images_is_another_table(plain, tmp_path):
    folder_of(tmp_path, {"a.png": picture(1), "b.png": picture(2)})
    plain("scans", embedded=True)
    (tmp_path / "scans/b.png").write_bytes(picture(3))
    with pytest.raises(ConfigError, match="2 rows there, 2 here: 1 with another content"):
        plain("scans", embedded=True)


def test_a_packed_table_that_came_to_harm_is_noticed(plain, tmp_path):
    folder_of(tmp_path, {"a.png": picture(1), "b.png": picture(2)})

    class Flips(DictStore):
        async def upload(self, key: str, path: Path) -> None:
            self.objects[key] = path.read_bytes().replace(picture(2), picture(2)[::-1])

    with pytest.raises(StoreUnavailable, match="row 2 holds another image"):
        plain("scans", embedded=True, store=Flips())


def test_packing_stops_before_it_fills_the_disk(tmp_path):
    from ocrlabel.dataset.push.push import _check_room

    with pytest.raises(ConfigError, match="set TMPDIR to a larger disk"):
        _check_room(tmp_path, 1 << 60)


def test_a_hugging_face_table_is_unpacked_and_packed_again_with_its_class_names(plain, tmp_path):
    import datasets

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["bill", "card"])}
    )
    rows = {
        "image": [{"bytes": picture(n), "path": f"{n}.png"} for n in range(4)],
        "label": [0, 1, 1, 0],
    }
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "hf.parquet")
    done = plain("hf.parquet")
    assert (done.rows, done.uploaded) == (4, 4)
    table = pq.read_table(pa.BufferReader(plain.store.objects["data/processed/hf.parquet"]))
    assert table["id"].to_pylist() == [f"{n}.png" for n in range(4)]
    assert table["label"].to_pylist() == [0, 1, 1, 0]
    plain("hf.parquet", "again.parquet", embedded=True)
    (tmp_path / "again.parquet").write_bytes(plain.store.objects["again.parquet"])
    loaded = datasets.Dataset.from_parquet(
        str(tmp_path / "again.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features["label"].names == ["bill", "card"]
    assert loaded[3]["image"].size == corners(48 + 2 * 3, 32).size
