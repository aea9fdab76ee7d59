"""Pushing in tests: to a real S3 server, or to a store in plain Python."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ocrlabel.dataset.push.extra_columns import open_extra_columns
from ocrlabel.dataset.push.push import Pushed, PushOptions, push
from ocrlabel.dataset.push.target import PushTarget, target_of
from ocrlabel.dataset.push.upload import Step
from ocrlabel.dataset.sources import open_dataset
from ocrlabel.storage.base import ObjectStore
from tests.unit.dataset.made import corners, saved

PAGE = saved(corners(), "PNG")


@dataclass
class Pusher:
    """Pushes from one folder into one bucket; `steps` is what was told on the way."""

    store: ObjectStore
    bucket: str
    cwd: Path
    open_s3: Callable[[str], ObjectStore] | None = None
    steps: list[Step] = field(default_factory=list)

    def target(self, source: str | Path, address: str = "") -> PushTarget:
        return target_of(f"s3://{self.bucket}/{address}", str(source))

    def __call__(
        self,
        source: str | Path,
        address: str = "",
        *,
        store: ObjectStore | None = None,
        roots: tuple[str, ...] = (),
        image_column: str | None = None,
        **options: object,
    ) -> Pushed:
        target = self.target(source, address)
        scratch = self.cwd.parent / f"{self.cwd.name}-scratch"
        scratch.mkdir(exist_ok=True)

        async def whole() -> Pushed:
            dataset = await open_dataset(
                source,
                cwd=self.cwd,
                image_roots=roots,
                store_opener=self.open_s3,
                image_column=image_column,
            )
            others = open_extra_columns(
                str(source), cwd=self.cwd, store_opener=self.open_s3, image_column=image_column
            )
            try:
                return await push(
                    dataset,
                    others,
                    store or self.store,
                    target,
                    PushOptions(**{"at_once": 4, **options}),
                    scratch=scratch,
                    on_step=self.steps.append,
                )
            finally:
                others.close()
                dataset.close()

        return asyncio.run(whole())


def listed(store: ObjectStore, prefix: str = "") -> dict[str, int]:
    """Key -> size in bytes."""

    async def found() -> dict[str, int]:
        return {stored.key: stored.size_bytes async for stored in store.list(prefix)}

    return asyncio.run(found())


def stored(store: ObjectStore, key: str) -> bytes:
    return asyncio.run(store.get(key))


def picture(number: int, format_: str = "PNG") -> bytes:
    return saved(corners(48 + 2 * number, 32), format_)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "scans"
