"""Near duplicates: documents with pages that look the same, so that all of them stay on one side.

A page is known by ImageHash's 256 bits of its coarse structure. On the test pages, one saved again,
at half the size or darker is up to 24 bits away (one of 147: 52), another page at least 76.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ocrlabel.dataset.labels_table import LabelRow
from ocrlabel.errors import ConfigError
from ocrlabel.export.export_pages import document_of
from ocrlabel.export.formats import ImageFinder, NoImage

_HASH_SIDE = 16
_NEAR_BITS = 32


def near_duplicates(rows: Iterable[LabelRow], images: ImageFinder) -> dict[str, str]:
    """Each document that looks like an earlier one, and the first of its group.

    Pages without a word do not count: empty sheets are all alike. Raises ConfigError without the
    library.
    """
    try:
        import numpy as np  # noqa: PLC0415 -- from an extra
        from imagehash import phash  # noqa: PLC0415 -- from an extra, slow
    except ModuleNotFoundError as error:
        raise ConfigError(
            "--near-duplicates-together needs ImageHash\n  in the clone, pip install '.[export]'"
        ) from error
    documents: list[str] = []
    hashes: list[bytes] = []
    for row in rows:
        with suppress(NoImage):  # the export counts it as missing
            if row.words:
                looks = phash(images.pixels(row), hash_size=_HASH_SIDE)
                hashes.append(np.packbits(looks.hash).tobytes())
                documents.append(document_of(row))
    bits = np.frombuffer(b"".join(hashes), np.uint64).reshape(len(hashes), _HASH_SIDE**2 // 64)
    first: dict[str, str] = {}
    for number, document in enumerate(documents):
        away = np.bitwise_count(bits[:number] ^ bits[number]).sum(axis=1)
        mine = _group(document, first)
        for other in np.flatnonzero(away <= _NEAR_BITS):
            theirs = _group(documents[int(other)], first)
            if theirs != mine:
                first[mine], mine = theirs, theirs
    return {document: _group(document, first) for document in first}


def _group(document: str, first: dict[str, str]) -> str:
    while (earlier := first.get(document)) is not None:
        document = earlier
    return document
