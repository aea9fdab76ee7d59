"""The lease and ask protocol as a model: every interleaving of a few workers.

The rules for others' leases and asks are the program's own (`leases.lease_state`,
`attempts.nothing_in_flight`); the rest is what a worker does between two calls of the store. A step is
one call of the store, one look at a clock with what follows at once, a crash, a drain, or a second
that passes. A worker that is paused is one that takes no step while seconds pass. Clocks may
differ by any amount: only ages on one's own clock exist here; worker 0's may also lose a second.

One batch; all rows have the same image, so one answer serves all. Merging twice gives the same
tables, so the merge has no lease here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from ocrlabel.pipeline.budget.attempts import AttemptClaim, nothing_in_flight
from ocrlabel.pipeline.leases.leases import Free, LeaseMark, Seen, lease_state
from ocrlabel.pipeline.runtime import Owner

LEASE_S, MARGIN_S = 2, 1
SEND_S, TIMEOUT_S = 1, 2
OLDEST_S = 4  # nothing waits longer
SKEW_S = 3

# Where a worker is, and what a lease says: plain numbers, for states are hashed millions of times.
IDLE, HOLDING, ASKED, SENT, ANSWERED, SAVED, COMMITTING, ENDED, DEAD = range(9)
HELD, RELEASED, CLOSED = range(3)
_STATES: Final = (LeaseMark.HELD, LeaseMark.RELEASED, LeaseMark.CLOSED)


class Worker(NamedTuple):
    """One hand of one worker. current: the number of the lease that it believes to hold is newest.

    seen: the age of what it knows of each slice's newest number, None when it has to look (again).
    """

    at: int = IDLE
    slice: int = 0
    number: int = 1
    current: bool = False
    valid_s: int = 0
    seen: tuple[int | None, ...] = ()
    ask_seen: tuple[int, int] | None = None
    send_s: int = 0
    flight_s: int = 0
    rows_read: bool = False


class State(NamedTuple):
    """The store, the workers, and what only an onlooker knows (from `posted` on)."""

    leases: tuple[tuple[int, int] | None, ...]
    workers: tuple[Worker, ...]
    asks: tuple[int, ...] = ()
    tried: int = 0
    rows: int = 0
    checkpoint: bool = False
    merged: bool = False
    cleaned: bool = False
    losses: int = 0
    slow_s: int = 0
    posted: int = 0
    written_off: int = 0
    paid_for: bool = False
    wrong: str = ""

    def worker(self, index: int, **changes: Any) -> State:
        """With one worker changed."""
        workers = self.workers
        one = workers[index]._replace(**changes)
        return self._replace(workers=(*workers[:index], one, *workers[index + 1 :]))


@dataclass(frozen=True, slots=True)
class Model:
    """losses: workers that may crash or drain. slow_s: what worker 0's clock may lose in all.

    without: the rule that is left out, "" for the protocol as it is.
    """

    workers: int
    slices: int
    losses: int = 1
    slow_s: int = 0
    most_asks: int = 2
    same_host: bool = False
    without: str = ""

    def start(self) -> State:
        """Nothing is written, everybody is idle."""
        never = (None,) * self.slices
        return State(never, (Worker(seen=never),) * self.workers)

    def steps(self, state: State) -> Iterator[State]:
        """Every state that may come next."""
        if state.wrong:
            return
        for index, worker in enumerate(state.workers):
            if worker.at >= ENDED:
                continue
            yield from self._work(state, index, worker)
            if HOLDING <= worker.at <= SENT and worker.valid_s < LEASE_S:
                yield self._renewed(state, index, worker)
            if state.losses < self.losses:
                yield self._gone(state, index, DEAD)
                if worker.at == HOLDING and worker.current:
                    released = self._put_lease(state, index, worker.slice, RELEASED)
                    yield self._gone(released, index, ENDED)
        yield self._second(state, slow=False)
        if state.slow_s < self.slow_s:
            yield self._second(state, slow=True)

    @property
    def alike(self) -> bool:
        """Whether it makes no difference which worker is which."""
        return not self.slow_s and self.without != "leases hold durations, not times"

    def _gone(self, state: State, index: int, at: int) -> State:
        gone = Worker(at, seen=(None,) * self.slices)
        return state.worker(index, **gone._asdict())._replace(losses=state.losses + 1)

    def _work(self, state: State, index: int, worker: Worker) -> Iterator[State]:
        at = worker.at
        if at == IDLE:
            yield from self._idle(state, index, worker)
        elif at == HOLDING:
            yield from self._claim_ask(state, index, worker)
        elif at == ASKED:
            yield self._send(state, index, worker)
        elif at == SENT:
            yield state.worker(index, at=ANSWERED, flight_s=0)
            if worker.number < self.most_asks:
                failed = state.worker(index, at=HOLDING, number=worker.number + 1, flight_s=0)
                yield failed._replace(tried=state.tried | 1 << worker.number)
        elif at == ANSWERED and self.without != "an answer is saved before its slice is closed":
            yield self._saved(state, index, worker)
        elif at in {ANSWERED, SAVED}:
            yield self._closed(state, index, worker)
        else:
            yield self._commit(state, index, worker)

    def _idle(self, state: State, index: int, worker: Worker) -> Iterator[State]:
        if state.cleaned:
            yield state.worker(index, at=ENDED, seen=(None,) * self.slices)
            return
        if state.merged:
            cleaned = state._replace(asks=(), tried=0, rows=0, cleaned=True)
            if self.without == "closed leases are kept":
                cleaned = cleaned._replace(leases=(None,) * self.slices)
            yield cleaned
            return
        if state.checkpoint:
            yield state._replace(merged=True)
            return
        if self.without == "journals go only after the merge" and state.rows:
            yield state._replace(asks=(), tried=0, rows=0)
        if all(lease is not None and lease[0] == CLOSED for lease in state.leases):
            yield state.worker(index, at=COMMITTING, seen=(None,) * self.slices)
            return
        for number, lease in enumerate(state.leases):
            age_s = worker.seen[number]
            if lease is not None and lease[0] == CLOSED:
                continue
            if age_s is None:
                seen = (*worker.seen[:number], 0, *worker.seen[number + 1 :])
                yield state.worker(index, seen=seen)
                return
            if self._free(state, index, lease, age_s):
                yield self._claimed(state, index, number)
                return

    def _free(self, state: State, index: int, lease: tuple[int, int] | None, age_s: int) -> bool:
        if lease is None:
            return True
        says, owner = lease
        if self.without == "a lease is waited for" and says == HELD:
            return True
        if self.without == "leases hold durations, not times":
            age_s += SKEW_S * (index - owner)  # the later the worker, the later its clock
        margin_s = MARGIN_S
        if self.without == "a lease is waited for longer than its holder trusts it":
            margin_s = 0
        dead = self.same_host and state.workers[owner].at == DEAD
        return _is_free(says, age_s, margin_s, dead)

    def _claimed(self, state: State, index: int, number: int) -> State:
        """The put takes place: what was seen is still the newest number, else `seen` were None."""
        taken = self._put_lease(state, index, number, HELD)
        # the journal is read after a claim: a row that is done only needs its slice closed
        done = state.rows >> number & 1
        return taken.worker(
            index,
            at=SAVED if done else HOLDING,
            slice=number,
            current=True,
            valid_s=LEASE_S,
            seen=(None,) * self.slices,
        )

    def _put_lease(self, state: State, index: int, number: int, says: int) -> State:
        """The next number of a lease: whoever looked before, or held the one before, is behind."""
        leases = (*state.leases[:number], (says, index), *state.leases[number + 1 :])
        workers = []
        for other, worker in enumerate(state.workers):
            seen = (*worker.seen[:number], None, *worker.seen[number + 1 :])
            current = worker.current and (other == index or worker.slice != number)
            workers.append(worker._replace(seen=seen, current=current))
        return state._replace(leases=leases, workers=tuple(workers))

    def _may_put(self, state: State, worker: Worker) -> bool:
        """Whether the number after the one that this worker believes to hold is still free."""
        if self.without == "renewals are put if absent":
            return True
        return worker.current or state.leases[worker.slice] is None

    def _renewed(self, state: State, index: int, worker: Worker) -> State:
        if self._may_put(state, worker):
            after = self._put_lease(state, index, worker.slice, HELD)
            return after.worker(index, current=True, valid_s=LEASE_S)
        if worker.at == HOLDING:
            return self._idle_again(state, index)
        return state.worker(index, valid_s=0)

    def _idle_again(self, state: State, index: int) -> State:
        return state.worker(index, **Worker(seen=(None,) * self.slices)._asdict())

    def _claim_ask(self, state: State, index: int, worker: Worker) -> Iterator[State]:
        if worker.number > self.most_asks:
            return
        if worker.number > len(state.asks):
            # it takes place; where its answer gets lost it is repeated and says "already exists",
            # and reading finds our own nonce
            asked = state.worker(index, at=ASKED, send_s=SEND_S, ask_seen=None)
            yield asked._replace(asks=(*state.asks, index))
            return
        if self.without == "asks are put if absent, and a nonce tells who won":
            yield state.worker(index, at=ASKED, send_s=SEND_S, ask_seen=None)
            return
        newest = len(state.asks)
        owner = state.asks[newest - 1]
        if state.rows:
            copied = state._replace(rows=state.rows | 1 << worker.slice)
            yield copied.worker(index, at=SAVED, ask_seen=None)
        elif state.tried >> newest & 1:
            yield state.worker(index, number=newest + 1, ask_seen=None)
        elif owner == index:
            yield self._written_off(state, index, newest)  # one hand: nothing else of it is sent
        elif worker.ask_seen is None or worker.ask_seen[0] != newest:
            yield state.worker(index, ask_seen=(newest, 0))
        elif self._over(state, worker.ask_seen[1], owner):
            yield self._written_off(state, index, newest)

    def _over(self, state: State, age_s: int, owner: int) -> bool:
        if self.without == "an ask is waited for":
            return True
        timeout_s = TIMEOUT_S
        if self.without == "an ask is waited for as long as its request may last":
            timeout_s = 0
        dead = self.same_host and state.workers[owner].at == DEAD
        return _is_over(age_s, timeout_s, self.slow_s, dead)

    def _written_off(self, state: State, index: int, number: int) -> State:
        off = state._replace(
            written_off=state.written_off | 1 << number, tried=state.tried | 1 << number
        )
        return off.worker(index, number=number + 1, ask_seen=None)

    def _send(self, state: State, index: int, worker: Worker) -> State:
        unsent = state._replace(tried=state.tried | 1 << worker.number)
        if worker.valid_s <= 0 and self.without != "the lease is looked at before sending":
            return self._idle_again(unsent, index)
        if worker.send_s <= 0 and self.without != "send_by is looked at before sending":
            return unsent.worker(index, at=HOLDING, number=worker.number + 1)
        wrong = ""
        if state.posted >> worker.number & 1:
            wrong = "one ask was sent twice"
        elif any(other.flight_s for other in state.workers):
            wrong = "two requests for one image were under way"
        elif state.paid_for:
            wrong = "an answer that was saved was paid for again"
        sent = state.worker(index, at=SENT, send_s=0, flight_s=TIMEOUT_S)
        return sent._replace(posted=state.posted | 1 << worker.number, wrong=wrong)

    def _saved(self, state: State, index: int, worker: Worker) -> State:
        saved = state.worker(index, at=SAVED)._replace(rows=state.rows | 1 << worker.slice)
        # whoever slept until its ask was written off brings an answer that nobody waits for
        late = state.written_off >> worker.number & 1
        return saved._replace(paid_for=state.paid_for or not late)

    def _closed(self, state: State, index: int, worker: Worker) -> State:
        after = state
        if self._may_put(state, worker):
            after = self._put_lease(state, index, worker.slice, CLOSED)
            if not (state.rows >> worker.slice & 1 or state.cleaned):
                after = after._replace(wrong="a slice was closed, and its row is not saved")
        return self._idle_again(after, index)

    def _commit(self, state: State, index: int, worker: Worker) -> State:
        """Seen closed -> the journal read -> the checkpoint put."""
        if not worker.rows_read:
            if state.rows == (1 << self.slices) - 1:
                return state.worker(index, rows_read=True)
            looks = self.without != "a missing row is looked for in the checkpoint"
            if state.checkpoint and looks:
                return self._idle_again(state, index)
            return state._replace(wrong="a closed batch has lost a row")
        twice = state.checkpoint and self.without == "checkpoints are put if absent"
        after = self._idle_again(state, index)._replace(checkpoint=True)
        return after._replace(wrong="a checkpoint was written twice" if twice else "")

    def _second(self, state: State, *, slow: bool) -> State:
        workers = []
        for index, worker in enumerate(state.workers):
            flight_s = max(0, worker.flight_s - 1)
            if slow and index == 0:
                workers.append(worker._replace(flight_s=flight_s))
                continue
            ask = worker.ask_seen
            older = worker._replace(
                valid_s=max(0, worker.valid_s - 1),
                seen=tuple(
                    age if age is None else min(LEASE_S + MARGIN_S, age + 1) for age in worker.seen
                ),
                ask_seen=ask and (ask[0], min(OLDEST_S, ask[1] + 1)),
                send_s=max(0, worker.send_s - 1),
                flight_s=flight_s,
            )
            workers.append(older)
        return state._replace(workers=tuple(workers), slow_s=state.slow_s + slow)


@cache
def _is_free(says: int, age_s: int, margin_s: int, dead: bool) -> bool:
    seen = Seen(1, _STATES[says], Owner("w"), LEASE_S, since_s=-age_s)
    return isinstance(lease_state(seen, now_s=0, margin_s=margin_s, owner_dead=dead), Free)


@cache
def _is_over(age_s: int, timeout_s: int, margin_s: int, dead: bool) -> bool:
    ask = AttemptClaim("k", 1, 0, 1, Owner("w"), SEND_S, since_s=-age_s, created_at_s=0)
    return nothing_in_flight(
        ask, now_s=0, request_timeout_s=timeout_s, margin_s=margin_s, owner_dead=dead
    )


def in_order(state: State) -> State:
    """The same state with the workers in an order that only depends on what they do and own."""
    marks = [
        hash(
            (
                worker,
                tuple(lease is not None and lease[1] == index for lease in state.leases),
                tuple(owner == index for owner in state.asks),
            )
        )
        for index, worker in enumerate(state.workers)
    ]
    order = sorted(range(len(marks)), key=marks.__getitem__)
    if order == list(range(len(marks))):
        return state
    new = {old: index for index, old in enumerate(order)}
    return state._replace(
        workers=tuple(state.workers[old] for old in order),
        leases=tuple(lease and (lease[0], new[lease[1]]) for lease in state.leases),
        asks=tuple(new[owner] for owner in state.asks),
    )


@dataclass(frozen=True, slots=True)
class Explored:
    """What came of looking at everything. wrong: the first promise broken, "" for none."""

    states: int
    wrong: str
    path: tuple[State, ...] = ()


def explore(model: Model) -> Explored:
    """Every state there is, breadth first; then, whether each of them can still end well."""
    start = model.start()
    first: dict[State, State | None] = {start: None}
    before: dict[State, list[State]] = {start: []}
    todo = deque([start])
    good = []
    while todo:
        state = todo.popleft()
        if state.wrong:
            return Explored(len(first), state.wrong, _path(first, state))
        if _ends_well(model, state):
            good.append(state)
        for after in model.steps(state):
            if model.alike:
                after = in_order(after)  # noqa: PLW2901 -- the same state, other names
            if after not in first:
                first[after] = state
                before[after] = []
                todo.append(after)
            before[after].append(state)
    saved = set(good)
    back = deque(good)
    while back:
        for earlier in before[back.popleft()]:
            if earlier not in saved:
                saved.add(earlier)
                back.append(earlier)
    for state in first:
        if state not in saved:
            return Explored(len(first), "it cannot come to an end", _path(first, state))
    return Explored(len(first), "")


def _ends_well(model: Model, state: State) -> bool:
    nobody_is_left = all(worker.at >= ENDED for worker in state.workers)
    # the model's own end, not the protocol's
    out_of_asks = any(worker.number > model.most_asks for worker in state.workers)
    return state.cleaned or nobody_is_left or out_of_asks


def _path(first: dict[State, State | None], state: State) -> tuple[State, ...]:
    steps: list[State] = []
    at: State | None = state
    while at is not None:
        steps.append(at)
        at = first[at]
    return tuple(reversed(steps))
