"""What `cert evaluate --emit` sends: an event for each evaluation, over OTLP."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from cert_otel import semconv
from cert_otel.errors import ConfigError
from cert_otel.evaluation.emission import emit_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk._logs.export import LogRecordExporter

    from cert_otel.cli._backlog import Place
    from cert_otel.records import EvaluationRecord, Record

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_GRPC: Final = "grpc"
_HTTP: Final = "http/protobuf"


class _Kept(LogRecordProcessor):
    """Keeps what is emitted until it is sent."""

    def __init__(self) -> None:
        self.records: list[ReadableLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(
            ReadableLogRecord(
                log_record=log_record.log_record,
                resource=log_record.resource or Resource.get_empty(),
                instrumentation_scope=log_record.instrumentation_scope,
                limits=log_record.limits,
            )
        )

    def shutdown(self) -> None:
        """Nothing is held that needs an end."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Say so: the host sends."""
        return True


class Events:
    """Sends the evaluations of a run, those of a batch at once."""

    def __init__(self, exporter: LogRecordExporter) -> None:
        """Take over an exporter."""
        self._exporter = exporter
        self._kept = _Kept()
        self._providers: dict[tuple[str | None, str | None], LoggerProvider] = {}
        self.sent = 0
        self.lost = 0
        """Events that could not be delivered."""

    def send(self, batch: Sequence[Place], found: Sequence[EvaluationRecord]) -> None:
        """Send what was found; what cannot be delivered is counted."""
        for place, result in zip(batch, found, strict=True):
            emit_result(self._get_provider(place.record), place.record, result)
        events, self._kept.records[:] = list(self._kept.records), []
        if not events:
            return
        if self._exporter.export(events) is LogRecordExportResult.SUCCESS:
            self.sent += len(events)
        else:
            self.lost += len(events)

    def close(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # of the SDK
        if self.lost:
            sys.stderr.write(f"cert: {self.lost:,} events could not be delivered\n")

    def _get_provider(self, record: Record) -> LoggerProvider:
        """Return the provider whose resource is the service that was judged."""
        service = (record.service, record.service_version)
        if service not in self._providers:
            names = dict(zip((semconv.SERVICE_NAME, semconv.SERVICE_VERSION), service, strict=True))
            known = {name: value for name, value in names.items() if value is not None}
            provider = LoggerProvider(resource=Resource(known), shutdown_on_exit=False)
            provider.add_log_record_processor(self._kept)
            self._providers[service] = provider
        return self._providers[service]


def open_events(environ: Mapping[str, str] = os.environ) -> Events:
    """Open an exporter to where the environment says.

    Raises:
        ConfigError: It says nowhere, or names a protocol that nobody speaks.
    """
    if not any(environ.get(name) for name in ENDPOINTS):
        raise ConfigError("--emit", f"there is nowhere to send to; set {ENDPOINTS[1]}")
    setting = next((name for name in _PROTOCOLS if environ.get(name)), _PROTOCOLS[1])
    protocol = environ.get(setting) or _HTTP
    if protocol == _GRPC:
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (  # noqa: PLC0415 - grpc is slow to load
            OTLPLogExporter as GRPCExporter,
        )

        return Events(GRPCExporter())
    if protocol == _HTTP:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415 - likewise
            OTLPLogExporter as HTTPExporter,
        )

        return Events(HTTPExporter())
    raise ConfigError(setting, f"{protocol!r} is unknown; use {_GRPC} or {_HTTP}")
