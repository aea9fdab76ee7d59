"""Numbers into bins whose edges a person would have chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

_NICE = (1, 2, 2.5, 5, 10)
_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800)


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


def nice(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** floor(log10(least))
    return next(step * power for step in _NICE if step * power >= least * (1 - 1e-9))
