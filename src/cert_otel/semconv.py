"""Every telemetry name that cert-otel reads or writes, and nowhere else a string literal.

Constants of the module are names that we may write. Those of other conventions, which are read
and never written, stand in a class for each at the end: docs/dialects.md explains them.

The GenAI names are those of open-telemetry/semantic-conventions-genai. Where that repository
moved a name that dashboards still read, a `Profile` says which of the two is written; readers
accept both. Names that start with `cert.` are ours: docs/capture.md explains them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# -- GenAI: what was asked -----------------------------------------------------------------
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
SYSTEM: Final = "gen_ai.system"
"""The name that `PROVIDER_NAME` had until semantic-conventions 1.37."""
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
OUTPUT_TYPE: Final = "gen_ai.output.type"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_NAME: Final = "gen_ai.agent.name"
TOOL_NAME: Final = "gen_ai.tool.name"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"

# -- GenAI: what came back -----------------------------------------------------------------
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_STATUS: Final = "gen_ai.response.status"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
"""Seconds, double."""
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
"""Everything billed as prompt: cached tokens included."""
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_PROMPT_TOKENS: Final = "gen_ai.usage.prompt_tokens"
"""The name that `USAGE_INPUT_TOKENS` had until semantic-conventions 1.27."""
USAGE_COMPLETION_TOKENS: Final = "gen_ai.usage.completion_tokens"
"""The name that `USAGE_OUTPUT_TOKENS` had until semantic-conventions 1.27."""
USAGE_CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
USAGE_CACHE_CREATION_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
"""The name that `USAGE_CACHE_WRITE_TOKENS` had until semantic-conventions-genai#440."""
USAGE_REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
USAGE_AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
USAGE_AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
USAGE_IMAGE_INPUT_TOKENS: Final = "gen_ai.usage.image.input_tokens"
USAGE_IMAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.image.output_tokens"
USAGE_AUDIO_CACHE_READ_TOKENS: Final = "gen_ai.usage.audio.cache_read.input_tokens"
USAGE_IMAGE_CACHE_READ_TOKENS: Final = "gen_ai.usage.image.cache_read.input_tokens"

# -- GenAI: content (only when the content policy allows it) ---------------------------------
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
RETRIEVAL_QUERY_TEXT: Final = "gen_ai.retrieval.query.text"
RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"

# -- General conventions -------------------------------------------------------------------
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
ENDUSER_PSEUDO_ID: Final = "enduser.pseudo.id"
LOG_RECORD_UID: Final = "log.record.uid"
"""Equal for copies of one log record."""
HTTP_STATUS_CODE: Final = "http.response.status_code"
SCOPE_NAME: Final = "otel.scope.name"
"""Who recorded a span, in formats that have no field for it."""
OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"
OPENAI_API_TYPE: Final = "openai.api.type"

# -- Ours: cost ------------------------------------------------------------------------------
COST_AMOUNT: Final = "cert.cost.amount"
COST_CURRENCY: Final = "cert.cost.currency"
COST_SOURCE: Final = "cert.cost.source"
COST_INPUT: Final = "cert.cost.input"
COST_OUTPUT: Final = "cert.cost.output"
COST_CACHE_READ: Final = "cert.cost.cache_read"
COST_CACHE_WRITE: Final = "cert.cost.cache_write"
COST_TOOLS: Final = "cert.cost.tools"
COST_PRICING_VERSION: Final = "cert.cost.pricing_version"
COST_PARTIAL: Final = "cert.cost.partial"
"""True when the amount is a lower bound: the stream ended before its last usage."""

# -- Ours: perplexity from the provider's own logprobs --------------------------------------
PERPLEXITY: Final = "cert.perplexity"
LOGPROB_MEAN: Final = "cert.logprob.mean"
LOGPROB_MIN: Final = "cert.logprob.min"
LOGPROB_SUM: Final = "cert.logprob.sum"
LOGPROB_TOKEN_COUNT: Final = "cert.logprob.token_count"  # noqa: S105 - a name, no secret
LOGPROB_SOURCE: Final = "cert.logprob.source"

