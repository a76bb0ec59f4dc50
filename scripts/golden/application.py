"""The application that a peer records: `python -m golden.application PEER`, in its environment.

It calls what it believes to be api.openai.com. After each call everything is exported, and the
receiver is told.
"""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import openai

from golden.marks import mark
from golden.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golden.scenarios import Call


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
