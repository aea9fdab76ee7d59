"""The report page in a real browser, opened from disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from typer.main import get_command

from ocrlabel.cli import main
from ocrlabel.dataset.labels_table import FailureRow, FailuresWriter, LabelRow, LabelsWriter
from ocrlabel.export.images import LabelledImages, image_sources
from ocrlabel.labels import Word
from ocrlabel.report.single import DocumentDetails, write_document
from ocrlabel.report.write import write_report
from tests.support.labelled import AT, row, word

browser_tests = pytest.importorskip("tests.support.browser")
pytestmark = pytest.mark.browser

# A rotated quadrilateral, clockwise from the text's own top left.
TURNED = ((300.0, 100.0), (380.0, 160.0), (365.0, 180.0), (285.0, 120.0))
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    "{{ 7*7 }}{% raw %}",
    "<!--<script>",
    "\u202efdp.exe",
    "\u2028\u2029",
    "x" * 10_000,
    "'\"><svg onload=alert(4)>",
    "javascript:alert(5)",
    "]]>&lt;b&gt;",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with browser_tests.chromium() as opened:
        yield opened


def pages() -> list[LabelRow]:
    """Six pages with known words: the less sure, the later their names."""
    made = []
    for n in range(6):
        words = [
            word(f"first{n}", at=(40, 30), size=(120, 30), confidence=0.99 - n * 0.1),
            word("합계", at=(200, 300), size=(100, 40), confidence=0.97),
            Word("turned", TURNED, None),
        ]
        made.append(row(f"{n}.jpg", words, width_px=600, height_px=400, page_confidence=0.9 - n / 10,
                        labelled_at=AT + timedelta(seconds=10 * n)))  # fmt: skip
    return made


def drawn(page: LabelRow) -> bytes:
    """White, with the first word's box filled in magenta."""
    picture = Image.new("RGB", (page.width_px, page.height_px), "white")
    if page.words:
        (left, top), _, (right, bottom), _ = page.words[0].polygon
        ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), fill=(255, 0, 255))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def reported(folder: Path, rows: list[LabelRow], failures: list[FailureRow], record=None) -> Path:
    (folder / "receipts").mkdir()
    with LabelsWriter(folder / "labels.parquet") as table:
        for one in rows:
            data = drawn(one)
            named = one.image_path if one.image_path.startswith("receipts/") else "receipts/x"
            (folder / named).write_bytes(data)
            table.add(LabelRow(**{**fields(one), "image_sha256": hashlib.sha256(data).hexdigest()}))
    with FailuresWriter(folder / "labels_failures.parquet") as table:
        for failure in failures:
            table.add(failure)
    write_report(
        folder / "labels.parquet", folder / "labels_failures.parquet", record,
        folder / "report.html", images=LabelledImages(image_sources([folder])),
    )  # fmt: skip
    return folder / "report.html"


def fields(one: LabelRow) -> dict[str, object]:
    return {name: getattr(one, name) for name in LabelRow.__slots__}


def failed(name: str, kind: str, message: str = "it is not there") -> FailureRow:
    return FailureRow(100, name, name, kind, message, 1, False, "upstage", "", AT)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    failures = [failed("gone.jpg", "not_found"), failed("cut.jpg", "corrupt"),
                failed("receipts/0.jpg", "unavailable", "503")]  # fmt: skip
    return reported(folder, pages(), failures, {"dataset": "receipts", "complete": True})


@pytest.fixture
def page(browser, report) -> Iterator[object]:
    with browser_tests.opened(browser, report) as opened:
        yield opened


def titles(page) -> list[str]:
    return page.locator("#list .name").all_text_contents()


def title(page) -> str:
    return page.locator("#title").text_content()


def corners(page, at: int) -> list[list[float]]:
    """The corners of a word's outline on the screen."""
    return page.evaluate(
        """at => {
          const shape = document.querySelector(`#stage polygon[data-word="${at}"]`);
          const to = shape.getScreenCTM();
          return [...shape.points].map((p) => { const q = p.matrixTransform(to); return [q.x, q.y]; });
        }""",
        at,
    )


