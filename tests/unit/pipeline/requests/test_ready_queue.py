from __future__ import annotations

import asyncio
import math

import pytest

from ocrlabel.pipeline.requests.request import ReadyQueue, tickets


@pytest.mark.parametrize(("rate", "ready"), [(0.0, 2), (3.0, 3), (40.0, 12), (math.inf, 1002)])
def test_as_many_stand_ready_as_the_rate_needs_while_one_claims(rate, ready):
    assert tickets(rate) == ready


async def test_whoever_came_first_is_let_in_first_and_one_ticket_lets_in_one():
    queue = ReadyQueue(lambda: 0.0)
    entered: list[int] = []

    async def one(number: int):
        ticket = await queue.enter()
        entered.append(number)
        return ticket

    first = [await one(0), await one(1)]
    others = [asyncio.create_task(one(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    assert entered == [0, 1]
    first[0].leave()
    first[0].leave()
    await others[0]
    await asyncio.sleep(0)
    assert entered == [0, 1, 2]
    first[1].leave()
    await others[1]
    assert entered == [0, 1, 2, 3]
    others[2].cancel()
    others[0].result().leave()
    assert queue.inside == 1
