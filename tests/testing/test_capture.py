"""Captured spans and metrics."""

from __future__ import annotations

from contextlib import suppress

from inline_snapshot import snapshot
from opentelemetry import metrics, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from cert_otel.testing import MetricCapture, SpanCapture, capture_spans


class TestSpanCapture:
    def test_spans_are_plain_and_complete(self) -> None:
        """One dict a span, in the order of their start, equal on every run."""
        with (
            capture_spans() as capture,
            suppress(ValueError),
            capture.tracer.start_as_current_span("ask"),
        ):
            with capture.tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT) as span:
                span.set_attributes({"stops": ["a", "b"], "count": 2})
                span.set_status(Status(StatusCode.OK))
            raise ValueError("broken")

        assert capture.spans() == snapshot(
            [
                {
                    "name": "ask",
                    "id": 1,
                    "parent": None,
                    "kind": "INTERNAL",
                    "status": "ERROR",
                    "attributes": {},
                    "events": [
                        {
                            "name": "exception",
                            "attributes": {
                                "exception.escaped": "False",
                                "exception.message": "broken",
                                "exception.type": "ValueError",
                            },
                        }
                    ],
                    "status_description": "ValueError: broken",
                },
                {
                    "name": "chat gpt-4o",
                    "id": 2,
                    "parent": 1,
                    "kind": "CLIENT",
                    "status": "OK",
                    "attributes": {"count": 2, "stops": ["a", "b"]},
                    "events": [],
                },
            ]
        )

    def test_links_name_the_other_span(self) -> None:
        """A link is the id of the span it points to."""
        with SpanCapture() as capture:
            with capture.tracer.start_as_current_span("first") as first:
                pass
            capture.tracer.start_span("second", links=[Link(first.get_span_context())]).end()

        assert capture.spans()[1]["links"] == [1]

    def test_the_sdk_spans_stay_at_hand(self) -> None:
        """What the dicts leave out is on the SDK's own spans; clearing forgets both."""
        with SpanCapture(resource={"service.name": "shop"}) as capture:
            capture.tracer.start_span("ask").end()
            assert capture.finished[0].resource.attributes == {"service.name": "shop"}

            capture.clear()

            assert capture.spans() == []

    def test_no_global_is_touched(self) -> None:
        """Tests that capture do not see each other."""
        before = trace.get_tracer_provider(), metrics.get_meter_provider()

        with SpanCapture() as spans, MetricCapture() as meters:
            assert trace.get_tracer_provider() is before[0] is not spans.tracer_provider
            assert metrics.get_meter_provider() is before[1] is not meters.meter_provider


class TestMetricCapture:
    def test_points_are_plain_and_sorted(self) -> None:
        """Counters have a value, histograms their figures."""
        with MetricCapture() as capture:
            meter = capture.meter_provider.get_meter("test")
            meter.create_histogram("latency", unit="s").record(2.0, {"model": "a"})
            calls = meter.create_counter("calls", unit="{call}")
            calls.add(1, {"model": "b"})
            calls.add(2, {"model": "a"})
            points = capture.points()

        assert points == snapshot(
            [
                {"name": "calls", "unit": "{call}", "attributes": {"model": "a"}, "value": 2},
                {"name": "calls", "unit": "{call}", "attributes": {"model": "b"}, "value": 1},
                {
                    "name": "latency",
                    "unit": "s",
                    "attributes": {"model": "a"},
                    "count": 1,
                    "sum": 2.0,
                    "min": 2.0,
                    "max": 2.0,
                },
            ]
        )

    def test_nothing_recorded_is_no_point(self) -> None:
        """An unused instrument leaves nothing behind."""
        with MetricCapture() as capture:
            capture.meter_provider.get_meter("test").create_counter("calls")
            assert capture.points() == []
