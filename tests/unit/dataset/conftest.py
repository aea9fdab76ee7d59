from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The test images that lie beside the project and are never part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the test images are not there: ../shared/data beside the project")
    return SHARED_DATA
