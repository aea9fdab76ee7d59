"""When the user reads what an engine cannot do: as a run begins, and not again."""

from __future__ import annotations

import pytest

from ocrlabel.cli.wiring import Chosen, _with_notice
from ocrlabel.engines.scripted import Scripted
from ocrlabel.pipeline.events import AllSettled, Started


class Blind(Scripted):
    notice = "it reads nothing at all"


class Said:
    """A display that keeps what it is given."""

    def __init__(self):
        self.lines = []
        self.events = []

    def say(self, text):
        self.lines.append(text)

    def __call__(self, event):
        self.events.append(event)


def started(done):
    return Started(9, done, 0, "scripted", 0.0, 0)


@pytest.mark.parametrize(
    ("events", "times"),
    [
        ([started(0), AllSettled()], 1),
        ([started(0), started(0)], 1),  # --retry-failed in the same command
        ([started(3), started(0)], 0),
        ([AllSettled()], 0),  # it was done before
    ],
)
def test_it_is_printed_once_and_only_where_nothing_was_read_before(events, times):
    said = Said()
    emit = _with_notice(Chosen(Blind(), "as asked"), said)
    for event in events:
        emit(event)
    assert said.lines == [Blind.notice] * times
    assert said.events == events


def test_an_engine_without_a_notice_prints_nothing():
    said = Said()
    _with_notice(Chosen(Scripted(), "as asked"), said)(started(0))
    assert said.lines == []
