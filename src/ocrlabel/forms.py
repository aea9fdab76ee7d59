"""How outcomes are kept: each stored name and its field stated once, for writing and for reading.

The journal keeps an outcome as one line of JSON, a checkpoint as one row of a table: both are
forms of the same classes. What a form does not name is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Convert: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Form:
    """Stored name -> field, in the order of writing.

    conversions: field -> how its value is written, and read; all others are kept as they are.
    """

    names: Mapping[str, str]
    conversions: Mapping[str, tuple[Convert, Convert]] = field(default_factory=dict)

    def write(self, value: object) -> dict[str, Any]:
        """The stored values by their stored names."""
        found = {name: getattr(value, name) for name in self.names.values()}
        for name, (write, _) in self.conversions.items():
            found[name] = write(found[name])
        return {stored: found[name] for stored, name in self.names.items()}

    def read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The values by field. Raises KeyError where one is missing."""
        found = {name: row[stored] for stored, name in self.names.items()}
        for name, (_, read) in self.conversions.items():
            found[name] = read(found[name])
        return found


def kept_as(*fields: str) -> dict[str, str]:
    """The names of fields that are stored under their own."""
    return dict(zip(fields, fields, strict=True))
