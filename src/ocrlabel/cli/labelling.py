"""One invocation of a run from start to end: what `ocrlabel run`, the runner and Python share."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocrlabel.cli import clocks
from ocrlabel.cli.input_line import input_line
from ocrlabel.cli.settings import Keys, Settings
from ocrlabel.cli.wiring import Chosen, Place, choose_engine, make_world, open_store
from ocrlabel.errors import ConfigError
from ocrlabel.pipeline.events import Event, Started
from ocrlabel.pipeline.reading.reader import Reuse
from ocrlabel.pipeline.run import Result, run
from ocrlabel.pipeline.stop import Stop

if TYPE_CHECKING:
    from ocrlabel.cli.progress import Display
    from ocrlabel.dataset.inputs.sources import Dataset


_GOES_ON = "all that was answered is saved: run the same command again to go on"


@dataclass(frozen=True, slots=True)
class Labelling:
    """A run's result and where everything lies."""

    result: Result
    place: Place

    @property
    def labels(self) -> str:
        """Where the labels table is."""
        return self.place.shown(self.result.labels_key)

    @property
    def failures(self) -> str:
        """Where the failures table is."""
        return self.place.shown(self.result.failures_key)


async def label_dataset(
    source: str,
    place: Place,
    settings: Settings,
    keys: Keys,
    display: Display,
    *,
    chosen: Chosen | None = None,
    job: str = "",
    join: bool = True,
) -> Labelling:
    """Open the input, choose the engine, run, and keep to signals and deadlines on the way.

    join: go on with an unfinished run whoever began it; else only if this very job did.
    """
    chosen = chosen or choose_engine(settings, keys)
    world = make_world(place.store, _with_notice(chosen, display))
    stop = Stop(world.clock)
    with (
        tempfile.TemporaryDirectory(prefix="ocrlabel-") as scratch,
        _signals(stop, settings, chosen, display),
        _deadline(stop, settings),
    ):
        async with _dataset(source, settings, keys) as dataset:
            display.say(chosen.why)
            if dataset.skipped:
                display.say(input_line(dataset))
            result = await run(
                world,
                place.layout,
                dataset,
                chosen.engine,
                settings.run_options(job=job, join=join),
                stop=stop,
                scratch=Path(scratch),
                reuse=earlier_labels(settings, chosen),
            )
    return Labelling(result, place)


def _with_notice(chosen: Chosen, display: Display) -> Callable[[Event], None]:
    """The display, which also tells what is to be known of the engine: once, as a run begins."""
    untold = [chosen.notice] if chosen.notice else []

    def emit(event: Event) -> None:
        if isinstance(event, Started) and untold:
            notice = untold.pop()
            if not event.done:
                display.say(notice)
        display(event)

    return emit


@contextlib.asynccontextmanager
async def _dataset(source: str, settings: Settings, keys: Keys) -> AsyncIterator[Dataset]:
    dataset = await open_source(source, settings, keys)
    try:
        yield dataset
    finally:
        dataset.close()


async def open_source(source: str, settings: Settings, keys: Keys) -> Dataset:
    """The input as the run sees it. Raises DatasetError."""
    from ocrlabel.dataset.inputs.sources import open_dataset

    return await open_dataset(
        source,
        cwd=Path.cwd(),
        image_roots=settings.image_root,
        store_opener=lambda root: open_store(root, keys),
        image_column=settings.image_column,
    )


def earlier_labels(settings: Settings, chosen: Chosen) -> Reuse | None:
    """What --reuse-from names, None without it. Raises ConfigError."""
    if settings.reuse_from is None:
        return None
    from ocrlabel.dataset.tables.reuse import reusable

    path = Path(settings.reuse_from).expanduser()
    if not path.is_file():
        raise ConfigError(f"--reuse-from {settings.reuse_from}: there is no such file")
    return reusable(path, engine=chosen.engine.name, options=chosen.engine.options)


@contextlib.contextmanager
def _signals(stop: Stop, settings: Settings, chosen: Chosen, display: Display) -> Iterator[None]:
    """Ctrl-C drains and a second one stops at once; SIGTERM drains within the grace."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stop.draining:
            stop.now(f"stopped at once by Ctrl-C; {_GOES_ON}")
            return
        grace_s = chosen.engine.request_timeout_s
        stop.drain(f"stopped by Ctrl-C; {_GOES_ON}", grace_s=grace_s)
        display.say("finishing what is under way (Ctrl-C again stops at once; nothing is lost)")

    def terminated() -> None:
        stop.drain(f"stopped by SIGTERM; {_GOES_ON}", grace_s=settings.grace_s)
        display.say(f"SIGTERM: saving what ends within {settings.grace_s:.0f} s")

    before = signal.getsignal(signal.SIGTERM)
    try:
        loop.add_signal_handler(signal.SIGINT, interrupted)
        loop.add_signal_handler(signal.SIGTERM, terminated)
    except (RuntimeError, ValueError, NotImplementedError):
        yield  # not the main thread (a notebook's): whoever runs us handles signals
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)  # asyncio leaves the system's own, which just kills


@contextlib.contextmanager
def _deadline(stop: Stop, settings: Settings) -> Iterator[None]:
    """Drain early enough that everything is saved before --deadline."""
    if settings.deadline is None:
        yield
        return
    wait_s = max(0.0, settings.deadline - settings.grace_s - 5.0)
    began_s = clocks.boot_s()

    def due() -> None:
        left_s = settings.grace_s - max(0.0, clocks.boot_s() - began_s - wait_s)
        stop.drain(f"the deadline is near; {_GOES_ON}", grace_s=left_s)

    timer = asyncio.get_running_loop().call_later(wait_s, due)
    try:
        yield
    finally:
        timer.cancel()
