"""Two readings of the same pages, laid over each other or side by side, on the report's own page.

`ocrlabel evaluate` lays the truth over what was read, `ocrlabel agree` sets two tables side by
side. The viewer has the words by what became of them instead of by their confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrlabel.export.formats import ImageFinder
from ocrlabel.quality import faults
from ocrlabel.quality.evaluate import LevelResult
from ocrlabel.quality.figures import Comparison, Evaluation
from ocrlabel.report.charts import Band
from ocrlabel.report.facts import Fact, visible
from ocrlabel.report.pages import WORDS_PER_PAGE, Sampled, flat, page_view, sure
from ocrlabel.report.write import Report, Table, write_page
from ocrlabel.wording import counted, ratio

_MOST_CONFUSIONS = 20
_ORDER = (faults.MISREAD, faults.MISSED, faults.INVENTED, faults.RIGHT, faults.UNJUDGED)


def write_evaluation(
    evaluation: Evaluation, output: Path, *, title: str, images: ImageFinder
) -> None:
    """Write the worst pages with the truth over what was read."""
    results = evaluation.levels
    _write(
        [page for result in results for page in result.worst],
        sum(result.wrong_pages for result in results),
        output,
        images,
        kinds=_ORDER,
        title=title,
        subtitle=(evaluation.normalisation.describe(),),
        sides=("what was read", "the truth"),
        tiles=tuple(fact for result in results for fact in _figures(result)),
        tables=tuple(_confusions(result) for result in results if result.confusions),
    )


def write_agreement(
    comparison: Comparison, output: Path, *, sides: tuple[str, str], images: ImageFinder
) -> None:
    """Write the pages on which two tables differ most, side by side."""
    total, worst = comparison.agreement.total, comparison.agreement.worst
    first, second = (visible(side, 60) for side in sides)
    _write(
        worst.pages(),
        worst.seen,
        output,
        images,
        kinds=("another text", f"only {second}", f"only {first}", "the same", "do-not-care"),
        title=f"{first} and {second}",
        subtitle=(comparison.normalisation.describe(),),
        sides=(first, second),
        tiles=(
            Fact("agreement", ratio(total.agreement), f"on {counted(total.pages, 'page')}"),
            Fact("the same", f"{total.same:,}", "place and text"),
            Fact("another text", f"{total.matched - total.same:,}", "at the same place"),
            Fact(f"only {first}", f"{total.first - total.matched:,}", f"of {total.first:,}"),
            Fact(f"only {second}", f"{total.second - total.matched:,}", f"of {total.second:,}"),
        ),
        beside=True,
    )


def _write(
    pages: Sequence[faults.ComparedPage],
    there: int,
    output: Path,
    images: ImageFinder,
    *,
    kinds: Sequence[str],
    **more: Any,
) -> None:
    """The page. there: how many pages differ; kinds: what those of _ORDER are called."""
    report = Report(
        pages=[_view(at, page, len(pages)) for at, page in enumerate(pages)],
        pages_title="Where it differs",
        sample=f"the {len(pages):,} worst of {counted(there, 'page')} with words that differ",
        bands=tuple(Band(f"v{at}", 0.0, kind) for at, kind in enumerate(kinds)),
        **more,
    )
    rows = [Sampled(at, page.row) for at, page in enumerate(pages)]
    write_page(report, output, rows, images=images)


def _figures(result: LevelResult) -> list[Fact]:
    counts, noun = result.counts, result.level.value
    score, found = counts.end_to_end, counts.right
    if not counts.truth_with_text:
        score, found = counts.detection, counts.matched
    cer = "–" if counts.cer is None else ratio(counts.cer)
    return [
        Fact(f"{noun}s found", ratio(score.recall), f"{found:,} of {counts.truth:,}: recall"),
        Fact(f"{noun}s right", ratio(score.precision), f"{found:,} of {counts.read:,}: precision"),
        Fact("harmonic mean", ratio(score.hmean), f"on {counted(counts.pages, 'page')}"),
        Fact("character error rate", cer, f"of {counts.matched_with_text:,} in their place"),
        Fact("misread", f"{counts.misread:,}", "in their place, another text"),
        Fact("missed", f"{counts.missed:,}", "in the truth only"),
        Fact("invented", f"{counts.invented:,}", "read only"),
    ]


def _confusions(result: LevelResult) -> Table:
    rows = tuple(
        (visible(truth) or "(nothing)", visible(read) or "(nothing)", f"{times:,}")
        for truth, read, times in result.confusions[:_MOST_CONFUSIONS]
    )
    title = f"Most frequent confusions ({result.level.value}s)"
    return Table(title, ("in the truth", "read", "times"), rows)


def _view(at: int, page: faults.ComparedPage, of: int) -> dict[str, Any]:
    """One page for the viewer; what is wrong comes first in its list of words."""
    verdicts = sorted(page.all_verdicts, key=lambda one: _ORDER.index(one.kind))
    judged = [one.right for one in page.verdicts if one.right is not None]
    return {
        **page_view(Sampled(at, page.row)),
        "words": [_word(one) for one in verdicts[:WORDS_PER_PAGE]],
        "count": len(verdicts),
        "place": f"number {at + 1:,} of {of:,}",
        "left": f"{judged.count(False):,} of {len(judged):,} differ",
        "right": ratio(sum(judged) / len(judged)) if judged else "–",
    }


def _word(verdict: faults.Verdict) -> list[Any]:
    """[text, confidence, class, flat polygon, "", text of the other side, its flat polygon]."""
    there, read = map(visible, verdict.texts)
    own, other = verdict.word, verdict.truth
    confidence, place = (sure(own.confidence), flat(own.polygon)) if own else (None, [])
    kind = f"v{_ORDER.index(verdict.kind)}"
    return [read, confidence, kind, place, "", there, flat(other.polygon) if other else []]
