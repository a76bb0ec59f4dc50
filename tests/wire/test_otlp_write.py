"""Records to OTLP and back: nothing is lost."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from wire_strategies import START, records

from cert_otel import semconv
from cert_otel.records import Evaluation, Record, Trajectory
from cert_otel.wire import otlp_write
from cert_otel.wire._record import record_from_plain
from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.otlp_proto import read_traces
from cert_otel.wire.reading import read_batch
from cert_otel.wire.span import Resource, Span


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

    def test_what_has_no_attribute_stays_behind(self) -> None:
        """A threshold, and what an evaluation knows beside score and label, are not on a span."""
        evaluation = Evaluation(name="grounding", score=0.5, label="fail", evaluator="e")
        record = Record(
            kind="inference",
            timestamp=START,
            trace_id="1" * 32,
            span_id="2" * 16,
            input_data="a",
            confidence=0.5,
            threshold=0.7,
            passed=False,
            evaluations=[evaluation],
            score_status="scored",
        )

        (read,) = read_batch(read_line(otlp_write.encode_line(record))).records

        assert (read.confidence, read.threshold, read.passed) == (0.5, None, False)
        assert read.evaluations == [Evaluation(name="grounding", score=0.5, label="fail")]


class TestScores:
    """What `certscore` sets on a span."""

    def test_what_is_no_score_is_left_where_it_was(self) -> None:
        """A value of the wrong kind is metadata, and no figure is invented."""
        given: dict[str, Any] = {
            semconv.OPERATION_NAME: "chat",
            semconv.SCORE_STATUS: "scored",
            semconv.TRAJECTORY_PERPLEXITY: "high",
            semconv.TRAJECTORY_STEPS: -1,
            semconv.TRAJECTORY_FLAGS: [7, "entropy"],
            semconv.name_evaluation_score("grounding"): "good",
            semconv.HAMILTONIAN_KINETIC: 0.5,
        }

        record = record_from_plain(make_span(given))

        assert record is not None
        assert record.trajectory == Trajectory(flags=("entropy",))
        assert record.evaluations == []
        assert record.metadata == {
            semconv.name_evaluation_score("grounding"): "good",
            semconv.HAMILTONIAN_KINETIC: 0.5,
        }

    def test_a_span_that_nobody_scored(self) -> None:
        """Without a status there is no score: what looks like one is the application's."""
        name = semconv.name_evaluation_score("grounding")

        record = record_from_plain(make_span({semconv.OPERATION_NAME: "chat", name: 0.5}))

        assert record is not None
        assert (record.trajectory, record.evaluations) == (None, [])
        assert record.metadata == {name: 0.5}


def make_span(attributes: dict[str, Any]) -> Span:
    """Return a span with these attributes."""
    return Span(
        "chat", "1" * 32, "2" * 16, None, 1, 2, False, attributes, (), Resource.of({}), None
    )


class TestNames:
    def test_a_function_is_named_after_itself(self) -> None:
        """Whoever looks at the span sees what it is."""
        record = Record(kind="function", timestamp=START, function="answer")

        (span,) = read_line(otlp_write.encode_line(record)).spans

        assert span.name == "function answer"
        assert (span.trace_id, span.end_ns) == (None, None)
