from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ocrlabel.engines.children import ChildPool, starved
from ocrlabel.errors import ConfigError, EngineUnusable, Unreadable
from ocrlabel.images.headers import HeaderFacts
from ocrlabel.labels import Document, FailureClass, Page, Word

# The processes import their work by name, so it lies in a module of its own, as an engine's does.
WORK = """
import os, signal, sys, tempfile, time
from pathlib import Path
from ocrlabel.errors import ConfigError, Unreadable

class Work:
    def __init__(self, folder="", start="well"):
        if start == "config":
            raise ConfigError("pip install '.[local]'")
        if start == "dies":
            os._exit(9)
        self.about = {"pid": os.getpid()}
        self.folder = folder

    def __call__(self, task):
        kind, value = task
        if kind == "echo":
            return value
        if kind == "size":
            return len(value)
        if kind == "pid":
            return os.getpid()
        if kind == "print":
            print("x" * value); sys.stderr.write("y" * value); sys.stdout.flush()
            return "printed"
        if kind == "unreadable":
            raise Unreadable("no image " + value)
        if kind == "bug":
            raise ValueError("a bug in the worker")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "kill_once":
            mark = Path(self.folder, "killed")
            if mark.exists():
                return sorted(p.name for p in Path(self.folder).glob("busy*"))
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "busy":
            mark = Path(self.folder or tempfile.mkdtemp(), "busy%s" % value)
            mark.touch()
            time.sleep(0.4)
            mark.unlink()
            return value
        if kind == "hang":
            while True:
                time.sleep(1)
        if kind == "starved":
            end = time.monotonic() + value
            while time.monotonic() < end:
                spun = time.process_time() + 0.1
                while time.process_time() < spun:
                    pass
                time.sleep(0.5)  # a sixth of a core, also on a machine with nothing else to do
            return "done"
        if kind == "eat":
            return len(bytearray(value))
        if kind == "signals":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            return "alive"
        if kind == "environment":
            return dict(os.environ)
        if kind == "answers":
            os.write(int(sys.argv[1]), value)
            time.sleep(60)
        if kind == "unpicklable":
            return lambda: None
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "work_for_children.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.delitem(sys.modules, "work_for_children", raising=False)
    import work_for_children  # type: ignore[import-not-found]  # written above

    return work_for_children.Work


def pool_of(factory: Any, size: int = 1, **options: Any) -> ChildPool[Any, Any]:
    return ChildPool(factory, size, **{"timeout_s": 60, **options})


def with_pool(pool: ChildPool[Any, Any], *tasks: Any) -> list[Any]:
    """Every task's result, or the exception that it raised."""

    async def go() -> list[Any]:
        try:
            return await asyncio.gather(*map(pool.run, tasks), return_exceptions=True)
        finally:
            await pool.close()

    return asyncio.run(go())


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def wait_until(true: Callable[[], bool], what: str) -> None:
    for _ in range(500):
        if true():
            return
        threading.Event().wait(0.02)
    pytest.fail(what)


def test_results_come_back_to_the_task_that_asked(work):
    tasks = [("echo", n) for n in range(20)]
    assert with_pool(pool_of(work, 2), *tasks) == list(range(20))


def test_one_process_serves_many_tasks(work):
    assert len(set(with_pool(pool_of(work), *[("pid", 0)] * 5))) == 1


def test_starting_tells_what_the_worker_says_about_itself(work):
    async def go() -> None:
        pool = pool_of(work)
        about: Any = await pool.start()
        assert {about["pid"]} == pool.pids
        await pool.close()

    asyncio.run(go())


def test_fifty_megabytes_go_there_and_back_without_holding_up_the_loop(work):
    data = bytes(50_000_000)

    async def go() -> None:
        pool = pool_of(work)
        await pool.start()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        assert await pool.run(("echo", data)) == data
        ticking.cancel()
        assert ticks > 50
        await pool.close()

    asyncio.run(go())


def test_an_image_error_comes_back_whole_and_the_process_goes_on(work):
    pool = pool_of(work)
    first, error, second = with_pool(pool, ("pid", 0), ("unreadable", "영수증"), ("pid", 0))
    assert isinstance(error, Unreadable)
    assert error.message == "no image 영수증"
    assert first == second


def test_what_a_library_prints_does_not_reach_the_results(work):
    results = with_pool(pool_of(work), ("print", 3_000_000), ("print", 10), ("echo", "clean"))
    assert results == ["printed", "printed", "clean"]


def test_a_task_that_kills_its_process_twice_is_named_as_the_one(work):
    killed, fine = with_pool(pool_of(work), ("kill", 0), ("echo", 1))
    assert isinstance(killed, Unreadable)
    assert killed.failure is FailureClass.CRASHED
    assert "SIGKILL" in killed.message
    assert fine == 1


