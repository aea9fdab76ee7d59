"""Before a page is paid for: whether a job would start, and has what it needs.

`faults` makes the checks of one submission and gives those that failed: whatever is named here
would otherwise end the job, or leave it waiting, minutes or hours later. What these credentials
may not look at is told and left to the doctor, `examine`, who makes all checks in the guide's order
with the deployer's. `check_images` is the one of a dataset: its input table (`read_table`) and a
sample of its images; `submit` reads the table's rows with it too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeAlias

from ocrlabel.aws import names
from ocrlabel.aws.deploy import look_log_group
from ocrlabel.aws.github import SINCE
from ocrlabel.aws.image import PLATFORMS, contents
from ocrlabel.aws.job_definition import look_definition, size_of
from ocrlabel.aws.jobs import LOCAL_MEMORY_MIB, LOCAL_VCPUS
from ocrlabel.aws.names import AwsConfig
from ocrlabel.aws.secret import look_secret, parts_of, text_in
from ocrlabel.aws.session import Aws, AwsRefused, if_there, translated
from ocrlabel.aws.stack import look_stack
from ocrlabel.dataset.roots import keys_in
from ocrlabel.engines.upstage_keys import keys_of_secret
from ocrlabel.errors import ConfigError, DatasetError, OcrLabelError

DEPLOY: Final = "ocrlabel aws deploy"
PUSH: Final = "ocrlabel aws push-image"
PUSH_LOCAL: Final = f"{PUSH} --target local --vcpu {LOCAL_VCPUS} --memory-mib {LOCAL_MEMORY_MIB}"
NEW_KEY: Final = f"UPSTAGE_API_KEY=up_... {DEPLOY}"
FARGATE: Final = "fargate"
QUOTAS: Final = {"Fargate Spot": "L-36FBB829", "Fargate": "L-3032A538"}
"""Service Quotas' codes of vCPUs that may run at once."""
SAMPLE: Final = 20
TABLES: Final = "data/processed"
Fetch: TypeAlias = Callable[[str], bytes]
"""Reads an address that ECR signs."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is well, what was seen, and what mends it."""

    name: str
    ok: bool
    why: str
    mend: str = ""


Step: TypeAlias = tuple[str, str, Callable[[], Check]]
"""A check by its name, and what mends it where it does not say that itself."""


def well(name: str, why: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name, ok=True, why=why)


