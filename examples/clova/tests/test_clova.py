"""The contract of an engine, met by CLOVA OCR: pytest examples/clova/tests, with both installed."""

from __future__ import annotations

import io

import pytest
from fake_clova import (
    FAILURE,
    GOOD,
    SECRET,
    TOO_FAST,
    TOO_MANY,
    WRONG_BODY,
    WRONG_SECRET,
    FakeClova,
)
from ocrlabel_clova import Clova
from PIL import Image

from ocrlabel.testing import HttpReply, HttpService, check, check_faults


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("CLOVA_OCR_SECRET", SECRET)


def drawn(kind="PNG"):
    out = io.BytesIO()
    Image.new("RGB", (60, 20), "white").save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_it_keeps_the_contract(kind):
    with FakeClova() as service:
        check(lambda: Clova(service.url), drawn(kind))
    assert service.answered == service.received == 1


def test_it_tells_what_goes_wrong():
    with HttpService(HttpReply(body=GOOD)) as service:
        check_faults(
            lambda: Clova(service.url),
            drawn(),
            service,
            too_fast=[HttpReply(400, TOO_FAST), HttpReply(400, TOO_MANY), HttpReply(429)],
            refuses_key=[HttpReply(401, WRONG_SECRET)],
            refuses_image=[HttpReply(400, WRONG_BODY), HttpReply(200, FAILURE)],
        )
