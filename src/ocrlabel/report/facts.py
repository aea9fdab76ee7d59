"""What the head of a report says: tiles, notices, settings, from run.json and a pass over a table.

Numbers that run.json does not have are left out, never guessed. Escaping texts of strangers is the
page's business (autoescape, textContent); here (`visible`) they are kept from being shown as
something else than what they are: marks that turn the reading direction, control characters, words
of 10,000 letters.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from ocrlabel.dataset.labels_table import CONFIDENCE, LabelRow
from ocrlabel.engines.rapidocr import HANGUL_BY, KOREAN_NOTICE
from ocrlabel.export.geometry import is_region
from ocrlabel.wording import counted, percent, ratio, usd

CONFIDENCE_BINS = 20
UNSURE = 0.8
"""Below this confidence a word counts as uncertain in the notice about Korean."""
TEXT_LENGTH = 300
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
# Controls, marks of direction, other invisible marks, tags, what is no character. The joiners
# U+200C and U+200D stay: Persian and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
_NAMED = {"\n": "⏎", "\r": "␍", "\t": "⇥"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value, and a second line where there is more to say."""

    name: str
    value: str
    more: str = ""
    alarming: bool = False


@dataclass(slots=True)
class LabelStatistics:
    """Counts over a labels table, in memory that stays small: about 24 bytes a page.

    score: what is called a confidence here. confidences: words by bins of 0.05.
    engines: pages by (engine, model).
    paid: (Unix s, pages billed) of each answer, once where several rows share it.
    """

    score: str = CONFIDENCE
    pages: int = 0
    documents: int = 0
    words: int = 0
    pages_without_words: int = 0
    words_without_area: int = 0
    words_without_confidence: int = 0
    confidence_sum: float = 0.0
    confidences: list[int] = field(default_factory=lambda: [0] * CONFIDENCE_BINS)
    words_per_page: array[int] = field(default_factory=lambda: array("L"))
    long_sides_px: array[int] = field(default_factory=lambda: array("Q"))
    times_s: array[float] = field(default_factory=lambda: array("d"))
    paid: list[tuple[float, int]] = field(default_factory=list)
    engines: Counter[tuple[str, str]] = field(default_factory=Counter)
    han_words: int = 0
    unsure_han_words: int = 0
    hangul_names: int = 0
    _answers: set[int] = field(default_factory=set)

    @property
    def mean_confidence(self) -> float | None:
        """Over all words that have one."""
        known = self.words - self.words_without_confidence
        return self.confidence_sum / known if known else None

    def add(self, row: LabelRow) -> None:
        """Take in one page."""
        self.pages += 1
        self.documents += row.page == 1
        self.words += len(row.words)
        self.pages_without_words += not row.words
        self.words_per_page.append(len(row.words))
        self.long_sides_px.append(max(row.width_px, row.height_px, 0))
        self.engines[row.engine, row.model_version] += 1
        if row.labelled_at is not None:
            self.times_s.append(row.labelled_at.timestamp())
            self._add_paid(row, self.times_s[-1])
        self._add_confidences(row)
        self.hangul_names += bool(_HANGUL.search(row.image_path) or _HANGUL.search(row.input_row))

    def _add_confidences(self, row: LabelRow) -> None:
        for word in row.words:
            sure = word.confidence
            self.words_without_area += not is_region(word.polygon)
            if _HAN.search(word.text):
                self.han_words += 1
                self.unsure_han_words += sure is not None and sure < UNSURE
            if sure is None or not isfinite(sure):
                self.words_without_confidence += 1
                continue
            self.confidence_sum += sure
            place = int(sure * CONFIDENCE_BINS)
            self.confidences[min(max(place, 0), CONFIDENCE_BINS - 1)] += 1

    def _add_paid(self, row: LabelRow, at_s: float) -> None:
        if row.page != 1 or not row.billed_pages:
            return
        answer = hash((row.image_sha256 or row.id, row.engine, row.model_version))
        if answer not in self._answers:
            self._answers.add(answer)
            self.paid.append((at_s, row.billed_pages))


