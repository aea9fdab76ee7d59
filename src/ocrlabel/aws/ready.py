"""Before a page is paid for: whether the job would start, and has what it needs.

`faults` makes the checks of one submission and gives those that failed: whatever is named here
would otherwise end the job, or leave it waiting, minutes or hours later. What these credentials
may not look at is told and left to the doctor, who asks with the deployer's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ocrlabel.aws.deploy import look_log_group
from ocrlabel.aws.image import PLATFORMS, Contents, contents
from ocrlabel.aws.job_definition import look_definition, size_of
from ocrlabel.aws.jobs import LOCAL_MEMORY_MIB, LOCAL_VCPUS
from ocrlabel.aws.names import DEFINITION, LOG_GROUP, QUEUE, STACK, AwsConfig, ec2_name
from ocrlabel.aws.secret import look_secret
from ocrlabel.aws.secret_value import parts_of, text_in
from ocrlabel.aws.session import Aws, AwsRefused, if_there, translated
from ocrlabel.aws.stack import look_stack
from ocrlabel.engines.upstage_keys import keys_of_secret
from ocrlabel.errors import ConfigError, OcrLabelError

DEPLOY: Final = "ocrlabel aws deploy"
PUSH: Final = "ocrlabel aws push-image"
PUSH_LOCAL: Final = f"{PUSH} --target local --vcpu {LOCAL_VCPUS} --memory-mib {LOCAL_MEMORY_MIB}"
NEW_KEY: Final = f"UPSTAGE_API_KEY=up_... {DEPLOY}"
FARGATE: Final = "fargate"
QUOTAS: Final = {"Fargate Spot": "L-36FBB829", "Fargate": "L-3032A538"}
"""Service Quotas' codes of vCPUs that may run at once."""
Fetch = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is well, what was seen, and what mends it."""

    name: str
    ok: bool
    why: str
    mend: str = ""


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

    @property
    def definition(self) -> str:
        """Its job definition's name."""
        return ec2_name(DEFINITION) if self.on_ec2 else DEFINITION

    @property
    def queue(self) -> str:
        """Its queue's name."""
        return ec2_name(QUEUE) if self.on_ec2 else QUEUE


def faults(
    aws: Aws,
    config: AwsConfig,
    planned: Planned,
    fetch: Fetch,
    dataset: Callable[[], Check],
    tell: Callable[[str], None],
) -> list[Check]:
    """The checks that failed. fetch reads an address that ECR signs; dataset looks at the table."""
    definition: dict[str, Any] | None = None
    environments: list[dict[str, Any]] = []

    def defined() -> Check:
        nonlocal definition
        definition = look_definition(aws.client("batch"), planned.definition)
        if definition is None:
            return wrong("job definition", f"{planned.definition} is not registered", PUSH)
        return check_definition(definition, config)

    def queued() -> Check:
        nonlocal environments
        check, environments = check_compute(aws, planned.queue)
        return check

    found = _failed([("job definition", defined), ("compute", queued)], tell)
    if definition is not None:
        found += _failed(_of_workers(aws, config, planned, fetch, definition, environments), tell)
    return found + _failed([("dataset", dataset)], tell)


def _of_workers(
    aws: Aws,
    config: AwsConfig,
    planned: Planned,
    fetch: Fetch,
    definition: Mapping[str, Any],
    environments: Sequence[Mapping[str, Any]],
) -> list[tuple[str, Callable[[], Check]]]:
    """What the definition's workers need, by name. A workflow may not look at all of it."""
    engine = planned.engine
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("image", lambda: check_image(aws, config, definition, fetch, engine)),
        ("size", lambda: check_size(definition, environments, engine)),
        ("network", lambda: check_network(aws, definition, environments)),
    ]
    if planned.by_workflow:
        return checks
    if not planned.on_ec2:
        checks.append(("quota", lambda: check_quotas(aws, definition)))
    if engine == "upstage":
        secret = _secret_of(definition) or ""
        checks.append(("secret", lambda: check_secret(aws, secret, readable_secret(aws))))
    return [*checks, ("logs", lambda: check_logs(aws))]


