"""What is told of the other workers of a run."""

from __future__ import annotations

from ocrlabel.pipeline.events import Fleet, Notice
from ocrlabel.pipeline.runtime import Owner
from ocrlabel.pipeline.workers.heartbeat import Beat, WorkerReport
from ocrlabel.pipeline.workers.heartbeat_loop import PeerMonitor


def beat(worker, number, **said):
    return Beat(Owner(worker), number, 60.0, 0.0, WorkerReport(**said))


def test_only_what_the_others_do_from_now_on_is_added():
    peers = PeerMonitor(lives=lambda beat: beat.number > 1)
    assert list(peers.seen([beat("a", 1, labelled=40), beat("dead", 1, labelled=9)])) == [Fleet(0)]
    later = [beat("a", 2, labelled=42, failed=1), beat("dead", 1, labelled=9)]
    assert list(peers.seen(later)) == [
        Notice("fleet", "another worker is at work on this run: a"),
        Fleet(1, labelled=2, failed=1),
    ]
    assert list(peers.seen(later)) == [Fleet(1, labelled=2, failed=1)]


def test_it_is_said_once_how_many_are_there_and_counted_down_when_they_go():
    peers = PeerMonitor(lives=lambda beat: not beat.said.gone)
    told = list(peers.seen([beat("a", 1), beat("b", 1)]))
    assert told == [Notice("fleet", "2 other workers are at work on this run"), Fleet(2)]
    assert list(peers.seen([beat("a", 2, gone=True), beat("b", 2)])) == [Fleet(1)]
