"""The OpenTelemetry SDK's spans to records: `record_from_span`, a pure function.

It reads the GenAI semantic conventions in their present and former names and the `cert.*`
attributes; docs/record.md has the table. Whatever the span holds, the record is safe to encode:
text is valid Unicode, numbers are finite, lists are lists.
"""

from __future__ import annotations

import functools
import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import msgspec
from opentelemetry.trace import StatusCode

from cert_otel import semconv
from cert_otel.records import (
    ContextItem,
    CostDetail,
    CostSource,
    Kind,
    Record,
    ScoreStatus,
    StreamOutcome,
    Tokens,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

T = TypeVar("T")
Attributes = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MARKERS: Final = frozenset(
    {
        semconv.OPERATION_NAME,
        semconv.PROVIDER_NAME,
        semconv.SYSTEM,
        semconv.REQUEST_MODEL,
        semconv.RECORD_KIND,
    }
)
"""A span with none of these is not ours to record."""

_TEXTS: Final = (
    (semconv.RESPONSE_ID, "response_id"),
    (semconv.OPERATION_NAME, "operation"),
    (semconv.FUNCTION_NAME, "function"),
    (semconv.AGENT_NAME, "agent"),
    (semconv.ENDUSER_PSEUDO_ID, "user"),
    (semconv.CONVERSATION_ID, "conversation"),
    (semconv.TENANT, "tenant"),
    (semconv.TASK_TYPE, "task_type"),
    (semconv.PROVIDER_NAME, "platform"),
    (semconv.SYSTEM, "platform"),
    (semconv.RESPONSE_MODEL, "model"),
    (semconv.REQUEST_MODEL, "request_model"),
    (semconv.PROMPT_FINGERPRINT, "prompt_fingerprint"),
    (semconv.ERROR_TYPE, "error_type"),
    (semconv.INPUT_DATA, "input_data"),
    (semconv.OUTPUT_DATA, "output_data"),
)
"""Attribute to field, copied as it stands; where two fill one field, the first one wins."""

_COUNTS: Final = (
    ("prompt", (semconv.USAGE_INPUT_TOKENS, semconv.USAGE_PROMPT_TOKENS)),
    ("completion", (semconv.USAGE_OUTPUT_TOKENS, semconv.USAGE_COMPLETION_TOKENS)),
    ("cache_read", (semconv.USAGE_CACHE_READ_TOKENS,)),
    ("cache_write", (semconv.USAGE_CACHE_WRITE_TOKENS, semconv.USAGE_CACHE_CREATION_TOKENS)),
    ("reasoning", (semconv.USAGE_REASONING_TOKENS,)),
)
_USAGE: Final = frozenset(name for _, names in _COUNTS for name in names)
_COST_PARTS: Final = (
    ("input", semconv.COST_INPUT),
    ("output", semconv.COST_OUTPUT),
    ("cache_read", semconv.COST_CACHE_READ),
    ("cache_write", semconv.COST_CACHE_WRITE),
)
_COST_SOURCES: Final = frozenset(get_args(CostSource))
_KINDS: Final = frozenset(get_args(Kind))
_OUTCOMES: Final = frozenset(get_args(StreamOutcome))
_SCORE_STATUSES: Final = frozenset(get_args(ScoreStatus))
_PRICED_KINDS: Final = frozenset({"inference", "embedding"})
_UNFINISHED: Final = frozenset({"closed", "abandoned", "cancelled"})

_CONTENT_WORD: Final = re.compile(
    r"(?<![a-z])(?:answer|argument|completion|content|document|input|message|output|prompt|question"
    r"|result|text|variable)s?(?![a-z])|(?<![a-z])(?:body|description|instructions|query)(?![a-z])"
)
"""A word of an attribute's name that tells content."""
_NOT_CONTENT: Final = frozenset(
    {semconv.OUTPUT_TYPE, "gen_ai.prompt.name", "gen_ai.prompt.version"}
)
_NUMBERS: Final = frozenset({int, float})
"""Exact types: True is an int to isinstance(), but no number."""
MAX_METADATA_CHARS: Final = 1024
"""Longer attribute values are taken for content and left out of the metadata."""

# Before 0.21, msgspec's own errors are no ValueError.
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_INSTRUMENTOR: Final = re.compile("instrumentation|openlit|logfire|langfuse|traceloop")
_OUR_SCOPES: Final = "cert_otel"

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_MESSAGES: Final = msgspec.json.Decoder(list[dict[str, Any]])
_CONTEXT: Final = msgspec.json.Decoder(list[ContextItem])
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def record_from_span(span: ReadableSpan) -> Record | None:
    """Read one finished span.

    Args:
        span: Of any instrumentation that follows the GenAI conventions, or of ours.

    Returns:
        The record; `None` for a span that is not a GenAI span or was never started.
    """
    attributes = _copy_attributes(span)
    if attributes.keys().isdisjoint(_MARKERS) or span.start_time is None:
        return None
    kind = _take_kind(attributes)
    fields: dict[str, Any] = {"kind": kind}
    unreadable: list[str] = []
    _set_identity(fields, span)
    _set_texts(fields, attributes)
    _set_outcome(fields, attributes, failed=span.status.status_code is StatusCode.ERROR)
    if kind in _PRICED_KINDS:
        _set_usage(fields, attributes)
    _set_content(fields, attributes, unreadable)
    _set_score_status(fields, attributes, unreadable)
    fields["metadata"] = _take_metadata(attributes, unreadable)
    scope = span.instrumentation_scope
    if scope is not None and _is_foreign(scope.name):
        fields["metadata"][semconv.SCOPE_NAME] = _clean(scope.name)
    return Record(**fields)


@functools.lru_cache(maxsize=256)
def _is_foreign(scope: str) -> bool:
    """Whether a span comes from somebody else's instrumentor, which may record what ours does."""
    return _INSTRUMENTOR.search(scope) is not None and not scope.startswith(_OUR_SCOPES)


def _copy_attributes(span: ReadableSpan) -> Attributes:
    attributes = span.attributes
    # Over the SDK's mapping of a mapping, dict() takes ten times as long as its own copy().
    copy = getattr(attributes, "copy", None)
    copied: Attributes = copy() if copy is not None else dict(attributes or {})
    return copied


def _take_kind(attributes: Attributes) -> str:
    kind = attributes.pop(semconv.RECORD_KIND, None)
    if isinstance(kind, str) and kind in _KINDS:
        return kind
    operation = attributes.get(semconv.OPERATION_NAME)
    if isinstance(operation, str) and operation in semconv.KIND_BY_OPERATION:
        return semconv.KIND_BY_OPERATION[operation]
    return "function" if attributes.keys().isdisjoint(_USAGE) else "inference"


def _set_identity(fields: dict[str, Any], span: ReadableSpan) -> None:
    # In whole microseconds: a float of seconds is off by up to one of them.
    start = span.start_time or 0
    fields["timestamp"] = _EPOCH + timedelta(microseconds=start // 1000)
    if span.end_time is not None and span.end_time >= start:
        fields["latency_ms"] = (span.end_time - start) / 1e6
    context = span.context
    if context is not None and context.is_valid:
        fields["trace_id"] = f"{context.trace_id:032x}"
        fields["span_id"] = f"{context.span_id:016x}"
    if span.parent is not None and span.parent.span_id:
        fields["parent_span_id"] = f"{span.parent.span_id:016x}"
    resource = span.resource.attributes
    service = resource.get(semconv.SERVICE_NAME)
    # "unknown_service" is what the SDK writes for "not given".
    if isinstance(service, str) and not service.startswith("unknown_service"):
        fields["service"] = _clean(service)
    version = resource.get(semconv.SERVICE_VERSION)
    if isinstance(version, str):
        fields["service_version"] = _clean(version)


def _set_texts(fields: dict[str, Any], attributes: Attributes) -> None:
    for name, field in _TEXTS:
        value = attributes.get(name)
        if isinstance(value, str):
            del attributes[name]
            if value:
                fields.setdefault(field, _clean(value))
    if "request_model" in fields:
        fields.setdefault("model", fields["request_model"])


def _set_outcome(fields: dict[str, Any], attributes: Attributes, *, failed: bool) -> None:
    outcome = attributes.get(semconv.STREAM_OUTCOME)
    if isinstance(outcome, str) and outcome in _OUTCOMES:
        fields["stream_outcome"] = attributes.pop(semconv.STREAM_OUTCOME)
    if failed or outcome == "error" or "error_type" in fields:
        fields["status"] = "error"
    elif fields.get("stream_outcome") in _UNFINISHED:
        fields["status"] = "unset"
    first_chunk_s = _take_number(attributes, semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
    if first_chunk_s is not None:
        fields["time_to_first_token_ms"] = first_chunk_s * 1000
    reasons = attributes.pop(semconv.RESPONSE_FINISH_REASONS, None)
    if reasons and isinstance(reasons, list | tuple):
        fields["finish_reasons"] = [_clean(str(reason)) for reason in reasons]
    fields["perplexity"] = _take_number(attributes, semconv.PERPLEXITY)


def _set_usage(fields: dict[str, Any], attributes: Attributes) -> None:
    counts = {
        field: count
        for field, names in _COUNTS
        if (count := _take_count(attributes, names)) is not None
    }
    if counts:
        fields["tokens"] = Tokens(**counts)
    amount = _take_number(attributes, semconv.COST_AMOUNT)
    if amount is None:
        return
    fields["cost"] = amount
    fields["currency"] = _take_text(attributes, semconv.COST_CURRENCY)
    source = _take_text(attributes, semconv.COST_SOURCE)
    if source in _COST_SOURCES:
        parts = {field: _take_number(attributes, name) for field, name in _COST_PARTS}
        fields["cost_detail"] = CostDetail(
            **parts,
            source=source,  # type: ignore[arg-type] # the line above has checked it
            pricing_version=_take_text(attributes, semconv.COST_PRICING_VERSION),
            partial=attributes.pop(semconv.COST_PARTIAL, False) is True,
        )


def _set_content(fields: dict[str, Any], attributes: Attributes, unreadable: list[str]) -> None:
    system = _take_json(attributes, semconv.SYSTEM_INSTRUCTIONS, _MESSAGES, unreadable)
    asked = _take_json(attributes, semconv.INPUT_MESSAGES, _MESSAGES, unreadable)
    answered = _take_json(attributes, semconv.OUTPUT_MESSAGES, _MESSAGES, unreadable)
    fields["tools"] = _take_json(attributes, semconv.TOOL_DEFINITIONS, _MESSAGES, unreadable)
    context = _take_json(attributes, semconv.CONTEXT, _CONTEXT, unreadable)
    if asked:
        fields.setdefault("input_data", _find_text(reversed(asked), role="user"))
    if answered:
        fields.setdefault("output_data", _find_text(answered))
    if system:
        asked = [{"role": "system", "parts": system}, *(asked or ())]
    fields["input_messages"] = asked
    fields["output_messages"] = answered
    if fields["kind"] == "tool":
        _set_text(fields, "input_data", attributes.pop(semconv.TOOL_CALL_ARGUMENTS, None))
        _set_text(fields, "output_data", attributes.pop(semconv.TOOL_CALL_RESULT, None))
    elif fields["kind"] == "retrieval":
        _set_text(fields, "input_data", attributes.pop(semconv.RETRIEVAL_QUERY_TEXT, None))
        found = _take_json(attributes, semconv.RETRIEVAL_DOCUMENTS, _MESSAGES, unreadable)
        context = context or _context_from_documents(found or [])
    fields["context"] = context


def _set_text(fields: dict[str, Any], field: str, value: Any) -> None:
    if value is None or value == "" or field in fields:
        return
    fields[field] = _clean(value if isinstance(value, str) else _dump(value))


def _context_from_documents(documents: list[dict[str, Any]]) -> list[ContextItem] | None:
    """Read the passages; the conventions' own documents have an id and a score but no text."""
    items = []
    for document in documents:
        text = document.get("content") or document.get("text")
        if isinstance(text, str) and text:
            name = document.get("id")
            items.append(
                ContextItem(text=text, id=None if name is None else str(name), source="retrieval")
            )
    return items or None


def _find_text(messages: Any, *, role: str | None = None) -> str | None:
    """Return the text of the first message that has one, of `role` where that is given."""
    for message in messages:
        if role is None or message.get("role") == role:
            text = _text_of(message)
            if text:
                return text
    return None


def _text_of(message: Mapping[str, Any]) -> str:
    parts = message.get("parts")
    if not isinstance(parts, list):
        content = message.get("content")
        return content if isinstance(content, str) else ""
    return "\n".join(
        part["content"]
        for part in parts
        if isinstance(part, dict)
        and part.get("type") == "text"
        and isinstance(part.get("content"), str)
    )


def _set_score_status(
    fields: dict[str, Any], attributes: Attributes, unreadable: list[str]
) -> None:
    status = _take_text(attributes, semconv.SCORE_STATUS)
    reason = _take_text(attributes, semconv.SCORE_REASON)
    if status in _SCORE_STATUSES:
        fields["score_status"] = status
        fields["score_reason"] = reason
    elif fields["kind"] == "inference" and not (
        fields["input_messages"]
        or fields["output_messages"]
        or fields.get("input_data")
        or fields.get("output_data")
    ):
        fields["score_status"] = "skipped"
        fields["score_reason"] = "unreadable_content" if unreadable else "no_content"


def _take_metadata(attributes: Attributes, unreadable: list[str]) -> dict[str, Any]:
    given = _take_json(attributes, semconv.METADATA, _OBJECT, unreadable)
    metadata: dict[str, Any] = {}
    for name, value in attributes.items():
        plain = _plain(value)
        if plain is not None and (_is_number(value) or not _names_content(name)):
            metadata[_clean(name)] = plain
    if unreadable:
        metadata[semconv.RECORD_UNREADABLE] = unreadable
    if given:
        metadata.update(given)
    return metadata


@functools.lru_cache(maxsize=4096)
def _names_content(name: str) -> bool:
    """Whether an attribute of this name may hold what was asked or answered."""
    return name not in _NOT_CONTENT and _CONTENT_WORD.search(name.lower()) is not None


def _plain(value: Any) -> Any:
    """Return what JSON can hold, or `None` for bytes, mappings, long texts and NaN."""
    if isinstance(value, str):
        return _clean(value) if len(value) <= MAX_METADATA_CHARS else None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return None if None in items else items
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _take_text(attributes: Attributes, name: str) -> str | None:
    value = attributes.pop(name, None)
    return _clean(value) if isinstance(value, str) and value else None


def _take_number(attributes: Attributes, name: str) -> float | None:
    value = attributes.pop(name, None)
    if value is None or type(value) not in _NUMBERS or not math.isfinite(value):
        return None
    return float(value)


def _take_count(attributes: Attributes, names: tuple[str, ...]) -> int | None:
    """Take all `names`; the first that holds a count is it."""
    count = None
    for name in names:
        value = attributes.pop(name, None)
        if value is not None and count is None and type(value) is int and value >= 0:
            count = value
    return count


def _take_json(
    attributes: Attributes, name: str, decoder: msgspec.json.Decoder[T], unreadable: list[str]
) -> T | None:
    """Decode an attribute that is a JSON text or, from newer SDKs, structured already."""
    value = attributes.pop(name, None)
    if value is None:
        return None
    try:
        return decoder.decode(value if isinstance(value, str) else _dump(value)) or None
    except _UNREADABLE:
        return _take_lenient(value, name, decoder, unreadable)


def _take_lenient(
    value: Any, name: str, decoder: msgspec.json.Decoder[T], unreadable: list[str]
) -> T | None:
    """Decode what `json.dumps` writes and JSON forbids: NaN, and halves of surrogate pairs."""
    try:
        return decoder.decode(_dump(json.loads(value, parse_constant=lambda _: None))) or None
    except _UNREADABLE:
        unreadable.append(name)
        return None


def _dump(value: Any) -> str:
    try:
        return _ENCODER.encode(value).decode()
    except UnicodeEncodeError:
        return _clean(json.dumps(value, ensure_ascii=False, default=str))


def _clean(text: str) -> str:
    """Replace halves of surrogate pairs, which UTF-8 cannot hold."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()
