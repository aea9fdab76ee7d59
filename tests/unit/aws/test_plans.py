from __future__ import annotations

import json

import pytest

from ocrlabel.aws.bucket import LIFECYCLE, NOTHING_PUBLIC, BucketState, plan_bucket, tls_only
from ocrlabel.aws.deploy import plan_log_group
from ocrlabel.aws.names import LOG_GROUP, TAGS, AwsLocation
from ocrlabel.aws.plan import Change, Hidden, Kind, loses_something
from ocrlabel.aws.secret import SecretState, plan_secret
from ocrlabel.aws.session import AwsRefused
from ocrlabel.aws.stack import StackState, differs, made_anew, to_change
from ocrlabel.aws.template import template
from ocrlabel.errors import ConfigError

SEOUL = AwsLocation("123456789012", "ap-northeast-2")
VIRGINIA = AwsLocation("123456789012", "us-east-1")
WHOLE = BucketState(
    public_access=NOTHING_PUBLIC,
    encrypted=True,
    versioned=True,
    owner_enforced=True,
    policy={"Version": "2012-10-17", "Statement": [tls_only("labels", SEOUL)]},
    lifecycle=LIFECYCLE,
    tags=TAGS,
)


def calls(changes):
    return [call for change in changes for call in change.calls]


def test_a_bucket_is_made_where_there_is_none_in_its_region():
    made = calls(plan_bucket(None, "labels", SEOUL))
    assert made[0].parameters["CreateBucketConfiguration"] == {
        "LocationConstraint": "ap-northeast-2"
    }
    assert {call.method for call in made} == {
        "create_bucket",
        "put_public_access_block",
        "put_bucket_ownership_controls",
        "put_bucket_encryption",
        "put_bucket_versioning",
        "put_bucket_policy",
        "put_bucket_lifecycle_configuration",
        "put_bucket_tagging",
    }


def test_the_first_region_is_named_by_no_constraint():
    assert "CreateBucketConfiguration" not in calls(plan_bucket(None, "b", VIRGINIA))[0].parameters


def test_a_bucket_as_it_should_be_is_left_alone():
    assert plan_bucket(WHOLE, "labels", SEOUL) == []


def test_only_what_is_lacking_is_set():
    import dataclasses

    (change,) = plan_bucket(dataclasses.replace(WHOLE, versioned=False), "labels", SEOUL)
    assert [call.method for call in change.calls] == ["put_bucket_versioning"]
    assert change.detail == "versioned"


def test_other_statements_rules_and_tags_of_a_bucket_stay():
    present = BucketState(
        policy={"Version": "2012-10-17", "Statement": [{"Sid": "Theirs"}]},
        lifecycle=[{"ID": "theirs"}],
        tags={"Team": "ocr"},
    )
    made = {call.method: call.parameters for call in calls(plan_bucket(present, "labels", SEOUL))}
    statements = json.loads(made["put_bucket_policy"]["Policy"])["Statement"]
    assert [each["Sid"] for each in statements] == ["Theirs", "OcrlabelTlsOnly"]
    rules = made["put_bucket_lifecycle_configuration"]["LifecycleConfiguration"]["Rules"]
    assert rules == [{"ID": "theirs"}, *LIFECYCLE]
    assert {"Key": "Team", "Value": "ocr"} in made["put_bucket_tagging"]["Tagging"]["TagSet"]


def test_nothing_current_ever_expires():
    assert not any("Expiration" in rule for rule in LIFECYCLE)
    assert all(rule["Filter"] == {"Prefix": ""} for rule in LIFECYCLE)


def test_a_secret_needs_a_key_the_first_time():
    with pytest.raises(ConfigError, match="export UPSTAGE_API_KEY"):
        plan_secret(None, "upstage-api-key", None)


def test_the_key_shows_in_no_plan():
    (change,) = plan_secret(None, "upstage-api-key", Hidden("up_secret"))
    assert "up_secret" not in repr(change)
    assert "up_secret" not in change.line


def test_the_same_key_is_not_put_again_and_another_is():
    present = SecretState("arn", Hidden("up_1"))
    assert plan_secret(present, "s", Hidden("up_1")) == []
    assert plan_secret(present, "s", None) == []
    (change,) = plan_secret(present, "s", Hidden("up_2"))
    assert change.kind is Kind.REPLACE
    assert loses_something([change]) == [change]  # so it is asked about
    (first,) = plan_secret(SecretState("arn", None), "s", Hidden("up_2"))
    assert first.kind is Kind.CHANGE


def test_a_secret_that_is_being_deleted_is_brought_back():
    changes = plan_secret(SecretState("arn", None, being_deleted=True), "s", Hidden("up_1"))
    assert [call.method for call in calls(changes)] == ["restore_secret", "put_secret_value"]


def test_retention_is_set_only_where_there_is_none():
    assert [call.method for call in calls(plan_log_group(None))] == [
        "create_log_group",
        "put_retention_policy",
    ]
    assert [c.method for c in calls(plan_log_group({"logGroupName": LOG_GROUP}))] == [
        "put_retention_policy"
    ]
    assert plan_log_group({"retentionInDays": 365}) == []


PARAMETERS = {"BucketName": "labels"}


def test_a_stack_that_is_as_wanted_needs_no_change_set():
    present = StackState("id", "CREATE_COMPLETE", {**PARAMETERS, "X": "1"}, {}, template())
    assert made_anew(present, template(), PARAMETERS) is None
    assert not differs(present, template(), PARAMETERS)


def test_another_parameter_or_template_needs_one():
    present = StackState("id", "UPDATE_COMPLETE", PARAMETERS, {}, template())
    assert differs(present, template(), {"BucketName": "other"})
    assert differs(present, {**template(), "Description": "new"}, PARAMETERS)


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "CREATE_FAILED"])
def test_an_empty_leftover_goes_before_the_stack_is_made(status):
    gone, *added = made_anew(StackState("id", status), template(), PARAMETERS) or ()
    assert {change.kind for change in added} == {Kind.ADD}
    assert gone.line == f"- remove  stack ocrlabel (empty, {status})"


def test_a_stack_that_is_being_changed_is_left_alone():
    with pytest.raises(AwsRefused, match="another deploy or destroy is going on"):
        differs(StackState("id", "UPDATE_IN_PROGRESS"), template(), PARAMETERS)


def test_a_stack_that_is_stuck_says_how_to_free_it():
    with pytest.raises(AwsRefused, match="continue-update-rollback"):
        differs(StackState("id", "UPDATE_ROLLBACK_FAILED"), template(), PARAMETERS)


def change_of(action, replacement=None, name="MaxvCpus"):
    resource = {
        "Action": action,
        "LogicalResourceId": "Fargate",
        "ResourceType": "AWS::Batch::ComputeEnvironment",
        "Details": [{"Target": {"Attribute": "Properties", "Name": name}}],
    }
    return to_change(
        {"ResourceChange": {**resource, **({"Replacement": replacement} if replacement else {})}}
    )


@pytest.mark.parametrize(
    ("action", "replacement", "kind"),
    [
        ("Add", None, Kind.ADD),
        ("Remove", None, Kind.REMOVE),
        ("Modify", "False", Kind.CHANGE),
        ("Modify", "True", Kind.REPLACE),
        ("Modify", "Conditional", Kind.REPLACE),
    ],
)
def test_cloudformations_changes_read_as_ours(action, replacement, kind):
    assert change_of(action, replacement).kind is kind


def test_what_is_replaced_or_removed_is_asked_about():
    changes = [Change(kind, "thing", kind.value) for kind in Kind]
    assert [change.name for change in loses_something(changes)] == ["replace", "remove"]
