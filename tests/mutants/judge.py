"""What `mutmut run` found: the score of every module, and which mutants no test has noticed.

It ends with 1 when one survives that equivalent.toml does not list as one that no test can notice,
and after a whole run also when one is listed that does not survive any more. An entry names a
function and what of its text was changed, not a file or a line: code may move without it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

EQUIVALENT = Path(__file__).with_name("equivalent.toml")
MUTMUT = Path(sys.executable).with_name("mutmut")
UNNOTICED = {"survived", "no tests", "suspicious"}
MANGLED = re.compile(r"(.+)\.x(?:_|ǁ(.+)ǁ)(.+)__mutmut_\d+")


class Mutant(NamedTuple):
    """A function by its qualified name, and the text that was changed in it."""

    function: str
    was: str
    becomes: str


def module_and_function(name: str) -> tuple[str, str]:
    """("a.b", "Class.method") of a mutant's name, such as "a.b.xǁClassǁmethod__mutmut_3"."""
    found = MANGLED.fullmatch(name)
    assert found, name
    module, owner, function = found.groups()
    return module, f"{owner}.{function}" if owner else function


def mutant_of(name: str, diff: str) -> Mutant:
    """A mutant as it is listed, from its unified diff."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "#"))]
    was, becomes = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return Mutant(module_and_function(name)[1], was, becomes)


def told_by_mutmut(*arguments: str) -> str:
    """The output of one of its commands."""
    return subprocess.run([MUTMUT, *arguments], check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Print the scores and the survivors."""
    found = re.findall(r"^\s+(\S+): (.+)$", told_by_mutmut("results", "--all", "1"), re.MULTILINE)
    checked = [(name, status) for name, status in found if status != "not checked"]
    entries = tomllib.loads(EQUIVALENT.read_text("utf-8"))["mutant"]
    listed = {Mutant(one["function"], one["was"], one["becomes"]) for one in entries}
    total, equivalent, missed = Counter[str](), Counter[str](), Counter[str]()
    unlisted, met = [], set[Mutant]()
    for name, status in checked:
        module = module_and_function(name)[0]
        total[module] += 1
        if status not in UNNOTICED:
            continue
        mutant = mutant_of(name, told_by_mutmut("show", name))
        if mutant in listed:
            met.add(mutant)
            equivalent[module] += 1
        else:
            missed[module] += 1
            unlisted.append((name, status, mutant))
    for module in sorted(total):
        able = total[module] - equivalent[module]
        print(f"{module}: {able - missed[module]} of {able} noticed, {equivalent[module]} listed")
    for name, status, mutant in unlisted:
        print(f"\n{status}: {name}\n  function: {mutant.function}")
        print(f"  was:      {mutant.was}\n  becomes:  {mutant.becomes}")
    stale = listed - met if len(checked) == len(found) else set()
    for mutant in sorted(stale):
        print(f"\nlisted, but a test notices it, or it is gone: {mutant}")
    print(f"\n{len(checked)} mutants, {len(unlisted)} unnoticed that are not listed")
    return 1 if unlisted or stale or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
