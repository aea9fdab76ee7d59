"""API keys and the rate of each: from a variable, a list of keys, or a stored secret.

Pure functions. A message never repeats any part of a key, so it may stand in a log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ocrlabel.engine import Lane
from ocrlabel.errors import ConfigError
from ocrlabel.options import DOCUMENTED_REQUESTS_PER_S

# What guides and examples have in a key's place, and a variable that no shell filled in.
_PLACEHOLDER = re.compile(
    r"<.*>|\$.*|%.*%|up_[.x*]*|([a-z]{2,4}[-_])?[.x*]{3,}|(change|replace)[-_]?(me|this)|placeholder"
    r"|(up[-_])?(insert[-_]|enter[-_]|paste[-_]|put[-_]|add[-_])?your[-_].*"
    r"|(upstage[-_])?api[-_]key([-_]here)?|todo|none|null",
    re.IGNORECASE,
)
DOCUMENTED_PAGES_PER_MINUTE = 300.0
"""Last figure that was published for OCR (until about 2026-09); the newest is not known.

Of a key with more requests/s than documented it is taken in proportion: such a key is of a higher
tier, and tiers have more of both.
"""


_PART = 10  # letters: fewer say nothing of a key, and stand in other words
_SHORT = 6  # a key of fewer is no service's, and only looked for as it is
_LETTER = re.compile(
    r"(?:%|\\+u00|\\+x|&#x0*)([0-9a-f]{2});?|&#0*([0-9]{2,3});|\\+[nrtbf]|(.)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Key:
    """One API key and what it allows. None means no limit. The secret shows in no repr.

    place: where the user finds it, such as "key 2 of 3 in UPSTAGE_API_KEYS".
    """

    name: str
    secret: str = field(repr=False)
    requests_per_s: float | None = None
    pages_per_minute: float | None = None
    pages_follow: bool = False
    """pages_per_minute is not what somebody said of this key, but what is documented."""
    place: str = ""

    @property
    def lane(self) -> Lane:
        """The key as the run sees it: by name, without its secret."""
        return Lane(
            self.name, self.requests_per_s, self.pages_per_minute, pages_follow=self.pages_follow
        )


def without_keys(text: str, keys: Iterable[Key]) -> str:
    """A text that others wrote, with the name of a key where any part of it stands.

    A part is ten letters and digits in a row, in any case, with anything between them, escaped as
    in JSON, HTML or an address, or in base64 or hex. Before the text is cut, or a part is left.
    """
    for key in keys:
        alone = r"(?<![^\W_]){}(?![^\W_])" if len(key.secret) < _SHORT else "{}"  # "any" in "many"
        text = re.sub(alone.format(re.escape(key.secret)), f"[{key.name}]", text)
        letters, spans = _letters(text)
        marked = bytearray(len(letters))
        for form in _forms(key.secret):
            size = min(_PART, len(form))
            parts = {form[at : at + size] for at in range(len(form) - size + 1)}
            for at in range(len(letters) - size + 1):
                if letters[at : at + size] in parts:
                    marked[at : at + size] = b"x" * size
        for found in reversed([*re.finditer(b"x+", marked)]):
            start, stop = spans[found.start()][0], spans[found.end() - 1][1]
            text = f"{text[:start]}[{key.name}]{text[stop:]}"
    return text


def _letters(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The letters and digits of a text in lower case, unescaped, and where each of them stands."""
    letters, spans = [], []
    for found in _LETTER.finditer(text):
        hexed, decimal, plain = found.groups()
        code = int(hexed, 16) if hexed else int(decimal) if decimal else ord(plain or " ")
        if code < 128 and chr(code).isalnum():
            letters.append(chr(code).lower())
            spans.append(found.span())
    return "".join(letters), spans


