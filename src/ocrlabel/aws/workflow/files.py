"""The files that a workflow's step writes to: outputs for later steps, and the run's summary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ocrlabel.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9-]*\Z")


@dataclass(frozen=True, slots=True)
class StepFiles:
    """$GITHUB_OUTPUT and $GITHUB_STEP_SUMMARY; None outside of GitHub, where nothing is written."""

    output: Path | None
    summary: Path | None

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> StepFiles:
        """From the step's variables."""

        def path(name: str) -> Path | None:
            return Path(variables[name]) if variables.get(name) else None

        return cls(path("GITHUB_OUTPUT"), path("GITHUB_STEP_SUMMARY"))

    def put(self, name: str, value: str) -> None:
        """An output of this step. Raises ConfigError for a value that could pose as another one."""
        if not _NAME.match(name) or "\n" in value or "\r" in value:
            raise ConfigError(f"the output {name} is not one line: {value[:60]!r}")
        _append(self.output, f"{name}={value}\n")

    def summarise(self, markdown: str) -> None:
        """Add to the summary that the run's page shows."""
        _append(self.summary, markdown.rstrip("\n") + "\n\n")


def _append(path: Path | None, text: str) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
