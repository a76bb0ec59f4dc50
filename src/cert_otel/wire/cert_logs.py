"""Lines of CERT v3 and v4 logs to records: `record_from_cert_log`, a pure function.

The predecessor, cert-framework, wrote three shapes into its JSON lines, and all are read here:
what its connectors logged of a model call (`platform`, `model`, `input_data`, `output_data`,
`cost`), what its `trace` decorator logged of a function (`function`, `input`, `answer`,
`duration_ms`), and what its audit logger kept of a judgement (`accuracy_score`). docs/migration.md
has the table of the fields.

CERT wrote 0 for tokens that nobody reported, and guessed those of a stream from the length of its
text. Neither is a measurement: both are missing here, and so is the cost that was made from them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from cert_otel.records import ContextItem, CostDetail, Evaluation, Record, Tokens
from cert_otel.wire._content import find_text as find_text_of
from cert_otel.wire._record import has_content
from cert_otel.wire._values import (
    as_mapping,
    clean,
    dump,
    find_count,
    find_number,
    find_object,
    find_text,
)
from cert_otel.wire.dialects._messages import to_messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PREDECESSOR: Final = "cert-framework"
"""Whose price table and whose evaluators made the figures."""
ESTIMATED_COST: Final = "estimated_cost"
"""In the metadata: a cost that CERT computed from guessed tokens."""

_MARKERS: Final = frozenset({"platform", "model", "function"})
_OURS: Final = frozenset({"v", "kind"})
_INFERENCE: Final = ("platform", "model", "cost")
_PLATFORMS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
}
"""Names that differ from those of the GenAI conventions."""
_COUNTS: Final = (
    ("prompt", ("prompt", "prompt_tokens", "input_tokens")),
    ("completion", ("completion", "completion_tokens", "output_tokens")),
)
_ESTIMATES: Final = frozenset({"estimated_prompt_tokens", "estimated_completion_tokens"})
_SCORES: Final = ("semantic_score", "grounding_score", "nli_score")
_IN_METADATA: Final = frozenset(
    {
        "tokens",
        "latency_ms",
        "finish_reason",
        "stop_reason",
        "response_id",
        "actual_model",
        "model_name",
        "confidence",
        "task_type",
        *(name for _, names in _COUNTS for name in names),
        "total_tokens",
    }
)
"""What has a field of its own in a record."""
_FIELDS: Final = frozenset(
    {
        "timestamp",
        *_INFERENCE,
        "function",
        "input_data",
        "output_data",
        "input",
        "answer",
        "context",
        "metadata",
        "status",
        "error",
        "duration_ms",
        "latency_ms",
        "token_usage",
        "task_type",
        "confidence",
        "accuracy_score",
        "threshold",
        "passed",
        "matched",
        "is_compliant",
        "metrics",
        *_SCORES,
        # Content that has no field: what was expected, and texts that were cut short.
        "expected_output",
        "input_preview",
        "output_preview",
    }
)
"""What is not kept under its own name in the metadata."""
_NO_MODEL: Final = "unknown"
"""What CERT wrote for a model that it did not know."""


def record_from_cert_log(line: dict[str, Any]) -> Record | None:
    """Read one line.

    Args:
        line: The JSON object of the line. It is not changed.

    Returns:
        The record; `None` for what CERT did not write, and for the header of an audit log.
    """
    timestamp = _find_time(line.get("timestamp"))
    if timestamp is None or line.keys().isdisjoint(_MARKERS) or not line.keys().isdisjoint(_OURS):
        return None
    metadata = as_mapping(line.get("metadata"))
    fields: dict[str, Any] = {"timestamp": timestamp, "kind": _find_kind(line, metadata)}
    _set_identity(fields, line, metadata)
    _set_outcome(fields, line, metadata)
    _set_content(fields, line)
    if fields["kind"] != "function":
        _set_usage(fields, line, metadata)
    _set_evaluation(fields, line, metadata)
    fields["metadata"] = _keep(line, metadata) | fields.get("metadata", {})
    return Record(**fields)


def _keep(line: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has no field: what the application gave, and plain values of the line."""
    given = {name: value for name, value in metadata.items() if name not in _IN_METADATA}
    plain = {
        name: value
        for name, value in line.items()
        if name not in _FIELDS and isinstance(value, str | int | float)
    }
    return find_object(dump(plain | given))


def _find_time(value: Any) -> datetime | None:
    """Read ISO 8601; CERT's times without a zone are UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _find_kind(line: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Say whether a model was called: a traced function has neither model nor usage."""
    model = line.get("model")
    if isinstance(model, str) and "embedding" in model:
        return "embedding"
    called = any(line.get(name) is not None for name in _INFERENCE)
    return "inference" if called or _find_tokens(line, metadata) is not None else "function"


