"""`import cert_otel.auto`: what `opentelemetry-instrument` does from outside, in code.

Joins the tracer provider that is there or starts one, instruments the model SDKs that are
imported already or will be, and says so in one line. `from cert_otel.auto import *` is the
same. With `CERT_OTEL_DISABLED=true` it does nothing.
"""

from __future__ import annotations

from cert_otel.capture.distro import start

__all__: list[str] = []

start()
