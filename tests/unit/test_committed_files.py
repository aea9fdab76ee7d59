"""Nothing committed ties the project to one machine, one mirror or one account."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THIS = Path(__file__).name

# Placeholders of AWS's own documentation, and moto's.
MADE_UP_ACCOUNTS = {"123456789012", "111122223333", "444455556666", "000000000000"}
ACCOUNT = re.compile(r"(?<![\w.])\d{12}(?![\w.])")
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.$~-])/(?:home|opt|root|tmp|work|Users)/[\w.]"),
    "the host of a package registry": re.compile(
        r"pythonhosted\.org|pypi\.org/simple|registry\.npmjs|deb\.debian\.org|npmmirror"
        r"|(?<!emit-)index-url|find-links",
    ),
    "the key of an account": re.compile(
        r"(?<!\w)(?:AKIA|ASIA)(?!IOSFODNN7EXAMPLE)[A-Z0-9]{16}(?!\w)"
    ),
}


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout: there is no list of committed files")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in committed():
        data = path.read_bytes()
        if path.name != THIS and b"\0" not in data:
            found.append((str(path.relative_to(ROOT)), data.decode(errors="replace")))
    return found


def lines_with(pattern: re.Pattern[str], allowed: AbstractSet[str] = frozenset()) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if any(found not in allowed for found in pattern.findall(line))
    ]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_committed_file_holds(what: str) -> None:
    assert lines_with(FORBIDDEN[what]) == []


def test_no_committed_file_holds_the_number_of_a_real_account() -> None:
    assert lines_with(ACCOUNT, MADE_UP_ACCOUNTS) == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of one machine", "see " + "/home" + "/me/src"),
        ("a path of one machine", "sys.path.insert(0, '/root" + "/x')"),
        ("the host of a package registry", "--index-url=https://mirror/simple"),
        ("the key of an account", "AKIA" + "ABCDEFGHIJKLMNOP"),
    ],
)
def test_the_guard_sees(what: str, line: str) -> None:
    assert FORBIDDEN[what].search(line)


def test_the_guard_sees_account_numbers_and_leaves_hashes_and_decimals_alone() -> None:
    assert ACCOUNT.findall("arn:aws:iam::210987654321:role/x")
    assert not ACCOUNT.findall("sha256:ab210987654321cd 0.210987654321 1234567890123")
