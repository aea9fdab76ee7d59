"""`ocrlabel fake-upstage`: rehearse a run for free, with everything that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ocrlabel.cli.settings import Seed
from ocrlabel.engines.upstage_keys import DOCUMENTED_PAGES_PER_MINUTE, parse_keys
from ocrlabel.errors import ConfigError
from ocrlabel.options import DOCUMENTED_REQUESTS_PER_S
from ocrlabel.wording import counted, percent

if TYPE_CHECKING:
    from ocrlabel.fake.answers import AnswerSource
    from ocrlabel.fake.ledger import LoggedRequest
    from ocrlabel.fake.settings import FakeSettings


def fake_upstage(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8080,
    rps: Annotated[
        str, typer.Option(help="Requests/s of each key without its own; `auto`: 3; 0: no limit.")
    ] = "auto",
    pages_per_minute: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Pages/min of each key; 0: no limit. 300, in proportion more above 3 requests/s.",
            show_default=False,
        ),
    ] = None,
    limiter: Annotated[
        Literal["bucket", "fixed", "sliding"],
        typer.Option(help="How both are counted (assumption: any of the three)."),
    ] = "bucket",
    burst: Annotated[
        float | None,
        typer.Option(
            min=1, help="Size of the bucket; by default the rate, rounded up (assumption)."
        ),
    ] = None,
    latency: Annotated[
        str, typer.Option(metavar="MEDIAN,SIGMA", help="Seconds of work, lognormal (assumption).")
    ] = "2,0.3",
    fail: Annotated[
        str,
        typer.Option(
            metavar="NAME:CHANCE,...",
            help="Faults: 429, 500, 503, ... (at once, not billed); 502-after (billed);"
            " 403-html (a firewall's), drop-before, html, hang (not billed);"
            " drop-after, cut-body, cut-json (billed)."
            " That finished work is billed is an assumption.",
        ),
    ] = "",
    keys: Annotated[
        str,
        typer.Option(
            metavar="KEY@RPS,...", help="Keys that are known. By default every key is good."
        ),
    ] = "",
    limits: Annotated[
        Literal["2025", "2026"],
        typer.Option(
            help="2025: 50 MB, pages after the 100th ignored. 2026: 100 MB, 413 over 100 pages"
            " (assumption: that it holds for OCR)."
        ),
    ] = "2025",
    error_shape: Annotated[
        Literal["nested", "flat"],
        typer.Option(help="nested: {error: {message, type, code}}. flat: {code, message}."),
    ] = "nested",
    headers: Annotated[
        bool, typer.Option(help="Send Retry-After, a request id and the rate header (assumption).")
    ] = False,
    answers: Annotated[
        str,
        typer.Option(
            metavar="bytes|local|DIR",
            help="Words made up from the bytes; read by the local engine; or recorded answers,"
            " DIR/NAME.json beside each file.",
        ),
    ] = "bytes",
    credit: Annotated[
        int | None, typer.Option(min=0, help="Pages that can be billed, then 403.")
    ] = None,
    refuse: Annotated[
        str,
        typer.Option(metavar="KEY@REQUESTS:STATUS,...", help="After so many requests 401 or 403."),
    ] = "",
    log: Annotated[
        Path | None,
        typer.Option("--request-log", help="One JSON line per request is added to this file."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Serve a fake of the Upstage OCR API on 127.0.0.1, to rehearse against for free.

    It answers, counts pages, bills, throttles and fails like the service, as far as that is
    known; what is not known, and had to be chosen, is marked (assumption). It prints the two
    exports that make `ocrlabel run --engine upstage` use it.

    For example:

        ocrlabel fake-upstage --rps 3 --fail 429:0.1,500:0.08,drop-after:0.02

        ocrlabel fake-upstage --keys a@3,b@1 --refuse b@20:403 --request-log f.jsonl

        ocrlabel fake-upstage --answers recorded/ --limits 2026 --headers

    While it runs:

        curl 127.0.0.1:8080/stats

        curl 127.0.0.1:8080/control -d '{"outage": "503", "for_s": 60}'

        curl 127.0.0.1:8080/control -d '{"rps": 10, "latency": "1,0.5", "fail": ""}'
    """
    missing = [n for n in ("starlette", "uvicorn", "python_multipart") if find_spec(n) is None]
    if missing:
        raise ConfigError(
            f"fake-upstage needs {' and '.join(missing)}: in the clone, pip install '.[fake]'"
        )
    from ocrlabel.fake import settings

    per_s = _requests_per_s(rps)
    if pages_per_minute is None:
        pages_per_minute = DOCUMENTED_PAGES_PER_MINUTE * max(1.0, per_s / DOCUMENTED_REQUESTS_PER_S)
    known = parse_keys(keys, None, pages_per_minute=None, where="--keys") if keys else ()
    behaviour = settings.FakeSettings(
        keys=known,
        requests_per_s=per_s or None,
        pages_per_minute=pages_per_minute or None,
        limiter=limiter,
        burst=burst,
        latency=settings.parse_latency(latency),
        faults=settings.parse_faults(fail),
        limits=settings.limits_named(limits),
        error_shape=error_shape,
        headers=headers,
        credit_pages=credit,
        refusals=settings.parse_refusals(refuse, known),
        seed=seed,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(behaviour, answers, port, log))


