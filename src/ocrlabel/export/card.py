"""The data card beside every export: what it is, from where, how much, and what is weak in it."""

from __future__ import annotations

from collections.abc import Mapping

from ocrlabel.export.base import Options, Summary

WEAKNESSES: Mapping[str, str] = {
    "rapidocr": (
        "rapidocr's standard model reads Latin letters, digits and Chinese. It reads no Hangul:"
        " Korean comes out as Chinese characters that are not there, often with a high confidence."
    ),
    "tesseract": (
        "tesseract is made for scanned print. On photographs, receipts at an angle and curved text"
        " it misses words, and its boxes are never rotated."
    ),
    "upstage": (
        "The service's boxes are in pixels of the image as it was sent; very small and handwritten"
        " words are where it errs most."
    ),
    "scripted": "The labels are a script's, made for tests. They say nothing about the images.",
}
"""By engine, what is known to go wrong. Measured in docs/quality.md."""

_INTRODUCTION = (
    "Pseudo-labels: an OCR engine wrote them, and people saw only the pages whose source says so."
    " Made by `ocrlabel export`."
)
_ABOUT_CONFIDENCES = (
    "- The confidences are the engine's own and not calibrated; check them with"
    " `ocrlabel evaluate` on pages with known text."
)
_MOST = 50  # lines of one list; a table of annotators or models may be longer


def card(summary: Summary, options: Options) -> str:
    """Return the card as Markdown. Equal exports have equal cards: it holds no time of its own."""
    first, last = summary.labelled
    return "\n".join(
        [
            f"# OCR labels ({summary.format})",
            "",
            _INTRODUCTION,
            "",
            "## What",
            *_list({"pages": summary.pages, "words": summary.words, "images": summary.images}),
            f"- do-not-care among the words: {summary.ignored}{_rule(options)}",
            *(f"- words left out, {why}: {n}" for why, n in summary.left_out.items()),
            *_if(summary.changed, "texts that this format cannot hold as they are, changed"),
            *_if(summary.missing, "pages left out because their image was not found"),
            "",
            "## Splits",
            *_list(summary.splits),
            _made(options),
            *_if(summary.leaks, "documents that stand in more than one of these splits"),
            "",
            "## From where",
            *_list(summary.engines, unit="pages"),
            *(f"- source `{_plain(name)}`: {n} pages" for name, n in _first(summary.sources)),
            f"- labelled from {first or 'unknown'} to {last or 'unknown'}",
            "- polygons are in pixels of the upright page",
            "",
            "## Known weaknesses",
            _ABOUT_CONFIDENCES,
            *(f"- {text}" for text in _known(summary)),
            "",
        ]
    )


def _known(summary: Summary) -> list[str]:
    named = {engine.split(" ", 1)[0] for engine in summary.engines}
    return [text for engine, text in WEAKNESSES.items() if engine in named]


def _rule(options: Options) -> str:
    if options.ignore_below is None:
        return ""
    return f" (confidence below {options.ignore_below:g} counts as do-not-care)"


def _made(options: Options) -> str:
    if not options.splits.shares:
        return "- kept as the table has them"
    shares = ", ".join(f"{name} {share:g}" for name, share in options.splits.shares)
    return f"- made by document ({shares}): all pages and copies of a document are on one side"


def _if(number: int, what: str) -> list[str]:
    return [f"- {what}: {number}"] if number else []


def _list(numbers: Mapping[str, int], *, unit: str = "") -> list[str]:
    return [f"- {_plain(name)}: {n} {unit}".rstrip() for name, n in _first(numbers)]


def _first(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda item: (-item[1], item[0]))[:_MOST]


def _plain(name: str) -> str:
    """One line, whatever the table says."""
    return " ".join(name.replace("`", "'").split()) or "unknown"
