"""The application of the anthropic SDK that a peer records: `python -m golden.anthropic_calls PEER`."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from typing import TYPE_CHECKING

import anthropic

from golden.messages import MESSAGES
from golden.playing import ask, play

if TYPE_CHECKING:
    from golden.scenarios import Call


def make_call(client: anthropic.Anthropic, call: Call) -> None:
    """Make one call and read all of its answer."""
    with contextlib.suppress(anthropic.BadRequestError):
        ask(client.messages.create, call)


if __name__ == "__main__":
    play(
        sys.argv[1],
        MESSAGES,
        open_client=partial(anthropic.Anthropic, max_retries=0),
        make_call=make_call,
    )
