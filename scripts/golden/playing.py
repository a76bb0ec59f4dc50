"""Scenarios played under a peer: what the applications of single SDKs have in common."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from golden.marks import mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from golden.scenarios import Call, Scenario


class Client(Protocol):
    """Of an SDK."""

    def close(self) -> None:
        """Give back connections."""


C = TypeVar("C", bound=Client)


def play(
    peer: str,
    scenarios: Iterable[Scenario],
    *,
    open_client: Callable[[], C],
    make_call: Callable[[C, Call], None],
) -> None:
    """Make every call of the scenarios under a peer; the client is opened when that is set up.

    After each call everything is exported, and the receiver is told.
    """
    flush = import_module(f"golden.peers.{peer}").set_up()
    client = open_client()
    for scenario in scenarios:
        for call in scenario.calls:
            make_call(client, call)
            flush()
            mark(scenario.name)
    client.close()


def ask(method: Any, call: Call) -> None:
    """Call a method of an SDK and read all of its answer."""
    answer = method(**call.request)
    if call.request.get("stream"):
        for _ in answer:
            pass
