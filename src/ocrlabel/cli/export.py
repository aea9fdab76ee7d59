"""`ocrlabel export` and `ocrlabel import`: labels out to other tools, and corrections back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocrlabel.cli.settings import Images, Labels, Seed, named, output_option
from ocrlabel.errors import ConfigError, DatasetError, Incomplete
from ocrlabel.wording import counted, listed

if TYPE_CHECKING:
    from ocrlabel.export.corrections import Merge
    from ocrlabel.export.formats import Summary

ExportFormat = Literal[
    "paddleocr", "paddleocr-rec", "icdar2015", "coco", "yolo", "lmdb", "labelstudio", "hf",
    "aistages",
]  # fmt: skip
ImportFormat = Literal["labelstudio", "paddleocr", "icdar2015", "coco", "hf", "aistages"]
Vertical = Literal["turn", "keep", "leave-out"]
_SHOWN = 10  # unmatched files that a message names


def export(
    labels: Labels,
    output: Annotated[str | Path, output_option("The folder to write.")],
    format: Annotated[ExportFormat, typer.Option(help="What to write.")],  # noqa: A002 - its name
    *,
    images: Annotated[
        Images,
        typer.Option(
            help="A folder with the images, or the parquet that holds them; without it only labels"
            " are written. Repeatable."
        ),
    ] = None,
    splits: Annotated[
        str, typer.Option(help="Make splits by document: train=0.8,val=0.1,test=0.1.")
    ] = "",
    seed: Seed = 0,
    near_duplicates_together: Annotated[
        bool,
        typer.Option(
            "--near-duplicates-together", help="Pages that look the same stay in one split."
        ),
    ] = False,
    ignore_below: Annotated[
        float | None,
        typer.Option(help="Words below this confidence are do-not-care.", min=0, max=1),
    ] = None,
    keep_untranscribed: Annotated[
        bool, typer.Option("--keep-untranscribed", help="Boxes without a text count as regions.")
    ] = False,
    image_url: Annotated[
        str,
        typer.Option(help="Label Studio: what stands before a path, such as s3://BUCKET/PREFIX/."),
    ] = "",
    charset: Annotated[
        str | Path | None, typer.Option(help="Recognition: only texts of these characters.")
    ] = None,
    max_length: Annotated[int, typer.Option(help="Recognition: the longest text.", min=1)] = 25,
    min_crop_px: Annotated[int, typer.Option(help="Recognition: a crop's least side.", min=1)] = 4,
    vertical: Annotated[
        Vertical,
        typer.Option(help="Recognition: what becomes of columns."),
    ] = "turn",
    keep_uncertain: Annotated[
        bool,
        typer.Option("--keep-uncertain", help="Words that wait for a review keep that class."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> Summary:
    """Write labels in the format of another tool.

    A data card (README.md) beside every export says what it is, from where, and what is weak in
    it. Without --images only labels are written, where the format can do without.

    For example:

        ocrlabel export labels.parquet --format paddleocr --images in/ -o paddle/

        ocrlabel export labels.parquet --format coco --splits train=.9,val=.1 -o c/

        ocrlabel export labels.parquet --format lmdb --images in/ -o rec/

        ocrlabel export labels.parquet --format labelstudio -o studio/
    """
    from ocrlabel.cli.tables import read_labels
    from ocrlabel.export.export_pages import parse_shares
    from ocrlabel.export.formats import ExportOptions, SplitPlan, export_of
    from ocrlabel.export.images import LabelledImages, image_sources
    from ocrlabel.export.recognition import read_charset

    finder = LabelledImages(image_sources(found)) if (found := named(images)) else None
    plan = parse_shares(splits, seed=str(seed or "")) if splits else SplitPlan()
    if near_duplicates_together:
        from ocrlabel.export.near_duplicates import near_duplicates

        if finder is None:
            raise ConfigError("--near-duplicates-together looks at the images\n  give --images")
        plan = replace(plan, groups=near_duplicates(read_labels(labels), finder))
    options = ExportOptions(
        ignore_below=ignore_below,
        keep_untranscribed=keep_untranscribed,
        splits=plan,
        image_url=image_url,
        charset=read_charset(Path(charset)) if charset else None,
        max_length=max_length,
        min_crop_px=min_crop_px,
        vertical=vertical,
        keep_uncertain=keep_uncertain,
        force=force,
    )
    return export_of(format)(read_labels(labels), finder, Path(output).expanduser(), options)


def tell_export(summary: Summary, *, output: str) -> None:
    """What was written, left out and changed. Raises Incomplete where an image was not found."""
    for line in _what_went(summary, output):
        typer.echo(line)
    if summary.missing:
        shown = "\n  ".join(summary.examples)
        raise Incomplete(
            f"not in {output}, for want of the image: {counted(summary.missing, 'page')}\n"
            f"  {shown}\n"
            "  name the folder that the table's paths start from with --images"
        )


def import_(
    folder: Annotated[
        str | Path, typer.Argument(help="What the tool exported: a folder or a file.")
    ],
    format: Annotated[ImportFormat, typer.Option(help="What it is written in.")],  # noqa: A002 - its name
    onto: Annotated[str | Path, typer.Option(help="The labels table that was corrected.")],
    output: Annotated[str | Path, output_option("The corrected labels table.")],
    *,
    skip_unmatched: Annotated[
        bool, typer.Option("--skip-unmatched", help="Leave out corrections that fit no page.")
    ] = False,
    exported: Annotated[
        str | Path | None,
        typer.Option(help="The export that the tool was given, where its files are elsewhere."),
    ] = None,
    reviewed_by: Annotated[
        str,
        typer.Option(help="Who looked at every page that comes back, where the tool says nothing."),
    ] = "",
) -> Merge:
    """Bring corrections back onto a labels table.

    Page by page the correction wins; its `source` says where it came from, and `reviewed_at` when
    a person was done with it. Words and pages that were not changed stay as they were, with their
    confidences; the others are counted, by what was done to them. With the table itself as the
    output, `ocrlabel run --grow` carries the corrections on.

    For example:

        ocrlabel import in.json --format labelstudio --onto a.parquet -o b.parquet

        ocrlabel import paddle/ --format paddleocr --onto a.parquet -o b.parquet

        ocrlabel import c/ --format coco --exported e/ --onto a.parquet -o b.parquet
    """
    from ocrlabel.cli.tables import refuse_to_replace
    from ocrlabel.dataset.labels_table import read_labels, write_changed
    from ocrlabel.export.corrections import Merge, by_person, exported_pages
    from ocrlabel.export.formats import import_of
    from ocrlabel.export.output_folder import export_root, rule_of

    folder, onto, target = (Path(one).expanduser() for one in (folder, onto, output))
    if not folder.exists():
        raise ConfigError(f"{folder}: there is no such folder or file")
    corrections = import_of(format)(folder)
    if (first := next(corrections, None)) is None:
        raise DatasetError(
            f"{folder} holds no page of {format}\n"
            "  name what the tool exported, or export it again with its pages"
        )
    corrections = chain((first,), corrections)
    if reviewed_by:
        at = datetime.now(tz=UTC)
        corrections = by_person(corrections, reviewed_by, at)
    known = Path(exported).expanduser() if exported else folder
    if exported and not (known.exists() and export_root(known)):
        raise ConfigError(
            f"--exported {exported} is no folder that ocrlabel exported\n"
            "  name the one that the tool was opened on, or leave --exported out"
        )
    merge = Merge(lambda: read_labels(onto), corrections, exported_pages(known), rule_of(known))
    if merge.unmatched and not skip_unmatched:
        shown = "\n  ".join(merge.unmatched[:_SHOWN])
        raise DatasetError(
            f"{len(merge.unmatched)} corrections fit no page of {onto}\n  {shown}\n"
            "  check --onto, or leave them out with --skip-unmatched"
        )
    if target.resolve() != onto.resolve():
        refuse_to_replace(target)
    write_changed(target, merge.rows(), source=onto, changed_by=f"import {format}")
    return merge


def tell_import(merge: Merge, *, folder: str, exported: str | None, output: str) -> None:
    """How many pages were corrected, and what was left out."""
    from ocrlabel.export.output_folder import export_root

    for line in _what_came(merge, output):
        typer.echo(line)
    if (n := merge.words["made do-not-care"]) and export_root(Path(exported or folder)) is None:
        typer.echo(
            f"careful: {counted(n, 'word')} made do-not-care; if the tool was sent them as that,"
            " name the export that it was given: --exported DIR"
        )


def _what_came(merge: Merge, output: str) -> Iterator[str]:
    pages = merge.counts
    yield (
        f"{output}: {counted(pages['corrected'], 'page')} corrected,"
        f" {pages['unchanged']:,} came back unchanged, {pages['untouched']:,} untouched"
    )
    if not pages["corrected"] + pages["unchanged"]:
        yield "careful: no page came back; did a person submit or save one?"
    elif not merge.reviewed:
        yield "nothing says who saw these pages: --reviewed-by NAME makes them reviewed, and truth"
    if merge.words:
        yield f"{counted(merge.words.total(), 'word')} changed: {listed(merge.words)}"
    if merge.passed_over:
        yield f"passed over, for they are no words: {listed(merge.passed_over)}"
    if merge.not_taken:
        others = ", ".join(counted(n, what) for what, n in sorted(merge.not_taken.items()))
        yield f"not taken, for the newest submitted annotation of a page counts: {others}"
    if merge.emptied:
        yield f"careful: {counted(len(merge.emptied), 'page')} came back empty, with no word left"
        yield from (f"  {page}: {n:,} words" for page, n in merge.emptied[:_SHOWN])
    yield from (f"left out: {line}" for line in merge.unmatched)
    if merge.words_left_out:
        yield f"left out with them: {counted(merge.words_left_out, 'word')}"


def _what_went(summary: Summary, output: str) -> Iterator[str]:
    splits = ", ".join(f"{name} {n}" for name, n in sorted(summary.splits.items()))
    yield (
        f"{output}: {counted(summary.pages, 'page')} ({splits or 'none'}),"
        f" {counted(summary.words, 'word')},"
        f" {summary.ignored:,} of them do-not-care, {counted(summary.images, 'image')}"
    )
    for what, counts in (("left out", summary.left_out), ("changed", summary.changed)):
        yield from (f"{what}: {counted(n, 'word')}, {why}" for why, n in sorted((+counts).items()))
    if summary.leaks:
        yield (
            f"careful: {counted(summary.leaks, 'document')} in more than one split of the input;"
            " --splits makes new ones"
        )
    yield from (f"careful: {warning}" for warning in summary.warnings)
