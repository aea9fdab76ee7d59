"""`ocrlabel report` and `ocrlabel view`: labels to look at, in a file that any browser opens."""

from __future__ import annotations

import json
import unicodedata
import webbrowser
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.settings import Images, ImagesOption, Labels, Seed, named, output_option
from ocrlabel.errors import ConfigError, RunMismatch
from ocrlabel.labels import Labelled, readable
from ocrlabel.pipeline.state.layout import beside
from ocrlabel.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ocrlabel.export.images import LabelledImages
    from ocrlabel.labels import Attempt

_DATASET_LABELS = "_pseudo_labels.parquet"  # how the guide names a dataset's labels

_Output = Annotated[
    str | Path | None, output_option("The page to write; by default beside the table.")
]
Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


def report(
    labels: Labels,
    *,
    images: ImagesOption = None,
    output: _Output = None,
    pages: Annotated[
        int, typer.Option(help="The most pages to show; 0: numbers only.", min=0, max=1000)
    ] = 100,
    seed: Seed = 0,
) -> Path:
    """Write one HTML page about a labels table: open it from disk, no network is needed.

    Counts, failures, cost, distributions, and the pages themselves, with every word outlined in
    the colour of its confidence. Of a large table some pages are drawn at random and the least
    certain ones are shown. The images are looked for where the run found them; a page whose image
    is not there has its words in their places. With --pages 0 it holds numbers, names and failures.

    For example:

        ocrlabel report labels.parquet

        ocrlabel report labels.parquet --images receipts/

        ocrlabel report labels.parquet --images receipts/ --pages 200 --open
    """
    from ocrlabel.cli.tables import need_file, refuse_to_replace
    from ocrlabel.report.write import write_report

    labels = need_file(labels)
    target = Path(output) if output else _beside(labels, "_report.html")
    refuse_to_replace(target)
    reader = finder(images, labels) if pages else None
    write_report(
        labels,
        _failures(labels),
        _record(labels),
        target,
        images=reader,
        max_pages=pages,
        seed=seed,
    )
    tell_missing(reader)
    return target


def view(
    labels: Labels,
    image_ids: Annotated[
        list[str], typer.Argument(metavar="IMAGE_ID...", help="The ids of some of its images.")
    ],
    *,
    images: ImagesOption = None,
    output: _Output = None,
) -> list[Path]:
    """Write one HTML page about each image: its words, every request for it, and the raw answer.

    Requests and answers come from the checkpoints beside the table, as long as they are there.
    Of several images each has a page with its name; -o is the folder for them then.

    For example:

        ocrlabel view labels.parquet receipts/0001.jpg --images receipts/ --open

        ocrlabel view labels.parquet receipts/0001.jpg -o page.html

        ocrlabel view labels.parquet receipts/0001.jpg receipts/0002.jpg -o pages/
    """
    from ocrlabel.cli.tables import need_file, refuse_to_replace
    from ocrlabel.dataset.labels_table import LabelRow, read_failures, read_labels
    from ocrlabel.export.output_folder import PageNames
    from ocrlabel.report.pages import as_label_row
    from ocrlabel.report.single import DocumentDetails, near_ids, write_document

    labels = need_file(labels)
    failures = _failures(labels)
    failed = {row.id: row for row in read_failures(failures)} if failures else {}

    def of(ids: Sequence[str]) -> dict[str, list[tuple[int, LabelRow]]]:
        rows: dict[str, list[tuple[int, LabelRow]]] = {one: [] for one in ids}
        for number, row in enumerate(read_labels(labels)):
            if row.id in rows:
                rows[row.id].append((number, row.scored))
        return rows

    rows = of(image_ids)
    if absent := [one for one in rows if not rows[one] and one not in failed]:
        known = [*(row.id for row in read_labels(labels)), *failed]
        other_form = {unicodedata.normalize("NFC", readable(one)): one for one in known}
        found_as = {one: other_form.get(unicodedata.normalize("NFC", one)) for one in absent}
        if lost := next((one for one in absent if not found_as[one]), None):
            near = near_ids(lost, map(readable, known))
            raise ConfigError(
                f"{labels} has no image with the id {lost!r}"
                + ("\n  the nearest: " + "\n               ".join(near) if near else "")
            )
        rows = of([found_as.get(one) or one for one in rows])
    kept, reader, names = _from_checkpoints(labels, rows), finder(images, labels), PageNames()
    written = []
    for one, found in rows.items():
        target = Path(output) if output else _beside(labels, "_view.html")
        if len(rows) > 1:
            named = replace(found[0][1], page_count=1) if found else as_label_row(failed[one])
            name = f"{_stem(labels)}_view_{names.take(named)}.html"
            target = Path(output or labels.parent, name)
            target.parent.mkdir(parents=True, exist_ok=True)
        refuse_to_replace(target)
        failure = None if found else failed[one]
        document = DocumentDetails(one, found, failure, *kept.get(one, ((), b"")))
        write_document(document, target, images=reader)
        written.append(target)
    tell_missing(reader)
    return written


