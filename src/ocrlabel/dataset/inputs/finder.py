"""From the path in a row to the bytes, or to the reason why not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ocrlabel.dataset.inputs.roots import Root
from ocrlabel.errors import Unreadable
from ocrlabel.labels import FailureClass

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://|(?:file|data):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks in every root, in order."""

    roots: Sequence[Root]
    max_bytes: int

    def read(self, path: str) -> bytes:
        """The bytes of the first root that has them. Blocks. Raises Unreadable."""
        refuse_by_name(path)
        refused: Unreadable | None = None
        for root in self.roots:
            try:
                data = root.read(path, self.max_bytes)
            except Unreadable as error:
                if error.failure is not FailureClass.NOT_ALLOWED:
                    raise
                refused = refused or error
                continue
            if data is not None:
                return data
        raise refused or self._absent(path)

    def places(self, path: str) -> list[str]:
        """Where the path is looked for; [] for one that no root can hold."""
        found = (place for root in self.roots for place in root.places(path))
        return list(dict.fromkeys(found))

    def _absent(self, path: str) -> Unreadable:
        places = self.places(path)
        if not places:
            return Unreadable(
                f"{path} is in no folder and no bucket that was named; add it with --image-root",
                failure=FailureClass.NOT_ALLOWED,
            )
        return Unreadable(
            f"{path} is not there; looked at {', '.join(places)}", failure=FailureClass.NOT_FOUND
        )


def refuse_by_name(path: str) -> None:
    """Raises Unreadable for what is no path at all, or one that climbs."""
    if not path:
        raise Unreadable("the row has no path", failure=FailureClass.NOT_FOUND)
    address = _ADDRESS.match(path)
    if address and (address[1] or "").lower() != "s3":
        raise Unreadable(
            f"{path[:100]} is an address; images are read from folders and buckets only",
            failure=FailureClass.NOT_ALLOWED,
        )
    if ".." in re.split(r"[/\\]", path):
        raise Unreadable(
            f"{path} climbs with '..'; write it relative to a folder named with --image-root",
            failure=FailureClass.NOT_ALLOWED,
        )
