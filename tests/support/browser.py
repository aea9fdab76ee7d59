"""Chromium for tests: the system's own, opened once, with every page's complaints collected."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import NEEDS

# Without these Chromium looks for updates and hosts of its own as soon as it starts.
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NEEDS["browser"])))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, file: Path, *, width: int = 1440, height: int = 900,
           dark: bool = False, expected: str = "", link: str = "") -> Iterator[Page]:  # fmt: skip
    """The file in a window; at the end nothing may have been complained about or asked for.

    expected: what stands in the only complaint that is wanted. link: "#" and what follows.
    """
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    try:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda request: complaints.append(f"asked for {request.url[:100]}")
                if not request.url.startswith(("file:", "data:")) else None)  # fmt: skip
        page.goto(file.as_uri() + link)
        yield page
        unwanted = [one for one in complaints if not expected or expected not in one]
        assert not unwanted, unwanted
        assert bool(complaints) == bool(expected), complaints
    finally:
        context.close()