def _forms(secret: str) -> Iterator[str]:
    """What a secret looks like as it is, in hex, and in base64 behind 0, 1 or 2 other bytes."""
    data = secret.encode()
    if len(whole := _letters(secret)[0]) < _SHORT:
        return
    yield whole
    yield data.hex()
    for before in range(3):
        coded = base64.b64encode(bytes(before) + data).decode()
        yield _letters(coded[-(-8 * before // 6) : 8 * (before + len(data)) // 6])[0]


def parse_keys(
    text: str,
    requests_per_s: float | None = DOCUMENTED_REQUESTS_PER_S,
    *,
    pages_per_minute: float | None = DOCUMENTED_PAGES_PER_MINUTE,
    where: str = "UPSTAGE_API_KEYS",
) -> tuple[Key, ...]:
    """`key1@3,key2@1`: keys with their requests/s, which may be left out.

    A rate may carry pages/min after a slash: `key1@3/600`; without, they are the documented
    ones, in proportion to the rate. `where` names the variable in messages. Raises ConfigError.
    """
    entries = [entry.strip() for entry in text.split(",")]
    keys = []
    for number, entry in enumerate(entries, start=1):
        place = _place(number, len(entries), where)
        secret, at, rates = entry.rpartition("@")
        if not at:
            keys.append(_with_pages(_key(entry, requests_per_s, place), pages_per_minute))
            continue
        rps, slash, ppm = rates.partition("/")
        key = _key(secret, _rate(rps, place, "requests/s"), place)
        if slash:
            keys.append(replace(key, pages_per_minute=_rate(ppm, place, "pages/min")))
        else:
            keys.append(_with_pages(key, pages_per_minute))
    return _distinct(keys, where)


def keys_of_secret(value: str, where: str = "the secret") -> tuple[Key, ...]:
    """The keys in a stored secret, written in any of the usual ways.

    A bare key or `key1@3,key2@1`; a JSON string of that; `{"UPSTAGE_API_KEY": "..."}` (or
    UPSTAGE_API_KEYS, or api_key); or a list of keys and of
    `{"key": "...", "requests_per_s": 3, "pages_per_minute": 300}`, also under `"keys"`.
    Raises ConfigError.
    """
    text = value.strip()
    if not text.startswith(("{", "[", '"')):
        return parse_keys(text, where=where)
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError):
        # `from None`: a JSONDecodeError carries the document, and with it the key
        raise ConfigError(
            f"{where} looks like JSON and is not: store the bare key, or valid JSON"
        ) from None
    return _of_content(content, where)


def _of_content(content: object, where: str) -> tuple[Key, ...]:
    if isinstance(content, str):
        return parse_keys(content, where=where)
    if isinstance(content, Mapping):
        for name in ("UPSTAGE_API_KEYS", "keys", "UPSTAGE_API_KEY", "api_key"):
            if name in content:
                return _of_content(content[name], where)
        if "key" in content:
            return _of_content([content], where)
    if isinstance(content, Sequence) and content:
        keys = [
            _of_entry(entry, _place(number, len(content), where))
            for number, entry in enumerate(content, start=1)
        ]
        return _distinct(keys, where)
    raise ConfigError(f'{where} holds no key: write the key itself, or {{"UPSTAGE_API_KEY": "…"}}')


def _of_entry(entry: object, place: str) -> Key:
    if isinstance(entry, str):
        return parse_keys(entry, where=place)[0]
    if isinstance(entry, Mapping) and isinstance(entry.get("key"), str):
        rps = entry.get("requests_per_s", DOCUMENTED_REQUESTS_PER_S)
        key = _key(entry["key"], _rate(rps, place, "requests_per_s"), place)
        if "pages_per_minute" not in entry:
            return _with_pages(key, DOCUMENTED_PAGES_PER_MINUTE)
        pages = _rate(entry["pages_per_minute"], place, "pages_per_minute")
        return replace(key, pages_per_minute=pages)
    raise ConfigError(f'{place} is neither a key nor {{"key": "…", "requests_per_s": 3}}')


def _place(number: int, of: int, where: str) -> str:
    return where if of == 1 else f"key {number} of {of} in {where}"


def _with_pages(key: Key, ppm: float | None) -> Key:
    """The key with the pages/min that go with its requests/s."""
    if ppm is None:
        return key
    tier = max(1.0, (key.requests_per_s or 0.0) / DOCUMENTED_REQUESTS_PER_S)
    return replace(key, pages_per_minute=ppm * tier, pages_follow=True)


def _key(secret: str, rps: float | None, place: str) -> Key:
    secret = secret.strip()
    if not secret:
        raise ConfigError(f"{place} is empty: give an Upstage API key")
    # anything else cannot stand in a header, and most often means a copied quote or line break
    if not all("!" <= character <= "~" for character in secret):
        raise ConfigError(f"{place} has a space or another character that no API key has")
    if secret.strip("'\"") != secret:
        raise ConfigError(f"{place} has quotes around it: give it without them")
    if _PLACEHOLDER.fullmatch(secret):
        raise ConfigError(f"{place} is a placeholder, no key: put the key from console.upstage.ai")
    # Named by its hash: the same key has the same name in every worker, wherever it stands.
    digest = hashlib.sha256(b"ocrlabel lane " + secret.encode("ascii")).hexdigest()
    return Key(f"key-{digest[:6]}", secret, rps, place=place)


def _rate(value: object, place: str, unit: str) -> float | None:
    if value is None:
        return None
    try:
        rate = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        rate = math.nan
    if not 0 < rate <= 1e6:
        # not repeated: after a stray @ it may be a piece of the key
        raise ConfigError(f"{place} has a rate that is no number above 0: write key@3 ({unit})")
    return rate


def _distinct(keys: Sequence[Key], where: str) -> tuple[Key, ...]:
    seen: dict[str, int] = {}
    for number, key in enumerate(keys, start=1):
        if key.secret in seen:
            raise ConfigError(f"keys {seen[key.secret]} and {number} of {where} are the same key")
        seen[key.secret] = number
    return tuple(keys)
