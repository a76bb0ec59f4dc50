"""Which context is the current one: `activate` and `release`, made for once a chunk.

OpenTelemetry's `attach` and `detach` set and reset one context variable, by four functions on
the way. Here the variable is asked directly, where it is one.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import attach, detach, get_current

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context


def _find_variable() -> ContextVar[Context] | None:
    """Return the variable; `None` where another kind of context was plugged in."""
    token = attach(get_current())
    detach(token)
    variable = getattr(token, "var", None)
    return variable if isinstance(variable, ContextVar) else None


_variable: Final = _find_variable()
activate: Final[Callable[[Context], Token[Context]]] = (
    attach if _variable is None else _variable.set
)
"""Make a context the current one; undo with `release`."""
get_active: Final[Callable[[], Context]] = get_current if _variable is None else _variable.get
"""Return the current context."""


def release(token: Token[Any]) -> None:
    """Undo the setting of a context variable.

    A coroutine that is dropped ends in whatever context the garbage collector or a closing event
    loop is in: there is nothing to undo there, and OpenTelemetry's `detach` would log an error.
    """
    try:
        token.var.reset(token)
    except ValueError:
        pass
    except AttributeError:  # a token of another kind of context
        detach(token)
