"""Attributes on their way to a span, past the SDK's own slow road."""

from __future__ import annotations

from typing import Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider

from cert_otel.capture._attributes import make_exportable
from cert_otel.capture._sdk_spans import put_attributes

ATTRIBUTES: Final = {"text": "a", "count": 1, "share": 0.5, "flag": True, "reasons": ("stop",)}


def start(**limits: Any) -> Any:
    """Start a span of the SDK with one attribute of its own."""
    provider = TracerProvider(span_limits=SpanLimits(**limits), shutdown_on_exit=False)
    return provider.get_tracer("test").start_span("span", attributes={"own": "o"})


class TestPut:
    """Many attributes at once."""

    def test_they_are_what_the_sdk_would_have_set(self) -> None:
        """Same names, same values, same order as through `set_attributes`."""
        ours, theirs = start(), start()
        put_attributes(ours, dict(ATTRIBUTES))
        theirs.set_attributes(ATTRIBUTES)

        assert list(ours.attributes.items()) == list(theirs.attributes.items())

    def test_they_replace_what_was_there(self) -> None:
        """The latest value of a name counts."""
        span = start()
        put_attributes(span, {"own": "new"})

        assert span.attributes == {"own": "new"}

    @pytest.mark.parametrize(
        ("limits", "kept"),
        [
            ({"max_span_attributes": 3}, ["share", "flag", "reasons"]),
            ({"max_span_attributes": 100}, ["own", *ATTRIBUTES]),
            ({"max_span_attributes": SpanLimits.UNSET}, ["own", *ATTRIBUTES]),
        ],
    )
    def test_limits_on_their_number_hold(
        self, caplog: pytest.LogCaptureFixture, limits: dict[str, Any], kept: list[str]
    ) -> None:
        """Where the application set one the SDK drops what it would have dropped, and counts it."""
        span = start(**limits)
        put_attributes(span, dict(ATTRIBUTES))

        assert list(span.attributes) == kept
        assert span.dropped_attributes == 6 - len(kept)
        caplog.clear()  # the SDK says what it drops

    def test_limits_on_their_length_hold(self, caplog: pytest.LogCaptureFixture) -> None:
        """A text is cut where the application wants it cut."""
        span = start(max_span_attribute_length=2)
        put_attributes(span, {"text": "long"})

        assert span.attributes["text"] == "lo"
        caplog.clear()  # the SDK says what it cuts

    def test_an_ended_span_stays_as_it_is(self, caplog: pytest.LogCaptureFixture) -> None:
        """It is the SDK that says so."""
        span = start()
        span.end()
        put_attributes(span, {"late": 1})

        assert span.attributes == {"own": "o"}
        assert "ended span" in caplog.text
        caplog.clear()

    def test_spans_of_others_are_asked(self) -> None:
        """Whoever brings a span class of their own gets the attributes by its method."""

        class Other(trace.NonRecordingSpan):
            seen: dict[str, Any] | None = None

            def set_attributes(self, attributes: Any) -> None:
                self.seen = attributes

        span = Other(trace.INVALID_SPAN_CONTEXT)
        put_attributes(span, {"a": 1})

        assert span.seen == {"a": 1}

    def test_an_sdk_of_another_build_is_asked(self) -> None:
        """Where its insides are not those we know its method is used."""

        class Changed(ReadableSpan):
            seen: dict[str, Any] | None = None

            def set_attributes(self, attributes: Any) -> None:
                self.seen = attributes

        Changed.__module__ = "opentelemetry.sdk.trace"
        span = Changed("span")
        put_attributes(span, {"a": 1})

        assert span.seen == {"a": 1}


class TestExportable:
    """What no exporter may get to see."""

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            ("a\ud800b", "a?b"),
            ("größer", "größer"),
            (2**31, 2**31),
            (2**63 - 1, 2**63 - 1),
            (-(2**63), -(2**63)),
            (1e300, 1e300),
            (["a\ud800", "b"], ("a?", "b")),
        ],
    )
    def test_is_replaced(self, value: Any, kept: Any) -> None:
        """What can be sent is kept, as far as it can."""
        attributes = {"a": value}
        make_exportable(attributes)

        assert attributes == {"a": kept}

    @pytest.mark.parametrize(
        "value", [None, 2**63, -(2**63) - 1, float("nan"), float("inf"), {"a": 1}, object()]
    )
    def test_is_taken_out(self, value: Any) -> None:
        """What cannot be sent is absent, and the rest stays."""
        attributes = {"a": value, "b": 1}
        make_exportable(attributes)

        assert attributes == {"b": 1}
