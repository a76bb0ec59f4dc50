"""The SDK's batch processor, told to look after abandoned streams before it flushes."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import BatchSpanProcessor

from cert_otel.capture import _finalisers


class DrainingBatchSpanProcessor(BatchSpanProcessor):
    """Ends what finalisers left, then flushes or shuts down as ever."""

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Drain, then export everything that has ended."""
        _finalisers.drain()
        return super().force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Drain, then export what is left and stop."""
        _finalisers.drain()
        super().shutdown()  # type: ignore[no-untyped-call]
