"""Deploy and destroy against CloudFormation's double, and moto for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ocrlabel.aws import ready
from ocrlabel.aws.deploy import Wanted, discard, look_choices, make, propose
from ocrlabel.aws.destroy import propose_removal, remove
from ocrlabel.aws.names import AwsLocation
from ocrlabel.aws.plan import Hidden, Kind
from ocrlabel.aws.session import Aws, AwsRefused
from ocrlabel.aws.stack import look_stack
from ocrlabel.errors import ConfigError
from tests.support.aws import ACCOUNT, REGION, FakeTime, Served, aws_at, reset, serving
from tests.support.fake_cloudformation import FakeCloudFormation, Stack

KEY = "up_this_is_the_key"
PLACE = AwsLocation(ACCOUNT, REGION)


@dataclass
class World:
    aws: Aws
    cloudformation: FakeCloudFormation
    time: FakeTime
    told: list[str] = field(default_factory=list)

    def wanted(self, key: str | None = KEY, **parameters: str) -> Wanted:
        chosen = {"BucketName": "labels", "SecretName": "upstage-api-key", **parameters}
        before = look_stack(self.aws.client("cloudformation"))
        choices = look_choices(self.aws, PLACE, before, chosen, network="own")
        return Wanted(PLACE, "labels", "upstage-api-key", Hidden(key) if key else None, choices)

    def deploy(self, wanted: Wanted | None = None):
        wanted = wanted or self.wanted()
        return make(self.aws, wanted, propose(self.aws, wanted), self.told.append)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("text/xml") as server:
        yield server


@pytest.fixture
def world(moto: str, served: Served) -> World:
    reset(moto)
    fake, time = FakeCloudFormation(), FakeTime()
    served.handle = fake.handle
    return World(aws_at({"cloudformation": served.url, "*": moto}, time), fake, time)


def test_the_first_deploy_makes_everything_and_says_where(world):
    config = world.deploy()
    assert config.s3_bucket == "labels"
    assert config.job_role_arn == "arn:aws:iam::123456789012:role/ocrlabel-JobRole-1"
    assert config.secret_arn.startswith("arn:aws:secretsmanager:us-east-1:123456789012:secret:ups")
    assert config.batch_compute_env == "spot"
    assert any("CREATE_COMPLETE" in line and "Queue" in line for line in world.told)


def test_a_second_deploy_changes_nothing(world):
    world.deploy()
    proposal = propose(world.aws, world.wanted())
    assert proposal.changes == ()
    assert not proposal.change_set


def test_a_bucket_of_a_second_look_is_as_it_should_be(world):
    world.deploy()
    s3 = world.aws.client("s3")
    assert s3.get_bucket_versioning(Bucket="labels")["Status"] == "Enabled"
    assert "SecureTransport" in s3.get_bucket_policy(Bucket="labels")["Policy"]
    rules = s3.get_bucket_lifecycle_configuration(Bucket="labels")["Rules"]
    assert {rule["ID"] for rule in rules} == {
        "ocrlabel-aborted-uploads",
        "ocrlabel-noncurrent-versions",
    }


def test_a_dry_run_of_a_first_deploy_writes_nothing(world):
    proposal = propose(world.aws, world.wanted())
    discard(world.aws, proposal)
    assert len(proposal.changes) > 15
    assert {change.kind for change in proposal.changes} == {Kind.ADD}
    assert set(world.cloudformation.calls) == {"DescribeStacks"}
    assert world.aws.client("s3").list_buckets()["Buckets"] == []
    assert world.aws.client("secretsmanager").list_secrets()["SecretList"] == []


def test_a_look_at_the_stack_asks_only_what_a_workflow_may(world):
    world.deploy()
    world.cloudformation.calls.clear()
    stack = look_stack(world.aws.client("cloudformation"))
    assert stack is not None
    assert stack.outputs["JobRoleArn"]
    assert set(world.cloudformation.calls) == {"DescribeStacks"}


def test_a_dry_run_of_an_update_leaves_no_change_set(world):
    world.deploy()
    proposal = propose(world.aws, world.wanted(MaxVcpusFargate="128"))
    assert [(change.kind, change.name) for change in proposal.changes] == [
        (Kind.CHANGE, "Fargate"),
        (Kind.CHANGE, "FargateSpot"),
    ]
    discard(world.aws, proposal)
    assert world.cloudformation.change_sets == {}


def test_the_list_that_a_dry_run_shows_is_carried_out_and_not_told_again(world):
    shown = propose(world.aws, world.wanted())
    made = propose(world.aws, world.wanted())
    assert shown == made
    make(world.aws, world.wanted(), made, world.told.append)
    for change in shown.around:
        assert world.told.count(change.done) == 1
        assert change.line not in world.told
    assert "added                    bucket labels" in world.told


def test_an_update_keeps_what_was_chosen_before(world):
    world.deploy(world.wanted(MonthlyBudgetUsd="50"))
    proposal = propose(world.aws, world.wanted(WithEc2="true"))
    make(world.aws, world.wanted(WithEc2="true"), proposal, world.told.append)
    assert world.cloudformation.stacks[-1].parameters["MonthlyBudgetUsd"] == "50"
    assert world.cloudformation.stacks[-1].parameters["WithEc2"] == "true"


def test_the_status_just_after_an_update_was_started_is_not_taken_for_its_end(world):
    world.deploy()
    world.cloudformation.stale = 2
    world.deploy(world.wanted(MaxVcpusFargate="128"))
    assert world.cloudformation.stacks[-1].status == "UPDATE_COMPLETE"


def test_a_replacement_is_shown_as_one(world):
    world.deploy()
    queue = world.cloudformation.stacks[-1].template["Resources"]["Queue"]
    queue["Properties"]["JobQueueName"] = "of-an-older-version"
    proposal = propose(world.aws, world.wanted())
    (change,) = proposal.changes
    assert change.line == "! replace AWS::Batch::JobQueue Queue (JobQueueName)"


def test_a_creation_that_fails_says_why_and_leaves_nothing(world):
    world.cloudformation.fails = {
        "Vpc": "The maximum number of VPCs has been reached. (Service: Ec2, Status Code: 400)"
    }
    with pytest.raises(AwsRefused) as failure:
        world.deploy()
    said = str(failure.value)
    assert "Vpc (AWS::EC2::VPC): The maximum number of VPCs has been reached" in said
    assert "--network default" in said
    assert "nothing is left of it" in said
    assert "Queue" not in said  # it was only cancelled
    assert world.cloudformation.stacks[-1].status == "DELETE_COMPLETE"
    assert world.aws.client("s3").list_buckets()["Buckets"] == []


def test_a_deploy_after_a_failed_one_works(world):
    world.cloudformation.fails = {"Vpc": "no"}
    with pytest.raises(AwsRefused):
        world.deploy()
    world.cloudformation.fails = {}
    assert world.deploy().s3_bucket == "labels"


def test_the_leftover_of_somebody_elses_failed_creation_is_cleared_away(world):
    world.cloudformation.stacks.append(Stack("ocrlabel", 7, "ROLLBACK_COMPLETE"))
    assert world.deploy().s3_bucket == "labels"
    assert world.cloudformation.stacks[0].status == "DELETE_COMPLETE"


def test_an_update_that_fails_says_that_it_is_as_it_was(world):
    world.deploy()
    world.cloudformation.fails = {"Fargate": "User: x is not authorized to perform: batch:Update"}
    with pytest.raises(AwsRefused) as failure:
        world.deploy(world.wanted(MaxVcpusFargate="128"))
    assert "ocrlabel aws policy deployer" in str(failure.value)
    assert "it is as it was before" in str(failure.value)


def test_throttling_is_waited_out(world):
    world.cloudformation.throttle = 2
    assert look_stack(world.aws.client("cloudformation")) is None


def test_every_event_is_told_once(world):
    world.deploy()
    events = [line for line in world.told if "CREATE_COMPLETE" in line]
    assert len(events) == len(set(events))
    assert sum(world.time.slept) > 0


def test_the_key_goes_nowhere_but_into_the_secret(world):
    world.deploy()
    assert not any(KEY in line for line in world.told)
    assert not any(KEY in body for body in world.cloudformation.bodies)
    secret = world.aws.client("secretsmanager").get_secret_value(SecretId="upstage-api-key")
    assert secret["SecretString"] == KEY


def test_no_key_at_the_first_deploy_is_said_before_anything_is_made(world):
    with pytest.raises(ConfigError, match="export UPSTAGE_API_KEY"):
        propose(world.aws, world.wanted(key=None))


def test_a_second_deploy_needs_no_key(world):
    world.deploy()
    assert propose(world.aws, world.wanted(key=None)).changes == ()


def test_the_network_of_the_first_deploy_is_kept(world):
    first = look_choices(world.aws, PLACE, None, {"BucketName": "b"}, network=None)
    assert first["VpcId"].startswith("vpc-")
    assert first["SubnetIds"].count("subnet-") > 1
    stack = Stack("ocrlabel", 0, "CREATE_COMPLETE", parameters={"VpcId": "", "SubnetIds": ""})
    again = look_choices(world.aws, PLACE, stack, {"BucketName": "b"}, network=None)
    assert again["VpcId"] == ""


def test_githubs_provider_is_made_once_and_never_taken_away_again(world):
    said = {"BucketName": "b", "GitHubRepository": "me/labels"}
    assert (
        look_choices(world.aws, PLACE, None, said, network="own")["CreateGitHubProvider"] == "true"
    )
    world.aws.client("iam").create_open_id_connect_provider(
        Url="https://token.actions.githubusercontent.com", ClientIDList=["sts.amazonaws.com"]
    )
    assert (
        look_choices(world.aws, PLACE, None, said, network="own")["CreateGitHubProvider"] == "false"
    )
    # a stack of before, without GitHub, has the parameter's default: it did not make the provider
    without = Stack("ocrlabel", 0, "CREATE_COMPLETE", parameters={"CreateGitHubProvider": "true"})
    later = look_choices(world.aws, PLACE, without, said, network="own")
    assert later["CreateGitHubProvider"] == "false"
    mine = Stack(
        "ocrlabel", 0, "CREATE_COMPLETE", parameters={**said, "CreateGitHubProvider": "true"}
    )
    assert (
        look_choices(world.aws, PLACE, mine, said, network="own")["CreateGitHubProvider"] == "true"
    )


def removal(world, **how):
    options = {"delete_data": False, "delete_secret": False, **how}
    return propose_removal(world.aws, bucket="labels", secret="upstage-api-key", **options)


def test_destroy_keeps_the_bucket_and_the_secret(world):
    world.deploy()
    remove(world.aws, removal(world), "", world.told.append)
    assert world.cloudformation.stacks[-1].status == "DELETE_COMPLETE"
    assert len(world.aws.client("s3").list_buckets()["Buckets"]) == 1
    assert len(world.aws.client("secretsmanager").list_secrets()["SecretList"]) == 1


def test_destroy_then_deploy_works(world):
    world.deploy()
    remove(world.aws, removal(world), "", world.told.append)
    assert world.deploy(world.wanted(key=None)).s3_bucket == "labels"


def test_data_goes_only_with_the_buckets_name_typed(world):
    world.deploy()
    s3 = world.aws.client("s3")
    s3.delete_bucket_policy(Bucket="labels")  # moto denies without looking at the condition
    for body in (b"1", b"2"):
        s3.put_object(Bucket="labels", Key="checkpoints/x", Body=body)
    s3.delete_object(Bucket="labels", Key="checkpoints/x")
    with pytest.raises(ConfigError, match="type the bucket's name, labels"):
        remove(world.aws, removal(world, delete_data=True), "label", world.told.append)
    assert world.cloudformation.stacks[-1].status == "CREATE_COMPLETE"
    remove(world.aws, removal(world, delete_data=True), "labels", world.told.append)
    assert s3.list_buckets()["Buckets"] == []


def test_a_deleted_secret_is_brought_back_by_the_next_deploy(world):
    world.deploy()
    remove(world.aws, removal(world, delete_secret=True), "", world.told.append)
    assert propose(world.aws, world.wanted()).changes
    world.deploy()
    value = world.aws.client("secretsmanager").get_secret_value(SecretId="upstage-api-key")
    assert value["SecretString"] == KEY


def test_a_resource_that_will_not_go_is_named(world):
    world.deploy()
    world.cloudformation.fails = {"Vpc": "The vpc has dependencies and cannot be deleted."}
    with pytest.raises(AwsRefused, match=r"Vpc .*dependencies"):
        remove(world.aws, removal(world), "", world.told.append)


@pytest.mark.parametrize(
    ("drift", "ok", "said"),
    [
        ("", True, "aws cloudformation detect-stack-drift --stack-name ocrlabel"),
        ("NOT_CHECKED", True, "was never asked"),
        ("IN_SYNC", True, "as it was made"),
        ("DRIFTED", False, "changed by other hands"),
    ],
)
def test_drift_is_a_line_of_the_doctor(world, drift, ok, said):
    world.cloudformation.stacks.append(Stack("ocrlabel", 0, "CREATE_COMPLETE"))
    world.cloudformation.drift = drift
    check = ready._drift(world.aws)
    assert check.ok is ok
    assert said in check.why
