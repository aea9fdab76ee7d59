"""Results as JSON objects: shares to 4 places (`rounded`), counts as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrlabel.dataset.labels_table import CONFIDENCE
from ocrlabel.quality.agreement import Agreement, AgreementCounts
from ocrlabel.quality.calibration import Bin, CurvePoint, Interval
from ocrlabel.quality.cleval import CharCounts
from ocrlabel.quality.evaluate import Counts, LevelResult
from ocrlabel.quality.faults import INVENTED, MISREAD, MISSED, ComparedPage, Verdict
from ocrlabel.quality.pairing import Unpaired
from ocrlabel.quality.scores import Score
from ocrlabel.quality.signals import Signals
from ocrlabel.quality.text import Normalisation
from ocrlabel.quality.truth import name_of
from ocrlabel.wording import rounded

_CALLED = {"threshold": "cut", "mean_score": "mean_confidence"}  # in JSON, not as in Python


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Labels measured against truth, by level. normalisation: how texts were compared.

    page: the HTML page, where one was asked for. score: what said how sure words are.
    """

    normalisation: Normalisation
    unpaired: Unpaired
    levels: tuple[LevelResult, ...]
    page: Path | None = None
    score: str = CONFIDENCE

    def to_json(self) -> dict[str, object]:
        """All figures."""
        return {
            "normalisation": self.normalisation.describe(),
            "score": self.score,
            "unpaired": self.unpaired.to_json(),
            "levels": [_level(level) for level in self.levels],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two tables, word by word. against_truth: what the signs are worth, where truth was given."""

    normalisation: Normalisation
    unpaired: Unpaired
    agreement: Agreement
    against_truth: Signals | None
    page: Path | None = None
    score: str = CONFIDENCE

    def to_json(self) -> dict[str, object]:
        """All figures."""
        return {
            "normalisation": self.normalisation.describe(),
            "score": self.score,
            "unpaired": self.unpaired.to_json(),
            "total": _json(self.agreement.total),
            "scripts": _json(self.agreement.scripts),
            "groups": _json(self.agreement.groups),
            "against_truth": self.against_truth and _signals(self.against_truth),
        }


def _level(result: LevelResult) -> dict[str, object]:
    threshold = result.threshold
    return {
        "level": result.level.value,
        **_json(result.counts),
        "pages_with_wrong_words": result.wrong_pages,
        "worst_pages": [_page(page) for page in result.worst],
        "confusions": [
            {"truth": truth, "read": read, "count": count}
            for truth, read, count in result.confusions
        ],
        "groups": _json(result.groups),
        "confidence": {
            "bins": _json(result.bins),
            "curve": _json(result.curve),
            "expected_calibration_error": _json(result.calibration_error),
            "without_confidence": result.without_confidence,
            "cut": {
                "wanted_precision": threshold.wanted,
                "chosen": _json(threshold.chosen),
                "measured": _json(threshold.measured),
                "documents_chosen_on": threshold.documents_chosen_on,
                "documents_measured_on": threshold.documents_measured_on,
            },
        },
    }


def _signals(found: Signals) -> dict[str, object]:
    """The curves of confidence, agreement and both against truth."""
    return {
        "words": found.words,
        "documents": found.documents,
        "signals": {
            signal.name: {
                "mean_precision": _json(signal.area),
                "interval": _json(signal.interval),
                "curve": _json(signal.curve),
            }
            for signal in found.signals
        },
        "gain_over_confidence": {
            name: {"mean_precision": _json(gain), "interval": _json(spread)}
            for name, (gain, spread) in found.gains.items()
        },
    }


def _page(page: ComparedPage) -> dict[str, object]:
    """One page with the words that are wrong on it."""
    name = name_of(page.row)
    wrong = {kind: [_word(v) for v in page.of_kind(kind)] for kind in (MISSED, INVENTED, MISREAD)}
    return {"id": name.id, "path": name.path, "page": name.page, **wrong}


def _word(verdict: Verdict) -> dict[str, object]:
    """A word with the text of each side that has it, and where it is (the truth's place first)."""
    side, (there, text) = verdict.truth or verdict.word, verdict.texts
    told: dict[str, object] = {"polygon": [list(point) for point in side.polygon] if side else []}
    if verdict.truth:
        told["truth"] = there
    if verdict.word:
        told |= {"read": text, "confidence": verdict.word.confidence}
    return told


def _json(value: Any) -> Any:
    """A figure, or several, as JSON has them."""
    match value:
        case float():
            value = rounded(value)
        case Interval():
            value = [rounded(value.low), rounded(value.high)]
        case Score():
            value = {
                name: rounded(getattr(value, name)) for name in ("recall", "precision", "hmean")
            }
        case CharCounts():
            value = {**asdict(value), **_json(value.score)}
        case AgreementCounts():
            value = {**asdict(value), "agreement": rounded(value.agreement)}
        case CurvePoint() | Bin():
            of = {name: getattr(value, name) for name in value.__slots__}
            value = {_CALLED.get(name, name): _json(one) for name, one in of.items()}
        case Counts():
            value = _counts(value)
        case dict():
            value = {name: _json(one) for name, one in value.items()}
        case tuple():
            value = [_json(one) for one in value]
    return value


def _counts(counts: Counts) -> dict[str, object]:
    """The figures of one set of pages."""
    names = ("pages", "truth", "read", "matched", "right", "missed", "invented", "misread")
    characters = counts.characters
    return {
        **{name: getattr(counts, name) for name in names},
        "detection": _json(counts.detection),
        "end_to_end": _json(counts.end_to_end) if counts.truth_with_text else None,
        "cer": _json(counts.cer),
        "one_minus_ned": _json(counts.ned),
        "cleval": {
            "detection": _json(characters.detection),
            "end_to_end": _json(characters.end_to_end),
            "splits": characters.splits,
            "merges": characters.merges,
        },
    }
