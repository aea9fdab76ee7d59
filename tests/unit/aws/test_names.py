from __future__ import annotations

import subprocess

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
        f"export {name}" for name in GUIDE
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


def test_the_eight_secrets_of_github_are_enough():
    eight = {
        name: getattr(CONFIG, name.lower())
        for name in (
            "AWS_REGION",
            "S3_BUCKET",
            "ECR_URI",
            "JOB_ROLE_ARN",
            "EXEC_ROLE_ARN",
            "SECRET_ARN",
        )
    }
    found = config_of_variables(eight, "the environment")
    assert found.secret_name == "upstage-api-key"
    assert found.aws_account_id == CONFIG.aws_account_id
    assert found.batch_job_queue == CONFIG.batch_job_queue


def test_an_arn_without_its_six_characters_names_the_same_secret():
    values = {name: getattr(CONFIG, name.lower()) for name in GUIDE if name != "SECRET_NAME"}
    values["SECRET_ARN"] = values["SECRET_ARN"].removesuffix("-AbCdEf")
    assert config_of_variables(values, "x").secret_name == "upstage-api-key"
