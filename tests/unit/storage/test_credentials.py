"""Whose keys sign a request: given ones, a container's role, or a sentence that there are none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from ocrlabel.errors import ConfigError
from ocrlabel.storage.credentials import Credentials
from ocrlabel.storage.opening import open_store
from tests.support.s3 import REGION, flaky_proxy, make_bucket


@contextmanager
def role_server(key_id: str) -> Iterator[str]:
    """What gives a container its role's keys, as ECS and Batch have it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {
                    "AccessKeyId": key_id,
                    "SecretAccessKey": "secret",
                    "Token": "token",
                    "Expiration": "2999-01-01T00:00:00Z",
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/role"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_in_a_container_the_roles_keys_are_used(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bucket(moto_url, "of-a-role")
    with role_server("ROLEKEY") as url, flaky_proxy(moto_url) as proxy:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        store = open_store("s3://of-a-role", endpoint_url=proxy.url, region=REGION)

        await store.put("a", b"")

        assert "Credential=ROLEKEY/" in proxy.signatures[0]


async def test_given_keys_win_over_the_environments(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bucket(moto_url, "of-given-keys")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another's")
    with flaky_proxy(moto_url) as proxy:
        store = open_store(
            "s3://of-given-keys",
            endpoint_url=proxy.url,
            region=REGION,
            credentials=Credentials("GIVEN", "secret"),
        )

        await store.put("a", b"")

        assert "Credential=GIVEN/" in proxy.signatures[0]
        assert "x-amz-security-token" not in proxy.signatures[0]


@pytest.mark.parametrize("boto3_installed", [True, False])
async def test_the_environments_keys_are_used_with_and_without_the_aws_extra(
    moto_url: str, monkeypatch: pytest.MonkeyPatch, *, boto3_installed: bool
) -> None:
    name = f"of-the-environment-{boto3_installed}".lower()
    make_bucket(moto_url, name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    if not boto3_installed:
        monkeypatch.setitem(sys.modules, "boto3", None)
    with flaky_proxy(moto_url) as proxy:
        store = open_store(f"s3://{name}", endpoint_url=proxy.url, region=REGION)

        await store.put("a", b"")

        assert "Credential=ENVKEY/" in proxy.signatures[0]


def test_no_keys_at_all_is_told_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match=r"s3://bkt/x: no AWS credentials.*AWS_PROFILE"):
        open_store("s3://bkt/x", region=REGION)


def test_a_profile_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(ConfigError, match="nobody"):
        open_store("s3://bkt/x", region=REGION)


def test_secrets_are_not_printed() -> None:
    assert "hush" not in repr(Credentials("id", "hush", "hush"))
