"""Hangul words of `--language ko`: exact and in place, on pages with truth and on rendered ones.

    python benchmarks/korean_lines.py ../shared/data/ocr-dev      # the Korean pages there
    python benchmarks/korean_lines.py --rendered 30 [--seed 7]    # pages that it makes (Debian's
                                                                  # fonts-nanum, fonts-unfonts-core)

Exact and in place: the same text, and boxes with an IoU of at least 0.5. Beside it the same for all
other words, the CER of a page's Hangul without spaces, and words of the truth that were split in
two or joined with another. Every second rendered page is as a telephone sees it: in perspective,
under a shadow, JPEG 60. Nothing was tuned on rendered pages.
"""

from __future__ import annotations

import argparse
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidfuzz.distance import Levenshtein
from shapely import Polygon

from ocrlabel.engines.korean_lines import is_hangul
from ocrlabel.engines.models import cache_folder
from ocrlabel.engines.rapidocr import RapidReader, rapid_ocr
from ocrlabel.images.prepare import upright_pages
from ocrlabel.labels import Word
from ocrlabel.quality.truth import read_jsonl

GENRES = {
    "contract": "제1조 목적 이 계약은 갑과 을 사이의 물품 공급에 관한 권리와 의무를 정한다 계약"
    " 기간은"
    " 2026년 3월 1일부터 1년으로 하며 당사자의 서면 합의에 따라 연장할 수 있다",
    "receipt": "상호 한빛문구 사업자번호 123-45-67890 볼펜 1,800원 복사용지 6,500원 합계 금액"
    " 12,500원"
    " 부가세 포함 카드결제 승인번호 30291847 감사합니다",
    "letter": "안녕하세요 지난주에 보내 주신 자료는 잘 받았습니다 다음 회의는 목요일 오후 두 시에"
    " 본관 대회의실에서 열립니다 바쁘시더라도 꼭 참석해 주시기 바랍니다",
    "notice": "공지사항 정기 점검으로 인하여 서비스가 일시 중단됩니다 이용에 불편을 드려 죄송합니다"
    " 문의 총무팀 Tel 02-555-0199 E-mail help 하반기 사업 계획",
}
FONTS = sorted(
    path
    for folder in ("/usr/share/fonts/truetype/nanum", "/usr/share/fonts/truetype/unfonts-core")
    for path in Path(folder).glob("*.ttf")
    if "Coding" not in path.name and "Eco" not in path.name
)
Drawn = tuple[str, tuple[tuple[float, float], ...]]


def rendered(seed: int) -> tuple[str, Image.Image, list[Drawn]]:
    """A page of a genre, and its words with their corners."""
    rng = random.Random(seed)
    genre = sorted(GENRES)[seed % len(GENRES)]
    font = ImageFont.truetype(str(rng.choice(FONTS)), rng.choice([22, 26, 30, 36, 44]))
    page = Image.new("RGB", (1200, 900), (rng.randint(235, 255),) * 3)
    draw, words = ImageDraw.Draw(page), []
    text = GENRES[genre].split()
    rng.shuffle(text)
    left_px, top_px = 70.0, 60.0
    space_px = font.getlength(" ") * rng.choice([0.9, 1.0, 1.3])
    for word in text * 3:
        if left_px + font.getlength(word) > page.width - 70:
            left_px, top_px = 70.0, top_px + font.size * rng.choice([1.5, 1.8])
        if top_px > page.height - 100:
            break
        draw.text((left_px, top_px), word, font=font, fill=(rng.randint(0, 70),) * 3)
        x0, y0, x1, y1 = draw.textbbox((left_px, top_px), word, font=font)
        words.append((word, ((x0, y0), (x1, y0), (x1, y1), (x0, y1))))
        left_px = x1 + space_px
    return (genre, *(seen_by_a_telephone(page, words, rng) if seed % 2 else (page, words)))


