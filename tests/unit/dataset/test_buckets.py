"""Datasets in buckets, over a real S3 server: the same rows, and only buckets that were named."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import Callable

import pytest

from ocrlabel.labels import FailureClass
from ocrlabel.storage.base import ObjectStore
from ocrlabel.storage.opening import open_store
from tests.support.s3 import CREDENTIALS, REGION, make_bucket
from tests.unit.dataset.made import corners, saved
from tests.unit.dataset.opened import all_refs, complaint, opened, parquet, read, refusal

PNG = saved(corners(), "PNG")
Put = Callable[[str, bytes], None]


@pytest.fixture
def open_s3(moto_url: str) -> Callable[[str], ObjectStore]:
    return lambda url: open_store(
        url, endpoint_url=moto_url, region=REGION, credentials=CREDENTIALS
    )


@pytest.fixture
def bucket(moto_url: str, request: pytest.FixtureRequest) -> str:
    name = "d" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    make_bucket(moto_url, name)
    return name


@pytest.fixture
def put(bucket, open_s3) -> Put:
    return lambda key, data: asyncio.run(open_s3(f"s3://{bucket}").put(key, data))


@pytest.fixture
def table(tmp_path) -> Callable[..., bytes]:
    def made(*paths: str) -> bytes:
        columns = {"id": [str(n) for n in range(len(paths))], "image_path": list(paths)}
        return parquet(tmp_path / "made.parquet", columns).read_bytes()

    return made


def test_a_table_in_a_bucket_finds_its_images_in_the_bucket(bucket, put, open_s3, table, tmp_path):
    data = table("images/a.png", "b.png", "baked.png", "nowhere.png", f"s3://{bucket}/images/a.png")
    put("data/processed/train.parquet", data)
    put("images/a.png", PNG)
    put("data/processed/b.png", b"beside")
    (tmp_path / "baked.png").write_bytes(b"in the container")
    url = f"s3://{bucket}/data/processed/train.parquet"
    with opened(url, tmp_path, store_opener=open_s3) as dataset:
        assert dataset.fingerprint == hashlib.sha256(data).hexdigest()
        assert [read(dataset, row) for row in (0, 1, 2, 4)] == [
            PNG,
            b"beside",
            b"in the container",
            PNG,
        ]
        error = refusal(dataset, 3)
        assert error.failure == FailureClass.NOT_FOUND
        assert f"s3://{bucket}/nowhere.png" in error.message
        assert dataset.looked(all_refs(dataset)[3]) == [
            f"s3://{bucket}/nowhere.png",
            f"s3://{bucket}/data/processed/nowhere.png",
            str(tmp_path.resolve() / "nowhere.png"),
        ]


def test_text_tables_and_packed_images_are_read_from_a_bucket(bucket, put, open_s3, tmp_path):
    import pyarrow as pa

    put("t.csv", b"image\na.png\nb.png\n")
    put("a.png", PNG)
    images = pa.array([{"bytes": b"x%d" % n, "path": None} for n in range(60)])
    packed = parquet(tmp_path / "p.parquet", {"image": images}, row_group_size=25)
    put("p.parquet", packed.read_bytes())
    with opened(f"s3://{bucket}/t.csv", tmp_path, store_opener=open_s3) as dataset:
        assert [ref.id for ref in dataset.refs(1, 2)] == ["b.png"]
        assert read(dataset) == PNG
    with opened(f"s3://{bucket}/p.parquet", tmp_path, store_opener=open_s3) as dataset:
        assert [read(dataset, row) for row in (0, 59, 24, 25)] == [b"x0", b"x59", b"x24", b"x25"]


def test_a_prefix_is_a_folder_of_images(bucket, put, open_s3, tmp_path):
    for key in ("scans/b.png", "scans/1/a.jpg", "scans/.x.png", "scans/list.csv", "scans-2/c.png"):
        put(key, key.encode())
    for url in (f"s3://{bucket}/scans", f"s3://{bucket}/scans/"):
        with opened(url, tmp_path, store_opener=open_s3, max_bytes=100) as dataset:
            assert [ref.id for ref in all_refs(dataset)] == ["1/a.jpg", "b.png"]
            assert read(dataset, 0) == b"scans/1/a.jpg"
    assert "no image" in complaint(f"s3://{bucket}/none", tmp_path, store_opener=open_s3)


def test_an_image_root_may_be_a_part_of_a_bucket(bucket, put, open_s3, table, tmp_path):
    put("pictures/a.png", PNG)
    put("secret.png", b"secret")
    (tmp_path / "t.parquet").write_bytes(
        table(
            "a.png",
            f"s3://{bucket}/pictures/a.png",
            f"s3://{bucket}/secret.png",
            "../secret.png",
            f"s3://{bucket}/pictures/../secret.png",
        )
    )
    roots = {"image_roots": [f"s3://{bucket}/pictures"], "store_opener": open_s3}
    with opened(tmp_path / "t.parquet", tmp_path, **roots) as dataset:
        assert [read(dataset, 0), read(dataset, 1)] == [PNG, PNG]
        failures = {refusal(dataset, row).failure for row in (2, 3, 4)}
        assert failures == {FailureClass.NOT_ALLOWED}


def test_buckets_that_were_not_named_are_not_even_opened(bucket, put, open_s3, table, tmp_path):
    put("t.parquet", table("s3://other/a.png", "s3://"))
    asked: list[str] = []

    def opener(url: str) -> ObjectStore:
        asked.append(url)
        return open_s3(url)

    with opened(f"s3://{bucket}/t.parquet", tmp_path, store_opener=opener) as dataset:
        assert {refusal(dataset, row).failure for row in (0, 1)} == {FailureClass.NOT_ALLOWED}
    assert set(asked) == {f"s3://{bucket}"}


def test_sizes_are_asked_for_before_an_object_is_read(bucket, put, open_s3, table, tmp_path):
    put("t.parquet", table("big.png", "empty.png", "fits.png"))
    put("big.png", b"x" * 1001)
    put("empty.png", b"")
    put("fits.png", b"x" * 1000)
    url = f"s3://{bucket}/t.parquet"
    with opened(url, tmp_path, store_opener=open_s3, max_bytes=1000) as dataset:
        assert refusal(dataset, 0).failure == FailureClass.TOO_LARGE
        assert refusal(dataset, 1).failure == FailureClass.EMPTY
        assert read(dataset, 2) == b"x" * 1000


def test_keys_that_no_object_can_have_are_not_found(bucket, put, open_s3, table, tmp_path):
    put("t.parquet", table("a//b.png", "x\nb.png", "영수증 #1 (50%) & more.png"))
    put("영수증 #1 (50%) & more.png", PNG)
    with opened(f"s3://{bucket}/t.parquet", tmp_path, store_opener=open_s3) as dataset:
        assert refusal(dataset, 0).failure == FailureClass.NOT_FOUND
        assert refusal(dataset, 1).failure == FailureClass.NOT_FOUND
        assert read(dataset, 2) == PNG


def test_what_is_not_in_the_bucket_is_refused_in_one_sentence(bucket, open_s3, tmp_path):
    url = f"s3://{bucket}/none.parquet"
    assert "there is no such object" in complaint(url, tmp_path, store_opener=open_s3)
    assert "bucket's name is missing" in complaint("s3:///x.csv", tmp_path, store_opener=open_s3)
    assert "cannot be opened here" in complaint(url, tmp_path)


def test_parquet_shards_below_a_prefix_are_one_table(bucket, put, open_s3, tmp_path):
    for number, split in enumerate(("train", "val")):
        image = [{"bytes": PNG, "path": f"{number}.png"}]
        shard = parquet(tmp_path / "made.parquet", {"image": image})
        put(f"sets/data/{split}-0000{number}.parquet", shard.read_bytes())
    put("sets/README.md", b"a card")
    with opened(f"s3://{bucket}/sets", tmp_path, store_opener=open_s3) as dataset:
        refs = all_refs(dataset)
        assert [ref.input_row for ref in refs] == ['{"split":"train"}', '{"split":"val"}']
        assert [read(dataset, row) for row in (0, 1)] == [PNG, PNG]
        assert dataset.skipped == {".md": 1}


def test_hangul_in_a_bucket_is_found_composed_and_decomposed(bucket, put, open_s3, tmp_path):
    key = "/".join(unicodedata.normalize(form, name) for form, name in
                   (("NFC", "영수증"), ("NFD", "한글.png")))  # fmt: skip
    put(f"in/{key}", PNG)
    put("in/t.csv", "image_path\n영수증/한글.png\n".encode())
    with opened(f"s3://{bucket}/in/t.csv", tmp_path, store_opener=open_s3) as dataset:
        assert read(dataset) == PNG
