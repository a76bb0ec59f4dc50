"""Which traces are scored when not all are: decided by the trace id, so always the same way."""

from __future__ import annotations

from typing import Final

_RANDOM_BITS: Final = 56
"""Of a trace id, the lowest: those that W3C Trace Context level 2 says are random."""
_SPAN: Final = 1 << _RANDOM_BITS


def is_sampled(trace_id: str | None, share: float) -> bool:
    """Tell whether the spans of a trace are scored.

    By OpenTelemetry's rule for consistent sampling: the collector's `probabilistic_sampler` and
    SDKs that follow it keep the same traces, and a smaller share is part of every larger one.

    Args:
        trace_id: Hexadecimal. A span without one is scored: nothing says which others belong to it.
        share: Of all traces, in [0, 1].
    """
    if trace_id is None or share >= 1:
        return True
    threshold = round((1 - share) * _SPAN)
    return int(trace_id, 16) % _SPAN >= threshold
