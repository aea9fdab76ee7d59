"""Job definition revisions: what is registered, and whether another is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ocrlabel.aws.definition_rules import checked
from ocrlabel.aws.job_definition import JobValues, ec2, fargate
from ocrlabel.aws.plan import Call, Change, Kind
from ocrlabel.aws.session import translated

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient


def plan_definition(present: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> list[Change]:
    """A new revision where the last one is not what is wanted; AWS keeps the old ones."""
    if present is not None and covers(present, wanted):
        return []
    name = str(wanted["jobDefinitionName"])
    revision = int(present["revision"]) + 1 if present else 1
    return [
        Change(
            Kind.ADD if present is None else Kind.CHANGE,
            "job definition",
            name,
            f"revision {revision}, image {wanted['containerProperties']['image']}",
            (Call("batch", "register_job_definition", dict(checked(wanted))),),
        )
    ]


def wanted_definitions(values: JobValues, *, with_ec2: bool) -> list[dict[str, Any]]:
    """The Fargate definition, and its EC2 twin where there is such a queue."""
    return [fargate(values), *([ec2(values)] if with_ec2 else [])]


def look_definition(batch: BatchClient, name: str) -> dict[str, Any] | None:
    """The newest active revision; None where there is none."""
    with translated(f"look at job definition {name}"):
        found: list[dict[str, Any]] = [
            dict(definition)
            for page in batch.get_paginator("describe_job_definitions").paginate(
                jobDefinitionName=name, status="ACTIVE"
            )
            for definition in page["jobDefinitions"]
        ]
    return max(found, key=lambda definition: int(definition["revision"]), default=None)


def covers(present: Any, wanted: Any) -> bool:
    """Whether everything wanted is there; AWS adds empty lists and defaults of its own."""
    match wanted:
        case Mapping():
            return isinstance(present, Mapping) and all(
                key in present and covers(_as_given(present[key], key), _as_given(value, key))
                for key, value in wanted.items()
            )
        case list() | tuple():
            return (
                isinstance(present, Sequence)
                and len(present) == len(wanted)
                and all(map(covers, present, wanted))
            )
        case _:
            return bool(present == wanted)


def _as_given(value: Any, key: str) -> Any:
    """Batch takes RETRY and retry for the same, and gives either back."""
    return value.lower() if key == "action" and isinstance(value, str) else value