def headline(counts: LabelStatistics, failed: int, record: Mapping[str, Any]) -> list[Fact]:
    """The tiles at the top."""
    rows = int(_number(record.get("rows")) or counts.documents + failed)
    per_page = counts.words / counts.pages if counts.pages else 0
    mean = counts.mean_confidence
    allowed = _number(record.get("max_failures_share"))
    facts = [
        Fact("pages labelled", f"{counts.pages:,}", f"from {counted(counts.documents, 'image')}"),
        Fact("words", f"{counts.words:,}", f"{per_page:,.1f} a page"),
        Fact(
            "failed",
            f"{failed:,}",
            f"{percent(failed / rows)} of {counted(rows, 'row')}" if rows else "",
            alarming=failed > (0.05 if allowed is None else allowed) * rows,
        ),
    ]
    if left := int(_number(record.get("not_reached")) or 0):
        facts.append(Fact("not reached", f"{left:,}", "run it again to go on", alarming=True))
    unknown = counts.words_without_confidence
    have = "has" if unknown == 1 else "have"
    without = f"{counted(unknown, 'word')} {have} none" if unknown else ""
    shown = "–" if mean is None else ratio(mean)
    name = "word confidence" if counts.score == CONFIDENCE else f"{counts.score} of words"
    facts.append(Fact(f"mean {name}", shown, without))
    return facts + _money(record) + _speed(counts, record)


def _money(record: Mapping[str, Any]) -> list[Fact]:
    price = price_of(record)
    billed = _number(record.get("billed_usd"))
    if price is None or billed is None:
        return []
    if not price:
        return [Fact("spent", "nothing", "the engine is free")]
    account = _mapping(record.get("account"))
    pages = int(_number(account.get("billed_pages")) or 0)
    wasted = sum(int(_number(n) or 0) for n in _mapping(account.get("wasted_pages")).values())
    risk = _number(record.get("at_risk_usd")) or 0.0
    more = [f"{counted(pages, 'page')} × {price:g} USD"]
    if wasted:
        more.append(f"{wasted:,} of them in no label")
    if risk:
        more.append(f"perhaps {usd(risk)} more for requests without an answer")
    return [Fact("spent", usd(billed), "; ".join(more))]


def _speed(counts: LabelStatistics, record: Mapping[str, Any]) -> list[Fact]:
    rate = _number(record.get("requests_per_s"))
    if rate and price_of(record):  # a free engine asks nobody
        return [Fact("requests a second", f"{rate:,.2f}", "while it ran")]
    times = counts.times_s
    if len(times) < 2 or (spent_s := max(times) - min(times)) <= 0:
        return []
    # what nobody was there for is no part of the time that the pages took
    spent_s = min(spent_s, _number(record.get("active_s")) or spent_s)
    return [Fact("pages a minute", f"{(len(times) - 1) * 60 / spent_s:,.1f}", "while it ran")]


def notices(counts: LabelStatistics, record: Mapping[str, Any]) -> list[str]:
    """What a reader must know before trusting the labels."""
    found = []
    blind = any(name == "rapidocr" and HANGUL_BY not in about for name, about in counts.engines)
    if blind and _may_be_korean(counts):
        found.append(KOREAN_NOTICE)
    if record.get("model_version_changed"):
        versions = ", ".join(
            map(str, _mapping(_mapping(record.get("account")).get("model_versions")))
        )
        found.append(f"The engine's model changed during the run: {visible(versions)}.")
    if record.get("complete") is False:
        why = visible(_text(record.get("reason")))
        found.append(f"The run is not complete{': ' + why if why else ''}. Run it again to go on.")
    if counts.pages_without_words:
        found.append(
            f"Pages on which not a single word was read:"
            f" {counts.pages_without_words:,} of {counts.pages:,}."
        )
    if counts.words_without_area:
        found.append(
            f"Words whose corners are one point or one line: {counts.words_without_area:,}."
            " They are in no export."
        )
    return found


