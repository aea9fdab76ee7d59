"""Changing the fake while it runs: POST /control with the fields to change, in JSON.

{"fail": "429:0.1,500:0.05"}     chances of faults, as in --fail
{"outage": "503", "for_s": 60}   every request fails this way, for so long (0: until changed)
{"latency": "2,0.3"}             {"rps": 10}   {"rps": {"k1": 10}}   {"pages_per_minute": 600}
{"credit": 100}                  {"refuse": "k1@0:401"}     {"limits": "2026"}
{"headers": true}                {"error_shape": "flat"}    {"limiter": "sliding"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from ocrlabel.errors import ConfigError
from ocrlabel.fake.faults import parse_faults
from ocrlabel.fake.settings import Settings, limits_named, parse_latency, parse_refusals

Change = Callable[[Settings, Any], Settings]


def changed(settings: Settings, changes: Mapping[str, object]) -> Settings:
    """The settings with these changes. Raises ConfigError; then nothing is changed."""
    for name, value in changes.items():
        if name not in _CHANGES:
            raise ConfigError(f"no setting is called {name!r}: {', '.join(sorted(_CHANGES))}")
        try:
            settings = _CHANGES[name](settings, value)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{name} cannot be {value!r}") from error
    return settings


def _rps(settings: Settings, value: Any) -> Settings:
    if not isinstance(value, Mapping):
        rate = _positive(value)
        keys = tuple(replace(key, requests_per_s=rate) for key in settings.keys)
        return replace(settings, requests_per_s=rate, keys=keys)
    known = {name for key in settings.keys for name in (key.name, key.secret)}
    if unknown := set(value) - known:
        raise ConfigError(f"no key is called {min(unknown)!r}")
    return replace(
        settings,
        keys=tuple(
            replace(key, requests_per_s=_positive(value[name]))
            if (name := key.name if key.name in value else key.secret) in value
            else key
            for key in settings.keys
        ),
    )


def _pages_per_minute(settings: Settings, value: Any) -> Settings:
    rate = _positive(value)
    keys = tuple(replace(key, pages_per_minute=rate) for key in settings.keys)
    return replace(settings, pages_per_minute=rate, keys=keys)


def _limiter(settings: Settings, value: Any) -> Settings:
    if value not in {"bucket", "fixed", "sliding"}:
        raise ValueError(value)
    return replace(settings, limiter=value)


def _error_shape(settings: Settings, value: Any) -> Settings:
    if value not in {"nested", "flat"}:
        raise ValueError(value)
    return replace(settings, error_shape=value)


def _positive(value: Any) -> float | None:
    if value is None:
        return None
    if not 0 < (rate := float(value)) < 1e6:
        raise ValueError(value)
    return rate


_CHANGES: Final[Mapping[str, Change]] = {
    "fail": lambda settings, value: replace(settings, faults=parse_faults(value)),
    "latency": lambda settings, value: replace(settings, latency=parse_latency(str(value))),
    "limits": lambda settings, value: replace(settings, limits=limits_named(str(value))),
    "headers": lambda settings, value: replace(settings, headers=bool(value)),
    "credit": lambda settings, value: replace(
        settings, credit_pages=None if value is None else int(value)
    ),
    "refuse": lambda settings, value: replace(
        settings, refusals=parse_refusals(value, settings.keys)
    ),
    "rps": _rps,
    "pages_per_minute": _pages_per_minute,
    "limiter": _limiter,
    "error_shape": _error_shape,
}
