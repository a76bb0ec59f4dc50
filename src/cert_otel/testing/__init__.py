"""What users' tests and ours share: a fake provider and backend, counting ids and clocks, captured telemetry.

Nothing here sets a global provider or leaves the machine.
"""

from cert_otel.testing._capture import MetricCapture, SpanCapture, capture_spans
from cert_otel.testing._determinism import FixedClock, IncrementingClock, IncrementingIds
from cert_otel.testing._provider import FakeProvider
from cert_otel.testing._replies import Answers, Fault, RecordedRequest, Reply, ToolCall
from cert_otel.testing._routing import route_to, route_to_async
from cert_otel.testing._sink import OtlpSink
from cert_otel.testing._tokens import count_tokens, split_tokens

__all__ = [
    "Answers",
    "FakeProvider",
    "Fault",
    "FixedClock",
    "IncrementingClock",
    "IncrementingIds",
    "MetricCapture",
    "OtlpSink",
    "RecordedRequest",
    "Reply",
    "SpanCapture",
    "ToolCall",
    "capture_spans",
    "count_tokens",
    "route_to",
    "route_to_async",
    "split_tokens",
]
