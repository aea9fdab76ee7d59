"""Before money is spent: is everything there and allowed, and if not, which command mends it.

`examine` makes the checks in the guide's order. `check_images` is the one of a dataset: its input
table (`read_table`) and a sample of its images; `submit` reads the table's rows with it too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from botocore.exceptions import ClientError

from ocrlabel.aws import names
from ocrlabel.aws.github_subject import SINCE
from ocrlabel.aws.image import PLATFORMS, architectures
from ocrlabel.aws.job_definition import look_definition
from ocrlabel.aws.names import AwsConfig, checked_dataset
from ocrlabel.aws.secret import look_secret
from ocrlabel.aws.session import Aws, code, translated
from ocrlabel.aws.stack import look_stack
from ocrlabel.dataset.parquet_io import open_parquet
from ocrlabel.engines.upstage_keys import keys_of_secret
from ocrlabel.errors import ConfigError, OcrLabelError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

DEPLOY: Final = "ocrlabel aws deploy"
PUSH: Final = "ocrlabel aws push-image"
# Service Quotas' codes of vCPUs that may run at once.
QUOTAS: Final = (
    ("Fargate Spot", "fargate", "L-36FBB829"),
    ("Fargate", "fargate", "L-3032A538"),
)
SAMPLE: Final = 20
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}\Z")


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is well, what was seen, and what mends it."""

    name: str
    ok: bool
    why: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the doctor needs beside AWS: reading signed addresses, the dataset, the OCR service."""

    fetch: Callable[[str], bytes]
    dataset: Callable[[], Check] | None = None
    call: Callable[[str], Check] | None = None


def examine(aws: Aws, config: AwsConfig, outside: Outside) -> Iterator[Check]:
    """Every check in the order of the guide; one that cannot be made is one that failed."""
    checks: list[tuple[str, str, Callable[[], Check]]] = [
        ("credentials", "aws configure", lambda: _credentials(aws, config)),
        *((f"quota {quota[0]}", "", lambda q=quota: _quota(aws, *q)) for quota in QUOTAS),
        ("bucket", DEPLOY, lambda: _bucket(aws, config)),
        ("secret", f"UPSTAGE_API_KEY=up_... {DEPLOY}", lambda: _secret(aws, config)),
        ("queue", DEPLOY, lambda: _queue(aws, config)),
        ("compute", DEPLOY, lambda: _compute(aws, config)),
        ("image", PUSH, lambda: _image(aws, config, outside.fetch)),
        ("GitHub", DEPLOY, lambda: _github(aws)),
    ]
    if outside.call is not None:
        call = outside.call
        checks.append(("OCR call", "", lambda: _call(aws, config, call)))
    if outside.dataset is not None:
        checks.append(("dataset", "ocrlabel push", outside.dataset))
    for name, mend, check in checks:
        try:
            yield check()
        except OcrLabelError as error:
            yield Check(name, ok=False, why=str(error).splitlines()[0], mend=mend)


def _credentials(aws: Aws, config: AwsConfig) -> Check:
    location = aws.location()
    if location.account != config.aws_account_id:
        why = f"these are account {location.account}'s, config.env is {config.aws_account_id}'s"
        return Check("credentials", ok=False, why=why, mend=f"aws configure, or {DEPLOY}")
    if location.region != config.aws_region:
        why = f"the region is {location.region}, config.env says {config.aws_region}"
        return Check("credentials", ok=False, why=why, mend="source aws/config.env")
    return Check("credentials", ok=True, why=f"account {location.account}, {location.region}")


def _quota(aws: Aws, name: str, service: str, quota: str) -> Check:
    with translated("read a quota"):
        answer = aws.client("service-quotas").get_service_quota(
            ServiceCode=service, QuotaCode=quota
        )
    vcpus = float(answer["Quota"]["Value"])
    mend = (
        f"aws service-quotas request-service-quota-increase --service-code {service} "
        f"--quota-code {quota} --desired-value 16"
    )
    why = f"{vcpus:g} vCPUs may run at once"
    return Check(f"quota {name}", ok=vcpus >= 1, why=why, mend="" if vcpus >= 1 else mend)


def _bucket(aws: Aws, config: AwsConfig) -> Check:
    s3 = aws.client("s3")
    key = f"checkpoints/.ocrlabel-doctor-{aws.now_s():.0f}"
    with translated(f"write to bucket {config.s3_bucket}"):
        put = s3.put_object(Bucket=config.s3_bucket, Key=key, Body=b"")
        version = {"VersionId": put["VersionId"]} if put.get("VersionId") else {}
        s3.delete_object(Bucket=config.s3_bucket, Key=key, **version)
    return Check("bucket", ok=True, why=f"{config.s3_bucket} can be written to")


def _secret(aws: Aws, config: AwsConfig) -> Check:
    mend = f"UPSTAGE_API_KEY=up_... {DEPLOY}"
    # by the ARN as given: with or without AWS's six characters, which no name can tell from ours
    arn = config.secret_arn
    found = look_secret(aws.client("secretsmanager"), arn)
    if found is None:
        why = f"{arn} is not there"
        if _SUFFIX.search(arn):
            why += " (AWS takes a hyphen and six characters at its end for its own: give it whole)"
        return Check("secret", ok=False, why=why, mend=mend)
    if found.value is None:
        why = f"{arn} {'is being deleted' if found.being_deleted else 'holds no text'}"
        return Check("secret", ok=False, why=why, mend=mend)
    fault = _key_fault(found.value.reveal())
    if fault:
        return Check("secret", ok=False, why=f"{arn}: {fault}", mend=mend)
    return Check("secret", ok=True, why=f"{arn} holds a key (not shown)")


def _key_fault(value: str) -> str:
    """What is wrong with a secret's form, "" where nothing is. Never repeats the value."""
    try:
        keys = keys_of_secret(value)
    except ConfigError as error:
        return str(error).splitlines()[0]
    if any(key.secret != key.secret.strip("'\" ") for key in keys):
        return "there are quotes or spaces around the key"
    return ""


