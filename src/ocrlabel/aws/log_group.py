"""The log group that Batch shares with every user of the account: made, never deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrlabel.aws.names import LOG_GROUP
from ocrlabel.aws.plan import Call, Change, Kind
from ocrlabel.aws.session import translated

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

RETENTION_DAYS = 30


@dataclass(frozen=True, slots=True)
class LogGroupState:
    """A log group as it is; no retention means that it keeps logs for ever."""

    retention_days: int | None


def plan_log_group(present: LogGroupState | None) -> list[Change]:
    """Retention is set only where there is none: another number is somebody's choice."""
    keep = Call(
        "logs",
        "put_retention_policy",
        {"logGroupName": LOG_GROUP, "retentionInDays": RETENTION_DAYS},
    )
    if present is None:
        create = Call("logs", "create_log_group", {"logGroupName": LOG_GROUP})
        detail = f"logs kept {RETENTION_DAYS} days"
        return [Change(Kind.ADD, "log group", LOG_GROUP, detail, (create, keep))]
    if present.retention_days is None:
        detail = f"logs kept {RETENTION_DAYS} days instead of for ever"
        return [Change(Kind.CHANGE, "log group", LOG_GROUP, detail, (keep,))]
    return []


def look_log_group(logs: CloudWatchLogsClient) -> LogGroupState | None:
    """The group as it is; None where there is none."""
    with translated(f"look at log group {LOG_GROUP}"):
        for page in logs.get_paginator("describe_log_groups").paginate(
            logGroupNamePrefix=LOG_GROUP
        ):
            for group in page["logGroups"]:
                if group.get("logGroupName") == LOG_GROUP:
                    return LogGroupState(group.get("retentionInDays"))
    return None
