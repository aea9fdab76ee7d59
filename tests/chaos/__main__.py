"""The fault campaign: runs on real processes, with everything going wrong at once, judged.

    python -m tests.chaos                        200 schedules, about an hour and a half
    python -m tests.chaos --seeds 5              five of them
    python -m tests.chaos --first 117 --seeds 1  one schedule again
    python -m tests.chaos --stores seaweedfs     only on a real S3 server

Processes are signalled, killed and stopped; the store is full, refuses, cuts or hangs; the service
fails and is away; foreign and damaged files appear; tables vanish. The judge knows the inputs, the
service's own log and what was written. A schedule that breaks an invariant is printed with what
repeats it, and its files are kept.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.chaos.play import KEYS, play, site_of
from tests.chaos.schedule import ENDS_WITHIN_S, Schedule, Store, draw
from tests.chaos.sites import can_mount
from tests.support.aws import moto_process
from tests.support.fake_upstage import running
from tests.support.mixed import mixed
from tests.support.seaweed import WEED, seaweed_server


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--stores", default=",".join(stores_here()), help="of these, in turns")
    given = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # workers inherit what nohup makes of it
    stores = tuple(name for name in get_args(Store) if name in given.stores.split(","))
    return campaign([draw(given.first + number, stores) for number in range(given.seeds)])


def stores_here() -> tuple[str, ...]:
    """All that this machine can have."""
    absent = {"disk"} - ({"disk"} if can_mount() else set())
    absent |= set() if WEED else {"seaweedfs"}
    return tuple(name for name in get_args(Store) if name not in absent)


def campaign(schedules: list[Schedule]) -> int:
    """Play them all; how many broke an invariant."""
    settings = FakeSettings(
        keys=parse_keys(KEYS), requests_per_s=25.0, latency=Latency(0.4, 0.3), headers=True
    )
    broken, faults, longest_s, paid_twice = [], Counter[str](), 0.0, 0
    began_s = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="ocrlabel-chaos-"))
    inputs = mixed(home / "images", images=50, pdfs=5, tiffs=2, copies=10, broken=4)
    with ExitStack() as stack:
        service = stack.enter_context(running(settings))
        servers = {"moto": stack.enter_context(moto_process())}
        if any(one.store == "seaweedfs" for one in schedules):
            servers["seaweedfs"] = stack.enter_context(seaweed_server())
        uncut = home / "uncut"
        uncut.mkdir()
        with site_of(Schedule(-1, "folder", 1, (), ""), uncut, inputs, service, servers) as site:
            first = site.start()
            assert first.ended() == 0, first.said
            expected = site.written().timeless
        for schedule in schedules:
            place = home / str(schedule.seed)
            place.mkdir()
            try:
                with site_of(schedule, place, inputs, service, servers) as site:
                    played = play(schedule, site, inputs, service, expected)
            except AssertionError as error:
                broken.append(schedule.seed)
                print(f"seed {schedule.seed}: BROKEN ({place})\n{schedule}\n{error}", flush=True)
                service.control({"fail": "", "outage": ""})
                continue
            shutil.rmtree(place)
            faults += played.faults
            longest_s = max(longest_s, played.longest_end_s)
            paid_twice += played.paid_twice
            print(f"seed {schedule.seed}: {played.line}", flush=True)
    took_s = time.monotonic() - began_s
    print(f"{len(schedules)} schedules in {took_s:.0f} s, {faults.total()} faults: {dict(faults)}")
    print(f"longest end after a signal: {longest_s:.1f} s (allowed: {ENDS_WITHIN_S:g})")
    print(f"pages paid twice, each with a reason: {paid_twice}")
    print(f"invariants broken: {len(broken)} {broken or ''}")
    if not broken:
        shutil.rmtree(home)
    return len(broken)


if __name__ == "__main__":
    sys.exit(main())
