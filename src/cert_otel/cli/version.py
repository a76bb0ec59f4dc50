"""`cert version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of

from cert_otel import __version__
from cert_otel.cli._output import Format, open_console, print_json
from cert_otel.pricing import table_info


def version(*, format: Format = "table") -> int:  # noqa: A002 - the option's name
    """Print the versions of cert-otel, Python, OpenTelemetry and the price table.

    Example: cert version --format json

    Args:
        format: A table, or JSON for machines.
    """
    versions = {
        "cert-otel": __version__,
        "python": platform.python_version(),
        "opentelemetry-sdk": version_of("opentelemetry-sdk"),
        "opentelemetry-instrumentation": version_of("opentelemetry-instrumentation"),
        "prices": table_info().version,
    }
    if format == "json":
        print_json(versions)
        return 0
    with open_console() as console:
        for name, value in versions.items():
            console.print(f"{name:30}{value}")
    return 0
