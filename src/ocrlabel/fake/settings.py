"""How the fake behaves: values, the short forms in which a command line gives them, and changes.

What can go wrong between a client and the service, by name (`--fail NAME:CHANCE`):

    name            the client sees                     the work   billed
    429, 500, 503   that status, at once                not done   no
    502-after       that status                         done       yes
    403-html        that status, a page of a firewall   not done   no
    502-html-after  that status, a page of a gateway    done       yes
    drop-before     the connection cut, no byte         not done   no
    drop-after      the connection cut, no byte         done       yes
    cut-body        half a body, the connection cut     done       yes
    cut-json        half a JSON in a whole body         done       yes
    html            200 with a page of a gateway        not done   no
    hang            nothing, until it leaves            not done   no

Whether the real service bills a request that fails is not documented (assumption: it bills what
it finished).

While the fake runs, POST /control changes fields, in JSON:

    {"fail": "429:0.1,500:0.05"}     chances of faults, as in --fail
    {"outage": "503", "for_s": 60}   every request fails this way, for so long (0: until changed)
    {"latency": "2,0.3"}             {"rps": 10}   {"rps": {"k1": 10}}   {"pages_per_minute": 600}
    {"credit": 100}                  {"refuse": "k1@0:401"}     {"limits": "2026"}
    {"headers": true}                {"error_shape": "flat"}    {"limiter": "sliding"}
    {"retry_after": "86400"}         what a 429 and a 503 ask for, in place of the truth
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from ocrlabel.engines.upstage_keys import Key
from ocrlabel.errors import ConfigError

LimiterKind = Literal["bucket", "fixed", "sliding"]
ErrorShape = Literal["nested", "flat"]
_FORMATS_2025: Final = frozenset({"jpeg", "png", "bmp", "pdf", "tiff", "heic"})
NO_FAULTS: Final[Mapping[str, float]] = MappingProxyType({})
_WITHOUT_WORK: Final = frozenset({"drop-before", "html", "hang"})
_WITH_WORK: Final = frozenset({"drop-after", "cut-body", "cut-json"})
_STATUS: Final = re.compile(r"([345]\d\d)(-html)?(-after)?")


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What one document may be. Pages over the limit are ignored, or the file is refused."""

    name: str
    max_bytes: int
    formats: frozenset[str]
    model_version: str
    truncates: bool = False
    max_pages: int = 100
    max_pixels: int = 200_000_000


LIMITS: Final[Mapping[str, DocumentLimits]] = {
    "2025": DocumentLimits("2025", 50_000_000, _FORMATS_2025, "ocr-250904", truncates=True),
    "2026": DocumentLimits("2026", 100_000_000, _FORMATS_2025 | {"webp"}, "ocr-260930"),
}
"""The two generations of documented limits. That the newer one holds for OCR is not confirmed.
Office formats are documented too; the fake does not render them and answers 415."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of work per document: lognormal with this median and this sigma of the logarithm."""

    median_s: float = 0.0
    sigma: float = 0.0

    def of(self, gauss: float) -> float:
        """The latency that a standard normal draw stands for."""
        return self.median_s * math.exp(self.sigma * gauss)


@dataclass(frozen=True, slots=True)
class Refusal:
    """From this many requests on, a key is answered with this status: revoked, or no credit."""

    key: str
    after_requests: int
    status: int


@dataclass(frozen=True, slots=True)
class FakeSettings:
    """keys: those that are known, with a rate each; none means that any key is good.

    requests_per_s and pages_per_minute hold for keys without rates of their own; None means no
    limit. burst is the bucket's size in requests. credit_pages is what can be billed in all.
    """

    keys: tuple[Key, ...] = ()
    requests_per_s: float | None = None
    pages_per_minute: float | None = None
    limiter: LimiterKind = "bucket"
    burst: float | None = None
    latency: Latency = Latency()
    faults: Mapping[str, float] = field(default_factory=lambda: NO_FAULTS)
    limits: DocumentLimits = LIMITS["2025"]
    error_shape: ErrorShape = "nested"
    headers: bool = False
    retry_after: str = ""
    credit_pages: int | None = None
    refusals: tuple[Refusal, ...] = ()
    seed: int = 0


def parse_latency(text: str) -> Latency:
    """`2,0.3`: median 2 s, sigma 0.3; `2` is 2 s always. Raises ConfigError."""
    median, _, sigma = text.partition(",")
    try:
        latency = Latency(float(median), float(sigma or 0))
    except ValueError:
        latency = Latency(math.nan)
    if not (0 <= latency.median_s < math.inf and 0 <= latency.sigma < 10):
        raise ConfigError(f"--latency {text}: give median,sigma in seconds, for example 2,0.3")
    return latency


