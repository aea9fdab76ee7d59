"""moto's server, whose Batch gives its containers what Fargate gives them.

moto 5.2.5 fails every job that has a volume without a host, which is Fargate's form, and gives
none of them a read-only root. Here such a volume is an empty one with the owner and the mode of
the image's VOLUME at that path, as ECS documents it, and the root is read-only.
"""

from __future__ import annotations

import sys
from functools import partialmethod
from typing import Any

import docker.types
from docker.models.containers import ContainerCollection
from moto.batch import models
from moto.server import main

_PROPERTY = models.Job._get_container_property
_MOUNT = docker.types.Mount


def _with_hosts(job: models.Job, name: str, default: Any) -> Any:
    found = _PROPERTY(job, name, default)
    if name != "volumes":
        return found
    return [{"host": {"sourcePath": None}, **volume} for volume in found]


def _mount(target: str, source: str | None, **given: Any) -> Any:
    return _MOUNT(target, source, **given | ({} if source else {"type": "volume"}))


if __name__ == "__main__":
    for owner, name, ours in (
        (models.Job, "_get_container_property", _with_hosts),
        (docker.types, "Mount", _mount),
        (ContainerCollection, "run", partialmethod(ContainerCollection.run, read_only=True)),
    ):
        setattr(owner, name, ours)
    main(sys.argv[1:])
