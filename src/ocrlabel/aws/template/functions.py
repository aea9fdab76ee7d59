"""CloudFormation's intrinsic functions as values."""

from __future__ import annotations

from typing import Any

from ocrlabel.aws.names import Place

HERE = Place("${AWS::AccountId}", "${AWS::Region}", "${AWS::Partition}")
"""The place a template is deployed to, for builders that want a Place."""


def ref(name: str) -> dict[str, str]:
    """A parameter's value or a resource's own id."""
    return {"Ref": name}


def attribute(resource: str, name: str) -> dict[str, list[str]]:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [resource, name]}


def either(condition: str, then: Any, otherwise: Any) -> dict[str, list[Any]]:
    """One value where the condition holds, another where not."""
    return {"Fn::If": [condition, then, otherwise]}


NO_VALUE = {"Ref": "AWS::NoValue"}


def filled(value: Any) -> Any:
    """The same value with every string that names `${...}` filled in by CloudFormation."""
    match value:
        case str() if "${" in value:
            return {"Fn::Sub": value}
        case dict():
            return {key: filled(inner) for key, inner in value.items()}
        case list():
            return [filled(inner) for inner in value]
        case _:
            return value
