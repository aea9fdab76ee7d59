"""The environment as a value, and the options of a command as the schema declares them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from ocrlabel.options import Described, Front, described, options_of

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Keys:
    """The environment: options, keys and addresses of services. Values never show in a repr."""

    variables: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Keys({', '.join(sorted(self.variables))})"

    def get(self, name: str) -> str:
        """The value, "" where it is unset or blank."""
        return self.variables.get(name, "").strip()


def from_environment() -> Keys:
    """The environment as it is now."""
    return Keys(dict(os.environ))


def taking(front: Front) -> Callable[[Command], Command]:
    """The command with the options of a front, in the place of its `**given`; None: not given."""

    def decorated(command: Command) -> Command:
        own = inspect.signature(command)
        named = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        first = [one for one in named if one.kind is not one.KEYWORD_ONLY]
        last = [one for one in named if one.kind is one.KEYWORD_ONLY]
        ours = [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_declared(one, front),
            )
            for one in options_of(front).values()
        ]
        command.__annotations__ |= {one.name: one.annotation for one in ours}
        taken = own.replace(parameters=[*first, *ours, *last])
        command.__signature__ = taken  # type: ignore[attr-defined]  # inspect looks for it
        return command

    return decorated


def option(name: str) -> Any:
    """The declaration of one option, for a command that has only a few of them."""
    return typer.Option(help=described()[name].help, show_default=False)


def _declared(one: Described, front: Front) -> Any:
    written, help_ = one.written, one.help
    if front is Front.SUBMIT and one.option.in_a_job:
        written = Literal[one.option.in_a_job]
    if front is Front.RUNNER and one.option.guide:
        help_ = f"{help_} Or {one.option.guide}."
    shown = typer.Option(help=help_, rich_help_panel=one.option.panel, show_default=False)
    return Annotated[written | None, shown]