def test_an_exception_that_is_not_about_the_image_is_a_death_with_its_words(work):
    (bug,) = with_pool(pool_of(work), ("bug", 0))
    assert isinstance(bug, Unreadable)
    assert bug.failure is FailureClass.CRASHED
    assert "ValueError: a bug in the worker" in bug.message


def test_a_result_that_cannot_be_sent_is_a_death_too(work):
    (lost,) = with_pool(pool_of(work), ("unpicklable", 0))
    assert isinstance(lost, Unreadable)
    assert lost.failure is FailureClass.CRASHED


def test_a_death_beside_others_is_tried_again_alone_and_forgiven(work, tmp_path):
    pool = pool_of(partial(work, folder=str(tmp_path)), 3)
    tasks = [("busy", 0), ("kill_once", 0), *[("busy", n) for n in range(1, 8)]]
    results = with_pool(pool, *tasks)
    assert results[1] == []  # the second time nobody else was busy
    assert results[:1] + results[2:] == list(range(8))


def test_a_process_that_ends_while_idle_counts_against_no_task(work):
    async def go() -> None:
        pool = pool_of(work, 2)
        await asyncio.gather(*(pool.run(("busy", n)) for n in range(2)))
        pids = pool.pids
        assert len(pids) == 2
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            # dead, and not yet reaped: on a busy machine a killed process lives on for a moment
            await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert await pool.run(("echo", "served")) == "served"
        assert not pool.pids & pids
        await pool.close()

    asyncio.run(go())


def test_a_task_that_hangs_is_killed_and_the_next_one_is_served(work):
    hung, fine = with_pool(pool_of(work, timeout_s=1.5), ("hang", 0), ("echo", "next"))
    assert isinstance(hung, Unreadable)
    assert hung.failure is FailureClass.TIMED_OUT
    assert "1.5 s" in hung.message
    assert fine == "next"


def test_a_task_that_works_on_a_busy_machine_has_more_time(work):
    assert with_pool(pool_of(work, timeout_s=2.0), ("starved", 5.0)) == ["done"]


@pytest.mark.parametrize(
    ("used_s", "used_lately_s", "more"),
    [
        (0.0, 0.0, False),  # it hangs
        (3.0, 0.1, False),  # it has stopped to work
        (3.0, 3.0, True),
        (49.0, 10.0, True),
        (51.0, 10.0, False),  # it had its time
    ],
)
def test_only_a_process_that_is_at_work_and_gets_too_little_is_starved(used_s, used_lately_s, more):
    assert starved(used_s, used_lately_s, 100.0) is more


def test_ctrl_c_and_sigterm_are_the_parents_to_decide_about(work):
    assert with_pool(pool_of(work), ("signals", 0)) == ["alive"]


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mappings on Linux only")
def test_a_task_over_the_memory_limit_fails_and_the_process_lives(work):
    pool = pool_of(work, memory_limit_bytes=400_000_000)
    before, eaten, after = with_pool(pool, ("pid", 0), ("eat", 500_000_000), ("pid", 0))
    assert isinstance(eaten, Unreadable)
    assert eaten.failure is FailureClass.TOO_MANY_PIXELS
    assert before == after


def test_closing_leaves_no_process_and_no_zombie(work):
    async def go() -> frozenset[int]:
        pool = pool_of(work, 3)
        await asyncio.gather(*(pool.run(("echo", n)) for n in range(6)))
        pids = pool.pids
        assert pids
        await pool.close()
        assert not pool.pids
        return pids

    for pid in asyncio.run(go()):
        assert not Path(f"/proc/{pid}").exists()


def test_closing_ends_a_process_in_the_middle_of_a_task(work):
    async def go() -> None:
        pool = pool_of(work)
        await pool.start()
        (pid,) = pool.pids
        hanging = asyncio.create_task(pool.run(("hang", 0)))
        await asyncio.sleep(0.2)
        await pool.close()
        with pytest.raises(EngineUnusable):
            await hanging
        assert not is_running(pid)

    asyncio.run(go())


def test_a_cancelled_task_takes_its_process_with_it_and_the_place_is_free(work):
    async def go() -> None:
        pool = pool_of(work)
        await pool.start()
        (pid,) = pool.pids
        hanging = asyncio.create_task(pool.run(("hang", 0)))
        await asyncio.sleep(0.2)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert not is_running(pid)
        assert await pool.run(("echo", 1)) == 1
        await pool.close()

    asyncio.run(go())


def test_the_factorys_own_config_error_comes_out_of_start(work):
    async def go() -> None:
        pool = pool_of(partial(work, start="config"))
        with pytest.raises(ConfigError, match="pip install"):
            await pool.start()
        await pool.close()

    asyncio.run(go())


def test_a_worker_that_cannot_start_makes_the_engine_unusable(work):
    async def go() -> None:
        pool = pool_of(partial(work, start="dies"), what="rapidocr")
        with pytest.raises(EngineUnusable, match="the rapidocr process does not start: ended with"):
            await pool.run(("echo", 1))
        await pool.close()

    asyncio.run(go())


