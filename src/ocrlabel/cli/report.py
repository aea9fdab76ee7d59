"""`ocrlabel report` and `ocrlabel view`: labels to look at, in a file that any browser opens."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.settings import Images, ImagesOption, Labels, Seed, named, output_option
from ocrlabel.errors import ConfigError, RunMismatch
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


def report(
    labels: Labels,
    *,
    images: ImagesOption = None,
    output: _Output = None,
    pages: Annotated[int, typer.Option(help="The most pages to show.", min=1, max=1000)] = 100,
    seed: Seed = 0,
) -> Path:
    """Write one HTML page about a labels table: open it from disk, no network is needed.

    Counts, failures, cost, distributions; with --images also the pages themselves, with every
    word outlined in the colour of its confidence. Of a large table some pages are drawn at random
    and the least certain ones are shown. Without --images it holds numbers, names and failures.

    For example:

        ocrlabel report labels.parquet --images receipts/

        ocrlabel report labels.parquet --images receipts/ --pages 200 --open
    """
    from ocrlabel.cli.tables import need_file, refuse_to_replace
    from ocrlabel.report.write import write_report

    labels = need_file(labels)
    target = Path(output) if output else _beside(labels, "_report.html")
    refuse_to_replace(target)
    reader = _reader(images)
    write_report(
        labels,
        _failures(labels),
        _record(_beside(labels, "_run.json")),
        target,
        images=reader,
        max_pages=pages,
        seed=seed,
    )
    _tell_missing(reader)
    return target


def view(
    labels: Labels,
    image_id: Annotated[str, typer.Argument(help="The id of one of its images.")],
    *,
    images: ImagesOption = None,
    output: _Output = None,
) -> Path:
    """Write one HTML page about one image: its words, every request for it, and the raw answer.

    Requests and answers come from the checkpoints beside the table, as long as they are there.

    For example:

        ocrlabel view labels.parquet receipts/0001.jpg --images receipts/ --open

        ocrlabel view labels.parquet receipts/0001.jpg -o page.html
    """
    from ocrlabel.cli.tables import need_file, refuse_to_replace
    from ocrlabel.dataset.labels_table import read_failures, read_labels
    from ocrlabel.report.single import DocumentDetails, near_ids, write_document

    labels = need_file(labels)
    rows = [(n, row) for n, row in enumerate(read_labels(labels)) if row.id == image_id]
    failures = _failures(labels)
    failed = list(read_failures(failures)) if failures and not rows else []
    failure = next((row for row in failed if row.id == image_id), None)
    if not rows and failure is None:
        ids = [row.id for row in read_labels(labels)] + [row.id for row in failed]
        near = near_ids(image_id, ids)
        raise ConfigError(
            f"{labels} has no image with the id {image_id!r}"
            + ("\n  the nearest: " + "\n               ".join(near) if near else "")
        )
    attempts, raw = _from_checkpoints(labels, image_id)
    target = Path(output) if output else _beside(labels, "_view.html")
    refuse_to_replace(target)
    document = DocumentDetails(image_id, rows, failure, attempts, raw)
    reader = _reader(images)
    write_document(document, target, images=reader)
    _tell_missing(reader)
    return target


def _from_checkpoints(labels: Path, image_id: str) -> tuple[tuple[Attempt, ...], bytes]:
    """Every request for an image, and its answer; nothing where the checkpoints are gone."""
    from ocrlabel.dataset.checkpoint_table import decode_checkpoint
    from ocrlabel.dataset.labels_table import holds_failures_too
    from ocrlabel.labels import Labelled
    from ocrlabel.pipeline.state.layout import beside

    layout = beside(f"{_stem(labels)}.parquet")
    found = [(0, 0, labels)] if holds_failures_too(labels) else []
    for path in labels.parent.joinpath(layout.prefix).glob("*.parquet"):
        place = layout.parse_checkpoint(f"{layout.prefix}/{path.name}")
        if place is not None:
            found.append((-place[1], place[0], path))
    for _, _, path in sorted(found):  # the last retry round first: its answer is in the table
        try:
            rows, _meta = decode_checkpoint(path.read_bytes(), where=str(path))
        except RunMismatch as error:
            typer.echo(f"left out: {error}", err=True)
            continue
        for row in rows:
            if row.ref.id == image_id:
                outcome = row.outcome
                return outcome.attempts, outcome.raw if isinstance(outcome, Labelled) else b""
    return (), b""


def _tell_missing(images: LabelledImages | None) -> None:
    if images and images.missing:
        pages, first = counted(images.missing.total(), "page"), next(iter(images.missing))
        told = f"careful: {pages} without a picture: {first}; name its folder with --images"
        typer.echo(told, err=True)


def _reader(images: Images) -> LabelledImages | None:
    from ocrlabel.export.images import LabelledImages, image_sources

    return LabelledImages(image_sources(found)) if (found := named(images)) else None


def _record(path: Path) -> Mapping[str, Any] | None:
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


def tell_report(
    target: Path,
    *,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Where the page is, and how large."""
    typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
    if open_:
        webbrowser.open(target.resolve().as_uri())
