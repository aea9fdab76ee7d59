"""A table whose images were left behind is refused before anything is paid, with the way on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ocrlabel.errors import ConfigError
from ocrlabel.pipeline.preflight import refuse_without_images
from tests.support.clock import run_virtual
from tests.support.runs import MadeImages, made


@dataclass
class At(MadeImages):
    """Images that are said to lie somewhere."""

    where: str = ""

    def describe(self):
        return self.where


KEY = "data/processed/train.parquet"


@pytest.mark.parametrize(
    ("where", "command"),
    [
        (f"s3://labels/{KEY}", f"ocrlabel push {KEY} s3://labels/{KEY} --pack"),
        ("s3://b/t.parquet (ids: name)", "ocrlabel push t.parquet s3://b/t.parquet --pack"),
        ("s3://b/shards/", "ocrlabel push"),
        (KEY, "ocrlabel push"),
    ],
)
def test_the_command_that_takes_the_images_along_is_whole(where, command):
    dataset = At(made(5, absent=range(5)).contents, where)
    with pytest.raises(ConfigError) as refused:
        run_virtual(refuse_without_images(dataset))
    assert str(refused.value).endswith(f"put table and images together with: {command}")


def test_one_image_that_is_there_is_enough_to_go_on():
    run_virtual(refuse_without_images(made(5, absent=range(4))))
