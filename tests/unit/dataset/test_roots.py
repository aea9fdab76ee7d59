"""Only images under the named roots are read, whatever a row says."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrlabel.dataset import roots
from ocrlabel.dataset.roots import read_inside
from ocrlabel.errors import StoreUnavailable, Unreadable
from ocrlabel.labels import FailureClass
from tests.unit.dataset.opened import all_refs, complaint, opened, parquet, read, refusal

SECRET = b"the secret"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A secret beside a folder of tables, a folder of images and a working directory."""
    (tmp_path / "secret.png").write_bytes(SECRET)
    for folder in ("tables", "images/sub", "cwd", "images-private"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(folder.encode())
    (tmp_path / "images" / "b.png").write_bytes(b"b")
    return tmp_path.resolve()


def table(home: Path, *paths: str) -> Path:
    columns = {"id": [str(n) for n in range(len(paths))], "path": list(paths)}
    return parquet(home / "tables" / "t.parquet", columns)


def outcome(home: Path, path: str, **options: object) -> object:
    with opened(table(home, path), home / "cwd", **options) as dataset:
        try:
            return read(dataset)
        except Unreadable as error:
            return error.failure


def test_paths_are_looked_for_in_the_image_roots_then_the_tables_folder_then_here(home):
    assert outcome(home, "a.png") == b"tables"
    assert outcome(home, "a.png", image_roots=[home / "images/sub"]) == b"images/sub"
    (home / "tables" / "a.png").unlink()
    assert outcome(home, "a.png") == b"cwd"
    with opened(table(home, "x.png"), home / "cwd", image_roots=["../images"]) as dataset:
        places = [str(home / place / "x.png") for place in ("images", "tables", "cwd")]
        assert dataset.looked(all_refs(dataset)[0]) == places
        error = refusal(dataset)
        assert error.failure == FailureClass.NOT_FOUND
        assert all(place in error.message for place in places)


def test_absolute_paths_are_read_inside_a_root_and_nowhere_else(home):
    roots, outside = str(home / "images/b.png"), str(home / "secret.png")
    assert outcome(home, roots, image_roots=[home / "images"]) == b"b"
    assert outcome(home, roots) == FailureClass.NOT_ALLOWED
    assert outcome(home, outside, image_roots=[home / "images"]) == FailureClass.NOT_ALLOWED
    # "images" is no root of what is in "images-private"
    private = str(home / "images-private/a.png")
    assert outcome(home, private, image_roots=[home / "images"]) == FailureClass.NOT_ALLOWED


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "a/../../secret.png",
        "..\\secret.png",
        "..",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "http://169.254.169.254/latest/meta-data/",
        "https://example.com/a.png",
        "HTTP://example.com/a.png",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "data:image/png;base64,AAAA",
        "s3://other/a.png",
        "S3://other/a.png",
        "gs://bucket/a.png",
    ],
)
def test_what_climbs_out_or_is_an_address_is_refused(home, path):
    assert outcome(home, path) == FailureClass.NOT_ALLOWED


def test_the_refusal_says_what_to_do(home):
    with opened(table(home, "../secret.png", "/etc/passwd", "https://x/y"), home) as dataset:
        said = [refusal(dataset, row).message for row in range(3)]
    assert "--image-root" in said[0]
    assert "--image-root" in said[1]
    assert "is an address" in said[2]


def test_links_are_followed_inside_the_roots_and_never_out(home):
    tables = home / "tables"
    (tables / "in.png").symlink_to(home / "images" / "b.png")
    (tables / "out.png").symlink_to(home / "secret.png")
    (tables / "way").symlink_to(home)
    (tables / "loop.png").symlink_to("loop.png")
    (tables / "dangling.png").symlink_to("/nowhere/at/all.png")
    roots = {"image_roots": [home / "images"]}
    assert outcome(home, "in.png", **roots) == b"b"
    assert outcome(home, "in.png") == FailureClass.NOT_ALLOWED
    assert outcome(home, "out.png", **roots) == FailureClass.NOT_ALLOWED
    assert outcome(home, "way/secret.png", **roots) == FailureClass.NOT_ALLOWED
    assert outcome(home, "way/images/b.png", **roots) == b"b"
    assert outcome(home, "dangling.png") == FailureClass.NOT_FOUND
    assert outcome(home, "loop.png") in {FailureClass.NOT_FOUND, FailureClass.NOT_ALLOWED}


