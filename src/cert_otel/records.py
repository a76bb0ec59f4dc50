"""The vocabulary: what one model call leaves behind, as frozen structs.

`Record` is one line of the journal, `Usage` and `Cost` are what pricing works on, and
`EvaluationRecord` is a result that was written later. docs/record.md explains the fields and
docs/record.schema.json is generated from these structs (a test holds the two together).

Missing is `None`, everywhere: never 0, NaN or "".
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec resolves the annotations at run time
from typing import Any, Final, Literal

import msgspec

SCHEMA_VERSION: Final = 1

Kind = Literal["inference", "embedding", "retrieval", "tool", "agent", "chain", "function"]
Status = Literal["ok", "error", "unset"]
StreamOutcome = Literal["completed", "closed", "abandoned", "cancelled", "error"]
ScoreStatus = Literal["scored", "deferred", "skipped", "error"]
CostSource = Literal["table", "provider", "override"]
EvidenceKind = Literal["number", "date", "name", "negation", "quote", "code", "term", "span"]
"""What is not borne out; `span` comes from models that only mark a stretch of text."""
Finding = Literal["missing", "contradicted"]
"""Nowhere in the context, or the context says otherwise."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one call used, as the provider reported it; `None` is "not reported".

    `input_tokens` is everything billed as prompt and includes the cache, audio, image and video
    parts; `output_tokens` includes reasoning, audio, images and video. The parts never exceed
    their whole.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    """All cache writes, whatever their time to live."""
    cache_write_1h_tokens: int | None = None
    """The part of `cache_write_tokens` that is kept for one hour."""
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    cache_read_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    cache_read_image_tokens: int | None = None
    input_video_tokens: int | None = None
    output_video_tokens: int | None = None
    web_searches: int | None = None
    """Searches that the provider ran for the call, billed one by one."""
    file_searches: int | None = None
    """Searches in the provider's vector stores."""
    code_executions: int | None = None
    """Sessions or runs of the provider's code interpreter."""


class Cost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one call cost. The parts sum to `amount`."""

    amount: float
    currency: str = "USD"
    """ISO 4217."""
    input: float | None = None
    """Uncached prompt tokens, audio, image and video input included."""
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    tools: float | None = None
    """Fees for searches and code that the provider ran."""
    source: CostSource = "table"
    pricing_version: str | None = None
    partial: bool = False
    """The amount is a lower bound: not everything that is billed was reported."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Token counts of a record, under the names that CERT users know."""

    prompt: int | None = None
    completion: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


class CostDetail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a record's cost came from."""

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    tools: float | None = None
    source: CostSource = "table"
    pricing_version: str | None = None
    partial: bool = False


class ContextItem(msgspec.Struct, frozen=True, kw_only=True):
    """One passage that an answer may rest on."""

    text: str
    id: str | None = None
    source: str | None = None
    """`explicit`, `retrieval`, `tool`, or what the application named it."""


