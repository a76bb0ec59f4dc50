"""What hypothesis draws for the readers of OTLP."""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from cert_otel import semconv
from cert_otel.records import ContextItem, CostDetail, Evaluation, Record, Tokens, Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.sampled_from(
    [
        semconv.OPERATION_NAME,
        semconv.REQUEST_MODEL,
        semconv.USAGE_INPUT_TOKENS,
        semconv.INPUT_MESSAGES,
        "llm.input_messages.0.message.role",
        "ticket",
        "k" * 130,
    ]
)
scalars = st.one_of(
    texts,
    st.text(st.characters(codec="utf-8"), min_size=130, max_size=300),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=9),
    st.none(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
attributes = st.dictionaries(names | texts, values, max_size=8)


def to_any_value(value: Any) -> common_pb2.AnyValue:
    """Encode with the protobuf library."""
    if value is None:
        return common_pb2.AnyValue()
    if isinstance(value, list):
        array = common_pb2.ArrayValue(values=[to_any_value(item) for item in value])
        return common_pb2.AnyValue(array_value=array)
    if isinstance(value, dict):
        return common_pb2.AnyValue(kvlist_value=common_pb2.KeyValueList(values=to_pairs(value)))
    field, _ = next(fields for kind, fields in _SCALARS if isinstance(value, kind))
    return common_pb2.AnyValue(**{field: value})


def to_pairs(given: dict[str, Any]) -> list[common_pb2.KeyValue]:
    """Encode attributes with the protobuf library."""
    return [
        common_pb2.KeyValue(key=name, value=to_any_value(value)) for name, value in given.items()
    ]


def from_any_value(value: common_pb2.AnyValue) -> Any:
    """Decode with the protobuf library, as anybody would."""
    field = value.WhichOneof("value")
    if field is None:
        return None
    if field == "array_value":
        return [from_any_value(item) for item in value.array_value.values]
    if field == "kvlist_value":
        return {pair.key: from_any_value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, field)


def to_json_value(value: Any) -> dict[str, Any]:
    """Encode as OTLP JSON."""
    if value is None:
        return {}
    if isinstance(value, list):
        return {"arrayValue": {"values": [to_json_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": to_json_pairs(value)}}
    _, field = next(fields for kind, fields in _SCALARS if isinstance(value, kind))
    return {field: _JSON.get(field, lambda given: given)(value)}


def to_json_pairs(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Encode attributes as OTLP JSON."""
    return [{"key": name, "value": to_json_value(value)} for name, value in given.items()]


_SCALARS: tuple[tuple[type, tuple[str, str]], ...] = (
    (bool, ("bool_value", "boolValue")),
    (int, ("int_value", "intValue")),
    (float, ("double_value", "doubleValue")),
    (str, ("string_value", "stringValue")),
    (bytes, ("bytes_value", "bytesValue")),
)
_JSON: dict[str, Callable[[Any], Any]] = {
    "intValue": str,
    "doubleValue": lambda value: value if math.isfinite(value) else str(value),
    "bytesValue": lambda value: base64.b64encode(value).decode(),
}

spans = st.builds(
    trace_pb2.Span,
    trace_id=st.sampled_from([b"", b"\0" * 16, b"\1" * 16, b"\xab" * 16, b"short"]),
    span_id=st.sampled_from([b"", b"\0" * 8, b"\2" * 8, b"\xcd" * 8]),
    parent_span_id=st.sampled_from([b"", b"\0" * 8, b"\3" * 8]),
    name=texts,
    start_time_unix_nano=st.integers(0, 2**64 - 1),
    end_time_unix_nano=st.integers(0, 2**64 - 1),
    attributes=attributes.map(to_pairs),
    events=st.lists(
        st.builds(
            trace_pb2.Span.Event,
            name=texts,
            time_unix_nano=st.integers(0, 2**64 - 1),
            attributes=attributes.map(to_pairs),
        ),
        max_size=2,
    ),
    status=st.builds(trace_pb2.Status, code=st.integers(0, 2), message=texts),
    flags=st.integers(0, 2**32 - 1),
    trace_state=texts,
)

_words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_maybe = st.none() | _words
_counts = st.none() | st.integers(0, 2**40)
_amounts = st.none() | st.floats(0, 1e6)
_parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "content": texts}), max_size=2)
_messages = st.none() | st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "parts": _parts}),
    min_size=1,
    max_size=3,
)
_ids = st.integers(1, 2**128 - 1)
_figures = st.none() | st.floats(-3, 1e6)
_evaluations = st.lists(
    st.builds(
        Evaluation,
        name=(_words | st.just("answer_relevance")).filter(lambda name: name != "confidence"),
        score=st.none() | st.floats(0, 1),
        label=_maybe,
    ).filter(lambda one: one.score is not None or one.label is not None),
    unique_by=lambda one: one.name,
    max_size=2,
)
_trajectories = st.builds(
    Trajectory,
    perplexity=_figures,
    entropy_mean=_figures,
    entropy_max=_figures,
    surprise_rate=_figures,
    energy_mean=_figures,
    energy_max=_figures,
    steps=_counts,
    tokens=_counts,
    flags=st.lists(texts, max_size=2).map(tuple),
).filter(lambda one: one != Trajectory())
_scores = st.fixed_dictionaries(
    {
        "scorer": _maybe,
        "scorer_revision": _maybe,
        "trajectory": st.none() | _trajectories,
        "evaluations": _evaluations,
    }
).flatmap(
    lambda fields: (
        st.just(fields)
        | st.builds(
            lambda confidence, passed: {**fields, "confidence": confidence, "passed": passed},
            st.floats(0, 1),
            st.none() | st.booleans(),
        )
    )
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Draw a record as a span can tell of it."""
    kind = draw(st.sampled_from(["inference", "embedding", "retrieval", "tool", "agent", "chain"]))
    counted = kind in ("inference", "embedding")
    outcome = draw(st.sampled_from([None, "completed", "closed", "error"]))
    error_type = draw(_maybe)
    failed = error_type is not None or outcome == "error" or draw(st.booleans())
    cost = draw(_amounts) if counted else None
    score_status = draw(st.sampled_from(["scored", "deferred", "skipped", "error"]))
    model, request_model = draw(_maybe), draw(_maybe)
    return Record(
        kind=kind,  # type: ignore[arg-type] # one of the list
        timestamp=START + timedelta(microseconds=draw(st.integers(0, 10**12))),
        trace_id=f"{draw(_ids):032x}",
        span_id=f"{draw(st.integers(1, 2**64 - 1)):016x}",
        parent_span_id=draw(st.none() | st.integers(1, 2**64 - 1).map(lambda n: f"{n:016x}")),
        response_id=draw(_maybe),
        service=draw(_words.filter(lambda text: not text.startswith("unknown_service"))),
        service_version=draw(_maybe),
        operation=draw(_maybe),
        function=draw(_maybe),
        agent=draw(_maybe),
        user=draw(_maybe),
        conversation=draw(_maybe),
        tenant=draw(_maybe),
        task_type=draw(_maybe),
        platform=draw(_maybe),
        model=model or request_model,
        request_model=request_model,
        input_data=draw(_words),
        output_data=draw(_words),
        input_messages=draw(_messages),
        output_messages=draw(_messages),
        tools=draw(st.none() | st.just([{"type": "function", "name": "f"}])),
        context=draw(st.none() | st.just([ContextItem(text="2+2=4", id="a", source="explicit")])),
        prompt_fingerprint=draw(_maybe),
        tokens=draw(
            st.builds(
                Tokens,
                prompt=st.integers(0, 2**40),
                completion=_counts,
                cache_read=_counts,
                cache_write=_counts,
                reasoning=_counts,
            )
        )
        if counted
        else None,
        cost=cost,
        currency=None if cost is None else draw(_words),
        cost_detail=None
        if cost is None
        else draw(
            st.builds(
                CostDetail,
                input=_amounts,
                output=_amounts,
                cache_read=_amounts,
                cache_write=_amounts,
                tools=_amounts,
                source=st.sampled_from(["table", "provider", "override"]),
                pricing_version=_maybe,
                partial=st.booleans(),
            )
        ),
        latency_ms=draw(st.none() | st.integers(0, 10**12).map(lambda ns: ns / 1e6)),
        time_to_first_token_ms=draw(st.none() | st.floats(0, 1e4).map(lambda s: s * 1000)),
        status="error" if failed else ("unset" if outcome == "closed" else "ok"),
        error_type=error_type,
        finish_reasons=draw(st.none() | st.lists(_words, min_size=1, max_size=2)),
        stream_outcome=outcome,  # type: ignore[arg-type] # one of the list
        perplexity=draw(st.none() | st.floats(1, 1e6)),
        score_status=score_status,  # type: ignore[arg-type] # one of the list
        score_reason=draw(_maybe),
        **draw(_scores),
        metadata=draw(
            st.dictionaries(
                _words, st.booleans() | st.integers(-(2**53), 2**53) | _words, max_size=3
            )
        ),
    )
