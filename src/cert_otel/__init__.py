"""cert-otel: every model call of an application as a priced, verifiable record.

Most applications need nothing from here: `opentelemetry-instrument python app.py` is enough.
`import cert_otel.auto` does the same in code. Everything below is loaded when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cert_otel._lazy import load_when_asked

if TYPE_CHECKING:
    from cert_otel.capture import log_call, set_context, trace
    from cert_otel.capture.distro import configure

__all__ = ["__version__", "configure", "log_call", "set_context", "trace"]

__version__ = "0.1.0"

__getattr__ = load_when_asked(
    __name__, {"capture": ["log_call", "set_context", "trace"], "capture.distro": ["configure"]}
)
