"""What the tables of a run that has grown owe to the run before: corrections, and a comparison.

The labels table takes the place of one that `ocrlabel import` may have changed. That one is kept as
it was, so that every merge, also of a retry round, lays its corrections on alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ocrlabel.dataset.checkpoint_table import Settled
from ocrlabel.dataset.labels_table import FROM_ENGINE, LabelRow, read_labels, table_info
from ocrlabel.errors import DatasetError
from ocrlabel.pipeline.merge.ownership import CORRECTED_BY, IMPORTED
from ocrlabel.pipeline.run_context import Run
from ocrlabel.pipeline.state.carried import Listing, known_at, read_listing
from ocrlabel.storage.base import NotStored
from ocrlabel.wording import counted

_NAMED = 5
_NUMBERED = re.compile(r"row-[0-9]+")


class Inherited:
    """Corrections that are laid on page by page, and rows counted, as they are written.

    corrected: the pages that a person corrected or saw; by: how they were imported. was: the id
    that a row of now had then, of `ids_before`.
    """

    def __init__(
        self,
        listing: Listing | None = None,
        corrected: Iterable[LabelRow] = (),
        by: str = "",
        *,
        was: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._listing, self._by, self._was = listing, by, was
        self._rows: Counter[str] = Counter()
        self._laid_on: set[tuple[str, int]] = set()
        self._pages = {(row.id, row.page): row for row in corrected}

    @property
    def info(self) -> Mapping[str, str]:
        """What the labels table says of it."""
        return {CORRECTED_BY: self._by} if self._by else {}

    @property
    def growth(self) -> Mapping[str, int]:
        """For run.json, once all rows are written; empty for a run that has not grown."""
        if self._listing is None:
            return {}
        rows = {name: self._rows[name] for name in ("kept", "new", "changed")}
        pages = {"corrected": len(self._laid_on), "corrections_left": len(self._left())}
        return {**rows, "gone": self._listing.gone, **pages}

    def count(self, rows: Sequence[Settled]) -> None:
        """Take in a batch."""
        if self._listing is not None:
            outcomes = (row.outcome for row in rows)
            self._rows.update(self._listing.said_of(one.id, one.sha256) for one in outcomes)

    def onto(self, row: LabelRow) -> LabelRow:
        """The page, corrected where it was and its bytes are the same."""
        found = self._pages.get((self._was.get(row.id, ""), row.page))
        if found is None or found.image_sha256 != row.image_sha256:
            return row
        self._laid_on.add((found.id, found.page))
        words, classes, source = found.words, found.classes, found.source
        return replace(
            row, words=words, classes=classes, source=source, reviewed_at=found.reviewed_at
        )

    def tell(self, run: Run) -> None:
        """Name the corrections that fit no page."""
        if left := self._left():
            pages, shown = counted(len(left), "page"), ", ".join(left[:_NAMED])
            why = "their images are not as they were, or gone, or other rows share them now"
            text = f"corrections of {pages} are left out, {why}: {shown}"
            run.runtime.tell("corrections", text)

    def _left(self) -> list[str]:
        return [id_ for id_, page in self._pages if (id_, page) not in self._laid_on]


async def inherited_by(run: Run, places: Iterable[tuple[int, int]], scratch: Path) -> Inherited:
    """What a run inherits, corrections that were made while it ran among it.

    places: its checkpoints, by batch and round.
    """
    if run.plan.grown is None:
        return Inherited()
    store, path = run.runtime.store, scratch / "corrected.parquet"
    listing = await read_listing(run)
    with contextlib.suppress(NotStored, DatasetError):
        info = await run.runtime.read_file(run.layout.labels_key, table_info)
        if info.get("run_id") in run.plan.carries and _by(info):
            await store.download(run.layout.labels_key, path)
            await store.upload(run.keys.corrected, path)
    try:
        await store.download(run.keys.corrected, path)
    except NotStored:
        return Inherited(listing)
    rows = await asyncio.to_thread(lambda: list(filter(_is_corrected, read_labels(path))))
    images = {row.image_sha256 for row in rows}

    def of_before() -> dict[str, str]:
        return {row.id: row.image_sha256 for row in read_labels(path) if row.image_sha256 in images}

    before = await asyncio.to_thread(of_before)
    now: dict[str, str] = {}
    for place in sorted(places) if images else ():
        known = await known_at(run, run.layout.checkpoint_key(*place))
        now |= {one.id: one.sha256 for one in known if one.sha256 in images}
    was = ids_before(before, now, {row.id for row in rows})
    return Inherited(listing, rows, _by(table_info(path)), was=was)


def ids_before(
    before: Mapping[str, str], now: Mapping[str, str], corrected: Collection[str]
) -> dict[str, str]:
    """The ids of rows before, whose corrections are theirs, by the ids that rows have now.

    before, now: sha256 by id, in the order of the input. A corrected row with the same id and
    bytes is the same. One that is not there any more was renamed: its bytes' other rows have its
    corrections, in their order. Where rows are called by their numbers, an id that is there again
    may be another row's: all that share an image count in their order, unless some of them are
    gone or were put between, for then nothing tells which.
    """
    found: dict[str, str] = {}
    ids_now = _by_image(now)
    for image, old in _by_image(before).items():
        new = ids_now.get(image, [])
        if len(old) > 1 and all(map(_NUMBERED.fullmatch, old)):
            if len(old) == len(new) or old == new[: len(old)]:
                found |= dict(zip(new, old, strict=False))
            continue
        stayed = {id_ for id_ in old if id_ in corrected and id_ in new}
        moved = [id_ for id_ in old if id_ in corrected and id_ not in stayed]
        others = [id_ for id_ in new if id_ not in stayed]
        found |= {id_: id_ for id_ in stayed}
        found |= {id_: moved[min(n, len(moved) - 1)] for n, id_ in enumerate(others) if moved}
    return found


def _by_image(rows: Mapping[str, str]) -> dict[str, list[str]]:
    ids: dict[str, list[str]] = {}
    for id_, image in rows.items():
        ids.setdefault(image, []).append(id_)
    return ids


def _is_corrected(row: LabelRow) -> bool:
    return row.source != FROM_ENGINE or row.reviewed_at is not None


def _by(info: Mapping[str, str]) -> str:
    changed_by = info.get("changed_by", "")
    return changed_by if changed_by.startswith(IMPORTED) else info.get(CORRECTED_BY, "")
