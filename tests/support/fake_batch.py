"""A double of AWS Batch: jobs with a life that is told beforehand, over its REST protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.aws import Answer, json_refused


@dataclass
class FakeBatch:
    """lives: job id -> its descriptions, one for each describe call, the last one for ever.

    empty: so many describe calls know no job. throttle: so many calls are refused first.
    """

    lives: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    empty: int = 0
    throttle: int = 0
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    life_of_submitted: list[dict[str, Any]] = field(default_factory=list)

    def handle(self, path: str, _target: str, body: str) -> Answer:
        request = json.loads(body or "{}")
        action = path.rsplit("/", 1)[-1]
        self.calls.append((action, request))
        if self.throttle:
            self.throttle -= 1
            return json_refused("TooManyRequestsException", "Too Many Requests", 429)
        return getattr(self, action)(request)

    def submitjob(self, request: dict[str, Any]) -> Answer:
        job_id = f"job-{len(self.lives)}"
        life = self.life_of_submitted or [{"status": "SUBMITTED"}]
        self.lives[job_id] = [{"jobName": request["jobName"], **each} for each in life]
        return 200, json.dumps({"jobId": job_id, "jobName": request["jobName"]})

    def describejobs(self, request: dict[str, Any]) -> Answer:
        if self.empty:
            self.empty -= 1
            return 200, json.dumps({"jobs": []})
        found = []
        for job_id in request["jobs"]:
            if job_id in self.lives:
                life = self.lives[job_id]
                found.append({"jobId": job_id, **(life.pop(0) if len(life) > 1 else life[0])})
        return 200, json.dumps({"jobs": found})

    def listjobs(self, request: dict[str, Any]) -> Answer:
        parent = request.get("arrayJobId")
        found = [
            {"jobId": job_id, "jobName": "n", "status": life[0]["status"]}
            for job_id, life in self.lives.items()
            if life[0]["status"] == request.get("jobStatus", "RUNNING")
            and (parent is None or job_id.startswith(f"{parent}:"))
        ]
        return 200, json.dumps({"jobSummaryList": found})

    def terminatejob(self, request: dict[str, Any]) -> Answer:
        self.lives[request["jobId"]] = [{"status": "FAILED", "statusReason": request["reason"]}]
        return 200, "{}"
