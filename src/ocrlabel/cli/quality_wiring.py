"""What `evaluate`, `agree` and `filter` have in common on the command line."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from ocrlabel.quality.curve import CurvePoint
    from ocrlabel.quality.normalise import Normalisation
    from ocrlabel.quality.pairing import Unpaired
    from ocrlabel.quality.resample import Interval


class UnicodeName(StrEnum):
    """The Unicode forms that texts can be compared in."""

    NFC = "NFC"
    NFKC = "NFKC"


UnicodeForm = Annotated[
    UnicodeName, typer.Option("--unicode", help="NFKC also ignores full and half width.")
]
Case = Annotated[bool, typer.Option("--case", help="Upper and lower case differ.")]
Spaces = Annotated[bool, typer.Option("--spaces", help="Spaces count.")]
NoPunctuation = Annotated[
    bool, typer.Option("--no-punctuation", help="Punctuation does not count.")
]


def need_quality() -> None:
    """Refuse with a sentence where the extra is not installed."""
    missing = [name for name in ("numpy", "rapidfuzz", "shapely") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"this command needs {', '.join(missing)}: pip install 'ocrlabel[quality]'"
        )


def need_file(path: Path) -> None:
    """Refuse a labels table that is not there."""
    if not path.is_file():
        raise ConfigError(f"no labels table at {path}")


def normalisation(
    form: UnicodeName, *, case: bool, spaces: bool, punctuation: bool
) -> Normalisation:
    """The rules that the options ask for."""
    from ocrlabel.quality.normalise import Normalisation

    return Normalisation(form.value, case=case, spaces=spaces, punctuation=punctuation)


def unpaired_lines(unpaired: Unpaired) -> list[str]:
    """What found no partner, a line a reason."""
    return [
        f"{count} {reason}, such as {', '.join(unpaired.examples[reason][:3])}"
        for reason, count in sorted(unpaired.counts.items())
    ]


def nothing_paired(what: str, unpaired: Unpaired, table: Path, other: Path) -> str:
    """What to say where not one page found its partner."""
    from ocrlabel.quality.pairing import NO_ROW

    lines = "".join(
        f"\n  {other if reason == NO_ROW else table}: {line}"
        for reason, line in zip(sorted(unpaired.counts), unpaired_lines(unpaired), strict=True)
    )
    return (
        f"{what}{lines}\n"
        "  they are paired by sha256, id or path: give pages the same id or file name in both"
    )


def curve_table(title: str, points: tuple[CurvePoint, ...]) -> Table:
    """A curve as rows."""
    table = plain_table(title, "keep from", "share kept", "words", "right", "95 %")
    for point in points:
        table.add_row(
            f"{point.cut:.4f}",
            f"{point.kept_share:.1%}",
            f"{point.kept:,}",
            f"{point.precision:.1%}",
            span(point.interval),
        )
    return table


def plain_table(title: str, *columns: str) -> Table:
    """A table without lines: the first column to the left, numbers to the right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at == 0 else "right")
    return table


def span(interval: Interval | None) -> str:
    """An interval in per cent, "-" where there is none."""
    return "-" if interval is None else f"{interval.low:.1%}-{interval.high:.1%}"
