"""What every step of a workflow has: the form's fields, GitHub's files, names and links."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ocrlabel.cli.aws.wiring import variable

if TYPE_CHECKING:
    from ocrlabel.aws.workflow.files import StepFiles
    from ocrlabel.aws.workflow.inputs import RunInputs
    from ocrlabel.aws.workflow.links import Console
    from ocrlabel.aws.workflow.summary import Followed


def inputs() -> RunInputs:
    """The form's fields, checked. Raises ConfigError with every one that is refused."""
    from ocrlabel.aws.workflow.inputs import run_inputs

    return run_inputs(os.environ)


def files() -> StepFiles:
    """Where outputs and the summary go; nowhere outside of GitHub."""
    from ocrlabel.aws.workflow.files import StepFiles

    return StepFiles.of(os.environ)


def stamp() -> str:
    """This run's own part of a job's name, by which a later step finds the job."""
    from ocrlabel.aws.workflow import job

    return job.stamp(variable("GITHUB_RUN_ID"), variable("GITHUB_RUN_ATTEMPT"))


def console() -> Console:
    """Links into AWS's console, of the region that is no secret."""
    from ocrlabel.aws.workflow.links import Console

    return Console(variable("LINK_REGION"))


def followed(dataset: str, job_id: str) -> Followed:
    """A dataset's job, with the links that a summary shows."""
    from ocrlabel.aws.workflow.summary import Followed

    return Followed(dataset, job_id, console())
