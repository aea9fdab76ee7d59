"""Where the options of every aws command may stand."""

from __future__ import annotations

import pytest

from ocrlabel.cli.aws import global_options_first
from tests.support.command import ocrlabel

OPTIONS = ("--region", "--config")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cost --image-count 3 --region r --offline", "--region r cost --image-count 3 --offline"),
        ("cost --region=r", "--region=r cost"),
        ("--region r cost", "--region r cost"),
        (
            "logs 1b6a --config c.env --follow --region r",
            "--config c.env --region r logs 1b6a --follow",
        ),
        ("cost -- --region r", "cost -- --region r"),
        ("cost --region", "cost --region"),
        ("cost --region --help", "cost --region --help"),
    ],
)
def test_they_come_first_with_their_values_and_the_rest_stays(words, expected):
    assert global_options_first(OPTIONS, words.split()) == expected.split()


def test_a_region_is_taken_before_and_after_the_name_of_a_command():
    before = ocrlabel("aws", "--region", "ap-northeast-2", "policy", "deployer")
    after = ocrlabel("aws", "policy", "deployer", "--region", "ap-northeast-2")
    assert before.status == after.status == 0
    assert "ap-northeast-2" in before.out
    assert before.out == after.out
