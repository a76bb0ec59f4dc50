"""`cert doctor`: each thing that can be wrong is found and named."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from cert_otel.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def diagnose(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    code = main(["doctor", "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is (code == 0)
    return code, {check["name"]: check for check in report["checks"]}


class TestHealthy:
    """An environment in which nothing is wrong."""

    def test_exits_with_0(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Every check is ok or a note."""
        code, checks = diagnose(capsys)

        assert code == 0
        assert checks["distribution"]["finding"] == "cert_otel"
        assert checks["content"]["status"] == "info"
        assert checks["exporters"]["finding"] == "cert_jsonl"
        assert "models of" in checks["prices"]["finding"]

    def test_names_sdk_and_instrumentor(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The SDKs that are installed here are found without being imported."""
        _, checks = diagnose(capsys)

        (openai,) = (check for name, check in checks.items() if name.startswith("openai "))
        assert openai["status"] == "ok"
        assert "cert_otel_instrumentations.openai" in openai["finding"]

    def test_prints_lines_for_people(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The setting that turns content on stands on one line, to be copied."""
        main(["doctor"])

        shown = capsys.readouterr().out
        assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY\n" in shown


class TestFindings:
    """What needs attention has exit code 1 and says what to do."""

    def test_a_misspelt_setting(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The right name is suggested."""
        monkeypatch.setenv("CERT_OTEL_JSNL", "x")
        code, checks = diagnose(capsys)

        assert code == 1
        assert "did you mean CERT_OTEL_JSONL?" in checks["settings"]["finding"]

    def test_a_secret_is_not_shown(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of the hash key only that it is set."""
        monkeypatch.setenv("CERT_OTEL_HASH_KEY", "s3cret")
        _, checks = diagnose(capsys)

        assert checks["settings"]["finding"] == "hash_key=(secret)"

    def test_a_distribution_that_is_not_there(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is installed is named."""
        monkeypatch.setenv("OTEL_PYTHON_DISTRO", "other")
        code, checks = diagnose(capsys)

        assert code == 1
        assert "there is cert_otel" in checks["distribution"]["finding"]

    def test_an_endpoint_that_is_down(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The endpoint and the error are named."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        code, checks = diagnose(capsys)

        assert code == 1
        assert f"127.0.0.1:{port}" in checks["OTLP"]["finding"]
        assert checks["exporters"]["finding"] == "cert_jsonl, otlp"

    def test_an_endpoint_that_is_up(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A listening port is reachable."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
            code, checks = diagnose(capsys)

        assert (code, checks["OTLP"]["status"]) == (0, "ok")

    @pytest.mark.parametrize("kind", ["directory", "file in a file"])
    def test_a_journal_that_cannot_be_written(
        self,
        kind: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The path is named."""
        path = tmp_path
        if kind == "file in a file":
            (tmp_path / "file").touch()
            path = tmp_path / "file" / "calls.jsonl"
        monkeypatch.setenv("CERT_OTEL_JSONL", str(path))
        code, checks = diagnose(capsys)

        assert (code, checks["journal"]["status"]) == (1, "attention")
        assert str(path) in checks["journal"]["finding"]

    def test_a_journal_that_is_there(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its size is shown."""
        (tmp_path / "production.jsonl").write_text("{}\n")
        _, checks = diagnose(capsys)

        assert checks["journal"]["finding"] == "production.jsonl, 3 bytes"

    def test_everything_switched_off(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That nothing is recorded is said first of all."""
        monkeypatch.setenv("CERT_OTEL_DISABLED", "true")
        code, checks = diagnose(capsys)

        assert code == 1
        assert "nothing is recorded" in checks["exporters"]["finding"]

    def test_an_sdk_that_nobody_instruments(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A disabled instrumentor does not count."""
        monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "cert_openai")
        _, checks = diagnose(capsys)

        (openai,) = (check for name, check in checks.items() if name.startswith("openai "))
        assert openai["finding"] == "not instrumented by anybody here"

    @pytest.mark.parametrize(("value", "status"), [("SPAN_ONLY", "ok"), ("EVENT_ONLY", "info")])
    def test_content(
        self,
        value: str,
        status: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Content on spans is what later stages need."""
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", value)
        _, checks = diagnose(capsys)

        assert checks["content"]["status"] == status

    @pytest.mark.parametrize(
        ("name", "value", "check", "finding"),
        [
            ("OTEL_TRACES_EXPORTER", "jaeger", "exporters", "jaeger is not installed"),
            ("OTEL_TRACES_EXPORTER", "none", "exporters", "nothing is recorded"),
            ("OTEL_SDK_DISABLED", "TRUE", "exporters", "OTEL_SDK_DISABLED is set"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:abc", "OTLP", "no address"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1", "OTLP", "no address"),
            ("OTEL_PYTHON_CONFIGURATOR", "x", "configurator", "x is not installed"),
        ],
    )
    def test_a_setting_of_opentelemetry(  # noqa: PLR0917 - parametrised
        self,
        name: str,
        value: str,
        check: str,
        finding: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What would keep calls from being recorded is named."""
        monkeypatch.setenv(name, value)
        code, checks = diagnose(capsys)

        assert (code, checks[check]["status"]) == (1, "attention")
        assert finding in checks[check]["finding"]

    def test_a_password_is_not_shown(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of the endpoint only host and port."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://me:s3cret@127.0.0.1:{port}")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
            _, checks = diagnose(capsys)

        assert checks["OTLP"]["finding"] == f"127.0.0.1:{port} (http/protobuf) is reachable"


class TestBesideOthers:
    """Packages of others in the same environment."""

    @pytest.fixture
    def install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Put a package's metadata in front of ours; there is no code, and none is imported."""

        def install_entry_points(text: str) -> None:
            metadata = tmp_path / "packages" / "other-1.0.dist-info"
            metadata.mkdir(parents=True)
            (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
            (metadata / "entry_points.txt").write_text(text)
            monkeypatch.syspath_prepend(metadata.parent)

        return install_entry_points

    def test_two_instrument_one_sdk(
        self, install: Callable[[str], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Both are named, with the setting that leaves one out."""
        module = "opentelemetry.instrumentation.openai_v2"
        install(f"[opentelemetry_instrumentor]\nopenai = {module}:OpenAIInstrumentor\n")
        code, checks = diagnose(capsys)

        (openai,) = (check for name, check in checks.items() if name.startswith("openai "))
        assert (code, openai["status"]) == (1, "attention")
        assert module in openai["finding"]
        assert "cert_otel_instrumentations.openai" in openai["finding"]
        assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in openai["advice"]

    def test_one_of_them_left_out(
        self,
        install: Callable[[str], None],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Then all is well."""
        install("[opentelemetry_instrumentor]\nopenai = openinference.instrumentation.openai:X\n")
        monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "requests, openai")
        code, _ = diagnose(capsys)

        assert code == 0

    def test_another_distribution_wins(
        self,
        install: Callable[[str], None],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The loader takes the first it finds; the settings that choose ours are named."""
        install(
            "[opentelemetry_distro]\ndistro = other:Distro\n"
            "[opentelemetry_configurator]\nconfigurator = other:Configurator\n"
        )
        code, checks = diagnose(capsys)

        assert code == 1
        assert checks["distribution"]["finding"] == "distro, of distro, cert_otel"
        assert "OTEL_PYTHON_DISTRO=cert_otel" in checks["distribution"]["advice"]
        assert "OTEL_PYTHON_CONFIGURATOR=cert_otel" in checks["configurator"]["advice"]

        monkeypatch.setenv("OTEL_PYTHON_DISTRO", "cert_otel")
        monkeypatch.setenv("OTEL_PYTHON_CONFIGURATOR", "cert_otel")
        assert diagnose(capsys)[0] == 0
