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
    """Have the reply read where the parser of `parse` refuses it: it was billed all the same."""
    parser = getattr(options, "post_parser", None)
    if not callable(parser):
        return options

    def parse(reply: Any) -> Any:
        try:
            return parser(reply)
        except Exception:
            call.read_reply(reply)
            raise

    watched = copy.copy(options)
    watched.post_parser = parse
    return watched
