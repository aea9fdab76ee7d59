"""The test data that lies beside the project and is never part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """A file or folder of it; skips the test where the data is not there."""
    path = SHARED.joinpath(*parts)
    if not SHARED.is_dir():
        pytest.skip("the test data is not beside the project: ../shared/data")
    return path
