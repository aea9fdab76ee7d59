"""From settings to the parts of a run: the only maker of stores, engines and layouts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, get_args

from ocrlabel.cli import clocks
from ocrlabel.cli.settings import Keys, open_store
from ocrlabel.engine import Engine
from ocrlabel.engines.upstage_keys import keys_of_secret, parse_keys
from ocrlabel.errors import ConfigError, Interrupted
from ocrlabel.options import EngineName, Options
from ocrlabel.pipeline.events import Event, Started
from ocrlabel.pipeline.merge.merge import Change, merge_again
from ocrlabel.pipeline.merge.partial import write_partial
from ocrlabel.pipeline.merge.run_record import read_record
from ocrlabel.pipeline.replacement import find_run
from ocrlabel.pipeline.requests.image_reader import Reuse
from ocrlabel.pipeline.run import Result, run
from ocrlabel.pipeline.runtime import Draining, Runtime, Stop
from ocrlabel.pipeline.state.layout import Layout, beside, of_dataset
from ocrlabel.storage.base import ObjectStore
from ocrlabel.storage.folder import scratch_folder, temporary_folder
from ocrlabel.wording import counted

if TYPE_CHECKING:
    from ocrlabel.cli.progress import Display
    from ocrlabel.dataset.sources import ImageDataset
    from ocrlabel.engines.upstage_keys import Key

_KINDS_SHOWN = 5
_OTHER_HANDLES = 128  # child processes, tables, the loop, what libraries keep open
_HANDLES_A_REQUEST = 3  # its connection, one to the store, and the file that it reads
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GONE_S = 9.5
"""After the grace: by then the process is gone, whatever hangs."""
_HUNG_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps its things."""

    store: ObjectStore
    layout: Layout
    root: str

    def shown(self, key: str) -> str:
        """A key as a user would write it."""
        if self.root.startswith("s3://"):
            return f"{self.root.rstrip('/')}/{key}"
        path = Path(self.root) / key
        try:
            return str(path.relative_to(Path.cwd()))
        except ValueError:
            return str(path)

    @property
    def is_local(self) -> bool:
        """On one's own machine, and not in a bucket."""
        return not self.root.startswith("s3://")


def place_of(source: str, options: Options, keys: Keys) -> Place:
    """Where a run over this source puts its labels, unless --output says otherwise."""
    output = options.output
    if output is None and source.startswith("s3://"):
        bucket, _, key = source.removeprefix("s3://").partition("/")
        folder, _, name = key.rstrip("/").rpartition("/")
        dataset = options.dataset_name or name.rsplit(".", 1)[0]
        layout = of_dataset(
            dataset, prefix=options.checkpoint_prefix, folder=folder or "data/processed"
        )
        root = f"s3://{bucket}"
        return Place(open_store(root, keys), layout, root)
    return place_of_output(output or "labels.parquet", options, keys)


def place_of_output(output: str, options: Options, keys: Keys) -> Place:
    """The place that belongs to a labels table."""
    if not output.endswith(".parquet"):
        raise ConfigError(f"--output {output}: name a .parquet file, for example labels.parquet")
    if output.startswith("s3://"):
        bucket, _, key = output.removeprefix("s3://").partition("/")
        if not key:
            raise ConfigError(f"--output {output}: there is no key after the bucket")
        root = f"s3://{bucket}"
        suffix = "_pseudo_labels.parquet"
        if key.endswith(suffix):
            folder, _, name = key.rpartition("/")
            layout = of_dataset(
                name.removesuffix(suffix), prefix=options.checkpoint_prefix, folder=folder
            )
        else:
            layout = beside(key, prefix=options.checkpoint_prefix)
        return Place(open_store(root, keys), layout, root)
    path = Path(output).expanduser().absolute()
    layout = beside(path.name, prefix=options.checkpoint_prefix)
    for name in layout.results:
        if path.with_name(name).is_dir():
            raise ConfigError(
                f"--output {output}: {path.with_name(name)} is a folder, and a file of that name is"
                " to be written\n  name another .parquet file"
            )
    return Place(open_store(str(path.parent), keys), layout, str(path.parent))


