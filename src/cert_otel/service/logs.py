"""What the service says: JSON or for people, to standard output or a file that rotates.

Each process has a file of its own, `cert.receiver.log` beside `cert.log`: rotation by several
processes would lose lines.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry import trace

if TYPE_CHECKING:
    from cert_otel.service.settings import Logs

SUPERVISOR: Final = "supervisor"
_MEGABYTE: Final = 1_000_000
_QUIET: Final = ("uvicorn", "uvicorn.error", "grpc", "grpc._cython.cygrpc", "asyncio")
"""Libraries whose chatter helps only at `debug`."""
_SEVERITY: Final = {
    logging.CRITICAL: "critical",
    logging.ERROR: "high",
    logging.WARNING: "medium",
    logging.INFO: "low",
}


def configure(settings: Logs, process: str) -> None:
    """Send what this process logs to where the settings say.

    Args:
        settings: The section of cert.yaml.
        process: Its name in each line: `supervisor`, `receiver`, `scorer-0`.
    """
    handler = _open(settings, process)
    handler.setFormatter(
        JsonFormatter(process) if settings.format == "json" else HumanFormatter(process)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    if settings.level != "debug":
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)


def get_ids(record: logging.LogRecord) -> tuple[str, str] | None:
    """Return the trace and span id that a line belongs to, if any.

    By the names that OpenTelemetry's logging instrumentation gives them, else by the span that is
    current.
    """
    trace_id = getattr(record, "otelTraceID", None)
    if trace_id and trace_id != "0":
        return str(trace_id), str(getattr(record, "otelSpanID", ""))
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": _clean(record.getMessage()),
        }
        if record.levelno >= logging.WARNING:
            line["severity"] = getattr(record, "severity", None) or _SEVERITY.get(record.levelno)
        ids = get_ids(record)
        if ids is not None:
            line["trace_id"], line["span_id"] = ids
        if record.exc_info:
            line["exception"] = _clean(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


class HumanFormatter(logging.Formatter):
    """Time, process, level and text."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {process:<10} %(levelname)-7s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        ids = get_ids(record)
        text = _clean(super().format(record))
        return text if ids is None else f"{text} trace_id={ids[0]}"


def _clean(text: str) -> str:
    """Replace halves of surrogate pairs, as names of files may have: a line of the log is UTF-8."""
    return text.encode(errors="replace").decode()


def _open(settings: Logs, process: str) -> logging.Handler:
    if settings.file is None:
        return logging.StreamHandler(sys.stdout)
    path = Path(settings.file)
    if process != SUPERVISOR:
        path = path.with_name(f"{path.stem}.{process}{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(
        path,
        maxBytes=int(settings.max_mb * _MEGABYTE),
        backupCount=settings.max_files,
        encoding="utf-8",
    )
