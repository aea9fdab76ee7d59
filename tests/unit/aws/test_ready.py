"""One fault after the other in an account that is ready: each is named before anything is paid."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocrlabel.aws.job_definition import JobValues, fargate
from ocrlabel.aws.ready import (
    Check,
    Planned,
    check_definition,
    check_images,
    check_quotas,
    check_secret,
    faults,
    read_table,
    refuse,
)
from ocrlabel.aws.session import Aws
from ocrlabel.errors import ConfigError
from tests.support.aws import ACCOUNT, CONFIG, REGION, FakeTime, aws_at, client, serving
from tests.support.aws_user import newcomer
from tests.support.s3 import moto_server

KEY = "up_a_key"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service"
TABLE = "data/processed/train.parquet"


class Layers:
    """ECR at moto, which hands out no layers, with the one layer that is asked for."""

    def __init__(self, ecr: Any) -> None:
        self._ecr = ecr

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ecr, name)

    def get_download_url_for_layer(self, **_: object) -> dict[str, str]:
        return {"downloadUrl": "https://signed"}


class Account:
    """All that a job needs, in moto; `description` is what the image says of itself."""

    def __init__(self, url: str) -> None:
        newcomer(url)
        self.plain = aws_at({"*": url})
        self.description: dict[str, Any] = {
            "architecture": "amd64",
            "config": {"Labels": {"ocrlabel.engines": "upstage"}},
        }
        self.told: list[str] = []
        self.columns: dict[str, str] = {}

        def make(service: str) -> Any:
            made = client(service, url)
            return Layers(made) if service == "ecr" else made

        time = FakeTime()
        self.aws = Aws(make, REGION, sleep=time.sleep, now_s=time.clock)
        self.secret = self.of("secretsmanager").create_secret(Name="key", SecretString=KEY)["ARN"]
        self.of("s3").create_bucket(Bucket=CONFIG.s3_bucket)
        self.put_table(["images/1.png"])
        self.of("s3").put_object(Bucket=CONFIG.s3_bucket, Key="images/1.png", Body=b"png")
        self.of("logs").create_log_group(logGroupName="/aws/batch/job")
        self.of("ecr").create_repository(repositoryName=CONFIG.ecr_repository)
        self.digest = self.push("1")
        self.network()
        self.register()

    def of(self, service: str) -> Any:
        return self.plain.client(service)

    def push(self, mark: str) -> str:
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": "sha256:" + mark * 64},
        }
        image = self.of("ecr").put_image(
            repositoryName=CONFIG.ecr_repository,
            imageManifest=json.dumps(manifest),
            imageTag="latest",
        )
        return str(image["image"]["imageId"]["imageDigest"])

    def network(self) -> None:
        ec2 = self.of("ec2")
        self.vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.1.0.0/20")["Subnet"]["SubnetId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(VpcId=self.vpc, InternetGatewayId=gateway)
        found = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
        self.table = found["RouteTables"][0]["RouteTableId"]
        ec2.create_route(
            RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
        )
        group = ec2.create_security_group(VpcId=self.vpc, GroupName="g", Description="g")
        batch = self.of("batch")
        compute = {
            "type": "FARGATE_SPOT",
            "maxvCpus": 4,
            "subnets": [subnet],
            "securityGroupIds": [group["GroupId"]],
        }
        made = batch.create_compute_environment(
            computeEnvironmentName="spot",
            type="MANAGED",
            state="ENABLED",
            computeResources=compute,
            serviceRole=ROLE,
        )
        batch.create_job_queue(
            jobQueueName="batch-processor-queue",
            state="ENABLED",
            priority=1,
            computeEnvironmentOrder=[
                {"order": 1, "computeEnvironment": made["computeEnvironmentArn"]}
            ],
        )

    def register(self, *, vcpu="1", memory="2048", architecture="X86_64", **changed: str) -> None:
        image = f"{CONFIG.ecr_uri}@{changed.pop('digest', self.digest)}"
        values = JobValues(CONFIG, image, architecture, vcpu, memory)
        definition = fargate(values)
        container = definition["containerProperties"]
        container["secrets"][0]["valueFrom"] = changed.get("secret", self.secret)
        container["environment"][0]["value"] = changed.get("bucket", CONFIG.s3_bucket)
        container["jobRoleArn"] = changed.get("role", CONFIG.job_role_arn)
        if changed.get("address"):
            container["networkConfiguration"]["assignPublicIp"] = changed["address"]
        self.of("batch").register_job_definition(**definition)

    def put_table(self, paths: Sequence[object], column: str = "image_path") -> None:
        held = io.BytesIO()
        ids = [f"row {number}" for number in range(len(paths))]
        pq.write_table(pa.table({"id": ids, column: paths}), held)
        self.of("s3").put_object(Bucket=CONFIG.s3_bucket, Key=TABLE, Body=held.getvalue())

    def dataset(self) -> Check:
        body = self.of("s3").get_object(Bucket=CONFIG.s3_bucket, Key=TABLE)["Body"].read()
        table = read_table(io.BytesIO(body), "t", **self.columns)
        return check_images(self.aws, CONFIG.s3_bucket, "train", table)

    def faults(self, engine: str = "upstage") -> list[Check]:
        return faults(
            self.aws,
            CONFIG,
            Planned(engine),
            lambda _: json.dumps(self.description).encode(),
            self.dataset,
            self.told.append,
        )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def account(url) -> Account:
    return Account(url)


def test_where_all_is_well_nothing_is_named(account):
    assert account.faults() == []
    assert account.told == []
    refuse([])


def no_definition(account: Account) -> None:
    account.of("batch").deregister_job_definition(jobDefinition="pseudo-label-processor:1")


def no_image(account: Account) -> None:
    account.register(digest="sha256:" + "f" * 64)


def another_engine(account: Account) -> None:
    account.register(memory="4096")


def another_processor(account: Account) -> None:
    account.description["architecture"] = "arm64"


def too_little_memory(account: Account) -> None:
    account.description["config"]["Labels"]["ocrlabel.engines"] = "upstage rapidocr"


def too_many_vcpus(account: Account) -> None:
    account.register(vcpu="16", memory="32768")


def no_secret(account: Account) -> None:
    account.of("secretsmanager").delete_secret(
        SecretId=account.secret, ForceDeleteWithoutRecovery=True
    )


def secret_on_its_way_out(account: Account) -> None:
    account.of("secretsmanager").delete_secret(SecretId=account.secret)


def placeholder(account: Account) -> None:
    account.of("secretsmanager").put_secret_value(
        SecretId=account.secret, SecretString="your-api-key-here"
    )


def no_way_out(account: Account) -> None:
    account.of("ec2").delete_route(RouteTableId=account.table, DestinationCidrBlock="0.0.0.0/0")


def no_address(account: Account) -> None:
    account.register(address="DISABLED")


def queue_off(account: Account) -> None:
    account.of("batch").update_job_queue(jobQueue="batch-processor-queue", state="DISABLED")


def images_left_behind(account: Account) -> None:
    account.put_table(["/srv/me/images/1.png", "/srv/me/images/2.png"])


def another_bucket(account: Account) -> None:
    account.register(bucket="of-somebody-else")


def in_another_bucket(account: Account) -> None:
    account.of("s3").create_bucket(Bucket="of-others")
    account.of("s3").put_object(Bucket="of-others", Key="1.png", Body=b"png")
    account.put_table(["s3://of-others/1.png"])


def at_an_absolute_path(account: Account) -> None:
    account.put_table(["/images/1.png"])  # of another machine, though the bucket has images/1.png


def no_paths(account: Account) -> None:
    account.put_table([None, ""])


def no_rows(account: Account) -> None:
    account.put_table(pa.array([], pa.string()))


def no_images(account: Account) -> None:
    account.put_table([1, 2], column="pages")


def results_of_a_run(account: Account) -> None:
    account.put_table(["x"], column="failure_class")


def no_log_group(account: Account) -> None:
    account.of("logs").delete_log_group(logGroupName="/aws/batch/job")


def role_of_an_earlier_stack(account: Account) -> None:
    account.register(role=f"arn:aws:iam::{ACCOUNT}:role/ocrlabel-JobRole-0")


def name_of_a_secret(account: Account) -> None:
    account.register(secret="key")


def parameter_of_ssm(account: Account) -> None:
    account.register(secret=f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/key")


def no_such_key_in_the_json(account: Account) -> None:
    account.of("secretsmanager").put_secret_value(
        SecretId=account.secret, SecretString='{"api_key": "up_a_key"}'
    )
    account.register(secret=f"{account.secret}:upstage::")


def unfilled(account: Account) -> None:
    account.register(secret="<SECRET_ARN>")


PUSH_TABLE = f"ocrlabel push {TABLE} s3://labels/{TABLE} --pack"
SEEDED: list[tuple[Callable[[Account], None], str, str, str, str]] = [
    (no_definition, "upstage", "job definition", "is not registered", "ocrlabel aws push-image"),
    (no_image, "upstage", "image", "is not in ECR", "ocrlabel aws push-image"),
    (another_engine, "rapidocr", "image", "asks for rapidocr", "push-image --target local"),
    (another_processor, "upstage", "image", "for arm64, the jobs run on amd64", "push-image"),
    (too_little_memory, "rapidocr", "size", "rapidocr needs 4096 MiB", "--memory-mib 4096"),
    (too_many_vcpus, "upstage", "size", "more than 4 vCPUs", "deploy --max-vcpus 16"),
    (no_secret, "upstage", "secret", "is not there", "UPSTAGE_API_KEY=up_... ocrlabel aws deploy"),
    (secret_on_its_way_out, "upstage", "secret", "is being deleted", "ocrlabel aws deploy"),
    (placeholder, "upstage", "secret", "is a placeholder", "ocrlabel aws deploy"),
    (no_way_out, "upstage", "network", "has no route to the internet", "deploy --network own"),
    (no_address, "upstage", "network", "get no public address", "deploy --network own"),
    (queue_off, "upstage", "queue", "batch-processor-queue is DISABLED", "ocrlabel aws deploy"),
    (images_left_behind, "upstage", "dataset", "2 of 2 sampled images are not in", PUSH_TABLE),
    (another_bucket, "upstage", "job definition", "of-somebody-else", "ocrlabel aws register"),
    (unfilled, "upstage", "job definition", "<SECRET_ARN>", "ocrlabel aws register"),
    (in_another_bucket, "upstage", "dataset", "the first is s3://of-others/1.png", PUSH_TABLE),
    (at_an_absolute_path, "upstage", "dataset", "the first is /images/1.png", PUSH_TABLE),
    (no_paths, "upstage", "dataset", "the first is a row without a path", PUSH_TABLE),
    (no_rows, "upstage", "dataset", "t has no rows", ""),
    (no_images, "upstage", "dataset", "name yours with --image-column", ""),
    (results_of_a_run, "upstage", "dataset", "no column with images", ""),
    (no_log_group, "upstage", "logs", "/aws/batch/job is not there", "ocrlabel aws deploy"),
    (role_of_an_earlier_stack, "upstage", "job definition", "JobRole-0", "ocrlabel aws register"),
    (name_of_a_secret, "upstage", "secret", "takes it for a parameter of SSM", "register"),
    (parameter_of_ssm, "upstage", "secret", "is no ARN of a secret", "ocrlabel aws register"),
    (no_such_key_in_the_json, "upstage", "secret", "no JSON with a key upstage", ""),
]


@pytest.mark.parametrize(
    ("seed", "engine", "name", "why", "mend"), SEEDED, ids=[seed.__name__ for seed, *_ in SEEDED]
)
def test_a_seeded_fault_is_named_with_what_mends_it(account, seed, engine, name, why, mend):
    seed(account)
    found = account.faults(engine)
    assert [check.name for check in found][:1] == [name]
    assert why in found[0].why
    assert mend in found[0].mend
    with pytest.raises(ConfigError) as caught:
        refuse(found)
    assert "nothing was submitted, and nothing paid" in str(caught.value)
    assert found[0].why in str(caught.value)
    assert found[0].mend in str(caught.value)


def test_several_faults_are_named_at_once(account):
    for seed in (no_image, placeholder, no_way_out, images_left_behind):
        seed(account)
    names = [check.name for check in account.faults()]
    assert names == ["image", "network", "secret", "dataset"]


def test_a_local_engine_needs_no_key(account):
    no_secret(account)
    account.register(memory="4096")
    account.description["config"]["Labels"]["ocrlabel.engines"] = "upstage rapidocr"
    assert account.faults("rapidocr") == []


def test_an_image_that_says_nothing_of_its_engines_is_given_the_benefit(account):
    del account.description["config"]
    assert account.faults() == []


def test_images_beside_the_table_are_found(account):
    account.put_table(["beside.png"])
    key = "data/processed/beside.png"
    account.of("s3").put_object(Bucket=CONFIG.s3_bucket, Key=key, Body=b"png")
    assert account.faults() == []


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("./images/1.png", "images/1.png"),
        ("s3://labels/images/1.png", "images/1.png"),
        ("images/한.png", unicodedata.normalize("NFD", "images/한.png")),
    ],
)
def test_images_are_found_under_every_name_under_which_a_worker_does(account, written, stored):
    account.of("s3").put_object(Bucket=CONFIG.s3_bucket, Key=stored, Body=b"png")
    account.put_table([written])
    assert account.faults() == []


@pytest.mark.parametrize("column", ["path", "file_name", "image", "scan"])
def test_a_table_is_read_by_the_columns_that_a_worker_takes(account, column):
    account.put_table(["images/1.png", "images/gone.png"], column=column)
    account.columns = {"image_column": column} if column == "scan" else {}
    (check,) = account.faults()
    assert "1 of 2 sampled images are not in" in check.why


def test_a_table_with_images_in_it_is_whole(account):
    account.put_table([b"png", b"png"], column="scan")
    assert account.faults() == []


def test_a_secret_may_be_named_with_a_key_of_its_json_as_ecs_takes_it(account):
    account.of("secretsmanager").put_secret_value(
        SecretId=account.secret, SecretString='{"upstage": "up_a_key", "other": "x"}'
    )
    account.register(secret=f"{account.secret}:upstage::")
    assert account.faults() == []


@pytest.mark.parametrize(
    ("name", "ok"),
    [("ocr", True), ("ocr-AbCdEf", True), ("ocr-2-AbCdEf", False), ("of-others-AbCdEf", False)],
)
def test_a_secret_that_the_execution_role_may_not_read_is_named(account, name, ok):
    account.of("secretsmanager").create_secret(Name=name, SecretString=KEY)
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}"
    check = check_secret(account.aws, arn, readable="ocr")
    assert check.ok is ok
    assert ok or "is not ocr, the one that the jobs' execution role may read" in check.why
    assert ok or "SECRET_NAME=... ocrlabel aws deploy" in check.mend


@pytest.mark.parametrize(("spot", "demand", "ok"), [(0, 0, False), (0, 6, True), (0.5, 0.5, False)])
def test_a_worker_that_no_quota_of_the_account_allows_is_named(spot, demand, ok):
    values = {"L-36FBB829": spot, "L-3032A538": demand}
    with serving("application/x-amz-json-1.1") as server:
        server.handle = lambda _path, _target, body: (
            200,
            json.dumps({"Quota": {"Value": values[json.loads(body)["QuotaCode"]]}}),
        )
        definition = fargate(JobValues(CONFIG, "i"))
        check = check_quotas(aws_at({"service-quotas": server.url}), definition)
    assert check.ok is ok
    assert ok or check.mend.startswith("aws service-quotas request-service-quota-increase")


def test_what_may_not_be_looked_at_is_told_and_not_held_against_the_job(account, monkeypatch):
    broken = aws_at({"secretsmanager": "http://127.0.0.1:9"})
    monkeypatch.setattr("time.sleep", lambda _: None)
    made = account.aws.client

    def client_of(service: str) -> Any:
        return broken.client(service) if service == "secretsmanager" else made(service)

    monkeypatch.setattr(account.aws, "client", client_of)
    assert account.faults() == []
    assert [line.split(" (")[0] for line in account.told] == ["not looked at: secret"]


def ends(exit_code: int | None, status_reason: str, reason: str) -> str:
    """What Batch does by our rules: the first that matches; tried again where none does."""
    said = {"onExitCode": str(exit_code), "onStatusReason": status_reason, "onReason": reason}
    rules = fargate(JobValues(CONFIG, "image"))["retryStrategy"]["evaluateOnExit"]
    for rule in rules:
        field = next(name for name in rule if name != "action")
        pattern = rule[field]
        fits = (
            said[field].startswith(pattern[:-1]) if pattern[-1] == "*" else said[field] == pattern
        )
        if fits:
            return rule["action"]
    return "RETRY"


@pytest.mark.parametrize(
    ("exit_code", "status_reason", "reason", "then"),
    [
        (75, "Essential container in task exited", "", "RETRY"),
        (None, "Your Spot Task was interrupted.", "", "RETRY"),
        (137, "Your Spot Task was interrupted.", "", "RETRY"),
        (None, "Host EC2 (instance i-0) terminated.", "", "RETRY"),
        (None, "Task failed to start", "CannotPullContainerError: not found", "EXIT"),
        (None, "Task failed to start", "ResourceInitializationError: no secret", "EXIT"),
        (2, "Essential container in task exited", "", "EXIT"),
        (137, "Essential container in task exited", "OutOfMemoryError: killed", "EXIT"),
        (1, "Essential container in task exited", "", "EXIT"),
        (None, "", "", "EXIT"),
    ],
)
def test_attempts_are_for_spot_losses_and_75_only(exit_code, status_reason, reason, then):
    assert ends(exit_code, status_reason, reason) == then


def test_a_definition_says_where_it_is_wrong():
    definition = fargate(JobValues(CONFIG, "image"))
    assert check_definition(definition, CONFIG).ok
    definition["containerProperties"]["environment"][0]["value"] = "<S3_BUCKET>"
    assert "<S3_BUCKET>" in check_definition(definition, CONFIG).why
