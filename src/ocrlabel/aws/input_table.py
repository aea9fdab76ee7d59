"""A dataset's table in the bucket: how many rows, and whether its images are to be found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from botocore.exceptions import ClientError

from ocrlabel.aws.doctor import Check
from ocrlabel.aws.names import checked_dataset
from ocrlabel.aws.session import Aws, code, translated
from ocrlabel.dataset.tables.parquet_file import open_parquet
from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

SAMPLE: Final = 20


@dataclass(frozen=True, slots=True)
class InputTable:
    """rows in it; packed: the images are in the table; paths: a sample of where they are else."""

    rows: int
    packed: bool
    paths: tuple[str, ...] = ()


def table_key(dataset: str) -> str:
    """The input's key in the bucket."""
    return f"data/processed/{checked_dataset(dataset)}.parquet"


def read_table(source: BinaryIO, name: str) -> InputTable:
    """From the table's foot and its first rows. Raises ConfigError where it is no such table."""
    import pyarrow as pa  # noqa: PLC0415 -- slow to import, and only these commands read tables

    try:
        table = open_parquet(source)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{name} is no parquet table: {error}") from error
    columns = set(table.schema_arrow.names)
    packed = "image" in columns
    if not packed and "image_path" not in columns:
        raise ConfigError(
            f"{name} has neither `image_path` nor `image` among its columns: "
            f"{', '.join(sorted(columns))}"
        )
    paths = () if packed else tuple(_paths(table))
    return InputTable(table.metadata.num_rows, packed, paths)


def _paths(table: pq.ParquetFile) -> Iterator[str]:
    for batch in table.iter_batches(batch_size=SAMPLE, columns=["image_path"]):
        yield from (str(path) for path in batch.column(0).to_pylist() if path)
        return


def check_images(aws: Aws, bucket: str, dataset: str, table: InputTable) -> Check:
    """The doctor's line on a dataset: a sample of its images is looked for in the bucket."""
    rows = f"{table.rows:,} rows"
    if table.packed:
        return Check("dataset", ok=True, why=f"{dataset}: {rows}, images in the table")
    missing = [path for path in table.paths if not _there(aws, bucket, path)]
    if missing:
        return Check(
            "dataset",
            ok=False,
            why=f"{dataset}: {rows}; {len(missing)} of {len(table.paths)} sampled images are not "
            f"in s3://{bucket}, the first is {missing[0]}",
            mend=f"ocrlabel push {dataset}.parquet s3://{bucket}/{table_key(dataset)}",
        )
    why = f"{dataset}: {rows}; {len(table.paths)} sampled images are there"
    return Check("dataset", ok=True, why=why)


def _there(aws: Aws, bucket: str, path: str) -> bool:
    where, key = bucket, path
    if path.startswith("s3://"):
        where, _, key = path.removeprefix("s3://").partition("/")
    with translated(f"look for {path}"):
        try:
            aws.client("s3").head_object(Bucket=where, Key=_normal(key))
        except ClientError as error:
            if code(error) in {"404", "403", "NoSuchKey"}:
                return False
            raise
    return True


def _normal(key: str) -> str:
    return key.removeprefix("./").lstrip("/")
