"""`docker` for a workflow: remembers what it was asked, and a push reaches ECR at moto.

Run as a program: docker_double.py FOLDER ARGUMENT...
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import boto3

OCI = "application/vnd.oci.image.manifest.v1+json"


def main(folder: Path, argv: list[str]) -> int:
    with (folder / "docker.jsonl").open("a") as log:
        log.write(json.dumps(argv) + "\n")
    match argv:
        case ["buildx", "inspect"]:
            print("Name: builder\nDriver: docker-container")
        case ["image", "inspect", *_]:
            print("amd64")
        case ["login", *_]:
            if not sys.stdin.read().strip():
                return 1
        case ["build", *_]:
            dockerfile = Path(argv[argv.index("--file") + 1])
            (folder / "image").write_text(hashlib.sha256(dockerfile.read_bytes()).hexdigest())
        case ["push", reference]:
            push(folder, reference)
        case ["tag", *_] | ["info"]:
            pass
        case _:
            return 64
    return 0


def push(folder: Path, reference: str) -> None:
    repository, _, tag = reference.split("/", 1)[1].partition(":")
    layer = f"sha256:{(folder / 'image').read_text()}"
    manifest = {"schemaVersion": 2, "mediaType": OCI, "layers": [{"digest": layer}]}
    ecr = boto3.client("ecr", endpoint_url=os.environ["AWS_ENDPOINT_URL"])  # noqa: TID251 -- a program
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2:]))
