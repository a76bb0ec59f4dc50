"""Attributes as the dialects' readers handle them: taken, set, flattened lists put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cert_otel import semconv
from cert_otel.wire._values import find_count, find_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cert_otel.wire.span import Attributes

_MAX_DIGITS: Final = 6
"""Of an index; a list of a million messages is a mistake."""
PARAMETERS: Final[Mapping[str, str]] = {
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_p": semconv.REQUEST_TOP_P,
    "top_k": semconv.REQUEST_TOP_K,
    "max_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_completion_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_output_tokens": semconv.REQUEST_MAX_TOKENS,
    "frequency_penalty": semconv.REQUEST_FREQUENCY_PENALTY,
    "presence_penalty": semconv.REQUEST_PRESENCE_PENALTY,
    "seed": semconv.REQUEST_SEED,
    "n": semconv.REQUEST_CHOICE_COUNT,
    "stream": semconv.REQUEST_STREAM,
    "dimensions": semconv.EMBEDDINGS_DIMENSION_COUNT,
}
"""Parameters of a request, as providers call them."""
_SCALARS: Final = (bool, int, float, str)


def fill(attributes: Attributes, name: str, value: Any) -> None:
    """Set what is not there; nothing and empty things are no value."""
    if value in (None, "", []) or attributes.get(name) is not None:
        return
    attributes[name] = value


def move(attributes: Attributes, names: Iterable[tuple[str, str]]) -> None:
    """Give attributes their GenAI names; what has the GenAI name already wins."""
    for former, name in names:
        if former in attributes:
            fill(attributes, name, attributes.pop(former))


def fill_parameters(attributes: Attributes, parameters: Mapping[str, Any]) -> None:
    """Set what a request asked for beside its content."""
    for name, value in parameters.items():
        if name in PARAMETERS and isinstance(value, _SCALARS):
            fill(attributes, PARAMETERS[name], value)


def fill_cost(attributes: Attributes, amount: Any) -> None:
    """Set a cost that the other side has computed; its 0 means that it knew no price."""
    cost = find_number(amount)
    if not cost or cost < 0 or semconv.COST_AMOUNT in attributes:
        return
    attributes[semconv.COST_AMOUNT] = cost
    attributes[semconv.COST_CURRENCY] = "USD"
    attributes[semconv.COST_SOURCE] = "provider"


def include_cached(attributes: Attributes) -> None:
    """Add cached tokens to an input that was counted without them."""
    counted = find_count(attributes.get(semconv.USAGE_INPUT_TOKENS))
    if counted is None:
        return
    names = (semconv.USAGE_CACHE_READ_TOKENS, semconv.USAGE_CACHE_CREATION_TOKENS)
    cached = sum(find_count(attributes.get(name)) or 0 for name in names)
    attributes[semconv.USAGE_INPUT_TOKENS] = counted + cached


def take_list(attributes: Attributes, prefix: str) -> list[Attributes]:
    """Take a list that was flattened into `prefix.0.name`, `prefix.1.name`, in its order."""
    start = f"{prefix}."
    items: dict[int, Attributes] = {}
    for name in [name for name in attributes if name.startswith(start)]:
        index, _, rest = name[len(start) :].partition(".")
        if index.isdecimal() and index.isascii() and len(index) <= _MAX_DIGITS:
            items.setdefault(int(index), {})[rest] = attributes.pop(name)
    return [items[index] for index in sorted(items)]
