"""OTLP JSON lines, of any file exporter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_otlp_proto import is_same
from wire_strategies import attributes, to_json_pairs

from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.span import Batch, Event, Resource, Span


def make_line(span: Any, **resource: Any) -> bytes:
    scoped = {"scope": {"name": "a.scope"}, "spans": [span]}
    group = {"resource": {"attributes": to_json_pairs(resource)}, "scopeSpans": [scoped]}
    return json.dumps({"resourceSpans": [group]}).encode()


def read_one(**fields: Any) -> Span:
    (span,) = read_line(make_line(fields)).spans
    return span


class TestSpans:
    def test_whole(self) -> None:
        """Every field that is read, and fields of a later version beside them."""
        line = make_line(
            {
                "traceId": "0AF7651916CD43DD8448EB211C80319C",
                "spanId": "b7ad6b7169203331",
                "parentSpanId": "00f067aa0ba902b7",
                "name": "chat",
                "kind": "SPAN_KIND_CLIENT",
                "startTimeUnixNano": "1800000000000000001",
                "endTimeUnixNano": 1800000000000000009,
                "attributes": to_json_pairs({"a": 1}),
                "events": [{"name": "e", "attributes": to_json_pairs({"b": "c"}), "new": []}],
                "status": {"code": "STATUS_CODE_ERROR", "message": "m"},
                "new": {"x": 1},
            },
            **{"service.name": "s"},
        )

        assert read_line(line) == Batch(
            [
                Span(
                    name="chat",
                    trace_id="0af7651916cd43dd8448eb211c80319c",
                    span_id="b7ad6b7169203331",
                    parent_span_id="00f067aa0ba902b7",
                    start_ns=1800000000000000001,
                    end_ns=1800000000000000009,
                    failed=True,
                    attributes={"a": 1},
                    events=[Event("e", {"b": "c"})],
                    resource=Resource.of({"service.name": "s"}),
                    scope="a.scope",
                )
            ],
            [],
            [],
        )

    @given(attributes)
    def test_attributes(self, given: dict[str, Any]) -> None:
        """Each kind of value, nested too, arrives as it was given."""
        read = read_one(attributes=to_json_pairs(given))

        assert is_same(read.attributes, given)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"intValue": 7}, 7),
            ({"intValue": "9223372036854775807"}, 2**63 - 1),
            ({"intValue": "seven"}, None),
            ({"intValue": "1" * 400}, None),
            ({"doubleValue": "Infinity"}, float("inf")),
            ({"doubleValue": 3}, 3.0),
            ({"boolValue": "true"}, None),
            ({"bytesValue": "%"}, None),
            ({"arrayValue": {}}, []),
            ({"futureValue": 1}, None),
            ("plain", None),
        ],
    )
    def test_values_of_all_writers(self, value: Any, expected: Any) -> None:
        """Integers are texts or numbers; what is no value is none."""
        read = read_one(attributes=[{"key": "k", "value": value}])

        assert is_same(read.attributes, {"k": expected})

    @pytest.mark.parametrize("identifier", ["", "0" * 32, "zz" * 16, "ab", 7, None])
    def test_ids_that_are_none(self, identifier: Any) -> None:
        """Zeros, other lengths and what is no hexadecimal text are no ids."""
        assert read_one(traceId=identifier).trace_id is None

    @pytest.mark.parametrize("time", ["", "0", "-1", "1e18", str(2**64), None, True, [1]])
    def test_times_that_are_none(self, time: Any) -> None:
        """Zero is "not given", and what is no time is none."""
        assert read_one(startTimeUnixNano=time).start_ns is None

    @pytest.mark.parametrize(("code", "failed"), [(2, True), ("2", True), (1, False), ([], False)])
    def test_status(self, code: Any, failed: bool) -> None:
        """A status is a number or a name."""
        assert read_one(status={"code": code}).failed is failed


class TestLines:
    def test_what_is_no_span_is_named(self) -> None:
        """It does not spoil the others of its line."""
        scoped = {"spans": [{"name": "a"}, 7, {"name": "b"}]}
        batch = read_line(json.dumps({"resourceSpans": [{"scopeSpans": [scoped]}]}))

        assert [span.name for span in batch.spans] == ["a", "b"]
        assert batch.problems == ["span 2: not a JSON object"]

    def test_logs(self) -> None:
        """A line may hold log records; their name is where either generation puts it."""
        records = [
            {"eventName": "gen_ai.choice", "observedTimeUnixNano": "5", "body": {"intValue": "1"}},
            {"attributes": to_json_pairs({"event.name": "gen_ai.choice"})},
        ]
        batch = read_line(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}))

        assert [(log.name, log.time_ns, log.body) for log in batch.logs] == [
            ("gen_ai.choice", 5, 1),
            ("gen_ai.choice", None, None),
        ]

    def test_other_signals_hold_nothing(self) -> None:
        """Metrics are OTLP, and none of ours."""
        assert read_line(b'{"resourceMetrics":[]}') == Batch([], [], [])

    @pytest.mark.parametrize("line", [b"", b"[1]", b'{"a":1}', b"{", b"\xff", b"[" * 100_000])
    def test_what_is_no_otlp(self, line: bytes) -> None:
        """It is refused with the reason."""
        with pytest.raises(ValueError, match="not "):
            read_line(line)

    def test_what_json_forbids(self) -> None:
        """NaN, as json.dumps writes it, is read."""
        line = json.dumps(
            {"resourceSpans": [{"scopeSpans": [{"spans": [{"droppedCount": float("nan")}]}]}]}
        )

        assert len(read_line(line).spans) == 1

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "resourceSpans",
                            "scopeSpans",
                            "spans",
                            "attributes",
                            "key",
                            "value",
                            "resource",
                            "scope",
                            "events",
                            "status",
                            "arrayValue",
                            "values",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=20,
        )
    )
    def test_any_shape(self, content: Any) -> None:
        """Whatever stands where something else is expected is nothing."""
        read_line(json.dumps({"resourceSpans": content}))
