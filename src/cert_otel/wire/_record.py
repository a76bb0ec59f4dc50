"""A plain span to its record: `record_from_plain`, a pure function.

It reads the GenAI semantic conventions in their present and former names and the `cert.*`
attributes; docs/record.md has the table. What other conventions call these things, `dialects`
translates first. Whatever the span holds, the record is safe to encode: text is valid Unicode,
numbers are finite, lists are lists.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, get_args

from cert_otel import semconv
from cert_otel.records import (
    CostDetail,
    CostSource,
    Kind,
    Record,
    ScoreStatus,
    StreamOutcome,
    Tokens,
)
from cert_otel.wire._content import set_content
from cert_otel.wire._scores import NAMES as TRAJECTORY_NAMES
from cert_otel.wire._scores import find_trajectory, take_evaluations
from cert_otel.wire._values import (
    MAX_METADATA_CHARS,
    clean,
    find_count,
    find_number,
    find_plain,
    find_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cert_otel.wire.span import Attributes, Span

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MARKERS: Final = frozenset(
    {
        semconv.OPERATION_NAME,
        semconv.PROVIDER_NAME,
        semconv.SYSTEM,
        semconv.REQUEST_MODEL,
        semconv.RECORD_KIND,
    }
)
"""A span with none of these is not ours to record."""

_TEXTS: Final = {
    semconv.RESPONSE_ID: "response_id",
    semconv.OPERATION_NAME: "operation",
    semconv.FUNCTION_NAME: "function",
    semconv.AGENT_NAME: "agent",
    semconv.ENDUSER_PSEUDO_ID: "user",
    semconv.CONVERSATION_ID: "conversation",
    semconv.TENANT: "tenant",
    semconv.TASK_TYPE: "task_type",
    semconv.PROVIDER_NAME: "platform",
    semconv.RESPONSE_MODEL: "model",
    semconv.REQUEST_MODEL: "request_model",
    semconv.PROMPT_FINGERPRINT: "prompt_fingerprint",
    semconv.ERROR_TYPE: "error_type",
    semconv.INPUT_DATA: "input_data",
    semconv.OUTPUT_DATA: "output_data",
    semconv.SCORER_MODEL: "scorer",
    semconv.SCORER_REVISION: "scorer_revision",
}
"""Attribute to field, copied as it stands."""

_COUNTS: Final = (
    ("prompt", (semconv.USAGE_INPUT_TOKENS, semconv.USAGE_PROMPT_TOKENS)),
    ("completion", (semconv.USAGE_OUTPUT_TOKENS, semconv.USAGE_COMPLETION_TOKENS)),
    ("cache_read", (semconv.USAGE_CACHE_READ_TOKENS,)),
    ("cache_write", (semconv.USAGE_CACHE_WRITE_TOKENS, semconv.USAGE_CACHE_CREATION_TOKENS)),
    ("reasoning", (semconv.USAGE_REASONING_TOKENS,)),
)
_COUNT_FIELDS: Final = {
    name: (field, rank) for field, names in _COUNTS for rank, name in enumerate(names)
}
"""Of two names the one of lower rank wins."""
_COST: Final = frozenset(
    {
        semconv.COST_AMOUNT,
        semconv.COST_CURRENCY,
        semconv.COST_SOURCE,
        semconv.COST_PRICING_VERSION,
        semconv.COST_PARTIAL,
        semconv.COST_INPUT,
        semconv.COST_OUTPUT,
        semconv.COST_CACHE_READ,
        semconv.COST_CACHE_WRITE,
        semconv.COST_TOOLS,
    }
)
_CONTENT: Final = frozenset(
    {
        semconv.SYSTEM_INSTRUCTIONS,
        semconv.INPUT_MESSAGES,
        semconv.OUTPUT_MESSAGES,
        semconv.TOOL_DEFINITIONS,
        semconv.CONTEXT,
        semconv.METADATA,
        semconv.TOOL_CALL_ARGUMENTS,
        semconv.TOOL_CALL_RESULT,
        semconv.RETRIEVAL_QUERY_TEXT,
        semconv.RETRIEVAL_DOCUMENTS,
    }
)
_OTHERS: Final = frozenset(
    {
        semconv.RECORD_KIND,
        semconv.SYSTEM,
        semconv.STREAM_OUTCOME,
        semconv.RESPONSE_TIME_TO_FIRST_CHUNK,
        semconv.RESPONSE_FINISH_REASONS,
        semconv.PERPLEXITY,
        semconv.SCORE_STATUS,
        semconv.SCORE_REASON,
    }
)
_IN_COUNTS, _IN_COST, _IN_CONTENT, _IN_OTHERS, _IN_SCORES = range(5)
_TARGETS: Final[Mapping[str, str | int]] = {
    **_TEXTS,
    **dict.fromkeys(_COUNT_FIELDS, _IN_COUNTS),
    **dict.fromkeys(_COST, _IN_COST),
    **dict.fromkeys(_CONTENT, _IN_CONTENT),
    **dict.fromkeys(_OTHERS, _IN_OTHERS),
    **dict.fromkeys(TRAJECTORY_NAMES, _IN_SCORES),
}
"""Where an attribute goes: the field that it fills, or the group that is read together."""

_COST_SOURCES: Final = frozenset(get_args(CostSource))
_KINDS: Final = frozenset(get_args(Kind))
_OUTCOMES: Final = frozenset(get_args(StreamOutcome))
_SCORE_STATUSES: Final = frozenset(get_args(ScoreStatus))
PRICED_KINDS: Final = frozenset({"inference", "embedding"})
_UNFINISHED: Final = frozenset({"closed", "abandoned", "cancelled"})

_CONTENT_WORD: Final = re.compile(
    r"(?<![a-z])(?:answer|argument|completion|content|document|input|message|output|prompt|question"
    r"|result|text|variable)s?(?![a-z])|(?<![a-z])(?:body|description|instructions|query)(?![a-z])"
)
"""A word of an attribute's name that tells content."""
_NOT_CONTENT: Final = frozenset(
    {semconv.OUTPUT_TYPE, "gen_ai.prompt.name", "gen_ai.prompt.version"}
)
_INSTRUMENTOR: Final = re.compile(
    r"instrumentation|openlit|logfire|langfuse|traceloop|pydantic|^ai$|^@ai-sdk"
)
_OUR_SCOPES: Final = "cert_otel"
_MAX_NAMES: Final = 4096