def magenta(page) -> tuple[float, float, float, float]:
    """Where the filled box is on the screen, read off a screenshot."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    red, green, blue = shot.split()
    mask = Image.new("L", shot.size, 0)
    strong = [channel.point(lambda v: 255 if v > 160 else 0) for channel in (red, blue)]
    weak = green.point(lambda v: 255 if v < 110 else 0)
    mask.paste(weak, mask=strong[0])
    mask.paste(0, mask=strong[1].point(lambda v: 255 - v))
    return mask.getbbox()


def test_it_opens_with_its_numbers_its_first_page_and_no_complaint(page):
    assert page.locator("h1 bdi").text_content() == "receipts"
    assert page.locator(".tiles dd").first.inner_text().startswith("6")
    assert title(page) == "0.jpg"
    assert page.locator("#stage polygon").count() == 3
    assert page.locator("#words li").count() == 3
    assert page.evaluate("document.querySelector('#stage img').naturalWidth") == 600


def test_outlines_are_where_the_words_are_at_every_zoom(page):
    page.locator("#viewer").scroll_into_view_if_needed()
    for keys in ("", "+", "+", "-", "-", "-", "0"):
        if keys:
            page.keyboard.press(keys)
        image = page.locator("#stage img").bounding_box()
        scale = image["width"] / 600
        assert image["height"] == pytest.approx(400 * scale, abs=1)
        for at, polygon in ((0, pages()[0].words[0].polygon), (2, TURNED)):
            wanted = [(image["x"] + x * scale, image["y"] + y * scale) for x, y in polygon]
            for found, known in zip(corners(page, at), wanted, strict=True):
                assert found == pytest.approx(known, abs=1)


def test_an_outline_lies_over_the_ink_itself(page):
    page.evaluate("document.getElementById('pages').scrollIntoView({behavior: 'instant'})")
    (left, top), _, (right, bottom), _ = corners(page, 0)
    for band in ("c0", "c1", "c2", "c3", "cx"):
        page.locator(f"[data-band={band}]").uncheck()
    assert magenta(page) == pytest.approx((left, top, right, bottom), abs=1)


def test_a_band_that_is_unticked_hides_its_words(page):
    page.locator("[data-band=cx]").uncheck()
    assert page.locator("#stage polygon:visible").count() == 2
    assert page.locator("#words li:visible").count() == 2
    page.locator("[data-band=cx]").check()
    assert page.locator("#stage polygon:visible").count() == 3


def test_search_finds_texts_and_marks_them(page):
    page.locator("#search").fill("FIRST3")
    assert titles(page) == ["3.jpg"]
    assert title(page) == "3.jpg"
    assert page.locator("#stage polygon.hit").count() == 1
    assert page.locator("#found").text_content() == "1 of 9 entries"
    assert page.locator("#words li:visible bdi").all_text_contents() == ["first3"]
    assert page.locator("#count").text_content() == "1 of 3 words"
    page.locator("#search").fill("합계")
    assert len(titles(page)) == 6


def test_a_page_that_is_found_by_its_name_keeps_all_of_its_words(page):
    page.locator("#search").fill("4.jpg")
    assert title(page) == "4.jpg"
    assert page.locator("#words li:visible").count() == 3
    page.locator("#search").fill("합계")
    page.locator("[data-band=c3]").uncheck()
    assert page.locator("#words li:visible").count() == 0


def test_search_without_a_hit_says_so_and_comes_back(page):
    page.locator("#search").fill("no such word")
    assert titles(page) == []
    assert page.locator("#stage").inner_text() == "Nothing matches."
    page.locator("#search").fill("")
    assert len(titles(page)) == 9


def test_the_least_certain_page_comes_first_when_asked_and_failures_last(page):
    page.locator("#sort").select_option("confidence")
    assert titles(page)[:6] == [f"{n}.jpg" for n in (5, 4, 3, 2, 1, 0)]
    assert titles(page)[6:] == ["gone.jpg", "cut.jpg", "0.jpg"]
    assert title(page) == "5.jpg"


def test_failures_are_filtered_by_class_with_their_reason(page):
    page.locator("#filter").select_option("failure:corrupt")
    assert titles(page) == ["cut.jpg"]
    assert page.locator("#why").text_content() == "corrupt: it is not there"
    page.locator("#filter").select_option("failures")
    assert len(titles(page)) == 3


def test_a_class_in_the_table_of_failures_leads_to_its_rows(page):
    page.locator("#failures button", has_text="not_found").click()
    assert titles(page) == ["gone.jpg"]


def test_a_sound_image_that_failed_is_shown_and_a_broken_one_is_not(page):
    page.locator("#filter").select_option("failure:unavailable")
    page.wait_for_function("document.querySelector('#stage').clientWidth > 100")
    assert page.locator("#stage img").count() == 1
    page.locator("#filter").select_option("failure:corrupt")
    assert page.locator("#stage img").count() == 0


def test_keys_go_through_the_pages_zoom_search_and_come_back(page):
    for key, wanted in [("j", "1.jpg"), ("ArrowRight", "2.jpg"), ("k", "1.jpg"),
                        ("ArrowLeft", "0.jpg"), ("k", "0.jpg")]:  # fmt: skip
        page.keyboard.press(key)
        assert title(page) == wanted
    fitted = page.locator("#zoom").text_content()
    page.keyboard.press("+")
    assert page.locator("#zoom").text_content() != fitted
    page.keyboard.press("0")
    assert page.locator("#zoom").text_content() == fitted
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("first2j")
    assert title(page) == ""
    page.keyboard.press("Escape")
    assert page.locator("#search").input_value() == ""
    assert page.evaluate("document.activeElement.id") == "scroll"
    page.keyboard.press("ArrowDown")
    assert title(page) == "1.jpg"


def test_words_are_listed_as_read_or_the_least_certain_first(page):
    page.keyboard.press("j")
    words = page.locator("#words bdi")
    assert words.all_text_contents() == ["first1", "합계", "turned"]
    page.keyboard.press("j")
    page.locator("#unsure-first").check()
    assert words.all_text_contents() == ["first2", "합계", "turned"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert words.all_text_contents() == ["합계", "first0", "turned"]
    page.locator("#words button").first.hover()
    assert page.locator("#stage polygon.on").get_attribute("data-word") == "1"


def test_a_word_in_the_list_leads_to_its_place_on_the_page(page):
    fitted = page.locator("#zoom").text_content()
    page.locator("#words button").nth(2).click()
    box = page.locator("#scroll").bounding_box()
    for x, y in corners(page, 2):
        assert box["x"] <= x <= box["x"] + box["width"]
        assert box["y"] <= y <= box["y"] + box["height"]
    assert page.locator("#zoom").text_content() != fitted
    assert page.locator("#stage polygon.on").get_attribute("data-word") == "2"


def in_sight(page, selector: str) -> bool:
    """The middle of it is on the screen and nothing lies over it."""
    page.wait_for_timeout(600)  # scrolling is smooth
    return page.evaluate(
        """selector => {
          const one = document.querySelector(selector), box = one.getBoundingClientRect();
          const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
          return y > 0 && y < innerHeight && one.contains(document.elementFromPoint(x, y));
        }""",
        selector,
    )


@pytest.mark.parametrize("size", [(1440, 900), (1440, 500), (390, 844)])
def test_next_and_previous_and_the_list_bring_the_page_into_view(browser, report, size):
    with browser_tests.opened(browser, report, width=size[0], height=size[1]) as page:
        for act in (lambda: page.keyboard.press("j"), lambda: page.keyboard.press("k"),
                    lambda: page.evaluate("document.querySelectorAll('#list button')[3].click()"),
                    lambda: page.evaluate("document.getElementById('next').click()")):  # fmt: skip
            page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
            act()
            assert in_sight(page, "#scroll")
        assert title(page) == "4.jpg"


def test_the_address_names_the_page_and_the_word_and_leads_there_again(browser, report):
    with browser_tests.opened(browser, report) as page:
        page.keyboard.press("j")
        to_page = page.url
        page.locator("#words button").nth(2).click()
        to_word = page.url
        assert page.locator("#link").get_attribute("href") == "#" + to_word.partition("#")[2]
    assert to_page.endswith("#image=1.jpg&page=1")
    assert to_word.endswith("#image=1.jpg&page=1&word=3")
    for url in (to_page, to_word):
        link = "#" + url.partition("#")[2]
        with browser_tests.opened(browser, report, link=link) as page:
            assert title(page) == "1.jpg"
            assert in_sight(page, "#scroll")
            chosen = page.locator("#words .chosen bdi").all_text_contents()
            assert chosen == (["turned"] if "word" in url else [])
            for x, y in corners(page, 2) if chosen else []:
                box = page.locator("#scroll").bounding_box()
                assert box["x"] <= x <= box["x"] + box["width"]
                assert box["y"] <= y <= box["y"] + box["height"]


def test_a_link_finds_its_page_though_a_search_hides_it_and_says_where_there_is_none(page):
    page.locator("#search").fill("first5")
    page.evaluate("location.hash = 'image=2.jpg&page=1&word=1'")
    page.wait_for_function("document.querySelector('#title').textContent === '2.jpg'")
    assert page.locator("#search").input_value() == ""
    page.evaluate("location.hash = 'image=<b>gone</b>&page=7'")
    page.wait_for_function("!document.querySelector('#why').hidden")
    assert "page 7 of <b>gone</b>, which is not" in page.locator("#why").text_content()
    assert title(page) == "2.jpg"


def test_a_word_on_the_page_is_chosen_by_a_click_on_it(page):
    page.locator("#stage polygon").nth(1).click()
    assert page.locator("#words .chosen bdi").all_text_contents() == ["합계"]
    assert page.url.endswith("&word=2")


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_follow_the_system_and_stay_readable(browser, report, dark):
    with browser_tests.opened(browser, report, dark=dark) as page:
        ratios = page.evaluate(CONTRAST)
    assert min(ratios.values()) >= 4.5, ratios


def test_a_narrow_window_needs_no_scrolling_sideways_and_shows_the_page(browser, report):
    with browser_tests.opened(browser, report, width=390, height=844) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        top = {
            name: page.locator(name).bounding_box()["y"] for name in (".tiles", "#stage", ".charts")
        }
        assert top[".tiles"] < top["#stage"] < top[".charts"]
        assert page.locator("#stage").bounding_box()["width"] > 250


def test_every_control_has_a_name(page):
    unnamed = page.evaluate(
        """[...document.querySelectorAll('button, input, select, nav, aside, [tabindex]')].filter((one) =>
          !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.[0]?.textContent.trim()))
          .map((one) => one.outerHTML)"""
    )
    assert unnamed == []


def test_a_hostile_table_is_inert(browser, tmp_path):
    bad = [word(text, at=(10, 10 + 20 * n)) for n, text in enumerate(HOSTILE)]
    rows = [
        row(text[:400], bad, image_path=text[:400], image_filename=text[:400], engine=text[:400],
            model_version=text[:400], split=text[:400], source=text[:400],
            input_row=f'{{"a": "{text[:400]}"}}', classes=(text[:50],) * len(bad))
        for text in HOSTILE
    ]  # fmt: skip
    failures = [failed(text[:400], text[:400], text) for text in HOSTILE]
    record = {name: HOSTILE[n % len(HOSTILE)] for n, name in enumerate(
        ["dataset", "source", "engine", "run_id", "reason", "job", "fingerprint"])}  # fmt: skip
    record |= {"engine_options": dict.fromkeys(HOSTILE, HOSTILE), "complete": False}
    file = reported(tmp_path, rows, failures, record)
    with browser_tests.opened(browser, file) as page:
        assert page.locator("#list li").count() == len(rows) + len(failures)
        for _ in range(len(rows) + len(failures)):
            page.keyboard.press("j")
        page.locator("#search").fill("<script>")
        page.locator("#filter").select_option("failures")
        kinds = page.evaluate(
            "[...new Set([...document.querySelectorAll('*')].map((e) => e.tagName.toLowerCase()))]"
        )
        assert page.evaluate("document.scripts.length") == 2 + len(rows) + len(failures)
        assert (
            page.evaluate("document.querySelectorAll('[onerror], [onload], b, iframe').length") == 0
        )
        assert "iframe" not in kinds
        assert "\u202e" not in page.content()
        page.locator("#filter").select_option("")
        page.locator("#search").fill("")
        page.locator("#list button").first.click()
        shown = page.locator("#words bdi").all_text_contents()
        assert shown[:5] == HOSTILE[:5]
        assert shown[5] == "⟨U+202E⟩fdp.exe"
        assert shown[7].endswith("… (10,000 characters)")
        assert len(shown[7]) < 400


def test_the_policy_of_the_page_stops_a_script_that_was_not_there(browser, report):
    refused = "Content Security Policy"
    with browser_tests.opened(browser, report, expected=refused) as page:
        ran = page.evaluate(
            """() => {
              const made = document.createElement('script');
              made.textContent = 'window.ran = true';
              document.body.append(made);
              return window.ran === true;
            }"""
        )
        assert not ran


def test_one_document_without_its_image_has_its_texts_in_their_boxes(browser, tmp_path):
    document = DocumentDetails(
        "0.jpg", [(0, pages()[0])], raw=b'{"pages": [{"text": "</pre><b>"}]}'
    )
    write_document(document, tmp_path / "view.html")
    with browser_tests.opened(browser, tmp_path / "view.html") as page:
        assert page.locator("#stage text").all_text_contents() == ["first0", "합계", "turned"]
        assert "</pre><b>" in page.locator("pre.raw").text_content()
        turned = page.locator("#stage text").nth(2).bounding_box()
        outline = corners(page, 2)
        assert turned["width"] == pytest.approx(
            max(x for x, _ in outline) - min(x for x, _ in outline), abs=15
        )


def test_a_page_of_many_words_lists_the_first_and_says_how_many_there_are(browser, tmp_path):
    words = [word(f"w{n}", at=(10 + n % 20 * 50, 10 + n // 20 * 20)) for n in range(450)]
    dense = row("dense.jpg", words, width_px=1100, height_px=500)
    write_document(DocumentDetails("dense", [(0, dense)]), tmp_path / "dense.html")
    with browser_tests.opened(browser, tmp_path / "dense.html") as page:
        listed = page.locator("#words li:visible")
        assert listed.count() == 200
        assert page.locator("#more").text_content() == "and 250 more words: list all"
        page.locator("#stage polygon").nth(440).click()  # one that is not in the list
        assert page.locator("#words .chosen bdi").all_text_contents() == ["w440"]
        assert (listed.count(), page.locator("#more").is_visible()) == (450, False)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two pages, compared: one word misread, one missed, one invented, two right."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "receipts").mkdir()
    there = [word("Total", at=(40, 30), confidence=None), word("due", at=(140, 30), confidence=None),
             word("missing", at=(240, 30), confidence=None)]  # fmt: skip
    read = [word("Total", at=(42, 31)), word("dve", at=(141, 32)), word("extra", at=(340, 300))]
    with (
        LabelsWriter(folder / "labels.parquet") as labels,
        LabelsWriter(folder / "truth.parquet") as truth,
    ):
        for n in range(2):
            one = row(f"{n}.jpg", read[n:], width_px=600, height_px=400, image_sha256="")
            (folder / one.image_path).write_bytes(drawn(one))
            labels.add(one)
            truth.add(row(f"{n}.jpg", there, width_px=600, height_px=400, image_sha256=""))
    app = get_command(main.app)
    (folder / "labels_run.json").write_text('{"source": "receipts"}')
    made = {"evaluate": ["--truth"], "agree": []}
    for command, option in made.items():
        app([command, str(folder / "labels.parquet"), *option, str(folder / "truth.parquet"),
             "-o", str(folder / f"{command}.html")], standalone_mode=False)  # fmt: skip
    return {command: folder / f"{command}.html" for command in made}


def test_the_truth_lies_over_what_was_read_in_the_colour_of_what_became_of_each_word(
    browser, compared
):
    with browser_tests.opened(browser, compared["evaluate"]) as page:
        assert titles(page) == ["1.jpg", "0.jpg"]
        page.keyboard.press("j")
        assert page.locator("#words bdi:first-child").all_text_contents() == [
            "dve", "missing", "extra", "Total",
        ]  # fmt: skip
        assert page.locator("#words .other").all_text_contents() == ["due"]
        (misread,) = page.locator("#words li:has(.other)").all_inner_texts()
        assert misread.startswith("dve what was read\ndue the truth")
        assert page.locator("#words .kind").all_text_contents() == [
            "misread", "missed", "invented", "right",
        ]  # fmt: skip
        assert page.locator("#stage polygon.other").count() == 3
        assert page.locator("#stage polygon:not(.other)").count() == 3
        page.locator("#search").fill("missing")
        assert page.locator("#words li:visible").count() == 1
        page.locator("#search").fill("")
        page.locator("#filter").select_option("band:v2")
        assert len(titles(page)) == 2


def test_two_readings_stand_side_by_side_and_show_the_same_part(browser, compared):
    with browser_tests.opened(browser, compared["agree"]) as page:
        assert page.locator(".side-name").all_text_contents() == ["labels.parquet", "truth.parquet"]
        page.keyboard.press("j")
        assert (
            page.locator("#stage polygon").count() == page.locator("#stage-2 polygon").count() == 3
        )
        assert page.locator("#stage img, #stage-2 img").count() == 2
        assert page.locator("polygon.other").count() == 0  # dashes are for what lies over another
        page.locator("#words button").first.click()
        page.wait_for_timeout(200)
        left, right = page.evaluate(
            "['scroll', 'scroll-2'].map((id) => document.getElementById(id)).map((e) =>"
            " [e.scrollLeft, e.scrollTop, e.clientWidth, e.firstElementChild.style.width])"
        )
        assert left[3] == right[3]
        assert left[:3] == pytest.approx(right[:3], abs=2)
        assert left[0] > 0
        page.keyboard.press("s")
        assert page.locator("#scroll-2").is_hidden()
        assert page.locator("#stage polygon").count() == 6
        assert page.locator("#stage polygon.other").count() == 3
        page.locator("#mode").select_option("1")
        assert page.locator("#stage polygon").count() == 3
        assert page.locator("polygon.other").count() == 0


@pytest.mark.parametrize("command", ["evaluate", "agree"])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_of_two_readings_is_readable_wide_and_narrow(browser, compared, command, dark):
    with browser_tests.opened(browser, compared[command], dark=dark) as page:
        ratios = page.evaluate(CONTRAST)
        assert min(ratios.values()) >= 4.5, ratios
    with browser_tests.opened(browser, compared[command], width=390, height=844) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        stage, around = (page.locator(one).bounding_box() for one in ("#stage", "#scroll"))
        assert stage["width"] > 200
        assert stage["y"] - around["y"] < 20  # the picture begins at the top
        colour = "(e) => getComputedStyle(e).backgroundColor"
        tiles, panel = (page.locator(one).evaluate(colour) for one in (".tiles", ".viewer"))
        assert tiles == panel  # where the last row has no tile


# WCAG's contrast of text against what lies behind it.
CONTRAST = """() => {
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const rgb = (css) => css.match(/[\\d.]+/g).map(Number);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const found = rgb(getComputedStyle(one).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const told = {};
  for (const name of ['h1', '.sub', '.notice', '.tiles dt', '.tiles dd', '.tiles small', '.pill', 'a',
                      '.found', '.list .name', '.list .meta', '.words bdi', '.words .sure', '.facts dt',
                      '.facts dd', 'kbd', 'footer p', '.examples p', 'button.link', '#subtitle']) {
    const one = document.querySelector(name);
    if (!one) continue;
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(behind(one))];
    told[name] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return told;
}"""
