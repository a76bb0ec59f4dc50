"""The application that a peer records: `python -m golden.application PEER`, in its environment.

It calls what it believes to be api.openai.com. After each call everything is exported, and the
receiver is told.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import openai

from golden.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golden.scenarios import Call


def mark(scenario: str) -> None:
    """Tell the receiver that everything is exported; urllib, since no instrumentor sees it."""
    url = f"{os.environ['OTEL_EXPORTER_OTLP_ENDPOINT']}/mark?scenario={quote(scenario)}"
    request = Request(url, data=b"", method="POST")  # noqa: S310 - our own loopback receiver
    build_opener(ProxyHandler({})).open(request).close()


def make_call(client: openai.OpenAI, call: Call) -> None:
    """Make one call and read all of its answer."""
    methods = {
        "chat": client.chat.completions.create,
        "responses": client.responses.create,
        "embeddings": client.embeddings.create,
    }
    method: Any = methods[call.endpoint]
    with contextlib.suppress(openai.BadRequestError):
        answer = method(**call.request)
        if call.request.get("stream"):
            for _ in answer:
                pass


def main(arguments: Sequence[str]) -> None:
    """Run every scenario under the peer that is named."""
    flush = import_module(f"golden.peers.{arguments[0]}").set_up()
    client = openai.OpenAI(max_retries=0)
    for scenario in SCENARIOS:
        for call in scenario.calls:
            make_call(client, call)
            flush()
            mark(scenario.name)
    client.close()


if __name__ == "__main__":
    main(sys.argv[1:])
