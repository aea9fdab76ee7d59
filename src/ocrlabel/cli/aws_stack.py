"""`ocrlabel aws deploy`, `destroy`, `doctor`, `push-image`, `register`: what jobs need to run."""

from __future__ import annotations

import asyncio
import io
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from ocrlabel.aws import deploy as deployment
from ocrlabel.aws import image as containers
from ocrlabel.aws import job_definition, names
from ocrlabel.aws.destroy import propose_removal, remove
from ocrlabel.aws.github import GitHubRepository, with_ids
from ocrlabel.aws.plan import Hidden, carry_out, loses_something
from ocrlabel.aws.ready import NEW_KEY, Check, check_images, examine, well, wrong
from ocrlabel.aws.session import Aws, AwsRefused, run
from ocrlabel.aws.stack import look_stack
from ocrlabel.cli import aws_wiring
from ocrlabel.cli.aws_jobs import table_of
from ocrlabel.cli.settings import DryRun, Offline, Yes
from ocrlabel.errors import ConfigError, ImageError, KeyRefused
from ocrlabel.labels import Document
from ocrlabel.options import PRICE_PER_PAGE_USD

WITHOUT_AN_ACCOUNT = "without an account, `ocrlabel aws deploy --dry-run --offline` lists it all"
Vcpu = Annotated[float, typer.Option(help="vCPUs of a worker.")]
Memory = Annotated[int, typer.Option(min=512, help="Memory of a worker.")]
CACHE_TAG = "cache"
Architecture = Annotated[
    aws_wiring.Processor, typer.Option(help="As the queue's machines have it.")
]


