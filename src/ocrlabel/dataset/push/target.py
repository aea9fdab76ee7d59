"""Where a push puts things, and what it calls them.

Images are named by their content: equal images are one object, a repeated put writes the same
bytes, and no file name (Hangul in two spellings, quotes, spaces) ever becomes a key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from ocrlabel.dataset.listing import IMAGE_ENDINGS, is_wild
from ocrlabel.dataset.sources import is_table
from ocrlabel.errors import ConfigError
from ocrlabel.storage.base import checked

TABLE_FOLDER = "data/processed"
IMAGE_PREFIX = "data/images"
_NO_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class PushTarget:
    """A bucket, the key of the table in it, and the prefix under which the images lie."""

    bucket: str
    table_key: str
    image_prefix: str = IMAGE_PREFIX

    @property
    def url(self) -> str:
        """The table's address."""
        return f"s3://{self.bucket}/{self.table_key}"

    @property
    def dataset_name(self) -> str:
        """What jobs know the table by, "" where it does not lie where they look."""
        folder, _, name = self.table_key.rpartition("/")
        return name.removesuffix(".parquet") if folder == TABLE_FOLDER else ""


def target_of(
    address: str, source: str, *, dataset_name: str | None = None, image_prefix: str = IMAGE_PREFIX
) -> PushTarget:
    """s3://bucket, s3://bucket/folder/ or s3://bucket/folder/NAME.parquet as a target.

    A bare bucket gets data/processed/NAME.parquet, as the guide's runner expects it. NAME is
    dataset_name, else made of the source's own name. Raises ConfigError.
    """
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket:
        raise ConfigError(f"{address}: give a bucket to push to: s3://bucket/")
    if not key.endswith(".parquet"):
        folder = key.strip("/") or TABLE_FOLDER
        key = f"{folder}/{dataset_name or name_of(source)}.parquet"
    elif dataset_name is not None:
        raise ConfigError(f"--dataset-name {dataset_name}: {address} names the table already")
    return PushTarget(bucket, checked(key), checked(image_prefix.strip("/")))


def name_of(source: str) -> str:
    """A dataset's name from what the user named: "receipts" of receipts/ and of receipts.csv.

    Of a glob it is the folder before the first wildcard. Raises ConfigError where there is none.
    """
    parts = PurePosixPath(source.removeprefix("s3://")).parts
    fixed = next((number for number, part in enumerate(parts) if is_wild(part)), len(parts))
    last = PurePosixPath(*parts[:fixed])
    is_file = is_table(last.name) or last.suffix.lower() in IMAGE_ENDINGS
    name = _NO_NAME.sub("_", last.stem if is_file else last.name).strip("._-")
    if not name:
        raise ConfigError(f"{source} gives the dataset no name; add --dataset-name NAME")
    return name


def image_key(prefix: str, name: str) -> str:
    """The key of an image's object: in one of 256 folders, so that people can look into them."""
    return f"{prefix}/{name[:2]}/{name}"
