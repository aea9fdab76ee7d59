"""Whole runs of the Upstage engine against the fake in trouble, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace

import pytest

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import BudgetReached, ConfigError, EngineUnusable, Interrupted
from ocrlabel.fake.answers import from_bytes
from ocrlabel.fake.settings import FakeSettings, Latency, Refusal, parse_faults
from ocrlabel.options import Options
from ocrlabel.pipeline.events import Notice
from ocrlabel.wording import counted
from tests.support.clock import clock, run_virtual, sleep
from tests.support.runs import BillingEngine, Told, go, made
from tests.support.stores import DictStore
from tests.support.virtual_upstage import Upstage, images, stored, told

BATCHES = Options(batch_size=50)
CHAOS = parse_faults(
    "500:0.08,503:0.05,429:0.10,drop-before:0.02,drop-after:0.02,html:0.03,cut-json:0.03"
)


def judge(upstage, dataset_pages, found) -> None:
    """The report's money is the service's: confirmed, or said to be at risk."""
    answered = sum(entry.billed for entry in upstage.entries if not entry.cause)
    account = found.account
    assert account["billed_pages"] == answered
    assert account["stored_pages"] == dataset_pages
    assert answered <= upstage.billed_pages <= answered + found.at_risk_pages


@pytest.mark.parametrize("seed", range(3))
def test_in_chaos_every_image_is_labelled_and_the_account_is_the_services_own(seed):
    settings = FakeSettings(faults=CHAOS, latency=Latency(2.0, 0.3), seed=seed)
    upstage, store = Upstage(settings, keys="up_one@10"), DictStore()
    dataset = images(200, pages=(3, 2, 5))
    run_virtual(go(store, dataset, upstage.engine(), BATCHES))
    found = stored(store)
    assert found.failures == []
    assert found.told["labelled"] == 203
    judge(upstage, 210, found)
    assert upstage.billed_pages > 210
    requests = Counter(found.account["requests"])
    assert sum(requests.values()) - requests["unsent"] == len(upstage.entries)
    assert requests["throttled"] == sum(entry.status == 429 for entry in upstage.entries)


def test_a_key_that_dies_midway_leaves_its_work_to_the_other_one():
    keys = parse_keys("up_one@5,up_two@5")
    refusals = (Refusal(keys[0].name, 20, 401),)
    upstage = Upstage(FakeSettings(keys=keys, refusals=refusals), keys="up_one@5,up_two@5")
    store = DictStore()
    run_virtual(go(store, images(100), upstage.engine(), BATCHES))
    found = stored(store)
    assert found.told["labelled"] == 100
    judge(upstage, 100, found)
    assert found.account["requests"]["key_refused"] <= 8  # what was under way with it
    assert found.at_risk_pages == 0


def test_credit_that_ends_midway_ends_the_run_cleanly_and_a_refill_goes_on():
    upstage, store = Upstage(FakeSettings(credit_pages=37), keys="up_one@20"), DictStore()
    dataset = images(80, pages=(2, 3))

    async def story():
        with pytest.raises(EngineUnusable, match="credit"):
            await go(store, dataset, upstage.engine(), BATCHES)
        first = told(store)
        upstage.service.control({"credit": None})
        await go(store, dataset, upstage.engine(), BATCHES, worker="w2")
        return first

    first = run_virtual(story())
    assert first["complete"] is False
    assert "credit" in first["reason"]
    assert first["account"]["billed_pages"] == first["account"]["stored_pages"]
    assert 30 <= first["account"]["billed_pages"] <= 37
    found = stored(store)
    assert found.told["labelled"] == 82
    assert upstage.billed_pages == 85
    judge(upstage, 85, found)


def test_an_outage_of_minutes_pauses_the_run_and_costs_no_image():
    upstage, store = Upstage(FakeSettings(latency=Latency(1.0, 0.2)), keys="up_one@5"), DictStore()
    options = replace(BATCHES, attempts=3)

    async def story():
        async def outage():
            await sleep(10)
            upstage.service.control({"outage": "503", "for_s": 600})

        trouble = asyncio.ensure_future(outage())
        await go(store, images(120), upstage.engine(), options)
        await trouble
        return clock()

    run_virtual(story())
    found = stored(store)
    assert found.told["labelled"] == 120
    judge(upstage, 120, found)
    during = [entry for entry in upstage.entries if entry.status == 503]
    assert len(during) < 60  # a probe now and then, and what was under way


def test_an_outage_that_comes_with_the_last_image_does_not_fail_it():
    upstage, store = Upstage(FakeSettings(latency=Latency(1.0))), DictStore()

    async def story():
        upstage.service.control({"outage": "503", "for_s": 240})
        await go(store, images(1), upstage.engine())

    run_virtual(story())
    assert stored(store).told["labelled"] == 1


def test_an_outage_longer_than_allowed_ends_with_everything_saved():
    upstage, store = Upstage(FakeSettings(latency=Latency(1.0)), keys="up_one@5"), DictStore()
    options = replace(BATCHES, give_up_after=300.0)

    async def story():
        async def outage():
            await sleep(10)
            upstage.service.control({"outage": "503"})

        trouble = asyncio.ensure_future(outage())
        began_s = clock()
        with pytest.raises(Interrupted, match="give-up-after"):
            await go(store, images(100), upstage.engine(), options)
        await trouble
        took_s = clock() - began_s
        first = told(store)
        upstage.service.control({"outage": None})
        await go(store, images(100), upstage.engine(), options, worker="w2")
        return took_s, first

    took_s, first = run_virtual(story())
    assert 300 <= took_s <= 400
    assert first["labelled"] >= 30
    assert stored(store).told["labelled"] == 100
    assert upstage.billed_pages == 100


def ended_in_an_outage(fault, give_up_after_s, *, request_timeout_s=420.0, asleep_s=0.0):
    """The words of a run whose service fails so from 10 s on, how long after that it ended, its
    run.json, and what it told.

    asleep_s: how long the machine sleeps 5 s later.
    """
    settings = FakeSettings(latency=Latency(1.0))
    upstage = Upstage(settings, keys="up_one@5", request_timeout_s=request_timeout_s)
    store, heard, options = DictStore(), Told(), replace(BATCHES, give_up_after=give_up_after_s)

    async def story():
        async def outage():
            await sleep(10)
            upstage.service.control({"outage": fault})
            await sleep(5)
            asyncio.get_running_loop().jump(asleep_s)

        trouble = asyncio.ensure_future(outage())
        began_s = clock()
        with pytest.raises(Interrupted) as ended:
            await go(store, images(200), upstage.engine(), options, told=heard)
        await trouble
        notes = getattr(ended.value, "__notes__", ())
        return "\n".join((str(ended.value), *notes)), clock() - began_s - 10

    said, took_s = run_virtual(story())
    return said, took_s, told(store), heard


@pytest.mark.parametrize("fault", ["hang", "429", "503", "drop-after"])
@pytest.mark.parametrize("give_up_after_s", [15.0, 100.0])
def test_an_outage_of_any_kind_ends_the_run_as_soon_as_it_lasted_too_long(fault, give_up_after_s):
    said, took_s, record, _ = ended_in_an_outage(fault, give_up_after_s)
    assert give_up_after_s - 2 <= took_s <= give_up_after_s + 4
    assert "give-up-after" in said
    assert record["labelled"] >= 30
    assert record["failed"] == 0
    assert ("without an answer" in said) == ("unknown" in record["account"]["at_risk_pages"])


@pytest.mark.parametrize("request_timeout_s", [60.0, 420.0])
def test_requests_that_were_never_answered_are_cut_by_giving_up_and_perhaps_billed(
    request_timeout_s,
):
    said, took_s, record, _ = ended_in_an_outage("hang", 200.0, request_timeout_s=request_timeout_s)
    assert 198 <= took_s <= 204
    at_risk = record["account"]["at_risk_pages"]
    assert at_risk["unknown"] > 0
    assert "no request for 3 minutes" in said
    under_way = counted(at_risk["unknown"], "request")
    assert f"{under_way} under way" in said
    assert f"{under_way} without an answer, {counted(at_risk['unknown'], 'page')} perhaps" in said


def test_a_run_that_ends_for_another_reason_waits_no_longer_for_an_answer_either():
    class Hanging(BillingEngine):
        async def recognise(self, document, lane):
            if document.data == b"image 3":
                raise ConfigError("the address is wrong")
            await sleep(1e6)

    options = replace(BATCHES, give_up_after=20.0)

    async def story():
        with pytest.raises(ConfigError, match="address"):
            await go(DictStore(), made(20), Hanging(request_timeout_s=400.0), options)
        return clock()

    assert 1018 <= run_virtual(story(), start_s=1000.0) <= 1026


def test_a_machine_that_slept_has_not_waited_for_an_answer():
    _, took_s, _, _ = ended_in_an_outage("hang", 100.0, asleep_s=8 * 3600.0)
    assert 8 * 3600 + 100 <= took_s <= 8 * 3600 + 110


def test_a_pause_of_our_own_is_not_told_as_the_services_wish():
    *_, heard = ended_in_an_outage("429", 100.0)
    said = [one.message for one in heard.events if isinstance(one, Notice)]
    assert not any("asked to wait" in one for one in said)
    assert any("a pause of our own" in one for one in said)


def test_a_server_that_hangs_costs_a_time_out_and_counts_as_perhaps_billed():
    upstage = Upstage(
        FakeSettings(faults=parse_faults("hang:0.05")), keys="up_one@10", request_timeout_s=20.0
    )
    store = DictStore()
    run_virtual(go(store, images(80), upstage.engine(), BATCHES))
    found = stored(store)
    assert found.told["labelled"] == 80
    hung = sum(entry.cause == "hang" for entry in upstage.entries)
    assert hung > 0
    assert found.account["at_risk_pages"] == {"unavailable": hung}


def test_an_address_without_ocr_stops_the_run_before_it_fails_a_single_image():
    upstage, store = Upstage(FakeSettings()), DictStore()
    upstage.service.control({"outage": "404"})

    async def story():
        with pytest.raises(ConfigError, match="UPSTAGE_BASE_URL"):
            await go(store, images(30), upstage.engine(), BATCHES)
        asked = len(upstage.entries)
        upstage.service.control({"outage": None})
        await go(store, images(30), upstage.engine(), BATCHES, worker="w2")
        return asked

    assert run_virtual(story()) <= 10
    found = stored(store)
    assert (found.told["labelled"], found.told["failed"]) == (30, 0)
    assert upstage.billed_pages == 30


def test_an_address_that_answered_before_is_taken_to_be_right_in_an_outage_of_404():
    upstage, store = Upstage(FakeSettings(latency=Latency(0.5)), keys="up_one@5"), DictStore()

    async def story():
        async def outage():
            await sleep(8)
            upstage.service.control({"outage": "404", "for_s": 120})

        trouble = asyncio.ensure_future(outage())
        await go(store, images(80), upstage.engine(), BATCHES)
        await trouble

    run_virtual(story())
    assert stored(store).told["labelled"] == 80


async def half_answers(data, page_sizes_px, model_version):
    """Every document's last page is missing, and all are charged."""
    answer = json.loads(await from_bytes(data, page_sizes_px, model_version))
    return json.dumps(answer | {"pages": answer["pages"][:-1]}).encode()