def deploy(
    context: typer.Context,
    dry_run: DryRun = False,
    offline: Offline = False,
    yes: Yes = False,
    bucket: Annotated[
        str, typer.Option(help="Default: S3_BUCKET, else ocrlabel-ACCOUNT-REGION.")
    ] = "",
    architecture: Annotated[
        aws_wiring.Processor | None, typer.Option(help="Of the machines that jobs run on.")
    ] = None,
    with_ec2: Annotated[
        bool | None,
        typer.Option(
            "--with-ec2/--without-ec2", help="Also a queue on EC2 Spot, for local engines."
        ),
    ] = None,
    max_vcpus: Annotated[int | None, typer.Option(min=1, help="Of Fargate at once.")] = None,
    max_vcpus_ec2: Annotated[int | None, typer.Option(min=1, help="Of EC2 at once.")] = None,
    network: Annotated[
        Literal["default", "own"] | None,
        typer.Option(help="The account's default VPC, or one of its own."),
    ] = None,
    subnets: Annotated[str, typer.Option(help="Existing subnets, with commas.")] = "",
    service_role: Annotated[
        str | None, typer.Option(help="A role for Batch instead of its service-linked one.")
    ] = None,
    notify_email: Annotated[str | None, typer.Option(help="Hears of failed jobs.")] = None,
    budget: Annotated[
        int | None, typer.Option(min=0, help="Alarm at 80 % of so many USD a month.")
    ] = None,
    github: Annotated[
        str | None,
        typer.Option(help="owner/name that may push and run by OIDC (owner@id/name@id with ids)."),
    ] = None,
    github_environment: Annotated[str | None, typer.Option(help="Its environment.")] = None,
) -> None:
    """Make or update everything that jobs need, and write aws/config.env.

    Running it again is harmless: what is there stays, and options given before are kept.

    For example:

        ocrlabel aws deploy --dry-run

        ocrlabel aws deploy --dry-run --offline

        UPSTAGE_API_KEY=up_... ocrlabel aws deploy

        ocrlabel aws deploy --with-ec2 --budget 50 --notify-email me@example.org
    """
    shell: aws_wiring.Shell = context.obj
    value = aws_wiring.key()
    parameters_given = {
        "BucketName": bucket or aws_wiring.variable("S3_BUCKET") or None,
        "SecretName": aws_wiring.variable("SECRET_NAME") or None,
        "CpuArchitecture": architecture,
        "WithEc2": None if with_ec2 is None else str(with_ec2).lower(),
        "MaxVcpusFargate": max_vcpus,
        "MaxVcpusEc2": max_vcpus_ec2,
        "ServiceRoleArn": service_role,
        "NotifyEmail": notify_email,
        "MonthlyBudgetUsd": budget,
        "GitHubEnvironment": github_environment,
    }
    given = {name: str(one) for name, one in parameters_given.items() if one is not None}
    named = [subnet for subnet in subnets.split(",") if subnet]
    repository = None if github is None else GitHubRepository.of(github)
    given |= repository.parameters if repository else {}
    if offline:
        if not dry_run:
            raise ConfigError("--offline can only say what would be made: give --dry-run with it")
        _show_first(shell, given, network, named)
        return
    with aws_wiring.offering(WITHOUT_AN_ACCOUNT):
        aws = shell.aws()
        location = aws.location()
    stack = look_stack(aws.client("cloudformation"))
    if repository and repository.names and not repository.with_ids:
        before = stack.parameters if stack else {}
        given |= with_ids(run, repository, before, aws_wiring.tell).parameters
    settled = {
        "BucketName": location.default_bucket,
        "SecretName": names.SECRET,
        **(stack.parameters if stack else {}),
        **given,
    }
    in_bucket = names.checked_bucket(settled["BucketName"])
    secret = names.checked_secret(settled["SecretName"])
    given |= {"BucketName": in_bucket, "SecretName": secret}
    parameters = deployment.look_choices(
        aws, location, stack, given, network=network, subnets=named
    )
    wanted = deployment.Wanted(location, in_bucket, secret, value, parameters)
    proposal = deployment.propose(aws, wanted)
    aws_wiring.show(proposal.changes, "nothing to change")
    losses = loses_something(proposal.changes)
    if dry_run or (
        losses and not aws_wiring.agreed(f"{len(losses)} things go or are replaced", yes=yes)
    ):
        deployment.discard(aws, proposal)
        aws_wiring.tell("nothing was changed")
        return
    config = deployment.make(aws, wanted, proposal, aws_wiring.tell)
    _write(shell.config_file, names.config_text(config))
    _write(
        shell.config_file.with_name(job_definition.GUIDES_DEFINITION), job_definition.file_text()
    )
    typer.echo(f"wrote {shell.config_file}; next: source {shell.config_file}")


