"""What AWS answers with a fault of its own is no fault of the network, and is not called one."""

from __future__ import annotations

import json

import pytest

from ocrlabel.aws.session import AwsRefused, connect, translated
from tests.support.aws import aws_at, serving

XML = (
    "<ErrorResponse><Error><Type>Receiver</Type><Code>InternalFailure</Code>"
    "<Message>oh</Message></Error><RequestId>r</RequestId></ErrorResponse>"
)

IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
    "<Arn>arn:aws:iam::123456789012:user/me</Arn><UserId>U</UserId></GetCallerIdentityResult>"
    "</GetCallerIdentityResponse>"
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


def test_a_call_that_is_tried_again_is_told_meanwhile(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    answers = [(500, XML), (503, XML), (200, IDENTITY)]
    told = []
    with serving("text/xml") as server:
        server.handle = lambda *_: answers.pop(0)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        aws = connect(
            region="eu-west-1",
            profile=None,
            sleep=lambda _: None,
            now_s=lambda: 0,
            tell=told.append,
        )
        assert aws.location().account == "123456789012"
    assert told == [
        "AWS answered 500; GetCallerIdentity is tried again, 2 of 8",
        "AWS answered 503; GetCallerIdentity is tried again, 3 of 8",
    ]