# -- Ours: the call and its surroundings -----------------------------------------------------
RECORD_KIND: Final = "cert.record.kind"
"""A `records.Kind`, where the operation name does not say it."""
RECORD_UNREADABLE: Final = "cert.record.unreadable"
"""In a record's metadata: names of attributes that were left out, being no valid JSON."""
STREAM_OUTCOME: Final = "cert.stream.outcome"
"""`completed`, `closed`, `abandoned`, `cancelled` or `error`."""
STREAM_CHUNK_COUNT: Final = "cert.stream.chunk_count"
STREAM_TIME_PER_CHUNK: Final = "cert.stream.time_per_chunk"
"""Mean seconds between two chunks, double."""
PROMPT_FINGERPRINT: Final = "cert.prompt.fingerprint"
FUNCTION_NAME: Final = "cert.function.name"
INPUT_DATA: Final = "cert.input.data"
OUTPUT_DATA: Final = "cert.output.data"
CONTEXT: Final = "cert.context"
"""JSON list of `records.ContextItem`."""
METADATA: Final = "cert.metadata"
"""JSON object that the application gave."""
TENANT: Final = "cert.tenant"
TASK_TYPE: Final = "cert.task_type"
SCORE_STATUS: Final = "cert.score.status"
SCORE_REASON: Final = "cert.score.reason"

# -- Ours: scores on the span, set by the collector's certscore ---------------------------------
TRAJECTORY_PERPLEXITY: Final = "cert.trajectory.perplexity"
"""The scorer's; `PERPLEXITY` is from the provider's logprobs."""
TRAJECTORY_ENTROPY_MEAN: Final = "cert.trajectory.entropy_mean"
TRAJECTORY_ENTROPY_MAX: Final = "cert.trajectory.entropy_max"
TRAJECTORY_SURPRISE_RATE: Final = "cert.trajectory.surprise_rate"
TRAJECTORY_ENERGY_MAX: Final = "cert.trajectory.energy_max"
TRAJECTORY_STEPS: Final = "cert.trajectory.steps"
TRAJECTORY_TOKENS: Final = "cert.trajectory.tokens"
TRAJECTORY_FLAGS: Final = "cert.trajectory.flags"
HAMILTONIAN_ENERGY: Final = "cert.hamiltonian.energy"
"""Mean over the reasoning steps; so are the next two."""
HAMILTONIAN_KINETIC: Final = "cert.hamiltonian.kinetic"
HAMILTONIAN_POTENTIAL: Final = "cert.hamiltonian.potential"


class Prefix:
    """How names begin that have no end of their own."""

    EVALUATION: Final = "cert.evaluation."
    """Followed by the name of an evaluation, and `.score` or `.label`."""
    SCORES: Final = (
        "cert.score.",
        "cert.scorer.",
        "cert.hamiltonian.",
        "cert.trajectory.",
        EVALUATION,
    )
    """Of all that the collector's `certscore` sets on a span that it passes on."""


def name_evaluation_score(evaluation: str) -> str:
    """Return the attribute that holds an evaluation's score on the span, in [0, 1]."""
    return f"{Prefix.EVALUATION}{evaluation}.score"


def name_evaluation_label(evaluation: str) -> str:
    """Return the attribute that holds an evaluation's label on the span."""
    return f"{Prefix.EVALUATION}{evaluation}.label"


# -- Metrics -----------------------------------------------------------------------------------
METRIC_COST: Final = "cert.gen_ai.client.cost"
METRIC_PERPLEXITY: Final = "cert.gen_ai.client.perplexity"
METRIC_UNPRICED: Final = "cert.gen_ai.client.unpriced"
METRIC_INSTRUMENTATION_ERRORS: Final = "cert.instrumentation.errors"
METRIC_FINALISERS_DROPPED: Final = "cert.instrumentation.finalisers_dropped"
METRIC_RECORDS_LOST: Final = "cert.journal.records_lost"
METRIC_SCORED_RECORDS: Final = "cert.scorer.records"
METRIC_SCORED_PERPLEXITY: Final = "cert.scorer.perplexity"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a name, no secret
TOKEN_MODALITY: Final = "gen_ai.token.modality"  # noqa: S105 - a name, no secret

METRIC_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - a name, no secret
METRIC_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
METRIC_TIME_PER_OUTPUT_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"

METRIC_INFERENCE_DURATION: Final = "gen_ai.client.inference.duration"
METRIC_INFERENCE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.inference.time_to_first_chunk"
METRIC_INFERENCE_TIME_PER_OUTPUT_CHUNK: Final = "gen_ai.client.inference.time_per_output_chunk"
METRIC_INFERENCE_INPUT_TOKENS: Final = "gen_ai.client.inference.operation.input_tokens"
METRIC_INFERENCE_OUTPUT_TOKENS: Final = "gen_ai.client.inference.operation.output_tokens"
METRIC_USAGE_INPUT_TOKENS: Final = "gen_ai.client.inference.usage.input_tokens"
METRIC_USAGE_OUTPUT_TOKENS: Final = "gen_ai.client.inference.usage.output_tokens"
METRIC_USAGE_CACHE_READ_TOKENS: Final = "gen_ai.client.inference.usage.cache_read.input_tokens"
METRIC_USAGE_CACHE_WRITE_TOKENS: Final = "gen_ai.client.inference.usage.cache_write.input_tokens"
METRIC_USAGE_REASONING_TOKENS: Final = "gen_ai.client.inference.usage.reasoning.output_tokens"