def _show_first(
    shell: aws_wiring.Shell, given: Mapping[str, str], network: str | None, subnets: Sequence[str]
) -> None:
    """What the first deployment adds to an empty account, whoever's it is."""
    location = names.AwsLocation("ACCOUNT", shell.known_region() or "REGION")
    bucket = given.get("BucketName", location.default_bucket)
    secret = given.get("SecretName", names.SECRET)
    parameters = deployment.first_choices(given, network=network, subnets=subnets)
    # nothing is carried out, so the key's place may be empty
    aws_wiring.show(
        deployment.first_deployment(
            deployment.Wanted(location, bucket, secret, aws_wiring.key() or Hidden(""), parameters)
        ),
        "nothing to add",
    )
    aws_wiring.tell(
        "this is what an empty account would get; --dry-run alone compares with what is there"
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def destroy(
    context: typer.Context,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also the bucket, with everything in it.")
    ] = False,
    delete_secret: Annotated[
        bool, typer.Option("--delete-secret", help="Also the secret (7 days to undo it).")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    type_bucket: Annotated[
        str, typer.Option(help="With --delete-data: the bucket's name, typed.")
    ] = "",
) -> None:
    """Remove what deploy made; bucket, secret and logs stay unless told otherwise.

    With --yes too, --delete-data asks for the bucket's name.

    For example:

        ocrlabel aws destroy --dry-run

        ocrlabel aws destroy --delete-data --delete-secret
    """
    shell: aws_wiring.Shell = context.obj
    aws = shell.aws()
    location = aws.location()
    known_bucket = shell.config().s3_bucket if shell.config_file.is_file() else ""
    bucket = aws_wiring.variable("S3_BUCKET") or known_bucket or location.default_bucket
    secret = aws_wiring.variable("SECRET_NAME") or names.SECRET
    removal = propose_removal(
        aws, bucket=bucket, secret=secret, delete_data=delete_data, delete_secret=delete_secret
    )
    aws_wiring.show(removal.changes, "nothing to remove")
    kept = [
        *([] if delete_data else [f"bucket {bucket} (--delete-data)"]),
        *([] if delete_secret else [f"secret {secret} (--delete-secret)"]),
        f"log group {names.LOG_GROUP}",
    ]
    typer.echo(f"what stays: {', '.join(kept)}")
    if dry_run or not removal.changes:
        return
    typed = type_bucket
    if removal.data:
        typed = typed or typer.prompt(f"All data goes. Type {removal.data}")
    if removal.data or aws_wiring.agreed(f"remove these {len(removal.changes)}", yes=yes):
        remove(aws, removal, typed, aws_wiring.tell)
        if removal.stack is not None and shell.config_file.is_file():
            aws_wiring.tell(
                f"{shell.config_file} names what is gone now; `ocrlabel aws deploy` writes it again"
            )


def doctor(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Also look at this dataset.")] = "",
    call: Annotated[
        bool,
        typer.Option(
            "--call", help=f"Also one OCR request of one page (it costs ${PRICE_PER_PAGE_USD})."
        ),
    ] = False,
) -> None:
    """Check everything before money is spent; each line says what mends it.

    For example:

        ocrlabel aws doctor

        ocrlabel aws doctor baseline_train --call
    """
    aws = context.obj.aws()
    # what these credentials may not see, the checks tell
    with suppress(AwsRefused):
        if look_stack(aws.client("cloudformation")) is None:
            missing = f"nothing is deployed yet in {aws.region}: there is no stack {names.STACK}"
            raise ConfigError(f"{missing}\n  {NEW_KEY}")
    config = context.obj.config()

    def images() -> Check:
        return check_images(aws, config.s3_bucket, dataset, table_of(config, dataset))

    ask, look = _one_call if call else None, images if dataset else None
    failed = 0
    for check in examine(aws, config, aws_wiring.fetch_signed, call=ask, dataset=look):
        failed += not check.ok
        mend = f"\n        mend it: {check.mend}" if check.mend and not check.ok else ""
        typer.echo(f"{'ok    ' if check.ok else 'NOT OK'}  {check.name}: {check.why}{mend}")
    if failed:
        raise ConfigError(f"{failed} checks failed: see above for what mends each")


def _one_call(secret: str) -> Check:
    """The one paid request, of a page of one word, with the secret's first key."""
    from PIL import Image, ImageDraw

    from ocrlabel.engines.upstage import BASE_URL, UpstageEngine
    from ocrlabel.engines.upstage_keys import keys_of_secret

    drawn, file = Image.new("RGB", (640, 200), "white"), io.BytesIO()
    ImageDraw.Draw(drawn).text((40, 60), "ocrlabel", fill="black", font_size=64)
    drawn.save(file, "PNG")
    page = Document(file.getvalue(), "png", page_count=1, page_sizes_px=(drawn.size,))
    client = UpstageEngine(
        keys_of_secret(secret)[:1],
        wall=time.time,
        clock=time.monotonic,
        base_url=aws_wiring.variable("UPSTAGE_BASE_URL") or BASE_URL,
    )

    async def ask() -> Check:
        await client.start()
        try:
            answer = await client.recognise(page, client.lanes[0].name)
        except KeyRefused as error:
            return wrong("OCR call", error.message, NEW_KEY)
        except ImageError as error:
            return wrong("OCR call", error.message, "try again in some minutes")
        finally:
            await client.close()
        why = f"{answer.model_version} answered, {answer.billed_pages} page billed"
        return well("OCR call", why)

    return asyncio.run(ask())


def push_image(
    context: typer.Context,
    root: Annotated[Path, typer.Option(help="The project's folder.")] = Path(),
    tag: Annotated[
        list[str] | None,
        typer.Option(help="The tags that move to it; default: latest.", show_default=False),
    ] = None,
    target: Annotated[
        Literal["api", "local"], typer.Option(help="local has the free engines in it.")
    ] = "api",
    architecture: Architecture = "X86_64",
    base_image: Annotated[str, typer.Option(help="Instead of python:3.12-slim.")] = "",
    vcpu: Vcpu = 1,
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
    dockerfile = root / "scripts" / "cloud" / "Dockerfile.batch"
    if not dockerfile.is_file():
        raise ConfigError(
            f"{dockerfile} is not there: the image is built from a clone of ocrlabel's repository\n"
            "  run this in the clone's folder, or give --root CLONE"
        )
    program = containers.container_program(shutil.which, run)
    name = f"{names.REPOSITORY}:latest"
    wanted = containers.Build(str(root), str(dockerfile), name, architecture, target, base_image)
    if not push_it:
        aws_wiring.tell(f"building {name} with {program}")
        containers.build(run, program, wanted)
        typer.echo(name)
        return
    aws, config = aws_wiring.connected(context)
    containers.log_in(run, program, aws.client("ecr"), config.ecr_uri)
    if cache and containers.can_cache(run, program):
        wanted = replace(wanted, cache=f"{config.ecr_uri}:{CACHE_TAG}")
    elif cache:
        aws_wiring.tell(
            f"{program} has no buildx builder that can keep layers in ECR: built without"
        )
    aws_wiring.tell(f"building {name} with {program}")
    containers.build(run, program, wanted)
    tags = tag or ["latest"]
    aws_wiring.tell(f"pushing to {config.ecr_uri}: {', '.join(tags)}")
    pinned = containers.push(
        run, program, aws.client("ecr"), name=name, uri=config.ecr_uri, tags=tags
    )
    typer.echo(pinned)
    if register_it:
        _register(aws, config, pinned, architecture, vcpu, memory_mib)


def register(
    context: typer.Context,
    image: Annotated[str, typer.Option(help="URI@sha256:...; default: the tag in ECR.")] = "",
    tag: Annotated[str, typer.Option("--from-tag", help="The tag to look up.")] = "latest",
    architecture: Architecture = "X86_64",
    vcpu: Vcpu = 1,
    memory_mib: Memory = 2048,
) -> None:
    """Register a job definition revision, pinned by the image's digest; none where it is there.

    For example:

        ocrlabel aws register

        ocrlabel aws register --memory-mib 4096
    """
    aws, config = aws_wiring.connected(context)
    uri = image or containers.pinned(aws.client("ecr"), config.ecr_uri, tag)
    _register(aws, config, uri, architecture, vcpu, memory_mib)


def _register(
    aws: Aws, config: names.AwsConfig, image: str, architecture: str, vcpu: float, memory_mib: int
) -> None:
    stack = look_stack(aws.client("cloudformation"))
    values = job_definition.JobValues(config, image, architecture, f"{vcpu:g}", str(memory_mib))
    with_ec2 = stack is not None and stack.parameters.get("WithEc2") == "true"
    for wanted in job_definition.wanted_definitions(values, with_ec2=with_ec2):
        present = job_definition.look_definition(aws.client("batch"), wanted["jobDefinitionName"])
        changes = job_definition.plan_definition(present, wanted)
        for change in changes:
            aws_wiring.tell(change.line)
        carry_out(aws, changes, lambda _: None)
        if not changes:
            aws_wiring.tell(
                f"{wanted['jobDefinitionName']}: revision {(present or {})['revision']} is it"
            )
    aws_wiring.tell(f"submit with: ocrlabel aws submit DATASET, to {names.QUEUE}")
