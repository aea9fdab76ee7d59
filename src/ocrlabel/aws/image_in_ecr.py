"""Which processors an image in ECR is for, read from its manifest and config."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ocrlabel.aws.session import translated

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

_TYPES: Final = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


def architectures(
    ecr: ECRClient, repository: str, digest: str, fetch: Callable[[str], bytes]
) -> set[str]:
    """As containers name them: amd64, arm64. fetch reads an address that ECR signs."""
    with translated(f"read the manifest of {repository}@{digest}"):
        answer = ecr.batch_get_image(
            repositoryName=repository,
            imageIds=[{"imageDigest": digest}],
            acceptedMediaTypes=_TYPES,
        )
        manifest: dict[str, Any] = json.loads(answer["images"][0].get("imageManifest", "{}"))
        if "manifests" in manifest:
            return listed(manifest)
        config = str(manifest["config"]["digest"])
        url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=config)
    found = json.loads(fetch(url["downloadUrl"]))
    return {str(found["architecture"])}


def listed(index: dict[str, Any]) -> set[str]:
    """Of an index; attestations stand in it as `unknown`."""
    found = {str(each.get("platform", {}).get("architecture", "")) for each in index["manifests"]}
    return found - {"unknown", ""}
