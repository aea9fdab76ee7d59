"""From settings to the parts of a run: the only maker of stores, engines and layouts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocrlabel.cli import clocks
from ocrlabel.cli.settings import Keys, Settings
from ocrlabel.engines.base import Engine
from ocrlabel.errors import ConfigError
from ocrlabel.pipeline.events import Event
from ocrlabel.pipeline.layout import Layout, beside, of_dataset
from ocrlabel.pipeline.world import World
from ocrlabel.storage.base import ObjectStore

if TYPE_CHECKING:
    from ocrlabel.engines.upstage_keys import Key


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


def open_store(root: str, keys: Keys) -> ObjectStore:
    """The store at a folder or s3://bucket."""
    from ocrlabel.storage.opening import open_store as opened

    return opened(
        root,
        endpoint_url=keys.get("AWS_ENDPOINT_URL_S3") or keys.get("AWS_ENDPOINT_URL") or None,
        region=keys.get("AWS_REGION") or keys.get("AWS_DEFAULT_REGION") or None,
    )


def place_of(source: str, settings: Settings, keys: Keys) -> Place:
    """Where a run over this source puts its labels, unless --output says otherwise."""
    output = settings.output
    if output is None and source.startswith("s3://"):
        bucket, _, key = source.removeprefix("s3://").partition("/")
        folder, _, name = key.rstrip("/").rpartition("/")
        dataset = settings.dataset_name or name.rsplit(".", 1)[0]
        layout = of_dataset(
            dataset, prefix=settings.checkpoint_prefix, folder=folder or "data/processed"
        )
        root = f"s3://{bucket}"
        return Place(open_store(root, keys), layout, root)
    return place_of_output(output or "labels.parquet", settings, keys)


def place_of_output(output: str, settings: Settings, keys: Keys) -> Place:
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
                name.removesuffix(suffix), prefix=settings.checkpoint_prefix, folder=folder
            )
        else:
            layout = beside(key, prefix=settings.checkpoint_prefix)
        return Place(open_store(root, keys), layout, root)
    path = Path(output).expanduser().absolute()
    layout = beside(path.name, prefix=settings.checkpoint_prefix)
    return Place(open_store(str(path.parent), keys), layout, str(path.parent))


def make_world(store: ObjectStore, emit: Callable[[Event], None]) -> World:
    """The real world around a run."""
    return World(
        store=store,
        clock=clocks.boot_s,
        wall=clocks.wall_s,
        sleep=asyncio.sleep,
        uniform=clocks.uniform,
        token=clocks.token,
        me=clocks.this_worker(),
        alive=clocks.alive,
        emit=emit,
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


def choose_engine(settings: Settings, keys: Keys) -> Chosen:
    """The engine that was asked for; by default upstage where there is a key, else rapidocr."""
    has_key = any(keys.get(name) for name in ("UPSTAGE_API_KEYS", "UPSTAGE_API_KEY"))
    name, why = settings.engine, "as asked"
    if name == "auto":
        name = "upstage" if has_key or keys.get("AWS_SECRET_ARN") else "rapidocr"
        why = "a key is in the environment" if name == "upstage" else "no UPSTAGE_API_KEY is set"
    match name:
        case "upstage":
            at = f" at {base}" if (base := keys.get("UPSTAGE_BASE_URL")) else ""
            return Chosen(_upstage(settings, keys), f"engine upstage{at} ({why})")
        case "rapidocr":
            from ocrlabel.engines.rapid import rapid_ocr

            engine: Engine = rapid_ocr(
                parallel=settings.processes, page_timeout_s=settings.page_timeout_s
            )
        case "tesseract":
            from ocrlabel.engines.tesseract import tesseract

            engine = tesseract(parallel=settings.processes, page_timeout_s=settings.page_timeout_s)
        case _:
            from ocrlabel.engines.scripted import Scripted

            engine = Scripted(
                latency_s=settings.latency, keep_asked=False, parallel=settings.processes or 8
            )
    return Chosen(engine, f"engine {name} ({why})")


def upstage_keys(keys: Keys) -> tuple[Key, ...]:
    """The API keys, from the first place that has any. Raises ConfigError when none has."""
    from ocrlabel.engines.upstage_keys import DOCUMENTED_REQUESTS_PER_S, keys_of_secret, parse_keys

    if text := keys.get("UPSTAGE_API_KEYS"):
        return parse_keys(text, DOCUMENTED_REQUESTS_PER_S)
    if text := keys.get("UPSTAGE_API_KEY"):
        return parse_keys(text, DOCUMENTED_REQUESTS_PER_S, where="UPSTAGE_API_KEY")
    if arn := keys.get("AWS_SECRET_ARN"):
        from ocrlabel.aws.secret_value import fetch_secret

        value = fetch_secret(
            arn,
            endpoint_url=keys.get("AWS_ENDPOINT_URL") or None,
            region=keys.get("AWS_REGION") or keys.get("AWS_DEFAULT_REGION") or None,
        )
        return keys_of_secret(value, DOCUMENTED_REQUESTS_PER_S, where="AWS_SECRET_ARN")
    raise ConfigError(
        "there is no Upstage key: set UPSTAGE_API_KEY, UPSTAGE_API_KEYS or AWS_SECRET_ARN\n"
        "  without a key: --engine rapidocr reads images on this machine,"
        " and ocrlabel fake-upstage rehearses for free"
    )


def _upstage(settings: Settings, keys: Keys) -> Engine:
    from ocrlabel.engines.opener import Opener
    from ocrlabel.engines.upstage import ACCEPTS, Timeouts, UpstageEngine
    from ocrlabel.engines.upstage_address import BASE_URL

    found = upstage_keys(keys)
    read_s = settings.request_timeout_s
    return UpstageEngine(
        found,
        opener=Opener(ACCEPTS, parallel=settings.processes or 2),
        wall=clocks.wall_s,
        clock=clocks.boot_s,
        base_url=keys.get("UPSTAGE_BASE_URL") or BASE_URL,
        model=settings.model,
        price_per_page_usd=settings.price_per_page,
        # the upload comes on top of the wait for the answer
        timeouts=Timeouts(read_s=read_s, whole_s=1.4 * read_s),
    )


def parsing_engine(settings: Settings) -> Engine:
    """The Upstage engine for reading raw answers again: it has no key, and sends nothing."""
    from ocrlabel.engines.opener import Opener
    from ocrlabel.engines.upstage import ACCEPTS, UpstageEngine
    from ocrlabel.engines.upstage_keys import Key

    return UpstageEngine(
        (Key("none", ""),),
        opener=Opener(ACCEPTS),
        wall=clocks.wall_s,
        clock=clocks.boot_s,
        model=settings.model,
    )
