"""Where a run keeps its things: every storage key, in one place, made from values.

The same keys stand in a folder and in a bucket. Objects of one run (leases, asks, journals) lie
under its run id, so that a worker left over from a replaced run can never touch the new one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from ocrlabel.errors import ConfigError
from ocrlabel.pipeline.runtime import Runtime
from ocrlabel.storage.base import Stored

# Every name that a run gives to what lies under its run id: `RunKeys` makes them.
_OURS = re.compile(
    r".*/(?:asks/[0-9a-f]+/[0-9]{3,}\.json"
    r"|journal/[0-9]{4,}/[^/]+-[0-9a-f]{32}"
    r"|leases/(?:[0-9]{4,}-[0-9]{2,}|merge)/[0-9]{6,}\.json"
    r"|workers/[^/]+/[0-9]{6,}\.json"
    r"|(?:budget|settings)/[0-9]{6,}\.json"
    r"|(?:merged|retries)/[0-9]{2,}\.json"
    r"|written/[0-9a-f]{64}"
    r"|carried/(?:answers/[0-9a-f]{32}\.parquet|corrected\.parquet|listing\.json))",
    re.DOTALL,
)
_DATASET = re.compile(r"[^/\s\\][^/\\]*")


class Layout:
    """The keys of one dataset.

    stem: what all its results but the labels are named after. prefix: where checkpoints go
    (CHECKPOINT_PREFIX).
    """

    def __init__(self, dataset: str, labels_key: str, stem: str, prefix: str) -> None:
        if not _DATASET.fullmatch(dataset) or dataset in {".", ".."}:
            raise ConfigError(
                f"{dataset!r} is not a dataset name: it must not be empty or hold a slash"
            )
        self.dataset, self.prefix = dataset, prefix
        self.labels_key = labels_key
        self.failures_key = f"{stem}_failures.parquet"
        self.run_key = f"{stem}_run.json"
        self.report_key = f"{stem}_report.html"
        # what there is so far, for people to look at; never the finished tables' names
        self.partial_labels_key = f"{labels_key.removesuffix('.parquet')}_partial.parquet"
        self.partial_failures_key = f"{stem}_failures_partial.parquet"
        self.partial_report_key = f"{stem}_report_partial.html"
        # all that a run writes for people, and what of it goes once the run is complete
        whole = (labels_key, self.failures_key, self.run_key, self.report_key)
        self.partial_results = (
            self.partial_labels_key,
            self.partial_failures_key,
            self.partial_report_key,
        )
        self.results = (*whole, *self.partial_results)
        # above all that its runs keep, but for checkpoints and results
        self.root = f"{prefix}/{dataset}"
        # the first run's, put if absent; then brought up to what was put in its place
        self.plan_key = f"{self.root}/plan.json"
        # lists checkpoints; other datasets may match it too, so every key is parsed
        self.checkpoints_prefix = f"{self.root}_batch_"

    def successor_key(self, run_id: str) -> str:
        """The plan that replaced a run: put if absent, kept when that run is cleared away."""
        return f"{self.root}/replaced/{run_id}.json"

    def checkpoint_key(self, batch: int, round_number: int = 0) -> str:
        """A finished batch of the run's own round (0), or of the n-th `--retry-failed`."""
        again = f"_retry_{round_number:02d}" if round_number else ""
        return f"{self.checkpoints_prefix}{batch:04d}{again}.parquet"

    def parse_checkpoint(self, key: str) -> tuple[int, int] | None:
        """(batch, round) of a checkpoint of this dataset, None for any other key."""
        stem = re.escape(self.checkpoints_prefix)
        found = re.fullmatch(rf"{stem}(\d{{4,}})(?:_retry_(\d{{2,}}))?\.parquet", key)
        return (int(found[1]), int(found[2] or 0)) if found else None

    def of_run(self, run_id: str, round_number: int = 0) -> RunKeys:
        """The keys of one run, in one of its rounds."""
        again = f"/retry_{round_number:02d}" if round_number else ""
        return RunKeys(f"{self.root}/{run_id}", again)


