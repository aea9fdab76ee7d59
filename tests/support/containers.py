"""A container engine, a registry and AWS Batch on this machine, for the rehearsal of the guide.

Settings of the engine are in files of our own, named by CONTAINERS_CONF and
CONTAINERS_REGISTRIES_CONF: nothing of the machine's own is changed.
"""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.aws import wait_for_port

BASE = "docker.io/library/python:3.12-slim"
ECR_HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ROOT = Path(__file__).parents[2]
PROGRAMS = ("podman", "runc", "debootstrap", "docker-registry", "/usr/bin/aws")


def missing_programs() -> list[str]:
    """What the rehearsal needs and this machine lacks."""
    return [program for program in PROGRAMS if not shutil.which(program)]


@dataclass(frozen=True)
class Engine:
    """podman with files of our own. environment: what every program of the rehearsal gets."""

    folder: Path
    registry: str
    environment: Mapping[str, str]

    def podman(self, *argv: str, timeout_s: float = 900) -> str:
        """Run podman and return what it printed."""
        return run(["podman", *argv], self.environment, timeout_s=timeout_s)


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    cwd: Path | None = None,
    timeout_s: float = 900,
) -> str:
    """Run a program; a failure shows all that it said."""
    done = subprocess.run(
        list(argv),
        env=dict(environment),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    if done.returncode:
        pytest.fail(f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@contextmanager
def process(
    argv: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a session of its own, ended with everything that it started."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            list(argv),
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield started
        finally:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(15)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def engine(folder: Path, registry_port: int, environment: Mapping[str, str]) -> Engine:
    """Write the engine's settings; containers get `environment`'s cloud variables."""
    in_containers = [
        f'"{name}={value}"'
        for name, value in environment.items()
        if name.startswith(("AWS_", "UPSTAGE_BASE"))
    ]
    # runc, host networking and cgroupfs work where the kernel limits what a container may set
    (folder / "containers.conf").write_text(
        "[containers]\n"
        f'default_ulimits = ["nofile={_files()}:{_files()}", "nproc=1000:1000"]\n'
        'netns = "host"\n'
        f"env = [{', '.join(in_containers)}]\n"
        "[engine]\n"
        'cgroup_manager = "cgroupfs"\n'
        'runtime = "runc"\n'
        'events_logger = "file"\n'
    )
    registry = f"127.0.0.1:{registry_port}"
    (folder / "registries.conf").write_text(
        'unqualified-search-registries = ["docker.io"]\n'
        f'[[registry]]\nprefix = "{ECR_HOST}"\nlocation = "{registry}"\ninsecure = true\n'
        f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n'
    )
    return Engine(
        folder,
        registry,
        {
            **environment,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        },
    )


def _files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def base_image(made: Engine) -> None:
    """The Dockerfile's base: pulled where that is possible, else made of Debian's packages."""
    if "true" in _say(made, "image", "exists", BASE):
        return
    if "true" in _say(made, "pull", "--quiet", BASE, timeout_s=120):
        return
    mirror = run(["apt-get", "indextargets", "--format", "$(SITE)"], made.environment).split()[0]
    root = made.folder / "base"
    packages = "ca-certificates,python3,python3-venv,python3-pip"
    run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", root, mirror],
        made.environment,
    )
    run(
        ["bash", "-c", f'set -o pipefail; tar -C "{root}" -c . | podman import - {BASE}'],
        made.environment,
    )
    shutil.rmtree(root)


def _say(made: Engine, *argv: str, timeout_s: float = 30) -> str:
    try:
        done = subprocess.run(
            ["podman", *argv],
            env=dict(made.environment),
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return "false"
    return "false" if done.returncode else "true"


def docker_shim(folder: Path, registry: str) -> None:
    """`docker` for the guide's lines: podman, with the loopback registry in ECR's place."""
    program = folder / "docker"
    program.write_text(f"""#!/usr/bin/env bash
set -euo pipefail
command=$1
shift
case $command in
  build) exec podman build --network=host -v /etc/ssl/certs:/etc/ssl/certs:ro "$@" ;;
  login) exec podman login --tls-verify=false "${{@//{ECR_HOST}/{registry}}}" ;;
  push) exec podman push --tls-verify=false "${{@//{ECR_HOST}/{registry}}}" ;;
  *) exec podman "$command" "${{@//{ECR_HOST}/{registry}}}" ;;
esac
""")
    program.chmod(0o755)


@contextmanager
def registry(folder: Path, port: int, environment: Mapping[str, str]) -> Iterator[None]:
    """Debian's registry on loopback."""
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    argv = ["docker-registry", "serve", str(config)]
    with process(argv, environment, folder / "registry.log"):
        wait_for_port(port, 30)
        yield


@contextmanager
def batch_on_containers(made: Engine, port: int) -> Iterator[None]:
    """podman's Docker API, and moto whose Batch runs its jobs there."""
    socket_path = made.folder / "podman.sock"
    service = ["podman", "system", "service", "--time=0", f"unix://{socket_path}"]
    server = Path(__file__).with_name("moto_as_fargate.py")
    moto = [sys.executable, str(server), "-H", "127.0.0.1", "-p", str(port)]
    with process(service, made.environment, made.folder / "podman.log"):
        until(socket_path.exists, 30)
        at_moto = {
            **made.environment,
            "DOCKER_HOST": f"unix://{socket_path}",
            "MOTO_DOCKER_NETWORK_MODE": "host",
        }
        with process(moto, at_moto, made.folder / "moto.log"):
            wait_for_port(port, 60)
            yield


def until(done: object, timeout_s: float, pause_s: float = 0.2) -> None:
    """Ask again and again until it is so."""
    assert callable(done)
    end_s = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end_s:
            pytest.fail(f"not so after {timeout_s} s")
        threading.Event().wait(pause_s)
