"""Before money is spent: is everything there and allowed, and if not, which command mends it.

`examine` makes the checks in the guide's order. `check_images` is the one of a dataset: its input
table (`read_table`) and a sample of its images; `submit` reads the table's rows with it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from ocrlabel.aws import names
from ocrlabel.aws.github_subject import SINCE
from ocrlabel.aws.job_definition import look_definition
from ocrlabel.aws.names import AwsConfig, checked_dataset
from ocrlabel.aws.ready import (
    DEPLOY,
    NEW_KEY,
    PUSH,
    QUOTAS,
    Check,
    Fetch,
    check_compute,
    check_credentials,
    check_image,
    check_logs,
    check_network,
    check_secret,
    enabled,
    look_quota,
    more_of,
    readable_secret,
    said,
    well,
    wrong,
)
from ocrlabel.aws.secret import look_secret
from ocrlabel.aws.secret_value import parts_of, text_in
from ocrlabel.aws.session import Aws, translated
from ocrlabel.aws.stack import look_stack
from ocrlabel.dataset.roots import keys_in
from ocrlabel.errors import ConfigError, DatasetError, OcrLabelError

SAMPLE: Final = 20
TABLES: Final = "data/processed"


def examine(
    aws: Aws,
    config: AwsConfig,
    fetch: Fetch,
    *,
    call: Callable[[str], Check] | None = None,
    dataset: Callable[[], Check] | None = None,
) -> Iterator[Check]:
    """Every check in the order of the guide; one that cannot be made is one that failed.

    fetch reads an address that ECR signs; call asks the OCR service with a secret's text.
    """
    checks: list[tuple[str, str, Callable[[], Check]]] = [
        ("credentials", "aws configure", lambda: check_credentials(aws, config)),
        *((f"quota {quota[0]}", "", lambda q=quota: _quota(aws, *q)) for quota in QUOTAS.items()),
        ("bucket", DEPLOY, lambda: _bucket(aws, config)),
        ("secret", NEW_KEY, lambda: check_secret(aws, config.secret_arn, readable_secret(aws))),
        ("logs", DEPLOY, lambda: check_logs(aws)),
        ("queue", DEPLOY, lambda: _queue(aws, config)),
        ("compute", DEPLOY, lambda: check_compute(aws, config.batch_job_queue)[0]),
        ("image", PUSH, lambda: _image(aws, config, fetch)),
        ("network", PUSH, lambda: _network(aws, config)),
        ("GitHub", DEPLOY, lambda: _github(aws)),
        ("drift", DEPLOY, lambda: _drift(aws)),
    ]
    if call is not None:
        checks.append(("OCR call", "", lambda: _call(aws, config, call)))
    if dataset is not None:
        checks.append(("dataset", "ocrlabel push", dataset))
    for name, mend, check in checks:
        try:
            yield check()
        except OcrLabelError as error:
            why, remedy = said(error)
            yield Check(name, ok=False, why=why, mend=remedy or mend)


def _quota(aws: Aws, name: str, code: str) -> Check:
    vcpus = look_quota(aws, code)
    if vcpus is None:
        return wrong(f"quota {name}", "AWS tells no such quota in this region", "")
    mend = "" if vcpus >= 1 else more_of(code)
    return Check(f"quota {name}", ok=vcpus >= 1, why=f"{vcpus:g} vCPUs may run at once", mend=mend)


def _bucket(aws: Aws, config: AwsConfig) -> Check:
    s3 = aws.client("s3")
    key = f"checkpoints/.ocrlabel-doctor-{aws.now_s():.0f}"
    with translated(f"write to bucket {config.s3_bucket}"):
        put = s3.put_object(Bucket=config.s3_bucket, Key=key, Body=b"")
        version = {"VersionId": put["VersionId"]} if put.get("VersionId") else {}
        s3.delete_object(Bucket=config.s3_bucket, Key=key, **version)
    return well("bucket", f"{config.s3_bucket} can be written to")


def _definition(aws: Aws) -> dict[str, Any]:
    definition = look_definition(aws.client("batch"), names.DEFINITION)
    if definition is None:
        raise ConfigError(f"no job definition {names.DEFINITION} is registered")
    return definition


def _image(aws: Aws, config: AwsConfig, fetch: Fetch) -> Check:
    definition = _definition(aws)
    image = str(definition["containerProperties"]["image"])
    if "@sha256:" not in image:
        why = f"the job definition names {image}, a tag that may move"
        return wrong("image", why, "ocrlabel aws register")
    return check_image(aws, config, definition, fetch)


def _network(aws: Aws, config: AwsConfig) -> Check:
    _, environments = check_compute(aws, config.batch_job_queue)
    return check_network(aws, _definition(aws), environments)


def _queue(aws: Aws, config: AwsConfig) -> Check:
    with translated("look at the queue"):
        found = aws.client("batch").describe_job_queues(jobQueues=[config.batch_job_queue])
    return enabled("queue", config.batch_job_queue, found["jobQueues"])


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
    return well("GitHub", why)


def _drift(aws: Aws) -> Check:
    """Whether somebody changed what the stack made, as AWS said when it was last asked to look."""
    stack = look_stack(aws.client("cloudformation"))
    ask = f"aws cloudformation detect-stack-drift --stack-name {names.STACK}"
    if stack is None:
        return wrong("drift", f"there is no stack {names.STACK}")
    if stack.drift == "DRIFTED":
        mend = f"aws cloudformation describe-stack-resource-drifts --stack-name {names.STACK}"
        return wrong("drift", "something of the stack was changed by other hands", mend)
    if stack.drift == "IN_SYNC":
        return well("drift", "the stack was as it was made when AWS last looked")
    return well("drift", f"AWS was never asked to look ({ask})")


def _call(aws: Aws, config: AwsConfig, call: Callable[[str], Check]) -> Check:
    secret, json_key = parts_of(config.secret_arn)
    found = look_secret(aws.client("secretsmanager"), secret)
    if found is None or found.value is None:
        raise ConfigError(f"{config.secret_arn} holds no key")
    return call(text_in(found.value.reveal(), json_key, where=config.secret_arn))


@dataclass(frozen=True, slots=True)
class InputTable:
    """rows in it; packed: the images are in the table; paths: a sample of where they are else."""

    rows: int
    packed: bool
    paths: tuple[str, ...] = ()


def table_key(dataset: str) -> str:
    """The input's key in the bucket."""
    return f"{TABLES}/{checked_dataset(dataset)}.parquet"


