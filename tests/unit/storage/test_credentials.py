"""Whose keys sign a request: given ones, a container's role, or a sentence that there are none."""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from threading import Thread

import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.storage.base import ObjectStore, RetryLimits
from ocrlabel.storage.credentials import Credentials, FoundKeys
from ocrlabel.storage.opening import open_store
from tests.support.s3 import CREDENTIALS, REGION, flaky_proxy, make_bucket


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
        monkeypatch.setitem(sys.modules, "botocore.session", None)
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


def keys_file(folder: Path, key_id: str) -> Path:
    path = folder / "credentials"
    path.write_text(f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = s\n")
    return path


async def test_keys_that_are_renewed_on_the_disk_are_used_from_the_next_request_on(
    moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_bucket(moto_url, "renewed")
    path = keys_file(tmp_path, "OLD")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    with flaky_proxy(moto_url) as proxy:
        store = open_store("s3://renewed", endpoint_url=proxy.url, region=REGION)
        await store.put("a", b"")
        path.write_text("")  # half written
        await store.put("a", b"")
        keys_file(tmp_path, "NEW")
        await store.put("a", b"")

    used = [re.search("Credential=([A-Z]+)/", one)[1] for one in proxy.signatures]  # type: ignore[index]  # each is signed
    assert used == ["OLD", "OLD", "NEW"]


class Renewing:
    """A session whose role cannot be taken on any more with the keys that it was begun with."""

    def __init__(self, number: int, config: Path) -> None:
        self.number, self.config = number, config

    def get_config_variable(self, name: str) -> str:
        return str(self.config)

    def get_credentials(self) -> Renewing:
        return self

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        if self.number == 1:
            raise BotoCoreError
        return ReadOnlyCredentials(f"KEY{self.number}", "s", "t")


def test_a_role_that_cannot_be_renewed_is_taken_on_anew(tmp_path: Path) -> None:
    numbers = count(1)
    keys = FoundKeys(lambda: Renewing(next(numbers), tmp_path), REGION, (BotoCoreError, ValueError))
    assert [keys()["access_key_id"] for _ in range(3)] == ["KEY2"] * 3


async def test_certificates_of_ones_own_are_trusted_for_the_bucket_alone(tmp_path: Path) -> None:
    bundle, before = tmp_path / "ca.pem", dict(os.environ)  # noqa: TID251 -- to compare
    with a_server_with_tls(bundle) as url:

        def opened(ca_bundle: str | None) -> ObjectStore:
            return open_store(
                "s3://bkt",
                endpoint_url=url,
                region=REGION,
                credentials=Credentials("a", "b"),
                ca_bundle=ca_bundle,
                retry_limits=RetryLimits(limit_s=2.0, attempt_s=5.0),
            )

        await opened(str(bundle)).put("a", b"")
        with pytest.raises(StoreUnavailable):
            await opened(None).put("a", b"")

    assert dict(os.environ) == before  # noqa: TID251 -- what this process is left with
    for wrong in (tmp_path / "gone.pem", tmp_path):
        with pytest.raises(ConfigError, match=f"AWS_CA_BUNDLE is {wrong}: "):
            opened(str(wrong))
    bundle.write_text("none")
    with pytest.raises(ConfigError, match="it holds no certificate"):
        opened(str(bundle))


@contextmanager
def a_server_with_tls(bundle: Path) -> Iterator[str]:
    """Takes every put; its certificate is signed by the one that is written to `bundle`."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.send_response(200)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = certificate("tests", ours.public_key(), signed_by=ours, is_ca=True)
    served = certificate("localhost", theirs.public_key(), signed_by=ours, is_ca=False)
    bundle.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    own = bundle.with_name("own.pem")
    own.write_bytes(
        served.public_bytes(serialization.Encoding.PEM)
        + theirs.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

    class Server(HTTPServer):
        def handle_error(self, *args: object) -> None:
            pass  # a client that does not trust it is what the test is about

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    *,
    signed_by: ec.EllipticCurvePrivateKey,
    is_ca: bool,
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named("tests"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(signed_by, hashes.SHA256())
    )


@contextmanager
def a_bucket_elsewhere(region: str) -> Iterator[str]:
    """A server that sends everybody to another region, as S3 does: with no place to go to."""

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(301)
            self.send_header("x-amz-bucket-region", region)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_HEAD = do_GET = do_any  # noqa: N815 -- http.server's names

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_bucket_in_another_region_is_told_with_that_region() -> None:
    with a_bucket_elsewhere("ap-northeast-2") as url:
        store = open_store("s3://bkt", endpoint_url=url, region=REGION, credentials=CREDENTIALS)
        says = "another region, ap-northeast-2: set AWS_REGION=ap-northeast-2"
        with pytest.raises(ConfigError, match=says):
            await store.put("a", b"")
        with pytest.raises(ConfigError, match=says):
            store.open("a")


@pytest.mark.parametrize(
    ("variable", "value", "header"),
    [
        ("AWS_REQUEST_PAYER", "true", "x-amz-request-payer"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "AES256", "x-amz-server-side-encryption"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms", "x-amz-server-side-encryption"),
        ("AWS_SSE_BUCKET_KEY_ENABLED", "true", "x-amz-server-side-encryption-bucket-key-enabled"),
        ("AWS_SSE_KMS_KEY_ID", "arn:k", "x-amz-server-side-encryption-aws-kms-key-id"),
    ],
)
async def test_the_documented_variables_of_a_bucket_go_along_with_every_put(
    moto_url: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, header: str
) -> None:
    monkeypatch.setenv("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms")
    monkeypatch.setenv("AWS_SSE_KMS_KEY_ID", "arn:other")
    monkeypatch.setenv(variable, value)
    make_bucket(moto_url, "with-settings")
    with flaky_proxy(moto_url) as proxy:
        store = open_store(
            "s3://with-settings", endpoint_url=proxy.url, region=REGION, credentials=CREDENTIALS
        )
        await store.put_if_absent("a", b"")

        signed = re.search("SignedHeaders=([^,]+)", proxy.signatures[0])
        assert signed is not None
        assert header in signed[1].split(";")
