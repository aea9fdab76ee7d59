"""How everything that a run keeps as JSON is written and read: one codec, typed both ways.

A codec is made from a frozen dataclass: its annotations say what is written and what may be read.
What was written once is read by every later version: a field that is missing takes its default,
one that a newer version added is passed over, and whatever else does not fit is `Damaged`, never
"nothing". Bytes stay what they always were: names, their order and the style are the format.

Journal objects are apart in one thing: gzip'd lines of `ocrlabel.forms`, read word by word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from ocrlabel.errors import RunMismatch
from ocrlabel.pipeline.runtime import Runtime

T = TypeVar("T")
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=86_400)]
"""How long something holds that others wait for: what nobody wrote must not stop them."""


class Damaged(ValueError):
    """What is there is nothing that any version of ocrlabel wrote in this place."""


class Codec(Generic[T]):
    """The stored form of one class.

    optional: fields that are not written where they are empty. parts: codecs of fields that have
    such fields themselves. style: as `json.dumps` takes it.
    """

    def __init__(
        self,
        kind: type[T],
        *,
        optional: Iterable[str] = (),
        parts: Mapping[str, Codec[Any]] = MappingProxyType({}),
        **style: Any,
    ) -> None:
        self._adapter = TypeAdapter(kind)  # now: it takes a while, and later requests are in flight
        self._optional = frozenset(optional)
        self._parts = parts
        self._style = style

    def to_json(self, value: T) -> dict[str, Any]:
        """Plain values, as they are written."""
        found = asdict(value)  # type: ignore[call-overload]
        for name in self._optional:
            if not found[name]:
                del found[name]
        for name, part in self._parts.items():
            found[name] = part.to_json(getattr(value, name))
        return dict(found)

    def encode(self, value: T) -> bytes:
        """The bytes of an object that holds this value."""
        return json.dumps(self.to_json(value), **self._style).encode("utf-8", "replace")

    def from_json(self, found: object, *, where: str) -> T:
        """The value in plain values. Raises RunMismatch."""
        try:
            return self._adapter.validate_python(found)
        except ValidationError as error:
            raise _unreadable(where, _first(error)) from error

    def read(self, data: bytes) -> T:
        """The value in such bytes. Raises Damaged."""
        try:
            return self._adapter.validate_python(json.loads(data, parse_constant=_refuse_constant))
        except ValidationError as error:
            raise Damaged(_first(error)) from error
        except ValueError as error:
            raise Damaged(str(error)) from error

    def decode(self, data: bytes, *, where: str) -> T:
        """The value in one of a run's objects. Raises RunMismatch."""
        try:
            return self.read(data)
        except Damaged as error:
            raise _unreadable(where, str(error)) from error


async def read_or_tell(runtime: Runtime, key: str, codec: Codec[T], then: str) -> T | None:
    """The value of one of a run's objects; None, told once, for one that cannot be read.

    then: what comes of that. Raises NotStored.
    """
    data = await runtime.store.get(key)
    try:
        return codec.read(data)
    except Damaged as error:
        runtime.tell_once("damaged", f"{runtime.where(key)} cannot be read ({error}): {then}")
        return None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number that is ever written")


def _unreadable(where: str, reason: str) -> RunMismatch:
    return RunMismatch(f"{where} cannot be read ({reason})\n  bring it back from a backup")


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    where = ".".join(str(one) for one in found["loc"])
    return f"{where}: {found['msg']}" if where else str(found["msg"])
