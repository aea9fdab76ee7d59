"""What a row costs apart from its engine: a whole run with an engine that does nothing.

    python benchmarks/run_speed.py [rows ...]         10000 and 100000 by default
    python benchmarks/run_speed.py --profile 10000    where the time goes (cProfile)

Each run is a process of its own over a generated table whose rows carry distinct bytes. Prints
rows/s of wall time and of CPU time (on a shared machine the second one says more), and the peak
memory of the process.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here is not None:
        run_here(given.here, profile=given.profile)
        return
    figures = [measured(rows, profile=given.profile) for rows in given.rows]
    for rows, figure in zip(given.rows, figures, strict=True):
        print(
            f"{rows:>8,} rows: {rows / figure['wall_s']:>7,.0f} rows/s of wall time,"
            f" {rows / figure['cpu_s']:>7,.0f} of CPU time, peak {figure['peak_mb']:.0f} MB"
        )
    if len(figures) > 1:
        ratio = figures[-1]["peak_mb"] / figures[0]["peak_mb"]
        print(f"peak memory of the last against the first: {ratio:.2f}")


def measured(rows: int, *, profile: bool) -> dict[str, float]:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_table(home / "input.parquet", rows)
        command = [sys.executable, __file__, "--here", str(home)]
        subprocess.run([*command, *(["--profile"] if profile else [])], check=True)
        figure: dict[str, float] = json.loads((home / "figure.json").read_text())
        return figure


def make_table(path: Path, rows: int) -> None:
    """Ids and distinct bytes in the way of Hugging Face: {bytes, path}."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("id", pa.string()), ("image", image)])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 10_000):
            numbers = range(start, min(start + 10_000, rows))
            writer.write_table(
                pa.table(
                    {
                        "id": [f"row{n:08d}" for n in numbers],
                        "image": [
                            {"bytes": f"{n:064d}".encode(), "path": f"{n}.png"} for n in numbers
                        ],
                    },
                    schema=schema,
                )
            )


def run_here(home: Path, *, profile: bool) -> None:
    """The run itself, and what it took."""
    import asyncio

    from ocrlabel.cli.progress import display_for
    from ocrlabel.cli.settings import from_environment
    from ocrlabel.cli.wiring import Chosen, label_dataset, place_of
    from ocrlabel.engines.scripted import Scripted
    from ocrlabel.labels import Document
    from ocrlabel.options import Options

    keys = from_environment()
    settings = Options.of(keys.variables, output=str(home / "labels.parquet"), log="lines")
    source = str(home / "input.parquet")

    class LooksAtNothing(Scripted):
        """One page of A4, whatever the bytes are: everything but the engine is measured."""

        async def prepare(self, data: bytes) -> Document:
            return Document(data, "png", 1, ((1240, 1754),))

    engine = LooksAtNothing(parallel=64)
    display = display_for("lines", time.monotonic, time.time, sys.stderr)
    profiler = cProfile.Profile() if profile else None
    began_s, cpu_before_s = time.monotonic(), time.process_time()
    with display:
        if profiler is not None:
            profiler.enable()
        done = asyncio.run(
            label_dataset(
                source,
                place_of(source, settings, keys),
                settings,
                keys,
                display,
                chosen=Chosen(engine, "engine that does nothing"),
            )
        )
        if profiler is not None:
            profiler.disable()
    if done.result.record.failed:
        raise RuntimeError("rows have failed")
    figure = {
        "wall_s": time.monotonic() - began_s,
        "cpu_s": time.process_time() - cpu_before_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    (home / "figure.json").write_text(json.dumps(figure))
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
