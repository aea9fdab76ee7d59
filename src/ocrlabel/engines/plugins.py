"""Engines by name: ours, those of other packages, and what an engine of others is held to.

A package brings one by an entry point of the group `ocrlabel.engines`, whose object is called with
the options of `--engine-option` as keywords. All are listed by their packages' metadata; only the
one that is named is imported. An engine of others runs in this process, behind `Checked`: it cannot
end a run by an error of its own, and an answer that is none never reaches a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from numbers import Integral, Real
from typing import Any, cast

from ocrlabel.engine import (
    VERSION,
    Answer,
    BadAnswer,
    ConfigError,
    Document,
    Engine,
    FailureClass,
    ImageError,
    KeyRefused,
    Lane,
    Page,
    Rejected,
    Unavailable,
    Unreadable,
    Word,
)
from ocrlabel.engines.image_workers import ImagePreparer
from ocrlabel.engines.upstage_answer import read_answer
from ocrlabel.engines.upstage_protocol import RETRY_AFTER_MOST_S
from ocrlabel.errors import EngineUnusable, OcrLabelError
from ocrlabel.images.limits import Accepts, ImageLimits
from ocrlabel.options import DOCUMENTED_REQUESTS_PER_S, PRICE_DATE, PRICE_PER_PAGE_USD

GROUP = "ocrlabel.engines"
_FACTS = ("languages", "needs", "tried")
_LONGEST_S = 60.0  # for what asks no service
_TEXTS = ("notice", "version", *_FACTS)
_METHODS = ("start", "prepare", "recognise", "close")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class About:
    """What a list of engines says of one. tried: whether it was ever run against its service.

    languages, needs and tried are attributes that an engine may have, each a text.
    """

    name: str
    package: str = "ocrlabel"
    price: str = "ocrlabel engines NAME asks it"
    rate: str = ""
    languages: str = ""
    needs: str = ""
    tried: str = ""


_HERE = "no service"
OURS = (
    About(
        "upstage",
        price=f"{PRICE_PER_PAGE_USD:g} USD a page without VAT ({PRICE_DATE})",
        rate=f"{DOCUMENTED_REQUESTS_PER_S:g} requests/s a key",
        languages="Korean, English, Chinese, Japanese and others",
        needs="UPSTAGE_API_KEY",
        tried="no: against its recorded answers",
    ),
    About(
        "rapidocr",
        price="free",
        languages="English, Chinese; Korean with its recogniser (ocrlabel models) or tesseract",
        needs="the extra `local`",
        tried=_HERE,
    ),
    About(
        "tesseract",
        price="free",
        languages="what is installed of it; Korean and English first",
        needs="the program tesseract",
        tried=_HERE,
    ),
    About("scripted", price="free", languages="none: it makes words up", tried=_HERE),
)
_OUR_NAMES = tuple(one.name for one in OURS)


def listed() -> list[About]:
    """Ours, then those of installed packages by name. Imports none of them."""
    return [*OURS, *(About(one.name, _package(one)) for one in _found())]


def about(engine: Checked, package: str) -> About:
    """What an engine of another package says of itself."""
    price = f"{engine.price_per_page_usd:g} USD a page" if engine.price_per_page_usd else "free"
    rates = [f"{lane.requests_per_s:g} requests/s" for lane in engine.lanes if lane.requests_per_s]
    return About(engine.name, package, price, ", ".join(rates), **engine.facts)


def load(name: str, given: Mapping[str, str]) -> Checked:
    """The engine of another package, made with these options. Raises ConfigError."""
    found = [one for one in _found() if one.name == name]
    if not found:
        known = ", ".join(["auto", *_OUR_NAMES, *(one.name for one in _found())])
        raise ConfigError(
            f"--engine {name}: there is no such engine; there are {known}\n"
            "  one of another package has to be installed here"
        )
    if len({one.value for one in found}) > 1:
        both = " and ".join(sorted({_package(one) for one in found}))
        raise ConfigError(f"--engine {name}: {both} both bring it; uninstall one of them")
    point, who = found[0], f"engine {name} of {_package(found[0])}"
    factory, said = None, "cannot be imported"
    try:
        factory = point.load()
        said = "cannot be made"
        engine = checked(factory(**given), version=_package(point))
    except BaseException as error:
        if _passes(error):
            raise
        if factory is not None and isinstance(error, TypeError):
            said = _taken(factory, given)
        raise ConfigError(f"{who} {said}: {_words(error)}") from error
    if engine.name != name:
        raise ConfigError(f"{who} calls itself {engine.name!r}: the two names must be the same")
    return engine


def parser_of(name: str, given: Mapping[str, str]) -> Callable[[bytes, Document], Answer]:
    """What makes pages of the answers that an engine left; ours of this machine leave none."""
    return read_answer if name in _OUR_NAMES else load(name, given).parse


def checked(engine: object, *, version: str = "") -> Checked:
    """An engine of others, held to the contract. Raises ConfigError that says what it lacks.

    version: what stands for it in every image's key, beside its own options.
    """
    if isinstance(engine, type):
        name = engine.__qualname__
        raise ConfigError(f"{name} is a class, no engine: give an object of it, {name}()")
    members, wrong = _members(engine)
    if wrong:
        kind = type(engine).__qualname__
        raise ConfigError(
            f"{kind} is no engine (ocrlabel.engine, version {VERSION}):\n  " + "\n  ".join(wrong)
        )
    return Checked(members, version or members["version"])


class Checked:
    """An engine of others: whatever it does, the run sees an answer or an error of the contract.

    members: each was read once, so that what changes later changes nothing.
    """

    def __init__(self, members: Mapping[str, Any], version: str) -> None:
        self._does = members
        self.name: str = members["name"]
        own = dict(members["options"])
        self.options: Mapping[str, str] = own | ({"engine_version": version} if version else {})
        self.price_per_page_usd = float(members["price_per_page_usd"])
        self.max_pages = int(members["max_pages"])
        self.lanes: tuple[Lane, ...] = tuple(members["lanes"])
        self.parallel: int | None = members["parallel"]
        self.request_timeout_s = float(members["request_timeout_s"])
        self.notice: str = members["notice"]
        self.facts: Mapping[str, str] = {one: members[one] for one in _FACTS}
        self._preparer: ImagePreparer | None = None
        if getattr(members["prepare"], "__func__", None) is Engine.prepare:
            accepts = Accepts(frozenset({"jpeg", "png"}), ImageLimits(max_pages=self.max_pages))
            self._preparer = ImagePreparer(accepts)

    async def start(self) -> None:
        """As the engine does. Raises ConfigError."""
        try:
            await self._does["start"]()
        except BaseException as error:
            raise self._unusable("start", error) from error

    async def prepare(self, data: bytes) -> Document:
        """As the engine does; any error of its own is this image's. Raises Unreadable."""
        if self._preparer is not None:
            return await self._preparer.prepare(data)
        try:
            async with asyncio.timeout(_LONGEST_S):
                document: Any = await self._does["prepare"](data)
        except BaseException as error:
            if _passes(error, ImageError):
                raise
            raise self._unreadable(f"raised {_words(error)}{_field(error)}") from error
        if not isinstance(document, Document):
            raise self._unreadable(f"gave {_kind(document)}, no Document")
        if wrong := _wrong_document(document, self.max_pages):
            raise self._unreadable(f"gave a Document with {wrong}")
        return document

    async def recognise(self, document: Document, lane: str) -> Answer:
        """As the engine does. An error that is none of the contract may have been billed."""
        limit = asyncio.timeout(self.request_timeout_s)  # then others may ask for the same image
        try:
            async with limit:
                answer = await self._does["recognise"](document, lane)
            return self._whole(answer, "recognise")
        except BaseException as error:
            if limit.expired() and isinstance(error, TimeoutError):
                said = f"gave no answer within its request_timeout_s, {self.request_timeout_s:g} s"
                raise Unavailable(f"{self._broke('recognise')} {said}") from error
            if not _passes(error, ImageError, KeyRefused):
                said = f"raised {_words(error)}{_field(error)}"
                raise self._broken("recognise", said) from error
            if isinstance(error, Unavailable) and error.retry_after_s is not None:
                error.retry_after_s = min(float(error.retry_after_s), RETRY_AFTER_MOST_S)
            raise

    def parse(self, raw: bytes, document: Document) -> Answer:
        """As the engine does. Raises BadAnswer."""
        try:
            return self._whole(self._does["parse"](raw, document), "parse")
        except BaseException as error:
            if not _passes(error, BadAnswer, Rejected) or isinstance(error, ConfigError):
                raise BadAnswer(f"{self._broke('parse')} raised {_words(error)}") from error
            if isinstance(error, Rejected):
                raise BadAnswer(error.message) from error
            raise

    async def close(self) -> None:
        """As the engine does. Raises ConfigError."""
        try:
            if self._preparer is not None:
                await self._preparer.close()
            async with asyncio.timeout(_LONGEST_S):
                await self._does["close"]()
        except BaseException as error:
            raise self._unusable("close", error) from error

    def _whole(self, answer: Any, method: str) -> Answer:
        if not isinstance(answer, Answer):
            raise self._broken(method, f"gave {_kind(answer)}, no Answer")
        try:
            return _plain(answer)
        except Exception as error:
            raise self._broken(method, f"gave an Answer with {_said(error)}") from error

    def _unusable(self, method: str, error: BaseException) -> BaseException:
        said = f"engine {self.name} does not {method}: {_words(error)}"
        return error if _passes(error) else ConfigError(said)

    def _broken(self, method: str, how: str) -> ImageError:
        """To be asked once more would cost as much, and bring the same; it may have been billed."""
        said = f"{self._broke(method)} {how}"
        return Rejected(said, failure=FailureClass.BAD_ANSWER, ends=EngineUnusable)

    def _unreadable(self, how: str) -> Unreadable:
        return Unreadable(f"{self._broke('prepare')} {how}", failure=FailureClass.CORRUPT)

    def _broke(self, method: str) -> str:
        return f"engine {self.name} broke its contract: {method}"


