from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.aws.names import (
    CONFIG_NAMES,
    AwsConfig,
    config_of_variables,
    config_text,
    parse_config,
)
from ocrlabel.cli.aws_wiring import Shell
from ocrlabel.errors import ConfigError
from tests.support.aws import CONFIG

GUIDE = [
    "AWS_REGION",
    "AWS_ACCOUNT_ID",
    "S3_BUCKET",
    "ECR_REPOSITORY",
    "ECR_URI",
    "SECRET_NAME",
    "SECRET_ARN",
    "JOB_ROLE_ARN",
    "EXEC_ROLE_ARN",
    "BATCH_COMPUTE_ENV",
    "BATCH_JOB_QUEUE",
    "BATCH_JOB_DEFINITION",
]


def test_it_exports_the_guides_names_in_their_order():
    assert list(CONFIG_NAMES) == GUIDE
    assert [line.split("=")[0] for line in config_text(CONFIG).splitlines()[1:]] == [
        f"export {name}" for name in (*GUIDE, "ECR_REPOSITORY_URI")
    ]


def test_bash_reads_what_was_written(tmp_path):
    import dataclasses

    (tmp_path / "config.env").write_text(
        config_text(dataclasses.replace(CONFIG, secret_name="it's $(id) `x`"))
    )
    shown = subprocess.run(
        ["bash", "-c", 'source config.env; printf %s "$SECRET_NAME"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "it's $(id) `x`"


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=12, max_size=12
    )
)
def test_what_was_written_is_read_again(values):
    config = AwsConfig(*values)
    assert parse_config(config_text(config), "config.env") == config


def test_a_missing_value_is_named():
    text = config_text(CONFIG).replace("export S3_BUCKET=labels\n", "")
    with pytest.raises(ConfigError, match=r"aws/config.env lacks S3_BUCKET"):
        parse_config(text, "aws/config.env")


def test_a_line_that_is_none_is_named():
    with pytest.raises(ConfigError, match=r"config.env:2: this is no"):
        parse_config("# x\nrm -rf /\n", "config.env")
    with pytest.raises(ConfigError, match=r"config\.env:2: No closing quotation: export"):
        parse_config('# x\nexport S3_BUCKET="b1\n', "config.env")


EIGHT = ("AWS_REGION", "S3_BUCKET", "ECR_URI", "JOB_ROLE_ARN", "EXEC_ROLE_ARN", "SECRET_ARN")
GIVEN = {name: getattr(CONFIG, name.lower()) for name in EIGHT}


def test_the_eight_secrets_of_github_are_enough():
    found = config_of_variables(GIVEN, "the environment")
    assert found.secret_arn == CONFIG.secret_arn
    assert found.aws_account_id == CONFIG.aws_account_id
    assert found.batch_job_queue == CONFIG.batch_job_queue


@pytest.mark.parametrize("empty", [{}, {"ECR_URI": ""}])
def test_the_guides_name_of_the_registry_will_do(empty):
    guides = {name: value for name, value in GIVEN.items() if name != "ECR_URI"}
    found = config_of_variables({**guides, **empty, "ECR_REPOSITORY_URI": CONFIG.ecr_uri}, "x")
    assert found.ecr_uri == CONFIG.ecr_uri
    assert found.ecr_repository == CONFIG.ecr_repository


def test_config_env_has_the_registry_under_both_names():
    lines = config_text(CONFIG).splitlines()
    assert f"export ECR_URI={CONFIG.ecr_uri}" in lines
    assert f"export ECR_REPOSITORY_URI={CONFIG.ecr_uri}" in lines


def test_what_is_to_be_set_on_github_is_said_with_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCOUNT_ID", "ECR_REPOSITORY", "ECR_REPOSITORY_URI", "SECRET_NAME", *EIGHT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(ConfigError) as caught:
        Shell(None, None, Path("aws/config.env")).config()
    said = str(caught.value)
    for name in (*EIGHT, "ECR_REPOSITORY_URI"):
        assert name in said
    assert "Settings, Secrets and variables, Actions" in said
    assert "AWS_ACCOUNT_ID" not in said  # it follows from another
    assert "deploy" not in said


@pytest.mark.parametrize("name", ["upstage-secret", "ocr-apikey", "upstage-api-key-AbCdEf"])
def test_no_name_of_a_secret_is_guessed_from_its_arn(name):
    arn = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}"
    found = config_of_variables({**GIVEN, "SECRET_ARN": arn}, "x")
    assert found.secret_arn == arn
    assert found.secret_name == name