def _failed(
    checks: Sequence[tuple[str, Callable[[], Check]]], tell: Callable[[str], None]
) -> list[Check]:
    """Those that failed; what may not be looked at is told."""
    found: list[Check] = []
    for name, check in checks:
        try:
            found.append(check())
        except AwsRefused as error:
            tell(f"not looked at: {name} ({str(error).splitlines()[0]})")
        except OcrLabelError as error:
            found.append(wrong(name, *said(error)))
    return [check for check in found if not check.ok]


def refuse(found: Sequence[Check]) -> None:
    """Raise ConfigError with every fault and what mends it; nothing where there is none."""
    if found:
        listed = "".join(
            f"\n  {check.name}: {check.why}"
            + (f"\n    mend it: {check.mend}" if check.mend else "")
            for check in found
        )
        raise ConfigError(f"nothing was submitted, and nothing paid: the job would fail{listed}")


def said(error: OcrLabelError) -> tuple[str, str]:
    """What an error says, and the remedy that it names, "" where it names none."""
    first, *rest = str(error).splitlines()
    return first, " ".join(line.strip() for line in rest)


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
    held = contents(ecr, repository, digest, fetch)
    processor = (container.get("runtimePlatform") or {}).get("cpuArchitecture", "X86_64")
    wanted = PLATFORMS[processor]
    if held.architectures and wanted not in held.architectures:
        why = f"it is for {', '.join(sorted(held.architectures))}, the jobs run on {wanted}"
        return wrong("image", why, f"{PUSH} --architecture {processor}")
    if engine and held.engines and engine not in held.engines:
        why = f"it holds {', '.join(sorted(held.engines))}, and the job asks for {engine}"
        return wrong("image", why, PUSH if engine == "upstage" else PUSH_LOCAL)
    return well("image", _image_text(digest, held))


def _image_text(digest: str, held: Contents) -> str:
    told = "".join(
        f", {word} {', '.join(sorted(values))}"
        for word, values in (("for", held.architectures), ("with", held.engines))
        if values
    )
    return f"{digest[:19]}... is in ECR{told}"


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
    batch = aws.client("batch")
    with translated("look at the queue"):
        queues = batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    check = enabled("queue", queue, queues)
    if not check.ok:
        return check, []
    wanted = [each["computeEnvironment"] for each in queues[0]["computeEnvironmentOrder"]]
    with translated("look at the compute environments"):
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
    own = [one for one in of_vpc if any(_links(link, subnet) for link in one["Associations"])]
    main = [one for one in of_vpc if any(link.get("Main") for link in one["Associations"])]
    made_by = {"Key": "aws:cloudformation:stack-name", "Value": STACK}
    chosen = of_vpc if made_by in subnet.get("Tags", ()) else (own or main)
    routes = (route for table in chosen for route in table["Routes"])
    return next((one for one in routes if one.get("DestinationCidrBlock") == "0.0.0.0/0"), None)


def _links(link: Mapping[str, Any], subnet: Mapping[str, Any]) -> bool:
    return bool(link.get("SubnetId") == subnet["SubnetId"])


def check_logs(aws: Aws) -> Check:
    """Whether the log group is there: without it no container starts."""
    if look_log_group(aws.client("logs")) is None:
        return wrong("logs", f"the log group {LOG_GROUP} is not there")
    return well("logs", f"{LOG_GROUP} is there")


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
        if _ends_as_aws_ends(arn):
            why += " (AWS takes a hyphen and six characters at its end for its own: give it whole)"
        return wrong("secret", why, NEW_KEY)
    if found.value is None:
        why = f"{arn} {'is being deleted' if found.being_deleted else 'holds no text'}"
        return wrong("secret", why, NEW_KEY)
    fault = key_fault(text_in(found.value.reveal(), json_key, where=arn))
    if fault:
        return wrong("secret", f"{arn}: {fault}", NEW_KEY)
    return well("secret", f"{arn} holds a key (not shown)")


def _ends_as_aws_ends(arn: str) -> bool:
    hyphen, end = arn[-7:-6], arn[-6:]
    return hyphen == "-" and end.isascii() and end.isalnum()


def key_fault(value: str) -> str:
    """What is wrong with a secret's form, "" where nothing is. Never repeats the value."""
    try:
        keys_of_secret(value)
    except ConfigError as error:
        return str(error).splitlines()[0]
    return ""
