from __future__ import annotations

import inspect
import json
import socket
import ssl
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrlabel.engines import upstage_protocol
from ocrlabel.errors import (
    BadAnswer,
    ConfigError,
    EngineUnusable,
    ImageError,
    KeyRefused,
    Rejected,
    Throttled,
    Unavailable,
)
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


def no_tls():
    """What Python raises where plain HTTP answers a handshake."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        there, _ = server.accept()
        there.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        there.shutdown(socket.SHUT_WR)
        with there, client, pytest.raises(ssl.SSLError) as raised:
            ssl.create_default_context().wrap_socket(client, server_hostname="localhost")
    return raised.value


def caused_by(cause):
    error = httpx2.ConnectError(str(cause))
    error.__cause__ = cause
    return upstage_protocol.of_transport(error, URL)


@pytest.mark.parametrize(
    ("cause", "ends"),
    [
        (ssl.SSLCertVerificationError("self-signed certificate"), ConfigError),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ConfigError),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), None),
        (ConnectionRefusedError("refused"), None),
        (ssl.SSLEOFError("cut"), None),
    ],
)
def test_a_certificate_and_a_host_that_does_not_exist_do_not_pass_by_themselves(cause, ends):
    assert caused_by(cause).ends is ends


def test_a_port_that_speaks_no_tls_does_not_pass_by_itself_and_is_told():
    error = caused_by(no_tls())
    assert error.ends is ConfigError
    assert "speaks no TLS: write http://" in error.message
    assert "SSL_CERT_FILE" not in error.message


def test_a_certificate_that_is_not_trusted_names_the_variable_for_an_own_authority():
    assert "SSL_CERT_FILE" in caused_by(ssl.SSLCertVerificationError("self-signed")).message


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


NESTED = json.dumps({"error": {"message": "no", "type": "t", "code": "c"}}).encode()
FLAT = json.dumps({"code": 400, "message": "no"}).encode()
PAGE = b"<html><body>Blocked by policy</body></html>"


def judged(status, body=NESTED, now_s=0.0, **headers):
    return upstage_protocol.of_answer(status, headers, body, now_s=now_s, url=URL)


@pytest.mark.parametrize("body", [NESTED, FLAT])
@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ([429], Throttled),
        ([500, 502, 503, 504, 520, 599, 301, 302, 307, 308, 404, 405], Unavailable),
        ([408, 409, 421, 423, 425, 499], Unavailable),
        ([401, 402, 403], KeyRefused),
        ([400, 407, 413, 415, 418, 422, 451], Rejected),
        ([200, 204], type(None)),
    ],
)
def test_an_own_status_means_one_kind_of_error(statuses, kind, body):
    assert {type(judged(status, body)) for status in statuses} == {kind}


FOREIGN = [
    b"", PAGE, b"blocked", b"null", b"[1]", b'{"message": "Forbidden"}', b'{"error": "forbidden"}',
    b'{"error": {"message": "no"}}', b'{"code": 1010, "message": "banned"}', b'{"code": "x", "message": "no"}',
    b'{"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}', b'{"detail": "no"}',
]  # fmt: skip


@pytest.mark.parametrize("body", FOREIGN)
@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 407, 408, 413, 422, 451, 500, 511, 302]
)
def test_what_somebody_else_says_condemns_neither_key_nor_document(status, body):
    assert type(judged(status, body)) is BadAnswer


@pytest.mark.parametrize(
    ("status", "body", "sent"),
    [
        *((status, PAGE, False) for status in (200, 302, 400, 403, 404, 407, 408, 499, 511)),
        *((status, PAGE, True) for status in (500, 502, 503, 504, 520)),
        *((status, b"{}", True) for status in (400, 403, 408, 499, 500)),
        *((status, b"", True) for status in (400, 403, 408, 499, 500)),
        *((status, b"", False) for status in (301, 302, 307, 407, 511)),
    ],
)
def test_what_cannot_come_from_behind_the_service_was_not_sent_there(status, body, sent):
    assert judged(status, body).sent is sent


@pytest.mark.parametrize(
    ("body", "kind", "sent"),
    [
        (b"Please log in", "text/plain; charset=utf-8", False),
        (b"Please log in", "application/octet-stream", None),
        (b'{"pages": [', "text/plain", None),
        (b"\xef\xbb\xbf\r\n <!DOCTYPE html>", "application/json", False),
        (b"<Error><Code>AccessDenied</Code></Error>", "application/xml", False),
    ],
)
def test_a_page_in_place_of_an_answer_was_not_sent_on(body, kind, sent):
    error = judged(200, body, **{"content-type": kind})
    assert (error and error.sent) is sent


@pytest.mark.parametrize(
    ("status", "body", "ends"),
    [
        (400, NESTED, EngineUnusable), (418, NESTED, EngineUnusable), (404, NESTED, ConfigError), (302, PAGE, ConfigError),
        (405, PAGE, ConfigError), (413, NESTED, None), (415, NESTED, None), (422, NESTED, None), (403, PAGE, None),
        (400, b'{"error": {"message": "no", "type": "t", "code": "415"}}', None), (400, b'{"code": 422, "message": "no"}', None),
        (500, NESTED, None), (408, NESTED, None),
    ],
)  # fmt: skip
def test_what_is_not_about_the_file_may_be_of_all_documents(status, body, ends):
    assert judged(status, body).ends is ends


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
    ],
)
def test_both_error_shapes_give_the_services_own_words(body):
    assert "no such model" in judged(400, json.dumps(body).encode()).message


def test_somebody_elses_words_are_told_as_such():
    message = judged(403, PAGE).message
    assert "Blocked by policy" in message
    assert "not in the service's words" in message


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
        ("86400", 3600.0), ("1e300", 3600.0), ("999999999", 3600.0), ("-1e300", 0.0), ("9" * 400, None),
        (format_datetime(datetime.fromtimestamp(1_000_007, UTC), usegmt=True), 7.0),
        (format_datetime(datetime.fromtimestamp(999_000, UTC), usegmt=True), 0.0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header, wait_s):
    assert judged(429, now_s=1_000_000, **{"retry-after": header}).retry_after_s == wait_s


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("1795000030", 30.0), ("1795000000.5", 0.5), ("1794999000", 0.0), ("1795999999", 3600.0),
        ("1795000003000", 3.0), ("1794999000000", 0.0),
    ],
)  # fmt: skip
def test_retry_after_may_be_seconds_since_1970_as_the_services_own_headers_are(header, wait_s):
    error = judged(429, now_s=1_795_000_000.0, **{"retry-after": header})
    assert error.retry_after_s == wait_s


def test_the_rate_limit_headers_are_heard_on_a_429_that_says_nothing_else():
    hints = {
        "x-upstage-ratelimit-retry-after-requests": "1795000007",
        "x-upstage-ratelimit-retry-after-pages": "1795000009",
    }
    assert judged(429, now_s=1_795_000_000.0, **hints).retry_after_s == 9.0
    assert judged(429, now_s=1_795_000_000.0, **hints, **{"retry-after": "2"}).retry_after_s == 2.0
    assert judged(503, now_s=1_795_000_000.0, **hints).retry_after_s is None


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
