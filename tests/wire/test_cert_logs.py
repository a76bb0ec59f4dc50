"""Lines of CERT v3 and v4 logs: the record says what they said, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.records import ContextItem, Evaluation, Record, Tokens, encode_line
from cert_otel.wire.cert_logs import record_from_cert_log

CONNECTOR: dict[str, Any] = {
    "timestamp": "2025-11-23T10:15:00.000Z",
    "platform": "openai",
    "model": "gpt-4",
    "input_data": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "output_data": "Paris.",
    "metadata": {
        "prompt_tokens": 15,
        "completion_tokens": 8,
        "total_tokens": 23,
        "finish_reason": "stop",
        "response_id": "chatcmpl-1",
        "actual_model": "gpt-4-0613",
    },
    "cost": 0.00069,
    "error": None,
}
"""What the OpenAI connector wrote."""
DECORATOR: dict[str, Any] = {
    "timestamp": "2025-10-29T14:30:00Z",
    "function": "my_rag_pipeline",
    "duration_ms": 245.3,
    "status": "success",
    "error": None,
    "metadata": {"service": "rag", "version": "1.0", "team": "search"},
    "context": "Revenue in Q4 was $500M",
    "answer": "Q4 revenue reached $500 million",
    "input": "What was Q4 revenue?",
}
"""What `@trace` wrote."""
README: dict[str, Any] = {
    "timestamp": "2025-01-15T10:30:00Z",
    "platform": "openai",
    "model": "gpt-3.5-turbo",
    "function": "my_function",
    "input_data": "What is 2+2?",
    "output_data": "2+2 equals 4",
    "context": "Ground truth context for evaluation",
    "cost": 0.000011,
    "confidence": 0.94,
    "metadata": {"tokens": {"prompt": 12, "completion": 5}, "latency_ms": 234},
}
"""What the manual of version 4 promised."""
AUDIT: dict[str, Any] = {
    "type": "request",
    "timestamp": "2025-10-29T14:30:00",
    "function": "answer",
    "accuracy_score": 0.91,
    "hallucination_detected": False,
    "is_compliant": True,
    "metrics": {"semantic_score": 0.9, "nli_score": 0.8, "grounding_score": 1.0},
    "duration_ms": 12.5,
    "context_length": 900,
    "answer_length": 80,
}
"""What the audit logger of version 3 kept: scores, and no text."""


def read(line: dict[str, Any], **changes: Any) -> Record:
    """Read a line with some fields changed, and insist that it is one."""
    record = record_from_cert_log({**line, **changes})
    assert record is not None
    return record


class TestConnectorLine:
    """A model call that a connector logged."""

    def test_call(self) -> None:
        """It is an inference, with the model that answered and the one that was asked."""
        record = read(CONNECTOR)

        assert record.kind == "inference"
        assert record.timestamp == datetime(2025, 11, 23, 10, 15, tzinfo=UTC)
        assert (record.platform, record.model, record.request_model) == (
            "openai",
            "gpt-4-0613",
            "gpt-4",
        )
        assert record.response_id == "chatcmpl-1"
        assert record.finish_reasons == ["stop"]
        assert record.status == "ok"

    def test_content(self) -> None:
        """The last user text and the answer stand at the top, the messages beside them."""
        record = read(CONNECTOR)

        assert record.input_data == "What is the capital of France?"
        assert record.output_data == "Paris."
        assert record.input_messages == [
            {
                "role": "system",
                "parts": [{"type": "text", "content": "You are a helpful assistant."}],
            },
            {
                "role": "user",
                "parts": [{"type": "text", "content": "What is the capital of France?"}],
            },
        ]

    @pytest.mark.parametrize(
        ("prompt", "completion"),
        [("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")],
    )
    def test_tokens_of_either_provider(self, prompt: str, completion: str) -> None:
        """OpenAI's and Anthropic's names of the counts are the same two counts."""
        record = read(CONNECTOR, metadata={prompt: 15, completion: 8})

        assert record.tokens == Tokens(prompt=15, completion=8)

    def test_cost_names_its_table(self) -> None:
        """A cost says that the predecessor's price table made it."""
        record = read(CONNECTOR)

        assert (record.cost, record.currency) == (0.00069, "USD")
        assert record.cost_detail is not None
        assert record.cost_detail.pricing_version == "cert-framework"

    def test_guessed_tokens_are_none(self) -> None:
        """Of a stream CERT guessed tokens and cost from the text: neither was measured."""
        guessed = {
            "streaming": True,
            "estimated_prompt_tokens": 30,
            "estimated_completion_tokens": 9,
        }
        record = read(CONNECTOR, metadata=guessed)

        assert record.tokens is None
        assert record.cost is None
        assert record.stream_outcome == "completed"
        assert record.metadata["estimated_cost"] == 0.00069
        assert record.metadata["estimated_prompt_tokens"] == 30

    def test_zero_tokens_are_none(self) -> None:
        """Where the reply had no usage CERT wrote 0, and made a cost of 0 from it."""
        record = read(CONNECTOR, metadata={"prompt_tokens": 0, "completion_tokens": 0}, cost=0.0)

        assert record.tokens is None
        assert record.cost is None

    def test_error(self) -> None:
        """A message makes it an error; the message itself is no class, and is left out."""
        record = read(CONNECTOR, error="quota of my secret project", output_data=None, cost=None)

        assert record.status == "error"
        assert record.error_type is None
        assert b"secret" not in encode_line(record)

    @pytest.mark.parametrize(
        ("written", "platform"),
        [
            ("azure_openai", "azure.ai.openai"),
            ("bedrock", "aws.bedrock"),
            ("langchain", "langchain"),
        ],
    )
    def test_platform(self, written: str, platform: str) -> None:
        """Providers have the names of the GenAI conventions; others stay as they are."""
        assert read(CONNECTOR, platform=written).platform == platform

    def test_unknown_model_is_none(self) -> None:
        """`unknown` was CERT's word for no model."""
        assert read(CONNECTOR, model="unknown", metadata={}).model is None

    def test_embedding(self) -> None:
        """A call of an embedding model is not counted among the inferences."""
        assert read(CONNECTOR, model="text-embedding-3-small").kind == "embedding"

    @pytest.mark.parametrize(
        ("asked", "text"),
        [
            ("What is 2+2?", "What is 2+2?"),
            (["Name a city.", "Name a river."], "Name a river."),
            ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, "hi"),
            ({"inputText": "hi"}, '{"inputText":"hi"}'),
            (None, None),
            ("", None),
        ],
    )
    def test_input_of_any_shape(self, asked: Any, text: str | None) -> None:
        """Messages of Bedrock and Anthropic are read; what is no message is kept as JSON."""
        assert read(CONNECTOR, input_data=asked).input_data == text

    def test_no_content(self) -> None:
        """A call without texts cannot be scored, and says why."""
        record = read(CONNECTOR, input_data=None, output_data=None)

        assert (record.score_status, record.score_reason) == ("skipped", "no_content")