def test_a_link_in_a_folder_of_images_that_leads_out_is_refused(home):
    (home / "images" / "out.png").symlink_to(home / "secret.png")
    with opened(home / "images", home / "cwd") as dataset:
        rows = {ref.id: ref.ordinal for ref in all_refs(dataset)}
        assert refusal(dataset, rows["out.png"]).failure == FailureClass.NOT_ALLOWED
        assert read(dataset, rows["b.png"]) == b"b"


def test_what_is_no_regular_file_is_refused_without_being_opened(home):
    os.mkfifo(home / "tables" / "pipe.png")
    (home / "tables" / "folder.png").mkdir()
    assert outcome(home, "pipe.png") == FailureClass.NOT_ALLOWED
    assert outcome(home, "folder.png") == FailureClass.NOT_AN_IMAGE
    assert outcome(home, ".") == FailureClass.NOT_AN_IMAGE
    assert outcome(home, "/dev/zero", image_roots=["/dev"]) == FailureClass.NOT_ALLOWED


def test_what_the_disk_refuses_is_said_as_it_is():
    """Tested apart from a file: root, as in a container, may read everything."""
    denied = roots._translated(PermissionError(13, "denied"), Path("/a.png"))
    assert (denied.failure, "permission denied" in denied.message) == (
        FailureClass.NOT_ALLOWED,
        True,
    )
    strange = roots._translated(OSError(71, "Protocol error"), Path("/a.png"))
    assert strange.failure == FailureClass.UNAVAILABLE


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE])
def test_a_fault_that_is_not_the_files_may_pass_and_makes_no_failed_row(number):
    error = roots._translated(OSError(number, os.strerror(number)), Path("/a.png"))
    assert isinstance(error, StoreUnavailable)
    assert str(error) == f"/a.png cannot be read now: {os.strerror(number)}"


def test_the_size_is_looked_at_before_anything_is_read(home):
    with (home / "tables" / "huge.png").open("wb") as file:
        file.truncate(10**12)  # sparse: takes no room, and reading it would take an hour
    with opened(table(home, "huge.png"), home, max_bytes=1000) as dataset:
        error = refusal(dataset)
    assert error.failure == FailureClass.TOO_LARGE
    assert "1000000.0 MB" in error.message


def test_names_as_other_systems_write_them_are_found(home):
    (home / "tables" / "영수증.png").write_bytes(b"found")
    assert outcome(home, "영수증.png") == b"found"
    assert outcome(home, "sub\\a.png", image_roots=[home / "images"]) == b"images/sub"


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 300 + ".png", "a.png/b.png", "no/such.png"])
def test_names_that_no_file_can_have_are_not_found(home, path):
    assert outcome(home, path) == FailureClass.NOT_FOUND


def test_an_image_root_that_is_not_there_is_refused_at_once(home):
    assert "there is no such folder" in complaint(table(home, "a"), home, image_roots=["nope"])
    assert "cannot be opened here" in complaint(table(home, "a"), home, image_roots=["s3://b"])


parts = st.sampled_from(["..", ".", "", "a.png", "sub", "way", "secret.png", "images", "~", "\\"])


@settings(suppress_health_check=list(HealthCheck), max_examples=200)
@given(st.lists(parts, max_size=6), st.booleans())
def test_no_path_at_all_leads_to_the_secret(home, steps, absolute):
    way = home / "images" / "way"
    if not way.is_symlink():
        way.symlink_to(home)
    path = "/".join(([str(home)] if absolute else []) + steps)
    found = outcome(home, path or "x", image_roots=[home / "images"])
    assert found != SECRET


def test_a_folder_exchanged_for_a_link_while_it_is_read_gives_nothing_away(home):
    """An attacker swaps a folder and a link as fast as it can; every read is right or refused."""
    root = home / "images"
    target, link = root / "swap", home / "link"
    (home / "real").mkdir()
    (home / "real" / "secret.png").write_bytes(b"fine")
    link.symlink_to(home)
    (home / "real").rename(target)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            target.rename(home / "aside")
            link.rename(target)
            target.rename(link)
            (home / "aside").rename(target)

    attacker = threading.Thread(target=swap)
    attacker.start()
    seen: set[object] = set()
    try:
        for _ in range(3000):
            try:
                seen.add(read_inside(target / "secret.png", (root,), 100))
            except Unreadable as error:
                seen.add(error.failure)
    finally:
        stop.set()
        attacker.join()
    assert SECRET not in seen
    assert b"fine" in seen
