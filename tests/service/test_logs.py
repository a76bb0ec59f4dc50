"""What the service says, for machines and for people."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider

from cert_otel.service import logs
from cert_otel.service.settings import Logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGGER = logging.getLogger("cert_otel.test")


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, former in levels.items():
        logging.getLogger(name).setLevel(former)


class TestFormats:
    @pytest.mark.parametrize("kind", ["json", "human"])
    def test_what_is_no_unicode(self, capsys: pytest.CaptureFixture[str], kind: str) -> None:
        """A name that is no text, as of a file, costs no line."""
        logs.configure(msgspec.convert({"format": kind}, Logs), "receiver")
        LOGGER.warning("%s cannot be read", "a\udcff")

        assert "a? cannot be read" in capsys.readouterr().out

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A line of JSON has time, level, process and message; from a warning on a severity."""
        logs.configure(Logs(format="json"), "receiver")
        LOGGER.info("hello %s", "world")
        LOGGER.warning("careful")
        first, second = map(json.loads, capsys.readouterr().out.splitlines())

        assert (first["level"], first["process"], first["message"]) == (
            "info",
            "receiver",
            "hello world",
        )
        assert first["timestamp"].endswith("+00:00")
        assert "severity" not in first
        assert second["severity"] == "medium"

    def test_human(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A line for people begins with the time."""
        logs.configure(Logs(), "supervisor")
        LOGGER.error("broken")

        assert "supervisor ERROR   broken" in capsys.readouterr().out

    def test_exception(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A traceback is part of its line."""
        logs.configure(Logs(format="json"), "receiver")
        try:
            int("three")
        except ValueError:
            LOGGER.exception("failed")

        assert "ValueError" in json.loads(capsys.readouterr().out)["exception"]

    @pytest.mark.parametrize("form", ["json", "human"])
    def test_trace(self, capsys: pytest.CaptureFixture[str], form: str) -> None:
        """What is said within a span, or about one, carries its trace id."""
        logs.configure(Logs(format="json" if form == "json" else "human"), "scorer-0")
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
        with tracer.start_as_current_span("work") as span:
            LOGGER.info("inside")
        LOGGER.info("about", extra={"otelTraceID": "ab" * 16, "otelSpanID": "cd" * 8})
        first, second = capsys.readouterr().out.splitlines()

        assert f"{span.get_span_context().trace_id:032x}" in first
        assert "ab" * 16 in second


class TestPlaces:
    def test_files(self, tmp_path: Path) -> None:
        """Each process has a file of its own, and what is full is rotated."""
        path = tmp_path / "logs" / "cert.log"
        settings = Logs(file=str(path), max_mb=0.001, max_files=2)
        logs.configure(settings, "supervisor")
        LOGGER.info("from above")
        logging.getLogger().handlers[0].close()
        logs.configure(settings, "receiver")
        for number in range(100):
            LOGGER.info("line %d of some length", number)

        assert "from above" in path.read_text(encoding="utf-8")
        assert "line 99" in (path.parent / "cert.receiver.log").read_text(encoding="utf-8")
        assert (path.parent / "cert.receiver.log.2").exists()
        assert not (path.parent / "cert.receiver.log.3").exists()

    @pytest.mark.parametrize(("level", "shown"), [("debug", True), ("info", False)])
    def test_level(self, capsys: pytest.CaptureFixture[str], level: str, *, shown: bool) -> None:
        """Libraries are heard at debug only."""
        logs.configure(Logs(level="debug" if level == "debug" else "info"), "receiver")
        logging.getLogger("uvicorn.error").info("chatter")

        assert ("chatter" in capsys.readouterr().out) is shown
