"""A workflow's job on AWS Batch: named by the workflow's run, so that it can be found again."""

from __future__ import annotations

from botocore.exceptions import ClientError

from ocrlabel.aws.download import LABELS
from ocrlabel.aws.names import QUEUE
from ocrlabel.aws.queues import Job
from ocrlabel.aws.session import Aws, code, translated
from ocrlabel.aws.submit import JobSettings, job_name
from ocrlabel.aws.workflow.inputs import RunInputs


def settings(inputs: RunInputs) -> JobSettings:
    """What the workers are told."""
    return JobSettings(
        dataset=inputs.dataset,
        resume=inputs.resume,
        batch_size=inputs.batch_size,
        concurrency=inputs.concurrency,
        engine=None if inputs.engine == "upstage" else inputs.engine,
        max_cost_usd=inputs.max_cost_usd,
    )


def stamp(run_id: str, attempt: str) -> str:
    """The end of the job's name: which run of the workflow made it."""
    return f"g{run_id}-{attempt}"


def find(aws: Aws, dataset: str, made_by: str) -> str:
    """The id of the job that this run of the workflow submitted; "" where it submitted none.

    A step that is cancelled while SubmitJob is under way hands no id on, but its job may be there.
    """
    name = job_name(dataset, made_by)
    filters = [{"name": "JOB_NAME", "values": [name]}]
    with translated(f"look for job {name}"):
        found = aws.client("batch").list_jobs(jobQueue=QUEUE, filters=filters)["jobSummaryList"]
    return str(found[0]["jobId"]) if found else ""


def wrote_results(aws: Aws, bucket: str, dataset: str, job: Job) -> bool:
    """Whether there is a labels table that this job wrote, or found done.

    A job that failed may have written one (too many rows failed), or there may be one of an
    earlier run, which is not its result.
    """
    key = f"data/processed/{dataset}{LABELS}"
    with translated(f"look for s3://{bucket}/{key}"):
        try:
            written = aws.client("s3").head_object(Bucket=bucket, Key=key)["LastModified"]
        except ClientError as error:
            if code(error) in {"404", "403", "NoSuchKey"}:
                return False
            raise
    if job.status == "SUCCEEDED":
        return True
    # S3 tells whole seconds
    return job.created_s is not None and written.timestamp() >= int(job.created_s)