def read_table(
    source: BinaryIO, name: str, *, image_column: str | None = None, id_column: str | None = None
) -> InputTable:
    """From the table's foot and its first rows, as the worker reads them. Raises DatasetError."""
    from ocrlabel.dataset.input_tables import ParquetRows  # noqa: PLC0415 -- slow to import

    rows = ParquetRows(source, name, image_column, id_column, fingerprint="not asked for")
    if not rows.count:
        raise DatasetError(f"{name} has no rows")
    first = rows.refs(0, SAMPLE)
    packed = all(ref.embedded for ref in first)
    return InputTable(rows.count, packed, () if packed else tuple(ref.path for ref in first))


def check_images(aws: Aws, bucket: str, dataset: str, table: InputTable) -> Check:
    """The line on a dataset: a sample of its images is looked for in the bucket.

    Where the worker looks: from the bucket's root, then beside the table.
    """
    rows = f"{table.rows:,} rows"
    if table.packed:
        return well("dataset", f"{dataset}: {rows}, images in the table")
    missing = [path for path in table.paths if not _there(aws, bucket, path)]
    if missing:
        key = table_key(dataset)
        why = (
            f"{dataset}: {rows}; {len(missing)} of {len(table.paths)} sampled images are not in "
            f"s3://{bucket}, the first is {missing[0] or 'a row without a path'}"
        )
        return wrong("dataset", why, f"ocrlabel push {key} s3://{bucket}/{key} --pack")
    return well("dataset", f"{dataset}: {rows}; {len(table.paths)} sampled images are there")


def _there(aws: Aws, bucket: str, path: str) -> bool:
    """Whether the object is there, by listing: a workflow may list, and may not read images."""
    keys = (key for prefix in ("", TABLES) for key in keys_in(bucket, prefix, path) if path)
    with translated(f"look for {path}"):
        s3 = aws.client("s3")
        for key in keys:
            found = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
            if found.get("Contents", [{}])[0].get("Key") == key:
                return True
    return False
