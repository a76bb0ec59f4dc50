"""Which price list applies to a call: `find_price_id`, and a host in the user's own prices."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from cert_otel.pricing._files import get_overrides
from cert_otel.pricing._providers import find_server, match_platform

_SIGNED: Final = frozenset({"aws", "azure"})
"""Price lists of providers that a client is made for, whatever its endpoint: no other server
takes such requests."""


def find_host_prices(host: str, port: int | None) -> str | None:
    """Find what the user's own prices call a host: `HOST:PORT`, `HOST`, or `None`."""
    listed = get_overrides().providers
    if not listed:
        return None
    host = host.lower().rstrip(".")
    names = (host,) if port is None else (f"{host}:{port}", host)
    return next((name for name in names if name in listed), None)


def find_price_id(
    platform: str | None, server_address: str | None = None, server_port: int | None = None
) -> str | None:
    """Find the price list that applies to a call that somebody else recorded.

    Args:
        platform: A provider as telemetry names it: `gen_ai.provider.name`, `gen_ai.system`,
            OpenInference's `llm.provider`, `openai.chat`, `Azure`, `vertex_ai`, …
        server_address: Host, host and port, or URL that was called, where it is known. A known
            host decides; an unknown one leaves no price to a name that may be a protocol's.
        server_port: Where it is not part of the address.

    Returns:
        An id for `price_call`; `None` where nobody's prices apply.
    """
    named = None if platform is None else match_platform(platform)
    if server_address:
        host, port, path = _split_address(server_address)
        server = find_server(host, path)
        if server is not None:
            return server.price_id
        return find_host_prices(host, port or server_port) or (named if named in _SIGNED else None)
    if named is None and platform is not None and platform.lower() in get_overrides().providers:
        return platform.lower()
    return named


@lru_cache(maxsize=256)
def _split_address(address: str) -> tuple[str, int | None, str]:
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        port = parts.port
    except ValueError:
        return address, None, ""  # an IPv6 address without brackets, for instance
    return parts.hostname or "", port, parts.path
