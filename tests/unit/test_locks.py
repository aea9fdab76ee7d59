"""The locks hold what pyproject asks for, pinned and hashed, with no address to fetch it from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
CORE = PROJECT["project"]["dependencies"]
ALL = [*CORE, *(one for name, extra in EXTRAS.items() if name != "all" for one in extra)]
WANTED = {
    "api": CORE,
    "cloud-api": [*CORE, *EXTRAS["aws"], *EXTRAS["report"]],
    "cloud-local": [*CORE, *EXTRAS["aws"], *EXTRAS["report"], *EXTRAS["local"]],
    "all": ALL,
    "dev": [*ALL, *GROUPS["dev"]],
    "build": GROUPS["build"],
}
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text()


def pins(name: str) -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = {}
    for package, version in PIN.findall(lock(name)):
        found.setdefault(canonicalize_name(package), set()).add(Version(version))
    return found


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_holds_every_dependency_in_a_version_that_is_allowed(name: str) -> None:
    pinned = pins(name)

    for requirement in map(Requirement, WANTED[name]):
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement} is not in {name}.lock: run `make lock`"
        assert all(version in requirement.specifier for version in versions)


@pytest.mark.parametrize("name", WANTED)
def test_every_line_of_a_lock_is_a_pin_a_hash_or_a_comment(name: str) -> None:
    kinds = re.compile(
        r"^(?:[A-Za-z0-9._\[\],-]+==\S+.*\\|    --hash=sha256:[0-9a-f]{64}(?: \\)?|\s*#.*)$"
    )

    assert [line for line in lock(name).splitlines() if not kinds.match(line)] == []


def test_all_locks_agree_so_that_what_was_tested_is_what_runs_in_the_cloud() -> None:
    tested = pins("dev")

    for name in ("api", "cloud-api", "cloud-local", "all"):
        assert {package: tested[package] for package in pins(name)} == pins(name)


@pytest.mark.parametrize("name", ["api", "cloud-api"])
def test_the_light_installs_hold_no_opencv_and_no_onnxruntime(name: str) -> None:
    assert not {"opencv-python", "opencv-python-headless", "onnxruntime", "numpy"} & set(pins(name))


def test_no_install_needs_the_systems_gl_libraries() -> None:
    assert "opencv-python" not in pins("dev")
