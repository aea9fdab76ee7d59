"""rapidocr in a process that may not look up or connect to anything, nor load what would."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from PIL import Image

from ocrlabel.engines.rapidocr import RapidReader
from ocrlabel.labels import Word


class OfflineReader:
    """Dies at the first attempt to use a network or telemetry, also while it starts."""

    def __init__(self, options: Mapping[str, str]) -> None:
        sys.addaudithook(_refuse)
        self._reader = RapidReader(options, threads=1)
        if sys.modules.get("openvino_telemetry"):
            raise PermissionError("telemetry is loaded")
        self.about = self._reader.about

    def __call__(self, page: Image.Image) -> Sequence[Word]:
        return self._reader(page)


def _refuse(event: str, _arguments: object) -> None:
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        raise PermissionError(event)