def parse_refusals(text: str, keys: tuple[Key, ...]) -> tuple[Refusal, ...]:
    """`k1@100:403,k2@5:401`: from its 101st request on k1 gets 403. Raises ConfigError."""
    refusals = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        secret, _, rest = entry.rpartition("@")
        after, _, status = rest.partition(":")
        name = next((key.name for key in keys if secret in {key.secret, key.name}), None)
        if name is None or not after.isdecimal() or status not in {"", "401", "403"}:
            raise ConfigError(f"--refuse {entry}: give KEY@REQUESTS:STATUS of a key in --keys")
        refusals.append(Refusal(name, int(after), int(status or 403)))
    return tuple(refusals)


def limits_named(name: str) -> DocumentLimits:
    """Raises ConfigError when there is no such generation."""
    if name not in LIMITS:
        raise ConfigError(f"--limits {name}: there is {' and '.join(LIMITS)}")
    return LIMITS[name]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. status is None where the failure is not a status."""

    name: str
    status: int | None
    works: bool
    """The document is read, and billed, before it goes wrong."""
    html: bool = False
    """Somebody else answers, in words of its own."""


def fault_named(name: str) -> Fault:
    """Raises ConfigError."""
    if match := _STATUS.fullmatch(name):
        return Fault(name, int(match[1]), works=bool(match[3]), html=bool(match[2]))
    if name == "html":
        return Fault(name, 200, works=False, html=True)
    if name in _WITH_WORK | _WITHOUT_WORK:
        return Fault(name, None, works=name in _WITH_WORK)
    known = ", ".join(sorted(_WITH_WORK | _WITHOUT_WORK))
    raise ConfigError(f"no fault is called {name!r}: a status, with -html, with -after, {known}")


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


def changed(settings: FakeSettings, changes: Mapping[str, object]) -> FakeSettings:
    """The settings with these changes. Raises ConfigError; then nothing is changed."""
    for name, value in changes.items():
        if name not in _CHANGES:
            raise ConfigError(f"no setting is called {name!r}: {', '.join(sorted(_CHANGES))}")
        try:
            settings = _CHANGES[name](settings, value)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{name} cannot be {value!r}") from error
    return settings


def _rps(settings: FakeSettings, value: Any) -> FakeSettings:
    if not isinstance(value, Mapping):
        rate = _positive(value)
        keys = tuple(replace(key, requests_per_s=rate) for key in settings.keys)
        return replace(settings, requests_per_s=rate, keys=keys)
    known = {name for key in settings.keys for name in (key.name, key.secret)}
    if unknown := set(value) - known:
        raise ConfigError(f"no key is called {min(unknown)!r}")
    return replace(
        settings,
        keys=tuple(
            replace(key, requests_per_s=_positive(value[name]))
            if (name := key.name if key.name in value else key.secret) in value
            else key
            for key in settings.keys
        ),
    )


def _pages_per_minute(settings: FakeSettings, value: Any) -> FakeSettings:
    rate = _positive(value)
    keys = tuple(replace(key, pages_per_minute=rate) for key in settings.keys)
    return replace(settings, pages_per_minute=rate, keys=keys)


def _one_of(kinds: Any, value: Any) -> Any:
    if value not in get_args(kinds):
        raise ValueError(value)
    return value


def _positive(value: Any) -> float | None:
    if value is None:
        return None
    if not 0 < (rate := float(value)) < 1e6:
        raise ValueError(value)
    return rate


_CHANGES: Final[Mapping[str, Callable[[FakeSettings, Any], FakeSettings]]] = {
    "fail": lambda settings, value: replace(settings, faults=parse_faults(value)),
    "latency": lambda settings, value: replace(settings, latency=parse_latency(str(value))),
    "limits": lambda settings, value: replace(settings, limits=limits_named(str(value))),
    "retry_after": lambda settings, value: replace(settings, retry_after=str(value)),
    "headers": lambda settings, value: replace(settings, headers=bool(value)),
    "credit": lambda settings, value: replace(
        settings, credit_pages=None if value is None else int(value)
    ),
    "refuse": lambda settings, value: replace(
        settings, refusals=parse_refusals(value, settings.keys)
    ),
    "rps": _rps,
    "pages_per_minute": _pages_per_minute,
    "limiter": lambda settings, value: replace(settings, limiter=_one_of(LimiterKind, value)),
    "error_shape": lambda settings, value: replace(
        settings, error_shape=_one_of(ErrorShape, value)
    ),
}
