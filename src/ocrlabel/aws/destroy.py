"""Destroy: list what would go, keep what holds work or money, then remove the rest.

Bucket and secret stay unless they are asked for, the logs and GitHub's provider always. Nothing
goes while a job is waiting or running.
"""

from __future__ import annotations

from collections.abc import Callable

from ocrlabel.aws import names
from ocrlabel.aws.bucket import look_bucket
from ocrlabel.aws.job_definition import active_revisions
from ocrlabel.aws.jobs import ACTIVE, jobs_in
from ocrlabel.aws.plan import Call, Change, Kind, carry_out
from ocrlabel.aws.secret import look_secret
from ocrlabel.aws.session import Aws, if_there, translated
from ocrlabel.aws.stack import Proposal, StackState, delete_stack, look_stack
from ocrlabel.errors import ConfigError
from ocrlabel.wording import counted

DELETE_AT_ONCE = 1000  # the most that DeleteObjects takes
IMAGES_AT_ONCE = 100  # and BatchDeleteImage
MANIFEST_DEPTH = 3
_REGISTRY = "AWS::ECR::Repository"


def propose_removal(
    aws: Aws, *, bucket: str, secret: str, delete_data: bool, delete_secret: bool
) -> Proposal:
    """What `destroy` would remove. Raises ConfigError while jobs are going on."""
    stack = look_stack(aws.client("cloudformation"))
    queues = names.QUEUES if stack else ()
    if busy := [job for queue in queues for job in jobs_in(aws, queue, ACTIVE)]:
        ids = ", ".join(job.id for job in busy[:5])
        raise ConfigError(
            f"{len(busy)} jobs are still going on ({ids})\n"
            "  wait for them, or stop them with `ocrlabel aws cancel JOB`; what they have done is "
            "saved"
        )
    around = []
    for name in names.DEFINITIONS:
        for each in active_revisions(aws.client("batch"), name):
            which = {"jobDefinition": each["jobDefinitionArn"]}
            calls = (Call("batch", "deregister_job_definition", which),)
            revision = f"{each['jobDefinitionName']}:{each['revision']}"
            around.append(Change(Kind.REMOVE, "job definition", revision, calls=calls))
    found = look_secret(aws.client("secretsmanager"), secret) if delete_secret else None
    if found and not found.being_deleted:
        which = {"SecretId": secret, "RecoveryWindowInDays": 7}
        call = Call("secretsmanager", "delete_secret", which)
        detail = "can be brought back for 7 days"
        around.append(Change(Kind.REMOVE, "secret", secret, detail, (call,)))
    data = ""
    if delete_data and look_bucket(aws.client("s3"), bucket, aws.region) is not None:
        data = bucket
        gone = Call("s3", "delete_bucket", {"Bucket": bucket})
        detail = "with every dataset, checkpoint and result in it"
        around.append(Change(Kind.REMOVE, "bucket", bucket, detail, (gone,)))
    return Proposal(stack, tuple(_resources(aws, stack)), tuple(around), data=data)


def remove(aws: Aws, removal: Proposal, typed: str, tell: Callable[[str], None]) -> None:
    """Carry it out. `typed` must be the bucket's name where its data goes. Raises ConfigError."""
    if removal.data and typed != removal.data:
        raise ConfigError(
            f"nothing was deleted: to delete the data, type the bucket's name, {removal.data}"
        )
    if removal.stack is not None:
        if any(change.thing == _REGISTRY for change in removal.in_stack):
            empty_repository(aws, tell)
        delete_stack(aws, removal.stack, tell)
    if removal.data:
        empty_bucket(aws, removal.data, tell)
    carry_out(aws, removal.around, tell)


def empty_repository(aws: Aws, tell: Callable[[str], None]) -> None:
    """Delete every image, so that the repository cannot stop the deletion half way.

    AWS does it too (EmptyOnDelete), for a stack that says so and for what is left here.
    """
    ecr, where = aws.client("ecr"), {"repositoryName": names.REPOSITORY}
    doing = f"empty the repository {names.REPOSITORY}"

    def listed() -> set[str]:
        pages = ecr.get_paginator("list_images").paginate(**where)
        return {str(each["imageDigest"]) for each in pages.search("imageIds")}

    def look() -> set[str]:
        return if_there(doing, listed, "RepositoryNotFoundException") or set()

    found = left = look()
    for _ in range(MANIFEST_DEPTH):  # an image of several processors goes before its parts
        digests = [{"imageDigest": digest} for digest in sorted(left)]
        for start in range(0, len(digests), IMAGES_AT_ONCE):
            with translated(doing):
                some = digests[start : start + IMAGES_AT_ONCE]
                ecr.batch_delete_image(**where, imageIds=some)
        left = look() if left else left
    if found:
        tell(f"{counted(len(found - left), 'image')} deleted from {names.REPOSITORY}")


def empty_bucket(aws: Aws, bucket: str, tell: Callable[[str], None]) -> None:
    """Delete every version, every delete marker and every unfinished upload."""
    s3 = aws.client("s3")
    gone = 0
    with translated(f"empty bucket {bucket}"):
        for page in s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": DELETE_AT_ONCE}
        ):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if not found:
                continue
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            if errors := answer.get("Errors"):
                first = errors[0]
                raise ConfigError(
                    f"{len(errors)} objects of {bucket} could not be deleted, the first is "
                    f"{first.get('Key')}: {first.get('Message')}\n  nothing else was touched"
                )
            gone += len(objects)
            tell(f"{gone} object versions deleted from {bucket}")
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in page.get("Uploads", ()):
                which = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
                s3.abort_multipart_upload(Bucket=bucket, **which)


def _resources(aws: Aws, stack: StackState | None) -> list[Change]:
    if stack is None:
        return []
    with translated(f"list the resources of stack {names.STACK}"):
        pages = aws.client("cloudformation").get_paginator("list_stack_resources")
        found = list(pages.paginate(StackName=stack.id).search("StackResourceSummaries"))
    details = {_REGISTRY: "with every image in it"}
    return [
        Change(Kind.REMOVE, kind, each["LogicalResourceId"], details.get(kind, ""))
        for each in found
        if each["LogicalResourceId"] != "GitHubProvider"  # it is kept
        and (kind := each["ResourceType"])  # moto lists by no name what it does not make
        and not each["ResourceStatus"].startswith("DELETE_COMPLETE")
    ]