class _Names(dict[str, str]):
    """Names of attributes, cleaned; empty for one that tells content."""

    def __missing__(self, name: str) -> str:
        if len(self) >= _MAX_NAMES:
            self.clear()
        is_ours = name in _NOT_CONTENT or name.startswith(semconv.Prefix.EVALUATION)
        tells_content = not is_ours and _CONTENT_WORD.search(name.lower())
        self[name] = known = "" if tells_content else clean(name)
        return known


_names = _Names()


class _Sorted:
    """The attributes of one span, by what reads them."""

    __slots__ = ("fields", "groups", "metadata")

    def __init__(self, attributes: Attributes) -> None:
        self.fields: dict[str, Any] = {}
        self.groups: tuple[Attributes, Attributes, Attributes, Attributes, Attributes] = (
            {},
            {},
            {},
            {},
            {},
        )
        self.metadata: dict[str, Any] = {}
        # This loop runs for each attribute of each span: the usual cases call nothing.
        fields, groups, metadata = self.fields, self.groups, self.metadata
        find_target = _TARGETS.get
        for name, value in attributes.items():
            target = find_target(name)
            if target is None:
                if value.__class__ is str and len(value) <= MAX_METADATA_CHARS:
                    if known := _names[name]:
                        metadata[known] = value if value.isascii() else clean(value)
                else:
                    self.add_metadata(name, value)
            elif target.__class__ is int:
                groups[target][name] = value
            elif value.__class__ is str:
                if value:
                    fields[target] = value if value.isascii() else clean(value)  # type: ignore[index] # a str
            else:
                self.add_metadata(name, value)

    def add_metadata(self, name: str, value: Any) -> None:
        """Keep an attribute without a field, unless it may be content."""
        kind = value.__class__
        if kind is int or kind is bool or (kind is float and isfinite(value)):
            self.metadata[clean(name)] = value
        elif kind is not float and (known := _names[name]):
            plain = find_plain(value)
            if plain is not None:
                self.metadata[known] = plain


def record_from_plain(span: Span) -> Record | None:
    """Read one finished span.

    Returns:
        The record; `None` for a span that is not a GenAI span or was never started.
    """
    attributes = span.attributes
    if span.start_ns is None or attributes.keys().isdisjoint(MARKERS):
        return None
    given = _Sorted(attributes)
    fields = given.fields
    counts, cost, content, others, scores = given.groups
    fields["kind"] = kind = _find_kind(fields, others, used=bool(counts))
    _set_identity(fields, span)
    _set_outcome(given, others, failed=span.failed)
    if kind in PRICED_KINDS:
        if counts:
            _set_tokens(fields, counts)
        if cost:
            _set_cost(given, cost)
    elif counts or cost:
        _keep(given, counts | cost)
    unreadable: list[str] = []
    if content:
        given.metadata.update(set_content(fields, content, unreadable))
    if scores:
        fields["trajectory"] = find_trajectory(scores)
    _set_score_status(given, others, unreadable)
    if unreadable:
        given.metadata[semconv.RECORD_UNREADABLE] = unreadable
    if span.scope is not None and _is_foreign(span.scope):
        given.metadata[semconv.SCOPE_NAME] = clean(span.scope)
    fields["metadata"] = given.metadata
    return Record(**fields)


@functools.lru_cache(maxsize=256)
def _is_foreign(scope: str) -> bool:
    """Whether a span comes from somebody else's instrumentor, which may record what ours does."""
    return _INSTRUMENTOR.search(scope) is not None and not scope.startswith(_OUR_SCOPES)


