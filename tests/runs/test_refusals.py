"""Who refuses, and what it means: for one image, for a key, or for all that could be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import ConfigError, EngineUnusable, Interrupted, OcrLabelError
from ocrlabel.fake.service import GATEWAY_PAGE, Reply, error_body
from ocrlabel.fake.settings import FakeSettings, Latency, Refusal, parse_faults
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import Told, go
from tests.support.stores import DictStore
from tests.support.virtual_upstage import Upstage, images, stored, told

OPTIONS = Options(batch_size=50, attempts=3)


def own(status: int, message: str) -> Reply:
    return Reply(status, error_body(status, message, "nested"), cause="refused")


def page(status: int) -> Reply:
    return Reply(status, GATEWAY_PAGE, content_type="text/html", cause="refused")


@dataclass
class Says(Upstage):
    """A service that answers some requests in another way: (image, request number) -> a reply."""

    instead: Callable[[int, int], Reply | None] = lambda image, request: None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.number = {data: n for n, data in enumerate(images(200).contents)}
        self.asked: list[int] = []
        inner = self.service.digitize

        async def digitize(request):
            image = self.number[request.document]
            self.asked.append(image)
            reply = self.instead(image, len(self.asked))
            return await inner(request) if reply is None else reply

        self.service.digitize = digitize


def alone(
    upstage: Upstage, rows: int, options: Options = OPTIONS
) -> tuple[DictStore, Exception | None]:
    """One worker's run over so many images, and what ended it."""
    store = DictStore()

    async def story():
        try:
            await go(store, images(rows), upstage.engine(), options)
        except OcrLabelError as error:
            return error
        return None

    return store, run_virtual(story())


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 407, 408, 451, 302, 511, 200])
def test_one_page_of_a_firewall_among_good_answers_costs_nothing_but_another_try(status):
    upstage = Says(keys="up_one@5", instead=lambda image, n: page(status) if n == 20 else None)
    store, ended = alone(upstage, 40)
    assert ended is None
    assert stored(store).told["labelled"] == 40
    assert upstage.billed_pages == 40
    assert stored(store).at_risk_pages == 0


@pytest.mark.parametrize("status", [408, 409, 421, 425, 499])
@pytest.mark.parametrize("reply", [own, lambda status, _: page(status)])
def test_a_refusal_that_may_pass_is_tried_again(status, reply):
    upstage = Says(
        keys="up_one@5", instead=lambda image, n: reply(status, "later") if n == 20 else None
    )
    store, ended = alone(upstage, 40)
    assert ended is None
    assert stored(store).told["labelled"] == 40


BLOCKED = [own(403, "not allowed"), own(401, "no"), *map(page, (302, 403, 404, 407, 408, 451, 200))]


@pytest.mark.parametrize("reply", BLOCKED)
@pytest.mark.parametrize("blocked", [0, 7, 39])
def test_an_image_that_is_always_blocked_is_named_and_ends_no_run(reply, blocked):
    # a little slower than it is fast: the first answers are there before the first refusal's end
    settings = FakeSettings(latency=Latency(0.3))
    if blocked == 0 and reply.status in {401, 403} and reply.content_type == "application/json":
        pytest.skip("a key that never worked is refused for good by the service itself")
    upstage = Says(
        settings, keys="up_one@5", instead=lambda image, n: reply if image == blocked else None
    )
    store, ended = alone(upstage, 40)
    assert ended is None
    found = stored(store)
    assert [(row.ordinal, row.retryable) for row in found.failures] == [(blocked, True)]
    assert str(reply.status) in found.failures[0].message
    assert upstage.asked.count(blocked) == 3
    assert upstage.billed_pages == 39
    assert found.at_risk_pages == 0


def test_three_images_that_are_always_blocked_at_the_end_are_no_outage():
    upstage = Says(
        FakeSettings(latency=Latency(0.3)),
        keys="up_one@5",
        instead=lambda image, n: page(403) if image >= 37 else None,
    )
    store, ended = alone(upstage, 40, Options(batch_size=50, attempts=5))
    assert ended is None
    assert [row.ordinal for row in stored(store).failures] == [37, 38, 39]


