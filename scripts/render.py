"""Write the files that follow from one source; a test refuses any difference.

stack-template.json, which is sent, from stack-template.yaml; from the options of a run the keywords
of `ocrlabel.label`, the fields of the workflow's form, and docs/options.md. `make render` runs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import yaml

from ocrlabel.options import Described, Front, described, options_of

ROOT = Path(__file__).parents[1]
STACK: Final = "src/ocrlabel/aws/stack-template"
WORKFLOW: Final = ".github/workflows/run-batch-job.yml"
PAGE: Final = "docs/options.md"

# "The maximum number of top-level properties for `inputs` is 25", says
# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax (read
# 2026-09-30); 10 until
# https://github.blog/changelog/2025-12-04-actions-workflow-dispatch-workflows-now-support-25-inputs.
# Servers of one's own may still say 10, and people read a form: the rest goes into one, `options`.
MOST_INPUTS: Final = 25

_KEYWORDS = '''"""The keywords of `ocrlabel.label`: scripts/render.py writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict


class Keywords(TypedDict, total=False):
    """Options of a run, as docs/options.md tells them; None is as if it were not given."""

'''

_HEAD = """
| option | default | unit | what | run | runner | submit | workflow | Python |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Write every file, and say so."""
    for name, text in files().items():
        (ROOT / name).write_text(text, encoding="utf-8")
        print(f"wrote {name}")


def files() -> dict[str, str]:
    """Every file that is written, by its path in the project."""
    return {
        f"{STACK}.json": stack((ROOT / f"{STACK}.yaml").read_text(encoding="utf-8")),
        "src/ocrlabel/keywords.py": keywords(),
        PAGE: page((ROOT / PAGE).read_text(encoding="utf-8")),
        WORKFLOW: workflow((ROOT / WORKFLOW).read_text(encoding="utf-8")),
    }


class _CloudFormation(yaml.SafeLoader):
    """YAML in CloudFormation's short form: `!Sub text` is {"Fn::Sub": "text"}."""


def _function(loader: _CloudFormation, name: str, node: yaml.Node) -> dict[str, Any]:
    make = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: lambda node: loader.construct_sequence(node, deep=True),
    }
    value = make[type(node)](node)
    value = value.split(".") if name == "GetAtt" else value
    return {name if name == "Ref" else f"Fn::{name}": value}


_CloudFormation.add_multi_constructor("!", _function)


def stack(text: str) -> str:
    """The template as JSON: the package reads no YAML."""
    return json.dumps(yaml.load(text, _CloudFormation), indent=2) + "\n"  # noqa: S506 -- a safe one


def keywords() -> str:
    """The TypedDict that makes mypy find a typo."""
    fields = [f"    {one.name}: {_python(one)}\n" for one in options_of(Front.PYTHON).values()]
    # both are more in Python, and stand in the signature
    own = ("    engine:", "    output:")
    return _KEYWORDS + "".join(line for line in fields if not line.startswith(own))


def _python(one: Described) -> str:
    alternatives = []
    for kind in [one.type] if one.repeatable or _is_literal(one.type) else _kinds(one.type):
        if kind is type(None):
            continue
        if _is_literal(kind):
            words = ", ".join(f'"{word}"' for word in get_args(kind))
            alternatives.append(f"Literal[{words}]")
        elif get_origin(kind) is tuple:
            alternatives.append("Sequence[str]")
        else:
            alternatives.append(kind.__name__)
    if one.option.read and "str" not in alternatives:
        alternatives.append("str")
    return " | ".join([*alternatives, "None"])


def _kinds(kind: object) -> tuple[object, ...]:
    return (kind,) if get_origin(kind) is tuple else get_args(kind) or (kind,)


def _is_literal(kind: object) -> bool:
    return get_origin(kind) is Literal


def workflow(text: str) -> str:
    """The workflow with the fields of its form, and the variables that they come in."""
    own = sorted((one for one in options_of(Front.WORKFLOW).values() if one.option.form), key=_rank)
    text = _between(text, "fields", "".join(map(_field, own)))
    variable = "      INPUT_{}: ${{{{ inputs.{} }}}}\n"
    inputs = [_input(one) for one in own]
    return _between(
        text, "variables", "".join(variable.format(name.upper(), name) for name in inputs)
    )


def _rank(one: Described) -> int:
    return one.option.form.rank if one.option.form else 0


def _input(one: Described) -> str:
    return "dataset" if one.name == "dataset_name" else one.name


def _field(one: Described) -> str:
    form = one.option.form
    assert form is not None  # noqa: S101 - of those that have a field
    words = one.option.in_a_job
    kind, default = "string", form.default or "''"
    if words:
        kind, default = f"choice\n        options: [{', '.join(words)}]", words[0]
    elif one.written is bool:
        kind, default = "boolean", "false"
    elif form.default.isdigit():
        kind = "number"
    said = f"'{form.description}'" if ":" in form.description else form.description
    required = "        required: true\n" if form.required else ""
    return (
        f"      {_input(one)}:\n        description: {said}\n        type: {kind}\n"
        f"{required}        default: {default}\n"
    )


def _between(text: str, what: str, lines: str) -> str:
    """The text with these lines between the two comments that name them."""
    marks = rf"({what}: scripts/render\.py[^\n]*\n)(.*?)([^\n]*end of {what}\b)"
    filled, count = re.subn(
        marks, lambda found: found[1] + lines + found[3], text, count=1, flags=re.DOTALL
    )
    if not count:
        raise SystemExit(f"there is no place for the {what}")
    return filled


def page(text: str) -> str:
    """The page with the table, and the reasons why an option is not everywhere."""
    known = described().values()
    reasons = sorted({why for one in known for why in one.option.lacks.values()})
    number = {why: at for at, why in enumerate(reasons, start=1)}
    rows = "".join(_row(one, number) for one in known)
    notes = "\n".join(f"{at}. {why}" for why, at in number.items())
    table = f"{_HEAD}{rows}\nWhere an option is not there, and why:\n\n{notes}\n\n"
    return _between(text, "table", table)


def _row(one: Described, number: dict[str, int]) -> str:
    def at(front: Front, yes: Callable[[], str]) -> str:
        why = one.option.lacks.get(front)
        return f"({number[why]})" if why else yes()

    default = "" if one.default in {None, ()} else f"`{str(one.default).removesuffix('.0')}`"
    guide = f"`{one.option.guide}`" if one.option.guide else "yes"
    cells = (
        f"`{one.flag}`",
        default.lower() if isinstance(one.default, bool) else default,
        one.option.unit,
        one.option.help.replace("|", "\\|"),
        at(Front.RUN, lambda: "yes"),
        at(Front.RUNNER, lambda: guide),
        at(Front.SUBMIT, lambda: "yes"),
        at(Front.WORKFLOW, lambda: "field" if one.option.form else "yes"),
        at(Front.PYTHON, lambda: "yes"),
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
