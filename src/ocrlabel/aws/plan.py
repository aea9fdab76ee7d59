"""A change to AWS as data: what a person reads, and the calls that make it.

`--dry-run` prints the list, `carry_out` walks it; there is no other difference between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ocrlabel.aws.session import Aws, translated


class Kind(StrEnum):
    """What happens to a thing. `replace` and `remove` lose what it holds, so they are asked."""

    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"
    REMOVE = "remove"


SIGNS = {Kind.ADD: "+", Kind.CHANGE: "~", Kind.REPLACE: "!", Kind.REMOVE: "-"}


class Hidden:
    """A value that no repr, log or traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the body of one request."""
        return self._value

    def __repr__(self) -> str:
        return "Hidden(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Call:
    """One API call: boto3's service and method names, and its parameters."""

    service: str
    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is added, changed, replaced or removed.

    calls is empty for what CloudFormation does by itself once its change set is executed.
    """

    kind: Kind
    thing: str
    name: str
    detail: str = ""
    calls: tuple[Call, ...] = ()

    @property
    def line(self) -> str:
        """As a person reads it: `+ bucket ocrlabel-... (private, TLS only)`."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{SIGNS[self.kind]} {self.kind.value:7} {self.thing} {self.name}{detail}"

    @property
    def done(self) -> str:
        """The same once it is made, in the columns of CloudFormation's events."""
        return f"{self.kind.value.removesuffix('e')}ed".ljust(24) + f" {self.thing} {self.name}"


def loses_something(changes: Iterable[Change]) -> list[Change]:
    """The changes that must be asked about first."""
    return [change for change in changes if change.kind in {Kind.REPLACE, Kind.REMOVE}]


def carry_out(aws: Aws, changes: Sequence[Change], tell: Callable[[str], None]) -> None:
    """Make the changes in order, and tell of each; AwsRefused at the first that AWS refuses."""
    for change in changes:
        for call in change.calls:
            with translated(f"{call.method.replace('_', ' ')} for {change.thing} {change.name}"):
                getattr(aws.client(call.service), call.method)(**_revealed(call.parameters))
        tell(change.done)


def _revealed(value: Any) -> Any:
    match value:
        case Hidden():
            return value.reveal()
        case Mapping():
            return {key: _revealed(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_revealed(inner) for inner in value]
        case _:
            return value
