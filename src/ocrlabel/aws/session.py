"""How the commands reach AWS: clients, account and region, waiting, and errors with a remedy.

`connect` makes an `Aws`, which holds a client of each service, a clock and a sleep. Every call is
made inside `translated`, so that what AWS refuses becomes an `AwsRefused` (or `NotSignedIn`) that
says what was being done and what to do now: remedies.toml knows that, also of the sentences that
`remedy_of` looks for. `until` polls until something is done. `run` starts a program of this machine
(docker, podman, gh), whose failure is a `CommandFailed`.
"""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from ocrlabel.aws.names import AwsLocation
from ocrlabel.errors import ConfigError, OcrLabelError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

RETRIES = 8
HTTP_FAULT = 500
REMEDIES: Final[Mapping[str, Any]] = tomllib.loads(
    Path(__file__).with_name("remedies.toml").read_text(encoding="utf-8")
)
Run: TypeAlias = Callable[[Sequence[str], str | None], str]
"""argv and the text for its standard input -> what it printed."""
T = TypeVar("T")


class AwsRefused(OcrLabelError):
    """AWS refused a call; the message has its own reason and what to do."""


class NotSignedIn(ConfigError):
    """There are no credentials here, or no region: nothing can be asked of AWS."""


class CommandFailed(OcrLabelError):
    """A program that was started did not succeed."""


class Aws:
    """Clients by boto3's name of a service, made once each; a clock and a sleep to wait with."""

    def __init__(
        self,
        make_client: Callable[[str], Any],
        region: str,
        *,
        sleep: Callable[[float], None],
        now_s: Callable[[], float],
    ) -> None:
        self.region = region
        self.sleep = sleep
        self.now_s = now_s
        self.client: Callable[[str], Any] = cache(make_client)

    def location(self) -> AwsLocation:
        """Account, region and partition of these credentials (sts:GetCallerIdentity)."""
        with translated("say whose keys these are"):
            identity = self.client("sts").get_caller_identity()
        partition = str(identity["Arn"]).split(":")[1]
        return AwsLocation(str(identity["Account"]), self.region, partition)


def connect(
    *,
    region: str | None,
    profile: str | None,
    sleep: Callable[[float], None],
    now_s: Callable[[], float],
    tell: Callable[[str], None],
) -> Aws:
    """Clients with the credentials that the AWS command line would use.

    tell: is told of every call that AWS does not answer, and that is tried again. Raises
    ConfigError; NotSignedIn without a region. Credentials are looked for by the first call.
    """
    import boto3  # noqa: PLC0415 - slow to import, and an extra
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import ProfileNotFound  # noqa: PLC0415

    try:
        session = boto3.Session(region_name=region, profile_name=profile)
    except ProfileNotFound as error:
        raise ConfigError(f"{error}: run `aws configure list-profiles`") from error
    if not session.region_name:
        raise NotSignedIn(
            "no AWS region is set: run `aws configure`, export AWS_REGION, or give --region"
        )
    config = Config(
        retries={"mode": "standard", "total_max_attempts": RETRIES},
        connect_timeout=10,
        read_timeout=60,
    )

    def make(service: str) -> Any:
        # the Price List API is in three regions only
        where = "us-east-1" if service == "pricing" else session.region_name
        client = session.client(service, region_name=where, config=config)  # type: ignore[call-overload]  # the stubs want a literal name
        client.meta.events.register("needs-retry", tried)
        return client

    def tried(
        attempts: int, operation: Any, response: Any, caught_exception: Any, **_more: Any
    ) -> None:
        status = response[0].status_code if response else 0
        if attempts < RETRIES and (caught_exception is not None or status >= HTTP_FAULT):
            said = f"answered {status}" if status else f"did not answer: {caught_exception}"
            tell(f"AWS {said}; {operation.name} is tried again, {attempts + 1} of {RETRIES}")

    return Aws(make, session.region_name, sleep=sleep, now_s=now_s)


