"""Records to OTLP and back: nothing is lost."""

from __future__ import annotations

from hypothesis import given, settings
from wire_strategies import START, records

from cert_otel.records import Record, Tokens
from cert_otel.wire import otlp_write
from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.otlp_proto import read_traces
from cert_otel.wire.reading import read_batch


class TestRoundTrip:
    @given(records())
    @settings(deadline=None)
    def test_json(self, record: Record) -> None:
        """A record that a span can tell of comes back from OTLP JSON as it was."""
        reading = read_batch(read_line(otlp_write.encode_line(record)))

        assert reading.records == [record]
        assert reading.problems == []

    @given(records())
    @settings(deadline=None)
    def test_protobuf(self, record: Record) -> None:
        """And from protobuf."""
        reading = read_batch(read_traces(otlp_write.encode_traces([record])))

        assert reading.records == [record]

    @given(records())
    @settings(deadline=None)
    def test_encodings_agree(self, record: Record) -> None:
        """The spans of both encodings are the same."""
        (one,) = read_line(otlp_write.encode_line(record)).spans
        (other,) = read_traces(otlp_write.encode_traces([record])).spans

        assert (one.attributes, one.name) == (other.attributes, other.name)

    def test_what_came_later_stays_behind(self) -> None:
        """Results of scorers are no attributes of a span."""
        record = Record(
            kind="inference",
            timestamp=START,
            trace_id="1" * 32,
            span_id="2" * 16,
            tokens=Tokens(prompt=1),
            input_data="a",
            confidence=0.5,
            passed=True,
        )

        (read,) = read_batch(read_line(otlp_write.encode_line(record))).records

        assert read.tokens == Tokens(prompt=1)
        assert (read.confidence, read.passed) == (None, None)


class TestNames:
    def test_a_function_is_named_after_itself(self) -> None:
        """Whoever looks at the span sees what it is."""
        record = Record(kind="function", timestamp=START, function="answer")

        (span,) = read_line(otlp_write.encode_line(record)).spans

        assert span.name == "function answer"
        assert (span.trace_id, span.end_ns) == (None, None)