def _members(engine: object) -> tuple[dict[str, Any], list[str]]:
    """What an object has of an engine, each read once, and what it lacks to be one."""
    found: dict[str, Any] = {}
    wrong: list[str] = []
    for name, is_good, wanted in _MEMBERS:
        try:
            text = name in _TEXTS
            value = str(getattr(engine, name, "")) if text else getattr(engine, name)
            found[name] = value
            fault = "" if is_good(value) else f"{name} is {_shown(value)}: {wanted}"
            if name == "name" and not fault and value in {*_OUR_NAMES, "auto"}:
                fault = "name is that of an engine of ocrlabel's own"
        except AttributeError:
            fault = f"{name} is missing: {wanted}"
        except BaseException as error:
            if _passes(error):
                raise
            fault = f"{name} raised {_words(error)}: {wanted}"
        wrong += [fault] if fault else []
    return found, wrong


def _passes(error: BaseException, *kinds: type[BaseException]) -> bool:
    """Whether an engine may raise it: of these kinds, and whole; or it is not the engine's own."""
    if isinstance(error, asyncio.CancelledError):  # NeverSent is one
        with contextlib.suppress(RuntimeError):  # no loop runs
            return (task := asyncio.current_task()) is not None and task.cancelling() > 0
        return False
    whole = isinstance(error, kinds) and not _field(error)
    return whole or isinstance(error, (ConfigError, KeyboardInterrupt, GeneratorExit))


