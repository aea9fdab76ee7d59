"""The report that a run writes at its end, where the report's extra is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrlabel.cli.labelling import Labelling
    from ocrlabel.cli.progress import Display
    from ocrlabel.cli.settings import Settings


async def write_report_at_end(
    source: str, done: Labelling, settings: Settings, display: Display
) -> str | None:
    """Where the report was written; None where the extra is missing."""
    if find_spec("jinja2") is None:
        display.say("no report: pip install 'ocrlabel[report]' to have one")
    return None
