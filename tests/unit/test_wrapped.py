"""Long errors on a narrow terminal: they wrap at words; what is copied from them is never cut."""

from __future__ import annotations

import pytest

from ocrlabel.wording import wrapped

PATH = "/data/somebody/a/rather/long/folder/of/projects/and/data/sets/labels_failures.parquet"
COMMAND = "ocrlabel merge images/ --output labels.parquet --partial"
MESSAGE = f"""RunMismatch: {PATH}: it is of run 0123456789ab and that is not this one at all
  write to another --output, or move it away; `{COMMAND}` makes the tables again
  name the labels table that the run writes: ocrlabel status labels.parquet, or another
    {COMMAND} --image-root {PATH}"""


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_every_line_fits_unless_one_path_or_command_alone_does_not(columns):
    for line in wrapped(MESSAGE, columns).splitlines():
        whole = line.strip()
        alone = " " not in whole or whole.startswith(("ocrlabel", "`ocrlabel"))
        assert len(line) <= columns or alone, line


@pytest.mark.parametrize("columns", range(10, 120))
def test_nothing_is_lost_and_no_path_or_command_is_cut(columns):
    found = wrapped(MESSAGE, columns)
    assert found.split() == MESSAGE.split()
    for unbroken in (PATH, f"`{COMMAND}`", "ocrlabel status labels.parquet,", f"{COMMAND} --image"):
        assert unbroken in found


def test_a_text_that_fits_stays_as_it_is():
    assert wrapped(MESSAGE, 500) == MESSAGE
    assert wrapped("", 80) == ""
