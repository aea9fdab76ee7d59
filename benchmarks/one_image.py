"""How many modules and functions of the package one image passes on its way to the labels table.

    python -m benchmarks.one_image

Starts `ocrlabel fake-upstage` and runs `ocrlabel run` over one image in this process; counts with
sys.setprofile, in all its threads, what is called. Prints the functions of each package too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

from PIL import Image

OCRLABEL = (sys.executable, "-m", "ocrlabel")


def called(home: Path, address: str) -> set[CodeType]:
    """The code of every function that is called from the command on."""
    from ocrlabel.cli.main import app

    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            seen.add(frame.f_code)

    os.environ |= {"UPSTAGE_API_KEY": "up_one", "UPSTAGE_BASE_URL": address}
    command = ["run", str(home / "images"), "--output", str(home / "labels.parquet")]
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        app([*command, "--no-report", "--log", "quiet"], standalone_mode=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return seen


def main() -> None:
    import ocrlabel

    package = Path(ocrlabel.__file__).parent
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "images").mkdir()
        Image.new("RGB", (400, 300), "white").save(home / "images" / "page.png")
        fake = subprocess.Popen(
            [*OCRLABEL, "fake-upstage", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        try:
            found = (re.search(r"UPSTAGE_BASE_URL=(\S+)", line) for line in fake.stdout or ())
            seen = called(home, next(address[1] for address in found if address))
        finally:
            fake.terminate()
            fake.wait()
    ours = [
        Path(code.co_filename).relative_to(package)
        for code in seen
        if Path(code.co_filename).is_relative_to(package) and not code.co_name.startswith("<")
    ]
    print(f"one image passes {len(set(ours))} modules and {len(ours)} functions")
    for folder, functions in Counter(path.parts[0] for path in ours).most_common():
        print(f"  {functions:4} {folder}")


if __name__ == "__main__":
    main()
