from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ocrlabel.engines.tesseract import TesseractReader, tesseract, words_of
from ocrlabel.errors import ConfigError, Rejected, Unreadable
from ocrlabel.labels import FailureClass, Word
from tests.support.drawn import drawn, encoded
from tests.support.shared_data import shared_data

HEADER = (
    "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"
)


def row(level: int, box: tuple[int, int, int, int], conf: float, text: str) -> str:
    return "\t".join(map(str, (level, 1, 1, 1, 1, 1, *box, conf, text)))


def reader_of(program: str, languages: str) -> TesseractReader:
    return TesseractReader(program, {"version": "5", "languages": languages, "psm": "3"})


def needs_tesseract() -> None:
    if shutil.which("tesseract") is None:
        pytest.skip("no program tesseract: apt-get install tesseract-ocr tesseract-ocr-kor")


def test_words_are_taken_and_lines_blanks_and_the_unrecognised_are_left_out():
    tsv = "\n".join(
        [
            HEADER,
            row(1, (0, 0, 640, 200), -1, ""),
            row(4, (10, 20, 300, 40), -1, ""),
            row(5, (10, 20, 100, 40), 96.5, "합계"),
            row(5, (120, 20, 100, 40), 12, " "),
            row(5, (230, 20, 80, 40), -1, "??"),
            row(5, (320, 20, 80, 40), 0, '"quoted'),
            "",
        ]
    )
    assert list(words_of(tsv)) == [
        Word("합계", ((10, 20), (110, 20), (110, 60), (10, 60)), 0.965),
        Word('"quoted', ((320, 20), (400, 20), (400, 60), (320, 60)), 0.0),
    ]


def test_a_page_of_nothing_has_no_words():
    assert list(words_of(HEADER + "\n" + row(1, (0, 0, 1, 1), -1, ""))) == []


def test_it_reads_what_is_written():
    needs_tesseract()
    words = reader_of("tesseract", "eng")(drawn("Invoice total 12.50"))
    assert [word.text for word in words] == ["Invoice", "total", "12.50"]


def test_it_reads_hangul():
    needs_tesseract()
    image = Image.open(shared_data("ocr-dev", "images", "synth_ko_receipt_a.jpg")).convert("RGB")
    text = " ".join(w.text for w in reader_of("tesseract", "kor+eng")(image))
    assert sum("가" <= character <= "힣" for character in text) > 20


def test_korean_comes_first_where_it_is_installed():
    needs_tesseract()
    engine = tesseract(parallel=1)
    assert engine.options["languages"] == "kor+eng"
    assert engine.notice == "tesseract reads kor+eng."
    asyncio.run(engine.close())


def program(folder: Path, text: str) -> str:
    path = folder / "tesseract"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


ENGLISH_ONLY = """
case "$1" in
--version) echo "tesseract 5.9.9";;
--list-langs) printf 'List of languages:\\neng\\nosd\\n';;
*) cat >/dev/null; echo "read_params_file: cannot open tsv" >&2; exit 1;;
esac
"""


def test_without_korean_it_reads_english_and_says_what_to_install(tmp_path):
    engine = tesseract(program=program(tmp_path, ENGLISH_ONLY), parallel=1)
    assert engine.options["languages"] == "eng"
    assert engine.options["version"] == "5.9.9"
    assert "apt-get install tesseract-ocr-kor" in engine.notice


def test_a_language_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no data for jpn; it has eng, osd"):
        tesseract(program=program(tmp_path, ENGLISH_ONLY), languages=["jpn", "eng"])


def test_a_missing_program_is_named_with_the_command_that_installs_it(tmp_path):
    with pytest.raises(ConfigError, match="apt-get install tesseract-ocr tesseract-ocr-kor"):
        tesseract(program=str(tmp_path / "absent"))


def test_a_program_that_does_not_answer_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="--list-langs does not answer"):
        tesseract(program=program(tmp_path, "exit 3"))


def test_a_page_that_the_program_refuses_is_rejected_in_its_own_words(tmp_path):
    reader = reader_of(program(tmp_path, ENGLISH_ONLY), "eng")
    with pytest.raises(Rejected, match="status 1: read_params_file: cannot open tsv"):
        reader(drawn("text"))


HANGS = """
case "$1" in
--version) echo "tesseract 5.9.9";;
--list-langs) printf 'List of languages:\\neng\\n';;
*) echo $$ > "$0.pid"; exec sleep 600;;
esac
"""


def test_a_page_that_hangs_takes_the_program_with_it_when_its_process_is_killed(tmp_path):
    async def go() -> None:
        path = program(tmp_path, HANGS)
        engine = tesseract(program=path, parallel=1, page_timeout_s=3)
        document = await engine.prepare(encoded(drawn("slow")))
        with pytest.raises(Unreadable) as hung:
            await engine.recognise(document, "local")
        await engine.close()
        assert hung.value.failure is FailureClass.TIMED_OUT
        pid = int(Path(path + ".pid").read_text())
        assert not Path(f"/proc/{pid}/fd/0").exists()  # gone, or a zombie that init will reap

    asyncio.run(go())
