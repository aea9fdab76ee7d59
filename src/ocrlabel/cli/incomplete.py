"""Exit 6: more rows failed than allowed, and for each kind of failure what would help."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ocrlabel.errors import Incomplete
from ocrlabel.wording import counted

if TYPE_CHECKING:
    from ocrlabel.cli.labelling import Labelling


def raise_if_incomplete(done: Labelling, most_share: float) -> None:
    """Exit 6 when more rows failed than --max-failures allows."""
    from ocrlabel.dataset.inputs.opening import is_table
    from ocrlabel.dataset.tables.table import read_failures

    told = done.result.told
    if done.result.partial or told["failed"] <= most_share * told["rows"]:
        return
    passing, lasting = Counter[str](), Counter[str]()
    with done.place.store.open(done.result.failures_key) as table:
        for row in read_failures(table):
            (passing if row.retryable else lasting)[row.failure_class] += 1
    raise Incomplete(
        f"{told['failed']:,} of {counted(told['rows'], 'row')} failed,"
        f" more than {most_share:.0%}; see {done.failures}\n"
        + what_helps(
            passing,
            lasting,
            from_a_table=is_table(told["source"]),
            reusable=done.labels if done.place.is_local else "",
        )
        + f"  to accept them: --max-failures {math.ceil(100 * told['failed'] / told['rows'])}%"
    )


def what_helps(
    passing: Mapping[str, int], lasting: Mapping[str, int], *, from_a_table: bool, reusable: str
) -> str:
    """Lines of advice, by failures that may pass and others, each counted by class.

    A table names files that may be mended under it; a folder with other files is another input.
    reusable: the labels table that --reuse-from can take, "" where it cannot.
    """
    lines = ""
    if passing:
        lines += (
            f"  {_listed(passing)} may yet succeed:"
            f" the same command with --retry-failed {','.join(sorted(passing))}\n"
        )
    if not lasting:
        return lines
    lines += f"  {_listed(lasting)} will fail again as the files are: mend them, then "
    if from_a_table:
        return f"{lines}the same command with --retry-failed {','.join(sorted(lasting))}\n"
    free = f" and --reuse-from {reusable}, which labels only what is new" if reusable else ""
    return f"{lines}it is another input: another --output{free}\n"


def _listed(classes: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(classes.items()))