def wrong(name: str, why: str, mend: str = DEPLOY) -> Check:
    """A check that did."""
    return Check(name, ok=False, why=why, mend=mend)


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that is about to be submitted. by_workflow: by whom the key may not be read."""

    engine: str
    on_ec2: bool = False
    by_workflow: bool = False


def faults(
    aws: Aws,
    config: AwsConfig,
    planned: Planned,
    fetch: Fetch,
    dataset: Callable[[], Check],
    tell: Callable[[str], None],
) -> list[Check]:
    """The checks that failed. dataset looks at the table."""
    engine = planned.engine
    definition: dict[str, Any] = {}
    environments: list[dict[str, Any]] = []

    def defined() -> Check:
        name = names.DEFINITIONS[planned.on_ec2]
        definition.update(look_definition(aws.client("batch"), name) or {})
        if not definition:
            return wrong("job definition", f"{name} is not registered", PUSH)
        return check_definition(definition, config)

    def queued() -> Check:
        check, there = check_compute(aws, names.QUEUES[planned.on_ec2])
        environments.extend(there)
        return check

    def secret() -> Check:
        return check_secret(aws, _secret_of(definition) or "", readable_secret(aws))

    found = _failed([("job definition", "", defined), ("compute", "", queued)], tell)
    needs: list[Step] = [
        ("image", "", lambda: check_image(aws, config, definition, fetch, engine)),
        ("size", "", lambda: check_size(definition, environments, engine)),
        ("network", "", lambda: check_network(aws, definition, environments)),
    ]
    if not planned.by_workflow:  # it may not look at the rest
        if not planned.on_ec2:
            needs.append(("quota", "", lambda: check_quotas(aws, definition)))
        if engine == "upstage":
            needs.append(("secret", "", secret))
        needs.append(("logs", "", lambda: check_logs(aws)))
    return found + _failed([*(needs if definition else ()), ("dataset", "", dataset)], tell)


def _failed(checks: Sequence[Step], tell: Callable[[str], None]) -> list[Check]:
    """Those that failed; what may not be looked at is told."""
    found: list[Check] = []
    for each in checks:
        try:
            found.append(_made(*each, left=(AwsRefused,)))
        except AwsRefused as error:
            tell(f"not looked at: {each[0]} ({str(error).splitlines()[0]})")
    return [check for check in found if not check.ok]


def _made(
    name: str, mend: str, check: Callable[[], Check], left: tuple[type[Exception], ...] = ()
) -> Check:
    """The check; one that cannot be made is one that failed. Raises the errors that are left."""
    try:
        return check()
    except left:
        raise
    except OcrLabelError as error:
        why, *rest = str(error).splitlines()
        return wrong(name, why, " ".join(line.strip() for line in rest) or mend)


def refuse(found: Sequence[Check]) -> None:
    """Raise ConfigError with every fault and what mends it; nothing where there is none."""
    if found:
        listed = "".join(
            f"\n  {check.name}: {check.why}"
            + (f"\n    mend it: {check.mend}" if check.mend else "")
            for check in found
        )
        raise ConfigError(f"nothing was submitted, and nothing paid: the job would fail{listed}")


def _given(definition: Mapping[str, Any], kind: str, name: str, value: str) -> str | None:
    """A variable or a secret of the container; None where it has none of that name."""
    listed = definition["containerProperties"].get(kind, ())
    return next((str(each[value]) for each in listed if each["name"] == name), None)


def _secret_of(definition: Mapping[str, Any]) -> str | None:
    return _given(definition, "secrets", "UPSTAGE_API_KEY", "valueFrom")


def check_definition(definition: Mapping[str, Any], config: AwsConfig) -> Check:
    """Whether it is filled in, and for this bucket."""
    name = f"{definition['jobDefinitionName']}:{definition.get('revision', '')}"
    container = definition["containerProperties"]
    bucket = _given(definition, "environment", "S3_BUCKET", "value")
    roles = [str(container.get(role, "")) for role in ("jobRoleArn", "executionRoleArn")]
    texts = (str(container["image"]), _secret_of(definition), bucket, *roles)
    if left := [text for text in texts if text and text.startswith("<")]:
        return wrong("job definition", f"{name} still has {left[0]} in it", "ocrlabel aws register")
    if bucket != config.s3_bucket:
        why = f"{name} is for the bucket {bucket}, config.env names {config.s3_bucket}"
        return wrong("job definition", why, "ocrlabel aws register")
    for there, ours in zip(roles, (config.job_role_arn, config.exec_role_arn), strict=True):
        if there != ours:
            why = f"{name} puts on the role {there or 'of nobody'}, config.env names {ours}"
            return wrong("job definition", why, "ocrlabel aws register")
    return well("job definition", f"{name} is filled in")


def check_image(
    aws: Aws, config: AwsConfig, definition: Mapping[str, Any], fetch: Fetch, engine: str = ""
) -> Check:
    """Whether the image is in ECR, for the jobs' processor, and with the engine in it."""
    container = definition["containerProperties"]
    image = str(container["image"])
    host, _, rest = image.partition("/")
    if host != config.ecr_uri.partition("/")[0]:
        return well("image", f"{image} is not of this registry, and was not looked at")
    repository, at, digest = rest.partition("@")
    repository, _, tag = repository.partition(":")
    which: Any = {"imageDigest": digest} if at else {"imageTag": tag or "latest"}
    ecr = aws.client("ecr")
    answer = if_there(
        f"look for {rest} in ECR",
        lambda: ecr.describe_images(repositoryName=repository, imageIds=[which]),
        *("ImageNotFoundException", "RepositoryNotFoundException"),
    )
    if answer is None:
        return wrong("image", f"{rest} is not in ECR", PUSH)
    digest = str(answer["imageDetails"][0]["imageDigest"])
    platforms, engines = contents(ecr, repository, digest, fetch)
    made_for, holds = (", ".join(sorted(each)) for each in (platforms, engines))
    processor = (container.get("runtimePlatform") or {}).get("cpuArchitecture", "X86_64")
    wanted = PLATFORMS[processor]
    if platforms and wanted not in platforms:
        why = f"it is for {made_for}, the jobs run on {wanted}"
        return wrong("image", why, f"{PUSH} --architecture {processor}")
    if engine and engines and engine not in engines:
        why = f"it holds {holds}, and the job asks for {engine}"
        return wrong("image", why, PUSH if engine == "upstage" else PUSH_LOCAL)
    told = (f", for {made_for}" if platforms else "") + (f", with {holds}" if engines else "")
    return well("image", f"{digest[:19]}... is in ECR{told}")


