"""GitHub: which repository may put on the role, and the guide's eight secrets of a repository.

A repository is trusted by its name, and by its ids where they are known.

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

from ocrlabel.aws.names import GUIDES_URI, AwsConfig
from ocrlabel.aws.plan import Hidden
from ocrlabel.aws.session import Run
from ocrlabel.errors import ConfigError, OcrLabelError

KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
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


def secrets(config: AwsConfig, keys: Mapping[str, Hidden]) -> dict[str, Hidden | None]:
    """Name -> value, in the guide's order; None for a key that was not given."""
    return {
        **{name: keys.get(name) for name in KEYS},
        "AWS_REGION": Hidden(config.aws_region),
        "S3_BUCKET": Hidden(config.s3_bucket),
        GUIDES_URI: Hidden(config.ecr_uri),
        "JOB_ROLE_ARN": Hidden(config.job_role_arn),
        "EXEC_ROLE_ARN": Hidden(config.exec_role_arn),
        "SECRET_ARN": Hidden(config.secret_arn),
    }


def table(values: Mapping[str, Hidden | None]) -> str:
    """As the guide prints it. A key's value is never shown, and an ARN is no secret."""
    width = max(map(len, values))
    lines = []
    for name, value in values.items():
        shown = "(of the user for GitHub; not needed with AWS_ROLE_ARN)" if name in KEYS else ""
        lines.append(f"{name:{width}}  {shown or (value.reveal() if value else '')}")
    return "\n".join(lines)


def set_with_gh(run: Run, repository: str, values: Mapping[str, Hidden | None]) -> list[str]:
    """Set them; the names that were set. Values go through standard input, never into argv."""
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)} are not in the environment: export the keys of the user that "
            "GitHub shall use (`ocrlabel aws policy github` prints its policy), or use the OIDC "
            "role: ocrlabel aws deploy --github OWNER/NAME"
        )
    where = ["--repo", repository] if repository else []
    for name, value in values.items():
        if value is not None:
            run(["gh", "secret", "set", name, *where], value.reveal())
    return list(values)
