"""Request options with something of ours in them: copies, never the application's own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cert_otel.capture import Call


def replace_options(
    args: tuple[Any, ...], kwargs: dict[str, Any], options: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of `request` with other options, which come second or by name."""
    if len(args) > 1:
        return (args[0], options, *args[2:]), kwargs
    return args, {**kwargs, "options": options}


def with_watched_parser(options: Any, call: Call) -> Any:
    """Have the reply read before `parse` turns it into something else, or refuses it."""
    parser = getattr(options, "post_parser", None)
    if not callable(parser):
        return options

    def parse(reply: Any) -> Any:
        call.read_reply(reply)
        return parser(reply)

    watched = copy.copy(options)
    watched.post_parser = parse
    return watched
