"""Runs a GitHub workflow on this machine: its expressions, its steps in bash, its files.

`uses:` steps are done by stand-ins (workflow_actions.py). What a workflow says that this runner
does not know is an error, never left out.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.workflow_expressions import NotUnderstood, World, condition, filled

WORKFLOW_KEYS = {"name", "run-name", True, "permissions", "concurrency", "defaults", "env", "jobs"}
JOB_KEYS = {
    *("name", "if", "runs-on", "timeout-minutes", "environment", "permissions", "env", "steps"),
}
STEP_KEYS = {"name", "id", "if", "uses", "with", "env", "run"}
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")  # of `shell: bash`


class Refused(Exception):
    """GitHub would not start this workflow with these inputs."""


@dataclass(frozen=True)
class Event:
    """What starts a workflow. inputs: as typed into the form, or given to the API."""

    name: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    ref: str = "refs/heads/main"
    sha: str = "4f2c1e0d9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e"
    run_id: str = "77"


@dataclass(frozen=True)
class Settings:
    """The repository's secrets and variables."""

    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    repository: str = "me/my-labels"


@dataclass
class Masks:
    """Values that no log, no summary and no output of a job may show."""

    values: set[str] = field(default_factory=set)

    def add(self, value: str) -> None:
        self.values |= {line for line in value.splitlines() if line.strip()}

    def over(self, text: str) -> str:
        for value in sorted(self.values, key=len, reverse=True):
            text = text.replace(value, "***")
        return text


@dataclass
class Job:
    """A job while it runs. env: what earlier steps added to it. steps: id -> its context."""

    name: str
    workspace: Path
    temp: Path
    permissions: Mapping[str, str]
    masks: Masks
    artifacts: dict[str, Path]
    state: str = "success"
    env: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    steps: dict[str, Any] = field(default_factory=dict)
    conclusions: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    started: list[int] = field(default_factory=list)


