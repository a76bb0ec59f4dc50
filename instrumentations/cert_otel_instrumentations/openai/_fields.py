"""Reading what may be an SDK object, decoded JSON, or something nobody expected."""

from __future__ import annotations

from typing import Any


def get(value: Any, name: str) -> Any:
    """Return a field of an SDK object or of a dictionary; `None` where there is none."""
    if isinstance(value, dict):
        return value.get(name)
    return getattr(value, name, None)


def get_text(value: Any, name: str) -> str | None:
    """Return a field that is a non-empty text, else `None`."""
    text = get(value, name)
    return text if isinstance(text, str) and text else None


def get_list(value: Any, name: str) -> list[Any]:
    """Return a field that is a list or a tuple, else an empty list; nothing is drained."""
    items = get(value, name)
    return list(items) if isinstance(items, (list, tuple)) else []


def get_count(value: Any, name: str) -> int | None:
    """Return a field that is a token count, else `None`."""
    count = get(value, name)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        return None
    return count
