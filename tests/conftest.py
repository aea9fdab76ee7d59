"""What every test may use, and what no test may see: the developer's own AWS settings."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.s3 import moto_server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_this_machine() -> Iterator[None]:
    """Neither keys, profiles nor endpoints of whoever runs the tests can change what they show."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):  # noqa: TID251 -- the tests' own shell
            if name.startswith(("AWS_", "OCRLABEL_", "UPSTAGE_")) and name != "OCRLABEL_CAMPAIGN":
                patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """One S3 server over real HTTP for all tests of a process; each test makes its own bucket."""
    with moto_server() as url:
        yield url