def check_size(
    definition: Mapping[str, Any], environments: Sequence[Mapping[str, Any]], engine: str
) -> Check:
    """Whether a worker has the memory that its engine needs, and some compute has its vCPUs."""
    vcpu, memory_mib = map(float, size_of(definition))
    said = f"a worker has {vcpu:g} vCPU and {memory_mib:g} MiB"
    if engine != "upstage" and memory_mib < LOCAL_MEMORY_MIB:
        why = f"{said}, and {engine} needs {LOCAL_MEMORY_MIB} MiB"
        mend = f"ocrlabel aws register --vcpu {LOCAL_VCPUS} --memory-mib {LOCAL_MEMORY_MIB}"
        return wrong("size", why, mend)
    most = max((each["computeResources"]["maxvCpus"] for each in environments), default=None)
    if most is not None and vcpu > most:
        why = f"{said}, and no compute environment has more than {most:g} vCPUs"
        return wrong("size", why, f"{DEPLOY} --max-vcpus {int(vcpu)}, or register with --vcpu less")
    return well("size", said)


def check_compute(aws: Aws, queue: str) -> tuple[Check, list[dict[str, Any]]]:
    """Whether queue and compute environments are enabled and valid; and these environments."""
    queues = _look_queue(aws, queue)
    check = enabled("queue", queue, queues)
    if not check.ok:
        return check, []
    wanted = [each["computeEnvironment"] for each in queues[0]["computeEnvironmentOrder"]]
    with translated("look at the compute environments"):
        batch = aws.client("batch")
        found = batch.describe_compute_environments(computeEnvironments=wanted) if wanted else {}
    environments = [dict(each) for each in found.get("computeEnvironments", ())]
    each_check = [enabled("compute", one["computeEnvironmentName"], [one]) for one in environments]
    if not each_check:
        return wrong("compute", "the queue has no compute"), []
    failed = [one for one in each_check if not one.ok]
    why = "; ".join(one.why for one in failed or each_check)
    # one of them is enough to run on
    ok = len(failed) < len(each_check)
    return Check("compute", ok=ok, why=why, mend="" if ok else DEPLOY), environments


def _look_queue(aws: Aws, queue: str) -> list[dict[str, Any]]:
    with translated("look at the queue"):
        found = aws.client("batch").describe_job_queues(jobQueues=[queue])
    return list(found["jobQueues"])


def enabled(name: str, thing: str, found: Sequence[Mapping[str, Any]]) -> Check:
    """Whether a queue or compute environment is enabled and valid."""
    if not found:
        return wrong(name, f"{thing} is not there")
    state, status = found[0].get("state"), found[0].get("status")
    reason = f": {found[0]['statusReason']}" if found[0].get("statusReason") else ""
    if (state, status) == ("ENABLED", "VALID"):
        return well(name, f"{thing} is enabled and valid")
    return wrong(name, f"{thing} is {state}, {status}{reason}")


