"""The wheel alone, in a clean environment with the light core's lock: what a user installs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
TOO_HEAVY = {
    "boto3",
    "jinja2",
    "numpy",
    "onnxruntime",
    "opencv-python",
    "opencv-python-headless",
    "openvino",
    "rapidocr",
    "shapely",
}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "LANG": "C.UTF-8"},
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source tree by the installed backend; nothing is fetched."""
    where = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", where, cwd=ROOT)
    (built,) = where.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel and the light core, and no more."""
    where = tmp_path_factory.mktemp("clean")
    venv.create(where / "venv", symlinks=True)
    python = where / "venv" / "bin" / "python"
    # the machine's own settings of pip and uv (a mirror, its certificate) are kept here
    for arguments in (
        ["--require-hashes", "-r", str(ROOT / "requirements" / "api.lock")],
        ["--no-deps", "--offline", str(wheel)],
    ):
        subprocess.run([UV, "pip", "install", "-q", "--python", python, *arguments], check=True)
    return python.parent


def test_the_wheel_holds_the_package_and_the_licence_and_no_runners_or_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "ocrlabel/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"ocrlabel"}


def test_the_source_archive_keeps_the_runners(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)

    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"runners/batch_pseudo_labels_aws.py", "src/ocrlabel/py.typed"} <= names


COMMANDS = """
import json, typer.main
from ocrlabel.cli.main import app
def tree(command): return {k: tree(v) for k, v in getattr(command, "commands", {}).items()}
print(json.dumps(tree(typer.main.get_command(app))))
"""
NAMED = re.compile(r"(?:^|`|[:;,] |\n *)ocrlabel ((?:[a-z][a-z-]* ?)+)")
OF_A_CLONE = re.compile(r"python3? -m (?!ocrlabel)\w+|\bscripts/|\brunners[/.]|`make ")


def texts(wheel: Path) -> Iterator[str]:
    """Every string of the wheel's code but modules' docstrings: messages, and help of `ocrlabel`."""
    archive = zipfile.ZipFile(wheel)
    for name in archive.namelist():
        if name.endswith(".py"):
            module = ast.parse(archive.read(name))
            found: list[ast.AST] = module.body[1:] if ast.get_docstring(module) else [module]
            while found:
                node = found.pop()
                # its help is what `python -m runners...` prints, in the image or in a clone
                if getattr(node, "name", "") == "bucket_run":
                    continue
                found += ast.iter_child_nodes(node)
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_every_command_that_the_wheel_names_is_one_that_it_has(
    wheel: Path, installed: Path, tmp_path: Path
) -> None:
    commands = json.loads(run(installed / "python", "-c", COMMANDS, cwd=tmp_path))

    def known(words: list[str]) -> bool:
        group = commands
        for word in words:
            if not group:  # what follows a command are its arguments
                return True
            if word not in group:
                return False
            group = group[word]
        return True

    named = [found.split() for text in texts(wheel) for found in NAMED.findall(text)]
    assert len(named) > 50
    assert [words for words in named if not known(words)] == []


def test_no_message_of_the_wheel_sends_its_user_to_a_file_of_a_clone(wheel: Path) -> None:
    job = {"runners.batch_pseudo_labels_aws"}  # the image has it: what a job is started with
    assert {text for text in texts(wheel) if OF_A_CLONE.search(text)} - job == set()


def test_the_light_core_installs_nothing_heavy(installed: Path) -> None:
    python = installed / "python"
    listed = subprocess.run(
        [UV, "pip", "list", "-q", "--python", python, "--format=freeze"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    names = {line.split("==")[0].split(" @ ")[0] for line in listed.splitlines()}
    assert "ocrlabel" in names
    assert names & TOO_HEAVY == set()


def test_the_package_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    script = "import ocrlabel, pathlib; print(pathlib.Path(ocrlabel.__file__).parent)"

    where = run(installed / "python", "-c", script, cwd=tmp_path)

    assert Path(where.strip()).is_relative_to(installed.parent)


def test_the_command_explains_itself(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "ocrlabel", "--help", cwd=tmp_path)

    assert "run" in said
    assert "Usage" in said


def test_a_folder_of_images_is_labelled(installed: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for n in range(3):
        Image.new("RGB", (60, 40), (n, 200, 30)).save(images / f"{n}.png")

    run(
        installed / "ocrlabel",
        *("run", "images", "--output", "labels.parquet", "--engine", "scripted"),
        cwd=tmp_path,
    )

    rows = pq.read_table(tmp_path / "labels.parquet").to_pylist()
    assert [row["image_filename"] for row in rows] == ["0.png", "1.png", "2.png"]
    assert {(row["width"], row["height"]) for row in rows} == {(60, 40)}


@pytest.mark.parametrize(
    "line",
    [
        "deploy --dry-run --offline",
        "destroy --dry-run",
        "doctor",
        "push-image --no-push",
        "register",
        "submit d",
        "status",
        "logs J",
        "explain J",
        "cancel J",
        "download d",
        "cost --image-count 3 --offline",
        "github-secrets",
        "workflow check",
        "workflow follow --job J",
        "workflow stop",
    ],
)
def test_without_the_extra_an_aws_command_says_which_one_it_needs(
    installed: Path, tmp_path: Path, line: str
) -> None:
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "INPUT_DATASET": "d"}
    command = [installed / "ocrlabel", "aws", *line.split()]
    ended = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == "ConfigError: this needs boto3: in the clone, pip install '.[aws]'\n"


def test_without_the_extra_a_key_in_a_secret_says_what_reading_it_needs(
    installed: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "AWS_SECRET_ARN": "arn:aws:x"}
    command = [
        installed / "ocrlabel",
        "run",
        "a.png",
        "--engine",
        "upstage",
        "--output",
        "l.parquet",
    ]
    ended = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert "reading it needs boto3: in the clone, pip install '.[aws]'" in ended.stderr


def test_without_the_extra_the_policies_can_be_printed(installed: Path, tmp_path: Path) -> None:
    assert "s3:GetObject" in run(installed / "ocrlabel", "aws", "policy", "job", cwd=tmp_path)
    assert "iam:PassRole" in run(installed / "ocrlabel", "aws", "policy", "deployer", cwd=tmp_path)
