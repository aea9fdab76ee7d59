"""What AWS answers with a fault of its own is no fault of the network, and is not called one."""

from __future__ import annotations

import json

import pytest

from ocrlabel.aws.session import AwsRefused, translated
from tests.support.aws import aws_at, serving

XML = (
    "<ErrorResponse><Error><Type>Receiver</Type><Code>InternalFailure</Code>"
    "<Message>oh</Message></Error><RequestId>r</RequestId></ErrorResponse>"
)


def refusal(kind: str, status: int, body: str, service: str, method: str, **given) -> str:
    with serving(kind) as server:
        server.handle = lambda *_: (status, body)
        with pytest.raises(AwsRefused) as caught, translated("look"):
            getattr(aws_at({service: server.url}).client(service), method)(**given)
    return str(caught.value)


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize(
    ("kind", "body", "service", "method"),
    [
        ("text/xml", XML, "cloudformation", "describe_stacks"),
        ("application/json", json.dumps({"message": "oh"}), "batch", "describe_job_queues"),
        ("text/html", "<html>Bad gateway</html>", "cloudformation", "describe_stacks"),
        ("text/html", "", "cloudformation", "describe_stacks"),
    ],
)
def test_a_5xx_has_a_sentence_of_its_own(kind, body, service, method, status, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    said = refusal(kind, status, body, service, method)
    assert "AWS had a fault of its own, not you: asked to look" in said
    assert "run it again in some minutes" in said
    assert "check the network" not in said


def test_a_server_that_is_not_there_is_the_network(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(AwsRefused, match="check the network"), translated("look"):
        aws_at({}).client("batch").describe_job_queues()