def _queue(aws: Aws, config: AwsConfig) -> Check:
    with translated("look at the queue"):
        found = aws.client("batch").describe_job_queues(jobQueues=[config.batch_job_queue])
    return _enabled("queue", config.batch_job_queue, found["jobQueues"])


def _compute(aws: Aws, config: AwsConfig) -> Check:
    batch = aws.client("batch")
    with translated("look at the compute environments"):
        queues = batch.describe_job_queues(jobQueues=[config.batch_job_queue])["jobQueues"]
        wanted = [
            each["computeEnvironment"]
            for queue in queues
            for each in queue["computeEnvironmentOrder"]
        ]
        found = batch.describe_compute_environments(computeEnvironments=wanted) if wanted else {}
    checks = [
        _enabled("compute", each["computeEnvironmentName"], [each])
        for each in found.get("computeEnvironments", ())
    ]
    if not checks:
        return Check("compute", ok=False, why="the queue has no compute", mend=DEPLOY)
    failed = [check for check in checks if not check.ok]
    why = "; ".join(check.why for check in failed or checks)
    return Check("compute", ok=not failed, why=why, mend=DEPLOY if failed else "")


def _enabled(name: str, thing: str, found: list[dict[str, Any]]) -> Check:
    """Whether a queue or compute environment is enabled and valid."""
    if not found:
        return Check(name, ok=False, why=f"{thing} is not there", mend=DEPLOY)
    state, status = found[0].get("state"), found[0].get("status")
    reason = f": {found[0]['statusReason']}" if found[0].get("statusReason") else ""
    if (state, status) == ("ENABLED", "VALID"):
        return Check(name, ok=True, why=f"{thing} is enabled and valid")
    return Check(name, ok=False, why=f"{thing} is {state}, {status}{reason}", mend=DEPLOY)


def _image(aws: Aws, config: AwsConfig, fetch: Callable[[str], bytes]) -> Check:
    definition = look_definition(aws.client("batch"), names.DEFINITION)
    if definition is None:
        raise ConfigError(f"no job definition {names.DEFINITION} is registered")
    container = definition["containerProperties"]
    image = str(container["image"])
    platform = container.get("runtimePlatform") or {}
    wanted = PLATFORMS[platform.get("cpuArchitecture", "X86_64")]
    if "@sha256:" not in image:
        why = f"the job definition names {image}, a tag that may move"
        return Check("image", ok=False, why=why, mend="ocrlabel aws register")
    digest = image.split("@", 1)[1]
    ecr = aws.client("ecr")
    found = architectures(ecr, config.ecr_repository, digest, fetch)
    if wanted not in found:
        why = f"it is for {', '.join(sorted(found))}, the jobs run on {wanted}"
        return Check("image", ok=False, why=why, mend=PUSH)
    return Check("image", ok=True, why=f"{digest[:19]}... is in ECR, for {wanted}")


