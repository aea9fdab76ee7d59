from __future__ import annotations

from ocrlabel.wording import counted


def test_one_is_singular_and_every_other_number_plural():
    assert [counted(n, "image") for n in (0, 1, 2, 1200)] == [
        "0 images", "1 image", "2 images", "1,200 images",
    ]  # fmt: skip
    assert counted(3, "batch", "batches") == "3 batches"
    assert counted(1, "batch", "batches") == "1 batch"
