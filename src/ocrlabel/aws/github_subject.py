"""Which GitHub repository may put on the role: by its name, and by its ids where they are known.

A workflow's token says whose it is in its subject: `repo:OWNER/NAME:...`, or with the ids that
GitHub never gives twice, `repo:OWNER@ID/NAME@ID:...`. The second is what repositories have that
were made, renamed or transferred since 2026-07-15, or chose it (documented: docs.github.com,
"Immutable subject claims"; github/docs#45221, read 2026-11-28). GitHub Enterprise Server has none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ocrlabel.aws.session import Run
from ocrlabel.errors import ConfigError, OcrLabelError

SINCE: Final = "2026-07-15"
_NAME = r"([A-Za-z0-9._-]+)"
_GIVEN = re.compile(rf"{_NAME}/{_NAME}|{_NAME}@([0-9]+)/{_NAME}@([0-9]+)")


@dataclass(frozen=True, slots=True)
class GitHubRepository:
    """OWNER/NAME, and OWNER@ID/NAME@ID; "" where nobody said the ids."""

    names: str = ""
    with_ids: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """As the template takes it."""
        return {"GitHubRepository": self.names, "GitHubRepositoryWithIds": self.with_ids}

    @classmethod
    def of(cls, text: str) -> GitHubRepository:
        """As it is given, either form; "" for none. Raises ConfigError."""
        match = _GIVEN.fullmatch(text)
        if text and match is None:
            raise ConfigError(
                f"--github {text!r}: give OWNER/NAME, or OWNER@ID/NAME@ID with GitHub's numbers"
            )
        if match is None or match[1]:
            return cls(text)
        return cls(f"{match[3]}/{match[5]}", text)


def with_ids(
    run: Run,
    repository: GitHubRepository,
    before: Mapping[str, str],
    tell: Callable[[str], None],
) -> GitHubRepository:
    """With the ids that `gh` says, else with those of the deploy before, else as it is, and told.

    before: the template's parameters. The names become GitHub's own: in a subject case counts.
    """
    try:
        found = json.loads(run(["gh", "api", f"repos/{repository.names}"], None))
        owner, name = str(found["full_name"]).split("/")
        ids = int(found["owner"]["id"]), int(found["id"])
    except (OcrLabelError, ValueError, KeyError, TypeError) as error:
        known = GitHubRepository(
            before.get("GitHubRepository", ""), before.get("GitHubRepositoryWithIds", "")
        )
        if known.with_ids and known.names.lower() == repository.names.lower():
            return known
        why = str(error) if isinstance(error, OcrLabelError) else "`gh api` told of no repository"
        tell(
            f"{repository.names} is trusted by its name only, for its ids are not known: {why}\n"
            f"  if it was made, renamed or transferred since {SINCE}, sign in with `gh auth login` "
            "and run it again, or give --github OWNER@ID/NAME@ID"
        )
        return repository
    return GitHubRepository(f"{owner}/{name}", f"{owner}@{ids[0]}/{name}@{ids[1]}")