def test_a_page_for_everything_from_the_middle_on_is_an_outage_and_fails_no_image():
    upstage = Says(keys="up_one@5", instead=lambda image, n: page(200) if 20 < n < 60 else None)
    store, ended = alone(upstage, 100)
    assert ended is None
    assert stored(store).told["labelled"] == 100


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (own(400, "insufficient credit (request 8f3a-17)"), EngineUnusable),
        (own(400, "the model ocr is retired"), EngineUnusable),
        (own(451, "not in your country"), EngineUnusable),
        (own(404, "no such model"), ConfigError),
        (page(404), ConfigError),
        (page(302), ConfigError),
    ],
)
@pytest.mark.parametrize("rows", [1, 4, 60])
def test_the_same_refusal_for_everything_fails_no_image_and_ends_with_the_services_words(
    reply, kind, rows
):
    upstage = Says(keys="up_one@5", instead=lambda image, n: reply)
    store, ended = alone(upstage, rows)
    assert type(ended) is kind
    record = told(store)
    assert (record["labelled"], record["failed"], record["not_reached"]) == (0, 0, rows)
    assert len(set(upstage.asked)) <= 10 + 4  # and what was under way
    assert str(reply.status) in str(ended)
    if reply.content_type == "application/json":
        assert error_message(reply) in str(ended)


def error_message(reply: Reply) -> str:
    return reply.body.decode().split('"message": "')[1].split('"')[0]


def test_a_success_lets_refusals_go_to_be_failures_of_their_own_images():
    upstage = Says(
        keys="up_one@5", instead=lambda image, n: own(400, "bad data") if image < 6 else None
    )
    store, ended = alone(upstage, 40)
    assert ended is None
    found = stored(store)
    assert [row.ordinal for row in found.failures] == [0, 1, 2, 3, 4, 5]
    assert found.told["labelled"] == 34
    assert len(upstage.asked) == 40


@pytest.mark.parametrize("other", [own(400, "another word"), own(415, "no such format")])
def test_a_different_refusal_lets_them_go_as_well(other):
    upstage = Says(
        keys="up_one@5",
        instead=lambda image, n: other if image == 3 else own(400, "bad data"),
    )
    store, ended = alone(upstage, 12)
    assert ended is None
    assert stored(store).told["failed"] == 12


@pytest.mark.parametrize("workers", [2, 4])
def test_a_fleet_holds_at_most_ten_images_back_between_its_workers(workers):
    upstage = Says(
        FakeSettings(latency=Latency(0.5)),
        keys="up_one@4",
        instead=lambda image, n: own(400, "the model is retired"),
    )
    store = DictStore()

    async def story():
        ends = await asyncio.gather(
            *(
                go(store, images(200), upstage.engine(), OPTIONS, worker=f"w{n}", host=f"h{n}")
                for n in range(1, workers + 1)
            ),
            return_exceptions=True,
        )
        return ends, clock()

    ends, _ = run_virtual(story())
    assert {type(end) for end in ends} == {EngineUnusable}
    assert told(store)["failed"] == 0
    assert told(store)["not_reached"] == 200
    assert len(set(upstage.asked)) <= 10 + 3 * workers  # and what was under way


def test_in_a_fleet_one_workers_answer_lets_the_others_refusals_go():
    upstage = Says(
        FakeSettings(latency=Latency(0.5)),
        keys="up_one@4",
        instead=lambda image, n: own(400, "bad data") if image >= 25 else None,
    )
    store = DictStore()

    async def later():
        await sleep(1.5)
        await go(store, images(50), upstage.engine(), OPTIONS, worker="w2", host="h2")

    async def story():
        first = go(store, images(50), upstage.engine(), OPTIONS, worker="w1", host="h1")
        await asyncio.gather(first, later())

    run_virtual(story())
    found = stored(store)
    assert (found.told["labelled"], found.told["failed"]) == (25, 25)


def test_a_key_that_just_worked_is_confirmed_on_another_image_before_it_is_retired():
    keys = parse_keys("up_one@5")
    upstage = Upstage(
        FakeSettings(keys=keys, refusals=(Refusal(keys[0].name, 20, 403),)), keys="up_one@5"
    )
    store, ended = alone(upstage, 40)
    assert isinstance(ended, EngineUnusable)
    assert "credit" in str(ended)
    record = told(store)
    assert (record["labelled"], record["failed"], record["not_reached"]) == (20, 0, 20)
    refused = [entry.sha256 for entry in upstage.entries if entry.status == 403]
    assert 2 <= len(set(refused)) <= 8


