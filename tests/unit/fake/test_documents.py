"""What the fake makes of the files it is sent."""

from __future__ import annotations

import sys

import pytest

from ocrlabel.fake.documents import Refused, judge
from ocrlabel.fake.settings import LIMITS
from tests.support.shared_data import shared_data

_SIZE = b"\0\0\0\x14ispe\0\0\0\0" + (300).to_bytes(4, "big") + (200).to_bytes(4, "big")
STATED = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + _SIZE


def test_a_heic_photo_is_one_page_of_its_upright_size():
    pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    photo = shared_data("bad", "photo.heic").read_bytes()
    (size_px,) = judge(photo, LIMITS["2025"])
    assert min(size_px) > 100


def test_without_pillow_heif_a_heic_photo_is_one_page_of_the_size_it_states(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert judge(STATED, LIMITS["2025"]) == ((300, 200),)


def test_heic_that_is_broken_is_refused_as_damaged_and_not_as_unknown():
    with pytest.raises(Refused) as caught:
        judge(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", LIMITS["2025"])
    assert caught.value.status == 422
