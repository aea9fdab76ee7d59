"""The proxy that requests go through, as the variables name it: for messages."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

WITHOUT = "hosts in NO_PROXY are reached without it"


def through_proxy(url: str, environment: Mapping[str, str]) -> str:
    """`through the proxy HTTPS_PROXY=http://host:3128`; "" where none is on the way.

    The libraries find it by the same rules themselves. Its name and password are left out.
    """
    values = {name: value.strip() for name, value in environment.items() if value.strip()}
    names = {name.lower(): name for name in sorted(values)}  # capitals first
    where = urlsplit(url)
    name = names.get(f"{where.scheme}_proxy") or names.get("all_proxy")
    without = values.get(names.get("no_proxy", ""), "").replace(" ", "").split(",")
    if name is None or "*" in without or _is_under(where.hostname or "", without):
        return ""
    scheme, _, address = values[name].rpartition("://")
    shown = f"{scheme or 'http'}://{address.rpartition('@')[2]}"
    return f"through the proxy {name}={shown}"


def _is_under(host: str, domains: list[str]) -> bool:
    return any(f".{host}".endswith(f".{one.lstrip('.')}") for one in domains if one)