def rescue_folders(place: Place, keys: Keys) -> tuple[Path, ...]:
    """Where answers go that the store does not take: the first of them that can be written.

    Beside the output, the user's state folder, the temporary folder.
    """
    folders = [Path(place.root)] if place.is_local else []
    state, home = keys.get("XDG_STATE_HOME"), keys.get("HOME")
    if state or home:
        folders.append(Path(state or f"{home}/.local/state") / "ocrlabel")
    with contextlib.suppress(ConfigError):
        folders.append(Path(temporary_folder()))
    return tuple(folder for folder in folders if folder.is_absolute())


def make_runtime(
    store: ObjectStore, emit: Callable[[Event], None], rescue: tuple[Path, ...] = ()
) -> Runtime:
    """The real runtime around a run."""
    return Runtime(
        store=store,
        clock=clocks.boot_s,
        wall=clocks.wall_s,
        sleep=asyncio.sleep,
        uniform=clocks.uniform,
        token=clocks.token,
        me=clocks.this_worker(),
        alive=clocks.alive,
        emit=emit,
        rescue_folders=rescue,
    )


@dataclass(frozen=True, slots=True)
class Chosen:
    """The engine, and one line that says which and why."""

    engine: Engine
    why: str

    @property
    def notice(self) -> str:
        """What a user should know of the engine before its first page, "" for nothing."""
        return str(getattr(self.engine, "notice", ""))


def choose_engine(options: Options, keys: Keys) -> Chosen:
    """The engine that was asked for; by default upstage where there is a key, else rapidocr."""
    has_key = any(keys.get(name) for name in ("UPSTAGE_API_KEYS", "UPSTAGE_API_KEY"))
    name, why = options.engine, "as asked"
    if name == "auto":
        name = "upstage" if has_key or keys.get("AWS_SECRET_ARN") else "rapidocr"
        why = "a key is in the environment" if name == "upstage" else "no UPSTAGE_API_KEY is set"
    if options.engine_option and name in get_args(EngineName):
        raise ConfigError(f"--engine-option is for engines of other packages; {name} takes none")
    given = "--language" if options.language else "--model tiny" * (options.model == "tiny")
    if given and name != "rapidocr":
        raise ConfigError(
            f"{given} is for --engine rapidocr, and the engine is {name} ({why}):"
            f" name that one, or leave {given} out"
        )
    match name:
        case "upstage":
            at = f" at {base}" if (base := keys.get("UPSTAGE_BASE_URL")) else ""
            return Chosen(_upstage(options, keys), f"engine upstage{at} ({why})")
        case "rapidocr":
            from ocrlabel.engines.models import cache_folder
            from ocrlabel.engines.rapidocr import rapid_ocr

            engine: Engine = rapid_ocr(
                model="small" if options.model == "ocr" else options.model,
                languages=options.language,
                cache=cache_folder(keys.variables),
                parallel=options.processes,
                page_timeout_s=options.page_timeout_s,
            )
        case "tesseract":
            from ocrlabel.engines.tesseract import tesseract

            engine = tesseract(parallel=options.processes, page_timeout_s=options.page_timeout_s)
        case "scripted":
            from ocrlabel.engines.scripted import Scripted

            engine = Scripted(latency_s=options.latency, parallel=options.processes or 8)
        case _:
            from ocrlabel.engines.plugins import load

            engine = load(name, options.engine_options)
    return Chosen(engine, f"engine {name} ({why})")


def upstage_keys(keys: Keys) -> tuple[Key, ...]:
    """The API keys, from the first place that has any. Raises ConfigError when none has."""
    for where in ("UPSTAGE_API_KEYS", "UPSTAGE_API_KEY"):
        if text := keys.get(where):
            return parse_keys(text, where=where)
    if arn := keys.get("AWS_SECRET_ARN"):
        from ocrlabel.aws.secret import fetch_secret

        value = fetch_secret(
            arn,
            endpoint_url=keys.get("AWS_ENDPOINT_URL") or None,
            region=keys.get("AWS_REGION") or keys.get("AWS_DEFAULT_REGION") or None,
        )
        return keys_of_secret(value, where="AWS_SECRET_ARN")
    raise ConfigError(
        "there is no Upstage key: set UPSTAGE_API_KEY, UPSTAGE_API_KEYS or AWS_SECRET_ARN\n"
        "  without a key: --engine rapidocr reads images on this machine,"
        " and ocrlabel fake-upstage rehearses for free"
    )


