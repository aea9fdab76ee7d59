"""The bytes of every object that a run stores, as tests/golden/stored tells them.

A stored name or field never changes: who began a run with one version finishes it with the next.
Where something is added by intent, OCRLABEL_GOLDEN=write rewrites the files; read the difference.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ocrlabel.engine import Answer, Lane
from ocrlabel.errors import BudgetReached, Interrupted, Rejected, Unavailable
from ocrlabel.labels import Document, Page, Word
from ocrlabel.options import Options
from ocrlabel.pipeline.runtime import Stop
from tests.runs.test_grow import correct
from tests.support.clock import clock, run_virtual, sleep
from tests.support.faults import DiesAfter, PowerCut
from tests.support.runs import BillingEngine, go, labels, made, runtime, timeless
from tests.support.stored import KeepsAll, store_of, told

CUT_AT = 22
"""The write at which the power goes: a batch is journalled, the next one under way."""
GOLDEN = Path(__file__).parents[1] / "golden" / "stored"
WRITE = os.environ.get("OCRLABEL_GOLDEN") == "write"  # noqa: TID251 -- the tests' own shell
OPTIONS = Options(batch_size=6, lease_s=20.0, send_within_s=5.0)
ROWS = made(14, same={9: 2, 4: 3}, absent=[5])


@dataclass
class Colourful(BillingEngine):
    """Answers of all kinds: two pages, no words, a text of many scripts, bytes that are no text."""

    request_timeout_s: float = 5.0

    async def prepare(self, data: bytes) -> Document:
        sizes = ((100, 50), (80, 60)) if data == b"image 1" else ((100, 50),)
        return Document(data, "png", len(sizes), sizes)

    def parse(self, raw: bytes, document: Document) -> Answer:
        box = ((0.0, 0.5), (10.25, 0.5), (10.25, 5.0), (0.0, 5.0))
        word = Word('한글 é "q" \\ \u2028 ' + document.data.decode(), box, 0.9)
        unsure = Word("", box, None)
        pages = {
            b"image 1": (Page(1, 100, 50, (word, unsure), 0.8), Page(2, 80, 60, (word,), None)),
            b"image 2": (Page(1, 100, 50, (), 0.0),),
        }.get(document.data, (Page(1, 100, 50, (word,), 0.9),))
        raw = b"\xff\xfe " + raw if document.data == b"image 6" else raw
        return Answer(pages, self.version, len(pages), raw, 200)


def trouble(image: str, attempt: int) -> Exception | None:
    """Some are refused for good, some answered later."""
    if image == "image 7":
        return Rejected("it is no document", status=415)
    if image == "image 8" and attempt == 1:
        return Unavailable("busy", status=503)
    return None


def there(store, number: int, host: str = "here"):
    """The runtime of the number-th start: ids, chances and nonces do not depend on their order."""
    count = itertools.count(1)
    return replace(
        runtime(getattr(store, "store", store), f"w{number}", host=host),
        store=store,
        uniform=lambda least, most: (least + most) / 2,
        token=lambda: f"a{number:011x}{next(count):020x}",
    )


async def begin(store, number, engine, options=OPTIONS, host="here", stop=None, dataset=ROWS):
    place = there(store, number, host)
    return await go(store, dataset, engine, options, in_runtime=place, stop=stop)


async def whole_then_retried_then_afresh() -> KeepsAll:
    """A run with a rate and a cap, by a job; its failed row again; then all of it again."""
    store, engine = KeepsAll(), Colourful(trouble=trouble)
    limited = replace(OPTIONS, rps=5.0, max_cost=0.09, job="job-1", max_failures=1.0)
    await begin(store, 1, engine, limited)
    engine.trouble = lambda image, attempt: None
    await begin(store, 2, engine, replace(OPTIONS, retry_failed=()))
    await begin(store, 3, engine, replace(OPTIONS, fresh=True, lifted=frozenset({"rps"})))
    return store


async def drained() -> KeepsAll:
    """A stop that does not wait: what was sent is unknown, what waited for its turn was not sent."""
    store, stop = KeepsAll(), Stop(clock)
    engine = Colourful(latency_s=200.0, lanes=(Lane("key", 1.0, None),))
    running = asyncio.ensure_future(
        begin(store, 1, engine, replace(OPTIONS, concurrency=6), stop=stop)
    )
    await sleep(3.5)
    stop.drain("stopped by SIGTERM", grace_s=1.0)
    with pytest.raises(Interrupted):
        await running
    return store


async def out_of_money() -> KeepsAll:
    """A cap that ends the run before its end."""
    store = KeepsAll()
    with pytest.raises(BudgetReached):
        await begin(store, 1, Colourful(), replace(OPTIONS, max_cost=0.0100))
    return store


async def cut() -> KeepsAll:
    """The power goes in the middle of a batch: leases are held, asks are open."""
    store = KeepsAll()
    limited = replace(OPTIONS, concurrency=3, rps=50.0, max_cost=0.09)
    with pytest.raises(PowerCut):
        await begin(DiesAfter(store, CUT_AT), 1, Colourful(trouble=trouble), limited)
    return store


async def gone_on() -> KeepsAll:
    """Another machine goes on from the golden objects of `cut`: they say all that it must know."""
    store = store_of((GOLDEN / "cut.txt").read_text())
    await begin(store, 2, Colourful(trouble=trouble), host="there")
    return store


async def grown() -> KeepsAll:
    """One row more after a page was corrected; then a row less, and the power goes before its end.

    The first has failed rows and answers of two pages to carry, the second answers of both before.
    """
    store, engine = KeepsAll(), Colourful(trouble=trouble)
    await begin(store, 1, engine, replace(OPTIONS, max_cost=0.09))
    await correct(store, ["id0003"])
    one_more = made(15, same={9: 2, 4: 3}, absent=[5])
    await begin(store, 2, engine, replace(OPTIONS, grow=True), dataset=one_more)
    fewer = made(13, same={9: 2, 4: 3}, absent=[5])
    again = replace(OPTIONS, grow=True, drop_gone=True)
    with pytest.raises(PowerCut):
        await begin(DiesAfter(store, CUT_AT), 3, engine, again, dataset=fewer)
    return store


STORIES = (whole_then_retried_then_afresh, drained, out_of_money, cut, gone_on, grown)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_every_object_has_the_bytes_that_it_had(story):
    golden = GOLDEN / f"{story.__name__}.txt"
    found = told(run_virtual(story()))
    if WRITE:
        golden.write_bytes(found.encode())
    assert found.splitlines() == golden.read_bytes().decode().splitlines()
    assert found.encode() == golden.read_bytes()


def test_the_files_tell_of_every_kind_of_object():
    text = "\n".join(path.read_text() for path in GOLDEN.iterdir())
    for kind in ("plan.json", "/replaced/", "/leases/", "/asks/", "/journal/", "/workers/"):
        assert kind in text
    for kind in ("/budget/", "/settings/", "/retries/", "/merged/", "_retry_01.parquet"):
        assert kind in text
    for kind in ("/carried/listing.json", "/carried/answers/", "/carried/corrected.parquet"):
        assert kind in text
    for word in ("held", "closed", "released", "labelled", "failed", "tried", "unknown", "unsent"):
        assert f'"{word}"' in text, word
    assert '"complete": true' in text
    assert '"complete": false' in text
    assert '"base64":' in text


def test_whoever_goes_on_from_these_objects_asks_only_for_what_they_do_not_hold():
    async def story():
        uncut, engine = KeepsAll(), Colourful(trouble=trouble)
        await begin(uncut, 9, engine)
        store, after = store_of((GOLDEN / "cut.txt").read_text()), Colourful(trouble=trouble)
        await begin(store, 2, after, host="there")
        return timeless(await labels(uncut)), timeless(await labels(store)), after

    expected, found, after = run_virtual(story())
    assert found == expected
    held = {"image 0", "image 1", "image 2", "image 3"}
    assert after.asked.keys() == {f"image {n}" for n in range(14) if n not in {4, 5, 9}} - held
