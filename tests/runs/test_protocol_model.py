"""The lease and ask protocol, in every interleaving of two and of three workers.

No slice is lost, no checkpoint is written twice, no ask is sent twice, no two requests for one
image are under way, no saved answer is paid for again; and from everywhere a good end can still
be reached. Without any one of the rules that is not so.
"""

from __future__ import annotations

import pytest

from tests.support.protocol import Model, explore

ONE_SLICE = Model(workers=2, slices=1)
A_SLOW_CLOCK = Model(workers=2, slices=1, slow_s=1)
TWO_SLICES = Model(workers=2, slices=2, losses=0)

NEEDED = {
    "a lease is waited for": ONE_SLICE,
    "leases hold durations, not times": ONE_SLICE,
    "a lease is waited for longer than its holder trusts it": A_SLOW_CLOCK,
    "closed leases are kept": ONE_SLICE,
    "renewals are put if absent": ONE_SLICE,
    "the lease is looked at before sending": ONE_SLICE,
    "asks are put if absent, and a nonce tells who won": ONE_SLICE,
    "an ask is waited for": TWO_SLICES,
    "an ask is waited for as long as its request may last": TWO_SLICES,
    "send_by is looked at before sending": TWO_SLICES,
    "an answer is saved before its slice is closed": ONE_SLICE,
    "checkpoints are put if absent": ONE_SLICE,
    "a missing row is looked for in the checkpoint": ONE_SLICE,
    "journals go only after the merge": ONE_SLICE,
}


@pytest.mark.parametrize(
    "model",
    [
        A_SLOW_CLOCK,
        TWO_SLICES,
        Model(workers=2, slices=1, same_host=True),
        Model(workers=3, slices=1, losses=0, most_asks=1),
    ],
    ids=["a crash and a slow clock", "two slices", "one host", "three workers"],
)
def test_in_every_interleaving_all_promises_hold_and_the_end_can_be_reached(model):
    found = explore(model)
    assert found.wrong == "", found.path
    assert found.states > 5_000


@pytest.mark.parametrize("rule", NEEDED)
def test_without_any_one_rule_a_promise_is_broken(rule):
    model = NEEDED[rule]
    without = Model(
        model.workers, model.slices, losses=model.losses, slow_s=model.slow_s, without=rule
    )
    assert explore(without).wrong != ""


def test_a_rule_that_does_not_exist_changes_nothing():
    assert explore(Model(2, 1, losses=0, without="no such rule")).wrong == ""