def _field(error: BaseException) -> str:
    """What in an error of the contract is of a wrong kind; "" where nothing is."""
    if not isinstance(error, ImageError | KeyRefused):
        return ""
    for name, is_good in _OF_AN_ERROR.items():
        if not is_good(value := getattr(error, name, None)):
            return f" with {name} {_shown(value)}"
    return ""


def _wrong_document(document: Any, max_pages: int) -> str:
    if not isinstance(document.data, bytes) or not isinstance(document.format, str):
        return f"data as {_kind(document.data)} and format {_shown(document.format)}"
    if not (document.page_count is None or _is_count(document.page_count)):
        return f"page_count {_shown(document.page_count)}"
    if (document.page_count or 1) > max_pages:
        return f"page_count {document.page_count}, and its max_pages is {max_pages}"
    sizes = document.page_sizes_px
    if not (isinstance(sizes, tuple) and all(map(_is_size, sizes))):
        return f"page_sizes_px {_shown(sizes)}"
    return ""


def _is_size(size: Any) -> bool:
    return isinstance(size, tuple | list) and len(size) == 2 and all(map(_is_count, size))


def _are_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        _is_text(text) for pair in value.items() for text in pair
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode()


def _are_lanes(value: Any) -> bool:
    if not isinstance(value, tuple | list) or not all(isinstance(one, Lane) for one in value):
        return False
    rates = [rate for one in value for rate in (one.requests_per_s, one.pages_per_minute)]
    if not all(rate is None or (_is_number(rate) and rate > 0) for rate in rates):
        return False
    names = {one.name for one in value if _is_text(one.name)}
    return 0 < len(value) == len(names)


def _is_number(value: Any, least: float = -1e300) -> bool:
    # compared, not converted: an int may be too large for a float
    return isinstance(value, Real) and bool(least <= cast("float", value) <= 1e300)


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, Integral) and least <= int(value) <= _MOST


