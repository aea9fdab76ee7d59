"""The workers' image: build, check and push it with docker or podman, and ask ECR what it has.

Jobs name it by its digest (`pinned`), so that a tag that moves changes no job that was submitted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ocrlabel.aws.session import AwsRefused, CommandFailed, Run, if_there, translated
from ocrlabel.errors import ConfigError, OcrLabelError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

# AWS's names for processors, and the containers' world's
PLATFORMS: Final = {"X86_64": "amd64", "ARM64": "arm64"}
ENGINES_LABEL: Final = "ocrlabel.engines"
_TYPES: Final = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


@dataclass(frozen=True, slots=True)
class Build:
    """What to build. target: `api`, or `local` with the engine in it.

    cache: where every layer is kept for the next build, "" for nowhere but this machine.
    """

    root: str
    dockerfile: str
    name: str
    architecture: str = "X86_64"
    target: str = "api"
    base_image: str = ""
    cache: str = ""


def container_program(which: Callable[[str], str | None], run: Run) -> str:
    """The first of docker and podman that is installed and answers. Raises ConfigError."""
    silent = ""
    for program in filter(which, ("docker", "podman")):
        try:
            run([program, "info"], None)
        except CommandFailed as error:
            silent = silent or str(error)
        else:
            return program
    raise ConfigError(
        f"{silent or 'neither docker nor podman is installed here'}\n  install one or start its "
        "service, or push to main and let the workflow build the image"
    )


def build(run: Run, program: str, wanted: Build) -> None:
    """Build it. Raises ConfigError where it came out for another processor than the queue has."""
    run(build_argv(program, wanted), None)
    argv = [program, "image", "inspect", "--format", "{{.Architecture}}", wanted.name]
    found, platform = run(argv, None).strip(), PLATFORMS[wanted.architecture]
    if found != platform:
        raise ConfigError(
            f"{wanted.name} is built for {found}, and the jobs run on {platform}: every one would "
            "end with `exec format error`\n"
            f"  build with --platform linux/{platform} (docker needs "
            "`docker run --privileged tonistiigi/binfmt --install all` once), or deploy with "
            "--architecture"
        )


def build_argv(program: str, wanted: Build) -> list[str]:
    """The build's command line."""
    argv = [program, "build", "--platform", f"linux/{PLATFORMS[wanted.architecture]}"]
    argv += ["--target", wanted.target]
    if wanted.base_image:
        argv += ["--build-arg", f"BASE_IMAGE={wanted.base_image}"]
    if wanted.cache:
        # all stages' layers in a registry; ECR takes them as an OCI image only
        kept = f"type=registry,ref={wanted.cache}"
        kinds = "mode=max,image-manifest=true,oci-mediatypes=true"
        # a builder that can keep them puts its image nowhere unless told to
        argv += ["--cache-from", kept, "--cache-to", f"{kept},{kinds}", "--load"]
    return [*argv, "--file", wanted.dockerfile, "--tag", wanted.name, wanted.root]


def can_cache(run: Run, program: str) -> bool:
    """Whether it is docker with a buildx builder of its own: only that keeps layers elsewhere."""
    try:
        return "docker-container" in run([program, "buildx", "inspect"], None)
    except CommandFailed:
        return False


def log_in(run: Run, program: str, ecr: ECRClient, uri: str) -> None:
    """To the registry of this address; the password goes through standard input."""
    host = uri.split("/", 1)[0]
    with translated("log in to ECR"):
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    password = base64.b64decode(token).decode().split(":", 1)[1]
    run([program, "login", "--username", "AWS", "--password-stdin", host], password)


def push(
    run: Run, program: str, ecr: ECRClient, *, name: str, uri: str, tags: Sequence[str]
) -> str:
    """Tag and push; `uri@sha256:...` as ECR has it now. One is logged in."""
    for tag in tags:
        run([program, "tag", name, f"{uri}:{tag}"], None)
        run([program, "push", f"{uri}:{tag}"], None)
    return pinned(ecr, uri, tags[0])


def pinned(ecr: ECRClient, uri: str, tag: str) -> str:
    """`uri@sha256:...` of a tag in ECR. Raises ConfigError where there is no such image."""
    repository = uri.split("/", 1)[1]
    found = if_there(
        f"look for {repository}:{tag} in ECR",
        lambda: ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}]),
        "ImageNotFoundException",
    )
    if found is None:
        raise ConfigError(
            f"ECR has no image {repository}:{tag} yet: `ocrlabel aws push-image` builds and pushes "
            "it"
        )
    return f"{uri}@{found['imageDetails'][0]['imageDigest']}"


def contents(
    ecr: ECRClient, repository: str, digest: str, fetch: Callable[[str], bytes]
) -> tuple[set[str], set[str]]:
    """What an image in ECR says of its processors and of its engines; empty where it does not.

    The processors as containers name them, amd64 and arm64; the engines as the label in
    Dockerfile.batch. fetch reads an address that ECR signs.
    """
    with translated(f"read the manifest of {repository}@{digest}"):
        answer = ecr.batch_get_image(
            repositoryName=repository,
            imageIds=[{"imageDigest": digest}],
            acceptedMediaTypes=_TYPES,
        )
        images = answer["images"]
        manifest: dict[str, Any] = json.loads(images[0]["imageManifest"]) if images else {}
        if found := architectures_of_index(manifest):
            one = next(
                each["digest"]
                for each in manifest["manifests"]
                if each.get("platform", {}).get("architecture") in found
            )
            return found, contents(ecr, repository, one, fetch)[1]
        if "config" not in manifest:
            return set(), set()
        config = str(manifest["config"]["digest"])
        url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=config)
    try:
        said = json.loads(fetch(url["downloadUrl"]))
    except (OcrLabelError, ValueError) as error:
        raise AwsRefused(f"the description of {repository}@{digest} cannot be read") from error
    labels = (said.get("config") or {}).get("Labels") or {}
    return {str(said["architecture"])}, set(str(labels.get(ENGINES_LABEL, "")).split())


def architectures_of_index(index: dict[str, Any]) -> set[str]:
    """Of an index, none of what is none; attestations stand in it as `unknown`."""
    listed = index.get("manifests", ())
    found = {str(each.get("platform", {}).get("architecture", "")) for each in listed}
    return found - {"unknown", ""}
