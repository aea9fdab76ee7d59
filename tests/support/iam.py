"""A small evaluator of IAM policies: may this role do that?

It knows what our statements use: Allow and Deny, wildcards, StringEquals and StringLike; anything
else is an error, so that a statement with more cannot be judged wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ocrlabel.aws.names import AwsLocation
from ocrlabel.aws.template import filled, template


def allowed(
    statements: Sequence[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
) -> bool:
    """A Deny that applies wins; else an Allow must apply; else no."""
    effects = {
        statement["Effect"]
        for statement in statements
        if _applies(statement, action, resource, context or {})
    }
    return "Allow" in effects and "Deny" not in effects


def trust_github(
    place: AwsLocation, repository: str, environment: str, with_ids: str = ""
) -> dict[str, Any]:
    """Who may take the role for workflows, as a stack with these parameters says it."""
    role = template()["Resources"]["GitHubRole"]["Properties"]
    condition, by_ids_too, by_name = role["AssumeRolePolicyDocument"]["Fn::If"]
    assert condition == "HasGitHubIds"
    names = {
        "AWS::Partition": place.partition,
        "AWS::AccountId": place.account,
        "GitHubRepository": repository,
        "GitHubRepositoryWithIds": with_ids,
        "GitHubEnvironment": environment,
    }
    document: dict[str, Any] = filled(by_ids_too if with_ids else by_name, names)
    return document


def _applies(
    statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]
) -> bool:
    unknown = statement.keys() - {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
    if unknown:
        raise ValueError(f"not evaluated here: {unknown}")
    return (
        any(_matches(pattern, action, re.IGNORECASE) for pattern in _many(statement["Action"]))
        and any(_matches(pattern, resource) for pattern in _many(statement["Resource"]))
        and all(
            _holds(operator, wanted, context)
            for operator, wanted in statement.get("Condition", {}).items()
        )
    )


def _holds(operator: str, wanted: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    if operator not in {"StringEquals", "StringLike"}:
        raise ValueError(f"not evaluated here: {operator}")
    if operator == "StringEquals":
        return all(context.get(key) in _many(values) for key, values in wanted.items())
    return all(
        key in context and any(_matches(pattern, context[key]) for pattern in _many(values))
        for key, values in wanted.items()
    )


def _many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _matches(pattern: str, text: str, flags: int = 0) -> bool:
    return _compiled(pattern, flags).fullmatch(text) is not None


@cache
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in pattern), flags)
