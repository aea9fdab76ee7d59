"""GitHub's expressions, as far as our workflows use them; what they do not use is an error.

expression = or; or = and ("||" and)*; and = equal ("&&" equal)*;
equal = unary (("==" | "!=") unary)*; unary = "!"* primary;
primary = literal | name ("." name | "[" or "]")* | function "(" [or ("," or)*] ")" | "(" or ")"

Semantics are those of GitHub's documentation ("Evaluate expressions in workflows and actions"):
strings compare without case, values of different types compare as numbers, && and || give one of
their operands, a property that is not there is null, names of properties have no case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>-?\d+(?:\.\d+)?)
    | (?P<text>'(?:[^']|'')*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
    | (?P<sign>\|\||&&|==|!=|[!().,\[\]])
    )""",
    re.VERBOSE,
)
EMBEDDED = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS = ("success", "failure", "cancelled", "always")


class NotUnderstood(Exception):
    """This is no expression that the small runner knows."""


@dataclass(frozen=True)
class World:
    """What an expression can see. state: success, failure or cancelled, of the job so far."""

    contexts: Mapping[str, Any]
    state: str = "success"


@dataclass
class Parsed:
    """value: evaluates it in a world. functions: the names of those that it calls."""

    value: Callable[[World], Any]
    functions: set[str]


def parse(text: str) -> Parsed:
    parser = _Parser(_tokens(text))
    value = parser.either()
    if parser.rest:
        raise NotUnderstood(f"{text!r} goes on with {parser.rest[0][1]!r}")
    return Parsed(value, parser.functions)


def evaluate(text: str, world: World) -> Any:
    """The value of what stands between ${{ and }}."""
    return parse(text).value(world)


def condition(text: str, world: World) -> bool:
    """An `if:`, with or without ${{ }}; without a status function it means success() too."""
    inner = text.strip()
    if match := re.fullmatch(r"\$\{\{(.*)\}\}", inner, re.DOTALL):
        inner = match[1]
    parsed = parse(inner)
    if not parsed.functions & set(STATUS) and world.state != "success":
        return False
    return truth(parsed.value(world))


def filled(text: str, world: World) -> str:
    """A string with its expressions evaluated; what comes out is not looked into again."""
    return EMBEDDED.sub(lambda match: as_text(evaluate(match[1], world)), text)


def truth(value: Any) -> bool:
    if isinstance(value, float) and math.isnan(value):
        return False
    return value not in (None, False, "") and value != 0


def as_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value:.15g}"
        case str():
            return value
        case _:
            return "Array" if isinstance(value, Sequence) else "Object"


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold() == right.casefold()
    if type(left) is type(right) and not isinstance(left, int | float | bool | None):
        return left is right
    one, other = _number(left), _number(right)
    return one == other  # NaN is equal to nothing


def _number(value: Any) -> float:
    match value:
        case None:
            return 0.0
        case bool() | int() | float():
            return float(value)
        case str():
            try:
                return float(value) if value.strip() else 0.0
            except ValueError:
                return math.nan
        case _:
            return math.nan


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise NotUnderstood(f"{text!r} at {text[at:]!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


Value = Callable[[World], Any]


class _Parser:
    def __init__(self, rest: list[tuple[str, str]]) -> None:
        self.rest = rest
        self.functions: set[str] = set()

    def either(self) -> Value:
        left = self.both()
        while self._take("||"):
            left = _or(left, self.both())
        return left

    def both(self) -> Value:
        left = self.compared()
        while self._take("&&"):
            left = _and(left, self.compared())
        return left

    def compared(self) -> Value:
        left = self.unary()
        while self.rest and self.rest[0][1] in {"==", "!="}:
            _, sign = self.rest.pop(0)
            left = _compared(left, self.unary(), wanted=sign == "==")
        return left

    def unary(self) -> Value:
        if self._take("!"):
            inner = self.unary()
            return lambda world: not truth(inner(world))
        return self.primary()

    def primary(self) -> Value:
        if not self.rest:
            raise NotUnderstood("it ends too early")
        kind, text = self.rest.pop(0)
        if kind == "number":
            return _literal(float(text))
        if kind == "text":
            return _literal(text[1:-1].replace("''", "'"))
        if kind == "name":
            return self._named(text)
        if text == "(":
            inner = self.either()
            self._need(")")
            return inner
        raise NotUnderstood(f"{text!r} where a value was expected")

    def _named(self, name: str) -> Value:
        constants = {"true": True, "false": False, "null": None}
        if name in constants:
            return _literal(constants[name])
        if self._take("("):
            return self._called(name.lower())
        value: Value = lambda world: _context(world, name)  # noqa: E731 -- a lambda like its kin
        while True:
            if self._take("."):
                _, key = self.rest.pop(0)
                value = _property(value, _literal(key))
            elif self._take("["):
                value = _property(value, self.either())
                self._need("]")
            else:
                return value

    def _called(self, name: str) -> Value:
        given = []
        while not self._take(")"):
            given.append(self.either())
            if not self._take(","):
                self._need(")")
                break
        self.functions.add(name)
        if name in STATUS:
            return lambda world: name in {"always", world.state}
        if name not in FUNCTIONS:
            raise NotUnderstood(f"there is no function {name}()")
        return lambda world: FUNCTIONS[name](*(value(world) for value in given))

    def _take(self, sign: str) -> bool:
        if self.rest and self.rest[0] == ("sign", sign):
            self.rest.pop(0)
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise NotUnderstood(f"{sign!r} is missing")


def _literal(value: Any) -> Value:
    return lambda _: value


def _or(left: Value, right: Value) -> Value:
    return lambda world: value if truth(value := left(world)) else right(world)


def _and(left: Value, right: Value) -> Value:
    return lambda world: right(world) if truth(value := left(world)) else value


def _compared(left: Value, right: Value, *, wanted: bool) -> Value:
    return lambda world: equal(left(world), right(world)) is wanted


def _context(world: World, name: str) -> Any:
    if name not in world.contexts:
        raise NotUnderstood(f"there is no context {name!r} here")
    return world.contexts[name]


def _property(value: Value, key: Value) -> Value:
    def look(world: World) -> Any:
        holder, wanted = value(world), as_text(key(world)).casefold()
        if not isinstance(holder, Mapping):
            return None
        return next((found for name, found in holder.items() if name.casefold() == wanted), None)

    return look


def _contains(holder: Any, wanted: Any) -> bool:
    if isinstance(holder, list):
        return any(equal(each, wanted) for each in holder)
    return as_text(wanted).casefold() in as_text(holder).casefold()


def _format(text: str, *values: Any) -> str:
    return re.sub(r"\{(\d+)\}", lambda match: as_text(values[int(match[1])]), text)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": _contains,
    "startswith": lambda text, start: as_text(text).casefold().startswith(start.casefold()),
    "endswith": lambda text, end: as_text(text).casefold().endswith(end.casefold()),
    "format": _format,
}
