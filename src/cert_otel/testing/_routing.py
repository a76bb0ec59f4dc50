"""Send a client's requests to the fake provider while it believes to talk to the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cert_otel.testing._provider import FakeProvider


class _Request(Protocol):
    """The part of a request that httpx and httpx2 have in common."""

    url: Any


def route_to(provider: FakeProvider) -> dict[str, list[Callable[[_Request], None]]]:
    """Return event hooks that route every request of an HTTP client to `provider`.

    The SDK's client keeps its real base URL, so that what depends on the host (provider name,
    price) is what it would be in production. Serves `httpx.Client` and `httpx2.Client`.

    Example:
        >>> import httpx2
        >>> from cert_otel.testing import FakeProvider
        >>> from openai import OpenAI
        >>> with (
        ...     FakeProvider(["Hello."]) as provider,
        ...     httpx2.Client(event_hooks=route_to(provider)) as http_client,
        ... ):
        ...     client = OpenAI(api_key="test", http_client=http_client)
        ...     answer = client.responses.create(model="gpt-4o", input="Hi")
        >>> answer.output_text, provider.requests[0].host
        ('Hello.', 'api.openai.com')
    """

    def redirect(request: _Request) -> None:
        request.url = _rewrite(request.url, provider)

    return {"request": [redirect]}


def route_to_async(
    provider: FakeProvider,
) -> dict[str, list[Callable[[_Request], Awaitable[None]]]]:
    """Return event hooks as `route_to` does, for `httpx.AsyncClient` and `httpx2.AsyncClient`."""

    async def redirect(request: _Request) -> None:
        request.url = _rewrite(request.url, provider)

    return {"request": [redirect]}


def _rewrite(url: Any, provider: FakeProvider) -> Any:
    host, port = provider.url.removeprefix("http://").split(":")
    return url.copy_with(scheme="http", host=host, port=int(port))