SCRIPT = """
import asyncio, os, sys, time
from functools import partial
sys.path.insert(0, {modules!r})
from work_for_children import Work
from ocrlabel.engines.children import ChildPool

async def go():
    pool = ChildPool(partial(Work, folder=""), 1, timeout_s=60)
    await pool.start()
    print(*pool.pids, flush=True)
    if {hang}:
        await pool.run(("hang", 0))
    print(await pool.run(("echo", "read")), flush=True)
    await pool.close()

asyncio.run(go())
"""


def script(work: Any, tmp_path: Path, *, hang: bool) -> Path:
    path = tmp_path / "no_main_guard.py"
    text = SCRIPT.format(
        modules=str(Path(sys.modules[work.__module__].__file__ or "").parent), hang=hang
    )
    path.write_text(textwrap.dedent(text))
    return path


def test_a_script_without_a_main_guard_is_not_run_again_by_the_children(work, tmp_path):
    path = script(work, tmp_path, hang=False)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.endswith("read\n")


def test_a_busy_process_ends_when_its_parent_is_killed(work, tmp_path):
    with subprocess.Popen(
        [sys.executable, script(work, tmp_path, hang=True)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid), f"process {pid} outlived its parent")


class Touch:
    """A pickle that makes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mknod, (str(self.path),))


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


def as_answer(text: bytes) -> bytes:
    return framed(framed(text))


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff" * 8,  # of more bytes than there are
        framed(b""),
        framed(b"\xff" * 8 + b"{}"),
        as_answer(b""),
        as_answer(b"[" * 100_000),
        as_answer(b"[1]"),
        as_answer(b"{}"),
        as_answer(b'{"result": {"data": 5}}'),
        as_answer(b'{"result": {"data": {"$bytes": 99}, "format": "png", "page_count": 1}}'),
        as_answer(b'{"result": {"data": {"$bytes": -9}, "format": "png", "page_count": 1}}'),
        as_answer(b'{"result": {"data": {"$bytes": "x"}, "format": "png", "page_count": 1}}'),
        as_answer(b'{"unreadable": ["x", "of no class"]}'),
        as_answer(b'{"unreadable": 7}'),
    ],
)
def test_an_answer_that_is_none_is_the_death_of_its_process(work, answer):
    pool = pool_of(work, result=Document)
    (outcome,) = with_pool(pool, ("answers", answer))
    assert isinstance(outcome, Unreadable)
    assert outcome.failure is FailureClass.CRASHED
    assert "it gave an answer that is none" in outcome.message


def test_a_process_that_was_taken_over_can_run_nothing_in_the_parent(work, tmp_path):
    ran = tmp_path / "ran"
    for answer in (framed(pickle.dumps(Touch(ran))), as_answer(pickle.dumps(Touch(ran)))):
        (outcome,) = with_pool(pool_of(work), ("answers", answer))
        assert isinstance(outcome, Unreadable)
    assert not ran.exists()


def test_documents_pages_and_facts_come_back_as_they_were(work):
    word = Word("한", ((0, 0), (9.5, 0), (9.5, 5), (0, 5)), None)
    values = [
        (Document, Document(b"\0" * 99, "png", None, ((3, 4),))),
        (HeaderFacts | tuple[Page, ...], HeaderFacts("pdf", 2, ((3, 4), (5, 6)), 6, turned=True)),
        (HeaderFacts | tuple[Page, ...], (Page(1, 30, 40, (word, word), 0.5), Page(2, 1, 1))),
        (HeaderFacts | tuple[Page, ...], ()),
        (int, 7),
    ]
    for kind, value in values:
        assert with_pool(pool_of(work, result=kind), ("echo", value)) == [value]


def test_no_process_gets_a_secret_with_its_environment(work, monkeypatch):
    secret = {
        "UPSTAGE_API_KEY": "up_x", "UPSTAGE_API_KEYS": "up_x@3", "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ACCESS_KEY_ID": "a", "AWS_SESSION_TOKEN": "t", "AWS_PROFILE": "p", "HF_TOKEN": "h",
        "GH_PAT_TOKEN": "g", "DB_PASSWORD": "d", "HTTPS_PROXY": "http://me:pw@proxy:3128",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/c", "aws_secret_access_key": "s",
    }  # fmt: skip
    plain = {"OMP_NUM_THREADS": "1", "TESSDATA_PREFIX": "/t", "HTTP_PROXY": "http://proxy:3128"}
    for name, value in (secret | plain).items():
        monkeypatch.setenv(name, value)
    (there,) = with_pool(pool_of(work), ("environment", 0))
    assert not secret.keys() & there.keys()
    assert plain.items() <= there.items()
    assert there["PATH"] == os.environ["PATH"]  # noqa: TID251 -- what this process has itself