# -- Events ------------------------------------------------------------------------------------
EVENT_OPERATION_DETAILS: Final = "gen_ai.client.inference.operation.details"
EVENT_EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"
SCORER_MODEL: Final = "cert.scorer.model"
"""Who made a result: a model, or evaluators by name."""
SCORER_REVISION: Final = "cert.scorer.revision"

# -- Operation names ---------------------------------------------------------------------------
OPERATION_CHAT: Final = "chat"
OPERATION_TEXT_COMPLETION: Final = "text_completion"
OPERATION_GENERATE_CONTENT: Final = "generate_content"
OPERATION_EMBEDDINGS: Final = "embeddings"
OPERATION_FETCH_RESPONSE: Final = "fetch_response"

KIND_BY_OPERATION: Final[Mapping[str, str]] = {
    OPERATION_CHAT: "inference",
    OPERATION_TEXT_COMPLETION: "inference",
    OPERATION_GENERATE_CONTENT: "inference",
    OPERATION_EMBEDDINGS: "embedding",
    "retrieval": "retrieval",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "chain",
    "plan": "chain",
    OPERATION_FETCH_RESPONSE: "function",
}
"""Operation name to `records.Kind`; `RECORD_KIND` on the span overrules it."""

ProfileName = Literal["compat", "latest", "both"]


class Profile(NamedTuple):
    """Which generation of moved names is written. Readers take all of them."""

    cache_write_tokens: tuple[str, ...]
    old_metrics: bool
    new_metrics: bool


PROFILES: Final[Mapping[ProfileName, Profile]] = {
    "compat": Profile((USAGE_CACHE_CREATION_TOKENS,), old_metrics=True, new_metrics=False),
    "latest": Profile((USAGE_CACHE_WRITE_TOKENS,), old_metrics=False, new_metrics=True),
    "both": Profile(
        (USAGE_CACHE_CREATION_TOKENS, USAGE_CACHE_WRITE_TOKENS), old_metrics=True, new_metrics=True
    ),
}


# -- What the service writes that is no attribute ------------------------------------------------
class Scope:
    """Names of instrumentation scopes."""

    SCORER: Final = "cert.scorer"
    """Of spans and events that the service sends; it takes none of them in."""


class PrometheusMetric(NamedTuple):
    """A metric of the service's `/metrics`: all that its users and its page have to know."""

    name: str
    """As it is shown, with its unit in it where it has one."""
    kind: Literal["counter", "gauge", "histogram", "summary"]
    description: str
    labels: tuple[str, ...] = ()
    unit: Literal["", "seconds", "bytes"] = ""


