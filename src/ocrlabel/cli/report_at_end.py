"""The report that a run writes at its end: with images on one's own machine, else numbers only."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ocrlabel.errors import OcrLabelError

if TYPE_CHECKING:
    from ocrlabel.cli.labelling import Labelling
    from ocrlabel.cli.progress import Display
    from ocrlabel.cli.settings import Settings
    from ocrlabel.report.pictures import ImageReader

_WILD = "*?["


async def write_report_at_end(
    source: str, done: Labelling, settings: Settings, display: Display
) -> str | None:
    """Where the report was written; None, and a line that says why, where it was not.

    No image leaves a bucket, or goes into one: there the report holds numbers only.
    """
    if not settings.report or done.result.already:
        return None
    if find_spec("jinja2") is None:
        display.say("no report: pip install 'ocrlabel[report]' to have one")
        return None
    try:
        if done.place.is_local:
            return await asyncio.to_thread(_beside_the_table, source, done, settings)
        return await _into_the_bucket(done)
    except (OcrLabelError, OSError) as error:
        # the labels are there; a report can be made at any time
        display.say(f"no report was written: {error}")
        return None


def _beside_the_table(source: str, done: Labelling, settings: Settings) -> str:
    from ocrlabel.report.write import write_report

    root, layout = Path(done.place.root), done.place.layout
    write_report(
        root / done.result.labels_key,
        root / done.result.failures_key,
        done.result.told,
        root / layout.report_key,
        images=_images(source, settings),
    )
    return done.place.shown(layout.report_key)


async def _into_the_bucket(done: Labelling) -> str:
    from ocrlabel.report.write import write_report

    store, layout = done.place.store, done.place.layout
    with tempfile.TemporaryDirectory(prefix="ocrlabel-") as folder:
        labels, failures = Path(folder) / "labels.parquet", Path(folder) / "failures.parquet"
        await store.download(done.result.labels_key, labels)
        await store.download(done.result.failures_key, failures)
        page = Path(folder) / "report.html"
        await asyncio.to_thread(write_report, labels, failures, done.result.told, page)
        await store.upload(layout.report_key, page)
    return done.place.shown(layout.report_key)


def _images(source: str, settings: Settings) -> ImageReader | None:
    """The images of a local input, where the run found them; None for those in a bucket."""
    from ocrlabel.export.images import Images, places

    if source.startswith("s3://"):
        return None
    fixed = Path(source).expanduser()
    while any(sign in str(fixed) for sign in _WILD):
        fixed = fixed.parent
    folders = [fixed if fixed.is_dir() else fixed.parent]
    folders += [Path(root) for root in settings.image_root if Path(root).is_dir()]
    found = places(folders)
    if fixed.suffix == ".parquet":
        # a table of paths holds no images: they are in the folders
        with contextlib.suppress(OcrLabelError):
            found = [*places([fixed]), *found]
    return Images(found)
