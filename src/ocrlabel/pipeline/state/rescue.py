"""Answers that the store did not take: in a file on this machine, until a start brings them in.

The file goes to the first of the runtime's `rescue_folders` that can be written, and holds one
journal record a line, with its run, round, batch and worker. Its name tells the run and the
sha256 of its bytes, so that one that is damaged is never read. Every start puts what belongs to
its run into the journal, before it claims anything, and so does a worker before it asks again
what another one of this machine asked for and did not save. Where somebody asked for the same
image meanwhile, readers resolve it as they do any other duplicate. A file is deleted once the
store has said that it has all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import resource
import secrets
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ocrlabel.labels import Labelled
from ocrlabel.pipeline.run_context import Round, Run
from ocrlabel.pipeline.state.carried import carry_outcomes
from ocrlabel.pipeline.state.journal import Record, from_json, journal_object, to_json
from ocrlabel.wording import counted

T = TypeVar("T")
_NAME = re.compile(r"ocrlabel-([0-9A-Za-z]+)-([0-9a-f]{32})\.rescue")
_WRITTEN_WITHIN_S = 1.5
_READ_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class RescueFile:
    """A file that was found. groups: its records by round, batch and worker.

    note: why nothing of it is taken in, "" where it is. of_before: of a run that this one grew out
    of, whose answers it carries.
    """

    path: Path
    groups: dict[tuple[int, int, str], list[Record]]
    note: str = ""
    of_before: bool = False

    @property
    def answers(self) -> str:
        """How many answers it holds, in words."""
        return _answers(record for group in self.groups.values() for record in group)


async def write_rescue(round_: Round, records: Sequence[tuple[int, Record]]) -> str:
    """Write the records that are in no store; what to tell of it."""
    run, runtime = round_.run, round_.runtime
    place = {"run_id": run.plan.run_id, "round": round_.number, "worker": runtime.me.worker}
    lines = [json.dumps(place | {"batch": b, "record": to_json(one)}) for b, one in records]
    data = "\n".join(lines).encode("ascii")
    name = f"ocrlabel-{run.plan.run_id}-{_digest(data)}.rescue"
    answers = _answers(one for _, one in records)
    refused = []
    for folder in runtime.rescue_folders:
        try:
            await _in_time(partial(_write, folder, name, data), _WRITTEN_WITHIN_S)
        except (OSError, TimeoutError) as error:
            refused.append(f"{folder}: {getattr(error, 'strerror', None) or 'no answer in time'}")
            continue
        words = f"{answers} not in the store, but in {folder / name}\n"
        if not run.options.job:
            return f"{words}  run the same command again on this machine: it takes them in"
        return (
            f"{words}  the disk of this machine goes away with the job: unless the file is saved"
            " from it, they are asked and paid for once more, and shown as perhaps billed"
        )
    where = "; ".join(refused) or "no folder was given"
    return (
        f"{answers} lost: neither the store took them nor a folder of this machine ({where})\n"
        "  they are asked and paid for once more, and shown as perhaps billed"
    )


async def take_in(run: Run, *, merged_round: int) -> None:
    """Put what lies in rescue files of this run into its journals, and delete the files.

    merged_round: the newest round that is merged, -1 for none: what comes later than that is
    named and left alone, like a file that is damaged, or of a run that was replaced.
    """
    for found in await find_rescued(run, merged_round=merged_round):
        if found.note:
            run.runtime.tell_once("rescue", found.note, about=str(found.path))
            continue
        for (number, batch, worker), records in found.groups.items():
            if found.of_before:
                await carry_outcomes(run, [one for one in records if isinstance(one, Labelled)])
                continue
            key, data = journal_object(run.round(number), batch, worker, records)
            await run.runtime.store.put(key, data)
        with contextlib.suppress(OSError):
            found.path.unlink()
        taken = f"taken in from {found.path}, where another start left them"
        run.runtime.tell_once("rescue", f"{found.answers} {taken}")


async def find_rescued(run: Run, *, merged_round: int = -1) -> list[RescueFile]:
    """The rescue files of a run, and of those that it replaced."""
    found = []
    for folder in run.runtime.rescue_folders:
        try:
            names = await _in_time(partial(os.listdir, folder), _READ_WITHIN_S)
        except (OSError, TimeoutError):
            continue  # it is not there, or cannot be looked at
        for name in sorted(names):
            if (parts := _NAME.fullmatch(name)) is None:
                continue
            path, run_id = folder / name, parts[1]
            if run_id in run.plan.carries:
                of_before = await _looked_at(path, run_id, parts[2], -1)
                found.append(replace(of_before, of_before=True))
            elif run_id in run.plan.replaces:
                old = f"{path} is of run {run_id}, which --fresh replaced"
                found.append(RescueFile(path, {}, f"{old}: it is not taken in, and can be deleted"))
            elif run_id == run.plan.run_id:
                found.append(await _looked_at(path, run_id, parts[2], merged_round))
    return [one for one in found if one.groups or one.note]


async def _looked_at(path: Path, run_id: str, digest: str, merged_round: int) -> RescueFile:
    try:
        data = await _in_time(partial(_read, path), _READ_WITHIN_S)
        if _digest(data) != digest:
            raise ValueError("its bytes are not those that its name tells of")  # noqa: TRY301 -- told with all that is wrong with it
        groups = _groups(data, run_id)
    except FileNotFoundError:
        return RescueFile(path, {})  # another worker has just taken it in
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error) or "no answer in time"
        return RescueFile(path, {}, f"{path} cannot be used, and is passed over: {reason}")
    found = RescueFile(path, groups)
    if all(number <= merged_round for number, _, _ in groups):
        late = "too late: the run was finished without, and shows it as perhaps billed"
        return RescueFile(path, groups, f"{found.answers} in {path}, {late}")
    return found


def _groups(data: bytes, run_id: str) -> dict[tuple[int, int, str], list[Record]]:
    groups: dict[tuple[int, int, str], list[Record]] = {}
    for line in data.decode("ascii").split("\n"):
        told = json.loads(line)
        if told["run_id"] != run_id:
            raise ValueError(f"it is of run {told['run_id']}")
        place = int(told["round"]), int(told["batch"]), str(told["worker"])
        groups.setdefault(place, []).append(from_json(told["record"]))
    return groups


def _answers(records: Iterable[Record]) -> str:
    """Where there is none: what became of requests, which the account needs as well."""
    every = list(records)
    count = sum(isinstance(one, Labelled) and not one.copied for one in every)
    if count:
        return f"{counted(count, 'answer')} {'is' if count == 1 else 'are'}"
    return f"the outcome of {counted(len(every), 'row or request', 'rows or requests')} is"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _write(folder: Path, name: str, data: bytes) -> None:
    """All or nothing, readable by this user alone, and on the disk before it returns."""
    _, most_handles = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS takes no limit that is none
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_handles, most_handles))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f".{name}.{secrets.token_hex(4)}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        part.replace(folder / name)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    """A plain file of ours or of whom the folder belongs to: in /tmp anybody may put one."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        told = os.fstat(handle)
        if not stat.S_ISREG(told.st_mode):
            raise ValueError("it is no plain file")
        if told.st_uid not in {os.geteuid(), path.parent.stat().st_uid}:
            raise ValueError("it belongs to another user")
        return file.read()


async def _in_time(call: Callable[[], T], limit_s: float) -> T:
    """The result of a blocking call, in a thread that nobody waits for if the disk is dead."""
    work = asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(1), call)
    return await asyncio.wait_for(work, limit_s)
