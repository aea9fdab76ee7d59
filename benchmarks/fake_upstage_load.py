"""How many requests/s one core of the fake serves, and what one request costs the engine.

    python benchmarks/fake_upstage_load.py [requests] [in flight]

Prints requests per second of CPU time, on the server's and on the client's side, because a wall
clock on a shared machine says little. Needs Linux (/proc).
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import time

from PIL import Image

from ocrlabel.engines.upstage import UpstageEngine
from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.labels import Document

SERVE = "import typer; from ocrlabel.cli.fake_upstage import fake_upstage; typer.run(fake_upstage)"


def cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 -- not a file to speak of
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def images(count: int) -> list[Document]:
    made = []
    for number in range(count):
        out = io.BytesIO()
        colour = (number % 256, number // 256 % 256, 99)
        Image.effect_noise((160, 220), 40).convert("RGB").save(out, "jpeg", comment=bytes(colour))
        made.append(Document(out.getvalue(), "jpeg", 1, ((160, 220),)))
    return made


async def send(base_url: str, documents: list[Document], in_flight: int) -> None:
    keys = parse_keys("any", None)
    engine = UpstageEngine(keys, wall=time.time, clock=time.monotonic, base_url=base_url)
    await engine.start()
    todo = iter(documents)

    async def worker() -> None:
        for document in todo:
            await engine.recognise(document, keys[0].name)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    await engine.close()


def main() -> None:
    count, in_flight = (int(arg) for arg in (sys.argv[1:] + ["3000", "16"][len(sys.argv) - 1 :]))
    documents = images(count)
    options = ["--port", "0", "--rps", "0", "--pages-per-minute", "0", "--latency", "0"]
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, *options], stdout=subprocess.PIPE, text=True
    ) as server:
        said = ""
        while not (found := re.search(r"UPSTAGE_BASE_URL=(\S+)", said)):
            said += server.stdout.readline()
        theirs, ours, began = cpu_s(server.pid), time.process_time(), time.perf_counter()
        asyncio.run(send(found[1], documents, in_flight))
        wall = time.perf_counter() - began
        theirs, ours = cpu_s(server.pid) - theirs, time.process_time() - ours
        server.terminate()
    size = sum(len(d.data) for d in documents) / len(documents) / 1000
    print(f"{count} images of {size:.0f} kB, {in_flight} in flight: {count / wall:.0f}/s")
    print(f"fake:   {count / theirs:.0f} requests per CPU second")
    print(f"engine: {count / ours:.0f} requests per CPU second")


main()
