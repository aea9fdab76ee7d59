"""Results as JSON objects: shares to 4 places (`rounded`), counts as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

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
            "levels": [level_figures(level) for level in self.levels],
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
            **agreement_figures(self.agreement),
            "against_truth": self.against_truth and signal_figures(self.against_truth),
        }


def level_figures(result: LevelResult) -> dict[str, object]:
    """One level of an evaluation."""
    threshold = result.threshold
    return {
        "level": result.level.value,
        **counts_figures(result.counts),
        "pages_with_wrong_words": result.wrong_pages,
        "worst_pages": [_page(page) for page in result.worst],
        "confusions": [
            {"truth": truth, "read": read, "count": count}
            for truth, read, count in result.confusions
        ],
        "groups": {name: counts_figures(counts) for name, counts in result.groups.items()},
        "confidence": {
            "bins": [_bin(one) for one in result.bins],
            "curve": [_point(point) for point in result.curve],
            "expected_calibration_error": _rounded(result.calibration_error),
            "without_confidence": result.without_confidence,
            "cut": {
                "wanted_precision": threshold.wanted,
                "chosen": threshold.chosen and _point(threshold.chosen),
                "measured": threshold.measured and _point(threshold.measured),
                "documents_chosen_on": threshold.documents_chosen_on,
                "documents_measured_on": threshold.documents_measured_on,
            },
        },
    }


def counts_figures(counts: Counts) -> dict[str, object]:
    """The figures of one set of pages."""
    characters = counts.characters
    return {
        "pages": counts.pages,
        "truth": counts.truth,
        "read": counts.read,
        "matched": counts.matched,
        "right": counts.right,
        "missed": counts.missed,
        "invented": counts.invented,
        "misread": counts.misread,
        "detection": _score(counts.detection),
        "end_to_end": _score(counts.end_to_end) if counts.truth_with_text else None,
        "cer": _rounded(counts.cer),
        "one_minus_ned": _rounded(counts.ned),
        "cleval": {
            "detection": _characters(characters.detection),
            "end_to_end": _characters(characters.end_to_end),
            "splits": characters.splits,
            "merges": characters.merges,
        },
    }


def agreement_figures(agreement: Agreement) -> dict[str, object]:
    """How far two tables say the same."""
    return {
        "total": _agreement_counts(agreement.total),
        "scripts": {name: _agreement_counts(counts) for name, counts in agreement.scripts.items()},
        "groups": {name: _agreement_counts(counts) for name, counts in agreement.groups.items()},
    }


def signal_figures(found: Signals) -> dict[str, object]:
    """The curves of confidence, agreement and both against truth."""
    return {
        "words": found.words,
        "documents": found.documents,
        "signals": {
            signal.name: {
                "mean_precision": _rounded(signal.area),
                "interval": _rounded(signal.interval),
                "curve": [_point(point) for point in signal.curve],
            }
            for signal in found.signals
        },
        "gain_over_confidence": {
            name: {"mean_precision": _rounded(gain), "interval": _rounded(spread)}
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


def _score(score: Score) -> dict[str, object]:
    return {
        "recall": _rounded(score.recall),
        "precision": _rounded(score.precision),
        "hmean": _rounded(score.hmean),
    }


def _characters(counts: CharCounts) -> dict[str, object]:
    return {**asdict(counts), **_score(counts.score)}


def _agreement_counts(counts: AgreementCounts) -> dict[str, object]:
    return {**asdict(counts), "agreement": _rounded(counts.agreement)}


def _point(point: CurvePoint) -> dict[str, object]:
    return {
        "cut": point.threshold,
        "kept_share": _rounded(point.kept_share),
        "kept": point.kept,
        "precision": _rounded(point.precision),
        "interval": _rounded(point.interval),
    }


def _bin(one: Bin) -> dict[str, object]:
    return {
        "low": one.low,
        "high": one.high,
        "words": one.words,
        "mean_confidence": _rounded(one.mean_score),
        "precision": _rounded(one.precision),
        "interval": _rounded(one.interval),
    }


def _rounded(value: float | Interval | None) -> float | list[float] | None:
    if isinstance(value, Interval):
        return [rounded(value.low), rounded(value.high)]
    return None if value is None else rounded(value)
