"""The stack's template: `make render` makes the JSON that is sent of stack-template.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_RENDERED: Final = Path(__file__).with_name("stack-template.json")
_REFERENCE: Final = re.compile(r"\$\{([A-Za-z:]+)\}")


def template() -> dict[str, Any]:
    """The template as a value. It names no account, no region and no secret's value."""
    found: dict[str, Any] = json.loads(_RENDERED.read_bytes())
    return found


def body(value: Mapping[str, Any]) -> str:
    """As it is sent: CloudFormation takes at most 51,200 bytes inline."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def made_by(value: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, str]:
    """Logical id -> type of every resource that these parameters make, in the template's order."""
    given = {
        name: parameters.get(name, str(spec.get("Default", "")))
        for name, spec in value["Parameters"].items()
    }
    return {
        name: resource["Type"]
        for name, resource in value["Resources"].items()
        if "Condition" not in resource or _holds(value, resource["Condition"], given)
    }


def _holds(value: Mapping[str, Any], rule: Any, given: Mapping[str, str]) -> bool:
    """Whether a condition, by its name or written out, holds for these parameter values."""
    match rule:
        case str():
            return _holds(value, value["Conditions"][rule], given)
        case {"Fn::Not": [part]}:
            return not _holds(value, part, given)
        case {"Fn::And": parts}:
            return all(_holds(value, part, given) for part in parts)
        case {"Fn::Equals": [{"Ref": name}, wanted]}:
            return bool(given[name] == wanted)
        case _:
            raise ValueError(f"the template has {rule}, which is not evaluated here")


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """The same value with these names in the place of its `${...}`, as CloudFormation does it."""
    match value:
        case str():
            return _REFERENCE.sub(lambda found: names[found[1]], value)
        case {"Fn::Sub": text}:
            return filled(text, names)
        case dict():
            return {key: filled(inner, names) for key, inner in value.items()}
        case list():
            return [filled(inner, names) for inner in value]
        case _:
            return value
