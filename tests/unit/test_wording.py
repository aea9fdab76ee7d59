from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import ocrlabel
from ocrlabel.wording import counted, percent, ratio, rounded


def test_one_is_singular_and_every_other_number_plural():
    assert [counted(n, "image") for n in (0, 1, 2, 1200)] == [
        "0 images", "1 image", "2 images", "1,200 images",
    ]  # fmt: skip
    assert counted(3, "batch", "batches") == "3 batches"
    assert counted(1, "batch", "batches") == "1 batch"


@given(st.integers(1, 10**6), st.data())
def test_a_share_looks_like_all_or_nothing_only_where_it_is(whole, data):
    part = data.draw(st.integers(0, whole))
    share = part / whole
    for told, value in ((ratio(share), 1.0), (percent(share).removesuffix("%"), 100.0),
                        (percent(share, 0).removesuffix("%"), 100.0), (rounded(share), 1.0)):  # fmt: skip
        assert (float(told) == value) == (part == whole)
        assert (float(told) == 0) == (part == 0)


@given(st.floats(0, 1))
def test_a_share_is_told_to_its_nearest_place(share):
    assert abs(float(ratio(share)) - share) <= 0.0005 + 1e-9
    assert abs(float(percent(share).removesuffix("%")) - share * 100) <= 0.05 + 1e-9


def test_shares_as_they_are_told():
    assert [ratio(n / 3013) for n in (0, 1, 2009, 3012, 3013)] == [
        "0.000", "0.0003", "0.667", "0.9997", "1.000",
    ]  # fmt: skip
    assert [percent(n / 3013) for n in (0, 1, 2009, 3012, 3013)] == [
        "0.0%", "0.03%", "66.7%", "99.97%", "100.0%",
    ]  # fmt: skip
    assert ratio(sum([0.1] * 10)) == "1.000"  # 0.9999999999999999: what adding up leaves
    assert [ratio(gain, sign="+") for gain in (-0.0004, 0.0, 0.25)] == [
        "-0.0004",
        "+0.000",
        "+0.250",
    ]


def test_no_share_is_told_but_by_this_rule():
    source = Path(ocrlabel.__file__).parent
    own = re.compile(r":[+,]?\.\d%|:[+,]?\.3f")
    found = [
        f"{path.name}: {line.strip()}"
        for path in source.rglob("*.py") for line in path.read_text().splitlines() if own.search(line)
    ]  # fmt: skip
    assert found == []
