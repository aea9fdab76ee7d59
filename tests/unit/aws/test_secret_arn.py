"""A secret is looked up by the ARN that was given, with AWS's six characters or without."""

from __future__ import annotations

import boto3
import pytest

from ocrlabel.aws.ready import check_secret
from ocrlabel.aws.secret import fetch_secret
from ocrlabel.errors import ConfigError
from tests.support.aws import ACCOUNT, REGION, aws_at, reset

NAMES = ["upstage-api-key", "upstage-secret", "ocr-apikey", "keys/ocr"]


@pytest.fixture
def aws(moto, monkeypatch):
    reset(moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return aws_at({"*": moto})


def arns(aws, name: str) -> tuple[str, str]:
    made = aws.client("secretsmanager").create_secret(Name=name, SecretString="up_good")
    return made["ARN"], f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}"


@pytest.mark.parametrize("name", NAMES)
def test_the_doctor_finds_it_by_either_arn(aws, name):
    for arn in arns(aws, name):
        check = check_secret(aws, arn)
        assert check.ok, check
        assert arn in check.why


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_reads_it_by_either_arn(aws, moto, name):
    for arn in arns(aws, name):
        assert fetch_secret(arn, endpoint_url=moto, region=REGION) == "up_good"


def test_a_worker_takes_the_key_of_its_json_that_the_reference_names(aws, moto):
    client = aws.client("secretsmanager")
    arn = client.create_secret(Name="json", SecretString='{"ocr": "up_good", "n": 1}')["ARN"]
    for end, read in (("", '{"ocr": "up_good", "n": 1}'), (":ocr::", "up_good"), (":n", "1")):
        assert fetch_secret(f"{arn}{end}", endpoint_url=moto, region=REGION) == read
    with pytest.raises(ConfigError, match="no JSON with a key other") as said:
        fetch_secret(f"{arn}:other::AWSCURRENT", endpoint_url=moto)
    assert "up_good" not in str(said.value)


def test_a_secrets_own_region_is_the_one_that_is_asked(aws, moto):
    far = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=moto)
    arn = far.create_secret(Name="far", SecretString="up_far")["ARN"]
    assert fetch_secret(arn, endpoint_url=moto, region=REGION) == "up_far"


def test_where_aws_takes_a_names_end_for_its_own_that_is_said(aws):
    # documented: "if your secret has a name that ends in a hyphen followed by six characters ...
    # those characters cause Secrets Manager to assume that you're specifying a complete ARN"
    # (Secrets Manager, DescribeSecret; read 2026-11-28). moto finds it all the same.
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ocr-apikey"
    check = check_secret(aws, arn)
    assert not check.ok
    assert "give it whole" in check.why


@pytest.mark.parametrize("key", ["your-api-key-here", "up_...", "<key>", "a key", "up_key\nmore"])
def test_what_is_stored_and_no_key_is_named_and_not_repeated(aws, key):
    made = aws.client("secretsmanager").create_secret(Name="x", SecretString=key)
    check = check_secret(aws, made["ARN"])
    assert not check.ok
    assert key not in check.why