def _requests_per_s(text: str) -> float:
    with contextlib.suppress(ValueError):
        rate = DOCUMENTED_REQUESTS_PER_S if text == "auto" else float(text)
        if 0 <= rate < math.inf:
            return rate
    raise ConfigError(f"--rps {text!r}: write requests/s such as 3, `auto`, or 0 for no limit")


async def _serve(settings: FakeSettings, answers: str, port: int, log: Path | None) -> None:
    from ocrlabel.fake.server import HOST, listening, server_of
    from ocrlabel.fake.service import Service

    async with contextlib.AsyncExitStack() as stack:
        sock = stack.enter_context(listening(port))
        service = Service(
            settings,
            await _source(answers, stack),
            clock=time.monotonic,
            sleep=asyncio.sleep,
            log=_log_to(log, stack),
            started_at_s=time.time(),
        )
        stack.callback(lambda: print(_summary(service.stats())))
        address = f"http://{HOST}:{sock.getsockname()[1]}"
        keys = ",".join(f"{key.secret}@{key.requests_per_s:g}" for key in settings.keys)
        print(
            f"A fake of the Upstage OCR API on {address} (Ctrl-C ends it; {address}/stats)\n\n"
            f"  export UPSTAGE_BASE_URL={address}/v1\n"
            f"  export UPSTAGE_API_KEY{'S' if keys else ''}={keys or 'any'}\n",
            flush=True,
        )
        await server_of(service).serve(sockets=[sock])


async def _source(answers: str, stack: contextlib.AsyncExitStack) -> AnswerSource:
    from ocrlabel.fake.answers import from_bytes, from_engine, recorded_in

    if answers == "bytes":
        return from_bytes
    if answers == "local":
        from ocrlabel.engines.rapidocr import rapid_ocr

        engine = rapid_ocr()
        stack.push_async_callback(engine.close)
        await engine.start()
        return from_engine(engine)
    return recorded_in(Path(answers))


def _log_to(path: Path | None, stack: contextlib.AsyncExitStack) -> Callable[[LoggedRequest], None]:
    if path is None:
        return lambda _: None
    file = stack.enter_context(path.open("a", encoding="utf-8", buffering=1))

    def write(entry: LoggedRequest) -> None:
        file.write(json.dumps(asdict(entry)) + "\n")

    return write


def _summary(stats: Mapping[str, Any]) -> str:
    causes = ", ".join(f"{count} {cause}" for cause, count in sorted(stats["causes"].items()))
    lines = [f"\n{counted(stats['requests'], 'request')}: {causes or 'none'}"]
    billed = stats["billed_pages_by_key"].items()
    lines += [f"{key}: {counted(pages, 'page')} billed" for key, pages in billed]
    lines += [
        f"{key}: {percent(use['used'])} of the allowed rate used between first and last request"
        for key, use in stats["rates"].items()
        if use["used"]
    ]
    return "\n".join(lines)