class Trajectory(msgspec.Struct, frozen=True, kw_only=True):
    """What the scorer measured on one answer; natural logarithms, energies without unit."""

    perplexity: float | None = None
    entropy_mean: float | None = None
    entropy_max: float | None = None
    surprise_rate: float | None = None
    energy_mean: float | None = None
    energy_max: float | None = None
    steps: int | None = None
    tokens: int | None = None
    flags: tuple[str, ...] = ()


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of the answer that the context does not bear out. Offsets, never text."""

    start: int
    """First character of the answer."""
    end: int
    """Behind its last character."""
    kind: EvidenceKind
    finding: Finding = "missing"
    context_item: int | None = None
    """Index of the passage that comes nearest, or says otherwise."""
    context_start: int | None = None
    """First character, in that passage, of the sentence that was looked at."""
    context_end: int | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement of one answer."""

    name: str
    score: float | None
    """In [0, 1]; `None` when it could not be judged."""
    label: str | None = None
    reason: str | None = None
    """Why there is no score."""
    evidence: tuple[Evidence, ...] = ()
    evaluator: str | None = None
    revision: str | None = None
    calibration: str | None = None
    latency_ms: float | None = None
    """Wall time; of a batch, its share."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One call, one line. Fields in the order in which they are written."""

    v: Literal[1] = SCHEMA_VERSION
    kind: Kind
    timestamp: datetime
    """Start of the call, aware, UTC."""
    trace_id: str | None = None
    """32 lower-case hexadecimal digits."""
    span_id: str | None = None
    """16 lower-case hexadecimal digits."""
    parent_span_id: str | None = None
    response_id: str | None = None
    service: str | None = None
    service_version: str | None = None
    operation: str | None = None
    function: str | None = None
    agent: str | None = None
    user: str | None = None
    """A keyed pseudonym."""
    conversation: str | None = None
    tenant: str | None = None
    task_type: str | None = None
    platform: str | None = None
    """`gen_ai.provider.name`."""
    model: str | None = None
    """The model that answered; else the one that was asked."""
    request_model: str | None = None
    input_data: str | None = None
    """Text of the last user message."""
    output_data: str | None = None
    """Text of the first answer."""
    input_messages: list[dict[str, Any]] | None = None
    """As in `gen_ai.input.messages`, system instructions first."""
    output_messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    context: list[ContextItem] | None = None
    prompt_fingerprint: str | None = None
    """Keyed hash of the prompt; equal prompts of one key have equal fingerprints."""
    tokens: Tokens | None = None
    cost: float | None = None
    currency: str | None = None
    cost_detail: CostDetail | None = None
    latency_ms: float | None = None
    time_to_first_token_ms: float | None = None
    status: Status = "ok"
    error_type: str | None = None
    finish_reasons: list[str] | None = None
    stream_outcome: StreamOutcome | None = None
    perplexity: float | None = None
    """exp(-mean logprob) of the provider's logprobs."""
    confidence: float | None = None
    threshold: float | None = None
    passed: bool | None = None
    trajectory: Trajectory | None = None
    evaluations: list[Evaluation] = []
    score_status: ScoreStatus | None = None
    score_reason: str | None = None
    scorer: str | None = None
    scorer_revision: str | None = None
    duplicate_of: str | None = None
    """Span id of the record that counts for the same call."""
    metadata: dict[str, Any] = {}
    """What the application gave, and attributes without a field. Never content."""


class EvaluationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A result that was written after the call, joined by (trace_id, span_id)."""

    v: Literal[1] = SCHEMA_VERSION
    kind: Literal["evaluation"] = "evaluation"
    timestamp: datetime
    """When it was judged, aware, UTC."""
    trace_id: str
    span_id: str
    scorer: str
    scorer_revision: str | None = None
    confidence: float | None = None
    confidence_low: float | None = None
    """Ends of its 95 % interval, where it is calibrated."""
    confidence_high: float | None = None
    threshold: float | None = None
    passed: bool | None = None
    trajectory: Trajectory | None = None
    evaluations: list[Evaluation] = []
    context_sources: list[str] = []
    """Where the passages came from that were judged against, in their order."""
    context_passages: int | None = None
    """How many there were; `None` where nothing was judged against a context."""
    score_status: ScoreStatus = "scored"
    score_reason: str | None = None


NO_CONTENT: Final = frozenset({"no_content", "unreadable_content"})
"""Reasons of a record that was written without the texts."""


def find_skip_reason(record: Record) -> str | None:
    """Return why there is no answer to score or evaluate; `None` if there is one."""
    if record.output_data:
        return None
    if record.score_status == "skipped" and record.score_reason in NO_CONTENT:
        return record.score_reason
    if record.output_messages:
        return "no_text"  # tool calls or media alone
    return "no_answer" if record.input_messages or record.input_data else "no_content"


_ENCODER: Final = msgspec.json.Encoder()


def encode_line(record: Record | EvaluationRecord) -> bytes:
    """Encode one record as one line, newline included."""
    return _ENCODER.encode(record) + b"\n"


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a journal line."""
    alternatives, components = msgspec.json.schema_components(
        [Record, EvaluationRecord], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"cert-otel record, version {SCHEMA_VERSION}",
        "anyOf": list(alternatives),
        "$defs": components,
    }
