"""What a worker keeps in memory does not grow with the rows that are done."""

from __future__ import annotations

import gc
import tracemalloc

from ocrlabel.engine import Lane
from ocrlabel.options import Options
from ocrlabel.pipeline.events import BatchSaved
from tests.support.clock import run_virtual
from tests.support.runs import BillingEngine, go, made
from tests.support.stores import DictStore

ROWS, BATCH = 1_500, 50


def test_after_thirty_batches_a_worker_holds_what_it_held_after_ten():
    store = DictStore()
    engine = BillingEngine(latency_s=0.01, price_per_page_usd=0.0, lanes=(Lane("key", None),))
    engine.parallel = 8
    held: list[int] = []

    def told(event) -> None:
        engine.asked.clear()
        engine.billed.clear()
        if isinstance(event, BatchSaved) and event.batch >= 9:
            gc.collect()
            stored = sum(len(key) + len(data) + 200 for key, data in store.objects.items())
            held.append(tracemalloc.get_traced_memory()[0] - stored)

    tracemalloc.start()
    try:
        run_virtual(go(store, made(ROWS), engine, Options(batch_size=BATCH), told=told))
    finally:
        tracemalloc.stop()
    assert len(held) == 21
    assert held[-1] - held[0] < 300 * (ROWS - 10 * BATCH), "300 bytes a row would be too many"