@pytest.mark.parametrize(
    "header", ["86400", "1e300", "1700100000", "Fri, 31 Dec 2100 00:00:00 GMT"]
)
@pytest.mark.parametrize("fault", ["429", "503"])
def test_an_absurd_retry_after_is_an_outage_that_is_said_and_given_up(fault, header):
    upstage, store, heard = Upstage(keys="up_one@5"), DictStore(), Told()
    options = Options(batch_size=50, give_up_after=300.0)

    async def story():
        async def outage():
            await sleep(10)
            upstage.service.control({"retry_after": header, "outage": fault})

        trouble = asyncio.ensure_future(outage())
        began_s = clock()
        with pytest.raises(Interrupted, match="give-up-after"):
            await go(store, images(100), upstage.engine(), options, told=heard)
        await trouble
        return clock() - began_s

    took_s = run_virtual(story())
    assert 300 <= took_s <= 360
    assert told(store)["failed"] == 0
    said = [
        one.message for one in heard.events if isinstance(one, Notice) and one.kind == "service"
    ]
    assert any("since" in one or "asked to wait" in one for one in said)
    assert len(upstage.entries) < 100


def test_a_short_retry_after_in_seconds_since_1970_is_kept_to():
    upstage, store = Upstage(keys="up_one@5"), DictStore()

    async def story():
        async def too_fast():
            await sleep(10)
            upstage.service.control(
                {"retry_after": str(1_700_000_000 + int(clock()) + 20), "outage": "429", "for_s": 1}
            )

        trouble = asyncio.ensure_future(too_fast())
        await go(store, images(100), upstage.engine(), OPTIONS)
        await trouble

    run_virtual(story())
    assert stored(store).told["labelled"] == 100
    times = [entry.t_s for entry in upstage.entries]
    assert 18 <= max(after - before for before, after in pairwise(times)) <= 25


@dataclass
class Heard(Told):
    """With when each was told."""

    at_s: list[float] = field(default_factory=list)

    def __call__(self, event) -> None:
        super().__call__(event)
        self.at_s.append(clock())

    def of_service(self) -> list[tuple[float, str]]:
        """What was said of the service, and when."""
        told_at = zip(self.events, self.at_s, strict=True)
        return [
            (at, one.message)
            for one, at in told_at
            if isinstance(one, Notice) and one.kind == "service"
        ]


@pytest.mark.parametrize("outage", ["drop-before", "html", "403-html", "503", "502-html", "hang"])
@pytest.mark.parametrize("from_s", [0.0, 10.0])
def test_what_does_not_work_is_said_within_20_s_by_displays_and_heartbeats(outage, from_s):
    upstage, store, heard = Upstage(keys="up_one@5", request_timeout_s=60.0), DictStore(), Heard()

    async def story():
        began_s = clock()

        async def trouble():
            await sleep(from_s)
            upstage.service.control({"outage": outage})
            await sleep(20)
            beats = [store.objects[key] for key in store.objects if "/workers/" in key]
            upstage.service.control({"outage": None})
            return b'"trouble"' in b"".join(beats)

        told_others = asyncio.ensure_future(trouble())
        await go(store, images(100), upstage.engine(), OPTIONS, told=heard)
        return began_s, await told_others

    began_s, told_others = run_virtual(story())
    assert told_others
    said = heard.of_service()
    assert "since" in said[0][1]
    assert from_s <= said[0][0] - began_s <= from_s + 20
    assert said[-1][1] == "requests are answered again"
    assert len(said) <= 4
    assert stored(store).told["labelled"] == 100


def test_a_run_in_which_all_is_well_says_nothing_of_the_service():
    settings = FakeSettings(latency=Latency(8.0, 0.1), faults=parse_faults("503:0.02"))
    upstage, store, heard = Upstage(settings, keys="up_one@5"), DictStore(), Heard()
    run_virtual(go(store, images(100), upstage.engine(), OPTIONS, told=heard))
    assert heard.of_service() == []
