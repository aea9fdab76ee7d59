"""What things are called on AWS: the guide's names, and what follows from account and region."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ocrlabel.errors import ConfigError

STACK: Final = "ocrlabel"
REPOSITORY: Final = "batch-processor"
QUEUE: Final = "batch-processor-queue"
DEFINITION: Final = "pseudo-label-processor"
EC2_SUFFIX: Final = "-ec2"
SECRET: Final = "upstage-api-key"  # noqa: S105 -- the secret's name, not its value
LOG_GROUP: Final = "/aws/batch/job"
LOG_PREFIX: Final = DEFINITION
TAGS: Final = {"Project": "ocrlabel"}
GITHUB_ISSUER: Final = "token.actions.githubusercontent.com"

_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_SECRET = re.compile(r"[A-Za-z0-9/_+=.@-]{1,256}\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """An account in a region. In the template the three are CloudFormation's own references."""

    account: str
    region: str
    partition: str = "aws"

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something that belongs to this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def global_arn(self, service: str, resource: str) -> str:
        """The ARN of something that belongs to this account in every region (IAM)."""
        return f"arn:{self.partition}:{service}::{self.account}:{resource}"

    def bucket_arn(self, bucket: str, keys: str = "") -> str:
        """The ARN of a bucket, or of keys in it."""
        return f"arn:{self.partition}:s3:::{bucket}" + (f"/{keys}" if keys else "")

    @property
    def default_bucket(self) -> str:
        """Named by account and region, so that no one else can hold the name."""
        return f"ocrlabel-{self.account}-{self.region}"

    @property
    def registry(self) -> str:
        """The host of this account's ECR registry."""
        suffix = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}"


def ec2_name(name: str) -> str:
    """The name of the EC2 twin of a queue or job definition."""
    return f"{name}{EC2_SUFFIX}"


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
    if not _SECRET.match(name) or re.search(r"-[A-Za-z0-9]{6}\Z", name):
        raise ConfigError(
            f"the secret name {name!r} cannot be used: letters, digits and /_+=.@- only, and not "
            "ending in a hyphen and six characters (AWS adds such an ending itself)"
        )
    return name
