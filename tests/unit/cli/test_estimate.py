"""What `--dry-run` and the first lines of a run say of an input, and how long it will take."""

from __future__ import annotations

import pytest
from PIL import Image

from ocrlabel.cli.estimate import Pace, time_line
from ocrlabel.cli.wiring import input_line
from ocrlabel.dataset.labels_table import read_labels, write_changed
from ocrlabel.engines.children import usable_cores
from ocrlabel.engines.scripted import Scripted
from ocrlabel.fake.settings import FakeSettings, Latency, parse_faults
from ocrlabel.labels import Labelled, Page
from tests.support.command import ocrlabel
from tests.support.fake_upstage import running


class Input:
    """As much of a dataset as the line needs."""

    def __init__(self, rows, **skipped):
        self.rows = rows
        self.skipped, self.notices = skipped, ()

    def describe(self):
        return "images/"


class Local(Scripted):
    """An engine of this machine, by name and number of processes alone."""

    def __init__(self, name, parallel):
        super().__init__(parallel=parallel)
        self.name = name


def read(seconds, pages=1, *, copied=False):
    found = tuple(Page(n + 1, 10, 10) for n in range(pages))
    return Labelled(0, "a", "k", "s", found, "e", "1", 0.0, latency_s=seconds, copied=copied)


def test_files_that_are_left_out_are_counted_out_loud():
    assert input_line(Input(12)) == "images/: 12 rows"
    assert input_line(Input(1, hidden=1)) == "images/: 1 row; 1 other file skipped: 1 hidden"
    many = Input(12, hidden=1, a=9, b=8, c=7, d=6, e=5)
    assert input_line(many).endswith("36 other files skipped: 9 a, 8 b, 7 c, 6 d, 5 e, 1 more")


def test_a_folders_other_files_are_told_by_a_dry_run_and_by_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30)).save("images/a.png")
    for name in ("notes.txt", "more.txt", ".hidden"):
        (tmp_path / "images" / name).write_text("no image")
    line = "images/: 1 row; 3 other files skipped: 2 .txt, 1 hidden"
    run = ("run", "images/", "--engine", "scripted")
    assert line in ocrlabel(*run, "--dry-run").out
    ran = ocrlabel(*run)
    assert line in ran.err
    assert "1 of 1 image\n" in ran.out


def test_the_local_engines_time_is_a_rule_of_thumb_and_says_so():
    line = time_line(Local("rapidocr", 1), 600, Pace())
    assert line.startswith("about 20 min on 1 core (2.0 s a page, a rule of thumb")


def test_what_earlier_pages_took_is_better_than_a_rule():
    pace = Pace().and_of([read(6.0, pages=2), read(4.0), read(90.0, copied=True), read(0.0)])
    assert pace == Pace(10.0, 3)
    line = time_line(Local("rapidocr", 1), 10, pace.and_of([read(10.0, pages=2)]))
    assert line == "about 40 s on 1 core (4.0 s a page, as the 5 pages that are done took)"


def test_no_more_cores_are_counted_on_than_there_are():
    line = time_line(Local("rapidocr", 1000), 4000, Pace())
    assert f"on {usable_cores()} core" in line


def test_an_engine_that_nobody_measured_has_no_estimate():
    assert time_line(Local("scripted", 2), 10, Pace()) == ""


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(8):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(f"images/{number}.png")


@pytest.mark.usefixtures("images")
def test_a_dry_run_of_the_local_engine_says_how_long_it_takes():
    assert (
        "time              about"
        in ocrlabel("run", "images/", "--engine", "rapidocr", "--dry-run").out
    )


@pytest.mark.usefixtures("images")
def test_after_a_sample_a_dry_run_goes_by_how_long_the_sample_took(monkeypatch):
    monkeypatch.setenv("OCRLABEL_LATENCY", "0.05")
    run = ("run", "images/", "--engine", "scripted")
    assert ocrlabel(*run, "--sample", "6").status == 0
    assert "as the 6 pages that are done took)" in ocrlabel(*run, "--dry-run").out


def images_in(folder, *colours):
    folder.mkdir()
    for number, colour in enumerate(colours):
        Image.new("RGB", (40, 30), colour).save(folder / f"{number}.png")


def rows_of(printed):
    return dict(line.split(None, 1) for line in printed.splitlines() if "  " in line)


def test_what_an_earlier_table_answers_and_what_is_there_twice_is_not_priced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images_in(tmp_path / "few", "red", "green")
    images_in(tmp_path / "more", "red", "green", "blue", "blue", "white")
    assert ocrlabel("run", "few/", "--engine", "scripted", "--output", "few.parquet").status == 0
    again = ("--engine", "scripted", "--reuse-from", "few.parquet", "--output", "more.parquet")
    told = rows_of(ocrlabel("run", "more/", *again, "--dry-run").out)
    assert told["images"] == "5 readable, 5 pages"
    assert told["reused"] == "2 images, from few.parquet"
    assert told["copies"] == "1 image; the same bytes are read once"

    monkeypatch.setenv("UPSTAGE_API_KEY", "up_none")
    paid = ("--engine", "upstage", "--max-cost", "0.006", "--output", "paid.parquet")
    told = rows_of(ocrlabel("run", "more/", *paid, "--dry-run").out)
    assert told["price"].startswith("0.0060 USD")
    assert "cap" not in told


