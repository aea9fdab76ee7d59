"""A pool of child processes for work that can die or hang, and whom a death counts against.

An engine or an image that crashes, hangs or takes all memory must not end the run. So its work is
done in processes of its own, each asked over a private socket (a task is a pickle, a result eight
bytes of length and then plain values); what runs inside them is `main`. A process that an image has
taken over gets no keys with its environment, and what it answers is data, checked against the type
of a result: never a pickle, which is a program.

Not multiprocessing: its spawn runs the user's own script again, which a notebook and a script
without a main guard do not survive.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from ocrlabel.errors import ConfigError, EngineUnusable, ImageError, Unreadable
from ocrlabel.labels import FailureClass
from ocrlabel.storage.folder import temporary_folder

Task = TypeVar("Task")
Result = TypeVar("Result")
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from ocrlabel.engines.children import main; main()"
)
_KEPT_STDERR_BYTES = 1_000_000
_LAST_WORDS_BYTES = 2_000
_GOODBYE_S = 5.0
_START_TIMEOUT_S = 120.0
"""Until the factory is through."""
_MOST_LIMITS = 10
"""So many times its limit a starved process may have."""
_AT_WORK = 0.02
_LENGTH = struct.Struct("!Q")
_MOST_ANSWER_BYTES = 1 << 29
_BYTES = "$bytes"
_STRANGE = "it gave an answer that is none"
_NO_ANSWER = (ValueError, TypeError, LookupError, RecursionError, MemoryError, struct.error)
_SECRET_NAME = re.compile(
    "^AWS_|^UPSTAGE_|KEY|SECRET|TOKEN|PASS|CREDENTIAL|AUTH|COOKIE|SESSION", re.IGNORECASE
)
_PASSWORD_IN_URL = re.compile(r"://[^/@\s]*@")


class ChildPool(Generic[Task, Result]):
    """`size` places, each with one process that does one task at a time.

    Each process has its own socket, so a death belongs to exactly one task. That task alone is
    not guilty yet (memory may have run out because of a neighbour): it is done once more with no
    other process at work, and only a death alone counts against it. A task that hangs is killed
    at once. After either, the next task finds a fresh process.

    factory: see Child. result: the type of a result. timeout_s: for one task.
    memory_limit_bytes: what one process may write to (Linux, RLIMIT_DATA); None: no limit.
    """

    def __init__(
        self,
        factory: Callable[[], Callable[[Task], Result]],
        size: int,
        *,
        result: Any = Any,
        timeout_s: float,
        memory_limit_bytes: int | None = None,
        what: str = "worker",
    ) -> None:
        self.size = size
        self._factory = factory
        self._result = TypeAdapter(result)
        self._timeout_s = timeout_s
        self._memory_limit_bytes = memory_limit_bytes
        self._what = what
        self._places = asyncio.Semaphore(size)
        self._alone = asyncio.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._closed = False

    @property
    def pids(self) -> frozenset[int]:
        """The processes that are there now."""
        return frozenset(child.pid for child in self._all)

    async def start(self) -> object:
        """Start the first process; the others start when there is work for them.

        Returns the worker's `about`. Raises ConfigError (the factory's own) or EngineUnusable.
        """
        child = await self._fresh()
        self._idle.append(child)
        return child.about

    async def run(self, task: Task, *, timeout_s: float | None = None) -> Result:
        """Do one task, waiting for a free place. timeout_s: for this task, once it has a place.

        Raises the task's own ImageError; Unreadable with TIMED_OUT when it took longer than
        timeout_s, with CRASHED when the process died of it while nothing else ran; EngineUnusable
        when no process can be started any more.
        """
        allowed_s = self._timeout_s if timeout_s is None else timeout_s
        with contextlib.suppress(ChildDied):
            async with self._places, self._child() as child:
                return await self._ask(child, task, allowed_s)
        # all places are its own; two that take them at once would wait for each other
        async with self._alone, contextlib.AsyncExitStack() as places:
            for _ in range(self.size):
                await places.enter_async_context(self._places)
            try:
                async with self._child() as child:
                    return await self._ask(child, task, allowed_s)
            except ChildDied as death:
                raise Unreadable(
                    f"the {self._what} process died of it twice, the second time with nothing "
                    f"else at work ({death})",
                    failure=FailureClass.CRASHED,
                ) from None

    async def close(self) -> None:
        """End every process and reap it: none is left, and no zombie."""
        self._closed = True
        idle, self._idle = self._idle, []
        busy = self._all.difference(idle)
        self._all.clear()
        await asyncio.gather(*(child.close() for child in idle), *(child.kill() for child in busy))

    async def _ask(self, child: Child, task: Task, allowed_s: float) -> Result:
        try:
            result: Result = await child.ask(task, allowed_s, self._result)
        except TimeoutError:
            raise Unreadable(
                f"the {self._what} process did not finish it within {allowed_s:g} s, and was"
                " killed",
                failure=FailureClass.TIMED_OUT,
            ) from None
        return result

    @contextlib.asynccontextmanager
    async def _child(self) -> AsyncIterator[Child]:
        """An idle process, or a fresh one; among the idle again unless its task got lost in it."""
        child = await self._idle_one() or await self._fresh()
        try:
            yield child
        finally:
            if child.fit:
                self._idle.append(child)
            else:
                await child.kill()
                self._all.discard(child)

    async def _idle_one(self) -> Child | None:
        # One that ended while it was idle (the kernel took its memory) is no task's death.
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            self._all.discard(child)
            await child.kill()
        return None

    async def _fresh(self) -> Child:
        """A process that is ready. A start that fails is tried once more: memory may be short."""
        with contextlib.suppress(ChildDied, OSError):  # a TimeoutError is one
            return await self._started()
        try:
            return await self._started()
        except TimeoutError:
            reason = f"not ready after {_START_TIMEOUT_S:g} s"
        except (ChildDied, OSError) as error:
            reason = str(error)
        raise EngineUnusable(
            f"the {self._what} process does not start: {reason}\n"
            "  see whether memory is left, whether the machine is busy with other things, and"
            " whether the same command works on one image"
        )

    async def _started(self) -> Child:
        if self._closed:
            raise EngineUnusable(f"the {self._what} was closed with work still to do")
        child = Child()
        self._all.add(child)
        try:
            await child.start(self._factory, self._memory_limit_bytes)
        finally:
            if not child.fit:
                await child.kill()
                self._all.discard(child)
        return child


class ChildDied(Exception):
    """The process ended in the middle of a task. status is negative for a signal."""

    def __init__(self, status: int, last_words: str) -> None:
        how = f"ended with status {status}"
        if status < 0:
            try:
                how = f"killed by {signal.Signals(-status).name}"
            except ValueError:
                how = f"killed by signal {-status}"
        super().__init__(f"{how}{': ' if last_words else ''}{last_words}")


def starved(used_s: float, used_lately_s: float, limit_s: float) -> bool:
    """Whether a process over its limit was at work all the time, on too little of a core."""
    return used_s < limit_s / 2 and used_lately_s > _AT_WORK * limit_s


class Child:
    """A process that does one task after another.

    factory is sent to the process (so it must be importable there: a top-level function or class,
    or a functools.partial of one), called once, and gives the function that does the tasks. The
    function's attribute `about` (plain values) becomes this child's `about`. An ImageError that it
    raises comes back as Unreadable; any other exception is the end of the process.
    fit: it is waiting for a task. Raises OSError where there can be no process.
    """

    def __init__(self) -> None:
        self.about: object = None
        self.fit = False
        with contextlib.ExitStack() as held:
            self._channel, theirs = map(held.enter_context, socket.socketpair())
            self._channel.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
            self._stderr = held.enter_context(tempfile.TemporaryFile(dir=temporary_folder()))
            self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=(theirs.fileno(),),
                env=without_secrets(os.environ),
                stdin=subprocess.PIPE,  # the lifeline: it ends when this process does
                stdout=self._stderr,
                stderr=self._stderr,
                start_new_session=True,  # a Ctrl-C on the terminal does not reach it
            )
            theirs.close()
            self._held = held.pop_all()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """It has not ended yet."""
        return self._process.poll() is None

    async def start(
        self,
        factory: Callable[[], Callable[[Any], Any]],
        memory_limit_bytes: int | None,
    ) -> None:
        """Wait until the factory is through. Raises ConfigError, ChildDied or TimeoutError."""
        answer = await self._in_time(pickle.dumps((factory, memory_limit_bytes)), _START_TIMEOUT_S)
        if "config" in answer:
            self.fit = False
            raise ConfigError(str(answer["config"]))
        self.about = answer.get("about")

    async def ask(self, task: object, timeout_s: float, result: TypeAdapter[Any]) -> Any:
        """The task's result, of that type. Raises Unreadable, ChildDied or TimeoutError.

        After the last two or a cancellation the process is not fit any more: kill it.
        """
        answer = await self._in_time(pickle.dumps(task, protocol=5), timeout_s)
        self._forget_chatter()
        try:
            if "unreadable" not in answer:
                return result.validate_python(answer["result"])
            message, failure = answer["unreadable"]
            unreadable = Unreadable(str(message), failure=FailureClass(failure))
        except _NO_ANSWER as error:
            self.fit = False
            raise ChildDied(0, _STRANGE) from error
        raise unreadable

    async def close(self) -> None:
        """Let the process end by itself, kill it if it does not, and reap it."""
        self._channel.close()
        await self._let_go()

    async def kill(self) -> None:
        """End the process now, with whatever it started itself, and reap it."""
        _kill_group(self._process)
        # only then the socket: whoever still waits for an answer on it must see its end first
        await self._let_go()

    async def _let_go(self) -> None:
        await self._reap()
        self.fit = False
        self._held.close()

    async def _in_time(self, payload: bytes, limit_s: float) -> dict[str, Any]:
        """What `_exchange` gives. Raises TimeoutError once the limit is over.

        A process that works on, and gets less than half of a core on a busy machine, has more time.
        """
        work = asyncio.ensure_future(self._exchange(payload))
        began_s = before_s = self._cpu_s()
        try:
            for _ in range(_MOST_LIMITS):
                await asyncio.wait({work}, timeout=limit_s)
                now_s = self._cpu_s()
                if work.done() or not starved(now_s - began_s, now_s - before_s, limit_s):
                    break
                before_s = now_s
            if not work.done():
                raise TimeoutError
            return work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _cpu_s(self) -> float:
        """Seconds of all cores that the process has used; 0 where that cannot be known."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
            user, system = text.rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError):
            return 0.0

    async def _exchange(self, payload: bytes) -> dict[str, Any]:
        self.fit = False
        try:
            await asyncio.get_running_loop().sock_sendall(self._channel, payload)
            (length,) = _LENGTH.unpack(await _received(self._channel, _LENGTH.size))
            if length > _MOST_ANSWER_BYTES:
                raise ValueError(f"an answer of {length} bytes")
            answer = unpack(await _received(self._channel, length))
        except _NO_ANSWER as error:
            raise ChildDied(0, _STRANGE) from error
        except (EOFError, BrokenPipeError, ConnectionResetError):
            await self._reap()
            raise ChildDied(self._process.returncode, self._last_words()) from None
        self.fit = True
        return answer

    async def _reap(self) -> None:
        process = self._process
        try:
            await asyncio.to_thread(process.wait, _GOODBYE_S)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            await asyncio.to_thread(process.wait)
        if process.stdin is not None:  # after the end: it must not end it with a status of its own
            process.stdin.close()

    def _last_words(self) -> str:
        """The last line that the process printed: of a traceback, the exception."""
        if self._stderr.closed:
            return ""
        size_bytes = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, size_bytes - _LAST_WORDS_BYTES))
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""

    def _forget_chatter(self) -> None:
        # The file position is shared with the child, so going back to 0 moves its writes too.
        if self._stderr.seek(0, 2) > _KEPT_STDERR_BYTES:
            self._stderr.seek(0)
            self._stderr.truncate()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:  # else its number may already be somebody else's
        os.killpg(process.pid, signal.SIGKILL)


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables for a process that untrusted images are opened in: none that may hold a secret."""
    return {
        name: value
        for name, value in variables.items()
        if not _SECRET_NAME.search(name) and not _PASSWORD_IN_URL.search(value)
    }


def pack(answer: Mapping[str, object]) -> bytes:
    """A message of plain values, dataclasses and bytes.

    Its length, the length of their JSON, the JSON, then the bytes.
    """
    blobs: list[bytes] = []

    def plain(value: object) -> dict[str, object]:
        if isinstance(value, bytes | bytearray):
            blobs.append(bytes(value))
            return {_BYTES: len(value)}
        if not is_dataclass(value):
            raise TypeError(f"a child's answer cannot hold a {type(value).__name__}")
        return {one.name: getattr(value, one.name) for one in fields(value)}

    text = json.dumps(answer, default=plain).encode()
    parts = [_LENGTH.pack(len(text)), text, *blobs]
    return b"".join([_LENGTH.pack(sum(map(len, parts))), *parts])


def unpack(data: bytes | bytearray) -> dict[str, Any]:
    """What was packed, behind its own length; dataclasses as dicts.

    Raises one of _NO_ANSWER for what was not packed.
    """
    (length,) = _LENGTH.unpack_from(data)
    at = _LENGTH.size + length

    def whole(found: dict[str, Any]) -> Any:
        nonlocal at
        if found.keys() != {_BYTES}:
            return found
        start, at = at, at + found[_BYTES]
        if not start <= at <= len(data):
            raise ValueError("more bytes than there are")
        return bytes(memoryview(data)[start:at])

    answer = json.loads(data[_LENGTH.size : at], object_hook=whole)
    if not isinstance(answer, dict):
        raise TypeError(type(answer).__name__)
    return answer


async def _received(channel: socket.socket, size_bytes: int) -> bytearray:
    loop = asyncio.get_running_loop()
    buffer = bytearray(size_bytes)
    rest = memoryview(buffer)
    while rest:
        count = await loop.sock_recv_into(channel, rest)
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return buffer


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores that we may run on, also in a container with a share of a bigger machine."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    # a CPU quota: "200000 100000" is two cores, "max 100000" is no limit
    with contextlib.suppress(OSError, ValueError):
        quota, period = map(int, cgroup.read_text(encoding="ascii").split())
        cores = min(cores, quota // period)
    return max(1, cores)


def main() -> None:
    """The inside of a process: build the worker once, then one task in, one result out.

    Serves until the parent closes the socket or is gone. The socket is for tasks and results alone,
    so nothing that a library prints can get between them. Standard input is the lifeline: it ends
    when the parent is gone.
    """
    # The parent decides when to stop: a Ctrl-C on the terminal or a SIGTERM to the whole group
    # must not take away a page that is half read.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_the_parent, daemon=True).start()
    _offer_to_the_oom_killer()
    # The end of the stream is the ordinary end. Any other exception ends the process too, with its
    # traceback on stderr: to the parent that is a death like any other.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(socket.socket(fileno=int(sys.argv[1])))


def _serve(channel: socket.socket) -> None:
    tasks = channel.makefile("rb")
    factory, memory_limit_bytes = pickle.load(tasks)  # noqa: S301 -- from our parent
    if memory_limit_bytes is not None:
        _limit_memory(memory_limit_bytes)
    try:
        work: Callable[[object], object] = factory()
    except ConfigError as error:
        channel.sendall(pack({"config": str(error)}))
        return
    channel.sendall(pack({"about": getattr(work, "about", None)}))
    while True:
        task = pickle.load(tasks)  # noqa: S301 -- from our parent
        try:
            answer = pack({"result": work(task)})
        except ImageError as error:
            answer = pack({"unreadable": [error.message, error.failure]})
        except MemoryError:
            words = "opening it needs more memory than a worker may use"
            answer = pack({"unreadable": [words, FailureClass.TOO_MANY_PIXELS]})
        del task
        channel.sendall(answer)
        del answer


def _exit_with_the_parent() -> None:
    # PR_SET_PDEATHSIG would fire when the *thread* that started us ends, and a notebook runs us
    # from short-lived threads. The end of standard input means the process, everywhere.
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)  # with a program that the engine may have started


def _offer_to_the_oom_killer() -> None:
    # If memory runs out, let it take this page rather than the run.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def _limit_memory(limit_bytes: int) -> None:
    # RLIMIT_DATA counts what is written to; RLIMIT_AS would also count the large address ranges
    # that onnxruntime, PDFium and thread stacks reserve and never touch.
    import resource  # noqa: PLC0415 -- does not exist on every platform

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
