"""A double of AWS Batch that runs each job as a process of this machine.

It does what moto leaves out: the definition's secrets, the exit status, retries by exit status,
and SIGTERM before SIGKILL. What it does not know is an error.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.aws import Answer, client, json_refused

LOG_GROUP = "/aws/batch/job"
GRACE_S = 30.0


@dataclass
class RunningJob:
    """One job, with its attempts."""

    id: str
    request: dict[str, Any]
    definition: dict[str, Any]
    status: str = "SUBMITTED"
    reason: str = ""
    terminated: bool = False
    attempts: list[dict[str, Any]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    created_ms: int = 0

    def described(self) -> dict[str, Any]:
        needs = self.definition["containerProperties"]["resourceRequirements"]
        last = self.attempts[-1] if self.attempts else {}
        return {
            "jobId": self.id,
            "jobName": self.request["jobName"],
            "jobQueue": self.request["jobQueue"],
            "jobDefinition": self.request["jobDefinition"],
            "status": self.status,
            "statusReason": self.reason,
            "createdAt": self.created_ms,
            "startedAt": last.get("startedAt", 0),
            "stoppedAt": last.get("stoppedAt", 0),
            "attempts": [attempt for attempt in self.attempts if "stoppedAt" in attempt],
            "container": {
                "command": self.command,
                "resourceRequirements": needs,
                **last.get("container", {}),
            },
        }

    @property
    def command(self) -> list[str]:
        override = self.request.get("containerOverrides", {}).get("command")
        return list(override or self.definition["containerProperties"]["command"])


@dataclass
class LocalBatch:
    """machine: the variables that every container has. moto: where secrets and logs are.

    folder: for the jobs' logs. workdir: the image's working directory.
    """

    machine: Mapping[str, str]
    moto: str
    folder: Path
    workdir: Path
    now_s: Callable[[], float] = time.time  # noqa: TID251 -- a service has a clock of its own
    definitions: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[str, RunningJob] = field(default_factory=dict)
    lives: list[threading.Thread] = field(default_factory=list)

    def handle(self, path: str, _target: str, body: str) -> Answer:
        return getattr(self, path.rsplit("/", 1)[-1])(json.loads(body or "{}"))

    def registerjobdefinition(self, request: dict[str, Any]) -> Answer:
        name = request["jobDefinitionName"]
        revision = 1 + sum(each["jobDefinitionName"] == name for each in self.definitions)
        arn = f"arn:aws:batch:us-east-1:123456789012:job-definition/{name}:{revision}"
        made = {
            **request,
            "revision": revision,
            "jobDefinitionArn": arn,
            "status": "ACTIVE",
        }
        self.definitions.append(made)
        return 200, json.dumps(
            {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}
        )

    def describejobdefinitions(self, request: dict[str, Any]) -> Answer:
        wanted = request["jobDefinitionName"]
        found = [each for each in self.definitions if each["jobDefinitionName"] == wanted]
        return 200, json.dumps({"jobDefinitions": found})

    def describejobqueues(self, request: dict[str, Any]) -> Answer:
        order = [{"order": 1, "computeEnvironment": "spot"}]
        whole = {"state": "ENABLED", "status": "VALID", "computeEnvironmentOrder": order}
        found = [{"jobQueueName": name, **whole} for name in request["jobQueues"]]
        return 200, json.dumps({"jobQueues": found})

    def describecomputeenvironments(self, request: dict[str, Any]) -> Answer:
        machine = {"maxvCpus": 64, "subnets": []}
        whole = {"state": "ENABLED", "status": "VALID", "computeResources": machine}
        found = [
            {"computeEnvironmentName": name, **whole} for name in request["computeEnvironments"]
        ]
        return 200, json.dumps({"computeEnvironments": found})

    def deregisterjobdefinition(self, request: dict[str, Any]) -> Answer:
        arn = request["jobDefinition"]
        self.definitions = [each for each in self.definitions if each["jobDefinitionArn"] != arn]
        return 200, "{}"

    def submitjob(self, request: dict[str, Any]) -> Answer:
        of_name = [
            each
            for each in self.definitions
            if each["jobDefinitionName"] == request["jobDefinition"]
        ]
        if not of_name:
            return json_refused("ClientException", "JobDefinition not found or inactive")
        job = RunningJob(f"local-{len(self.jobs)}", request, of_name[-1])
        job.created_ms = int(self.now_s() * 1000)
        self.jobs[job.id] = job
        life = threading.Thread(target=self._live, args=(job,), daemon=True)
        self.lives.append(life)
        life.start()
        return 200, json.dumps({"jobId": job.id, "jobName": request["jobName"]})

    def describejobs(self, request: dict[str, Any]) -> Answer:
        found = [self.jobs[one].described() for one in request["jobs"] if one in self.jobs]
        return 200, json.dumps({"jobs": found})

    def listjobs(self, request: dict[str, Any]) -> Answer:
        names = [value for each in request.get("filters", ()) for value in each["values"]]
        found = [
            {"jobId": job.id, "jobName": job.request["jobName"], "status": job.status}
            for job in self.jobs.values()
            if (job.request["jobName"] in names if names else job.status == request["jobStatus"])
        ]
        return 200, json.dumps({"jobSummaryList": found})

    def terminatejob(self, request: dict[str, Any]) -> Answer:
        job = self.jobs[request["jobId"]]
        job.terminated, job.reason = True, request["reason"]
        if job.process is not None and job.process.poll() is None:
            job.process.terminate()
            threading.Timer(GRACE_S, job.process.kill).start()
        return 200, "{}"

    def end(self) -> None:
        """Leave no process behind."""
        for job in self.jobs.values():
            job.terminated = True
            if job.process is not None and job.process.poll() is None:
                job.process.kill()
        for life in self.lives:
            life.join(10)

    def _live(self, job: RunningJob) -> None:
        strategy = job.definition["retryStrategy"]
        retried = {
            rule["onExitCode"]
            for rule in strategy["evaluateOnExit"]
            if rule["action"].upper() == "RETRY" and "onExitCode" in rule
        }
        for _ in range(strategy["attempts"]):
            code = self._attempt(job)
            if code == 0 or job.terminated or str(code) not in retried:
                break
        job.status = "SUCCEEDED" if code == 0 and not job.terminated else "FAILED"
        job.reason = job.reason or "Essential container in task exited"

    def _attempt(self, job: RunningJob) -> int:
        number = len(job.attempts)
        stream = f"pseudo-label-processor/default/{job.id}-{number}"
        attempt: dict[str, Any] = {"startedAt": int(self.now_s() * 1000)}
        attempt["container"] = {"logStreamName": stream}
        job.attempts.append(attempt)
        log = self.folder / f"{job.id}-{number}.log"
        with log.open("wb") as output:
            job.process = subprocess.Popen(
                job.command,
                env={**self.machine, **self._variables(job, number)},
                cwd=self.workdir,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            job.status = "RUNNING"
            code = job.process.wait()
        self._keep_log(stream, log)
        attempt["container"]["exitCode"] = 128 - code if code < 0 else code
        attempt["stoppedAt"] = int(self.now_s() * 1000)
        return code

    def _variables(self, job: RunningJob, number: int) -> dict[str, str]:
        container = job.definition["containerProperties"]
        overrides = job.request.get("containerOverrides", {}).get("environment", [])
        store = client("secretsmanager", self.moto)
        return {
            **{each["name"]: each["value"] for each in container["environment"]},
            **{each["name"]: each["value"] for each in overrides},
            **{
                each["name"]: store.get_secret_value(SecretId=each["valueFrom"])["SecretString"]
                for each in container["secrets"]
            },
            "AWS_BATCH_JOB_ID": job.id,
            "AWS_BATCH_JOB_ATTEMPT": str(number + 1),
        }

    def _keep_log(self, stream: str, log: Path) -> None:
        logs = client("logs", self.moto)
        if not logs.describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]:
            logs.create_log_group(logGroupName=LOG_GROUP)
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        now_ms = int(self.now_s() * 1000)
        events = [{"timestamp": now_ms, "message": line} for line in lines[-500:]]
        if events:
            logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=events)
