"""How long to wait before an image is sent again."""

from __future__ import annotations

from collections.abc import Callable

BASE_S = 1.0
CAP_S = 60.0


def wait_s(
    attempt: int,
    retry_after_s: float | None,
    uniform: Callable[[float, float], float],
    *,
    base_s: float = BASE_S,
    cap_s: float = CAP_S,
) -> float:
    """Seconds to wait after the n-th failure, n from 1.

    max(retry_after_s, uniform(0, min(cap_s, base_s * 2 ** (n - 1))))

    Full jitter: images that failed together do not come back together. Never less than the
    service asked for, also where that is more than cap_s.
    """
    # the exponent is bounded because 2.0 ** 1024 is an error, not infinity
    most_s = min(cap_s, base_s * 2.0 ** min(max(attempt, 1) - 1, 60))
    return max(retry_after_s or 0.0, uniform(0.0, most_s))
