"""The `cert_jsonl` exporter."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from cert_otel import config, semconv
from cert_otel.journal import JSONLSpanExporter
from cert_otel.records import Record
from cert_otel.testing import MetricCapture

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAT = {
    semconv.OPERATION_NAME: "chat",
    semconv.PROVIDER_NAME: "openai",
    semconv.REQUEST_MODEL: "gpt-4o",
}


class StrangeSpan(ReadableSpan):
    """A span of somebody's own that cannot be read."""

    @property
    def resource(self) -> Resource:
        """Fail, where every other span has one."""
        message = "no resource"
        raise RuntimeError(message)


def make_span(attributes: dict[str, Any], kind: type[ReadableSpan] = ReadableSpan) -> ReadableSpan:
    return kind("a span", attributes=attributes, resource=Resource({}), start_time=1, end_time=2)


def read(path: Path) -> list[Record]:
    return [msgspec.json.decode(line, type=Record) for line in path.read_bytes().splitlines()]


@pytest.fixture
def metrics() -> Iterator[MetricCapture]:
    with MetricCapture() as capture:
        yield capture


class TestEntryPoint:
    def test_it_is_what_the_name_loads(self) -> None:
        """`OTEL_TRACES_EXPORTER=cert_jsonl` finds this class, and needs no argument."""
        (entry,) = entry_points(group="opentelemetry_traces_exporter", name="cert_jsonl")

        assert entry.load() is JSONLSpanExporter
        assert JSONLSpanExporter().path.name == "production.jsonl"

    def test_the_settings_are_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without arguments, CERT_OTEL_JSONL and its kin say where and how much."""
        monkeypatch.setenv("CERT_OTEL_JSONL", str(tmp_path / "calls.jsonl"))
        monkeypatch.setenv("CERT_OTEL_JSONL_MAX_MB", "0.000001")
        monkeypatch.setenv("CERT_OTEL_JSONL_MAX_FILES", "2")
        config.reset()
        exporter = JSONLSpanExporter()
        for _ in range(5):
            exporter.export([make_span(CHAT)])

        assert exporter.path == tmp_path / "calls.jsonl"
        assert len(list(tmp_path.glob("calls.*.jsonl"))) == 2

    def test_arguments_overrule_them(self, tmp_path: Path) -> None:
        """What is given in code wins."""
        config.configure(jsonl_max_mb=1000.0, jsonl_max_files=1000)
        exporter = JSONLSpanExporter(tmp_path / "a.jsonl", max_mb=0.000001, max_files=1)
        for _ in range(4):
            exporter.export([make_span(CHAT)])

        assert len(list(tmp_path.iterdir())) == 2


class TestExport:
    def test_only_model_calls_become_lines(self, tmp_path: Path) -> None:
        """GenAI spans are lines, each of them one; others pass by."""
        exporter = JSONLSpanExporter(tmp_path / "a.jsonl")
        spans = [make_span(CHAT), make_span({"http.route": "/"}), make_span(CHAT)]

        assert exporter.export(spans) is SpanExportResult.SUCCESS
        assert len(read(exporter.path)) == 2

    def test_without_model_calls_there_is_no_file(self, tmp_path: Path) -> None:
        """A process without a model call leaves no file behind."""
        exporter = JSONLSpanExporter(tmp_path / "a.jsonl")

        assert exporter.export([make_span({})]) is SpanExportResult.SUCCESS
        assert list(tmp_path.iterdir()) == []

    def test_behind_a_batch_processor(self, tmp_path: Path) -> None:
        """In a provider with the SDK's batch processor, each call is a valid line."""
        exporter = JSONLSpanExporter(tmp_path / "a.jsonl")
        provider = TracerProvider(resource=Resource({"service.name": "shop"}))
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("request"):
            for number in range(1000):
                with tracer.start_as_current_span("chat", attributes=CHAT) as span:
                    span.set_attribute(semconv.OUTPUT_DATA, f"Antwort №{number}")
        provider.shutdown()

        schema = Path(__file__).parents[2] / "docs" / "record.schema.json"
        validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
        lines = exporter.path.read_bytes().splitlines()
        for line in lines[:50]:
            validator.validate(json.loads(line))
        records = read(exporter.path)
        assert {record.output_data for record in records} == {f"Antwort №{n}" for n in range(1000)}
        assert {record.service for record in records} == {"shop"}
        assert exporter.records_lost == 0

    def test_force_flush(self, tmp_path: Path) -> None:
        """Nothing is held back: a flush has nothing to do and succeeds."""
        assert JSONLSpanExporter(tmp_path / "a.jsonl").force_flush() is True


