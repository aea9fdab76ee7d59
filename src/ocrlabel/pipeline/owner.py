"""Who holds a lease or sent an ask, and whether that process is certainly gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Alive = Callable[[int, str], bool]
"""(pid, start mark) -> whether that very process still runs on this host."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A worker and the process it is: enough to tell, on the same host, that it has died.

    host is empty where a process cannot be told apart (no /proc): then only time decides.
    """

    worker: str
    host: str = ""
    pid: int = 0
    started: str = ""

    def as_json(self) -> dict[str, str | int]:
        """Plain values for a JSON object."""
        return {
            "worker": self.worker,
            "host": self.host,
            "pid": self.pid,
            "started": self.started,
        }


def owner_from(found: dict[str, object]) -> Owner:
    """The owner that a JSON object names."""
    pid = found.get("pid")
    return Owner(
        worker=str(found.get("worker", "")),
        host=str(found.get("host", "")),
        pid=pid if isinstance(pid, int) else 0,
        started=str(found.get("started", "")),
    )


def certainly_dead(owner: Owner, here: Owner, alive: Alive) -> bool:
    """True only for a process of this host that no longer runs."""
    if not owner.host or owner.host != here.host or owner.worker == here.worker:
        return False
    return not alive(owner.pid, owner.started)