def test_an_incomplete_answer_that_was_charged_is_asked_for_once_more_and_no_further():
    upstage, store = Upstage(FakeSettings(), answers=half_answers), DictStore()
    run_virtual(go(store, images(0, pages=(2, 3)), upstage.engine()))
    found = stored(store)
    assert [row.failure_class for row in found.failures] == ["incomplete_answer"] * 2
    assert len(upstage.entries) == 4
    assert found.account["billed_pages"] == upstage.billed_pages == 10
    assert found.account["wasted_pages"] == {"failed": 10}


@pytest.mark.parametrize("cap", [0, 1, 2, 9, 20, 33, 45])
def test_a_cap_holds_to_the_page_in_chaos_with_documents_of_several_pages(cap):
    chaos = parse_faults("500:0.1,drop-after:0.05,drop-before:0.03,cut-json:0.05,502-after:0.03")
    upstage = Upstage(FakeSettings(faults=chaos, latency=Latency(0.5), seed=cap), keys="up_one@20")
    store, dataset = DictStore(), images(30, pages=(3, 7, 2, 4))
    options = replace(BATCHES, batch_size=20, max_cost=cap * 0.0015)

    async def story():
        for worker in ("w1", "w2"):
            with pytest.raises(BudgetReached, match="--max-cost"):
                await go(store, dataset, upstage.engine(), options, worker=worker)
            assert upstage.billed_pages <= cap
        first = told(store)
        lifted = replace(BATCHES, lifted=frozenset({"max_cost"}))
        await go(store, dataset, upstage.engine(), lifted, worker="w3")
        return first

    first = run_virtual(story())
    assert first["complete"] is False
    assert first["not_reached"] > 0
    found = stored(store)
    assert found.told["labelled"] == 34
    judge(upstage, 46, found)


def test_a_cap_that_is_just_enough_is_enough_although_there_are_copies():
    upstage, store = Upstage(FakeSettings(latency=Latency(0.5)), keys="up_one@20"), DictStore()
    dataset = images(40)
    dataset.contents = [*dataset.contents, *dataset.contents[:10]]
    options = Options(batch_size=10, max_cost=40 * 0.0015)
    run_virtual(go(store, dataset, upstage.engine(), options))
    assert stored(store).told["labelled"] == 50
    assert upstage.billed_pages == 40
