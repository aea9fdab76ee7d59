from __future__ import annotations

import asyncio

import pytest

from ocrlabel.engines.image_workers import ImagePreparer
from ocrlabel.errors import Unreadable
from ocrlabel.images.limits import Accepts
from ocrlabel.labels import Document, FailureClass
from tests.support.drawn import drawn, encoded

ACCEPTS = Accepts(frozenset({"jpeg", "png"}))


def opened(data: bytes) -> Document:
    async def go() -> Document:
        preparer = ImagePreparer(ACCEPTS, parallel=1)
        try:
            return await preparer.prepare(data)
        finally:
            await preparer.close()

    return asyncio.run(go())


def test_an_image_that_the_engine_takes_comes_back_byte_for_byte():
    data = encoded(drawn("as it is"))
    assert opened(data) == Document(data, "png", 1, ((640, 200),))


def test_an_image_of_another_format_comes_back_re_encoded():
    data = encoded(drawn("as it is"), "WEBP")
    document = opened(data)
    assert document.format == "png"
    assert document.data[:4] == b"\x89PNG"


def test_what_is_no_image_comes_back_as_unreadable_with_its_class():
    with pytest.raises(Unreadable) as refused:
        opened(b"plain text")
    assert refused.value.failure is FailureClass.NOT_AN_IMAGE