def _upstage(options: Options, keys: Keys) -> Engine:
    from ocrlabel.engines.image_workers import ImagePreparer
    from ocrlabel.engines.upstage import ACCEPTS, BASE_URL, UpstageEngine

    read_s = options.request_timeout_s
    return UpstageEngine(
        upstage_keys(keys),
        wall=clocks.wall_s,
        clock=clocks.boot_s,
        base_url=keys.get("UPSTAGE_BASE_URL") or BASE_URL,
        model=options.model,
        environment=keys.variables,
        # the upload comes on top of the wait for the answer
        read_s=read_s,
        whole_s=1.4 * read_s,
        preparer=ImagePreparer(ACCEPTS, parallel=options.processes or 2),
        price_per_page_usd=options.price_per_page,
    )


async def merge_place(
    source: str,
    place: Place,
    options: Options,
    keys: Keys,
    *,
    partial: bool = False,
    change: Callable[[str], Change] | None = None,
) -> Result:
    """Write the tables of a place again, whole or partial. change: by the name of its engine."""
    layout = place.layout
    run_there = await find_run(make_runtime(place.store, lambda _: None), layout)
    if run_there is None:
        raise ConfigError(f"there is no run at {place.shown(layout.plan_key)}")
    plan = run_there.plan
    with contextlib.closing(await open_source(source, options, keys)) as dataset:
        if dataset.fingerprint != plan.fingerprint:
            raise ConfigError(
                f"{dataset.describe()} is not what this run was begun with: {plan.source},"
                f" {counted(plan.rows, 'row')} then, {counted(dataset.rows, 'row')} here\n"
                "  bring the input back as it was, or name that one"
            )
        before = await read_record(run_there)
        price_usd = before.price_per_page_usd if before is not None else 0.0
        if plan.engine == "upstage":
            price_usd = options.price_per_page
        run_there = replace(run_there, options=options, price_per_page_usd=price_usd)
        with scratch_folder() as scratch:
            if partial:
                reason = before.reason if before is not None else ""
                record = await write_partial(run_there, dataset, scratch, reason=reason)
                return Result(
                    record, layout.partial_labels_key, layout.partial_failures_key, partial=True
                )
            change_it = change and change(plan.engine)
            record = await merge_again(run_there, scratch, change_it)
    return Result(record, layout.labels_key, layout.failures_key)


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

    @property
    def report_key(self) -> str:
        """The key of the report on them."""
        layout = self.place.layout
        return layout.partial_report_key if self.result.early else layout.report_key


async def label_dataset(
    source: str,
    place: Place,
    options: Options,
    keys: Keys,
    display: Display,
    *,
    chosen: Chosen | None = None,
    end_within: Callable[[float], None] = lambda _: None,
) -> Labelling:
    """Open the input, choose the engine, run, and keep to signals and deadlines on the way.

    end_within: ends the process so many seconds after a signal, if it is there still.
    """
    chosen = chosen or choose_engine(options, keys)
    options = within_handles(options, chosen.engine, clocks.raise_handle_limit())
    folders = rescue_folders(place, keys)
    runtime = make_runtime(place.store, _with_notice(chosen, display), folders)
    stop = Stop(runtime.clock)
    with (
        scratch_folder() as scratch,
        _signals(stop, options.grace_s, display, end_within),
        _deadline(stop, options),
    ):
        try:
            opened = await stop.or_drain(open_source(source, options, keys))
        except Draining:
            raise Interrupted(f"{stop.reason}; run the same command again to go on") from None
        with contextlib.closing(opened) as dataset:
            display.say(chosen.why)
            if dataset.skipped or dataset.notices:
                display.say(input_line(dataset))
            result = await run(
                runtime,
                place.layout,
                dataset,
                chosen.engine,
                options,
                stop=stop,
                scratch=scratch,
                reuse=earlier_labels(options, chosen),
            )
    return Labelling(result, place)


