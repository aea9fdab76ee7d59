"""From the bytes of an image to what an engine is handed. Synchronous, for a child process.

    sniff          what the bytes are
    inspect        pages, sizes, orientation, from the headers
    prepare        a document for an engine that takes files
    upright_pages  RGB pages for an engine of our own

All raise Unreadable and nothing else, whatever the bytes are.
"""

from __future__ import annotations

from ocrlabel.dataset.pixels.facts import Facts, inspect
from ocrlabel.dataset.pixels.limits import LOCAL, Accepts, Limits
from ocrlabel.dataset.pixels.prepare import prepare
from ocrlabel.dataset.pixels.sniff import sniff
from ocrlabel.dataset.pixels.upright import upright_pages

__all__ = ["LOCAL", "Accepts", "Facts", "Limits", "inspect", "prepare", "sniff", "upright_pages"]
