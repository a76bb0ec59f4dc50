"""Reading what may be an SDK object, decoded JSON, or something nobody expected."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_COUNT: Final = 2**53
"""From here on a float, which prices and metrics work with, does not hold each integer."""
_NOTHING: Final[Mapping[str, Any]] = {}
get_logprob: Final = attrgetter("logprob")


def fields_of(value: Any) -> Mapping[str, Any]:
    """Return the fields of an SDK object or of a dictionary; none of anything else.

    For what is read at every call: asking a pydantic object for a field that it does not have
    takes 2.5 µs, its dictionary 0.03 µs. Objects come first, being what replies are made of.
    """
    if value is None:  # to find out by an error takes 0.5 µs
        return _NOTHING
    try:
        own, extra = value.__dict__, value.__pydantic_extra__
    except AttributeError:
        return value if isinstance(value, dict) else getattr(value, "__dict__", _NOTHING)
    return {**extra, **own} if extra else own


def get(value: Any, name: str) -> Any:
    """Return a field of an SDK object or of a dictionary; `None` where there is none."""
    if isinstance(value, dict):
        return value.get(name)
    return getattr(value, name, None)


def as_text(value: Any) -> str | None:
    """Return a value that is a non-empty text, else `None`."""
    return value if isinstance(value, str) and value else None


def as_list(value: Any) -> list[Any]:
    """Return a value that is a list or a tuple, else an empty list; nothing is drained."""
    if isinstance(value, list):
        return value
    return list(value) if isinstance(value, tuple) else []


def as_count(value: Any) -> int | None:
    """Return a value that can be a token count, else `None`."""
    return value if type(value) is int and 0 <= value < MAX_COUNT else None


def as_index(value: Any) -> int | None:
    """Return a value that is a position; servers of one choice may leave it out."""
    return value if isinstance(value, int) else None


def get_text(value: Any, name: str) -> str | None:
    """Return a field that is a non-empty text, else `None`."""
    return as_text(get(value, name))


def get_list(value: Any, name: str) -> list[Any]:
    """Return a field that is a list or a tuple, else an empty list; nothing is drained."""
    return as_list(get(value, name))


def get_count(value: Any, name: str) -> int | None:
    """Return a field that is a token count, else `None`."""
    return as_count(get(value, name))


def pluck_logprobs(tokens: Any) -> list[Any]:
    """Return the logprob of each token of a list, `None` where a token does not have it."""
    if not isinstance(tokens, (list, tuple)):
        return []
    try:
        return list(map(get_logprob, tokens))
    except AttributeError:  # decoded JSON
        return [get(token, "logprob") for token in tokens]
