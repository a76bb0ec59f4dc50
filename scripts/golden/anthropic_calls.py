"""The application of the anthropic SDK that a peer records: `python -m golden.anthropic_calls PEER`."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anthropic

from golden.marks import mark
from golden.messages import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golden.scenarios import Call


def make_call(client: anthropic.Anthropic, call: Call) -> None:
    """Make one call and read all of its answer."""
    method: Any = client.messages.create
    with contextlib.suppress(anthropic.BadRequestError):
        answer = method(**call.request)
        if call.request.get("stream"):
            for _ in answer:
                pass


def main(arguments: Sequence[str]) -> None:
    """Run every scenario under the peer that is named."""
    flush = import_module(f"golden.peers.{arguments[0]}").set_up()
    client = anthropic.Anthropic(max_retries=0)
    for scenario in MESSAGES:
        for call in scenario.calls:
            make_call(client, call)
            flush()
            mark(scenario.name)
    client.close()


if __name__ == "__main__":
    main(sys.argv[1:])
