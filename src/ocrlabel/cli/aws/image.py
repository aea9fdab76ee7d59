"""`ocrlabel aws push-image` and `register`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocrlabel.cli.aws.wiring import Processor, Shell, tell

if TYPE_CHECKING:
    from ocrlabel.aws.config_env import AwsConfig
    from ocrlabel.aws.session import Aws

Vcpu = Annotated[str, typer.Option(help="vCPUs of a worker.")]
Memory = Annotated[int, typer.Option(min=512, help="Memory of a worker.")]
CACHE_TAG = "cache"
Architecture = Annotated[Processor, typer.Option(help="As the queue's machines have it.")]


def push_image(
    context: typer.Context,
    root: Annotated[Path, typer.Option(help="The project's folder.")] = Path(),
    tag: Annotated[
        list[str] | None,
        typer.Option(help="The tags that move to it; default: latest.", show_default=False),
    ] = None,
    target: Annotated[
        Literal["api", "local"], typer.Option(help="local has the embedded engine in it.")
    ] = "api",
    architecture: Architecture = "X86_64",
    base_image: Annotated[str, typer.Option(help="Instead of python:3.12-slim.")] = "",
    vcpu: Vcpu = "1",
    memory_mib: Memory = 2048,
    cache: Annotated[
        bool,
        typer.Option("--cache", help="Keep all layers in ECR for the next build (docker buildx)."),
    ] = False,
    push_it: Annotated[
        bool, typer.Option("--push/--no-push", help="Or only build it; needs no AWS.")
    ] = True,
    register_it: Annotated[
        bool, typer.Option("--register/--no-register", help="Make jobs use it.")
    ] = True,
) -> None:
    """Build the image, push it to ECR, and register a job definition pinned to it.

    For example:

        ocrlabel aws push-image

        ocrlabel aws push-image --target local --memory-mib 4096 --vcpu 2

        ocrlabel aws push-image --tag "$GITHUB_SHA" --tag latest --cache

        ocrlabel aws push-image --no-push
    """
    from ocrlabel.aws import image
    from ocrlabel.aws.commands import run
    from ocrlabel.aws.names import REPOSITORY

    program = image.engine(shutil.which)
    name = f"{REPOSITORY}:latest"
    dockerfile = str(root / "scripts" / "cloud" / "Dockerfile.batch")
    wanted = image.Build(str(root), dockerfile, name, architecture, target, base_image)
    if not push_it:
        tell(f"building {name} with {program}")
        image.build(run, program, wanted)
        typer.echo(name)
        return
    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    image.log_in(run, program, aws.client("ecr"), config.ecr_uri)
    if cache and image.can_cache(run, program):
        wanted = replace(wanted, cache=f"{config.ecr_uri}:{CACHE_TAG}")
    elif cache:
        tell(f"{program} has no buildx builder that can keep layers in ECR: built without")
    tell(f"building {name} with {program}")
    image.build(run, program, wanted)
    tags = tag or ["latest"]
    tell(f"pushing to {config.ecr_uri}: {', '.join(tags)}")
    pinned = image.push(run, program, aws.client("ecr"), name=name, uri=config.ecr_uri, tags=tags)
    typer.echo(pinned)
    if register_it:
        _register(aws, config, pinned, architecture, vcpu, memory_mib)


def register(
    context: typer.Context,
    image: Annotated[str, typer.Option(help="URI@sha256:...; default: the tag in ECR.")] = "",
    tag: Annotated[str, typer.Option(help="The tag to look up.")] = "latest",
    architecture: Architecture = "X86_64",
    vcpu: Vcpu = "1",
    memory_mib: Memory = 2048,
) -> None:
    """Register a job definition revision, pinned by the image's digest; none where it is there.

    For example:

        ocrlabel aws register

        ocrlabel aws register --memory-mib 4096
    """
    shell: Shell = context.obj
    aws, config = shell.aws(), shell.config()
    from ocrlabel.aws.image import pinned

    uri = image or pinned(aws.client("ecr"), config.ecr_uri, tag)
    _register(aws, config, uri, architecture, vcpu, memory_mib)


def _register(
    aws: Aws, config: AwsConfig, image: str, architecture: str, vcpu: str, memory_mib: int
) -> None:
    from ocrlabel.aws import names
    from ocrlabel.aws.definitions import look_definition, plan_definition, wanted_definitions
    from ocrlabel.aws.job_definition import values_of
    from ocrlabel.aws.plan import carry_out
    from ocrlabel.aws.stack import look_stack

    stack = look_stack(aws.client("cloudformation"))
    values = values_of(
        config, image, architecture=architecture, vcpu=vcpu, memory_mib=str(memory_mib)
    )
    with_ec2 = stack is not None and stack.parameters.get("WithEc2") == "true"
    for wanted in wanted_definitions(values, with_ec2=with_ec2):
        present = look_definition(aws.client("batch"), wanted["jobDefinitionName"])
        changes = plan_definition(present, wanted)
        carry_out(aws, changes, tell)
        if not changes:
            tell(f"{wanted['jobDefinitionName']}: revision {(present or {})['revision']} is it")
    tell(f"submit with: ocrlabel aws submit DATASET, to {names.QUEUE}")
