"""Who answers a call, and by whose price list: from the client's class and the host.

First match wins. Which host is whose, and which price list applies to it, `cert_otel.pricing`
knows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from cert_otel.pricing import (
    AZURE,
    BEDROCK,
    UNKNOWN_SERVER_PROVIDER,
    VERTEX,
    find_host_prices,
    find_server,
)


class Target(NamedTuple):
    """The server side of a call."""

    provider: str
    """`gen_ai.provider.name`."""
    price_id: str | None
    """Whose price list applies; `None` where there is none, as on localhost."""
    host: str | None
    port: int | None
    """Left out where it is the default of the scheme."""
    reports_cost: bool = False
    """The reply carries what the call cost, and that figure wins."""


AZURE_PRICE_ID: Final = AZURE.price_id
_CLASSES: Final = {
    "BaseAzureClient": AZURE,
    "BedrockOpenAI": BEDROCK,
    "AsyncBedrockOpenAI": BEDROCK,
    "AnthropicBedrock": BEDROCK,
    "AsyncAnthropicBedrock": BEDROCK,
    "AnthropicVertex": VERTEX,
    "AsyncAnthropicVertex": VERTEX,
}
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def resolve_target(
    client_class: type, *, scheme: str, host: str, port: int | None, path: str = ""
) -> Target:
    """Say who serves a client.

    Args:
        client_class: Decides before the host: an Azure client may sit behind a gateway.
        scheme: `https` or `http`.
        host: Without port, any case.
        port: As in the URL, else `None`.
        path: Path of the base URL; some routers put the provider there.
    """
    host = host.lower().rstrip(".")
    shown_port = None if port == _DEFAULT_PORTS.get(scheme) else port
    address = host or None
    for base in client_class.__mro__:
        if (by_class := _CLASSES.get(base.__name__)) is not None:
            return Target(by_class.provider, by_class.price_id, address, shown_port)
    server = find_server(host, path)
    if server is None:
        own_prices = find_host_prices(host, port)
        return Target(UNKNOWN_SERVER_PROVIDER, own_prices, address, shown_port)
    return Target(server.provider, server.price_id, address, shown_port, server.reports_cost)