_MOST = 2**31 - 1
"""What a column of the tables holds."""
_OF_AN_ERROR: Mapping[str, Callable[[Any], bool]] = {
    "message": lambda value: isinstance(value, str),
    "status": lambda value: value is None or (type(value) is int and _is_count(value)),
    "billed_pages": lambda value: value is None or (type(value) is int and _is_count(value, 0)),
    "retry_after_s": lambda value: value is None or _is_number(value, 0.0),
    "failure": lambda value: value is None or isinstance(value, FailureClass),
    "ends": lambda value: (
        value is None or (isinstance(value, type) and issubclass(value, OcrLabelError))
    ),
    "sent": lambda value: value is None or isinstance(value, bool),
}
_MEMBERS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "name",
        lambda value: isinstance(value, str) and bool(_NAME.fullmatch(value)),
        "a text of lower-case letters, digits, `-`, `_` and `.`",
    ),
    ("options", _are_texts, "a mapping of texts to texts"),
    (
        "price_per_page_usd",
        lambda value: _is_number(value, 0.0),
        "US dollars a page, 0 where it costs nothing: no budget holds without it",
    ),
    ("max_pages", _is_count, "the most pages that one request can be billed for"),
    (
        "lanes",
        _are_lanes,
        "a tuple of at least one Lane, each of its own name, its rates above 0 or None",
    ),
    (
        "parallel",
        lambda value: value is None or _is_count(value),
        "how many images it reads at once, or None",
    ),
    (
        "request_timeout_s",
        lambda value: _is_number(value) and value > 0,
        "seconds after which no answer can come any more",
    ),
    *((name, inspect.iscoroutinefunction, "an `async def`") for name in _METHODS),
    (
        "parse",
        lambda value: callable(value) and not inspect.iscoroutinefunction(value),
        "a plain `def`",
    ),
    *(
        (name, lambda value: isinstance(value, str), "a text, where there is one")
        for name in _TEXTS
    ),
)


def _plain(answer: Any) -> Answer:
    """The same answer in plain numbers. Raises ValueError, TypeError or AttributeError."""
    if not isinstance(answer.raw, bytes):
        raise TypeError(f"raw as {_kind(answer.raw)}, not bytes")
    if not _is_count(answer.billed_pages, 0):
        raise ValueError(f"billed_pages {answer.billed_pages!r}")
    if not (answer.status is None or _is_count(answer.status)):
        raise ValueError(f"status {answer.status!r}")
    if not answer.pages:
        raise ValueError("no page")
    return Answer(
        tuple(_plain_page(number, page) for number, page in enumerate(answer.pages, 1)),
        str(answer.model_version),
        int(answer.billed_pages),
        answer.raw,
        None if answer.status is None else int(answer.status),
    )


def _plain_page(number: int, page: Any) -> Page:
    if page.number != number or not (_is_count(page.width_px) and _is_count(page.height_px)):
        size = f"{page.width_px!r} x {page.height_px!r} px"
        raise ValueError(f"page {page.number!r} of {size} in place {number}")
    return Page(
        number,
        int(page.width_px),
        int(page.height_px),
        tuple(_plain_word(number, word) for word in page.words),
        _share(page.confidence),
    )


def _plain_word(number: int, word: Any) -> Word:
    polygon = tuple((float(x), float(y)) for x, y in word.polygon)
    if not isinstance(word.text, str) or len(polygon) < 3:
        raise ValueError(f"on page {number} {word!r}, no text with three corners or more"[:300])
    if not all(math.isfinite(value) for corner in polygon for value in corner):
        raise ValueError(f"on page {number} a corner that is nowhere: {word!r}"[:300])
    return Word(word.text, polygon, _share(word.confidence))


def _share(confidence: float | None) -> float | None:
    if confidence is None:
        return None
    if not 0 <= confidence <= 1:
        raise ValueError(f"a confidence of {confidence!r}: it is 0..1, or None")
    return float(confidence)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _said(value: object, text: Callable[[object], str] = str) -> str:
    """A text of it that is not too long; "" where it cannot say one."""
    try:
        return text(value)[:300]
    except Exception:  # noqa: BLE001 -- it is of others, and is told of whatever it does
        return ""


def _shown(value: object) -> str:
    return _said(value, repr) or _kind(value)


def _words(error: BaseException) -> str:
    unasked = " that nobody asked for" * isinstance(error, asyncio.CancelledError)
    return ": ".join(filter(None, (type(error).__name__ + unasked, _said(error))))


def _taken(factory: Any, given: Mapping[str, str]) -> str:
    options = ", ".join(f"--engine-option {name}=..." for name in given)
    said = f"does not take {options}" if given else "cannot be made without --engine-option"
    try:
        return f"{said}: it takes {inspect.signature(factory)}"
    except (TypeError, ValueError):
        return said


def _found() -> list[EntryPoint]:
    found = {(one.name, one.value): one for one in entry_points(group=GROUP)}
    return [one for (name, _), one in sorted(found.items()) if name not in _OUR_NAMES]


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
