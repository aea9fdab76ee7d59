"""What the aws commands need from outside: clients, clock, configuration, environment, consent.

Results go to standard output, progress (`tell`) to standard error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, ParamSpec

import typer

from ocrlabel.aws.names import ON_GITHUB, REWRITE, AwsConfig, config_of_variables, parse_config
from ocrlabel.aws.plan import Change, Hidden
from ocrlabel.aws.session import Aws, NotSignedIn, connect
from ocrlabel.cli.settings import Keys
from ocrlabel.engines.upstage_keys import keys_of_secret
from ocrlabel.errors import ConfigError, OcrLabelError

P = ParamSpec("P")
KEY = "UPSTAGE_API_KEY"
Processor = Literal["X86_64", "ARM64"]
"""AWS's names for what the machines have."""


@dataclass(frozen=True, slots=True)
class Shell:
    """The options before the command's name."""

    region: str | None
    profile: str | None
    config_file: Path

    def aws(self) -> Aws:
        """Clients with the credentials that the AWS command line would use."""
        return connect(
            region=self.known_region(),
            profile=self.profile,
            sleep=time.sleep,
            now_s=time.time,
            tell=tell,
        )

    def config(self) -> AwsConfig:
        """aws/config.env; without it the same variables of the environment."""
        if self.config_file.is_file():
            data = self.config_file.read_bytes()
            try:
                return parse_config(data.decode("utf-8-sig"), str(self.config_file))
            except UnicodeDecodeError:
                raise ConfigError(f"{self.config_file} is not UTF-8; save it as UTF-8") from None
        remedy = ON_GITHUB if variable("GITHUB_ACTIONS") == "true" else REWRITE
        source = f"the environment (no {self.config_file} here)"
        return config_of_variables(os.environ, source, remedy)

    def known_region(self) -> str | None:
        """The option's, the environment's, config.env's; None leaves it to the AWS profile."""
        if self.region:
            return self.region
        if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
            return region
        return self.config().aws_region if self.config_file.is_file() else None


def connected(context: typer.Context) -> tuple[Aws, AwsConfig]:
    """The clients and the configuration that a command's own options chose."""
    shell: Shell = context.obj
    return shell.aws(), shell.config()


def with_boto3(command: Callable[P, None]) -> Callable[P, None]:
    """The command, which says so where boto3 is not installed: it cannot load what it needs."""

    @wraps(command)
    def checked(*args: P.args, **options: P.kwargs) -> None:
        if find_spec("boto3") is None:
            raise ConfigError("this needs boto3: in the clone, pip install '.[aws]'")
        command(*args, **options)

    return checked


@contextmanager
def offering(without_an_account: str) -> Iterator[None]:
    """Add to the error of missing credentials what can be had without them."""
    try:
        yield
    except NotSignedIn as error:
        raise ConfigError(f"{error}\n  {without_an_account}") from error


def show(changes: Sequence[Change], nothing: str) -> None:
    """Print what is proposed, a line each."""
    for change in changes:
        typer.echo(change.line)
    if not changes:
        typer.echo(nothing)


def variable(name: str) -> str:
    """A variable of the environment, "" where it is not set."""
    return os.environ.get(name, "").strip()


def key() -> Hidden | None:
    """The OCR key of the environment, wrapped before anything can print it.

    Raises ConfigError for what is none: it would be found out by the first job.
    """
    value = os.environ.get(KEY, "")
    if not value:
        return None
    if value != value.strip():
        raise ConfigError(f"{KEY} begins or ends with a blank or a line break: export it without")
    keys_of_secret(value, where=KEY)
    return Hidden(value)


def tell(line: str) -> None:
    """Progress goes to standard error: standard output is for results."""
    typer.echo(line, err=True)


def agreed(question: str, *, yes: bool) -> bool:
    """Whether the user agrees; with no terminal and no --yes the answer is an error."""
    if yes:
        return True
    if not os.isatty(0):
        raise ConfigError(f"{question}: there is no terminal to ask at; give --yes")
    return typer.confirm(question)


def fetch_signed(url: str) -> bytes:
    """What lies at an address that ECR signed."""
    import httpx2

    try:
        return httpx2.get(url, timeout=30).raise_for_status().content
    except httpx2.HTTPError as error:
        raise OcrLabelError(f"ECR's own download did not answer: {error}") from error


def in_bucket(config: AwsConfig) -> Keys:
    """The environment, with the region of the configured bucket."""
    return Keys({**os.environ, "AWS_REGION": config.aws_region})