def code(error: ClientError) -> str:
    """AWS's own word for what is wrong, as NoSuchBucket."""
    return str(error.response.get("Error", {}).get("Code", ""))


def reason(error: ClientError) -> str:
    """AWS's own sentence."""
    return str(error.response.get("Error", {}).get("Message", "") or error)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """AWS's exceptions as ours, saying what was being done and what to do now."""
    from botocore import exceptions  # noqa: PLC0415 - as in `connect`
    from botocore.parsers import ResponseParserError  # noqa: PLC0415

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise NotSignedIn(
            "no AWS credentials were found: run `aws configure`, or export AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        ) from error
    except exceptions.ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        said = f"{code(error)}: {reason(error)}"
        known = REMEDIES["code"]
        remedy = next((each["do"] for each in known if code(error) in each["says"]), "")
        if status >= HTTP_FAULT and not remedy:
            raise AwsRefused(fault(doing, f"HTTP {status} ({said})")) from error
        message = f"AWS refused to {doing}: {said}"
        raise AwsRefused(f"{message}\n  {remedy}" if remedy else message) from error
    except ResponseParserError as error:
        # botocore reads no body that is not the service's, and keeps no status of it
        said = " ".join(str(error).split())
        raise AwsRefused(fault(doing, f"what is no answer of its service ({said})")) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise AwsRefused(
            f"AWS could not be reached to {doing}: {error}\n"
            "  check the network and the region (AWS_REGION), then run it again"
        ) from error
    except exceptions.BotoCoreError as error:
        # of what is left most is about getting credentials: SSO, a login, a program, a role
        raise NotSignedIn(
            f"AWS was not asked to {doing}: {error}\n"
            "  sign in again (`aws sso login`), or look at the profile (`aws configure list`)"
        ) from error


def remedy_of(kind: str, sentence: str) -> Mapping[str, str]:
    """What remedies.toml says of a sentence of AWS's on a `stack` or a `job`; empty for nothing."""
    given = sentence.lower()
    return next((each for each in REMEDIES[kind] if any(w in given for w in each["says"])), {})


def if_there(doing: str, ask: Callable[[], T], *absent: str) -> T | None:
    """What AWS answers; None where it refuses with one of these codes: the thing is not there."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as in `connect`

    with translated(doing):
        try:
            return ask()
        except ClientError as error:
            if code(error) in absent:
                return None
            raise


def fault(doing: str, answered: str) -> str:
    """The sentence on a fault of AWS's own, which is neither the network's nor a right's."""
    return (
        f"AWS had a fault of its own, not you: asked to {doing}, it answered {answered}\n"
        "  run it again in some minutes; if it stays, look at https://health.aws.amazon.com and at "
        "what stands in between (a proxy, AWS_ENDPOINT_URL)"
    )


def run(argv: Sequence[str], stdin: str | None = None) -> str:
    """Run it and return its output. Raises CommandFailed with the end of what it printed."""
    try:
        done = subprocess.run(  # noqa: S603 -- argv is ours, and no shell reads it
            list(argv), input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ConfigError(f"{argv[0]} is not installed here") from error
    if done.returncode:
        printed = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise CommandFailed(f"{' '.join(argv[:3])} failed ({done.returncode}):\n  {printed}")
    return done.stdout


def pauses_s(first_s: float = 1.0, longest_s: float = 15.0) -> Iterator[float]:
    """How long to wait before each next question: half as long again each time."""
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = min(longest_s, pause_s * 1.5)


def until(aws: Aws, ask: Callable[[], T | None], *, what: str, timeout_s: float) -> T:
    """The first answer that is not None. Raises AwsRefused when time is up."""
    end_s = aws.now_s() + timeout_s
    for pause_s in pauses_s():
        if (answer := ask()) is not None:
            return answer
        if aws.now_s() >= end_s:
            break
        aws.sleep(pause_s)
    raise AwsRefused(
        f"{what} is not done after {timeout_s:.0f} s; it may still be going on: run it again to "
        "follow it"
    )