def seen_by_a_telephone(
    page: Image.Image, words: list[Drawn], rng: random.Random
) -> tuple[Image.Image, list[Drawn]]:
    wide, high = page.size
    corners = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], np.float32)
    moved = corners + np.array([[rng.uniform(-30, 30) for _ in "xy"] for _ in corners], np.float32)
    bent = cv2.getPerspectiveTransform(corners, moved)
    pixels = cv2.warpPerspective(np.asarray(page), bent, page.size, borderMode=cv2.BORDER_REPLICATE)
    shadow = np.linspace(1.0, rng.uniform(0.55, 0.8), wide, dtype=np.float32)[None, :, None]
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 4, pixels.shape)
    shaded = Image.fromarray(np.clip(pixels * shadow + noise, 0, 255).astype(np.uint8))
    saved = BytesIO()
    shaded.save(saved, "JPEG", quality=60)
    placed = [
        (text, tuple(map(tuple, cv2.perspectiveTransform(np.array([box], np.float32), bent)[0])))
        for text, box in words
    ]
    return Image.open(saved).convert("RGB"), placed


def given(data: Path) -> Iterator[tuple[str, Image.Image, list[Drawn]]]:
    for page in read_jsonl(data / "labels.jsonl"):
        words = [(word.text, word.polygon) for word in page.words]
        if any(map(is_hangul, "".join(text for text, _ in words))):
            raster = list(upright_pages((data / page.name.path).read_bytes()))[page.name.page - 1]
            yield page.name.path, raster.convert("RGB"), words


@dataclass
class Count:
    """Words of the truth, and how many were read exactly and in place."""

    of: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    edits: int = 0
    split: int = 0
    joined: int = 0

    def add(self, truth: list[Drawn], read: list[Word]) -> None:
        """Words of one page."""
        texts = {word.text for word in read}
        for text, corners in truth:
            kind = "hangul" if any(map(is_hangul, text)) else "other"
            self.of[kind] += 1
            there = [word for word in read if word.text == text]
            if any(iou(corners, word.polygon) >= 0.5 for word in there):
                self.right[kind] += 1
            elif text not in texts:
                self.split += any(
                    text[:at] in texts and text[at:] in texts for at in range(1, len(text))
                )
                self.joined += any(text in other and text != other for other in texts)
        wanted, found = (
            "".join(filter(is_hangul, "".join(words)))
            for words in ([text for text, _ in truth], [word.text for word in read])
        )
        self.characters += len(wanted)
        self.edits += Levenshtein.distance(wanted, found)

    def __str__(self) -> str:
        hangul, other = (
            f"{self.right[kind]} of {self.of[kind]} {kind}"
            f" ({self.right[kind] / max(1, self.of[kind]):.3f})"
            for kind in ("hangul", "other")
        )
        cer = self.edits / max(1, self.characters)
        return f"{hangul}; {other}; CER {cer:.3f}; {self.split} split, {self.joined} joined"


def iou(one: tuple[tuple[float, float], ...], other: tuple[tuple[float, float], ...]) -> float:
    a, b = Polygon(one).buffer(0), Polygon(other).buffer(0)
    both = a.union(b).area
    return float(a.intersection(b).area / both) if both else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--rendered", type=int, default=0)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    if chosen.rendered and not FONTS:
        parser.error("no Korean font is here: apt-get install fonts-nanum fonts-unfonts-core")
    if not chosen.rendered and chosen.data is None:
        parser.error("name the folder of ocr-dev, or --rendered 30")
    cache = cache_folder(os.environ)
    reader = RapidReader(rapid_ocr(languages=("ko",), cache=cache).options, 1, cache)
    print(reader.about)
    counts: dict[str, Count] = {}
    made = (rendered(chosen.seed * 1000 + number) for number in range(chosen.rendered))
    for name, image, truth in made if chosen.rendered else given(chosen.data):
        for group in (name, "all"):
            counts.setdefault(group, Count())
        read = list(reader(image))
        counts[name].add(truth, read)
        counts["all"].add(truth, read)
    for name, count in counts.items():
        print(f"{name}: {count}", flush=True)


if __name__ == "__main__":
    main()
