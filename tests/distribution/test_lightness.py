"""What the application's process loads because of us, seen in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

HEAVY = (
    "duckdb",
    "scipy",
    "torch",
    "transformers",
    "cyclopts",
    "rich",
    "pydantic",
    "grpc",
    "openai",
)


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


class TestImports:
    """Importing a part of cert-otel loads that part."""

    @pytest.mark.parametrize(
        "statement",
        [
            "import cert_otel",
            "import cert_otel.capture",
            "import cert_otel.capture.distro",
            "import cert_otel.journal",
            "import cert_otel_instrumentations.openai",
        ],
    )
    def test_nothing_heavy(self, statement: str) -> None:
        """What runs in the application needs OpenTelemetry, wrapt and msgspec, no more."""
        assert modules_after(statement).isdisjoint(HEAVY)

    def test_the_package_itself_is_empty(self) -> None:
        """`import cert_otel` loads none of its parts."""
        loaded = modules_after("import cert_otel")

        found = {name for name in loaded if name.startswith("cert_otel")}
        assert found == {"cert_otel", "cert_otel._lazy"}

    def test_who_writes_does_not_load_what_reads(self) -> None:
        """An application's exporter knows nothing of how a journal is read back."""
        loaded = modules_after("from cert_otel.journal import JSONLSpanExporter")

        assert loaded.isdisjoint(
            {"cert_otel.journal._reader", "cert_otel.journal._line", "difflib"}
        )

    def test_an_instrumentor_does_not_load_the_core(self) -> None:
        """The entry point's module needs the standard library, wrapt and the base class."""
        loaded = modules_after(
            "from cert_otel_instrumentations.openai import OpenAIInstrumentor\n"
            "OpenAIInstrumentor().instrument()"
        )

        assert loaded.isdisjoint({"cert_otel.capture", "msgspec", "opentelemetry.sdk"})

    def test_the_price_table_is_not_read(self) -> None:
        """Prices are read when the first call is priced."""
        code = "from cert_otel.pricing import _table; print(_table.__name__)"

        assert "genai_prices" not in modules_after(code)


class TestEntryPoints:
    """The names under which OpenTelemetry finds us."""

    @pytest.mark.parametrize(
        ("group", "name"),
        [
            ("opentelemetry_distro", "cert_otel"),
            ("opentelemetry_configurator", "cert_otel"),
            ("opentelemetry_instrumentor", "cert_openai"),
            ("opentelemetry_traces_exporter", "cert_jsonl"),
            ("opentelemetry_post_instrument", "cert_otel"),
            ("console_scripts", "cert"),
            ("console_scripts", "cert-otel"),
        ],
    )
    def test_loads(self, group: str, name: str) -> None:
        """Each entry point exists once and can be loaded."""
        (entry_point,) = entry_points(group=group, name=name)

        assert callable(entry_point.load())
