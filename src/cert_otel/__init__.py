"""cert-otel: every model call of an application as a priced, verifiable record.

Most applications need nothing from here: `opentelemetry-instrument python app.py` is enough.
`import cert_otel.auto` does the same in code. Everything below is loaded when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cert_otel.capture import log_call, set_context, trace
    from cert_otel.capture.distro import configure

__all__ = ["__version__", "configure", "log_call", "set_context", "trace"]

__version__ = "0.1.0"

_HOMES = {
    "configure": "cert_otel.capture.distro",
    "log_call": "cert_otel.capture",
    "set_context": "cert_otel.capture",
    "trace": "cert_otel.capture",
}


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import importlib  # noqa: PLC0415 - only who asks pays

    return getattr(importlib.import_module(home), name)
