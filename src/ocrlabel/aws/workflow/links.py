"""Addresses in the AWS console and on GitHub, for summaries."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from ocrlabel.aws.names import LOG_GROUP


@dataclass(frozen=True, slots=True)
class Console:
    """region "" leaves it to the console's own choice.

    A region that is one of the repository's secrets would be masked in the summary, and the link
    with it would lead nowhere.
    """

    region: str = ""

    def job(self, job_id: str) -> str:
        """A job of AWS Batch."""
        return self._page("batch", f"jobs/detail/{quote(job_id, safe='')}")

    def definition(self, arn: str) -> str:
        """A revision of a job definition."""
        return self._page("batch", f"job-definition/detail/{quote(arn, safe=':/')}")

    def queue(self) -> str:
        """The queues."""
        return self._page("batch", "queues")

    def logs(self) -> str:
        """The jobs' log group; the console wants its slashes quoted twice."""
        group = quote(quote(LOG_GROUP, safe=""), safe="").replace("%", "$")
        return self._page("cloudwatch", f"logsV2:log-groups/log-group/{group}")

    def repository(self, account: str, repository: str) -> str:
        """The images."""
        region = f"?region={self.region}" if self.region else ""
        base = "https://console.aws.amazon.com/ecr/repositories/private"
        return f"{base}/{quote(account)}/{quote(repository)}{region}"

    def _page(self, service: str, fragment: str) -> str:
        region = f"?region={self.region}" if self.region else ""
        return f"https://console.aws.amazon.com/{service}/home{region}#{fragment}"


@dataclass(frozen=True, slots=True)
class Repository:
    """Where this workflow runs, from GITHUB_SERVER_URL and GITHUB_REPOSITORY."""

    server: str
    name: str

    def workflow(self, file: str) -> str:
        """A workflow's page, with its button."""
        return f"{self.server}/{self.name}/actions/workflows/{file}"

    def commit(self, sha: str) -> str:
        """A commit's page."""
        return f"{self.server}/{self.name}/commit/{sha}"