class TestDecoratorLine:
    """A function that `@trace` logged."""

    def test_function(self) -> None:
        """It is a function with input, answer, context and latency, and no usage."""
        record = read(DECORATOR)

        assert (record.kind, record.function) == ("function", "my_rag_pipeline")
        assert record.input_data == "What was Q4 revenue?"
        assert record.output_data == "Q4 revenue reached $500 million"
        assert record.context == [ContextItem(text="Revenue in Q4 was $500M", source="explicit")]
        assert record.latency_ms == 245.3
        assert (record.tokens, record.cost, record.score_status) == (None, None, None)

    def test_service(self) -> None:
        """Service and version come from the metadata, which is kept as it was given."""
        record = read(DECORATOR)

        assert (record.service, record.service_version) == ("rag", "1.0")
        assert record.metadata == {"service": "rag", "version": "1.0", "team": "search"}

    def test_error(self) -> None:
        """The status says so."""
        assert read(DECORATOR, status="error", error="no").status == "error"

    @pytest.mark.parametrize(
        ("context", "passages"),
        [
            (["a", "b"], [("a", None), ("b", None)]),
            ([{"id": 7, "text": "a"}, {"content": "b"}], [("a", "7"), ("b", None)]),
            ({"revenue": 5}, [('{"revenue":5}', None)]),
            ([], []),
            ("", []),
        ],
    )
    def test_context_of_any_shape(
        self, context: Any, passages: list[tuple[str, str | None]]
    ) -> None:
        """A text, a list of texts or of documents; nothing is no context."""
        found = read(DECORATOR, context=context).context

        assert [(item.text, item.id) for item in found or ()] == passages

    def test_tokens_make_it_a_call(self) -> None:
        """A function that logged tokens or a cost is the record of a model call."""
        assert read(DECORATOR, metadata={"tokens": {"prompt": 3}}).kind == "inference"
        assert read(DECORATOR, cost=0.5).kind == "inference"


