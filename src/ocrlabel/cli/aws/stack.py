"""`ocrlabel aws destroy` and `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ocrlabel.cli.aws.wiring import Shell, agreed, open_in_bucket, show, tell, variable
from ocrlabel.errors import ConfigError, OcrLabelError

if TYPE_CHECKING:
    from ocrlabel.aws.config_env import AwsConfig
    from ocrlabel.aws.doctor import Check
    from ocrlabel.aws.session import Aws


def destroy(
    context: typer.Context,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also the bucket, with everything in it.")
    ] = False,
    delete_secret: Annotated[
        bool, typer.Option("--delete-secret", help="Also the secret (7 days to undo it).")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Unasked, the data excepted.")] = False,
    type_bucket: Annotated[
        str, typer.Option(help="With --delete-data: the bucket's name, typed.")
    ] = "",
) -> None:
    """Remove what deploy made; bucket, secret and logs stay unless told otherwise.

    For example:

        ocrlabel aws destroy --dry-run

        ocrlabel aws destroy --delete-data --delete-secret
    """
    shell: Shell = context.obj
    aws = shell.aws()
    from ocrlabel.aws import names
    from ocrlabel.aws.destroy import propose_removal, remove

    place = aws.place()
    removal = propose_removal(
        aws,
        bucket=variable("S3_BUCKET") or _known_bucket(shell) or place.default_bucket,
        secret=variable("SECRET_NAME") or names.SECRET,
        delete_data=delete_data,
        delete_secret=delete_secret,
    )
    show(removal.changes, "nothing to remove")
    if dry_run or not removal.changes:
        return
    typed = type_bucket
    if removal.data and not typed:
        typed = typer.prompt(f"All data goes. Type {removal.data}")
    if removal.data or agreed(f"remove these {len(removal.changes)}", yes=yes):
        remove(aws, removal, typed, tell)


def doctor(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Also look at this dataset.")] = "",
    call: Annotated[
        bool, typer.Option("--call", help="Also one OCR request of one page (it costs $0.0015).")
    ] = False,
) -> None:
    """Check everything before money is spent; each line says what mends it.

    For example:

        ocrlabel aws doctor

        ocrlabel aws doctor baseline_train --call
    """
    shell: Shell = context.obj
    aws = shell.aws()
    config = shell.config()
    from ocrlabel.aws.doctor import Outside, examine

    outside = Outside(
        fetch=_fetch,
        dataset=(lambda: _dataset_check(aws, config, dataset)) if dataset else None,
        call=_one_call if call else None,
    )
    failed = 0
    for check in examine(aws, config, outside):
        failed += not check.ok
        mend = f"\n        mend it: {check.mend}" if check.mend and not check.ok else ""
        typer.echo(f"{'ok    ' if check.ok else 'NOT OK'}  {check.name}: {check.why}{mend}")
    if failed:
        raise ConfigError(f"{failed} checks failed: see above for what mends each")


def _known_bucket(shell: Shell) -> str:
    return shell.config().s3_bucket if shell.config_file.is_file() else ""


def _dataset_check(aws: Aws, config: AwsConfig, dataset: str) -> Check:
    from ocrlabel.aws.input_table import check_images, read_table, table_key

    object_key = table_key(dataset)
    with open_in_bucket(config.s3_bucket, object_key, config.aws_region) as source:
        table = read_table(source, f"s3://{config.s3_bucket}/{object_key}")
    return check_images(aws, config.s3_bucket, dataset, table)


def _fetch(url: str) -> bytes:
    import httpx2

    try:
        return httpx2.get(url, timeout=30).raise_for_status().content
    except httpx2.HTTPError as error:
        raise OcrLabelError(f"ECR's own download did not answer: {error}") from error


def _one_call(secret: str) -> Check:
    from ocrlabel.cli.aws.call import one_call

    return one_call(secret, variable("UPSTAGE_BASE_URL"))