def _find_kind(fields: dict[str, Any], others: Attributes, *, used: bool) -> str:
    kind = others.get(semconv.RECORD_KIND)
    if isinstance(kind, str) and kind in _KINDS:
        return kind
    known = semconv.KIND_BY_OPERATION.get(fields.get("operation", ""))
    return known or ("inference" if used else "function")


def _set_identity(fields: dict[str, Any], span: Span) -> None:
    # In whole microseconds: a float of seconds is off by up to one of them.
    start = span.start_ns or 0
    fields["timestamp"] = _EPOCH + timedelta(microseconds=start // 1000)
    if span.end_ns is not None and span.end_ns >= start:
        fields["latency_ms"] = (span.end_ns - start) / 1e6
    fields["trace_id"] = span.trace_id
    fields["span_id"] = span.span_id
    fields["parent_span_id"] = span.parent_span_id
    resource = span.resource
    fields["service"] = resource.service
    fields["service_version"] = resource.service_version
    if "model" not in fields and "request_model" in fields:
        fields["model"] = fields["request_model"]


def _set_outcome(given: _Sorted, others: Attributes, *, failed: bool) -> None:
    fields = given.fields
    outcome = others.get(semconv.STREAM_OUTCOME) if others else None
    if failed or outcome == "error" or "error_type" in fields:
        fields["status"] = "error"
    elif isinstance(outcome, str) and outcome in _UNFINISHED:
        fields["status"] = "unset"
    if not others:
        return
    if isinstance(outcome, str) and outcome in _OUTCOMES:
        fields["stream_outcome"] = outcome
    elif outcome is not None:
        given.add_metadata(semconv.STREAM_OUTCOME, outcome)
    if semconv.SYSTEM in others:
        _set_platform(given, others[semconv.SYSTEM])
    first_chunk_s = find_number(others.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK))
    if first_chunk_s is not None:
        fields["time_to_first_token_ms"] = first_chunk_s * 1000
    reasons = others.get(semconv.RESPONSE_FINISH_REASONS)
    if reasons and isinstance(reasons, list | tuple):
        fields["finish_reasons"] = [clean(str(reason)) for reason in reasons]
    fields["perplexity"] = find_number(others.get(semconv.PERPLEXITY))


def _set_platform(given: _Sorted, system: Any) -> None:
    """Take the former name of the provider where the present one is missing."""
    if not isinstance(system, str):
        given.add_metadata(semconv.SYSTEM, system)
    elif system:
        given.fields.setdefault("platform", clean(system))


def _set_tokens(fields: dict[str, Any], given: Attributes) -> None:
    counts: dict[str, int] = {}
    former: dict[str, int] = {}
    for name, value in given.items():
        count = value if value.__class__ is int and value >= 0 else find_count(value)
        if count is not None:
            field, rank = _COUNT_FIELDS[name]
            (former if rank else counts)[field] = count
    if former:
        counts = former | counts
    if counts:
        fields["tokens"] = Tokens(**counts)


def _set_cost(given: _Sorted, cost: Attributes) -> None:
    amount = find_number(cost.get(semconv.COST_AMOUNT))
    if amount is None:
        cost.pop(semconv.COST_AMOUNT, None)
        _keep(given, cost)
        return
    fields = given.fields
    fields["cost"] = amount
    fields["currency"] = find_text(cost.get(semconv.COST_CURRENCY))
    source = cost.get(semconv.COST_SOURCE)
    if isinstance(source, str) and source in _COST_SOURCES:
        fields["cost_detail"] = CostDetail(
            input=find_number(cost.get(semconv.COST_INPUT)),
            output=find_number(cost.get(semconv.COST_OUTPUT)),
            cache_read=find_number(cost.get(semconv.COST_CACHE_READ)),
            cache_write=find_number(cost.get(semconv.COST_CACHE_WRITE)),
            tools=find_number(cost.get(semconv.COST_TOOLS)),
            source=source,  # type: ignore[arg-type] # the line above has checked it
            pricing_version=find_text(cost.get(semconv.COST_PRICING_VERSION)),
            partial=cost.get(semconv.COST_PARTIAL) is True,
        )


def _keep(given: _Sorted, attributes: Attributes) -> None:
    for name, value in attributes.items():
        given.add_metadata(name, value)


def _set_score_status(given: _Sorted, others: Attributes, unreadable: list[str]) -> None:
    fields = given.fields
    status = find_text(others.get(semconv.SCORE_STATUS)) if others else None
    if status in _SCORE_STATUSES:
        fields["score_status"] = status
        fields["score_reason"] = find_text(others.get(semconv.SCORE_REASON))
        fields.update(take_evaluations(given.metadata))
    elif fields["kind"] == "inference" and not has_content(fields):
        fields["score_status"] = "skipped"
        fields["score_reason"] = "unreadable_content" if unreadable else "no_content"


def has_content(fields: Mapping[str, Any]) -> bool:
    """Whether a record's fields hold what was asked or answered."""
    return bool(
        fields.get("input_messages")
        or fields.get("output_messages")
        or fields.get("input_data")
        or fields.get("output_data")
    )
