from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from ocrlabel.cli import clocks
from ocrlabel.engines.children import ChildPool
from ocrlabel.labels import Document
from ocrlabel.options import Options
from ocrlabel.pipeline.run import run
from ocrlabel.pipeline.runtime import Stop
from tests.support.deadly import DeadlyWork, OpensInChildren
from tests.support.runs import LAYOUT, MadeImages, failures, labels, runtime
from tests.support.stores import DictStore


def test_only_images_that_kill_their_process_alone_have_crashed_it(tmp_path):
    contents = [f"image {n}".encode() for n in range(40)]
    contents[5] = contents[20] = b"kills always"
    contents[11], contents[33] = b"kills too", b"unlucky 1"
    contents[6] = b"unlucky 2"
    store = DictStore()

    async def story():
        real = replace(runtime(store), clock=clocks.boot_s, wall=clocks.wall_s, sleep=asyncio.sleep)
        work = partial(DeadlyWork, str(tmp_path))
        engine = OpensInChildren(ChildPool(work, 2, result=Document, timeout_s=30.0))
        await run(
            real,
            LAYOUT,
            MadeImages(contents),
            engine,
            Options(),
            stop=Stop(clocks.boot_s),
            scratch=tmp_path,
        )
        return engine, await labels(store), await failures(store)

    engine, rows, failed = asyncio.run(story())
    assert failed == [(5, "crashed"), (11, "crashed"), (20, "crashed")]
    assert len(rows) == 37
    assert len(engine.asked) == 37
