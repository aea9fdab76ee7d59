"""Where the service is: UPSTAGE_BASE_URL, checked once before anything is sent."""

from __future__ import annotations

import ipaddress
from typing import Final

import httpx2

from ocrlabel.errors import ConfigError

BASE_URL: Final = "https://api.upstage.ai/v1"


def checked(base_url: str) -> str:
    """The address without a slash at the end. Raises ConfigError."""
    try:
        url = httpx2.URL(base_url.strip())
    except httpx2.InvalidURL as error:
        raise ConfigError(f"UPSTAGE_BASE_URL is no address: {error}") from None
    if url.userinfo:
        raise ConfigError("UPSTAGE_BASE_URL holds a name or password: only host and path, please")
    if url.scheme not in {"http", "https"} or not _reachable(url) or url.query or url.fragment:
        raise ConfigError(f"UPSTAGE_BASE_URL is {base_url!r}: give an address such as {BASE_URL}")
    return str(url).rstrip("/")


def is_loopback(base_url: str) -> bool:
    """No proxy reaches a server on this machine."""
    host = httpx2.URL(base_url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reachable(url: httpx2.URL) -> bool:
    """Host and port are such as the resolver takes; it would raise errors of other kinds."""
    try:
        return bool(url.host.encode("idna")) and (url.port or 0) < 65536
    except UnicodeError:
        return False
