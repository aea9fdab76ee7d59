"""How far a dataset in the bucket is, as one line: `ocrlabel status` for the aws commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ocrlabel.errors import ConfigError

if TYPE_CHECKING:
    from ocrlabel.aws.config_env import AwsConfig

SHOWN = (
    *("state", "done", "failed", "rate", "time left", "spent"),
    *("interrupted", "cost of it", "last stopped"),
)


def progress_of(config: AwsConfig, dataset: str) -> Callable[[], str]:
    """A function that looks into the bucket each time it is called; "" before a run began."""
    from ocrlabel.cli.settings import Settings, from_environment
    from ocrlabel.cli.status import lines
    from ocrlabel.cli.wiring import make_world, place_of_output
    from ocrlabel.pipeline.status import read_status

    settings, keys = Settings.of(), from_environment()
    labels = f"s3://{config.s3_bucket}/data/processed/{dataset}_pseudo_labels.parquet"
    place = place_of_output(labels, settings, keys)
    world = make_world(place.store, lambda _: None)

    def look() -> str:
        try:
            found = asyncio.run(read_status(world, place.layout, watch_s=1.0))
        except ConfigError:
            return ""  # no plan yet: the first worker is still on its way
        rows = lines(found, settings.price_per_page)
        return ", ".join(f"{name} {value}" for name, value in rows if name in SHOWN)

    return look
