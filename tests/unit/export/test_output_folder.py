"""The output folder: never somebody else's, never half of two exports; its names are safe."""

from __future__ import annotations

import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings

from ocrlabel.errors import ConfigError
from ocrlabel.export.coco import export as export_coco
from ocrlabel.export.formats import EXPORTS, ExportOptions, export_of
from ocrlabel.export.icdar2015 import export
from ocrlabel.export.output_folder import OutputFolder, PageNames, safe_part, suffix
from tests.support.labelled import Pictures, row, rows, word

FORCE = ExportOptions(force=True)


class PowerCut(BaseException):
    pass


def cut_after(table):
    yield from table
    raise PowerCut


def tree(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_a_folder_with_other_files_is_refused_even_with_force(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for options in (ExportOptions(), FORCE):
        with pytest.raises(ConfigError, match=r"thesis\.txt"):
            export(iter([row()]), None, tmp_path, options)
    assert tree(tmp_path) == {(tmp_path / "thesis.txt").relative_to(tmp_path)}


def test_an_earlier_export_is_replaced_only_with_force_and_leaves_nothing_behind(tmp_path):
    export_coco(iter([row("old.jpg", [word()])]), Pictures(), tmp_path, ExportOptions())
    with pytest.raises(ConfigError, match="--force"):
        export(iter([row("new.jpg", [word()])]), Pictures(), tmp_path, ExportOptions())
    export(iter([row("new.jpg", [word()])]), Pictures(), tmp_path, FORCE)
    export(iter([row("new.jpg", [word()])]), Pictures(), tmp_path / "fresh", ExportOptions())
    fresh = tree(tmp_path / "fresh")
    assert {path for path in tree(tmp_path) if path.parts[0] != "fresh"} == fresh


def test_an_export_that_was_cut_says_so_and_is_made_again_with_force(tmp_path):
    table = [row(f"{n}.jpg", [word()]) for n in range(3)]
    with pytest.raises(PowerCut):
        export(cut_after(table), Pictures(), tmp_path, ExportOptions())
    assert not (tmp_path / "README.md").exists()
    with pytest.raises(ConfigError, match="unfinished"):
        export(iter(table), Pictures(), tmp_path, ExportOptions())
    assert export(iter(table), Pictures(), tmp_path, FORCE).pages == 3


def test_what_a_user_put_into_an_export_is_not_removed_with_it(tmp_path):
    export(iter([row("a.jpg", [word()])]), Pictures(), tmp_path, ExportOptions())
    (tmp_path / "model.pt").write_text("trained for days")
    with pytest.raises(ConfigError, match=r"model\.pt"):
        export(iter([row("a.jpg", [word()])]), Pictures(), tmp_path, FORCE)
    assert (tmp_path / "model.pt").exists()
    assert (tmp_path / "pseudo" / "gt" / "gt_a.txt").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        export(iter([row()]), None, tmp_path / "x", ExportOptions())


def test_an_export_that_failed_before_its_first_file_does_not_block_the_next(tmp_path):
    OutputFolder(tmp_path / "out", "coco", ExportOptions())
    OutputFolder(tmp_path / "out", "coco", ExportOptions()).path("a.json").touch()


def stems(*table) -> list[str]:
    names = PageNames()
    found = [names.take(each) for each in table]
    names.close()
    return found


def test_a_harmless_name_is_kept():
    assert stems(row("drp.en_ko.in_house.selectstar_000003.jpg")) == [
        "drp.en_ko.in_house.selectstar_000003"
    ]


def test_pages_of_a_document_carry_their_number():
    pages = [row("a.pdf", page=n, page_count=2) for n in (1, 2)]
    assert stems(*pages) == ["a-p1", "a-p2"]


def test_names_that_some_file_system_takes_for_one_get_different_stems():
    nfd = unicodedata.normalize("NFD", "영수증.jpg")
    same = [row("x/영수증.jpg"), row(f"y/{nfd}"), row("z/영수증.png")]
    found = stems(*same, row("b/A.jpg"), row("c/a.jpg"))
    assert len({unicodedata.normalize("NFC", stem).casefold() for stem in found}) == 5
    assert found[0] == "영수증"
    assert stems(*same)[1] == found[1]


def test_even_equal_ids_and_pages_get_names_of_their_own():
    found = stems(*(row("a.jpg") for _ in range(5)))
    assert len(set(found)) == 5


@pytest.mark.parametrize(
    ("text", "want"),
    [("..", "x"), ("../../etc", "_.._etc"), ("a\0b\n", "a_b_"), (".hidden", "hidden"), ("", "x"),
     ("한" * 100, "한" * 40), ("a\u202eb", "a_b"), ('con: "x"', "con_ _x_")],
)  # fmt: skip
def test_a_part_of_a_path_is_made_safe(text, want):
    assert safe_part(text, otherwise="x") == want


def test_only_a_plain_suffix_is_kept():
    assert suffix(row("a.JPG")) == ".JPG"
    assert suffix(row("a.j/../pg")) == ""
    assert suffix(row("a.한글")) == ""


@pytest.mark.parametrize("name", EXPORTS)
@given(table=rows())
@settings(max_examples=8)
def test_no_export_writes_outside_its_folder_or_over_itself(name, table):
    table = [row(each.image_path, [word()], id=each.id, split=each.split) for each in table]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "deep" / "out"
        summary = export_of(name)(iter(table), Pictures(), out, ExportOptions())
        assert [path.name for path in Path(folder).iterdir()] == ["deep"]
        assert [path.name for path in out.parent.iterdir()] == ["out"]
        assert summary.pages == len(table)
        suffixes = {".png", ".jpg", ".JPG"}
        files = [path for path in out.rglob("*") if path.suffix in suffixes]
        if name not in {"hf", "lmdb"}:
            assert len(files) == len(table)


RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{d}{n}" for d in ("com", "lpt") for n in "0123456789¹²³"),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_no_name_in_any_export_is_one_that_windows_keeps_for_a_device(name, tmp_path):
    names = ["con.png", "AUX.jpg.png", "com1.png", "nul", "x/con.png", "LPT9.tar.png", "Prn .png",
             "lpt².png", "aux..png", "console.png", "com10.png", ".con"]  # fmt: skip
    table = [row(n, [word()], id=n, split=s) for n in names for s in ("train", "NUL", "con.x")]
    export_of(name)(iter(table), Pictures(), tmp_path, ExportOptions())
    for path in tmp_path.rglob("*"):
        assert path.name.split(".")[0].rstrip().lower() not in RESERVED
    if name not in {"hf", "lmdb"}:
        found = {path.stem for path in tmp_path.rglob("*") if path.suffix in {".png", ".jpg"}}
        assert any(stem.startswith("console") for stem in found)