class Prometheus:
    """Metrics of the service: CERT's names first, then those for operations."""

    REQUESTS: Final = PrometheusMetric(
        "cert_requests_total",
        "counter",
        "Spans that ended in a record, and requests to the JSON API",
        ("service", "status"),
    )
    DURATION: Final = PrometheusMetric(
        "cert_request_duration_seconds",
        "histogram",
        "Time that an operation of the service takes",
        ("service", "operation"),
        "seconds",
    )
    ERRORS: Final = PrometheusMetric(
        "cert_request_errors_total",
        "counter",
        "Spans and requests that ended in an error",
        ("service", "error_type", "severity"),
    )
    PERPLEXITY: Final = PrometheusMetric(
        "cert_hamiltonian_perplexity",
        "histogram",
        "Perplexity of answers under the scoring model",
    )
    ENTROPY: Final = PrometheusMetric(
        "cert_hamiltonian_entropy", "histogram", "Mean entropy of answers, nats a token"
    )
    QUALITY_CHECKS: Final = PrometheusMetric(
        "cert_hamiltonian_quality_checks_total",
        "counter",
        "Scored answers by whether a gate was not passed",
        ("result",),
    )
    CACHE_HITS: Final = PrometheusMetric(
        "cert_cache_hits_total",
        "counter",
        "Requests to the JSON API that needed no model",
        ("cache_type",),
    )
    RECORDS: Final = PrometheusMetric(
        "cert_records_total",
        "counter",
        "Records in the trail, by outcome and why",
        ("status", "reason"),
    )
    PASSED: Final = PrometheusMetric(
        "cert_passed_total",
        "counter",
        "Spans and log events that became no record, and why",
        ("reason",),
    )
    DUPLICATES: Final = PrometheusMetric(
        "cert_duplicates_total", "counter", "Copies of spans that retries had made"
    )
    QUARANTINED: Final = PrometheusMetric(
        "cert_quarantined_total", "counter", "Payloads that nobody can read, put aside"
    )
    BATCH_RECORDS: Final = PrometheusMetric(
        "cert_batch_records", "histogram", "Records judged at once"
    )
    BATCH_TOKENS: Final = PrometheusMetric(
        "cert_batch_tokens",
        "histogram",
        "Tokens judged at once, by estimate; they are packed without padding",
    )
    BUSY: Final = PrometheusMetric(
        "cert_scorer_busy_seconds_total",
        "counter",
        "Time spent judging: its rate is the busy share",
        unit="seconds",
    )
    TRAIL_WRITE: Final = PrometheusMetric(
        "cert_trail_write_seconds",
        "histogram",
        "Time until a batch of records is on disk",
        unit="seconds",
    )
    DELIVERED: Final = PrometheusMetric(
        "cert_outbox_delivered_total",
        "counter",
        "Records whose results were taken by a backend",
        ("destination",),
    )
    DELIVERY_FAILURES: Final = PrometheusMetric(
        "cert_outbox_failures_total",
        "counter",
        "Attempts that a backend did not take",
        ("destination", "error_type"),
    )
    OUTBOX_BYTES: Final = PrometheusMetric(
        "cert_outbox_waiting_bytes",
        "gauge",
        "What of the trail a backend has not been sent",
        ("destination",),
        "bytes",
    )
    RECEIVED: Final = PrometheusMetric(
        "cert_receiver_requests_total",
        "counter",
        "Requests by outcome",
        ("protocol", "outcome"),
    )
    RECEIVED_BYTES: Final = PrometheusMetric(
        "cert_receiver_bytes_total",
        "counter",
        "Bytes that were acknowledged",
        ("signal",),
        "bytes",
    )
    ACKNOWLEDGED: Final = PrometheusMetric(
        "cert_receiver_request_seconds",
        "histogram",
        "Time from the whole request to its acknowledgement",
        unit="seconds",
    )
    BACKLOG_PAYLOADS: Final = PrometheusMetric(
        "cert_inbox_backlog_payloads", "gauge", "Payloads that are not finished"
    )
    BACKLOG_BYTES: Final = PrometheusMetric(
        "cert_inbox_backlog_bytes",
        "gauge",
        "Bytes of payloads that are not finished",
        unit="bytes",
    )
    BACKLOG_AGE: Final = PrometheusMetric(
        "cert_inbox_backlog_age_seconds",
        "gauge",
        "Age of the oldest payload not finished; 0 where there is none",
        unit="seconds",
    )
    ACCEPTED_BYTES: Final = PrometheusMetric(
        "cert_inbox_accepted_bytes",
        "gauge",
        "Bytes that are accepted before senders are told to wait",
        unit="bytes",
    )
    COMMIT: Final = PrometheusMetric(
        "cert_inbox_commit_seconds",
        "summary",
        "Transactions that wrote payloads",
        unit="seconds",
    )
    COMMIT_FAILURES: Final = PrometheusMetric(
        "cert_inbox_commit_failures_total", "counter", "Transactions that failed"
    )


def list_prometheus() -> list[PrometheusMetric]:
    """Return every metric of the service."""
    return [one for one in vars(Prometheus).values() if isinstance(one, PrometheusMetric)]


