"""The application that a peer records: `python -m golden.application PEER`, in its environment.

It calls what it believes to be api.openai.com.
"""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import openai

from golden.playing import ask, play
from golden.scenarios import SCENARIOS

if TYPE_CHECKING:
    from golden.scenarios import Call


def make_call(client: openai.OpenAI, call: Call) -> None:
    """Make one call and read all of its answer."""
    methods: dict[str, Any] = {
        "chat": client.chat.completions.create,
        "responses": client.responses.create,
        "embeddings": client.embeddings.create,
    }
    with contextlib.suppress(openai.BadRequestError):
        ask(methods[call.endpoint], call)


if __name__ == "__main__":
    play(
        sys.argv[1],
        SCENARIOS,
        open_client=partial(openai.OpenAI, max_retries=0),
        make_call=make_call,
    )
