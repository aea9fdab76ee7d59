"""Someone without credentials: what the next step is, and what can be had without any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest

from ocrlabel.aws.image import PLATFORMS
from ocrlabel.aws.template import template
from ocrlabel.cli.aws_wiring import Processor
from tests.support.command import Ran, ocrlabel

NO_REGION: dict[str, str] = {}
NO_KEYS = {"AWS_REGION": "us-east-1"}


@pytest.fixture
def types(tmp_path, monkeypatch):
    """What a command says in an empty folder, with these variables and no others of AWS."""
    monkeypatch.chdir(tmp_path)

    def typed(line: str, variables: Mapping[str, str] = NO_REGION) -> Ran:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return ocrlabel(*line.split())

    return typed


@pytest.mark.parametrize("variables", [NO_REGION, NO_KEYS], ids=["no region", "no keys"])
@pytest.mark.parametrize(
    ("line", "way_on"),
    [
        ("aws deploy --dry-run", "`ocrlabel aws deploy --dry-run --offline`"),
        ("aws deploy", "`ocrlabel aws deploy --dry-run --offline`"),
        ("aws cost --image-count 10", "--offline"),
    ],
)
def test_the_next_step_is_said_and_what_needs_no_account(types, line, way_on, variables):
    ran = types(line, variables)
    assert ran.status == 2
    assert "run `aws configure`" in ran.err
    assert ("AWS_ACCESS_KEY_ID" if variables else "AWS_REGION") in ran.err
    assert way_on in ran.err.splitlines()[-1]


def test_what_is_offered_is_there(types):
    ran = types("aws deploy --dry-run --offline")
    assert ran.status == 0
    assert "+ add     AWS::Batch::JobQueue Queue\n" in ran.out
    assert "+ add     bucket ocrlabel-ACCOUNT-REGION (private, TLS only" in ran.out
    assert "+ add     secret upstage-api-key" in ran.out
    assert "AWS::EC2::VPC" not in ran.out
    assert types("aws cost --image-count 10 --offline").out.startswith("OCR: $0.0150")


def test_stored_prices_say_of_which_region_they_are(types):
    line = "aws cost --image-count 10 --offline"
    assert "\nPrices are those of us-east-1" in types(line).out
    elsewhere = types(f"{line} --region ap-northeast-2")
    assert elsewhere.status == 2
    assert not elsewhere.out
    assert "prices of ap-northeast-2 are not stored here, only those of us-east-1" in elsewhere.err


def test_machine_hours_of_a_local_engine_follow_its_cores_and_not_the_rate(types):
    line = "aws cost --image-count 3600 --offline --engine rapidocr"
    assert "Fargate Spot, 1.40 machine hours" in types(line).out
    assert "Fargate Spot, 1.40 machine hours" in types(f"{line} --rps 100 --workers 3").out
    assert "Fargate Spot, 0.70 machine hours" in types(f"{line} --vcpu 4").out
    tesseract = types("aws cost --image-count 3600 --offline --engine tesseract").out
    assert "Fargate Spot, 0.49 machine hours" in tesseract
    assert "0.49 s a page on 2 vCPUs, measured on 2026-11-23" in tesseract
    assert "Fargate Spot, 0.33 machine hours" in types("aws cost --image-count 3600 --offline").out


def test_the_last_sums_are_of_all_together(types):
    said = types("aws cost --image-count 3272 --offline").out
    assert "In all, on Fargate on demand: at most $5.3827" in said
    assert "In all, on EC2 Spot: at most $5.3677, without vCPUs: at a price that is unknown" in said
    assert "EC2 Spot           unknown   unknown     EC2 tells it" in said


def test_offline_choices_change_what_is_listed(types):
    line = (
        "aws deploy --dry-run --offline --network own --with-ec2 --bucket mine --github me/labels"
    )
    listed = types(line, {"AWS_REGION": "eu-west-1", "SECRET_NAME": "other"}).out
    for thing in (
        "AWS::EC2::VPC Vpc",
        "AWS::Batch::JobQueue QueueEc2",
        "AWS::IAM::Role GitHubRole",
        "bucket mine (",
        "secret other (",
    ):
        assert f"+ add     {thing}" in listed, listed


def test_offline_makes_nothing_so_it_needs_a_dry_run(types):
    ran = types("aws deploy --offline")
    assert ran.status == 2
    assert "give --dry-run" in ran.err


def test_outside_a_clone_the_image_cannot_be_built_and_the_message_says_where_it_can(types):
    ran = types("aws push-image --no-push")
    assert ran.status == 2
    assert "built from a clone" in ran.err
    assert "--root CLONE" in ran.err


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("aws push-image --no-push --architecture UNKNOWN", ("X86_64", "ARM64")),
        ("aws register --architecture x86", ("X86_64", "ARM64")),
        ("aws deploy --architecture amd64", ("X86_64", "ARM64")),
        ("aws cost --image-count 1 --offline --architecture UNKNOWN", ("X86_64", "ARM64")),
        ("aws push-image --no-push --target all", ("api", "local")),
        ("aws deploy --network vpc-1", ("default", "own")),
        ("aws submit d --engine upsatge", ("upstage", "rapidocr")),
        ("aws cost --image-count 1 --offline --engine upsatge", ("upstage", "rapidocr")),
    ],
)
def test_a_word_that_no_option_knows_is_refused_with_those_that_it_does(types, line, allowed):
    ran = types(line)
    assert ran.status == 2
    assert line.rsplit(maxsplit=2)[1] in ran.err
    for word in allowed:
        assert f"'{word}'" in ran.err, ran.err


def test_the_words_of_the_options_are_those_of_what_they_choose():
    assert set(get_args(Processor)) == set(PLATFORMS)
    assert list(get_args(Processor)) == template()["Parameters"]["CpuArchitecture"]["AllowedValues"]


@pytest.mark.parametrize(
    "value", ["your-api-key-here", "up_key ", " up_key", "up_key\n", "up key", "up_..."]
)
def test_a_key_that_is_none_is_refused_before_anything_is_asked_of_aws(value, types):
    ended = types("aws deploy", {"UPSTAGE_API_KEY": value, "AWS_REGION": "eu-west-1"})
    assert ended.status == 2
    assert "UPSTAGE_API_KEY" in ended.err
    assert "up_key" not in ended.err