def _github(aws: Aws) -> Check:
    """Whom the role trusts, and by which form of a token's subject."""
    stack = look_stack(aws.client("cloudformation"))
    chosen = stack.parameters if stack else {}
    names, with_ids = (chosen.get(f"GitHubRepository{form}", "") for form in ("", "WithIds"))
    why = f"{names} may put on the role, by its name and by its ids ({with_ids})"
    if not names:
        why = f"no repository may put on a role ({DEPLOY} --github OWNER/NAME would let one)"
    elif not with_ids:
        why = (
            f"{names} may put on the role, by its name only: tokens of a repository that was made, "
            f"renamed or transferred since {SINCE} have ids ({DEPLOY} --github {names} adds them)"
        )
    return Check("GitHub", ok=True, why=why)


def _call(aws: Aws, config: AwsConfig, call: Callable[[str], Check]) -> Check:
    found = look_secret(aws.client("secretsmanager"), config.secret_arn)
    if found is None or found.value is None:
        raise ConfigError(f"{config.secret_arn} holds no key")
    return call(found.value.reveal())


@dataclass(frozen=True, slots=True)
class InputTable:
    """rows in it; packed: the images are in the table; paths: a sample of where they are else."""

    rows: int
    packed: bool
    paths: tuple[str, ...] = ()


def table_key(dataset: str) -> str:
    """The input's key in the bucket."""
    return f"data/processed/{checked_dataset(dataset)}.parquet"


def read_table(source: BinaryIO, name: str) -> InputTable:
    """From the table's foot and its first rows. Raises ConfigError where it is no such table."""
    import pyarrow as pa  # noqa: PLC0415 -- slow to import, and only these commands read tables

    try:
        table = open_parquet(source)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{name} is no parquet table: {error}") from error
    columns = set(table.schema_arrow.names)
    packed = "image" in columns
    if not packed and "image_path" not in columns:
        raise ConfigError(
            f"{name} has neither `image_path` nor `image` among its columns: "
            f"{', '.join(sorted(columns))}"
        )
    paths = () if packed else tuple(_paths(table))
    return InputTable(table.metadata.num_rows, packed, paths)


def _paths(table: pq.ParquetFile) -> Iterator[str]:
    for batch in table.iter_batches(batch_size=SAMPLE, columns=["image_path"]):
        yield from (str(path) for path in batch.column(0).to_pylist() if path)
        return


def check_images(aws: Aws, bucket: str, dataset: str, table: InputTable) -> Check:
    """The doctor's line on a dataset: a sample of its images is looked for in the bucket."""
    rows = f"{table.rows:,} rows"
    if table.packed:
        return Check("dataset", ok=True, why=f"{dataset}: {rows}, images in the table")
    missing = [path for path in table.paths if not _there(aws, bucket, path)]
    if missing:
        return Check(
            "dataset",
            ok=False,
            why=f"{dataset}: {rows}; {len(missing)} of {len(table.paths)} sampled images are not "
            f"in s3://{bucket}, the first is {missing[0]}",
            mend=f"ocrlabel push {dataset}.parquet s3://{bucket}/{table_key(dataset)}",
        )
    why = f"{dataset}: {rows}; {len(table.paths)} sampled images are there"
    return Check("dataset", ok=True, why=why)


def _there(aws: Aws, bucket: str, path: str) -> bool:
    where, key = bucket, path
    if path.startswith("s3://"):
        where, _, key = path.removeprefix("s3://").partition("/")
    with translated(f"look for {path}"):
        try:
            aws.client("s3").head_object(Bucket=where, Key=key.removeprefix("./").lstrip("/"))
        except ClientError as error:
            if code(error) in {"404", "403", "NoSuchKey"}:
                return False
            raise
    return True
