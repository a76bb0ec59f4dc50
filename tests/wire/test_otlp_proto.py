"""OTLP protobuf: what the protobuf library reads, at a fraction of its cost."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from wire_strategies import attributes, from_any_value, spans, to_any_value, to_pairs

from cert_otel.wire import _protobuf
from cert_otel.wire._protobuf import decode_value, read_attributes
from cert_otel.wire.otlp_proto import read_logs, read_traces


def wrap(*given: trace_pb2.Span, **resource: Any) -> bytes:
    scoped = trace_pb2.ScopeSpans(
        scope=common_pb2.InstrumentationScope(name="a.scope", version="1"), spans=given
    )
    group = trace_pb2.ResourceSpans(scope_spans=[scoped])
    group.resource.attributes.extend(to_pairs(resource))
    return trace_pb2.TracesData(resource_spans=[group]).SerializeToString()


def is_same(one: Any, other: Any) -> bool:
    """Compare deeply; NaN is itself, and 1 is not True."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


class TestAgainstTheLibrary:
    """Every message that the protobuf library accepts reads the same here."""

    @given(attributes)
    def test_attributes(self, given: dict[str, Any]) -> None:
        """Each kind of value, nested and long, arrives as it was given."""
        encoded = [pair.SerializeToString() for pair in to_pairs(given)]

        assert is_same(read_attributes(encoded), given)
        assert is_same(read_attributes(encoded), given), "from memory"

    @given(st.binary(max_size=40))
    @settings(max_examples=300)
    def test_any_bytes(self, encoded: bytes) -> None:
        """What the library can parse reads equal; the rest is refused by both, or by one."""
        try:
            message = common_pb2.AnyValue.FromString(encoded)
        except Exception:  # noqa: BLE001 - whatever it raises
            return
        known = message.WhichOneof("value") != "string_value_strindex"  # of profiles alone
        if not known or message.SerializeToString(deterministic=True) != encoded:
            return  # unknown fields, or several alternatives: read below
        assert is_same(decode_value(encoded), from_any_value(message))

    @given(attributes, st.binary(min_size=1, max_size=4), st.booleans())
    def test_fields_in_any_order(self, given: dict[str, Any], more: bytes, last: bool) -> None:
        """A value before its key, and fields of a later version, change nothing."""
        unknown = b"\x7a" + bytes([len(more)]) + more  # field 15, bytes
        for name, value in given.items():
            key = common_pb2.KeyValue(key=name).SerializeToString()
            inner = to_any_value(value).SerializeToString()
            length = common_pb2.KeyValue(value=to_any_value(value)).SerializeToString()
            pair = length + key + (unknown if last else b"")
            assert length.endswith(inner)
            assert is_same(read_attributes([pair]), {name: value})

    @given(spans, st.dictionaries(st.sampled_from(["service.name", "a"]), st.text(), max_size=2))
    def test_spans(self, span: trace_pb2.Span, resource: dict[str, str]) -> None:
        """Ids, times, status, events and what surrounds a span are those of the message."""
        (read,) = read_traces(wrap(span, **resource)).spans

        assert read.name == span.name
        assert read.trace_id == find_id(span.trace_id, 16)
        assert read.span_id == find_id(span.span_id, 8)
        assert read.parent_span_id == find_id(span.parent_span_id, 8)
        assert read.start_ns == find_time(span.start_time_unix_nano)
        assert read.end_ns == find_time(span.end_time_unix_nano)
        assert read.failed == (span.status.code == 2)
        assert is_same(read.attributes, {p.key: from_any_value(p.value) for p in span.attributes})
        assert [event.name for event in read.events] == [event.name for event in span.events]
        assert (read.resource.attributes, read.scope) == (resource, "a.scope")


def find_id(raw: bytes, size: int) -> str | None:
    return raw.hex() if len(raw) == size and any(raw) else None


def find_time(nanoseconds: int) -> int | None:
    return nanoseconds if 0 < nanoseconds < 2**63 else None


class TestMessages:
    def test_what_is_no_message(self) -> None:
        """Bytes that are no OTLP are refused as a whole."""
        with pytest.raises(ValueError, match="not OTLP protobuf"):
            read_traces(b"\xff\xff\xff")

    def test_a_broken_attribute_spoils_its_span_alone(self) -> None:
        """The other spans of the message are read; the broken one is named."""
        good = trace_pb2.Span(name="good").SerializeToString()
        bad = b"\x4a\x03\x0a\x09x"  # an attribute of three bytes that claims nine of key
        scoped = b"".join(b"\x12" + bytes([len(span)]) + span for span in (good, bad))
        group = b"\x12" + bytes([len(scoped)]) + scoped
        batch = read_traces(b"\x0a" + bytes([len(group)]) + group)

        assert [span.name for span in batch.spans] == ["good"]
        assert batch.problems == ["span 2: not OTLP protobuf: an attribute is cut off or malformed"]

    def test_text_that_is_no_utf_8(self) -> None:
        """It loses what cannot be read, and nothing else is lost."""
        pair = b"\x0a\x01k\x12\x04\x0a\x02\xffa"

        assert read_attributes([pair]) == {"k": "\N{REPLACEMENT CHARACTER}a"}

    def test_logs(self) -> None:
        """Log records have a name, ids, a body and attributes."""
        request = logs_service_pb2.ExportLogsServiceRequest()
        log = request.resource_logs.add().scope_logs.add().log_records.add()
        log.event_name = "gen_ai.choice"
        log.trace_id, log.span_id = b"\1" * 16, b"\2" * 8
        log.observed_time_unix_nano = 7
        log.body.CopyFrom(to_any_value({"index": 0}))
        log.attributes.extend(to_pairs({"gen_ai.system": "openai"}))

        (read,) = read_logs(request.SerializeToString()).logs

        assert (read.name, read.trace_id, read.span_id) == ("gen_ai.choice", "01" * 16, "02" * 8)
        assert (read.time_ns, read.body) == (7, {"index": 0})
        assert read.attributes == {"gen_ai.system": "openai"}

    def test_memory_is_bounded(self) -> None:
        """Attributes that never repeat do not pile up."""
        for number in range(20_000):
            (value,) = read_attributes(
                [common_pb2.KeyValue(key="n", value=to_any_value(number)).SerializeToString()]
            ).values()
            assert value == number
        assert len(_protobuf._memo) <= _protobuf._MEMO_ENTRIES

    def test_a_reader_may_change_its_attributes(self) -> None:
        """What one reader does to a span is not seen by the next."""
        message = wrap(trace_pb2.Span(attributes=to_pairs({"a": 1})))
        first = read_traces(message).spans
        first[0].attributes.clear()

        assert read_traces(message).spans[0].attributes == {"a": 1}


class TestLightness:
    def test_the_journal_loads_no_protobuf(self) -> None:
        """The application's process pays for no reader of other formats."""
        code = (
            "import cert_otel.journal, sys; print('google.protobuf' in sys.modules,"
            " 'cert_otel.wire.dialects' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )

        assert done.stdout == "False False\n"