class TestLoss:
    def test_counted_and_logged_once(
        self, tmp_path: Path, metrics: MetricCapture, caplog: pytest.LogCaptureFixture
    ) -> None:
        """While the path cannot be written, each record is counted and the log says so once."""
        caplog.set_level(logging.INFO, "cert_otel.journal")
        (tmp_path / "file").touch()
        exporter = JSONLSpanExporter(
            tmp_path / "file" / "a.jsonl", meter_provider=metrics.meter_provider
        )

        outcomes = [exporter.export([make_span(CHAT)] * 2) for _ in range(3)]

        assert outcomes == [SpanExportResult.FAILURE] * 3
        assert exporter.records_lost == 6
        assert metrics.points() == [
            {
                "name": semconv.METRIC_RECORDS_LOST,
                "unit": "{record}",
                "attributes": {semconv.ERROR_TYPE: "ENOTDIR"},
                "value": 6,
            }
        ]
        assert [(r.name, r.levelname) for r in caplog.records] == [("cert_otel.journal", "WARNING")]
        assert str(exporter.path) in caplog.text

    def test_recovery_is_logged_and_a_new_outage_too(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """When the path can be written again it is, and the next outage is another message."""
        caplog.set_level(logging.INFO, "cert_otel.journal")
        blocker = tmp_path / "logs"
        blocker.touch()
        exporter = JSONLSpanExporter(blocker / "a.jsonl")
        exporter.export([make_span(CHAT)])
        exporter.export([make_span({})])
        blocker.unlink()

        assert exporter.export([make_span(CHAT)]) is SpanExportResult.SUCCESS
        exporter.path.unlink()
        exporter.path.mkdir()
        exporter.export([make_span(CHAT)])

        assert [r.levelname for r in caplog.records] == ["WARNING", "INFO", "WARNING"]
        assert caplog.records[1].getMessage().endswith("1 records were lost")
        assert exporter.records_lost == 2

    def test_a_strange_span_takes_no_other_along(
        self, tmp_path: Path, metrics: MetricCapture, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A span that cannot be read is counted, logged once at DEBUG, and the rest is written."""
        caplog.set_level(logging.DEBUG, "cert_otel.journal")
        exporter = JSONLSpanExporter(tmp_path / "a.jsonl", meter_provider=metrics.meter_provider)
        strange = make_span(CHAT, StrangeSpan)

        outcome = exporter.export([make_span(CHAT), strange, strange, make_span(CHAT)])

        assert outcome is SpanExportResult.FAILURE
        assert len(read(exporter.path)) == 2
        assert exporter.records_lost == 2
        assert [point["value"] for point in metrics.points()] == [2]
        assert [r.levelname for r in caplog.records] == ["DEBUG"]

    def test_nothing_escapes(self, tmp_path: Path) -> None:
        """Not even a call that breaks the interface raises, nor a meter that does."""

        class BrokenMeterProvider:
            def get_meter(self, *_: object, **__: object) -> Any:
                class Broken:
                    def create_counter(self, *_: object, **__: object) -> Broken:
                        return self

                    def add(self, *_: object) -> None:
                        message = "broken"
                        raise RuntimeError(message)

                return Broken()

        provider: Any = BrokenMeterProvider()
        exporter = JSONLSpanExporter(tmp_path / "a.jsonl", meter_provider=provider)
        nonsense: Any = 5

        assert exporter.export(nonsense) is SpanExportResult.FAILURE
        assert exporter.export([make_span(CHAT, StrangeSpan)]) is SpanExportResult.FAILURE
        assert exporter.records_lost == 1

    def test_after_shutdown(self, tmp_path: Path) -> None:
        """After shutdown nothing is written any more, and what comes is counted as lost."""
        exporter = JSONLSpanExporter(tmp_path / "a.jsonl")
        exporter.shutdown()

        assert exporter.export([make_span(CHAT)]) is SpanExportResult.FAILURE
        assert exporter.records_lost == 1
        assert not exporter.path.exists()

    def test_a_full_disk(self, tmp_path: Path) -> None:
        """A full disk costs what does not fit, one warning, and nothing once there is room."""
        outcome = run(_FULL_DISK, tmp_path / "a.jsonl")
        lines = [line for line in (tmp_path / "a.jsonl").read_text().splitlines() if line.strip()]

        assert outcome["results"] == ["SUCCESS", "FAILURE", "FAILURE", "SUCCESS"]
        assert outcome["levels"] == ["WARNING"]
        assert outcome["lost"] > 400
        assert len(lines) + outcome["lost"] == 4 * 256
        assert all(json.loads(line)["model"] == "gpt-4o" for line in lines)


def run(program: str, path: Path) -> Any:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "CERT_OTEL_JSONL": str(path)},
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


_PRELUDE = """
import json, logging, logging.handlers, os, sys, threading
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from cert_otel import semconv
from cert_otel.journal import JSONLSpanExporter

CHAT = {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: "gpt-4o"}
"""

_FULL_DISK = (
    _PRELUDE
    + """
import resource

class Levels(logging.Handler):
    def emit(self, record):
        levels.append(record.levelname)

levels = []
logging.getLogger("cert_otel.journal").addHandler(Levels())
exporter = JSONLSpanExporter()
span = ReadableSpan("chat", attributes=CHAT, resource=Resource({}), start_time=1, end_time=2)

def limit(size):
    # Cuts a write short and then refuses it, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

results = [exporter.export([span] * 256)]
limit(exporter.path.stat().st_size + 10_000)
results += [exporter.export([span] * 256), exporter.export([span] * 256)]
limit(resource.RLIM_INFINITY)
results += [exporter.export([span] * 256)]
print(json.dumps({
    "results": [result.name for result in results],
    "levels": levels,
    "lost": exporter.records_lost,
}))
"""
)

_FORK = (
    _PRELUDE
    + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads forks

provider = TracerProvider(resource=Resource({}))
provider.add_span_processor(BatchSpanProcessor(JSONLSpanExporter(), schedule_delay_millis=5))
provider.add_span_processor(SimpleSpanProcessor(JSONLSpanExporter()))
tracer = provider.get_tracer("test")

def record(name, count):
    for number in range(count):
        with tracer.start_as_current_span("chat", attributes=CHAT) as span:
            span.set_attribute(semconv.OUTPUT_DATA, f"{name}-{number}")

background = threading.Thread(target=record, args=("parent", 300))
background.start()
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        record(f"child{child}", 100)
        provider.shutdown()
        os._exit(0)
    children.append(pid)
background.join()
statuses = [os.waitpid(pid, 0)[1] for pid in children]
provider.shutdown()
print(json.dumps(statuses))
"""
)


class TestFork:
    def test_parent_and_children_write_on(self, tmp_path: Path) -> None:
        """Forked while threads export, parent and children each write all of their records."""
        path = tmp_path / "a.jsonl"

        assert run(_FORK, path) == [0, 0, 0, 0]
        outputs = [record.output_data for record in read(path)]
        expected = [f"parent-{n}" for n in range(300)]
        expected += [f"child{child}-{n}" for child in range(4) for n in range(100)]
        # Twice: both processors write to the one file.
        assert sorted(map(str, outputs)) == sorted(expected * 2)
