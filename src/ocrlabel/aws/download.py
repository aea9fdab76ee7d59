"""Fetching a dataset's results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from botocore.exceptions import ClientError

from ocrlabel.aws.names import checked_dataset
from ocrlabel.aws.session import Aws, code, translated
from ocrlabel.errors import ConfigError

LABELS: Final = "_pseudo_labels.parquet"
TABLES: Final = (LABELS, "_failures.parquet", "_run.json")
RESULTS: Final = (*TABLES, "_report.html")


def download(
    aws: Aws, bucket: str, dataset: str, folder: Path, endings: Sequence[str] = RESULTS
) -> list[Path]:
    """Labels, failures, numbers and report, as far as they are there; or these endings' files.

    A file appears under its name only when it is whole. Raises ConfigError without labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [
        path
        for ending in endings
        if (
            path := _fetch(
                aws, bucket, f"data/processed/{checked_dataset(dataset)}{ending}", folder
            )
        )
    ]
    if not any(path.name.endswith(LABELS) for path in found):
        raise ConfigError(
            f"s3://{bucket}/data/processed/{dataset}{LABELS} is not there: the run has not ended\n"
            "  `ocrlabel aws status` says how far it is; `ocrlabel merge --partial` makes a table "
            "of what is done"
        )
    return found


def _fetch(aws: Aws, bucket: str, key: str, folder: Path) -> Path | None:
    path = folder / key.rsplit("/", 1)[-1]
    with translated(f"download s3://{bucket}/{key}"):
        try:
            aws.client("s3").download_file(bucket, key, str(path))
        except ClientError as error:
            if code(error) in {"404", "NoSuchKey"}:
                return None
            raise
    return path
