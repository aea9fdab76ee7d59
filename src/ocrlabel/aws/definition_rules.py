"""What AWS Batch refuses in a job definition, or silently makes useless of it.

CloudFormation's linters and AWS's emulators let all of these through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ocrlabel.errors import ConfigError

MAX_ATTEMPTS: Final = 10
MAX_RULES: Final = 5
MIN_TIMEOUT_S: Final = 60
EPHEMERAL_GIB: Final = (21, 200)
ARCHITECTURES: Final = ("X86_64", "ARM64")

# vCPU -> memory in MiB: (least, most, step), and what 0.25 vCPU takes.
_QUARTER: Final = (512, 1024, 2048)
_MEMORY: Final = {
    "0.5": (1024, 4096, 1024),
    "1": (2048, 8192, 1024),
    "2": (4096, 16384, 1024),
    "4": (8192, 30720, 1024),
    "8": (16384, 61440, 4096),
    "16": (32768, 122880, 8192),
}
_GLOB = re.compile(r"[^*?]*\*?\Z")
_EXIT_GLOB = re.compile(r"[0-9]*\*?\Z")


def checked(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same definition. Raises ConfigError with everything that is wrong with it."""
    if found := list(faults(definition)):
        raise ConfigError("AWS Batch would not take this job definition: " + "; ".join(found))
    return definition


def faults(definition: Mapping[str, Any]) -> Iterator[str]:
    """Everything that is wrong with it, in sentences."""
    yield from _retries(definition.get("retryStrategy", {}))
    timeout_s = definition.get("timeout", {}).get("attemptDurationSeconds", MIN_TIMEOUT_S)
    if timeout_s < MIN_TIMEOUT_S:
        yield f"a time-out of {timeout_s} s is below {MIN_TIMEOUT_S}"
    container = definition["containerProperties"]
    gib = container.get("ephemeralStorage", {}).get("sizeInGiB", EPHEMERAL_GIB[0])
    if not EPHEMERAL_GIB[0] <= gib <= EPHEMERAL_GIB[1]:
        yield f"{gib} GiB of storage are not within 21 to 200"
    platform = container.get("runtimePlatform", {}).get("cpuArchitecture", ARCHITECTURES[0])
    if platform not in ARCHITECTURES:
        yield f"there is no processor {platform}: X86_64 or ARM64"
    if definition.get("platformCapabilities") == ["FARGATE"]:
        yield from _fargate(container)


def _retries(strategy: Mapping[str, Any]) -> Iterator[str]:
    attempts = strategy.get("attempts", 1)
    if not 1 <= attempts <= MAX_ATTEMPTS:
        yield f"{attempts} attempts are not within 1 to {MAX_ATTEMPTS}"
    rules = strategy.get("evaluateOnExit", ())
    if len(rules) > MAX_RULES:
        yield f"{len(rules)} retry rules are more than {MAX_RULES}"
    for rule in rules:
        for field, value in rule.items():
            pattern = _EXIT_GLOB if field == "onExitCode" else _GLOB
            if field != "action" and not pattern.match(value):
                yield f"the retry rule {value!r} may have one *, at its end"


def _fargate(container: Mapping[str, Any]) -> Iterator[str]:
    if not container.get("executionRoleArn"):
        yield "Fargate needs an execution role"
    needs = {need["type"]: str(need["value"]) for need in container["resourceRequirements"]}
    vcpu, memory = needs["VCPU"], int(needs["MEMORY"])
    if not _fits(vcpu, memory):
        yield f"Fargate has no {vcpu} vCPU with {memory} MiB ({_choices(vcpu)})"


def _fits(vcpu: str, memory: int) -> bool:
    if vcpu == "0.25":
        return memory in _QUARTER
    if vcpu not in _MEMORY:
        return False
    least, most, step = _MEMORY[vcpu]
    return least <= memory <= most and memory % step == 0


def _choices(vcpu: str) -> str:
    if vcpu not in _MEMORY:
        return "vCPUs: 0.25, 0.5, 1, 2, 4, 8, 16"
    least, most, step = _MEMORY[vcpu]
    return f"{least} to {most} MiB in steps of {step}"
