"""Tracer, instruments and event logger of one instrumentor, made when first needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import _internal as _metrics_api

from cert_otel.capture._guard import attempt
from cert_otel.capture._instruments import Instruments
from cert_otel.capture._sdk_spans import SpanStarter

_ASK_THE_API: Final = "OTEL_PYTHON_METER_PROVIDER" in os.environ or not hasattr(
    _metrics_api, "_METER_PROVIDER"
)
"""Where no provider is set the API looks into the environment at each call: 1.5 µs to say no."""

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider


class Telemetry:
    """Where the calls of one instrumentor go.

    Providers that are not given are the global ones, looked up at each call, because an
    application may set them after it was instrumented.
    """

    __slots__ = (
        "_instruments",
        "_logger",
        "_logger_provider",
        "_meter_provider",
        "_meter_source",
        "_spans",
        "_tracer_provider",
        "_tracer_source",
        "scope",
        "version",
    )

    def __init__(
        self,
        scope: str,
        version: str,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        self.scope = scope
        self.version = version
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._logger_provider = logger_provider
        self._spans: SpanStarter | None = None
        self._tracer_source: TracerProvider | None = None
        self._instruments: Instruments | None = None
        self._meter_source: MeterProvider | None = None
        self._logger: Logger | None = None

    @property
    def tracer(self) -> Tracer:
        """The tracer of the provider now in force."""
        return self.spans.tracer

    @property
    def spans(self) -> SpanStarter:
        """What starts spans, of the provider now in force."""
        provider = self._tracer_provider or trace.get_tracer_provider()
        if self._spans is None or provider is not self._tracer_source:
            self._spans = SpanStarter(provider.get_tracer(self.scope, self.version))
            self._tracer_source = provider
        return self._spans

    @property
    def instruments(self) -> Instruments | None:
        """The metric instruments; `None` while nobody collects metrics."""
        provider = self._meter_provider or _find_meter_provider()
        if provider is not self._meter_source:
            self._meter_source = provider
            self._instruments = attempt("instruments", self._make_instruments, provider)
        return self._instruments

    def _make_instruments(self, provider: MeterProvider | None) -> Instruments | None:
        if provider is None or not _collects(provider):
            return None
        return Instruments(provider.get_meter(self.scope, self.version))

    @property
    def logger(self) -> Logger:
        """The logger for events; a no-op until a logger provider is set."""
        if self._logger is None:
            from opentelemetry import _logs  # noqa: PLC0415 - only who asks for events pays

            provider = self._logger_provider or _logs.get_logger_provider()
            self._logger = provider.get_logger(self.scope, self.version)
        return self._logger


def _find_meter_provider() -> MeterProvider | None:
    """Return the global provider, `None` while there is none."""
    if _ASK_THE_API:
        return metrics.get_meter_provider()
    provider: MeterProvider | None = _metrics_api._METER_PROVIDER  # noqa: SLF001 - see `_ASK_THE_API`
    return provider


def _collects(provider: MeterProvider) -> bool:
    # The proxy stands in until somebody sets a real provider; it is replaced then.
    return not isinstance(provider, metrics.NoOpMeterProvider) and not type(
        provider
    ).__name__.startswith("_Proxy")
