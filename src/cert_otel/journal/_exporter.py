"""The `cert_jsonl` exporter: finished GenAI spans as lines of the journal."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import get_meter
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from cert_otel import semconv
from cert_otel.config import get_config
from cert_otel.journal._writer import JSONLWriter
from cert_otel.records import encode_line
from cert_otel.wire.spans import record_from_span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace import ReadableSpan

_SCOPE: Final = "cert_otel.journal"
_logger = logging.getLogger(_SCOPE)


class JSONLSpanExporter(SpanExporter):
    """Writes each GenAI span as one line; other spans pass by.

    It never raises, holds no lock and keeps no span: what `export` was given is on its way to
    the disk when `export` returns, or lost, counted and logged once an outage.
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        max_mb: float | None = None,
        max_files: int | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Take from the settings (`CERT_OTEL_JSONL`, …) what is not given."""
        config = get_config()
        self._writer = JSONLWriter(
            config.jsonl if path is None else path,
            max_mb=config.jsonl_max_mb if max_mb is None else max_mb,
            max_files=config.jsonl_max_files if max_files is None else max_files,
        )
        self._counter = get_meter(_SCOPE, meter_provider=meter_provider).create_counter(
            semconv.METRIC_RECORDS_LOST,
            unit="{record}",
            description="Records that could not be written to the journal",
        )
        self._lost = 0
        self._out_of_order = False
        self._logged_bug = False
        self._shut_down = False

    @property
    def path(self) -> Path:
        """The file that is appended to, absolute."""
        return self._writer.path

    @property
    def records_lost(self) -> int:
        """Records that could not be written since this exporter was made."""
        return self._lost

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the records of `spans` in one write; FAILURE when any of them was lost."""
        lost_before = self._lost
        lines: list[bytes] = []
        try:
            lines += [line for span in spans if (line := self._encode(span)) is not None]
            self._append(lines)
        except Exception as error:  # noqa: BLE001 - the application must not notice
            self._report_bug(error, lost=len(lines))
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if self._lost == lost_before else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the interface
        """Nothing is held back, so there is nothing to flush."""
        return True

    def shutdown(self) -> None:
        """Refuse further spans; they would be counted as lost."""
        self._shut_down = True

    def _encode(self, span: ReadableSpan) -> bytes | None:
        try:
            record = record_from_span(span)
            return None if record is None else encode_line(record)
        except Exception as error:  # noqa: BLE001 - one strange span must not take the others along
            self._report_bug(error, lost=1)
            return None

    def _append(self, lines: list[bytes]) -> None:
        if self._shut_down:
            self._lose(len(lines), "shutdown")
            return
        lost, error = self._writer.append(lines)
        if error is not None:
            self._lose(lost, errno.errorcode.get(error.errno or 0, type(error).__name__))
            self._report_outage(error)
        elif self._out_of_order and lines:
            self._out_of_order = False
            _logger.info("%s is written again; %d records were lost", self.path, self._lost)

    def _lose(self, count: int, reason: str) -> None:
        # No call in between, so no other thread: a lock could be held when a process forks.
        self._lost += count
        try:
            self._counter.add(count, {semconv.ERROR_TYPE: reason})
        except Exception:
            _logger.debug("lost records could not be counted as a metric", exc_info=True)

    def _report_outage(self, error: OSError) -> None:
        if not self._out_of_order:
            self._out_of_order = True
            _logger.warning("records are lost: %s cannot be written: %s", self.path, error)

    def _report_bug(self, error: Exception, *, lost: int) -> None:
        self._lose(lost, type(error).__name__)
        if not self._logged_bug:
            self._logged_bug = True
            _logger.debug("spans could not be recorded", exc_info=error)
