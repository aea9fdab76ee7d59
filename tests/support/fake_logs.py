"""A double of CloudWatch Logs whose streams grow while they are read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.aws import Answer, json_refused

PAGE = 3


@dataclass
class FakeLogs:
    """streams: name -> its lines. growth: lines that arrive, one with each read."""

    streams: dict[str, list[str]] = field(default_factory=dict)
    growth: list[tuple[str, str]] = field(default_factory=list)
    throttle: int = 0

    def handle(self, _path: str, target: str, body: str) -> Answer:
        if self.throttle:
            self.throttle -= 1
            return json_refused("ThrottlingException", "Rate exceeded")
        assert target.endswith(".GetLogEvents")
        request = json.loads(body)
        if self.growth:
            stream, line = self.growth.pop(0)
            self.streams.setdefault(stream, []).append(line)
        return self.get_log_events(request)

    def get_log_events(self, request: dict[str, Any]) -> Answer:
        lines = self.streams.get(request["logStreamName"])
        if lines is None:
            return json_refused(
                "ResourceNotFoundException", "The specified log stream does not exist."
            )
        if not request.get("startFromHead"):
            start = max(0, len(lines) - request["limit"])
            shown = lines[start:]
        else:
            start = int(str(request.get("nextToken", "f/0")).removeprefix("f/"))
            shown = lines[start : start + PAGE]
        events = [
            {"timestamp": 1000 * (start + number), "message": line}
            for number, line in enumerate(shown)
        ]
        return 200, json.dumps(
            {
                "events": events,
                "nextForwardToken": f"f/{start + len(shown)}",
                "nextBackwardToken": f"b/{start}",
            }
        )
