"""The chunks of a PNG: name, content and checksum, without decoding a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_SIGNATURE_BYTES = 8
_AROUND_BYTES = 12  # length, name and checksum of a chunk


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk. crc is the checksum that the file states."""

    name: bytes
    body: memoryview
    crc: int


def chunks(data: bytes) -> Iterator[Chunk]:
    """Every chunk up to the end of the data; the body of the last may be cut off."""
    view, at = memoryview(data), _SIGNATURE_BYTES
    while at + _AROUND_BYTES <= len(data):
        end = at + 8 + int.from_bytes(view[at : at + 4], "big")
        crc = int.from_bytes(view[end : end + 4], "big")
        yield Chunk(bytes(view[at + 4 : at + 8]), view[at + 8 : end], crc)
        at = end + 4


def exif(data: bytes) -> bytes:
    """The EXIF block, which may stand before or after the pixels; b"" where there is none."""
    return next((bytes(chunk.body) for chunk in chunks(data) if chunk.name == b"eXIf"), b"")
