"""Every error of a store is one of: no such object, something to mend, or try again."""

from __future__ import annotations

import asyncio

import pytest
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError

from ocrlabel.errors import ConfigError, StoreUnavailable
from ocrlabel.storage.base import NotStored, RetryLimits
from ocrlabel.storage.opening import open_store
from ocrlabel.storage.refusals import missing_keys, naming_proxy, reason, refusal
from tests.support.s3 import CREDENTIALS


def s3_error(kind: type[Exception], status: str, code: str, more: str = "") -> Exception:
    return kind(
        f"Generic S3 error: Error performing PUT http://host/bkt/a in 2ms - Server returned "
        f"non-2xx status code: {status}: <Error><Code>{code}</Code><Message>Because.</Message>"
        f"{more}</Error>\n\nDebug source:\nGeneric {{ .. }}"
    )


def denied(message: str) -> Exception:
    error = s3_error(PermissionDeniedError, "403 Forbidden", "AccessDenied")
    return PermissionDeniedError(str(error).replace("Because.", message))


@pytest.mark.parametrize(
    "error",
    [
        s3_error(GenericError, "500 Internal Server Error", "InternalError"),
        s3_error(GenericError, "503 Service Unavailable", "SlowDown"),
        s3_error(GenericError, "429 Too Many Requests", "TooManyRequests"),
        s3_error(GenericError, "400 Bad Request", "RequestTimeout"),
        s3_error(GenericError, "409 Conflict", "OperationAborted"),
        s3_error(FileNotFoundError, "404 Not Found", "NoSuchUpload"),
        GenericError("Generic S3 error: Error performing GET .. - HTTP error: error sending"),
        UnauthenticatedError("External AWS credential provider: CredentialRetrievalError: busy"),
        GenericError("PUT http://169.254.169.254/latest/api/token - 403 Forbidden"),
        TimeoutError(),
    ],
    ids=str,
)
def test_what_passes_is_tried_again(error: Exception) -> None:
    assert refusal(error, "a", "s3://bkt") is None


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (s3_error(PermissionDeniedError, "403 Forbidden", "AccessDenied"), "s3:ListBucket"),
        (s3_error(FileNotFoundError, "404 Not Found", "NoSuchBucket"), "no such bucket"),
        (
            s3_error(
                GenericError,
                "400 Bad Request",
                "AuthorizationHeaderMalformed",
                "<Region>ap-northeast-2</Region>",
            ),
            "AWS_REGION=ap-northeast-2",
        ),
        (GenericError("PUT .. - Received redirect without LOCATION"), "another region"),
        (s3_error(GenericError, "400 Bad Request", "InvalidArgument"), "refuses 'a'.*Because"),
        (s3_error(PermissionDeniedError, "403 Forbidden", "RequestTimeTooSkewed"), "set it"),
        (s3_error(PermissionDeniedError, "403 Forbidden", "SignatureDoesNotMatch"), "copy both"),
        (s3_error(PermissionDeniedError, "403 Forbidden", "InvalidAccessKeyId"), "another one"),
        (s3_error(PermissionDeniedError, "403 Forbidden", "InvalidObjectState"), "Glacier"),
        (s3_error(GenericError, "400 Bad Request", "KMS.DisabledException"), "KMS key on again"),
        (s3_error(GenericError, "400 Bad Request", "KMS.NotFoundException"), "AWS_SSE_KMS_KEY_ID"),
        (denied("arn:x is not authorized to perform: kms:GenerateDataKey on r"), "kms:Decrypt"),
        (
            denied("not authorized to perform: s3:PutObject with an explicit deny in a policy"),
            "AWS_SERVER_SIDE_ENCRYPTION",
        ),
        (s3_error(GenericError, "501 Not Implemented", "NotImplemented"), "lacks.*conditional wr"),
        (GenericError("non-2xx status code: 501 Not Implemented: "), "lacks.*conditional writes"),
        (denied("Access Denied"), "AWS_REQUEST_PAYER=true"),
        (
            s3_error(
                GenericError,
                "301 Moved Permanently",
                "PermanentRedirect",
                "<Endpoint>bkt.s3.eu-west-1.amazonaws.com</Endpoint>",
            ),
            "another region, eu-west-1: set AWS_REGION=eu-west-1",
        ),
    ],
    ids=str,
)
def test_what_never_passes_is_the_users_to_mend(error: Exception, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^s3://bkt: .*{says}"):
        raise refusal(error, "a", "s3://bkt") or AssertionError


def test_a_missing_object_is_neither() -> None:
    error = s3_error(FileNotFoundError, "404 Not Found", "NoSuchKey")

    assert isinstance(refusal(error, "a", "s3://bkt"), NotStored)


def test_the_last_words_about_keys_are_what_to_set() -> None:
    error = UnauthenticatedError("External AWS credential provider: no role answers")

    with pytest.raises(ConfigError, match=r"no role answers.*AWS_PROFILE"):
        raise missing_keys(error, "s3://bkt") or AssertionError
    assert missing_keys(GenericError("HTTP error"), "s3://bkt") is None


def test_a_reason_is_one_line_in_the_stores_own_words() -> None:
    assert (
        reason(s3_error(BaseError, "403 Forbidden", "AccessDenied")) == "403 AccessDenied: Because."
    )
    assert reason(GenericError("Error performing GET - HTTP error: refused\n\nDebug")) == (
        "HTTP error: refused"
    )
    assert reason(TimeoutError()) == "no answer in time"


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"])
def test_keys_that_ran_out_may_be_renewed_while_a_run_waits_for_the_store(code: str) -> None:
    error = s3_error(GenericError, "400 Bad Request", code)
    refused = refusal(error, "a", "s3://bkt")
    assert isinstance(refused, StoreUnavailable)
    assert "get new AWS keys" in str(refused)


@pytest.mark.parametrize(
    ("variable", "endpoint_url"),
    [
        ("HTTPS_PROXY", None),
        ("https_proxy", "https://s3.test"),
        ("ALL_PROXY", None),
        ("HTTP_PROXY", "http://minio.test:9000"),
    ],
)
@pytest.mark.anyio
async def test_a_proxy_that_does_not_answer_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, endpoint_url: str | None
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(variable, "http://me:pw-secret@127.0.0.1:9")
    limits = RetryLimits(limit_s=1.0, attempt_s=1.0)
    store = open_store(
        "s3://bkt", endpoint_url=endpoint_url, credentials=CREDENTIALS, retry_limits=limits
    )
    with pytest.raises(StoreUnavailable) as caught:
        await store.get("a")
    assert f"asked through the proxy {variable}=http://127.0.0.1:9 (" in str(caught.value)
    with pytest.raises(StoreUnavailable, match=f"proxy {variable}="):
        await asyncio.to_thread(store.open, "a")


def test_a_refusal_that_the_store_itself_gave_names_no_proxy() -> None:
    for error, named in (
        (s3_error(PermissionDeniedError, "403 Forbidden", "AccessDenied"), False),
        (PermissionDeniedError("Server returned non-2xx status code: 403: <p>no</p>"), True),
    ):
        told = refusal(error, "a", "s3://bkt")
        assert isinstance(told, ConfigError)
        assert ("the proxy P" in str(naming_proxy(told, error, "through the proxy P"))) is named