# -- Names of others, read and never written ---------------------------------------------------
class FormerGenAI:
    """What the GenAI conventions and their first instrumentors called things before."""

    PROMPT: Final = "gen_ai.prompt"
    """With `.N.role` and the like behind it, or as an attribute of an event, a JSON text."""
    COMPLETION: Final = "gen_ai.completion"
    FUNCTIONS: Final = "llm.request.functions"
    FINISH_REASON: Final = "gen_ai.response.finish_reason"
    STOP_REASON: Final = "anthropic.message.stop_reason"
    """What Anthropic's own SDK has for it."""
    REASONING_TOKENS: Final = "gen_ai.usage.reasoning_tokens"
    CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read_input_tokens"
    CACHE_CREATION_TOKENS: Final = "gen_ai.usage.cache_creation_input_tokens"
    DETAILS: Final = "gen_ai.usage.details."
    """Prefix of counts as pydantic-ai has them from the provider."""
    EVENT_PROMPT: Final = "gen_ai.content.prompt"
    EVENT_COMPLETION: Final = "gen_ai.content.completion"
    EVENT_CHOICE: Final = "gen_ai.choice"
    EVENT_MESSAGE_PREFIX: Final = "gen_ai."
    EVENT_MESSAGE_SUFFIX: Final = ".message"
    EVENT_EXCEPTION: Final = "exception"
    EXCEPTION_TYPE: Final = "exception.type"


class OpenLLMetry:
    """traceloop's names, in opentelemetry-semantic-conventions-ai."""

    PREFIX: Final = "traceloop."
    SPAN_KIND: Final = "traceloop.span.kind"
    ENTITY_NAME: Final = "traceloop.entity.name"
    ENTITY_INPUT: Final = "traceloop.entity.input"
    ENTITY_OUTPUT: Final = "traceloop.entity.output"
    REQUEST_TYPE: Final = "llm.request.type"
    USAGE_PROMPT: Final = "llm.usage.prompt_tokens"
    USAGE_COMPLETION: Final = "llm.usage.completion_tokens"
    USAGE_REASONING: Final = "llm.usage.reasoning_tokens"
    FINISH_REASON: Final = "llm.response.finish_reason"
    STOP_REASON: Final = "llm.response.stop_reason"
    IS_STREAMING: Final = "gen_ai.is_streaming"
    API_BASE: Final = "gen_ai.openai.api_base"


class OpenInference:
    """Arize's conventions, in openinference-semantic-conventions."""

    SPAN_KIND: Final = "openinference.span.kind"
    INPUT_VALUE: Final = "input.value"
    OUTPUT_VALUE: Final = "output.value"
    INPUT_MIME_TYPE: Final = "input.mime_type"
    OUTPUT_MIME_TYPE: Final = "output.mime_type"
    PROVIDER: Final = "llm.provider"
    SYSTEM: Final = "llm.system"
    MODEL: Final = "llm.model_name"
    REQUEST_MODEL: Final = "llm.request.model_name"
    RESPONSE_MODEL: Final = "llm.response.model_name"
    PARAMETERS: Final = "llm.invocation_parameters"
    FINISH_REASON: Final = "llm.finish_reason"
    INPUT_MESSAGES: Final = "llm.input_messages"
    OUTPUT_MESSAGES: Final = "llm.output_messages"
    PROMPTS: Final = "llm.prompts"
    CHOICES: Final = "llm.choices"
    TOOLS: Final = "llm.tools"
    PROMPT_TOKENS: Final = "llm.token_count.prompt"
    COMPLETION_TOKENS: Final = "llm.token_count.completion"
    CACHE_READ_TOKENS: Final = "llm.token_count.prompt_details.cache_read"
    CACHE_INPUT_TOKENS: Final = "llm.token_count.prompt_details.cache_input"
    CACHE_WRITE_TOKENS: Final = "llm.token_count.prompt_details.cache_write"
    REASONING_TOKENS: Final = "llm.token_count.completion_details.reasoning"
    COST_TOTAL: Final = "llm.cost.total"
    COST_PROMPT: Final = "llm.cost.prompt"
    COST_COMPLETION: Final = "llm.cost.completion"
    EMBEDDING_MODEL: Final = "embedding.model_name"
    EMBEDDING_PARAMETERS: Final = "embedding.invocation_parameters"
    EMBEDDINGS: Final = "embedding.embeddings"
    RETRIEVAL_DOCUMENTS: Final = "retrieval.documents"
    RERANKER_MODEL: Final = "reranker.model_name"
    RERANKER_QUERY: Final = "reranker.query"
    RERANKER_INPUT: Final = "reranker.input_documents"
    RERANKER_OUTPUT: Final = "reranker.output_documents"
    TOOL_NAME: Final = "tool.name"
    TOOL_PARAMETERS: Final = "tool.parameters"
    SESSION_ID: Final = "session.id"
    AGENT_NAME: Final = "agent.name"
    METADATA: Final = "metadata"
    # Behind the prefixes above and a number.
    MESSAGE_ROLE: Final = "message.role"
    MESSAGE_CONTENT: Final = "message.content"
    MESSAGE_CONTENTS: Final = "message.contents"
    MESSAGE_TOOL_CALLS: Final = "message.tool_calls"
    MESSAGE_TOOL_CALL_ID: Final = "message.tool_call_id"
    CONTENT_TYPE: Final = "message_content.type"
    CONTENT_TEXT: Final = "message_content.text"
    CONTENT_IMAGE_URL: Final = "message_content.image.image.url"
    CALL_ID: Final = "tool_call.id"
    CALL_NAME: Final = "tool_call.function.name"
    CALL_ARGUMENTS: Final = "tool_call.function.arguments"
    PROMPT_TEXT: Final = "prompt.text"
    COMPLETION_TEXT: Final = "completion.text"
    TOOL_SCHEMA: Final = "tool.json_schema"
    DOCUMENT_ID: Final = "document.id"
    DOCUMENT_CONTENT: Final = "document.content"
    EMBEDDING_TEXT: Final = "embedding.text"


