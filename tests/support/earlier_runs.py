"""Runs that an earlier version of the program left behind, as tests/fixtures/make_runs.py saved them."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ocrlabel.fake.ledger import LoggedRequest
from tests.support.fleet import COMMAND, RUNNER, Fleet
from tests.support.judge import Written, written
from tests.support.mixed import Mixed

RUNS = Path(__file__).parents[1] / "fixtures" / "runs"
IMAGES = RUNS / "images"
DATASET = "train"
KEY = "up_one"
VARIABLES = {
    "OCRLABEL_LEASE_S": "2",
    "OCRLABEL_SEND_WITHIN_S": "1",
    "OCRLABEL_REQUEST_TIMEOUT_S": "3",
    "OCRLABEL_LOG": "lines",
}
"""Short leases: whoever goes on waits for the dead as long as they said."""


def price_of(pages: int) -> str:
    """What so many pages cost, as --max-cost takes it."""
    return f"{pages * 0.0015:.4f}"


@dataclass(frozen=True)
class Command:
    """What was typed. where: "folder" or "bucket"; the input is the same images in both."""

    where: str
    engine: str = "upstage"
    options: tuple[str, ...] = ()

    @property
    def program(self) -> tuple[str, ...]:
        return COMMAND if self.where == "folder" else RUNNER

    @property
    def args(self) -> tuple[str, ...]:
        same = ("--engine", self.engine, "--batch-size", "4", "--concurrency", "2")
        # two files of the folder are no images
        own = (*same, "--max-failures", "50%", *self.options)
        if self.where == "folder":
            return ("run", "images", "--output", f"{DATASET}.parquet", *own)
        return ("--dataset-name", DATASET, "--resume", *own)


def lay_input(fleet: Fleet, command: Command) -> None:
    """What is to be labelled, as it was."""
    if command.where == "folder":
        shutil.copytree(IMAGES, fleet.home / "images")
    else:
        fleet.put_packed(DATASET, IMAGES)


def objects(
    fleet: Fleet, command: Command, seen: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """All that a run has written so far, by key. In a bucket what was seen is not read again."""
    if command.where == "bucket":
        known = seen or {}
        return {key: known.get(key) or fleet.read(key) for key in fleet.keys("")}
    paths = [
        *(fleet.home / "checkpoints").rglob("*"),
        *fleet.home.glob(f"{DATASET}*"),
    ]
    return {
        str(path.relative_to(fleet.home)): path.read_bytes() for path in paths if path.is_file()
    }


def read_back(fleet: Fleet, command: Command) -> Written:
    """Both tables and run.json."""
    if command.where == "folder":
        return written(fleet.home, DATASET)
    return fleet.written(DATASET)


@dataclass(frozen=True)
class Saved:
    """The objects of a run as they were stored, read without the program."""

    by_key: Mapping[str, bytes]

    @cached_property
    def records(self) -> list[tuple[int, dict[str, Any]]]:
        """(batch, record) of every journal, of retry rounds too."""
        found = []
        for key, data in self.by_key.items():
            if "/journal/" in key:
                batch = int(key.partition("/journal/")[2].partition("/")[0])
                lines = gzip.decompress(data).decode("utf-8", "surrogatepass").split("\n")
                found += [(batch, json.loads(line)) for line in lines if line]
        return found

    @cached_property
    def checkpoint_rows(self) -> list[dict[str, Any]]:
        return [
            row
            for key, data in self.by_key.items()
            if "_batch_" in key
            for row in pq.read_table(io.BytesIO(data)).to_pylist()
        ]

    def checkpoints(self, mark: str = "") -> set[int]:
        """The batches that have one; mark: "_retry_01" for those of a retry round."""
        stems = [key.removesuffix(".parquet").partition("_batch_")[2] for key in self.by_key]
        return {int(stem[:4]) for stem in stems if stem and stem[4:] == mark}

    @property
    def journalled(self) -> set[int]:
        """Batches with an answer in a journal."""
        return {batch for batch, record in self.records if record["t"] == "labelled"}

    @property
    def held(self) -> set[str]:
        """The documents, by sha256, whose answers are stored."""
        journalled = {r["sha"] for _, r in self.records if r["t"] == "labelled"}
        rows = self.checkpoint_rows
        return journalled | {r["image_sha256"] for r in rows if r["outcome"] == "labelled"}

    @property
    def asks_without_an_end(self) -> int:
        """Paid attempts whose outcome nobody wrote down."""
        asks = {tuple(key.split("/asks/")[1].split("/")) for key in self.by_key if "/asks/" in key}
        ended = set()
        for _, record in self.records:
            attempts = [record["attempt"]] if record["t"] == "tried" else record["attempts"]
            ended |= {(record["key"], f"{attempt[0]:03d}.json") for attempt in attempts}
        for row in self.checkpoint_rows:
            ended |= {(row["key"], f"{one['number']:03d}.json") for one in row["attempts"]}
        return len(asks - ended)


@dataclass(frozen=True)
class EarlierRun:
    """One saved run. like: the finished run that it would have been, uncut."""

    name: str
    what: str
    written_by: str
    like: str
    command: Command
    entries: tuple[LoggedRequest, ...]

    @property
    def folder(self) -> Path:
        return RUNS / self.name

    @property
    def saved(self) -> Saved:
        store = self.folder / "store"
        paths = [path for path in store.rglob("*") if path.is_file()]
        return Saved({str(path.relative_to(store)): path.read_bytes() for path in sorted(paths)})

    def lay_out(self, fleet: Fleet) -> None:
        """The run as it was left, with its input."""
        lay_input(fleet, self.command)
        if self.command.where == "folder":
            shutil.copytree(self.folder / "store", fleet.home, dirs_exist_ok=True)
        else:
            for key, data in self.saved.by_key.items():
                fleet.s3.put_object(Bucket=fleet.bucket, Key=key, Body=data)

    def save(self, by_key: Mapping[str, bytes]) -> None:
        """Put it in place of what is there under this name."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for key, data in by_key.items():
            path = self.folder / "store" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        told = asdict(self)
        (self.folder / "case.json").write_text(json.dumps(told, indent=1) + "\n")


def earlier_run(name: str) -> EarlierRun:
    """The saved run of this name."""
    told = json.loads((RUNS / name / "case.json").read_text())
    command = told["command"] | {"options": tuple(told["command"]["options"])}
    entries = tuple(LoggedRequest(**entry) for entry in told["entries"])
    return EarlierRun(**told | {"command": Command(**command), "entries": entries})


def earlier_runs() -> list[str]:
    """The names of all of them."""
    return sorted(path.parent.name for path in RUNS.glob("*/case.json"))


def images() -> Mixed:
    """What a run must make of the saved images."""
    told = json.loads((RUNS / "images.json").read_text())
    return Mixed(
        IMAGES,
        frozenset(told["readable"]),
        frozenset(told["unreadable"]),
        told["pages"],
        told["sha256"],
    )


def save_images(inputs: Mixed) -> None:
    """Put them in place of those that are there."""
    shutil.rmtree(IMAGES, ignore_errors=True)
    shutil.copytree(inputs.folder, IMAGES)
    told = {
        "readable": sorted(inputs.readable),
        "unreadable": sorted(inputs.unreadable),
        "pages": inputs.pages,
        "sha256": inputs.sha256,
    }
    (RUNS / "images.json").write_text(json.dumps(told, indent=1) + "\n")