def check_network(
    aws: Aws, definition: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]
) -> Check:
    """Whether every subnet of the compute has a way to ECR, Secrets Manager and the OCR service."""
    subnets = sorted({n for one in environments for n in one["computeResources"]["subnets"]})
    if not subnets:
        return well("network", "the queue's compute names no subnets")
    ec2 = aws.client("ec2")
    found = if_there(
        "look at the subnets",
        lambda: ec2.describe_subnets(SubnetIds=subnets)["Subnets"],
        "InvalidSubnetID.NotFound",
    )
    if found is None:
        return wrong("network", f"a subnet of {', '.join(subnets)} is not there")
    with translated("look at the subnets"):
        vpcs = sorted({str(subnet["VpcId"]) for subnet in found})
        filters = [{"Name": "vpc-id", "Values": vpcs}]
        tables = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    given = definition["containerProperties"].get("networkConfiguration", {})
    on_fargate = definition.get("platformCapabilities") == ["FARGATE"]
    addressed = given.get("assignPublicIp") == "ENABLED" if on_fargate else None
    lost = [why for subnet in found if (why := _no_way_out(subnet, tables, addressed))]
    mend = f"{DEPLOY} --network own, or --subnets with a route to the internet"
    if lost:
        return wrong("network", "; ".join(lost), mend)
    return well("network", f"{len(subnets)} subnets with a way to the internet")


def _no_way_out(
    subnet: Mapping[str, Any], tables: Sequence[Mapping[str, Any]], addressed: bool | None
) -> str:
    """Why what runs in this subnet reaches nothing, "" where it does; None: as the subnet says."""
    name = str(subnet["SubnetId"])
    route = _default_route(subnet, tables)
    if route is None:
        # a default VPC comes with one (documented), and this is no place to doubt AWS
        return "" if subnet.get("DefaultForAz") else f"{name} has no route to the internet"
    if route.get("State") == "blackhole":
        return f"{name}'s route to the internet leads nowhere (blackhole)"
    by_gateway = str(route.get("GatewayId", "")).startswith("igw-")
    has_address = subnet.get("MapPublicIpOnLaunch") if addressed is None else addressed
    if by_gateway and not has_address:
        return f"{name} leads to an internet gateway, and its jobs get no public address"
    return ""


