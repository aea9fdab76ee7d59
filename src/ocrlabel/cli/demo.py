"""`ocrlabel demo`: from nothing to labels, with a true figure at the end."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ocrlabel.cli.settings import Seed, option
from ocrlabel.wording import counted, percent

if TYPE_CHECKING:
    from ocrlabel import LabelResult
    from ocrlabel.demo.demo_pages import DemoFolder
    from ocrlabel.demo.measure import Found
    from ocrlabel.options import EngineName


def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where images, truth and labels go.", file_okay=False)
    ] = Path("demo"),
    *,
    engine: Annotated[str, option("engine")] = "rapidocr",
    seed: Seed = 0,
) -> None:
    """Draw some pages, label them, and say how much was read right.

    Receipts, forms, letters and delivery notes (tilted, noisy, badly lit; one blank, one of two
    pages), whose text is known because they are drawn here. Takes about a minute on two cores.

    For example:

        ocrlabel demo

        ocrlabel demo pages/ --engine tesseract --seed 7
    """
    from ocrlabel import label
    from ocrlabel.demo.demo_pages import documents, write_folder

    print(f"drawing pages into {folder / 'images'} ...", flush=True)
    written = write_folder(documents(seed), folder)
    words = sum(len(page.words) for page in written.truth.values())
    drawn = counted(len(written.kinds), "document"), counted(len(written.truth), "page")
    print(f"{', '.join(drawn)}, {counted(words, 'word')}\n")
    chosen = cast("EngineName", engine)  # or of a package: the run will tell
    result = label(written.images, engine=chosen, output=folder / "labels.parquet")
    print()
    _show(_found_by_kind(written, result.labels_path))
    _show_places(folder, written, result)


def _found_by_kind(written: DemoFolder, labels_path: str) -> dict[str, Found]:
    """What was found, for each kind of page; pages without a label were not read at all."""
    from ocrlabel.dataset.labels_table import read_labels
    from ocrlabel.demo.measure import Found, measure

    read = {(row.image_filename, row.page): row.words for row in read_labels(Path(labels_path))}
    found: dict[str, Found] = {}
    for (name, number), page in written.truth.items():
        kind = written.kinds[name]
        here = measure(page.words, read.get((name, number), ()))
        found[kind] = found.get(kind, Found()) + here
    return found


def _show(by_kind: dict[str, Found]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ocrlabel.demo.measure import Found

    table = Table(
        title="Read right: in its place (IoU 0.5) and with its text", title_justify="left"
    )
    table.add_column("pages")
    for column in ("words written", "read right", "words read", "of them right"):
        table.add_column(column, justify="right")
    everything = sum(by_kind.values(), Found())
    for kind, found in (*by_kind.items(), ("all", everything)):
        table.add_row(
            kind.replace("_", " "),
            f"{found.written:,}",
            _percent(found.recall),
            f"{found.read:,}",
            _percent(found.precision),
            style="bold" if kind == "all" else "",
        )
    Console().print(table)


def _percent(share: float | None) -> str:
    return "-" if share is None else percent(share)


def _show_places(folder: Path, written: DemoFolder, result: LabelResult) -> None:
    report = folder / "labels_report.html"
    if result.failed:
        why = ", ".join(f"{name} {count}" for name, count in result.failures.items())
        again = f"`ocrlabel run {written.images} --output {result.labels_path} --retry-failed all`"
        print(
            f"\n{counted(result.failed, 'document')} not read ({why}), and counted as words missed:"
        )
        print(f"  {result.failures_path} says why; {again} tries once more")
    print("\nTo look at:")
    if report.is_file():
        print(f"  {report}  in a browser: what was read, on pictures of the pages")
    print(f"  {result.labels_path}  the labels table, a row a page")
    print(f"  {written.truth_path}  what was drawn")
    command = sys.argv[0] if sys.argv[0].endswith("ocrlabel") else "ocrlabel"
    measures = all(find_spec(name) for name in ("numpy", "rapidfuzz", "shapely"))
    after = next_command(command, result.labels_path, written.truth_path, measures=measures)
    print(f"\nNext:  {after}")
    print(f"Then a folder of your own:  {command} run FOLDER --output labels.parquet")


def next_command(command: str, labels: str, truth: Path, *, measures: bool) -> str:
    """One that works as it is written. measures: the extra `quality` is installed."""
    if measures:
        words = [command, "evaluate", labels, "--truth", str(truth), "--by", "kind"]
    else:
        coco = truth.parent / "coco"
        words = [command, "export", labels, "--format", "coco", "--force", "-o", str(coco)]
    return shlex.join(words)
