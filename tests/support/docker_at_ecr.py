"""A container program in this process, whose pushes reach a registry at moto."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": 7,
        "digest": "sha256:" + "1" * 64,
    },
    "layers": [],
}


@dataclass
class Docker:
    """A container program that remembers what it was asked; a push reaches the registry."""

    ecr: object
    architecture: str = "amd64"
    asked: list[tuple[list[str], str | None]] = field(default_factory=list)

    def __call__(self, argv: Sequence[str], stdin: str | None) -> str:
        self.asked.append((list(argv), stdin))
        if argv[1] == "push":
            self.ecr.put_image(
                repositoryName="batch-processor",
                imageManifest=json.dumps(MANIFEST),
                imageTag=argv[2].rsplit(":", 1)[1],
            )
        return self.architecture + "\n" if argv[1] == "image" else ""
