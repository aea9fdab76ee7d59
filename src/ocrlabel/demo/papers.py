"""The kinds of pages: a receipt, a form, a letter, a delivery note, a blank sheet."""

from __future__ import annotations

from random import Random

from ocrlabel.demo import wording
from ocrlabel.demo.sheet import Sheet, length


def receipt(rng: Random) -> Sheet:
    """A till receipt: narrow, prices on the right."""
    items = rng.sample(wording.GOODS, rng.randint(5, 12))
    size = rng.choice((24, 28, 32))
    step = size * 1.5
    sheet = Sheet(size * 24, int(step * (len(items) + 14)), ink=rng.randint(10, 70))
    left, right, y = size * 1.5, sheet.width_px - size * 1.5, step
    street, town = wording.address(rng)
    for line, line_size in (
        (rng.choice(wording.SHOPS), int(size * 1.3)),
        (street, size),
        (town, size),
    ):
        sheet.write((sheet.width_px - length(line, line_size)) / 2, y, line, line_size)
        y += step * 1.15
    sheet.write(left, y, f"Date {wording.date(rng)}", size)
    sheet.write(right, y, f"No. {rng.randint(1000, 9999)}", size, "right")
    y += step * 1.3
    sheet.rule(left, right, y)
    y += step * 0.5
    total = 0
    for item in items:
        cents = rng.randint(45, 3999)
        total += cents
        sheet.write(left, y, item, size)
        sheet.write(right, y, wording.money(cents), size, "right")
        y += step
    sheet.rule(left, right, y + size * 0.3)
    y += step
    sheet.write(left, y, "TOTAL", int(size * 1.3))
    sheet.write(right, y, wording.money(total), int(size * 1.3), "right")
    y += step * 1.4
    sheet.write(left, y, f"Tax 10% {wording.money(total // 11)}", size)
    sheet.write(left, y + step * 1.5, "Thank you, please come again!", size)
    return sheet


def form(rng: Random) -> Sheet:
    """A filled-in form: labels, boxes, answers."""
    size = rng.choice((22, 26, 30))
    fields = rng.sample(wording.FIELDS, 9)
    sheet = Sheet(size * 40, size * 46)
    left, middle, right = size * 3, size * 14, sheet.width_px - size * 3
    sheet.write(
        left, size * 2, rng.choice(("RETURN FORM", "ORDER FORM", "CHANGE OF ADDRESS")), size * 2
    )
    sheet.write(right, size * 2.3, f"Form {rng.randint(100, 999)}-B", size, "right")
    sheet.write(left, size * 5, "Please use black ink and capital letters.", size)
    y = size * 8.0
    for field in fields:
        sheet.write(left, y, field, size)
        sheet.frame(middle, y - size * 0.6, right, y + size * 1.8)
        sheet.write(middle + size, y, wording.answer(field, rng), size)
        y += size * 3.4
    sheet.scribble(middle, y, size * 9, size * 3)
    sheet.rule(middle, right, y + size * 3)
    sheet.write(middle, y + size * 3.4, "Signature", int(size * 0.8))
    return sheet


def letter(rng: Random) -> Sheet:
    """A page of running text at about 150 dpi, A4."""
    size = rng.choice((22, 24, 26))
    sheet = Sheet(1240, 1754, ink=rng.randint(0, 40))
    left, right, y = 130.0, 1110.0, 130.0
    for line in (rng.choice(wording.PEOPLE), *wording.address(rng)):
        sheet.write(left, y, line, size)
        y += size * 1.5
    sheet.write(right, 130, wording.date(rng), size, "right")
    y += size * 3
    sheet.write(left, y, f"Your order {rng.randint(10_000, 99_999)}", int(size * 1.25))
    y += size * 3
    for _ in range(rng.randint(2, 4)):
        for line in _broken(" ".join(rng.sample(wording.SENTENCES, 4)), size, right - left):
            sheet.write(left, y, line, size)
            y += size * 1.5
        y += size
    sheet.write(left, y + size, "Yours sincerely,", size)
    sheet.scribble(left, y + size * 3, size * 8, size * 3)
    sheet.write(left, y + size * 7, rng.choice(wording.PEOPLE), size)
    return sheet


def delivery_note(rng: Random) -> Sheet:
    """A table with small print at about 150 dpi: four columns."""
    size = 26
    sheet = Sheet(1240, 1400)
    left, right = 90, 1150
    sheet.write(left, 60, "DELIVERY NOTE", size * 2)
    sheet.write(right, 72, f"{rng.randint(100_000, 999_999)}", size, "right")
    columns, y = (left, 210, 900, right), 200.0
    for x, title in zip(columns, ("Pos.", "Article", "Pieces", "Price"), strict=True):
        sheet.write(x, y, title, size, "left" if x < 500 else "right")
    for position, item in enumerate(rng.sample(wording.GOODS, 14), 1):
        y += size * 2.6
        sheet.rule(left, right, y - size * 0.7, 1)
        sheet.write(left, y, str(position), size)
        sheet.write(210, y, item, size)
        sheet.write(900, y, str(rng.randint(1, 40)), size, "right")
        sheet.write(right, y, wording.money(rng.randint(99, 9999)), size, "right")
    sheet.write(left, y + size * 4, "Received in good order and condition", int(size * 0.8))
    return sheet


def blank(_rng: Random) -> Sheet:
    """The back of a page: nothing on it."""
    return Sheet(827, 1169)


def _broken(text: str, size_px: int, width_px: float) -> list[str]:
    """Lines that fit the width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if length(longer, size_px) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
