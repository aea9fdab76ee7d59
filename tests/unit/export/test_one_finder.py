"""What a run reads, every other command finds: names of all spellings, moved files, shards."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from ocrlabel.cli.main import app
from ocrlabel.dataset.labels_table import LabelRow, LabelsWriter, label_rows
from ocrlabel.errors import Incomplete
from ocrlabel.export.formats import NoImage
from ocrlabel.export.images import LabelledImages, image_sources
from ocrlabel.export.output_folder import stems
from ocrlabel.labels import Labelled, Page, readable
from tests.support.labelled import row, word
from tests.unit.dataset.made import corners, saved
from tests.unit.dataset.opened import all_refs, opened, parquet, read

DATA = saved(corners(), "PNG")
OTHER = saved(corners().rotate(180), "PNG")
SHA = hashlib.sha256(DATA).hexdigest()
FORMS = ("NFC", "NFD")


def form(name: str, which: str) -> str:
    return unicodedata.normalize(which, name)


def bytes_name(name: str) -> str:
    """A name in the bytes of Korean Windows, as Python gives it."""
    return os.fsdecode(name.encode("cp949"))


def put(root: Path, *parts: str, data: bytes = DATA) -> None:
    path = root.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def rows_of(source, cwd: Path) -> list[LabelRow]:
    """The labels rows of an input whose every image the run can read."""
    with opened(source, cwd) as dataset:
        found = []
        for ref in all_refs(dataset):
            sha256 = hashlib.sha256(read(dataset, ref.ordinal)).hexdigest()
            page = Page(1, 48, 32, (word("w"),))
            found += label_rows(
                ref, Labelled(ref.ordinal, ref.id, "k", sha256, (page,), "scripted", "1", 0.0)
            )
        return found


def found(where: Path, wanted: LabelRow) -> bytes:
    return LabelledImages(image_sources([where])).file(wanted).data


def by_path(where: Path, wanted: LabelRow) -> bytes:
    """The same, without the last resort."""
    return found(where, replace(wanted, image_sha256=""))


ON_DISK = {
    **{
        f"{folder} folder, {file} file": (form("영수증", folder), form("한글.png", file))
        for folder in FORMS
        for file in FORMS
    },
    "CP949 file": ("영수증", bytes_name("한글.png")),
    "CP949 folder": (bytes_name("영수증"), form("한글.png", "NFD")),
}


@pytest.mark.parametrize("written", FORMS)
@pytest.mark.parametrize("there", ON_DISK)
def test_hangul_is_found_however_disk_and_table_write_it(tmp_path, there, written):
    put(tmp_path, "in", *ON_DISK[there])
    (tmp_path / "in.csv").write_text(
        "image_path\n" + form("in/영수증/한글.png\n", written), "utf-8"
    )
    (wanted,) = rows_of("in.csv", tmp_path)
    for where in (tmp_path, tmp_path / "in", tmp_path / "in" / ON_DISK[there][0]):
        assert by_path(where, wanted) == DATA


def test_a_windows_path_of_hangul_is_found_too(tmp_path):
    put(tmp_path, "in", form("영수증", "NFD"), "한글.png")
    (tmp_path / "in.csv").write_text("image_path\nin\\영수증\\한글.png\n", "utf-8")
    (wanted,) = rows_of("in.csv", tmp_path)
    assert by_path(tmp_path, wanted) == DATA


def test_a_name_in_bytes_that_a_folder_was_listed_with_is_found_by_every_command(tmp_path):
    put(tmp_path, "in", bytes_name("영수증"), bytes_name("한글.png"))
    put(tmp_path, "in", os.fsdecode(b"\xff.png"), data=OTHER)
    for wanted in rows_of("in", tmp_path):
        assert "\\x" in wanted.image_path
        assert hashlib.sha256(by_path(tmp_path / "in", wanted)).hexdigest() == wanted.image_sha256


def test_a_name_in_bytes_is_told_as_people_write_it(tmp_path):
    put(tmp_path, "in", bytes_name("영수증"), bytes_name("한글.png"))
    put(tmp_path, "in", bytes_name("가나.png"), data=OTHER)
    put(tmp_path, "in", os.fsdecode("café.png".encode("latin-1")), data=DATA[:-1])
    rows = {one.image_filename: one for one in rows_of("in", tmp_path)}
    assert set(rows) == {"가나.png", "xe9.png", "한글.png"}  # a Latin name is as it is stored
    with pytest.raises(NoImage, match=r"^영수증/한글\.png was not found"):
        found(tmp_path / "in" / "..", replace(rows["한글.png"], image_sha256="0"))
    names = sorted(stems(row)[0] for row in rows.values())
    assert names == ["xe9", "가나", "한글"]


@pytest.mark.parametrize(
    "path", ["scans\\xab\\p.png", "x\\x12.png", "a\\xff.png", "가\\x41.png", "\ud800\\xb0"]
)
def test_a_path_that_was_not_written_by_korean_windows_is_left_alone(path):
    assert readable(path) == path


def test_a_moved_or_renamed_image_is_found_by_its_bytes(tmp_path):
    wanted = row("a.png", [word()], image_path="old/place/a.png", image_sha256=SHA,
                 width_px=48, height_px=32)  # fmt: skip
    put(tmp_path, "new", "b.png")
    put(tmp_path, "new", "other.png", data=OTHER)
    images = LabelledImages(image_sources([tmp_path / "new"]))
    assert [images.file(wanted).data for _ in range(2)] == [DATA] * 2
    (tmp_path / "new" / "a.png").write_bytes(b"another of the same name")
    assert found(tmp_path / "new", wanted) == DATA


def test_without_a_sha256_nothing_is_guessed(tmp_path):
    put(tmp_path, "new", "b.png")
    with pytest.raises(NoImage, match="not found"):
        found(tmp_path / "new", row("a.png", image_sha256=""))


def test_nothing_outside_the_folder_is_read_by_any_spelling(tmp_path):
    put(tmp_path, "out", form("한글.png", "NFD"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / form("링크.png", "NFD")).symlink_to(
        tmp_path / "out" / form("한글.png", "NFD")
    )
    for path in ("../out/한글.png", "링크.png", str(tmp_path / "out" / "한글.png")):
        with pytest.raises(NoImage):
            found(tmp_path / "in", row("a.png", image_path=path, image_sha256=SHA))


def test_half_a_surrogate_pair_and_a_nul_are_names_of_nothing(tmp_path):
    for path in ("\ud800.png", "\ud800\\xb0.png", "a\0.png"):
        with pytest.raises(NoImage):
            found(tmp_path, row("a.png", image_path=path, image_sha256=SHA))


@pytest.mark.parametrize("kind", ["struct", "list", "view", "dictionary"])
def test_images_inside_shards_are_found_in_their_folder(tmp_path, kind):
    column = {
        "struct": pa.array([{"bytes": DATA, "path": "0.png"}]),
        "list": pa.array([[{"bytes": DATA, "path": "0.png"}]]),
        "view": pa.array([DATA], pa.binary_view()),
        "dictionary": pa.array([DATA]).dictionary_encode(),
    }[kind]
    (tmp_path / "data").mkdir()
    for number in range(2):
        parquet(tmp_path / "data" / f"{number}.parquet", {"image": column})
    for wanted in rows_of("data", tmp_path):
        assert found(tmp_path / "data", wanted) == DATA
        assert found(tmp_path / "data" / "1.parquet", wanted) == DATA


def ocrlabel(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def table(tmp_path) -> Path:
    """Two pages, of which one has lost its picture."""
    put(tmp_path, "in", form("가게.png", "NFD"))
    sizes = {"width_px": 48, "height_px": 32}
    with LabelsWriter(tmp_path / "labels.parquet") as writer:
        writer.add(row("가게.png", [word()], image_path="in/가게.png", image_sha256=SHA, **sizes))
        writer.add(row("gone.png", [word()], image_path="in/gone.png", **sizes))
    return tmp_path / "labels.parquet"


def test_every_command_finds_the_picture_and_tells_the_one_that_is_gone(table, tmp_path):
    images = ("--images", tmp_path / "in")
    told = ocrlabel("report", table, *images, "-o", tmp_path / "r.html")
    assert "careful: 1 page without a picture: in/gone.png was not found" in told.output
    assert (tmp_path / "r.html").read_text("utf-8").count("data:image/") == 1
    told = ocrlabel("view", table, "gone.png", *images, "-o", tmp_path / "v.html")
    assert "in/gone.png was not found" in told.output
    told = ocrlabel("view", table, "가게.png", *images, "-o", tmp_path / "w.html")
    assert "careful" not in told.output
    assert (tmp_path / "w.html").read_text("utf-8").count("data:image/") == 1
    told = ocrlabel("export", table, "--format", "coco", *images, "-o", tmp_path / "e")
    assert isinstance(told.exception, Incomplete)
    assert "1 page\n  gone.png: in/gone.png was not found" in str(told.exception)
