"""Accounts at moto: an empty one for each test, and one where everything was deployed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aws import moto_process
from tests.support.aws_user import DEPLOY, User, newcomer
from tests.support.s3 import moto_server


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def user(moto, tmp_path, monkeypatch) -> User:
    monkeypatch.chdir(tmp_path)
    return newcomer(moto)


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Iterator[tuple[User, Path]]:
    """An account of its own where everything was deployed."""
    folder = tmp_path_factory.mktemp("project")
    with moto_process() as url, contextlib.chdir(folder):
        someone = newcomer(url)
        someone.types(DEPLOY)
        yield someone, folder


@pytest.fixture
def deployed(once, monkeypatch) -> User:
    someone, folder = once
    monkeypatch.chdir(folder)
    return someone
