"""All commands have one manner: the same names for the same things, and help that tells all."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import typer

from ocrlabel.cli.export import ExportFormat, ImportFormat
from ocrlabel.cli.settings import everywhere
from ocrlabel.errors import ConfigError
from ocrlabel.export.formats import EXPORTS, IMPORTS
from tests.support.command import commands, ocrlabel
from tests.support.s3 import REGION, make_bucket

OCRLABEL = Path(sys.executable).with_name("ocrlabel")


COMMANDS = commands()
every = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def options(path):
    return [one for one in COMMANDS[path].params if one.param_type_name == "option"]


def kind(one) -> str:
    """What is written: a text, which may be one of some words, a number, a path, a switch."""
    written = one.type_descriptor.annotation
    if get_origin(written) is list:
        (written,) = get_args(written)
    return "str" if get_origin(written) is Literal else written.__name__


def test_an_option_name_is_of_one_type_in_all_commands():
    kinds = defaultdict(lambda: defaultdict(list))
    for path in COMMANDS:
        for one in options(path):
            for name in (*one.opts, *one.secondary_opts):
                kinds[name][kind(one)].append(" ".join(path))
    assert len(kinds) > 100
    assert {name: dict(found) for name, found in kinds.items() if len(found) > 1} == {}


@every
def test_output_is_also_o_and_o_is_output(path):
    named = [one.opts for one in options(path) if {"--output", "-o", "--to"} & {*one.opts}]
    assert all({"--output", "-o"} <= {*names} for names in named)
    assert len(named) <= 1


def test_what_writes_a_file_takes_output():
    writing = ["run", "merge", "reparse", "report", "view", "filter", "export", "import"]
    writing += ["aws download", "aws workflow results"]
    for path in writing:
        assert any("-o" in one.opts for one in options(tuple(path.split()))), path


@every
def test_every_command_can_be_told_to_say_less_or_more(path):
    names = [name for one in options(path) for name in one.opts]
    assert {"-q", "--quiet", "-v", "--verbose"} <= {*names}
    assert len(names) == len({*names})


@every
def test_help_shows_every_option_with_its_help_its_choices_and_its_default(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = " ".join(ocrlabel(*path, "--help").out.replace("│", " ").split())
    for one in options(path):
        assert one.opts[0] in shown
        assert one.help, one.opts
        assert one.help.replace("`", "").replace("*", "")[:30] in shown, one.opts
        written = one.type_descriptor.annotation
        words = get_args(written) if get_origin(written) is Literal else ()
        assert [word for word in words if word not in shown] == []
        if one.default not in (None, False, "", ()):
            assert f"[default: {getattr(one.default, '__name__', one.default)}" in shown or (
                one.secondary_opts and f"[default: {one.opts[0][2:]}]" in shown
            ), (one.opts, one.default)


def test_the_default_of_a_run_is_shown_though_variables_come_before_it():
    shown = " ".join(ocrlabel("run", "--help").out.replace("│", " ").split())
    assert "[default: auto]" in shown
    assert "[default: 1800 s]" in shown
    assert "[default: checkpoints]" in shown
    assert "[default: report]" in shown


def test_a_job_has_other_switches_by_default_and_none_is_claimed():
    shown = " ".join(ocrlabel("aws", "submit", "--help").out.replace("│", " ").split())
    assert "resume]" not in shown
    assert "[default: upstage]" in shown


def test_the_formats_that_are_offered_are_those_that_there_are():
    assert get_args(ExportFormat) == (*EXPORTS,)
    assert get_args(ImportFormat) == IMPORTS


def trouble(*, progress: bool = True) -> None:
    print("a result")
    print("a note", file=sys.stderr)
    raise ConfigError("what it was")


@pytest.mark.parametrize(
    ("words", "notes"), [((), True), (("-q",), False), (("--quiet",), False), (("-v",), True)]
)
def test_quiet_leaves_results_and_errors_and_nothing_else(words, notes, capsys):
    alone = typer.Typer(add_completion=False)
    alone.command()(everywhere(trouble))
    with pytest.raises(ConfigError, match="what it was"):
        alone(list(words), standalone_mode=False)
    said = capsys.readouterr()
    assert said.out == "a result\n"
    assert said.err == ("a note\n" if notes else "")


def test_verbose_says_where_an_error_comes_from(tmp_path):
    line = ("filter", str(tmp_path / "none.parquet"), "--min-confidence", "0.5")
    short, long = ocrlabel(*line).err, ocrlabel(*line, "--verbose").err
    assert "Traceback" not in short
    assert long.startswith(short.rstrip("\n"))
    assert "Traceback" in long
    assert "in need_file" in long


def test_a_command_keeps_its_own_arguments_types_and_help():
    def copy(source: str, *, times: int = 1) -> None:
        """Copy it."""

    taken = inspect.signature(everywhere(copy)).parameters
    assert [*taken] == ["source", "times", "quiet", "verbose"]
    assert everywhere(copy).__doc__ == "Copy it."


@pytest.fixture
def asked(monkeypatch):
    """What the command prints where a shell asks it, by the variables that the shell sets."""

    def ask(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return ocrlabel().out

    return ask


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ev",), ["evaluate"]),
        (("aws", "push"), ["push-image"]),
        (("run", "images/", "--engine", "rap"), ["rapidocr"]),
        (("run", "images/", "--max-c"), ["--max-cost"]),
        (("filter", "labels.parquet", "--unicode", "N"), ["NFC", "NFKC"]),
    ],
)
def test_every_shell_completes_commands_options_and_choices(shell, words, offered, asked):
    line = " ".join(("ocrlabel", *words))
    said = asked(
        _OCRLABEL_COMPLETE=f"complete_{shell}",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words)),
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    for word in offered:
        assert word in said
    assert "demo" not in said


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete "), ("zsh", "compdef"), ("fish", "complete --command")]
)
def test_every_shell_is_given_its_script(shell, sign, asked):
    script = asked(_OCRLABEL_COMPLETE=f"source_{shell}")
    assert sign in script
    assert "_OCRLABEL_COMPLETE" in script


def test_bash_itself_completes(asked):
    script = asked(_OCRLABEL_COMPLETE="source_bash")
    typed = "COMP_WORDS=(ocrlabel expo); COMP_CWORD=1"
    script += f'{typed}; _ocrlabel_completion "$0"; echo "${{COMPREPLY[@]}}"'
    said = subprocess.run(
        ["bash", "-c", script, OCRLABEL], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["export"]


OF_A_BUCKET = {
    ("run",): "s3://bkt/t.parquet: there is no such object",
    ("merge",): "there is no run at s3://bkt/",
    ("reparse",): "there is no run at s3://bkt/",
    ("status",): "there is no run here: s3://bkt/",
    ("set", "--rps", "2"): "there is no run at s3://bkt/",
    ("report",): "aws s3 cp s3://bkt/t.parquet .",
    ("view", "a.png"): "aws s3 cp s3://bkt/t.parquet .",
    ("filter", "-o", "x.parquet"): "aws s3 cp s3://bkt/t.parquet .",
    ("evaluate", "--truth", "x.parquet"): "aws s3 cp s3://bkt/t.parquet .",
    ("export", "--format", "coco", "-o", "x"): "s3://bkt/t.parquet: there is no such object",
}


@pytest.fixture
def in_a_bucket(moto_url, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.chdir(tmp_path)
    make_bucket(moto_url, "bkt")


@pytest.mark.parametrize("words", OF_A_BUCKET, ids=" ".join)
def test_an_address_of_a_bucket_arrives_as_it_was_written(words, in_a_bucket):
    ran = ocrlabel(words[0], "s3://bkt/t.parquet", *words[1:])
    assert ran.status == 2
    assert OF_A_BUCKET[words] in " ".join(ran.err.split())
