"""What AWS answers with a fault of its own is no fault of the network, and is not called one."""

from __future__ import annotations

import json

import pytest
from botocore import exceptions

from ocrlabel.aws.ready import examine
from ocrlabel.aws.secret import fetch_secret
from ocrlabel.aws.session import AwsRefused, NotSignedIn, connect, translated
from ocrlabel.errors import ConfigError, Interrupted
from tests.support.aws import CONFIG, REGION, aws_at, json_refused, serving

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


@pytest.mark.parametrize("status", [500, 503])
def test_the_doctor_calls_it_neither_the_network_nor_a_thing_to_deploy(status, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with serving("text/xml") as server:
        server.handle = lambda *_: (status, XML)
        found = list(examine(aws_at({"*": server.url}), CONFIG, lambda _: b""))
    assert len(found) >= 10
    for check in found:
        assert not check.ok
        assert check.why.startswith("AWS had a fault of its own, not you: asked to "), check
        assert check.mend.startswith("run it again in some minutes"), check
        assert "https://health.aws.amazon.com" in check.mend


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (403, "AccessDenied", "`ocrlabel aws policy deployer` prints what they need"),
        (503, "RequestLimitExceeded", "AWS is limiting the calls"),
        (503, "SlowDown", "AWS is limiting the calls"),
        (400, "ExpiredToken", "sign in again"),
    ],
)
def test_what_is_refused_has_a_remedy_of_its_own_which_the_doctor_names(
    status, code, remedy, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _: None)
    body = XML.replace("InternalFailure", code)
    with serving("text/xml") as server:
        server.handle = lambda *_: (status, body)
        credentials = next(examine(aws_at({"*": server.url}), CONFIG, lambda _: b""))
    assert f"AWS refused to say whose keys these are: {code}" in credentials.why
    assert remedy in credentials.mend


@pytest.mark.parametrize(
    "error",
    [
        exceptions.UnauthorizedSSOTokenError(),
        exceptions.CredentialRetrievalError(provider="x", error_msg="y"),
        exceptions.TokenRetrievalError(provider="sso", error_msg="expired"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_session_that_has_ended_is_not_the_network_either(error):
    with pytest.raises(NotSignedIn, match="sign in again") as said, translated("look"):
        raise error
    assert "network" not in str(said.value)


def test_a_worker_that_aws_answers_so_for_its_key_ends_to_be_tried_again(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    answers = [(500, "{}")]
    with serving("application/x-amz-json-1.1") as server:
        server.handle = lambda *_: answers[0]
        asked = {"endpoint_url": server.url, "region": REGION}
        with pytest.raises(Interrupted, match="AWS had a fault of its own"):
            fetch_secret(CONFIG.secret_arn, **asked)
        answers[0] = json_refused("AccessDeniedException", "no")
        with pytest.raises(ConfigError, match="the role needs secretsmanager:GetSecretValue"):
            fetch_secret(CONFIG.secret_arn, **asked)


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
