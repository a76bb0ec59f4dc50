"""The OpenTelemetry SDK with OTLP exporters; not a peer, but what most of them want."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


class Providers(NamedTuple):
    """Providers that are nobody's global."""

    tracer_provider: TracerProvider
    logger_provider: LoggerProvider

    def flush(self) -> None:
        """Export what is left."""
        self.tracer_provider.force_flush()
        self.logger_provider.force_flush()


def start_sdk() -> Providers:
    """Start the SDK; where to is said by the environment."""
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
    return Providers(tracers, loggers)
