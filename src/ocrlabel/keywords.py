"""The keywords of `ocrlabel.label`: scripts/render.py writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict


class Keywords(TypedDict, total=False):
    """Options of a run, as docs/options.md tells them; None is as if it were not given."""

    dataset_name: str | None
    engine_option: Sequence[str] | str | None
    language: Sequence[str] | str | None
    image_root: Sequence[str] | str | None
    image_column: str | None
    id_column: str | None
    sample: int | None
    seed: int | None
    limit: int | None
    retry_failed: Sequence[str] | str | None
    reuse_from: str | None
    fresh: bool | None
    grow: bool | None
    drop_gone: bool | None
    rps: float | str | None
    concurrency: int | None
    processes: int | None
    max_cost: float | str | None
    price_per_page: float | None
    max_failures: float | str | None
    attempts: int | None
    give_up_after: float | str | None
    deadline: float | datetime | str | None
    batch_size: int | None
    checkpoint_prefix: str | None
    model: str | None
    report: bool | None
    image_deadline_s: float | None
    grace_s: float | None
    lease_s: float | None
    send_within_s: float | None
    request_timeout_s: float | None
    page_timeout_s: float | None
    latency: float | None