class TestManualLine:
    """The shape of the manual, which `log_trace` writes."""

    def test_tokens_and_latency_stand_at_the_top(self) -> None:
        """`metadata.tokens` and `metadata.latency_ms` have fields of their own."""
        record = read(README)

        assert record.tokens == Tokens(prompt=12, completion=5)
        assert record.latency_ms == 234
        assert record.metadata == {}

    def test_confidence(self) -> None:
        """The confidence is there; whether it passed was not said."""
        record = read(README)

        assert (record.confidence, record.passed) == (0.94, None)

    def test_own_fields_are_kept(self) -> None:
        """Plain fields that CERT did not know are metadata; content is not."""
        record = read(README, environment="prod", retries=2, expected_output="4", input_preview="W")

        assert record.metadata == {"environment": "prod", "retries": 2}


class TestAuditLine:
    """A judgement of the audit logger."""

    def test_scores(self) -> None:
        """The scores are evaluations by the predecessor; there is no text to judge again."""
        record = read(AUDIT)

        assert (record.kind, record.confidence, record.passed) == ("function", 0.91, True)
        assert record.evaluations == [
            Evaluation(name="semantic", score=0.9, evaluator="cert-framework"),
            Evaluation(name="grounding", score=1.0, evaluator="cert-framework"),
            Evaluation(name="nli", score=0.8, evaluator="cert-framework"),
        ]
        assert (record.input_data, record.output_data) == (None, None)

    def test_time_without_zone(self) -> None:
        """A time that names no zone is UTC."""
        assert read(AUDIT).timestamp == datetime(2025, 10, 29, 14, 30, tzinfo=UTC)

    def test_score_out_of_range_is_none(self) -> None:
        """A confidence is in [0, 1] or it is none."""
        assert read(AUDIT, accuracy_score=91).confidence is None


class TestOthers:
    """What CERT did not write."""

    @pytest.mark.parametrize(
        "line",
        [
            {},
            {"type": "header", "framework": "CERT", "created_at": "2025-10-29T14:30:00"},
            {"timestamp": "2025-10-29T14:30:00Z", "message": "a log line"},
            {**CONNECTOR, "timestamp": "yesterday"},
            {**CONNECTOR, "timestamp": 1761748200},
            {**CONNECTOR, "v": 1, "kind": "inference"},
            {"resourceSpans": []},
        ],
    )
    def test_none(self, line: dict[str, Any]) -> None:
        """A header, a line without a time, and lines of other formats are no record."""
        assert record_from_cert_log(line) is None


TEXTS = st.text(st.characters(exclude_categories=()))
"""Halves of surrogate pairs included, which `json.loads` lets through."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
NAMES = sorted({*CONNECTOR, *DECORATOR, *README, *AUDIT, "token_usage"} - {"timestamp", "model"})
LINES = st.fixed_dictionaries(
    {"timestamp": st.just("2025-10-29T14:30:00Z"), "model": JSON},
    optional=dict.fromkeys(NAMES, JSON),
)


class TestAnyLine:
    """Whatever a line holds."""

    @given(line=LINES)
    def test_record_can_be_written(self, line: dict[str, Any]) -> None:
        """It never raises, leaves the line alone, and the record is read back as it is."""
        before = json.dumps(line)
        record = record_from_cert_log(line)

        assert record is not None
        assert json.dumps(line) == before
        assert msgspec.json.decode(encode_line(record), type=Record).timestamp == record.timestamp

    @given(prompt=st.integers(1, 10**6), completion=st.integers(0, 10**6))
    def test_counts_are_kept(self, prompt: int, completion: int) -> None:
        """Tokens come through unchanged."""
        record = read(README, metadata={"tokens": {"prompt": prompt, "completion": completion}})

        assert record.tokens == Tokens(prompt=prompt, completion=completion)
