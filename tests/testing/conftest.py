"""Providers and clients that end with the test."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from openai import OpenAI

from cert_otel.testing import Answers, FakeProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def serve(stack: ExitStack) -> Callable[..., FakeProvider]:
    """Start a provider with these answers."""

    def start(
        answers: Answers | None = None, *, deployments: dict[str, str] | None = None
    ) -> FakeProvider:
        return stack.enter_context(FakeProvider(answers, deployments=deployments))

    return start


@pytest.fixture
def connect(serve: Callable[..., FakeProvider], stack: ExitStack) -> Callable[..., OpenAI]:
    """Start a provider with these answers and return a client of it."""

    def make(*answers: Any, **options: Any) -> OpenAI:
        provider = serve(answers or None)
        settings: dict[str, Any] = {"api_key": "test", "max_retries": 0} | options
        return stack.enter_context(OpenAI(base_url=provider.base_url, **settings))

    return make


@pytest.fixture
def ask(serve: Callable[..., FakeProvider]) -> Callable[..., Any]:
    """Post a body to a provider with these answers and return the JSON that comes back."""

    def post(path: str, body: dict[str, Any], *answers: Any) -> Any:
        return httpx2.post(f"{serve(answers or None).url}{path}", json=body).json()

    return post


@pytest.fixture
def listen(serve: Callable[..., FakeProvider]) -> Callable[..., list[tuple[str | None, str]]]:
    """Post a body and return the events that come back, as (name, data)."""

    def post(path: str, body: dict[str, Any], *answers: Any) -> list[tuple[str | None, str]]:
        url = f"{serve(answers or None).url}{path}"
        blocks = httpx2.post(url, json=body | {"stream": True}).text.strip().split("\n\n")
        return [_read_event(block) for block in blocks]

    return post


def _read_event(block: str) -> tuple[str | None, str]:
    fields = dict(line.split(": ", 1) for line in block.splitlines())
    return fields.get("event"), fields["data"]
