"""rapidocr in a process that may not look up or connect to anything."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from PIL import Image

from ocrlabel.engines.rapidocr import RapidReader
from ocrlabel.labels import Word


class OfflineReader:
    """Dies at the first attempt to use a network, also while it starts."""

    def __init__(self) -> None:
        sys.addaudithook(_refuse)
        self._reader = RapidReader(threads=1)
        self.about = self._reader.about

    def __call__(self, page: Image.Image) -> Sequence[Word]:
        return self._reader(page)


def _refuse(event: str, _arguments: object) -> None:
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        raise PermissionError(event)
