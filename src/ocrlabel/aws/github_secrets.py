"""The guide's eight secrets of a GitHub repository, from config.env."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ocrlabel.aws.names import GUIDES_URI, AwsConfig
from ocrlabel.aws.plan import Hidden
from ocrlabel.aws.session import Run
from ocrlabel.errors import ConfigError

KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


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