class OpenLIT:
    """What OpenLIT has beside the GenAI conventions."""

    PREFIX: Final = "openlit."
    COST: Final = "gen_ai.usage.cost"
    TIME_TO_FIRST_TOKEN: Final = "gen_ai.server.time_to_first_token"  # noqa: S105 - a name
    """Seconds, on spans of calls that were not streamed too."""


class Logfire:
    """What Logfire and pydantic-ai have beside the GenAI conventions."""

    PREFIX: Final = "logfire."
    COST: Final = "operation.cost"
    REQUEST: Final = "request_data"
    RESPONSE: Final = "response_data"
    EVENTS: Final = "events"
    RAW_USAGE: Final = "gen_ai.usage.raw"
    SPAN_TYPE: Final = "logfire.span_type"
    DURATION: Final = "duration"
    AGENT_NAME: Final = "agent_name"
    MODEL_NAME: Final = "model_name"
    ALL_MESSAGES: Final = "pydantic_ai.all_messages"
    FORMER_ALL_MESSAGES: Final = "all_messages_events"
    FINAL_RESULT: Final = "final_result"
    TOOL_ARGUMENTS: Final = "tool_arguments"
    TOOL_RESPONSE: Final = "tool_response"


class Vercel:
    """The AI SDK of Vercel."""

    OPERATION: Final = "ai.operationId"
    FUNCTION: Final = "ai.telemetry.functionId"
    METADATA_PREFIX: Final = "ai.telemetry.metadata."
    MODEL: Final = "ai.model.id"
    PROVIDER: Final = "ai.model.provider"
    PROMPT: Final = "ai.prompt"
    PROMPT_MESSAGES: Final = "ai.prompt.messages"
    PROMPT_TOOLS: Final = "ai.prompt.tools"
    RESPONSE_ID: Final = "ai.response.id"
    RESPONSE_MODEL: Final = "ai.response.model"
    RESPONSE_TEXT: Final = "ai.response.text"
    RESPONSE_REASONING: Final = "ai.response.reasoning"
    RESPONSE_OBJECT: Final = "ai.response.object"
    RESPONSE_TOOL_CALLS: Final = "ai.response.toolCalls"
    FORMER_TEXT: Final = "ai.result.text"
    FORMER_TOOL_CALLS: Final = "ai.result.toolCalls"
    FINISH_REASON: Final = "ai.response.finishReason"
    FIRST_CHUNK_MS: Final = "ai.response.msToFirstChunk"
    INPUT_TOKENS: Final = "ai.usage.inputTokens"
    OUTPUT_TOKENS: Final = "ai.usage.outputTokens"
    PROMPT_TOKENS: Final = "ai.usage.promptTokens"
    COMPLETION_TOKENS: Final = "ai.usage.completionTokens"
    TOKENS: Final = "ai.usage.tokens"
    CACHED_TOKENS: Final = "ai.usage.cachedInputTokens"
    CACHE_READ_TOKENS: Final = "ai.usage.inputTokenDetails.cacheReadTokens"
    CACHE_WRITE_TOKENS: Final = "ai.usage.inputTokenDetails.cacheWriteTokens"
    REASONING_TOKENS: Final = "ai.usage.reasoningTokens"
    REASONING_DETAIL: Final = "ai.usage.outputTokenDetails.reasoningTokens"
    VALUE: Final = "ai.value"
    VALUES: Final = "ai.values"
    TOOL_NAME: Final = "ai.toolCall.name"
    TOOL_ARGUMENTS: Final = "ai.toolCall.args"
    TOOL_RESULT: Final = "ai.toolCall.result"
