"""Foreign software that the tests set beside ours, and which version: the one place that says so."""

from __future__ import annotations

from typing import Final

INSTRUMENTORS: Final = (
    "opentelemetry-instrumentation-genai-openai>=1.3b0,<2",
    "opentelemetry-instrumentation-openai>=0.62,<1",
    "openinference-instrumentation-openai>=0.1.66,<1",
    "opentelemetry-distro>=0.66b0,<1",
    "openai>=3.51,<4",
)
"""In one environment with ours."""
ROTEL: Final = "rotel==0.0.1a15"
"""An agent in Rust, of the same version as in pyproject.toml; its program needs libpython."""
PHOENIX: Final = "arize-phoenix==20.26.1"
JAEGER: Final = "github.com/jaegertracing/jaeger@v1.76.0"
"""Has the Jaeger of the second generation as `cmd/jaeger`."""
TELEMETRYGEN: Final = (
    "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@v0.161.0"
)
PROMETHEUS: Final = "prometheus"
"""Debian's package, with promtool."""