def _may_be_korean(counts: LabelStatistics) -> bool:
    """Names in Hangul, or Chinese that the engine itself is not sure of."""
    many = counts.han_words >= max(5, counts.words / 50)
    return bool(counts.hangul_names) or (many and counts.unsure_han_words * 4 >= counts.han_words)


def settings(record: Mapping[str, Any]) -> list[Fact]:
    """What was run, for those who want to run it again."""
    account = _mapping(record.get("account"))
    wanted = {
        "dataset": record.get("dataset"),
        "source": record.get("source"),
        "engine": record.get("engine"),
        **{
            f"engine: {key}": value for key, value in _mapping(record.get("engine_options")).items()
        },
        "model versions": ", ".join(map(str, _mapping(account.get("model_versions")))),
        "retry rounds": record.get("retries"),
        "rows a batch": record.get("batch_rows"),
        "price a page": _usd(record.get("price_per_page_usd")),
        "most to spend": _usd(record.get("max_cost_usd")),
        "failures allowed": record.get("max_failures_share"),
        "requests": _listed(account.get("requests")),
        "pages billed": account.get("billed_pages"),
        "pages wasted": _listed(account.get("wasted_pages")),
        "pages perhaps billed": _listed(account.get("at_risk_pages")),
        "job": record.get("job"),
        "run id": record.get("run_id"),
        "input fingerprint": record.get("fingerprint"),
    }
    return [
        Fact(visible(str(name), 100), visible(_text(value), 1_000))
        for name, value in wanted.items()
        if value not in (None, "", {}, [])
    ]


def _usd(value: object) -> str:
    number = _number(value)
    return "" if number is None else f"{number:,g} USD"


def _listed(value: object) -> str:
    return ", ".join(f"{name} {count}" for name, count in _mapping(value).items())


def engines_of(counts: LabelStatistics, record: Mapping[str, Any]) -> str:
    """The engines and models that the labels come from."""
    most = [engine_name(*pair) for pair, _ in counts.engines.most_common(3)]
    named = ", ".join(dict.fromkeys(filter(None, most))) or _text(record.get("engine"))
    rest = len(counts.engines) - 3
    return visible(named + (f" and {rest} more" if rest > 0 else ""), 200)


def dates_of(counts: LabelStatistics, record: Mapping[str, Any]) -> str:
    """From when to when, in UTC."""
    first = _number(record.get("created_at_s"))
    last = _number(record.get("ended_at_s"))
    if counts.times_s:
        first = first or min(counts.times_s)
        last = last or max(counts.times_s)
    if first is None or last is None:
        return ""
    start, end = moment(first), moment(last)
    return f"{start} to {end[11:] if start[:10] == end[:10] else end} UTC"


def moment(at_s: float) -> str:
    """A time in UTC, "?" for one that no calendar has."""
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return "?"


def price_of(record: Mapping[str, Any]) -> float | None:
    """USD a page, None where nobody wrote it down."""
    return _number(record.get("price_per_page_usd"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, Mapping | Sequence):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def page_confidence(row: LabelRow) -> float | None:
    """The engine's figure for the page, else the mean of its words', else None."""
    if row.page_confidence is not None and isfinite(row.page_confidence):
        return row.page_confidence
    known = [w.confidence for w in row.words if w.confidence is not None and isfinite(w.confidence)]
    return sum(known) / len(known) if known else None


def engine_name(engine: str, model: str) -> str:
    """Engine and model without saying the engine twice: local models are named after theirs."""
    return model if model.startswith(engine) else f"{engine} {model}".strip()


def visible(text: str, length: int = TEXT_LENGTH) -> str:
    """The text with what cannot be seen written as ⟨U+202E⟩, and at most so many characters.

    A text that was cut ends with its whole length: "aaa… (10,000 characters)".
    """
    cut = text if len(text) <= length else text[:length]
    shown = _HIDDEN.sub(_written, cut)
    return shown if cut is text else f"{shown}… ({len(text):,} characters)"


def _written(found: re.Match[str]) -> str:
    mark = found[0]
    return _NAMED.get(mark) or f"⟨U+{ord(mark):04X}⟩"