class RunKeys:
    """Keys under one run id. Leases, journals and attempts are per round, the rest per run.

    Those that end with "/" are prefixes.
    """

    def __init__(self, root: str, again: str = "") -> None:
        self.everything = f"{root}/"  # cleared when the run is replaced
        self.asks = f"{root}{again}/asks/"  # the claims of all attempts
        self.journals = f"{root}{again}/journal/"
        self.leases = f"{root}{again}/leases/"
        self.workers = f"{root}/workers/"  # heartbeats
        self.budget = f"{root}/budget/"  # the ledger of page grants
        self.limits = f"{root}/settings/"  # what starts and `ocrlabel set` said of rate and budget
        self.merged = f"{root}/merged/"  # what merged rounds asked for beyond their checkpoints
        self.retries = f"{root}/retries/"  # which rows the retry rounds are of
        self.tables = f"{root}/written/"  # the sha256 of every table that the run wrote
        self.carried = f"{root}/carried/answers/"  # of the run that this one grew out of
        self.listing = f"{root}/carried/listing.json"  # the rows of an input that has grown
        self.corrected = f"{root}/carried/corrected.parquet"  # the table before, with corrections

    def asks_of(self, key: str) -> str:
        """Prefix of the claims for one image key."""
        return f"{self.asks}{key}/"

    def ask(self, key: str, number: int) -> str:
        """One paid attempt, claimed by whoever creates this object."""
        return f"{self.asks}{key}/{number:03d}.json"

    def journal_of(self, batch: int) -> str:
        """Prefix of one batch's journal."""
        return f"{self.journals}{batch:04d}/"

    def journal(self, batch: int, worker: str, digest: str) -> str:
        """Named by its writer and its bytes, so that a repeated put is the same put."""
        return f"{self.journal_of(batch)}{worker}-{digest}"

    def leases_of(self, batch: int) -> str:
        """Prefix of all leases of one batch."""
        return f"{self.leases}{batch:04d}-"

    def lease_log(self, name: str) -> str:
        """Prefix of the numbered leases of a slice ("0003-07") or of the merge ("merge")."""
        return f"{self.leases}{name}/"

    def lease(self, name: str, number: int) -> str:
        """The number-th of them."""
        return f"{self.leases}{name}/{number:06d}.json"

    def heartbeat(self, worker: str, number: int) -> str:
        """A worker's number-th sign of life."""
        return f"{self.workers}{worker}/{number:06d}.json"

    def budget_entry(self, number: int) -> str:
        """The number-th entry of the ledger."""
        return f"{self.budget}{number:06d}.json"

    def limit(self, number: int) -> str:
        """The number-th change of the limits."""
        return f"{self.limits}{number:06d}.json"

    def merged_round(self, number: int) -> str:
        """The word of one merged round, put if absent."""
        return f"{self.merged}{number:02d}.json"

    def retry(self, number: int) -> str:
        """The description of one retry round."""
        return f"{self.retries}{number:02d}.json"


def number_of(key: str) -> int:
    """The number of an object of a numbered log: 12 for ".../000012.json"."""
    return int(key.rpartition("/")[2].removesuffix(".json"))


async def stored_under(runtime: Runtime, prefix: str) -> AsyncIterator[Stored]:
    """What a run has stored under a prefix of its own; names that are not ours are passed over.

    Such as what desktops, editors and programs that synchronise folders leave in them.
    """
    async for stored in runtime.store.list(prefix):
        if _OURS.fullmatch(stored.key):
            yield stored
        else:
            not_ours(runtime, stored.key)


def not_ours(runtime: Runtime, key: str) -> None:
    """Tell, once, of a name that is passed over."""
    told = f"{runtime.where(key)} is not of ocrlabel: it is passed over"
    runtime.tell_once("foreign", told, about=key.rpartition("/")[2])


async def newest_number(runtime: Runtime, prefix: str) -> int:
    """The highest number of a numbered log, 0 where it is empty."""
    return max([number_of(stored.key) async for stored in stored_under(runtime, prefix)], default=0)


def beside(labels_key: str, *, prefix: str = "checkpoints") -> Layout:
    """The layout of `--output labels.parquet`: everything beside it, named after it."""
    stem = labels_key.removesuffix(".parquet")
    folder, slash, dataset = stem.rpartition("/")
    return Layout(dataset, labels_key, stem, f"{folder}{slash}{prefix}")


def of_dataset(
    dataset: str,
    *,
    labels_key: str = "",
    prefix: str = "checkpoints",
    folder: str = "data/processed",
) -> Layout:
    """The guide's layout of a dataset in a bucket. folder: "" for none."""
    stem = f"{folder}/{dataset}" if folder else dataset
    labels_key = labels_key or f"{stem}_pseudo_labels.parquet"
    return Layout(dataset, labels_key, stem, prefix.strip("/") or "checkpoints")
