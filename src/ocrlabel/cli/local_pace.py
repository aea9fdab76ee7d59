"""How long an engine of one's own machine takes: as measured on these images, else a rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ocrlabel.cli.tallying import shown_duration
from ocrlabel.engines.base import Engine
from ocrlabel.engines.cores import usable_cores
from ocrlabel.labels import Labelled, Outcome
from ocrlabel.wording import counted

_S_PER_PAGE = {"rapidocr": 2.0, "tesseract": 1.0}
"""On one core of 2026, over photographed, scanned and printed pages; benchmarks/local_engine.py
measures it anew (0.55 images/s for rapidocr on one thread, 1.0 for tesseract). A page may take a
quarter of it or five times as much: it follows from size and number of words."""

_ENOUGH_PAGES = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that a page took, over so many pages that were read before."""

    took_s: float = 0.0
    pages: int = 0

    def and_of(self, outcomes: Iterable[Outcome]) -> Pace:
        """With what these outcomes tell; copies were not read."""
        read = [one for one in outcomes if isinstance(one, Labelled) and one.latency_s > 0]
        return Pace(
            self.took_s + sum(one.latency_s for one in read if not one.copied),
            self.pages + sum(len(one.pages) for one in read if not one.copied),
        )


def time_line(engine: Engine, pages: int, earlier: Pace) -> str:
    """How long so many pages will take; "" where nothing tells."""
    processes = min(engine.parallel or 1, usable_cores())
    if earlier.pages >= _ENOUGH_PAGES:
        per_page_s = earlier.took_s / earlier.pages
        why = f"as the {earlier.pages:,} pages that are done took"
    elif engine.name in _S_PER_PAGE:
        per_page_s = _S_PER_PAGE[engine.name]
        why = "a rule of thumb: big and dense pages take longer; --sample 20 measures it"
    else:
        return ""
    whole = shown_duration(pages * per_page_s / min(processes, pages))
    return f"about {whole} on {counted(processes, 'core')} ({per_page_s:.1f} s a page, {why})"