def test_a_dry_run_with_retry_failed_counts_the_rows_that_it_would_try_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images_in(tmp_path / "images", "red")
    (tmp_path / "in.csv").write_text("image\nimages/0.png\nimages/late.png\n")
    run = ("run", "in.csv", "--engine", "scripted")
    assert ocrlabel(*run).status == 6
    Image.new("RGB", (40, 30), "green").save(tmp_path / "images" / "late.png")
    assert rows_of(ocrlabel(*run, "--dry-run").out)["left"] == "nothing"
    again = (*run, "--retry-failed", "all")
    assert rows_of(ocrlabel(*again, "--dry-run").out)["images"] == "1 readable, 1 page"
    wrong = ocrlabel(*run, "--retry-failed", "foo", "--dry-run")
    assert (wrong.status, "there is no such class" in wrong.err) == (2, True)
    assert ocrlabel(*again).status == 0
    assert rows_of(ocrlabel(*again, "--dry-run").out)["left"] == "nothing"


GROWN = "grown"  # images come in before the next command
PART, ALL, AGAIN = ("--limit", "6"), (), ("--retry-failed", "all")


@pytest.mark.parametrize(
    "commands",
    [
        (PART, ALL),
        (PART, AGAIN),
        (PART, ("--limit", "8", *AGAIN)),
        (PART, AGAIN, AGAIN),
        (PART, ("--sample", "9"), ALL),
        (ALL, ("--limit", "1", *AGAIN)),
        (ALL, ("--retry-failed", "rejected")),
        (PART, GROWN, ("--grow",)),
        (ALL, GROWN, ("--grow", *AGAIN)),
        (PART, GROWN, ("--grow", *PART), AGAIN),
        (ALL, GROWN, ("--grow", "--limit", "1"), ALL),
    ],
)
def test_what_a_dry_run_prices_is_what_the_run_then_asks_for(tmp_path, monkeypatch, commands):
    monkeypatch.chdir(tmp_path)
    colours = [(10 * n, n, 3) for n in range(8)]
    images_in(tmp_path / "images", *colours, colours[0], colours[7], "red", "red")
    paid = ("run", "images/", "--engine", "upstage", "--attempts", "1", "--max-failures", "100%")
    settings = FakeSettings(
        latency=Latency(0.01, 0.1), faults=parse_faults("500:0.3,415:0.3"), seed=2
    )
    with running(settings) as fake:
        monkeypatch.setenv("UPSTAGE_API_KEY", "up_any")
        monkeypatch.setenv("UPSTAGE_BASE_URL", fake.base_url)
        monkeypatch.setenv("OCRLABEL_BATCH_SIZE", "4")  # one is done, one begun
        assert ocrlabel(*paid, *commands[0]).status == 0
        for more in commands[1:]:
            fake.control({"fail": ""})
            if more == GROWN:
                for name in ("x", "y"):
                    Image.new("RGB", (50, 30), "white" if name == "x" else "blue").save(
                        f"images/{name}.png"
                    )
                continue
            told = rows_of(ocrlabel(*paid, *more, "--dry-run").out)
            before = fake.stats()["requests"]
            assert ocrlabel(*paid, *more).status == 0
            priced = round(float(told["price"].split()[0]) / 0.0015) if "price" in told else 0
            assert priced == fake.stats()["requests"] - before, (more, told)


def test_a_dry_run_tells_an_image_that_became_unreadable_as_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images_in(tmp_path / "images", "red", "green")
    run = ("run", "images/", "--engine", "scripted", "--max-failures", "100%")
    assert ocrlabel(*run).status == 0
    (tmp_path / "images" / "1.png").write_bytes(b"broken")
    told = rows_of(ocrlabel(*run, "--grow", "--dry-run").out)["grown"]
    assert told == "1 kept, 0 new, 1 changed, 0 gone"
    assert rows_of(ocrlabel(*run, "--grow").out)["grown"] == told


def test_a_dry_run_of_fresh_refuses_what_the_run_would_refuse_to_write_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images_in(tmp_path / "images", "red")
    run = ("run", "images/", "--engine", "scripted")
    assert ocrlabel(*run).status == 0
    fresh = (*run, "--fresh", "--yes")
    assert ocrlabel(*fresh, "--dry-run").status == 0
    table = tmp_path / "labels.parquet"
    write_changed(table, list(read_labels(table)), source=table, changed_by="import coco")
    for refused in (ocrlabel(*fresh, "--dry-run"), ocrlabel(*fresh)):
        assert (refused.status, "would be replaced" in refused.err) == (3, True)


def test_a_run_with_failures_does_not_just_say_that_it_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images_in(tmp_path / "images", "red")
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ran = ocrlabel("run", "images/", "--engine", "scripted", "--max-failures", "50%")
    assert rows_of(ran.out)["state"] == "every row is settled, 1 without a label"


def test_a_free_engine_costs_nothing_in_status_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images_in(tmp_path / "images", "red", "green")
    assert ocrlabel("run", "images/", "--engine", "scripted", "--limit", "1").status == 0
    assert "USD" not in ocrlabel("status", "labels.parquet").out


def test_an_input_that_changed_is_told_with_the_way_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images_in(tmp_path / "images", "red", "green")
    assert ocrlabel("run", "images/", "--engine", "scripted", "--limit", "1").status == 0
    Image.new("RGB", (40, 30), "blue").save(tmp_path / "images" / "new.png")
    refused = ocrlabel("run", "images/", "--engine", "scripted")
    assert refused.status == 3
    assert "2 new or not reached before: 1.png, new.png" in refused.err
    assert "add --grow to go on here" in refused.err
    merged = ocrlabel("merge", "images/", "--output", "labels.parquet", "--partial")
    assert "2 rows then, 3 rows here" in merged.err