def _set_identity(
    fields: dict[str, Any], line: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    platform = _find_name(line.get("platform"))
    asked = _find_name(line.get("model"))
    answered = _find_name(metadata.get("actual_model")) or _find_name(metadata.get("model_name"))
    fields["platform"] = _PLATFORMS.get(platform, platform) if platform else None
    fields["model"] = answered or asked
    fields["request_model"] = asked
    fields["function"] = _find_name(line.get("function"))
    fields["response_id"] = _find_name(metadata.get("response_id"))
    fields["service"] = _find_name(metadata.get("service"))
    fields["service_version"] = _find_name(metadata.get("version"))
    fields["task_type"] = _find_name(_first(line, metadata, name="task_type"))


def _set_outcome(
    fields: dict[str, Any], line: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    failed = bool(line.get("error")) or line.get("status") == "error"
    fields["status"] = "error" if failed else "ok"
    latency = _find_amount(line.get("duration_ms"))
    if latency is None:
        latency = _find_amount(_first(line, metadata, name="latency_ms"))
    fields["latency_ms"] = latency
    reason = find_text(metadata.get("finish_reason") or metadata.get("stop_reason"))
    fields["finish_reasons"] = [reason] if reason else None
    if metadata.get("streaming") is True:
        fields["stream_outcome"] = "error" if failed else "completed"


def _set_usage(
    fields: dict[str, Any], line: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    fields["tokens"] = _find_tokens(line, metadata)
    cost = _find_amount(line.get("cost"))
    if cost is None or (cost == 0 and fields["tokens"] is None):
        return
    if not _ESTIMATES.isdisjoint(metadata):
        fields["metadata"] = {ESTIMATED_COST: cost}
        return
    fields["cost"] = cost
    fields["currency"] = "USD"
    fields["cost_detail"] = CostDetail(source="table", pricing_version=PREDECESSOR)


def _find_tokens(line: Mapping[str, Any], metadata: Mapping[str, Any]) -> Tokens | None:
    places = (metadata.get("tokens"), line.get("token_usage"), metadata)
    for place in places:
        if isinstance(place, dict):
            counts = {field: _find_count(place, names) for field, names in _COUNTS}
            if any(counts.values()):
                return Tokens(**counts)
    return None


def _find_count(place: Mapping[str, Any], names: Iterable[str]) -> int | None:
    counts = (find_count(place.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _set_content(fields: dict[str, Any], line: Mapping[str, Any]) -> None:
    asked = line.get("input_data", line.get("input"))
    structured = isinstance(asked, list | dict)
    messages = [one for one in to_messages(asked) if one["parts"]] if structured else []
    fields["input_messages"] = messages or None
    fields["input_data"] = find_text_of(reversed(messages), role="user") or (
        None if messages else _show(asked)
    )
    fields["output_data"] = _show(line.get("output_data", line.get("answer")))
    fields["context"] = list(_find_context(line.get("context"))) or None
    if fields["kind"] == "inference" and not has_content(fields):
        fields["score_status"] = "skipped"
        fields["score_reason"] = "no_content"


def _find_context(context: Any) -> Iterator[ContextItem]:
    for passage in context if isinstance(context, list) else [context]:
        named = as_mapping(passage)
        given = next((named[name] for name in ("text", "content") if named.get(name)), passage)
        text, name = _show(given), named.get("id")
        if text:
            yield ContextItem(text=text, id=_show(name), source="explicit")


def _set_evaluation(
    fields: dict[str, Any], line: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    judged = line.get("accuracy_score")
    confidence = _find_score(
        _first(line, metadata, name="confidence") if judged is None else judged
    )
    fields["confidence"] = confidence
    fields["threshold"] = _find_score(line.get("threshold"))
    verdicts = (line.get(name) for name in ("passed", "matched", "is_compliant"))
    fields["passed"] = next((verdict for verdict in verdicts if isinstance(verdict, bool)), None)
    scores = as_mapping(line.get("metrics")) or line
    fields["evaluations"] = [
        Evaluation(name=name.removesuffix("_score"), score=score, evaluator=PREDECESSOR)
        for name in _SCORES
        if (score := _find_score(scores.get(name))) is not None
    ]


def _first(line: Mapping[str, Any], metadata: Mapping[str, Any], *, name: str) -> Any:
    return line[name] if line.get(name) is not None else metadata.get(name)


def _find_name(value: Any) -> str | None:
    name = find_text(value)
    return None if name == _NO_MODEL else name


def _show(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return clean(value) if isinstance(value, str) else dump(value)


def _find_amount(value: Any) -> float | None:
    number = find_number(value)
    return number if number is not None and number >= 0 else None


def _find_score(value: Any) -> float | None:
    score = _find_amount(value)
    return score if score is not None and score <= 1 else None