@dataclass
class Ran:
    """What is left of a run. jobs: name -> conclusion. steps: (job, step) -> conclusion."""

    jobs: dict[str, str] = field(default_factory=dict)
    steps: dict[tuple[str, str], str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    artifacts: dict[str, Path] = field(default_factory=dict)


Action = Callable[[Job, Mapping[str, str]], None]
"""A stand-in for an action: its job and its inputs. Raises ActionFailed."""


class ActionFailed(Exception):
    """The step failed."""


def never() -> bool:
    return False


@dataclass
class Runner:
    """machine: the variables of the machine that runs the steps. folder: for everything."""

    folder: Path
    machine: Mapping[str, str]
    actions: Mapping[str, Action]
    settings: Settings
    interrupt_s: float = 0.5  # 7.5 s on GitHub, between SIGINT and SIGTERM
    kill_s: float = 0.5  # 2.5 s on GitHub, between SIGTERM and SIGKILL
    runs: int = 0

    def run(self, file: Path, event: Event, cancel: Callable[[], bool] = never) -> Ran:
        """Run all jobs of a workflow one after the other. cancel: asked again and again."""
        workflow = yaml.safe_load(file.read_text())
        _known(workflow, WORKFLOW_KEYS, file.name)
        if not starts(workflow, event):
            return Ran()
        if workflow["defaults"] != {"run": {"shell": "bash"}}:
            raise NotUnderstood(f"the defaults {workflow['defaults']}")
        self.runs += 1
        masks = Masks()
        for value in self.settings.secrets.values():
            masks.add(value)
        contexts = self._contexts(workflow, event)
        done = Ran()
        for name, described in workflow["jobs"].items():
            _known(described, JOB_KEYS, name)
            if not condition(described.get("if", "success()"), World(contexts)):
                done.jobs[name] = "skipped"
                continue
            job = self._job(name, described, masks, done)
            self._steps(job, described, {**contexts, "env": {}}, cancel)
            self._finish(job, done)
        return done

    def _contexts(self, workflow: Mapping[Any, Any], event: Event) -> dict[str, Any]:
        github = {
            "event_name": event.name,
            "ref": event.ref,
            "ref_name": event.ref.rsplit("/", 1)[-1],
            "sha": event.sha,
            "workflow": workflow["name"],
            "repository": self.settings.repository,
            "server_url": "https://github.com",
            "run_id": event.run_id,
            "run_attempt": "1",
        }
        contexts: dict[str, Any] = {
            "github": github,
            "vars": self.settings.variables,
            "secrets": self.settings.secrets,
            "inputs": inputs_of(workflow, event),
            "runner": {},
        }
        # evaluated for what they refuse; GitHub shows them or queues by them
        for text in (workflow.get("run-name", ""), workflow["concurrency"]["group"]):
            filled(text, World(contexts))
        contexts["workflow_env"] = _filled(workflow.get("env", {}), World(contexts))
        return contexts

    def _job(self, name: str, described: Mapping[str, Any], masks: Masks, done: Ran) -> Job:
        base = self.folder / f"run-{self.runs}" / name
        job = Job(
            name=name,
            workspace=base / "work",
            temp=base / "temp",
            permissions=described["permissions"],
            masks=masks,
            artifacts=done.artifacts,
        )
        job.workspace.mkdir(parents=True)
        job.temp.mkdir()
        return job

    def _steps(
        self,
        job: Job,
        described: Mapping[str, Any],
        contexts: dict[str, Any],
        cancel: Callable[[], bool],
    ) -> None:
        contexts["runner"] = {"temp": str(job.temp), "os": "Linux"}
        contexts["steps"] = job.steps
        of_job = _filled(described.get("env", {}), World(contexts))
        for number, step in enumerate(described["steps"]):
            _known(step, STEP_KEYS, f"{job.name}, step {number}")
            if job.state != "cancelled" and cancel():
                job.state = "cancelled"
            contexts["env"] = {**contexts["workflow_env"], **of_job, **job.env}
            world = World(contexts, job.state)
            name = step["name"]
            if not condition(step.get("if", "success()"), world):
                job.conclusions[name] = "skipped"
                continue
            job.log += f"--- {name}\n"
            contexts["env"] |= _filled(step.get("env", {}), world)
            outputs: dict[str, str] = {}
            before = job.state
            if "uses" in step:
                good = self._use(job, step, world)
            else:
                script = filled(step["run"], world)
                good = self._bash(job, script, contexts, outputs, cancel)
            conclusion = "success" if good else "failure"
            if job.state == "success":
                job.state = conclusion
            elif not good and before != job.state:
                conclusion = job.state
            job.conclusions[name] = conclusion
            if "id" in step:
                job.steps[step["id"]] = {"outputs": outputs, "conclusion": conclusion}

    def _use(self, job: Job, step: Mapping[str, Any], world: World) -> bool:
        action = step["uses"].partition("@")[0]
        if action not in self.actions:
            raise NotUnderstood(f"there is no stand-in for {action}")
        try:
            self.actions[action](job, _filled(step.get("with", {}), world))
        except ActionFailed as error:
            job.log += job.masks.over(f"Error: {error}\n")
            return False
        return True

    def _bash(
        self,
        job: Job,
        script: str,
        contexts: Mapping[str, Any],
        outputs: dict[str, str],
        cancel: Callable[[], bool],
    ) -> bool:
        number = len(job.started)
        files = {
            name: job.temp / f"{name.lower()}-{number}"
            for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
        }
        for path in files.values():
            path.touch()
        github = contexts["github"]
        program = job.temp / f"step-{number}.sh"
        program.write_text(script)
        log = job.temp / f"step-{number}.log"
        environment = {
            **self.machine,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            **{
                f"GITHUB_{name.upper()}": github[name]
                for name in ("sha", "ref", "repository", "server_url", "run_id", "run_attempt")
            },
            "RUNNER_TEMP": str(job.temp),
            **{name: str(path) for name, path in files.items()},
            **contexts["env"],
        }
        environment["PATH"] = ":".join([*reversed(job.path), environment["PATH"]])
        with log.open("wb") as output:
            started = subprocess.Popen(
                [*BASH, str(program)],
                env=environment,
                cwd=job.workspace,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            job.started.append(started.pid)
            code = self._wait(started, job, cancel)
        job.log += job.masks.over(log.read_text(errors="replace"))
        job.summary += job.masks.over(files["GITHUB_STEP_SUMMARY"].read_text())
        outputs |= pairs(files["GITHUB_OUTPUT"].read_text())
        return code == 0

    def _wait(self, started: subprocess.Popen[bytes], job: Job, cancel: Callable[[], bool]) -> int:
        while started.poll() is None:
            if job.state != "cancelled" and cancel():
                job.state = "cancelled"
                for number, wait_s in (
                    (signal.SIGINT, self.interrupt_s),
                    (signal.SIGTERM, self.kill_s),
                    (signal.SIGKILL, 10.0),
                ):
                    started.send_signal(number)
                    if _ended(started, wait_s):
                        break
            threading.Event().wait(0.05)
        return started.wait()

    def _finish(self, job: Job, done: Ran) -> None:
        for session in job.started:  # as GitHub ends what its steps left behind
            _kill_session(session)
        done.jobs[job.name] = job.state
        done.steps |= {(job.name, name): how for name, how in job.conclusions.items()}
        done.log += job.log
        done.summary += job.summary


def starts(workflow: Mapping[Any, Any], event: Event) -> bool:
    """Whether this event starts it."""
    triggers = workflow[True]  # YAML's reading of `on`
    if event.name not in triggers:
        return False
    filters = triggers[event.name] or {}
    if event.name == "workflow_dispatch":
        return True
    _known(filters, {"branches", "paths"}, event.name)
    branch = event.ref.removeprefix("refs/heads/")
    if "branches" in filters and branch not in filters["branches"]:
        return False
    patterns = [_pattern(text) for text in filters.get("paths", ["**"])]
    return any(pattern.fullmatch(path) for pattern in patterns for path in event.changed)


def inputs_of(workflow: Mapping[Any, Any], event: Event) -> dict[str, Any]:
    """The form's fields as GitHub takes them: choices and booleans are held to, texts are not."""
    if event.name != "workflow_dispatch":
        return {}
    form = (workflow[True]["workflow_dispatch"] or {}).get("inputs", {})
    if unknown := set(event.inputs) - set(form):
        raise Refused(f"Unexpected inputs provided: {sorted(unknown)}")
    found: dict[str, Any] = {}
    for name, field_ in form.items():
        value = event.inputs.get(name, field_.get("default", ""))
        if field_.get("required") and value == "":
            raise Refused(f"Required input '{name}' not provided")
        if field_["type"] == "choice" and value not in field_["options"]:
            raise Refused(f"Provided value '{value}' for input '{name}' not in the list")
        if field_["type"] == "boolean":
            if str(value).lower() not in {"true", "false"}:
                raise Refused(f"Provided value '{value}' for input '{name}' is no boolean")
            value = str(value).lower() == "true"
        found[name] = value
    return found


def pairs(text: str) -> dict[str, str]:
    """A step's file of outputs: lines of name=value."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if not separator or "<<" in name:
            raise NotUnderstood(f"{line!r} among a step's outputs")
        found[name] = value
    return found


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", text)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(p, re.escape(p)) for p in parts))


def _filled(values: Mapping[str, Any], world: World) -> dict[str, str]:
    return {name: filled(_written(value), world) for name, value in values.items()}


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _known(described: Mapping[Any, Any], keys: set[Any], where: str) -> None:
    if unknown := set(described) - keys:
        raise NotUnderstood(f"{where} has {sorted(map(str, unknown))}")


def _ended(started: subprocess.Popen[bytes], wait_s: float) -> bool:
    end_s = time.monotonic() + wait_s
    while time.monotonic() < end_s:
        if started.poll() is not None:
            return True
        threading.Event().wait(0.02)
    return False


def _kill_session(session: int) -> None:
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return