def _default_route(
    subnet: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The route to everywhere in the subnet's own table, or in the main one of its VPC.

    What links a subnet of our own stack to its table is the stack's: any table of its VPC will do.
    """
    of_vpc = [each for each in tables if each["VpcId"] == subnet["VpcId"]]
    links = [(link, table) for table in of_vpc for link in table["Associations"]]
    own = [table for link, table in links if link.get("SubnetId") == subnet["SubnetId"]]
    main = [table for link, table in links if link.get("Main")]
    made_by = {"Key": "aws:cloudformation:stack-name", "Value": names.STACK}
    chosen = of_vpc if made_by in subnet.get("Tags", ()) else (own or main)
    routes = (route for table in chosen for route in table["Routes"])
    return next((one for one in routes if one.get("DestinationCidrBlock") == "0.0.0.0/0"), None)


def check_logs(aws: Aws) -> Check:
    """Whether the log group is there: without it no container starts."""
    if look_log_group(aws.client("logs")) is None:
        return wrong("logs", f"the log group {names.LOG_GROUP} is not there")
    return well("logs", f"{names.LOG_GROUP} is there")


def look_quota(aws: Aws, code: str) -> float | None:
    """How many vCPUs of Fargate may run at once; None where AWS tells none."""
    answer = if_there(
        "read a quota",
        lambda: aws.client("service-quotas").get_service_quota(ServiceCode=FARGATE, QuotaCode=code),
        "NoSuchResourceException",
    )
    return None if answer is None else float(answer["Quota"]["Value"])


def more_of(code: str) -> str:
    """The command that asks for more."""
    return (
        f"aws service-quotas request-service-quota-increase --service-code {FARGATE} "
        f"--quota-code {code} --desired-value 16"
    )


def check_quotas(aws: Aws, definition: Mapping[str, Any]) -> Check:
    """Whether a worker fits into what of Fargate may run at once, by Spot or on demand."""
    known = {code: look_quota(aws, code) for code in QUOTAS.values()}
    most = max((vcpus for vcpus in known.values() if vcpus is not None), default=None)
    vcpu = float(size_of(definition)[0])
    if most is not None and None not in known.values() and most < vcpu:
        why = f"{most:g} vCPUs of Fargate may run at once in this account, a worker has {vcpu:g}"
        return wrong("quota", why, more_of(QUOTAS["Fargate Spot"]))
    return well("quota", "a worker fits")


def check_credentials(aws: Aws, config: AwsConfig) -> Check:
    """Whether these keys and this region are those of the deployment."""
    location = aws.location()
    if location.account != config.aws_account_id:
        why = f"these are account {location.account}'s, config.env is {config.aws_account_id}'s"
        return wrong("credentials", why, f"aws configure, or {DEPLOY}")
    if location.region != config.aws_region:
        why = f"the region is {location.region}, config.env says {config.aws_region}"
        return wrong("credentials", why, "source aws/config.env")
    return well("credentials", f"account {location.account}, {location.region}")


def readable_secret(aws: Aws) -> str:
    """The secret that the stack's execution role may read; "" where there is no stack."""
    stack = look_stack(aws.client("cloudformation"))
    return stack.parameters.get("SecretName", "") if stack else ""


def check_secret(aws: Aws, reference: str, readable: str = "") -> Check:
    """Whether the secret is there and holds a key, not a placeholder. Never repeats the value.

    By the ARN as given, with or without AWS's six characters, which no name can tell from ours.
    readable: the one that the execution role may read, where it is known.
    """
    arn, json_key = parts_of(reference)
    name = arn.partition(":secret:")[2]
    if not name:
        why = f"{reference!r} is no ARN of a secret, and ECS takes it for a parameter of SSM"
        return wrong("secret", why, f"{DEPLOY}, then ocrlabel aws register")
    if readable and name != readable and not re.fullmatch(rf"{re.escape(readable)}-.{{6}}", name):
        why = f"{arn} is not {readable}, the one that the jobs' execution role may read"
        return wrong("secret", why, f"SECRET_NAME=... {DEPLOY}, then ocrlabel aws register")
    found = look_secret(aws.client("secretsmanager"), arn)
    if found is None:
        why = f"{arn} is not there"
        if names.AWS_ENDING.search(arn):
            why += " (AWS takes a hyphen and six characters at its end for its own: give it whole)"
        return wrong("secret", why, NEW_KEY)
    if found.value is None:
        why = f"{arn} {'is being deleted' if found.being_deleted else 'holds no text'}"
        return wrong("secret", why, NEW_KEY)
    value = text_in(found.value.reveal(), json_key, where=arn)
    try:
        keys_of_secret(value)
    except ConfigError as error:
        return wrong("secret", f"{arn}: {str(error).splitlines()[0]}", NEW_KEY)
    return well("secret", f"{arn} holds a key (not shown)")


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
    checks: list[Step] = [
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
    for each in checks:
        yield _made(*each)


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
    queue = config.batch_job_queue
    return enabled("queue", queue, _look_queue(aws, queue))


def _github(aws: Aws) -> Check:
    """Whom the role trusts, and by which form of a token's subject."""
    stack = look_stack(aws.client("cloudformation"))
    chosen = stack.parameters if stack else {}
    named, with_ids = (chosen.get(f"GitHubRepository{form}", "") for form in ("", "WithIds"))
    why = f"{named} may put on the role, by its name and by its ids ({with_ids})"
    if not named:
        why = f"no repository may put on a role ({DEPLOY} --github OWNER/NAME would let one)"
    elif not with_ids:
        why = (
            f"{named} may put on the role, by its name only: tokens of a repository that was made, "
            f"renamed or transferred since {SINCE} have ids ({DEPLOY} --github {named} adds them)"
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
    return f"{TABLES}/{names.checked_dataset(dataset)}.parquet"


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
