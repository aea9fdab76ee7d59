"""Stand-ins for the actions that the workflows use: each does on this machine what it does there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from tests.support.workflow_runner import Action, ActionFailed, Job

ROOT = Path(__file__).parents[2]


@dataclass
class Actions:
    """python: the folder with the interpreter. endpoint: where STS is."""

    python: Path
    endpoint: str
    assumed: list[Mapping[str, str]] = field(default_factory=list)

    def table(self) -> dict[str, Action]:
        """By the actions' names."""
        return {
            "actions/checkout": self.checkout,
            "actions/setup-python": self.setup_python,
            "actions/upload-artifact": self.upload,
            "aws-actions/configure-aws-credentials": self.credentials,
            "docker/setup-buildx-action": self.buildx,
        }

    def checkout(self, job: Job, given: Mapping[str, str]) -> None:
        """What git has, in the workspace; no token is left behind."""
        if job.permissions.get("contents") != "read" or given != {"persist-credentials": "false"}:
            raise ActionFailed("the repository may not be read, or its token would be kept")
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (job.workspace / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, job.workspace / name)

    def setup_python(self, job: Job, given: Mapping[str, str]) -> None:
        """An interpreter of its own on the path; which version, is this machine's choice."""
        if not given["python-version"].startswith("3."):
            raise ActionFailed(f"there is no Python {given['python-version']}")
        job.path.append(str(self.python))

    def buildx(self, job: Job, given: Mapping[str, str]) -> None:
        """The machine's container program is all there is."""
        del job, given

    def credentials(self, job: Job, given: Mapping[str, str]) -> None:
        """Into the variables of the job, and masked; a role is put on by STS."""
        region = given["aws-region"]
        if not region:
            raise ActionFailed("Input required and not supplied: aws-region")
        found = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        if "role-to-assume" in given:
            found |= self._role(job, given)
        elif not given["aws-access-key-id"] or not given["aws-secret-access-key"]:
            raise ActionFailed("Credentials could not be loaded")
        else:
            found["AWS_ACCESS_KEY_ID"] = given["aws-access-key-id"]
            found["AWS_SECRET_ACCESS_KEY"] = given["aws-secret-access-key"]
        for name, value in found.items():
            if name not in {"AWS_REGION", "AWS_DEFAULT_REGION"}:
                job.masks.add(value)
        job.env |= found

    def _role(self, job: Job, given: Mapping[str, str]) -> dict[str, str]:
        if job.permissions.get("id-token") != "write":
            raise ActionFailed("Could not get the ID token: id-token: write is not permitted")
        self.assumed.append(given)
        sts = boto3.client("sts", endpoint_url=self.endpoint, region_name="us-east-1")
        answer = sts.assume_role_with_web_identity(
            RoleArn=given["role-to-assume"],
            RoleSessionName="GitHubActions",
            WebIdentityToken="a.b.c",
            DurationSeconds=int(given.get("role-duration-seconds", "3600")),
        )["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": answer["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": answer["SecretAccessKey"],
            "AWS_SESSION_TOKEN": answer["SessionToken"],
        }

    def upload(self, job: Job, given: Mapping[str, str]) -> None:
        """A folder beside the job's."""
        source = Path(given["path"])
        if not source.is_dir() or not any(source.iterdir()):
            raise ActionFailed(f"No files were found with the provided path: {source}")
        kept = job.temp.parent / "artifacts" / given["name"]
        shutil.copytree(source, kept)
        job.artifacts[given["name"]] = kept
