"""GitHub's expressions, as far as the two workflows of the guide use them; all else is an error.

either = both ("||" both)*; both = compared ("&&" compared)*; compared = unary (("==" | "!=") unary)?;
unary = "!"* primary; primary = 'text' | name ("." name)* | status "()" | "(" either ")"

Semantics are those of GitHub's documentation ("Evaluate expressions in workflows and actions"):
texts compare without case, && and || give one of their operands, a property that is not there is
null, which is equal to the empty text, and names of properties have no case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'[^']*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
    | (?P<sign>\|\||&&|==|!=|[!().])
    )""",
    re.VERBOSE,
)
EMBEDDED = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS = ("success", "cancelled")


class NotUnderstood(Exception):
    """This is no expression that the small runner knows."""


@dataclass(frozen=True)
class World:
    """What an expression can see. state: success, failure or cancelled, of the job so far."""

    contexts: Mapping[str, Any]
    state: str = "success"


Value = Callable[[World], Any]


def evaluate(text: str, world: World) -> Any:
    """The value of what stands between ${{ and }}."""
    return _Parser(text).whole()(world)


def condition(text: str, world: World) -> bool:
    """An `if:`, with or without ${{ }}; without a status function it means success() too."""
    inner = text.strip()
    if match := re.fullmatch(r"\$\{\{(.*)\}\}", inner, re.DOTALL):
        inner = match[1]
    parser = _Parser(inner)
    value = parser.whole()
    return (parser.asks_status or world.state == "success") and bool(value(world))


def filled(text: str, world: World) -> str:
    """A string with its expressions evaluated; what comes out is not looked into again."""
    return EMBEDDED.sub(lambda match: as_text(evaluate(match[1], world)), text)


def as_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | str():
            return str(value)
        case _:
            raise NotUnderstood(f"{value!r} as text")


def _equal(left: Any, right: Any) -> bool:
    if not isinstance(left, str | None) or not isinstance(right, str | None):
        raise NotUnderstood(f"{left!r} compared with {right!r}")
    return (left or "").casefold() == (right or "").casefold()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.rest: list[tuple[str, str]] = []
        self.asks_status = False
        at = 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise NotUnderstood(f"{text!r} at {text[at:]!r}")
            self.rest.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    def whole(self) -> Value:
        value = self.either()
        if self.rest:
            raise NotUnderstood(f"{self.text!r} goes on with {self.rest[0][1]!r}")
        return value

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
        for sign, wanted in (("==", True), ("!=", False)):
            if self._take(sign):
                right = self.unary()
                return lambda world: _equal(left(world), right(world)) is wanted
        return left

    def unary(self) -> Value:
        if self._take("!"):
            inner = self.unary()
            return lambda world: not inner(world)
        return self.primary()

    def primary(self) -> Value:
        if self._take("("):
            inner = self.either()
            self._need(")")
            return inner
        kind, text = self._next()
        if kind == "text":
            return lambda _: text[1:-1]
        if kind != "name":
            raise NotUnderstood(f"{text!r} where a value was expected in {self.text!r}")
        if text in STATUS and self._take("("):
            self._need(")")
            self.asks_status = True
            return lambda world: world.state == text
        path = [text]
        while self._take("."):
            path.append(self._next()[1])
        return lambda world: _looked_up(world, path)

    def _next(self) -> tuple[str, str]:
        if not self.rest:
            raise NotUnderstood(f"{self.text!r} ends too early")
        return self.rest.pop(0)

    def _take(self, sign: str) -> bool:
        if self.rest and self.rest[0] == ("sign", sign):
            self.rest.pop(0)
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise NotUnderstood(f"{sign!r} is missing in {self.text!r}")


def _or(left: Value, right: Value) -> Value:
    return lambda world: left(world) or right(world)


def _and(left: Value, right: Value) -> Value:
    return lambda world: left(world) and right(world)


def _looked_up(world: World, path: list[str]) -> Any:
    """A context's property, whose name has no case; null where there is none."""
    context, *keys = path
    if context not in world.contexts:
        raise NotUnderstood(f"there is no context {context!r} here")
    found: Any = world.contexts[context]
    for key in keys:
        properties = found if isinstance(found, Mapping) else {}
        found = {name.casefold(): value for name, value in properties.items()}.get(key.casefold())
    return found
