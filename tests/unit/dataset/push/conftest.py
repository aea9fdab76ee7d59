"""Buckets to push to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ocrlabel.storage.base import ObjectStore
from ocrlabel.storage.opening import open_store
from tests.support.s3 import CREDENTIALS, REGION, make_bucket
from tests.support.stores import DictStore
from tests.unit.dataset.push.pushing import Pusher, sha256


@pytest.fixture
def open_s3(moto_url: str) -> Callable[[str], ObjectStore]:
    return lambda url: open_store(
        url, endpoint_url=moto_url, region=REGION, credentials=CREDENTIALS
    )


@pytest.fixture
def pusher(moto_url, open_s3, request, tmp_path) -> Pusher:
    bucket = "p" + sha256(request.node.nodeid.encode())[:20]
    make_bucket(moto_url, bucket)
    return Pusher(open_s3(f"s3://{bucket}"), bucket, tmp_path, open_s3)


@pytest.fixture
def plain(tmp_path) -> Pusher:
    """To a bucket that is a dict."""
    return Pusher(DictStore(), "dict", tmp_path)
