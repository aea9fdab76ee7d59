"""aws/config.env: what deploy made, for `source` and for the other commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ocrlabel.aws import names
from ocrlabel.errors import ConfigError

_LINE = re.compile(r"(?:export\s+)?([A-Z][A-Z0-9_]*)=(.*)\Z")


@dataclass(frozen=True, slots=True)
class AwsConfig:
    """The names and ARNs of a deployed stack; in the file in capitals. No secret is among them."""

    aws_region: str
    aws_account_id: str
    s3_bucket: str
    ecr_repository: str
    ecr_uri: str
    secret_name: str
    secret_arn: str
    job_role_arn: str
    exec_role_arn: str
    batch_compute_env: str
    batch_job_queue: str
    batch_job_definition: str


NAMES = tuple(entry.name.upper() for entry in fields(AwsConfig))


def render(config: AwsConfig) -> str:
    """The file's text: `source aws/config.env` exports every value."""
    lines = [
        "# Written by `ocrlabel aws deploy`; holds no secret. Use: source aws/config.env",
        *(f"export {name}={shlex.quote(getattr(config, name.lower()))}" for name in NAMES),
    ]
    return "\n".join(lines) + "\n"


def parse(text: str, source: str) -> AwsConfig:
    """The values of such a file. Raises ConfigError that names what is missing."""
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise ConfigError(f"{source}:{number}: this is no `export NAME=value`: {line[:60]}")
        found[match[1]] = "".join(shlex.split(match[2])[:1])
    return from_environment(found, source)


def from_environment(values: Mapping[str, str], source: str) -> AwsConfig:
    """The configuration from variables; what follows from others may be left out.

    So the guide's eight secrets of a GitHub repository are enough. Raises ConfigError that names
    what is missing.
    """
    values = {**_derived(values), **{name: value for name, value in values.items() if value}}
    missing = [name for name in NAMES if name not in values]
    if missing:
        raise ConfigError(
            f"{source} lacks {', '.join(missing)}\n  `ocrlabel aws deploy` writes it again"
        )
    return AwsConfig(**{name.lower(): values[name] for name in NAMES})


def _derived(values: Mapping[str, str]) -> dict[str, str]:
    derived = {
        "BATCH_COMPUTE_ENV": "",
        "BATCH_JOB_QUEUE": names.QUEUE,
        "BATCH_JOB_DEFINITION": names.DEFINITION,
    }
    host, _, repository = values.get("ECR_URI", "").partition("/")
    if repository:
        derived |= {"AWS_ACCOUNT_ID": host.split(".")[0], "ECR_REPOSITORY": repository}
    if ":secret:" in (arn := values.get("SECRET_ARN", "")):
        name = arn.split(":secret:", 1)[1]
        derived["SECRET_NAME"] = re.sub(r"-[A-Za-z0-9]{6}\Z", "", name)
    return derived
