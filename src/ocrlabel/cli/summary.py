"""The last words of a run: what became of every row, in a short table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ocrlabel.cli.tallying import shown_duration
from ocrlabel.wording import counted, usd

if TYPE_CHECKING:
    from ocrlabel.cli.labelling import Labelling


_PAUSE_S = 10.0


def tell_result(done: Labelling, report_at: str | None) -> None:
    """Print the table on standard output."""
    for name, value in result_rows(done, report_at):
        print(f"{name:<18}{value}")


def result_rows(done: Labelling, report_at: str | None) -> list[tuple[str, str]]:
    """The table's rows."""
    told, place = done.result.told, done.place
    rows = [("state", _state(done))]
    images = counted(told["rows"], "image")
    rows.append(("labelled", f"{told['labelled']:,} of {images}"))
    if told["failed"]:
        rows.append(("failed", f"{told['failed']:,} ({_classes(told['failures'])})"))
    if told["not_reached"]:
        rows.append(("not reached", f"{told['not_reached']:,}"))
    found = f"{counted(told['words'], 'word')} on {counted(told['pages'], 'page')}"
    rows.append(("found", found))
    rows += _cost_rows(told)
    if not done.result.already:
        rows.append(("time", _time(told)))
    rows.append(("labels table", done.labels))
    if told["failed"]:
        rows.append(("failures table", done.failures))
    rows.append(("account", place.shown(place.layout.run_key)))
    if report_at:
        rows.append(("report", report_at))
    return rows


def _time(told: Mapping[str, Any]) -> str:
    """How long it was worked on; beside it how long ago it began, where there were pauses."""
    whole_s = told["ended_at_s"] - told["created_at_s"]
    active_s = told.get("active_s", whole_s)
    if whole_s - active_s < _PAUSE_S:
        return shown_duration(active_s)
    return f"{shown_duration(active_s)} of work, {shown_duration(whole_s)} with pauses"


def _state(done: Labelling) -> str:
    if done.result.partial:
        return "a part is done; run it again without --sample and --limit to go on"
    if done.result.already:
        return "was done before; nothing was sent"
    if failed := done.result.told["failed"]:
        return f"every row is settled, {failed:,} without a label"
    return "done"


def _classes(failures: Mapping[str, int]) -> str:
    ordered = sorted(failures.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def _cost_rows(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not told["price_per_page_usd"]:
        return []
    account = told["account"]
    at_risk = sum(account["at_risk_pages"].values())
    wasted = sum(account["wasted_pages"].values())
    line = f"{counted(account['billed_pages'], 'page')}, {usd(told['billed_usd'])}"
    if wasted:
        line += f"; {wasted:,} of them in no label"
    rows = [("billed", line)]
    if at_risk:
        perhaps = f"{counted(at_risk, 'page')}, {usd(told['at_risk_usd'])}"
        rows.append(("perhaps billed", perhaps))
    rate = told["requests_per_s"]
    sent = sum(n for name, n in account["requests"].items() if name != "unsent")
    if not sent:
        return rows
    shown_rate = f", {rate:.2f}/s" if rate else ""
    rows.append(("requests", f"{sent:,}{shown_rate} ({_classes(account['requests'])})"))
    return rows
