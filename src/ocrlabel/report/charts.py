"""ChartBar charts as numbers: what a template draws as SVG without knowing what they mean.

Numbers go into bins whose edges a person would have chosen (`whole_numbers`, `moments`), and bins
become charts. The bands in which confidence is shown are named here, coloured in report.css, and
explained in the page's legend. The colours are Okabe and Ito's, which people with any colour vision
can distinguish; the lower a band, the thicker its outline too, so that colour is never alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil, floor, isfinite, log10

from ocrlabel.dataset.labels_table import CONFIDENCE
from ocrlabel.wording import counted

MINUTE_S = 60.0
_TOP = 8.0
_TOPS = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
_NICE = (1, 2, 2.5, 5, 10)
_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800)


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart. line: points of a second curve, scaled to its own greatest value.

    across, up: the places along the axes that have a label.
    """

    title: str
    note: str
    bars: tuple[ChartBar, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    line: tuple[tuple[float, float], ...] = ()
    line_note: str = ""

    width, height, left, right, base = 360.0, 150.0, 38.0, 352.0, 130.0


@dataclass(frozen=True, slots=True)
class ChartBar:
    """One bar: place and size in units of the drawing, its CSS class, what it shows on hovering."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    tooltip: str


def confidence_chart(score: str, counts: Sequence[int], note: str) -> Chart:
    """Words by their score, each bar in the colour that its words have on the pages."""
    bins = Bins(0.0, 1 / len(counts), tuple(map(float, counts)))
    middle = [band(sum(bins.edges(place)) / 2) for place in range(len(counts))]
    title = "Confidence of words" if score == CONFIDENCE else f"{score} of words"
    across = [(place, f"{place / len(counts):g}") for place in range(0, len(counts) + 1, 4)]
    return _chart(
        title, note, bins, "words", across, kinds=middle,
        name=lambda low, high: f"{low:.2f} to {high:.2f}",
    )  # fmt: skip


def count_chart(title: str, note: str, bins: Bins, unit: str) -> Chart:
    """Pages by a whole number. unit: of the number."""
    last = len(bins.counts) - 1
    step = max(1, -(-last // 5))
    across = [(place + 0.5, f"{bins.edges(place)[0]:,.0f}") for place in range(0, last + 1, step)]

    def name(low: float, high: float) -> str:
        if bins.edges(last)[0] == low and last:
            return f"{low:,.0f} {unit} and more"
        return f"{low:,.0f} to {high - 1:,.0f} {unit}" if bins.width > 1 else f"{low:,.0f} {unit}"

    return _chart(title, note, bins, "pages", across, name=name)


def time_chart(
    bins: Bins, span_s: tuple[float, float], spent: Sequence[float], line_note: str
) -> Chart:
    """Pages over time: per minute, or counted where bins are shorter than one.

    span_s: the times of the first and the last page; spent: what was paid up to the end of each
    bin, or ().
    """
    per_minute = bins.width >= MINUTE_S
    heights = _per_minute(bins, span_s) if per_minute else bins
    marks = range(0, len(bins.counts), max(1, -(-len(bins.counts) // 4)))
    spelled = "%H:%M:%S" if bins.width < MINUTE_S else "%H:%M" if bins.width < 10_800 else "%d %b"
    across = [(float(place), _utc(bins.edges(place)[0], spelled)) for place in marks]

    def name(low: float, high: float) -> str:
        pages = counted(round(bins.counts[round((low - bins.start) / bins.width)]), "page")
        when = f"{_utc(low, '%d %b %H:%M:%S')} to {_utc(high, '%H:%M:%S')}"
        return f"{when}, {pages}" if per_minute else when

    title = "Pages per minute" if per_minute else f"Pages every {shown_step(bins.width)}"
    note = f"UTC, a bar is {shown_step(bins.width)}"
    what = "pages per minute" if per_minute else "pages"
    chart = _chart(title, note, heights, what, across, name=name)
    if not spent or not spent[-1]:
        return chart
    step = (chart.right - chart.left) / len(spent)
    top = chart.base - _TOP
    line = [(chart.left, chart.base)] + [
        (round(chart.left + (place + 1) * step, 2), round(chart.base - top * sum_ / spent[-1], 2))
        for place, sum_ in enumerate(spent)
    ]
    return replace(chart, line=tuple(line), line_note=line_note)


def _per_minute(bins: Bins, span_s: tuple[float, float]) -> Bins:
    """Of the part of each bin in which the run was: it began and ended in the middle of one."""
    rates = []
    for place, count in enumerate(bins.counts):
        low, high = bins.edges(place)
        there_s = max(MINUTE_S, min(high, span_s[1]) - max(low, span_s[0]))
        rates.append(count * MINUTE_S / there_s)
    return Bins(bins.start, bins.width, tuple(rates))


def shown_step(width_s: float) -> str:
    """A width of bins: 5 s, 10 min, 3 h, 7 days."""
    for unit_s, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if width_s >= unit_s:
            return "1 day" if width_s == 86_400 else f"{width_s / unit_s:g} {unit}"
    return f"{width_s:g} s"


def _utc(at_s: float, spelled: str) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime(spelled)


def _chart(
    title: str,
    note: str,
    bins: Bins,
    what: str,
    across: Sequence[tuple[float, str]],
    *,
    name: Callable[[float, float], str],
    kinds: Sequence[str] = (),
) -> Chart:
    left, base = Chart.left, Chart.base
    step = (Chart.right - left) / max(1, len(bins.counts))
    most = max(bins.counts, default=0)
    # little above the greatest bar, and its half is a number too
    top = nice(most, _TOPS) if most > 10 else max(2.0, 2.0 * ceil(most / 2))
    bars = []
    for place, count in enumerate(bins.counts):
        # a bin with one page among thousands is still seen
        tall = max((base - _TOP) * count / top, 1.5) if count else 0.0
        bars.append(
            ChartBar(
                x=round(left + place * step + step * 0.06, 2),
                y=round(base - tall, 2),
                width=round(step * 0.88, 2),
                height=round(tall, 2),
                kind=kinds[place] if kinds else "plain",
                tooltip=f"{name(*bins.edges(place))}: {_short(count)} {what}",
            )
        )
    ticks = tuple((round(left + place * step, 2), text) for place, text in across)
    up = tuple((round(base - (base - _TOP) * part, 2), _short(top * part)) for part in (0, 0.5, 1))
    return Chart(title, note, tuple(bars), ticks, up)


def _short(number: float) -> str:
    if number >= 10_000:
        return f"{number / 1000:,.0f}k"
    return f"{number:,.0f}" if number == int(number) else f"{number:,.3g}"


@dataclass(frozen=True, slots=True)
class Bins:
    """counts[i] lies from start + i * width to the next edge, which belongs to the next bin."""

    start: float
    width: float
    counts: tuple[float, ...]

    def edges(self, place: int) -> tuple[float, float]:
        """From and to of one bin."""
        low = self.start + place * self.width
        return low, low + self.width


def whole_numbers(values: Sequence[int], most: int = 24) -> Bins:
    """Bins for counts and pixels: whole, equal widths, the last one open for what lies far out.

    Few very large values would press all others into one bin: what is beyond the 99th percentile
    is counted in the last bin.
    """
    if not values:
        return Bins(0, 1, ())
    ordered = sorted(values)
    top = ordered[min(len(ordered) - 1, floor(len(ordered) * 0.99))]
    width = max(1, ceil(nice((top + 1) / most)))
    start = ordered[0] // width * width if ordered[0] > top // 2 else 0
    places = (top - start) // width + 1
    counts = [0.0] * places
    for value in ordered:
        counts[min((value - start) // width, places - 1)] += 1
    return Bins(start, width, tuple(counts))


def moments(
    times_s: Sequence[float], amounts: Sequence[float], most: int = 48, *, least_s: float = 0
) -> Bins:
    """Amounts summed by time (Unix s), in steps that clocks know, none shorter than least_s."""
    if not times_s:
        return Bins(0, 1, ())
    first_s, last_s = min(times_s), max(times_s)
    steps_s = (step for step in _STEPS_S if step >= least_s)
    width = next((s for s in steps_s if (last_s - first_s) / s <= most - 1), None)
    width_s = width or nice((last_s - first_s) / (most - 1))
    start_s = first_s // width_s * width_s
    counts = [0.0] * (int((last_s - start_s) // width_s) + 1)
    for at_s, amount in zip(times_s, amounts, strict=True):
        counts[int((at_s - start_s) // width_s)] += amount
    return Bins(start_s, width_s, tuple(counts))


def nice(least: float, steps: Sequence[float] = _NICE) -> float:
    """The smallest of the steps times a power of ten that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** floor(log10(least))
    return next(step * power for step in steps if step * power >= least * (1 - 1e-9))


@dataclass(frozen=True, slots=True)
class Band:
    """A range of confidence, from `low` up to the next band. kind: its CSS class."""

    kind: str
    low: float
    name: str


BANDS = (
    Band("c0", 0.0, "below 0.50"),
    Band("c1", 0.5, "0.50–0.80"),
    Band("c2", 0.8, "0.80–0.95"),
    Band("c3", 0.95, "0.95 and up"),
)
UNKNOWN = Band("cx", 0.0, "none")


def band(confidence: float | None) -> str:
    """The CSS class of a confidence."""
    if confidence is None or not isfinite(confidence):
        return UNKNOWN.kind
    return next((one.kind for one in reversed(BANDS) if confidence >= one.low), BANDS[0].kind)
