"""What things are called on AWS, and the file aws/config.env that tells them to the commands.

The constants are the guide's names. `AwsLocation` makes ARNs and default names from account and
region. `AwsConfig` is config.env as a value: `deploy` writes the file (`config_text`), the other
commands read it (`parse_config`), and where there is no such file, as on GitHub, they take the same
variables from the environment (`config_of_variables`). No secret is in it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from ocrlabel.errors import ConfigError

STACK: Final = "ocrlabel"
REPOSITORY: Final = "batch-processor"
QUEUE: Final = "batch-processor-queue"
DEFINITION: Final = "pseudo-label-processor"
SECRET: Final = "upstage-api-key"  # noqa: S105 -- the secret's name, not its value
LOG_GROUP: Final = "/aws/batch/job"
TAGS: Final = {"Project": "ocrlabel"}
QUEUES: Final = (QUEUE, f"{QUEUE}-ec2")
DEFINITIONS: Final = (DEFINITION, f"{DEFINITION}-ec2")
"""On Fargate, and their twins on EC2."""
GITHUB_ISSUER: Final = "token.actions.githubusercontent.com"
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_SECRET = re.compile(r"[A-Za-z0-9/_+=.@-]{1,256}\Z")
AWS_ENDING: Final = re.compile(r"-[A-Za-z0-9]{6}\Z")
_CONFIG_LINE = re.compile(r"(?:export\s+)?([A-Z][A-Z0-9_]*)=(.*)\Z")


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """As most of AWS's calls take tags."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


@dataclass(frozen=True, slots=True)
class AwsLocation:
    """An account in a region."""

    account: str
    region: str
    partition: str = "aws"

    def bucket_arn(self, bucket: str, keys: str = "") -> str:
        """The ARN of a bucket, or of keys in it."""
        return f"arn:{self.partition}:s3:::{bucket}" + (f"/{keys}" if keys else "")

    @property
    def default_bucket(self) -> str:
        """Named by account and region, so that no one else can hold the name."""
        return f"ocrlabel-{self.account}-{self.region}"


def checked_dataset(name: str) -> str:
    """A dataset's name as it may stand in keys and job names. Raises ConfigError."""
    if not _DATASET.match(name):
        raise ConfigError(
            f"the dataset name {name!r} cannot be used: 1 to 100 letters, digits, '.', '_' and "
            "'-', starting with a letter or digit (as in data/processed/NAME.parquet)"
        )
    return name


def checked_bucket(name: str) -> str:
    """A bucket's name by S3's rules. Raises ConfigError."""
    if not _BUCKET.match(name):
        raise ConfigError(
            f"the bucket name {name!r} cannot be used: 3 to 63 lower-case letters, digits, '-' "
            "and '.'; set S3_BUCKET to another name, or unset it for the default"
        )
    return name


def checked_secret(name: str) -> str:
    """A secret's name that cannot be mistaken for one with AWS's suffix. Raises ConfigError.

    Secrets Manager finds a secret by an ARN without its six random characters, but not where the
    name itself ends in a hyphen and six characters.
    """
    if not _SECRET.match(name) or AWS_ENDING.search(name):
        raise ConfigError(
            f"the secret name {name!r} cannot be used: letters, digits and /_+=.@- only, and not "
            "ending in a hyphen and six characters (AWS adds such an ending itself)"
        )
    return name


@dataclass(frozen=True, slots=True)
class AwsConfig:
    """The names and ARNs of a deployed stack; in the file in capitals."""

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


CONFIG_NAMES = tuple(entry.name.upper() for entry in fields(AwsConfig))
_FOLLOWS: Final = ("AWS_ACCOUNT_ID", "ECR_REPOSITORY", "SECRET_NAME")
GUIDES_URI: Final = "ECR_REPOSITORY_URI"  # what the guide's secret calls ECR_URI
REWRITE: Final = "`ocrlabel aws deploy` writes aws/config.env"
ON_GITHUB: Final = (
    "set each under Settings, Secrets and variables, Actions, as a variable or a secret of the "
    "repository or of its environment `aws`; `ocrlabel aws github-secrets` prints the values"
)


def config_text(config: AwsConfig) -> str:
    """The file's text: `source aws/config.env` exports every value."""
    lines = [
        "# Written by `ocrlabel aws deploy`; holds no secret. Use: source aws/config.env",
        *(f"export {name}={shlex.quote(getattr(config, name.lower()))}" for name in CONFIG_NAMES),
        f"export {GUIDES_URI}={shlex.quote(config.ecr_uri)}",
    ]
    return "\n".join(lines) + "\n"


def parse_config(text: str, source: str) -> AwsConfig:
    """The values of such a file. Raises ConfigError that names what is missing."""
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _CONFIG_LINE.match(line)
        if match is None:
            raise ConfigError(f"{source}:{number}: this is no `export NAME=value`: {line[:60]}")
        try:
            found[match[1]] = "".join(shlex.split(match[2])[:1])
        except ValueError as error:
            raise ConfigError(f"{source}:{number}: {error}: {line[:60]}") from error
    return config_of_variables(found, source)


def config_of_variables(values: Mapping[str, str], source: str, remedy: str = REWRITE) -> AwsConfig:
    """The configuration from variables; what follows from others may be left out.

    So the guide's eight secrets of a GitHub repository are enough. Raises ConfigError that names
    what is missing.
    """
    given = {name: value for name, value in values.items() if value}
    if GUIDES_URI in given:
        given.setdefault("ECR_URI", given[GUIDES_URI])
    derived = {
        "BATCH_COMPUTE_ENV": "",
        "BATCH_JOB_QUEUE": QUEUE,
        "BATCH_JOB_DEFINITION": DEFINITION,
    }
    host, _, repository = given.get("ECR_URI", "").partition("/")
    if repository:
        derived |= {"AWS_ACCOUNT_ID": host.split(".")[0], "ECR_REPOSITORY": repository}
    if ":secret:" in (arn := given.get("SECRET_ARN", "")):
        # as it stands: whether its last six characters are AWS's own, nobody can tell
        derived["SECRET_NAME"] = arn.split(":secret:", 1)[1].partition(":")[0]
    values = {**derived, **given}
    missing = [name for name in CONFIG_NAMES if name not in values]
    if missing:
        # what follows from another is not for the user to set
        named = [name for name in missing if name not in _FOLLOWS] or missing
        also = f" ({GUIDES_URI} will do for ECR_URI)" if "ECR_URI" in named else ""
        raise ConfigError(f"{source} lacks {', '.join(named)}{also}\n  {remedy}")
    return AwsConfig(**{name.lower(): values[name] for name in CONFIG_NAMES})
