"""The bands that confidence is shown in: named here, coloured in page.css, told in the legend.

The colours are Okabe and Ito's, which people with any colour vision can tell apart; the lower a
band, the thicker its outline too, so that colour is never alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite


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
