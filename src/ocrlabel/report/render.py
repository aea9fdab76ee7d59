"""A report's values -> the bytes of one HTML file that needs nothing else.

The file is written piece by piece, so that the pictures are never all in memory. What the browser
may do is nailed down in the page itself: no network, and only this one script and this one style
sheet, told by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from importlib import metadata, resources
from importlib.util import find_spec
from typing import Any

from ocrlabel.errors import ConfigError
from ocrlabel.report.colours import BANDS, UNKNOWN
from ocrlabel.report.model import Report

_UNSAFE_IN_A_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def need_jinja() -> None:
    """Raises ConfigError where the extra is not installed."""
    if find_spec("jinja2") is None:
        raise ConfigError("the report needs jinja2: pip install 'ocrlabel[report]'")


def html(report: Report, pictures: Iterable[str] = ()) -> Iterator[bytes]:
    """The page, in pieces. pictures: what `picture_json` made for each page, asked for in order."""
    need_jinja()
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - an extra
    from markupsafe import Markup  # noqa: PLC0415 - comes with it

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_file("report.html.j2"))
    style, script = _file("report.css"), _file("report.js")
    data = {
        "items": report.pages,
        "failures": report.failure_classes,
        "classes": report.word_classes,
    }
    pieces = template.generate(
        report=report,
        bands=(*BANDS, UNKNOWN),
        version=metadata.version("ocrlabel"),
        # Our own two files, and JSON that script_json made safe: the only things not escaped.
        style=Markup(style),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=Markup(script_json(data)),  # noqa: S704 - made safe
        pictures=(Markup(one) for one in pictures),  # noqa: S704 - made safe by picture_json
    )
    for piece in pieces:
        yield piece.encode("utf-8", "replace")


def picture_json(source: str, why: str = "") -> str:
    """One picture as the viewer reads it: a data URI, or why there is none."""
    return script_json({"src": source} if source else {"why": why})


def script_json(value: Any) -> str:
    """JSON that nothing inside can break out of a <script> with. Raises ValueError for NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_UNSAFE_IN_A_SCRIPT)


def _file(name: str) -> str:
    return resources.files("ocrlabel.report").joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