def _from_checkpoints(
    labels: Path, image_ids: Collection[str]
) -> dict[str, tuple[tuple[Attempt, ...], bytes]]:
    """Every request for each image, and its answer; nothing where the checkpoints are gone."""
    from ocrlabel.dataset.checkpoint_table import decode_checkpoint
    from ocrlabel.dataset.labels_table import holds_failures_too

    layout = beside(f"{_stem(labels)}.parquet")
    found = [(0, 0, labels)] if holds_failures_too(labels) else []
    for path in labels.parent.joinpath(layout.prefix).glob("*.parquet"):
        place = layout.parse_checkpoint(f"{layout.prefix}/{path.name}")
        if place is not None:
            found.append((-place[1], place[0], path))
    kept: dict[str, tuple[tuple[Attempt, ...], bytes]] = {}
    for _, _, path in sorted(found):  # the last retry round first: its answer is in the table
        try:
            rows, _meta = decode_checkpoint(path.read_bytes(), where=str(path))
        except RunMismatch as error:
            typer.echo(f"left out: {error}", err=True)
            continue
        for row in rows:
            if row.ref.id in image_ids:
                outcome = row.outcome
                raw = outcome.raw if isinstance(outcome, Labelled) else b""
                kept.setdefault(row.ref.id, (outcome.attempts, raw))
    return kept


def tell_missing(images: LabelledImages | None) -> None:
    """Say how many pages have no picture, if any."""
    if images and images.missing:
        pages, first = counted(images.missing.total(), "page"), next(iter(images.missing))
        remedy = "; name its folder with --images" if first.endswith("was not found") else ""
        typer.echo(f"careful: {pages} without a picture: {first}{remedy}", err=True)


def finder(images: Images, labels: Path) -> LabelledImages:
    """The images that were named, else those where the table's run found them.

    Of a table that was filtered or corrected it is the run of the table that it was made of.
    """
    from ocrlabel.dataset.labels_table import origin_of
    from ocrlabel.export.images import LabelledImages, image_sources, where_a_run_looked

    if there := named(images):
        return LabelledImages(image_sources(there))
    labels = labels if _beside(labels, "_run.json").is_file() else origin_of(labels)
    source = str((_record(labels) or {}).get("source") or "").split(" (ids: ")[0]
    places = where_a_run_looked(source, table=labels) if source else []
    return LabelledImages(places)


def _record(labels: Path) -> Mapping[str, Any] | None:
    path = _beside(labels, "_run.json")
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error}); delete it, or bring it back") from error
    return found if isinstance(found, dict) else None


def _failures(labels: Path) -> Path | None:
    """Where the failed rows are: in the table beside the labels, or in a checkpoint itself."""
    from ocrlabel.dataset.labels_table import holds_failures_too

    beside = _beside(labels, "_failures.parquet")
    return beside if beside.is_file() else labels if holds_failures_too(labels) else None


def _beside(labels: Path, ending: str) -> Path:
    return labels.with_name(_stem(labels) + ending)


def _stem(labels: Path) -> str:
    return labels.name.removesuffix(_DATASET_LABELS).removesuffix(".parquet")


def tell_pages(written: Path | list[Path], *, open_: Open = False) -> None:
    """Where the pages are, and how large."""
    show_pages([written] if isinstance(written, Path) else written, open_=open_)


def show_pages(targets: Collection[Path], *, open_: Open = False, aside: bool = False) -> None:
    """The same. aside: on stderr, where stdout has the figures."""
    for target in targets:
        typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB", err=aside)
        if open_:
            webbrowser.open(target.resolve().as_uri())
