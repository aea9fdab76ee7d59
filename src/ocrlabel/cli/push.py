"""`ocrlabel push`: a dataset into a bucket, so that machines there can label it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

import typer

from ocrlabel.cli import clocks
from ocrlabel.cli.exit_codes import run_async
from ocrlabel.cli.settings import from_environment, open_store, option
from ocrlabel.errors import Interrupted
from ocrlabel.options import Options
from ocrlabel.storage.folder import scratch_folder
from ocrlabel.wording import counted

if TYPE_CHECKING:
    from ocrlabel.dataset.push.push import Pushed, PushOptions
    from ocrlabel.dataset.push.target import PushTarget
    from ocrlabel.dataset.push.upload import Step

_LINE_EVERY_S = 10.0


def push(
    source: Annotated[
        str,
        typer.Argument(
            help="What `run` takes: a folder, a glob, or a table (parquet, CSV, JSONL); s3:// too.",
            show_default=False,
        ),
    ],
    address: Annotated[
        str,
        typer.Argument(
            help="s3://bucket/, s3://bucket/folder/, or the table: s3://bucket/.../NAME.parquet.",
            show_default=False,
        ),
    ],
    *,
    pack: Annotated[
        bool,
        typer.Option(help="Put the images into the table: one read a batch, not one an image."),
    ] = False,
    dataset_name: Annotated[
        str | None,
        typer.Option(help="The table's name; by default the source's own.", show_default=False),
    ] = None,
    image_root: Annotated[list[str] | None, option("image_root")] = None,
    image_column: Annotated[str | None, option("image_column")] = None,
    id_column: Annotated[str | None, option("id_column")] = None,
    image_prefix: Annotated[
        str, typer.Option(help="The folder of the bucket that images go to.")
    ] = "data/images",
    skip_unreadable: Annotated[
        bool,
        typer.Option(help="Leave out rows without a readable image, which would fail in a run."),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(help="Replace another table of that name; a run that began with it ends."),
    ] = False,
    verify: Annotated[
        Literal["sample", "all"],
        typer.Option(help="Which images are read back and compared byte for byte at the end."),
    ] = "sample",
    concurrency: Annotated[
        int, typer.Option(help="Images under way at once.", min=1, max=256)
    ] = 16,
) -> None:
    """Upload a dataset: its images once each, then its table, and check that all are there.

    Stopped in any way, the same command goes on: what is there is not sent again.

    For example:

        ocrlabel push images/ s3://bucket/

        ocrlabel push train.csv s3://bucket/sets/train.parquet --image-root data/

        ocrlabel push receipts/ s3://bucket/ --pack

        ocrlabel run s3://bucket/data/processed/receipts.parquet
    """
    from ocrlabel.cli.wiring import open_source
    from ocrlabel.dataset.push.extra_columns import open_extra_columns
    from ocrlabel.dataset.push.push import PushOptions
    from ocrlabel.dataset.push.push import push as push_dataset
    from ocrlabel.dataset.push.target import target_of

    keys = from_environment()
    reading = Options.of(
        keys.variables, image_root=image_root, image_column=image_column, id_column=id_column
    )
    target = target_of(address, source, dataset_name=dataset_name, image_prefix=image_prefix)
    options = PushOptions(pack, skip_unreadable, replace, verify, concurrency)

    async def work(on_step: Callable[[Step], None]) -> Pushed:
        this = asyncio.current_task()
        if this is not None:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, this.cancel)
        store = open_store(f"s3://{target.bucket}", keys)
        with closing(await open_source(source, reading, keys)) as dataset:
            columns = await asyncio.to_thread(
                open_extra_columns,
                source,
                cwd=Path.cwd(),
                store_opener=lambda root: open_store(root, keys),
                image_column=reading.image_column,
            )
            with closing(columns), scratch_folder() as scratch:
                return await push_dataset(
                    dataset, columns, store, target, options, scratch=scratch, on_step=on_step
                )

    try:
        with steps_shown(sys.stderr, clocks.boot_s) as show:
            done = run_async(work(show))
    except asyncio.CancelledError:
        raise Interrupted(
            "stopped by a signal; run the same command again to go on: images that are in the "
            "bucket are not sent again"
        ) from None
    for name, value in result_rows(done, target, options):
        print(f"{name:<14}{value}")


def result_rows(done: Pushed, target: PushTarget, options: PushOptions) -> list[tuple[str, str]]:
    """What was done and what comes next, as a short table."""
    rows = [("rows", f"{done.rows:,}")]
    sent = f"{done.uploaded:,} uploaded ({done.uploaded_bytes / 1e6:,.1f} MB)"
    rows.append(
        ("images", f"{sent}, {done.there:,} there before, {done.identical:,} identical to another")
    )
    if done.unreadable:
        fate = "left out" if options.skip_unreadable else "kept as rows that will fail in a run"
        rows.append(("unreadable", f"{done.unreadable:,}, {fate}"))
        rows += [("", f"row {row + 1}: {why}") for row, why in sorted(done.reasons.items())]
        if done.unreadable > len(done.reasons):
            rows.append(("", f"and {done.unreadable - len(done.reasons):,} more"))
        if not options.skip_unreadable:
            rows.append(("", "mend them and push again, or leave them out: --skip-unreadable"))
    if done.left_out:
        rows.append(("not kept", f"columns {', '.join(done.left_out)}"))
    rest = (
        "" if options.verify == "all" or options.embedded else "; all are there, by name and size"
    )
    rows.append(("read back", f"{counted(done.checked, 'image')}, byte for byte{rest}"))
    rows.append(("table", f"{target.url} ({done.table})"))
    rows.append(("next", f"ocrlabel run {target.url}"))
    if target.dataset_name:
        rows.append(("", f"or by AWS Batch: ocrlabel aws submit {target.dataset_name}"))
    return rows


@contextmanager
def steps_shown(stream: IO[str], clock: Callable[[], float]) -> Iterator[Callable[[Step], None]]:
    """A function to call with every step: a bar where a person is watching, else lines."""
    if not stream.isatty():
        yield _step_lines(stream, clock)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    tasks: dict[str, TaskID] = {}

    def show(step: Step) -> None:
        if step.stage not in tasks:
            tasks[step.stage] = bar.add_task(step.stage, size="")
        bar.update(
            tasks[step.stage], total=step.total or None, completed=step.done, size=_size(step)
        )

    with Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[size]}"),
        console=Console(file=sys.stderr),
    ) as bar:
        yield show


def _step_lines(stream: IO[str], clock: Callable[[], float]) -> Callable[[Step], None]:
    """A line when a stage begins and when it ends, and every ten seconds between."""
    stage, next_s = "", 0.0

    def show(step: Step) -> None:
        nonlocal stage, next_s
        now_s = clock()
        ended = step.total and step.done == step.total
        if step.stage == stage and now_s < next_s and not ended:
            return
        stage, next_s = step.stage, now_s + _LINE_EVERY_S
        of = f" of {step.total:,}" if step.total else ""
        number = f" {step.done:,}{of}" if step.done else ""
        size = f", {_size(step)}" if step.size_bytes else ""
        print(f"{step.stage}{number}{size}", file=stream, flush=True)

    return show


def _size(step: Step) -> str:
    return f"{step.size_bytes / 1e6:,.1f} MB" if step.size_bytes else ""
