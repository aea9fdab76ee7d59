"""LMDB as deep-text-recognition-benchmark reads it: SPLIT/data.mdb with crops and texts.

Keys: `image-000000001` (a JPEG), `label-000000001` (UTF-8), counted from 1, and `num-samples`.
dict.txt beside it holds the characters, one a line (join them for `--character`).
Source: create_lmdb_dataset.py and LmdbDataset of clovaai/deep-text-recognition-benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.export_pages import ExportPage
from ocrlabel.export.output_folder import OutputFolder
from ocrlabel.export.recognition import export_samples
from ocrlabel.export.session import ExportSession, exporter

_BATCH = 1000  # samples of one transaction
_FIRST_MAP_BYTES = 64 * 2**20


@exporter(
    "lmdb",
    training="deep-text-recognition-benchmark: `--train_data SPLIT --valid_data SPLIT "
    "--select_data / --batch_ratio 1`, and as `--character` the lines of dict.txt, joined, with a "
    "space (in lower case: `--sensitive` has characters of its own).",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write SPLIT/data.mdb and dict.txt. Raises ConfigError without images or without lmdb."""
    export_samples(session, rows, _Samples)


class _Samples:
    """One split's database, filled in batches; its map grows when it is full."""

    def __init__(self, folder: OutputFolder, split: str) -> None:
        try:
            import lmdb  # noqa: PLC0415 - of the extra `export`
        except ImportError as error:
            raise ConfigError(
                "--format lmdb needs the package lmdb\n  in the clone, pip install '.[export]'"
            ) from error
        self._full = lmdb.MapFullError
        self._map_bytes = _FIRST_MAP_BYTES
        self._env: Any = lmdb.open(
            str(folder.path(split, "data.mdb").parent), map_size=self._map_bytes
        )
        self._count = 0
        self._waiting: list[tuple[bytes, bytes]] = []

    def add(self, page: ExportPage, number: int, image: bytes, text: str) -> None:  # noqa: ARG002 -- its own numbers
        self._count += 1
        self._waiting += [
            (b"image-%09d" % self._count, image),
            (b"label-%09d" % self._count, text.encode()),
        ]
        if len(self._waiting) >= 2 * _BATCH:
            self._write()

    def close(self) -> None:
        self._waiting.append((b"num-samples", str(self._count).encode()))
        self._write()
        self._env.close()

    def _write(self) -> None:
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, value in self._waiting:
                        transaction.put(key, value)
            except self._full:
                self._map_bytes *= 2
                self._env.set_mapsize(self._map_bytes)
            else:
                self._waiting.clear()
                return
