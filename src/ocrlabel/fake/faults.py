"""What can go wrong between a client and the service, by name and by chance.

name            the client sees                     the work   billed
429, 500, 503   that status, at once                not done   no
502-after       that status                         done       yes
drop-before     the connection cut, no byte         not done   no
drop-after      the connection cut, no byte         done       yes
cut-body        half a body, the connection cut     done       yes
cut-json        half a JSON in a whole body         done       yes
html            200 with a page of a gateway        not done   no
hang            nothing, until it leaves            not done   no

Whether the real service bills a request that fails is not documented (assumption: it bills what
it finished).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ocrlabel.errors import ConfigError

NO_FAULTS: Final[Mapping[str, float]] = MappingProxyType({})

_WITHOUT_WORK: Final = frozenset({"drop-before", "html", "hang"})
_WITH_WORK: Final = frozenset({"drop-after", "cut-body", "cut-json"})
_STATUS: Final = re.compile(r"([45]\d\d)(-after)?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. status is None where the failure is not a status."""

    name: str
    status: int | None
    works: bool
    """The document is read, and billed, before it goes wrong."""


def fault_named(name: str) -> Fault:
    """Raises ConfigError."""
    if match := _STATUS.fullmatch(name):
        return Fault(name, int(match[1]), works=match[2] is not None)
    if name in _WITH_WORK | _WITHOUT_WORK:
        return Fault(name, None, works=name in _WITH_WORK)
    known = ", ".join(sorted(_WITH_WORK | _WITHOUT_WORK))
    raise ConfigError(f"no fault is called {name!r}: a status, a status with -after, {known}")


def parse_faults(text: str) -> Mapping[str, float]:
    """`429:0.1,drop-after:0.02`: chance of each, together at most 1. Raises ConfigError."""
    faults: dict[str, float] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, chance = entry.partition(":")
        fault_named(name)
        try:
            faults[name] = float(chance)
        except ValueError:
            raise ConfigError(f"--fail {entry}: give NAME:CHANCE, for example 500:0.05") from None
    if not all(0 <= chance <= 1 for chance in faults.values()) or sum(faults.values()) > 1 + 1e-9:
        raise ConfigError(f"--fail {text}: each chance is 0 to 1, and together at most 1")
    return MappingProxyType(faults)


def draw(faults: Mapping[str, float], uniform: float) -> Fault | None:
    """The fault that a draw from 0 to 1 stands for, None for an ordinary answer."""
    for name, chance in faults.items():
        if uniform < chance:
            return fault_named(name)
        uniform -= chance
    return None
