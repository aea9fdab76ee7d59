from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.engines import upstage_protocol
from ocrlabel.errors import ImageError, KeyRefused, Rejected, Throttled, Unavailable
from ocrlabel.labels import FailureClass

URL = "https://ocr.example/v1/document-digitization"


def everything_httpx2_raises():
    classes = [c for c in vars(httpx2).values() if inspect.isclass(c) and issubclass(c, Exception)]
    assert len(classes) > 20
    return sorted(classes, key=lambda c: c.__name__)


def made(cls):
    try:
        return cls("what happened")
    except TypeError:
        return (
            cls("what happened", request=None, response=None)
            if cls is httpx2.HTTPStatusError
            else cls()
        )


@pytest.mark.parametrize("cls", everything_httpx2_raises())
def test_every_exception_of_the_http_client_is_translated(cls):
    assert issubclass(cls, upstage_protocol.TRANSLATED), f"{cls.__name__} would end the run"
    error = upstage_protocol.of_transport(made(cls), URL)
    assert isinstance(error, Unavailable)
    assert cls.__name__ in error.message


def test_only_what_surely_never_left_counts_as_not_sent():
    unsent = {
        c.__name__
        for c in everything_httpx2_raises()
        if not upstage_protocol.of_transport(made(c), URL).sent
    }
    assert unsent == {
        "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError",
        "InvalidURL",
    }  # fmt: skip


def test_silence_is_timed_out():
    assert (
        upstage_protocol.of_transport(httpx2.ReadTimeout("x"), URL).failure
        is FailureClass.TIMED_OUT
    )


def test_an_unreachable_address_names_the_setting_to_look_at():
    assert (
        "UPSTAGE_BASE_URL"
        in upstage_protocol.of_transport(httpx2.ConnectError("refused"), URL).message
    )


def judged(status, body=b"", now_s=0.0, **headers):
    return upstage_protocol.of_answer(status, headers, body, now_s=now_s, url=URL)


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ([429], Throttled),
        ([500, 502, 503, 504, 520, 599, 301, 302, 307, 308, 404, 405], Unavailable),
        ([401, 402, 403], KeyRefused),
        ([400, 408, 409, 413, 415, 418, 422, 451], Rejected),
        ([200, 204], type(None)),
    ],
)
def test_a_status_means_one_kind_of_error(statuses, kind):
    assert {type(judged(status)) for status in statuses} == {kind}


@pytest.mark.parametrize("status", [400, 413, 415, 422, 500, 503])
def test_the_status_is_kept(status):
    assert judged(status).status == status


@pytest.mark.parametrize("status", [302, 404, 405])
def test_an_address_without_ocr_names_the_setting_to_look_at(status):
    assert "UPSTAGE_BASE_URL" in judged(status).message


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no such model", "type": "invalid_request", "code": "bad_model"}},
        {"code": 400, "message": "no such model"},
        {"error": "no such model"},
    ],
)
def test_both_error_shapes_give_the_services_own_words(body):
    assert "no such model" in judged(400, json.dumps(body).encode()).message


@pytest.mark.parametrize(
    "body", [b"", b"<html>oops</html>", b"\xff", b"null", b"[1]", b'{"error": 5}']
)
def test_a_body_that_says_nothing_leaves_the_status_to_speak(body):
    assert judged(422, body).message == "HTTP 422: the service calls the file damaged"


def test_the_services_words_cannot_forge_a_line_or_flood_a_log():
    body = json.dumps(
        {"code": 400, "message": "a\nERROR all is lost \x1b[2J" + "x" * 10_000}
    ).encode()
    message = judged(400, body).message
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_too_many_requests_in_the_body_is_throttling_under_any_status(status):
    body = b'{"error": {"message": "m", "type": "too_many_requests", "code": null}}'
    assert type(judged(status, body)) is Throttled


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("", None), ("soon", None), ("nan", None), ("inf", None),
        (format_datetime(datetime.fromtimestamp(1_000_007, UTC), usegmt=True), 7.0),
        (format_datetime(datetime.fromtimestamp(999_000, UTC), usegmt=True), 0.0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header, wait_s):
    assert judged(429, now_s=1_000_000, **{"retry-after": header}).retry_after_s == wait_s


def test_retry_after_is_heard_on_a_server_error_too():
    assert judged(503, **{"retry-after": "9"}).retry_after_s == 9


@given(
    st.text(max_size=40)
    | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\w+", fullmatch=True)
)
def test_any_retry_after_header_is_a_wait_or_nothing(header):
    wait_s = upstage_protocol.retry_after_s(header, 0.0)
    assert wait_s is None or wait_s >= 0


@given(st.integers(200, 599), st.binary(max_size=60), st.none() | st.text(max_size=10))
def test_any_answer_is_judged_never_a_crash(status, body, retry_after):
    headers = {} if retry_after is None else {"retry-after": retry_after}
    error = upstage_protocol.of_answer(status, headers, body, now_s=0.0, url=URL)
    assert error is None or isinstance(error, ImageError | KeyRefused)
