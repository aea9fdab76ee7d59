"""The guide's set-up script where there is nothing but Python.

With the real Python it takes minutes and the packages; so this one is a script that writes down
what it is asked for, and makes the files that the real one would.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "cloud" / "aws-batch-setup.sh"
PYTHON = """#!/bin/sh
echo "$(basename "$(dirname "$0")")/python $*" >>"$HOME/asked"
case "$*" in
  *version_info*) exit {old} ;;
  *ensurepip*) exit {no_venv} ;;
  "-m pip --version") exit {no_pip} ;;
  *"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  *"--editable ."*) printf '#!/bin/sh\\necho "ocrlabel $*"\\n' >.venv/bin/ocrlabel
    chmod +x .venv/bin/ocrlabel ;;
esac
"""


class Machine:
    """A clone of the project on a machine with some tools of the shell, and this Python."""

    def __init__(self, folder: Path, *, old: int = 0, no_venv: int = 0, no_pip: int = 0) -> None:
        self.folder, self.tools = folder, folder / "tools"
        (folder / "scripts" / "cloud").mkdir(parents=True)
        shutil.copy(SCRIPT, folder / "scripts" / "cloud")
        self.tools.mkdir()
        for name in ("sh", "bash", "env", "dirname", "basename", "mkdir", "cp", "chmod"):
            (self.tools / name).symlink_to(str(shutil.which(name)))
        text = PYTHON.replace("{old}", str(old)).replace("{no_venv}", str(no_venv))
        self.put("python3", text.replace("{no_pip}", str(no_pip)))

    def put(self, name: str, text: str) -> None:
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def runs(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "scripts/cloud/aws-batch-setup.sh"), *words],
            env={"PATH": str(self.tools), "HOME": str(self.folder)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def asked(self) -> str:
        return (self.folder / "asked").read_text()


def test_on_a_bare_machine_it_makes_an_environment_with_the_locked_packages_and_deploys(tmp_path):
    machine = Machine(tmp_path)
    ended = machine.runs("--dry-run", "--bucket", "a b")
    assert (ended.returncode, ended.stdout) == (0, "ocrlabel aws deploy --dry-run --bucket a b\n")
    assert "source .venv/bin/activate" in ended.stderr
    locked = "--require-hashes -r requirements/build.lock -r requirements/cloud-api.lock"
    assert locked in machine.asked
    assert machine.asked.index("cloud-api.lock") < machine.asked.index("--editable .")


def test_the_second_time_nothing_is_installed(tmp_path):
    machine = Machine(tmp_path)
    machine.runs()
    before = machine.asked
    assert machine.runs().stdout == "ocrlabel aws deploy\n"
    assert machine.asked == before


def test_an_environment_that_was_half_made_is_made_whole(tmp_path):
    machine = Machine(tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    assert machine.runs().stdout == "ocrlabel aws deploy\n"


def test_an_ocrlabel_on_the_path_is_taken(tmp_path):
    machine = Machine(tmp_path)
    machine.put("ocrlabel", '#!/bin/sh\necho "of the path: $*"\n')
    assert machine.runs("--yes").stdout == "of the path: aws deploy --yes\n"
    assert not (tmp_path / "asked").exists()


def test_debians_python_without_venv_is_helped_by_its_pip(tmp_path):
    machine = Machine(tmp_path, no_venv=1)
    assert machine.runs().stdout == "ocrlabel aws deploy\n"
    assert "-m venv --without-pip .venv" in machine.asked
    assert "-m pip --python .venv/bin/python install" in machine.asked


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"old": 1}, "Python 3.11 or newer"),
        ({"no_venv": 1, "no_pip": 1}, "apt-get install python3-venv"),
    ],
)
def test_what_it_cannot_do_without_is_a_sentence(tmp_path, lacks, said):
    ended = Machine(tmp_path, **lacks).runs()
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "pip install" not in ended.stderr
