"""Records as lines: what is missing is null, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from cert_otel.records import (
    Evaluation,
    EvaluationRecord,
    Record,
    Tokens,
    encode_line,
)

MOMENT = datetime(2026, 11, 20, 10, 30, 0, 123456, tzinfo=UTC)


class TestLine:
    def test_one_line_in_the_order_of_the_fields(self) -> None:
        """Readers and people find a field where it always is; the newline ends the line."""
        line = encode_line(Record(kind="inference", timestamp=MOMENT, input_data="a\nb"))

        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert list(msgspec.json.decode(line)) == list(Record.__struct_fields__)
        assert line.startswith(
            b'{"v":1,"kind":"inference","timestamp":"2026-11-20T10:30:00.123456Z","trace_id":null,'
        )

    def test_missing_is_null(self) -> None:
        """A call without usage has no tokens and no cost: not 0, not NaN, not an empty text."""
        fields = msgspec.json.decode(encode_line(Record(kind="inference", timestamp=MOMENT)))
        present = {name: value for name, value in fields.items() if value is not None}

        assert present == {
            "v": 1,
            "kind": "inference",
            "timestamp": "2026-11-20T10:30:00.123456Z",
            "status": "ok",
            "evaluations": [],
            "metadata": {},
        }

    def test_a_part_that_is_known_does_not_invent_the_rest(self) -> None:
        """Zero tokens from the cache is a report; no report is null."""
        record = Record(
            kind="inference", timestamp=MOMENT, tokens=Tokens(prompt=12, cache_read=0), cost=0.0
        )
        fields = msgspec.json.decode(encode_line(record))

        assert fields["tokens"] == {
            "prompt": 12,
            "completion": None,
            "cache_read": 0,
            "cache_write": None,
            "reasoning": None,
        }
        assert fields["cost"] == 0.0

    def test_it_comes_back(self) -> None:
        """Decoding a line gives the record that was written."""
        record = Record(
            kind="inference",
            timestamp=MOMENT,
            output_data="Grüße, 東京 ☃",
            evaluations=[Evaluation(name="grounding", score=None, label="unknown")],
        )

        assert msgspec.json.decode(encode_line(record), type=Record) == record

    def test_an_evaluation_is_a_line_of_its_own_kind(self) -> None:
        """A result that is written later says so, and whom it judges."""
        record = EvaluationRecord(
            timestamp=MOMENT, trace_id="0" * 32, span_id="0" * 16, scorer="m", confidence=0.9
        )

        fields = msgspec.json.decode(encode_line(record))
        assert (fields["kind"], fields["score_status"]) == ("evaluation", "scored")
        assert msgspec.json.decode(encode_line(record), type=EvaluationRecord) == record


class TestFrozen:
    def test_a_record_does_not_change(self) -> None:
        """What was measured stays as it was measured."""
        record = Record(kind="inference", timestamp=MOMENT)

        with pytest.raises(AttributeError):
            record.cost = 1.0  # type: ignore[misc]  # that it fails is the point