def within_handles(options: Options, engine: Engine, handles: int) -> Options:
    """No more requests at once than there are handles for: its own, the store's, its image's."""
    most = max(1, (handles - _OTHER_HANDLES) // _HANDLES_A_REQUEST)
    # where nothing limits the rate, one at a time is the rule, and no bound makes it more
    limited = options.rps or all(lane.requests_per_s for lane in engine.lanes)
    wanted = options.concurrency or engine.parallel or (most if limited else None)
    return replace(options, concurrency=wanted and min(wanted, most))


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


async def open_source(source: str, options: Options, keys: Keys) -> ImageDataset:
    """The input as the run sees it. Raises DatasetError."""
    from ocrlabel.dataset.sources import open_dataset

    return await open_dataset(
        source,
        cwd=Path.cwd(),
        image_roots=options.image_root,
        store_opener=lambda root: open_store(root, keys),
        image_column=options.image_column,
        id_column=options.id_column,
    )


def earlier_labels(options: Options, chosen: Chosen) -> Reuse | None:
    """What --reuse-from names, None without it. Raises ConfigError."""
    if options.reuse_from is None:
        return None
    from ocrlabel.dataset.reuse import reusable

    path = Path(options.reuse_from).expanduser()
    if not path.is_file():
        raise ConfigError(f"--reuse-from {options.reuse_from}: there is no such file")
    return reusable(path, engine=chosen.engine.name, options=chosen.engine.options)


@contextlib.contextmanager
def _signals(
    stop: Stop, grace_s: float, display: Display, end_within: Callable[[float], None]
) -> Iterator[None]:
    """The first signal drains within the grace, a second one cuts that short.

    A terminal that closes may hang up twice, as the kernel and the shell do: that is one signal.
    The handlers are Python's own, so that `end_within` is called also while the loop is stuck.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # a notebook's: whoever runs us handles signals
        return
    loop = asyncio.get_running_loop()
    first_s: list[float] = []

    def caught(number: int, frame: FrameType | None) -> None:
        del frame
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if not first_s:
            first_s.append(clocks.boot_s())
            end_within(grace_s + _GONE_S)
            loop.call_soon_threadsafe(drain, name)
        elif number != signal.SIGHUP or clocks.boot_s() > first_s[0] + _HUNG_UP_S:
            end_within(_GONE_S)
            loop.call_soon_threadsafe(stop.now, f"stopped at once by {name}")

    def drain(name: str) -> None:
        stop.drain(f"stopped by {name}", grace_s=grace_s)
        again = f"{name} again stops at once, and what is under way is perhaps billed"
        display.say(f"{name}: saving what ends within {grace_s:.0f} s ({again})")

    before = {number: signal.getsignal(number) for number in _ENDING_SIGNALS}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]  # nohup: it stays ignored
    for number in before:
        signal.signal(number, caught)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def _deadline(stop: Stop, options: Options) -> Iterator[None]:
    """Drain early enough that everything is saved before --deadline."""
    if options.deadline is None:
        yield
        return
    left_s = options.deadline
    if isinstance(left_s, datetime):
        left_s = left_s.timestamp() - clocks.wall_s()
    wait_s = max(0.0, left_s - options.grace_s - 5.0)
    began_s = clocks.boot_s()

    def due() -> None:
        grace_s = options.grace_s - max(0.0, clocks.boot_s() - began_s - wait_s)
        stop.drain("the deadline is near", grace_s=grace_s)

    timer = asyncio.get_running_loop().call_later(wait_s, due)
    try:
        yield
    finally:
        timer.cancel()


def input_line(dataset: ImageDataset) -> str:
    """The line: images/: 12 rows; 3 other files skipped: 2 .txt, 1 hidden."""
    line = "; ".join((f"{dataset.describe()}: {counted(dataset.rows, 'row')}", *dataset.notices))
    skipped = Counter(dataset.skipped)
    if not skipped:
        return line
    kinds = sorted(skipped.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = [f"{count:,} {kind}" for kind, count in kinds[:_KINDS_SHOWN]]
    if rest := sum(count for _, count in kinds[_KINDS_SHOWN:]):
        shown.append(f"{rest:,} more")
    others = counted(skipped.total(), "other file")
    return f"{line}; {others} skipped: {', '.join(shown)}"
