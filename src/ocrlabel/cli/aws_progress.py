"""How far a dataset in the bucket is, as one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrlabel.aws.config_env import AwsConfig


def progress_of(config: AwsConfig, dataset: str) -> Callable[[], str]:
    """A function that looks into the bucket each time it is called; "" where nothing is there."""
    import asyncio
    import json

    from ocrlabel.cli.aws_wiring import variable
    from ocrlabel.storage.base import NotStored, ObjectStore
    from ocrlabel.storage.opening import open_store

    store: ObjectStore = open_store(
        f"s3://{config.s3_bucket}",
        region=config.aws_region,
        endpoint_url=variable("AWS_ENDPOINT_URL") or None,
    )

    async def look() -> str:
        try:
            finished = json.loads(await store.get(f"data/processed/{dataset}_run.json"))
        except NotStored:
            pass
        else:
            return "finished: " + ", ".join(
                f"{finished[name]:,} {name}"
                for name in ("rows", "labelled", "failed")
                if isinstance(finished.get(name), int)
            )
        prefix = f"checkpoints/{dataset}_batch_"
        batches = [stored.key async for stored in store.list(prefix)]
        return f"{len(batches)} batches saved" if batches else ""

    return lambda: asyncio.run(look())
