"""AWS clients for tests: at moto, or at a double that speaks the service's own protocol."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import boto3
from botocore.config import Config

from ocrlabel.aws.names import AwsConfig
from ocrlabel.aws.session import Aws

REGION = "us-east-1"
ACCOUNT = "123456789012"
CONFIG = AwsConfig(
    aws_region=REGION,
    aws_account_id=ACCOUNT,
    s3_bucket="labels",
    ecr_repository="batch-processor",
    ecr_uri=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/batch-processor",
    secret_name="upstage-api-key",
    secret_arn=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:upstage-api-key-AbCdEf",
    job_role_arn=f"arn:aws:iam::{ACCOUNT}:role/ocrlabel-JobRole-1",
    exec_role_arn=f"arn:aws:iam::{ACCOUNT}:role/ocrlabel-ExecutionRole-1",
    batch_compute_env="spot",
    batch_job_queue="batch-processor-queue",
    batch_job_definition="pseudo-label-processor",
)


@dataclass
class FakeTime:
    """A clock that only sleeping moves."""

    now_s: float = 1_800_000_000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


def aws_at(endpoints: Mapping[str, str], moved: FakeTime | None = None) -> Aws:
    """Clients at these addresses by service; "*" is every other service's."""
    moved = moved or FakeTime()

    def make(service: str) -> Any:
        return client(service, endpoints.get(service, endpoints.get("*", "http://127.0.0.1:9")))

    return Aws(make, REGION, sleep=moved.sleep, now_s=moved.clock)


@cache
def client(service: str, endpoint: str) -> Any:
    """A client, kept for further tests: making one takes longer than most tests."""
    session = boto3.Session("testing", "testing", region_name=REGION)
    return session.client(
        service,
        endpoint_url=endpoint,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 4},
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=10,
        ),
    )


Answer = tuple[int, str]


Handle = Callable[[str, str, str], Answer]


@dataclass
class Served:
    """A server's address, and the double that answers there at present."""

    url: str
    handle: Handle


def _nobody(_path: str, _target: str, _body: str) -> Answer:
    raise AssertionError("no double was set")


@contextmanager
def serving(kind: str) -> Iterator[Served]:
    """A server that answers each POST with handle(path, target, body) of whoever is set."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            with lock:
                status, text = served.handle(self.path, self.headers.get("X-Amz-Target", ""), body)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_address[1]}", _nobody)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def moto_process(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """moto in a process of its own: its state is nobody else's, nor are its warnings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            "env",
            *(f"{name}={value}" for name, value in (environment or {}).items()),
            *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_port(port, 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def wait_for_port(port: int, timeout_s: float) -> None:
    """Return as soon as somebody listens there."""
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end_s:
                raise
            threading.Event().wait(0.05)
        else:
            return


def reset(moto: str) -> None:
    """Make a moto server forget everything."""
    connection = http.client.HTTPConnection(moto.removeprefix("http://"), timeout=10)
    connection.request("POST", "/moto-api/reset")
    connection.getresponse().read()
    connection.close()


def form(body: str) -> dict[str, str]:
    """A query-protocol request's parameters."""
    return dict(parse_qsl(body, keep_blank_values=True))


def xml(action: str, content: str) -> str:
    """A query-protocol answer."""
    return (
        f"<{action}Response><{action}Result>{content}</{action}Result>"
        f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
    )


def refused(code: str, message: str) -> Answer:
    """A query-protocol refusal."""
    return 400, (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error></ErrorResponse>"
    )


def json_refused(code: str, message: str, status: int = 400) -> Answer:
    """A JSON-protocol refusal."""
    return status, json.dumps({"__type": code, "code": code, "message": message})
