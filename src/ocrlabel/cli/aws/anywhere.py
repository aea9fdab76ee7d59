"""Options of every aws command may stand before the command's name, or after it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Context  # what typer.Context is made of


class OptionsAnywhere(TyperGroup):
    """Takes the group's own options out of a command's words."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """The group's options first, the rest as it was written."""
        own = [name for param in self.params for name in param.opts if name != "--help"]
        return super().parse_args(ctx, brought_forward(own, args))


def brought_forward(options: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words with these options, and the value that each has, before all others."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            return [*first, *rest, word, *left]
        name, has_value, _ = word.partition("=")
        if name not in options:
            rest.append(word)
        elif has_value:
            first.append(word)
        else:
            value = list(islice(left, 1))
            # without a value it stays, to be complained of
            (rest if not value or value[0].startswith("-") else first).extend([word, *value])
    return [*first, *rest]
