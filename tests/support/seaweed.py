"""SeaweedFS: an S3 server that many run in earnest, as one process on free ports.

It keeps its objects on disk, finds a prefix without walking all keys, and refuses a put of what is
there with 412, as S3 does. It comes as a wheel that holds the program `weed` and nothing else.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from tests.support.process import until

WEED = shutil.which("weed", path=str(Path(sys.executable).parent)) or ""
_ROLES = ("master", "volume", "filer", "s3")
_KEY = {"accessKey": "testing", "secretKey": "testing"}
# a signature must be right where there is one; as moto, it takes requests without any
_WHO = {
    "identities": [
        {"name": "tests", "credentials": [_KEY], "actions": ["Admin"]},
        {"name": "anonymous", "actions": ["Admin"]},
    ]
}


@contextmanager
def seaweed_server(metrics_port: int = 0) -> Iterator[str]:
    """A server with the credentials of `tests.support.s3`; gives its address.

    metrics_port: where it shows what it has counted; 0 for nowhere.
    """
    with tempfile.TemporaryDirectory(prefix="seaweed-") as home:
        folder = Path(home)
        (folder / "s3.json").write_text(json.dumps(_WHO))
        # a bucket has volumes of its own: one at a time, or a few dozen buckets use up all
        (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
        ports = free_ports(2 * len(_ROLES))
        address = f"http://127.0.0.1:{ports[_ROLES.index('s3')]}"
        command = [WEED, "server", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        command += [f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += ["-s3.autoCreateBucket=false"]
        command += ["-master.telemetry=false", "-volume.max=200", "-master.volumeSizeLimitMB=256"]
        command += [f"-metricsPort={metrics_port}"]
        for place, role in enumerate(_ROLES):
            command += [f"-{role}.port={ports[place]}"]
            command += [f"-{role}.port.grpc={ports[place + len(_ROLES)]}"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or _answers(address), within_s=90.0)
            assert process.poll() is None, (folder / "log").read_text(errors="replace")[-2000:]
            yield address
        finally:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/status", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
