"""The output folder: never somebody else's, never half of two exports."""

from __future__ import annotations

import pytest

from ocrlabel.errors import ConfigError
from ocrlabel.export.coco import export as export_coco
from ocrlabel.export.formats import Options
from ocrlabel.export.icdar2015 import export
from ocrlabel.export.output_folder import OutputFolder
from tests.support.labelled import Pictures, row, word

FORCE = Options(force=True)


class PowerCut(BaseException):
    pass


def cut_after(table):
    yield from table
    raise PowerCut


def tree(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_a_folder_with_other_files_is_refused_even_with_force(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for options in (Options(), FORCE):
        with pytest.raises(ConfigError, match=r"thesis\.txt"):
            export(iter([row()]), None, tmp_path, options)
    assert tree(tmp_path) == {(tmp_path / "thesis.txt").relative_to(tmp_path)}


def test_an_earlier_export_is_replaced_only_with_force_and_leaves_nothing_behind(tmp_path):
    export_coco(iter([row("old.jpg", [word()])]), Pictures(), tmp_path, Options())
    with pytest.raises(ConfigError, match="--force"):
        export(iter([row("new.jpg", [word()])]), Pictures(), tmp_path, Options())
    export(iter([row("new.jpg", [word()])]), Pictures(), tmp_path, FORCE)
    export(iter([row("new.jpg", [word()])]), Pictures(), tmp_path / "fresh", Options())
    fresh = tree(tmp_path / "fresh")
    assert {path for path in tree(tmp_path) if path.parts[0] != "fresh"} == fresh


def test_an_export_that_was_cut_says_so_and_is_made_again_with_force(tmp_path):
    table = [row(f"{n}.jpg", [word()]) for n in range(3)]
    with pytest.raises(PowerCut):
        export(cut_after(table), Pictures(), tmp_path, Options())
    assert not (tmp_path / "README.md").exists()
    with pytest.raises(ConfigError, match="unfinished"):
        export(iter(table), Pictures(), tmp_path, Options())
    assert export(iter(table), Pictures(), tmp_path, FORCE).pages == 3


def test_what_a_user_put_into_an_export_is_not_removed_with_it(tmp_path):
    export(iter([row("a.jpg", [word()])]), Pictures(), tmp_path, Options())
    (tmp_path / "model.pt").write_text("trained for days")
    with pytest.raises(ConfigError, match=r"model\.pt"):
        export(iter([row("a.jpg", [word()])]), Pictures(), tmp_path, FORCE)
    assert (tmp_path / "model.pt").exists()
    assert (tmp_path / "pseudo" / "gt" / "gt_a.txt").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        export(iter([row()]), None, tmp_path / "x", Options())


def test_an_export_that_failed_before_its_first_file_is_in_nobodys_way(tmp_path):
    OutputFolder(tmp_path / "out", "coco", Options())
    OutputFolder(tmp_path / "out", "coco", Options()).path("a.json").touch()
