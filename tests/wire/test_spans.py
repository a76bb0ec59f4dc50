"""The SDK's spans to records."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from cert_otel import semconv
from cert_otel.records import ContextItem, CostDetail, Record, Tokens, encode_line
from cert_otel.testing import SpanCapture
from cert_otel.wire.spans import MAX_METADATA_CHARS, record_from_span

START_NS = 1_800_000_000_123_456_789
CHAT = {
    semconv.OPERATION_NAME: "chat",
    semconv.PROVIDER_NAME: "openai",
    semconv.REQUEST_MODEL: "gpt-4o",
}
ASKED = [
    {"role": "user", "parts": [{"type": "text", "content": "Who are you?"}]},
    {"role": "assistant", "parts": [{"type": "text", "content": "A model."}]},
    {
        "role": "user",
        "parts": [
            {"type": "text", "content": "What is"},
            {"type": "uri", "uri": "https://example.org/a.png"},
            {"type": "text", "content": "2+2?"},
        ],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "response": "4"}]},
]
ANSWERED = [
    {"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}]},
    {"role": "assistant", "parts": [{"type": "text", "content": "4"}], "finish_reason": "stop"},
]


def make_span(attributes: dict[str, Any], **overrides: Any) -> ReadableSpan:
    defaults: dict[str, Any] = {
        "name": "chat gpt-4o",
        "context": SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)),
        "resource": Resource({}),
        "start_time": START_NS,
        "end_time": START_NS + 234_100_000,
    }
    return ReadableSpan(attributes=attributes, **{**defaults, **overrides})


def read(attributes: dict[str, Any], **overrides: Any) -> Record:
    record = record_from_span(make_span(attributes, **overrides))
    assert record is not None
    return record


class TestWhichSpans:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            (semconv.OPERATION_NAME, "chat"),
            (semconv.PROVIDER_NAME, "openai"),
            (semconv.SYSTEM, "openai"),
            (semconv.REQUEST_MODEL, "gpt-4o"),
            (semconv.RECORD_KIND, "function"),
        ],
    )
    def test_one_marker_is_enough(self, name: str, value: str) -> None:
        """A span with any of the five marking attributes has a record."""
        assert record_from_span(make_span({name: value})) is not None

    @pytest.mark.parametrize("attributes", [{}, {"http.request.method": "GET"}, None])
    def test_other_spans_have_none(self, attributes: Any) -> None:
        """A span without a marking attribute has no record."""
        assert record_from_span(make_span(attributes)) is None

    def test_a_span_that_never_started_has_none(self) -> None:
        """Without a start there is no timestamp, and none is invented."""
        assert record_from_span(make_span(CHAT, start_time=None)) is None


class TestWholeRecord:
    def test_every_field_of_a_chat(self) -> None:
        """A chat span with everything on it fills the record as docs/record.md says."""
        span = make_span(
            {
                **CHAT,
                semconv.RESPONSE_MODEL: "gpt-4o-2024-08-06",
                semconv.RESPONSE_ID: "chatcmpl-1",
                semconv.USAGE_INPUT_TOKENS: 12,
                semconv.USAGE_OUTPUT_TOKENS: 5,
                semconv.USAGE_CACHE_READ_TOKENS: 4,
                semconv.USAGE_CACHE_WRITE_TOKENS: 3,
                semconv.USAGE_REASONING_TOKENS: 2,
                semconv.COST_AMOUNT: 0.5,
                semconv.COST_CURRENCY: "USD",
                semconv.COST_SOURCE: "table",
                semconv.COST_INPUT: 0.3,
                semconv.COST_OUTPUT: 0.2,
                semconv.COST_PRICING_VERSION: "2026-11-01",
                semconv.COST_PARTIAL: False,
                semconv.RESPONSE_FINISH_REASONS: ("stop",),
                semconv.RESPONSE_TIME_TO_FIRST_CHUNK: 0.25,
                semconv.STREAM_OUTCOME: "completed",
                semconv.PERPLEXITY: 1.82,
                semconv.PROMPT_FINGERPRINT: "f00d",
                semconv.FUNCTION_NAME: "answer",
                semconv.AGENT_NAME: "helper",
                semconv.ENDUSER_PSEUDO_ID: "u-1",
                semconv.CONVERSATION_ID: "c-1",
                semconv.TENANT: "acme",
                semconv.TASK_TYPE: "support",
                semconv.SYSTEM_INSTRUCTIONS: json.dumps([{"type": "text", "content": "Be kind."}]),
                semconv.INPUT_MESSAGES: json.dumps(ASKED),
                semconv.OUTPUT_MESSAGES: json.dumps(ANSWERED),
                semconv.TOOL_DEFINITIONS: json.dumps([{"type": "function", "name": "add"}]),
                semconv.CONTEXT: json.dumps([{"text": "2+2=4", "source": "explicit"}]),
                semconv.METADATA: json.dumps({"ticket": 7}),
                semconv.REQUEST_TEMPERATURE: 0.2,
                semconv.SERVER_ADDRESS: "api.openai.com",
            },
            parent=SpanContext(0xABC, 0x123, is_remote=False),
            resource=Resource({"service.name": "customer-support", "service.version": "2.1"}),
        )

        assert record_from_span(span) == Record(
            kind="inference",
            timestamp=datetime(2027, 1, 15, 8, 0, 0, 123456, tzinfo=UTC),
            trace_id="00000000000000000000000000000abc",
            span_id="0000000000000def",
            parent_span_id="0000000000000123",
            response_id="chatcmpl-1",
            service="customer-support",
            service_version="2.1",
            operation="chat",
            function="answer",
            agent="helper",
            user="u-1",
            conversation="c-1",
            tenant="acme",
            task_type="support",
            platform="openai",
            model="gpt-4o-2024-08-06",
            request_model="gpt-4o",
            input_data="What is\n2+2?",
            output_data="4",
            input_messages=[
                {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
                *ASKED,
            ],
            output_messages=ANSWERED,
            tools=[{"type": "function", "name": "add"}],
            context=[ContextItem(text="2+2=4", source="explicit")],
            prompt_fingerprint="f00d",
            tokens=Tokens(prompt=12, completion=5, cache_read=4, cache_write=3, reasoning=2),
            cost=0.5,
            currency="USD",
            cost_detail=CostDetail(
                input=0.3, output=0.2, source="table", pricing_version="2026-11-01"
            ),
            latency_ms=234.1,
            time_to_first_token_ms=250.0,
            status="ok",
            finish_reasons=["stop"],
            stream_outcome="completed",
            perplexity=1.82,
            metadata={
                semconv.REQUEST_TEMPERATURE: 0.2,
                semconv.SERVER_ADDRESS: "api.openai.com",
                "ticket": 7,
            },
        )

    @pytest.mark.parametrize(
        ("scope", "named"),
        [
            ("opentelemetry.instrumentation.openai.v1", True),
            ("openinference.instrumentation.openai", True),
            ("cert_otel_instrumentations.openai", False),
            ("my.application", False),
        ],
    )
    def test_another_instrumentor_is_named(self, scope: str, named: bool) -> None:
        """The metadata tell who else recorded a call, for the identity rules."""
        record = read(
            {semconv.OPERATION_NAME: "chat"}, instrumentation_scope=InstrumentationScope(scope)
        )

        assert record.metadata == ({semconv.SCOPE_NAME: scope} if named else {})

    def test_the_least_there_is(self) -> None:
        """What a span does not say is None: no zero, no empty string, no placeholder."""
        span = make_span(
            {semconv.OPERATION_NAME: "chat"},
            context=None,
            end_time=None,
            resource=Resource({"service.name": "unknown_service:python"}),
        )

        assert record_from_span(span) == Record(
            kind="inference",
            timestamp=datetime(2027, 1, 15, 8, 0, 0, 123456, tzinfo=UTC),
            operation="chat",
            score_status="skipped",
            score_reason="no_content",
        )

    def test_spans_of_the_sdk(self) -> None:
        """A span that went through the SDK reads as one that was put together by hand."""
        with SpanCapture(resource={"service.name": "shop"}) as capture:
            with capture.tracer.start_as_current_span("chat") as span:
                span.set_attributes({**CHAT, semconv.RESPONSE_FINISH_REASONS: ["stop", "length"]})
            record = record_from_span(capture.finished[0])

        assert record is not None
        assert record.trace_id == f"{1:032x}"
        assert record.service == "shop"
        assert record.model == "gpt-4o"
        assert record.finish_reasons == ["stop", "length"]


class TestKind:
    @pytest.mark.parametrize(
        ("attributes", "kind"),
        [
            ({semconv.OPERATION_NAME: "chat"}, "inference"),
            ({semconv.OPERATION_NAME: "text_completion"}, "inference"),
            ({semconv.OPERATION_NAME: "embeddings"}, "embedding"),
            ({semconv.OPERATION_NAME: "execute_tool"}, "tool"),
            ({semconv.OPERATION_NAME: "invoke_agent"}, "agent"),
            ({semconv.OPERATION_NAME: "rerank"}, "function"),
            ({semconv.OPERATION_NAME: "rerank", semconv.USAGE_INPUT_TOKENS: 3}, "inference"),
            ({semconv.OPERATION_NAME: 5}, "function"),
            ({semconv.OPERATION_NAME: "chat", semconv.RECORD_KIND: "chain"}, "chain"),
            ({semconv.OPERATION_NAME: "chat", semconv.RECORD_KIND: "nonsense"}, "inference"),
        ],
    )
    def test_kind(self, attributes: dict[str, Any], kind: str) -> None:
        """cert.record.kind decides, then the operation, then whether tokens were used."""
        assert read(attributes).kind == kind

    def test_only_model_calls_have_tokens_and_cost(self) -> None:
        """What an agent span sums up stays in its metadata, where nobody adds it again."""
        record = read(
            {
                semconv.OPERATION_NAME: "invoke_agent",
                semconv.USAGE_INPUT_TOKENS: 100,
                semconv.COST_AMOUNT: 1.0,
            }
        )

        assert (record.tokens, record.cost, record.cost_detail) == (None, None, None)
        assert record.metadata == {semconv.USAGE_INPUT_TOKENS: 100, semconv.COST_AMOUNT: 1.0}


class TestFormerNames:
    def test_former_names_are_read(self) -> None:
        """gen_ai.system, prompt_tokens, completion_tokens and cache_creation still count."""
        record = read(
            {
                semconv.OPERATION_NAME: "chat",
                semconv.SYSTEM: "anthropic",
                semconv.USAGE_PROMPT_TOKENS: 7,
                semconv.USAGE_COMPLETION_TOKENS: 8,
                semconv.USAGE_CACHE_CREATION_TOKENS: 3,
            }
        )

        assert record.platform == "anthropic"
        assert record.tokens == Tokens(prompt=7, completion=8, cache_write=3)

    def test_the_present_name_wins(self) -> None:
        """A span that bears both names is read by the present one, and repeats nothing."""
        record = read(
            {
                **CHAT,
                semconv.SYSTEM: "az.ai.openai",
                semconv.USAGE_CACHE_WRITE_TOKENS: 3,
                semconv.USAGE_CACHE_CREATION_TOKENS: 4,
            }
        )

        assert record.platform == "openai"
        assert record.tokens == Tokens(cache_write=3)
        assert record.metadata == {}


class TestMeasurements:
    @pytest.mark.parametrize("value", [True, -1, "12", 1.5, None])
    def test_what_is_no_count_is_missing(self, value: Any) -> None:
        """A token count that is none of an integer from 0 is missing, not guessed."""
        assert read({**CHAT, semconv.USAGE_INPUT_TOKENS: value}).tokens is None

    def test_nothing_used_is_a_count(self) -> None:
        """Zero tokens were reported: that is not the same as none reported."""
        assert read({**CHAT, semconv.USAGE_OUTPUT_TOKENS: 0}).tokens == Tokens(completion=0)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.5"])
    def test_what_is_no_number_is_missing(self, value: Any) -> None:
        """A cost or perplexity that is not a finite number is missing."""
        record = read({**CHAT, semconv.COST_AMOUNT: value, semconv.PERPLEXITY: value})

        assert (record.cost, record.perplexity) == (None, None)

    def test_a_cost_without_its_source_has_no_detail(self) -> None:
        """The detail says where a cost came from; without that there is none."""
        record = read({**CHAT, semconv.COST_AMOUNT: 1, semconv.COST_SOURCE: "guess"})

        assert record.cost == 1.0
        assert record.currency is None
        assert record.cost_detail is None

    def test_a_clock_set_back_is_no_latency(self) -> None:
        """A span that ends before it starts was not measured."""
        assert read(CHAT, end_time=START_NS - 1).latency_ms is None

    @given(st.integers(min_value=0, max_value=4_000_000_000_000_000_000))
    def test_timestamps_are_exact(self, start_ns: int) -> None:
        """The timestamp is the start, cut to microseconds, whatever its size."""
        record = read(CHAT, start_time=start_ns, end_time=None)
        since = record.timestamp - datetime(1970, 1, 1, tzinfo=UTC)

        assert (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds == (
            start_ns // 1000
        )


class TestStatus:
    @pytest.mark.parametrize(
        ("attributes", "code", "status"),
        [
            ({}, StatusCode.UNSET, "ok"),
            ({}, StatusCode.OK, "ok"),
            ({}, StatusCode.ERROR, "error"),
            ({semconv.ERROR_TYPE: "TimeoutError"}, StatusCode.UNSET, "error"),
            ({semconv.STREAM_OUTCOME: "completed"}, StatusCode.UNSET, "ok"),
            ({semconv.STREAM_OUTCOME: "closed"}, StatusCode.UNSET, "unset"),
            ({semconv.STREAM_OUTCOME: "abandoned"}, StatusCode.UNSET, "unset"),
            ({semconv.STREAM_OUTCOME: "cancelled"}, StatusCode.UNSET, "unset"),
            ({semconv.STREAM_OUTCOME: "error"}, StatusCode.UNSET, "error"),
            ({semconv.STREAM_OUTCOME: "cancelled"}, StatusCode.ERROR, "error"),
        ],
    )
    def test_status(self, attributes: dict[str, Any], code: StatusCode, status: str) -> None:
        """An error is an error; a stream that was left early is unset; the rest is ok."""
        record = read({**CHAT, **attributes}, status=Status(code))

        assert record.status == status
        assert record.error_type == attributes.get(semconv.ERROR_TYPE)
        assert record.stream_outcome == attributes.get(semconv.STREAM_OUTCOME)

    def test_an_unknown_outcome_goes_to_the_metadata(self) -> None:
        """A stream outcome of a later version is kept, but not as one of ours."""
        record = read({**CHAT, semconv.STREAM_OUTCOME: "paused"})

        assert record.stream_outcome is None
        assert record.metadata == {semconv.STREAM_OUTCOME: "paused"}


class TestContent:
    def test_explicit_texts_win(self) -> None:
        """cert.input.data and cert.output.data stand before what the messages say."""
        record = read(
            {
                **CHAT,
                semconv.INPUT_MESSAGES: json.dumps(ASKED),
                semconv.OUTPUT_MESSAGES: json.dumps(ANSWERED),
                semconv.INPUT_DATA: "question",
                semconv.OUTPUT_DATA: "answer",
            }
        )

        assert (record.input_data, record.output_data) == ("question", "answer")

    def test_messages_with_plain_content(self) -> None:
        """A message whose content is a text, without parts, has that text."""
        record = read(
            {**CHAT, semconv.INPUT_MESSAGES: '[{"role": "user", "content": "Hello"}, {"role": 1}]'}
        )

        assert record.input_data == "Hello"

    def test_system_instructions_alone(self) -> None:
        """Instructions without messages still are the first message."""
        record = read({**CHAT, semconv.SYSTEM_INSTRUCTIONS: '[{"type": "text", "content": "Hi"}]'})

        assert record.input_messages == [
            {"role": "system", "parts": [{"type": "text", "content": "Hi"}]}
        ]
        assert record.input_data is None

    def test_structured_attributes(self) -> None:
        """Messages that a newer SDK holds as values, not as JSON text, read the same."""
        record = read({**CHAT, semconv.OUTPUT_MESSAGES: tuple(ANSWERED)})

        assert record.output_messages == ANSWERED
        assert record.output_data == "4"

    def test_what_json_forbids_and_python_writes(self) -> None:
        """NaN and halves of surrogate pairs, which json.dumps lets through, do not cost the rest."""
        written = json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "a\ud800"}], "p": 1e999}]
        )
        record = read({**CHAT, semconv.OUTPUT_MESSAGES: written})

        assert record.output_messages == [
            {"role": "assistant", "parts": [{"type": "text", "content": "a?"}], "p": None}
        ]

    @pytest.mark.parametrize(
        "text", ['[{"role": "us', '{"role": "user"}', '["a"]', "5", "[" * 9999]
    )
    def test_what_is_no_json_is_left_out_and_named(self, text: str) -> None:
        """An attribute cut short by a length limit is left out, and the metadata names it."""
        record = read({**CHAT, semconv.INPUT_MESSAGES: text})

        assert record.input_messages is None
        assert record.metadata == {semconv.RECORD_UNREADABLE: [semconv.INPUT_MESSAGES]}
        assert (record.score_status, record.score_reason) == ("skipped", "unreadable_content")

    def test_tools(self) -> None:
        """A tool's arguments and result are its input and output, as text."""
        record = read(
            {
                semconv.OPERATION_NAME: "execute_tool",
                semconv.TOOL_NAME: "add",
                semconv.TOOL_CALL_ARGUMENTS: {"a": 2, "b": (2, "é\ud800")},
                semconv.TOOL_CALL_RESULT: "4",
            }
        )

        assert record.input_data == '{"a": 2, "b": [2, "é?"]}'
        assert record.output_data == "4"
        assert record.metadata == {semconv.TOOL_NAME: "add"}

    def test_a_tool_that_returns_a_number(self) -> None:
        """A result that is no text becomes one, and is not repeated in the metadata."""
        record = read({semconv.OPERATION_NAME: "execute_tool", semconv.TOOL_CALL_RESULT: 4})

        assert (record.output_data, record.metadata) == ("4", {})

    def test_retrieval(self) -> None:
        """A retrieval's query is its input; documents that have a text are its context."""
        record = read(
            {
                semconv.OPERATION_NAME: "retrieval",
                semconv.RETRIEVAL_QUERY_TEXT: "refunds",
                semconv.RETRIEVAL_DOCUMENTS: json.dumps(
                    [
                        {"id": "d1", "score": 0.9, "content": "Within 30 days."},
                        {"id": 2, "text": "Shoes too."},
                        {"text": "No id."},
                        {"id": "d4", "score": 0.1},
                    ]
                ),
            }
        )

        assert record.kind == "retrieval"
        assert record.input_data == "refunds"
        assert record.context == [
            ContextItem(text="Within 30 days.", id="d1", source="retrieval"),
            ContextItem(text="Shoes too.", id="2", source="retrieval"),
            ContextItem(text="No id.", source="retrieval"),
        ]

    @pytest.mark.parametrize("documents", [None, "[]", '[{"id": "d", "score": 1.0}]'])
    def test_retrieval_without_texts(self, documents: Any) -> None:
        """Documents without a text are no context, as none at all."""
        record = read({semconv.OPERATION_NAME: "retrieval", semconv.RETRIEVAL_DOCUMENTS: documents})

        assert record.context is None
        assert record.input_data is None

    def test_empty_is_missing(self) -> None:
        """Empty texts and lists are None."""
        record = read(
            {
                **CHAT,
                semconv.INPUT_MESSAGES: "[]",
                semconv.OUTPUT_MESSAGES: '[{"role": "assistant", "parts": []}]',
                semconv.CONTEXT: "[]",
                semconv.INPUT_DATA: "",
                semconv.RESPONSE_ID: "",
                semconv.RESPONSE_FINISH_REASONS: (),
            }
        )

        assert record.input_messages is None
        assert record.context is None
        assert (record.input_data, record.output_data, record.response_id) == (None, None, None)
        assert record.finish_reasons is None


class TestScoreStatus:
    def test_content_is_not_yet_scored(self) -> None:
        """With content, the record waits for a scorer."""
        record = read({**CHAT, semconv.OUTPUT_DATA: "4"})

        assert (record.score_status, record.score_reason) == (None, None)

    def test_only_model_calls_are_skipped(self) -> None:
        """What is never scored is not said to be skipped."""
        assert read({semconv.OPERATION_NAME: "embeddings"}).score_status is None

    def test_the_collectors_word(self) -> None:
        """What a processor wrote on the span is taken over."""
        record = read({**CHAT, semconv.SCORE_STATUS: "deferred", semconv.SCORE_REASON: "busy"})

        assert (record.score_status, record.score_reason) == ("deferred", "busy")


class TestMetadata:
    def test_attributes_without_a_field(self) -> None:
        """Numbers, flags, short texts and lists of them are kept under their names."""
        plain = {
            semconv.REQUEST_MAX_TOKENS: 100,
            semconv.REQUEST_STREAM: True,
            semconv.REQUEST_STOP_SEQUENCES: ["END"],
            semconv.OUTPUT_TYPE: "json",
            "gen_ai.prompt.name": "greeting",
            "app.route": "/ask",
        }

        assert read({**CHAT, **plain}).metadata == plain

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("gen_ai.prompt.0.content", "secret"),
            ("gen_ai.completion.0.content", "secret"),
            ("input.value", "secret"),
            ("llm.input_messages.0.message.role", "user"),
            ("gen_ai.prompt.variable.name", "secret"),
            ("traceloop.entity.output", "secret"),
            ("db.query.text", "secret"),
            ("gen_ai.input.messages_ref", "secret"),
            ("my.questions", ["secret"]),
            ("note", "x" * (MAX_METADATA_CHARS + 1)),
            ("blob", b"secret"),
            ("nested", {"a": "secret"}),
            ("list", [{"a": "secret"}]),
            ("ratio", float("nan")),
        ],
    )
    def test_never_content(self, name: str, value: Any) -> None:
        """Texts whose name tells content, long ones, bytes and structures are left out."""
        assert read({**CHAT, name: value}).metadata == {}

    def test_numbers_tell_no_content(self) -> None:
        """A number is kept whatever it is called."""
        assert read({**CHAT, "gen_ai.usage.text.input_tokens": 3}).metadata == {
            "gen_ai.usage.text.input_tokens": 3
        }

    def test_the_applications_own_wins(self) -> None:
        """Of one name, what the application gave is kept."""
        record = read({**CHAT, "route": "/a", semconv.METADATA: '{"route": "/b"}'})

        assert record.metadata == {"route": "/b"}

    @pytest.mark.parametrize("text", ["[1]", "{", '"a"'])
    def test_metadata_that_is_no_object(self, text: str) -> None:
        """The metadata must be an object; what is not is named like any."""
        assert read({**CHAT, semconv.METADATA: text}).metadata == {
            semconv.RECORD_UNREADABLE: [semconv.METADATA]
        }


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
_TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
_NAMES = st.sampled_from(
    sorted(
        value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)
    )
)


class TestAnySpan:
    @given(
        st.dictionaries(
            _NAMES | _TEXTS,
            _VALUES | _TEXTS | _VALUES.map(lambda value: json.dumps(value, default=str)),
            max_size=12,
        )
    )
    def test_the_record_survives_its_line(self, attributes: dict[str, Any]) -> None:
        """Whatever the attributes are, the record encodes and decodes to itself."""
        record = read({**attributes, semconv.OPERATION_NAME: "chat"})

        assert msgspec.json.decode(encode_line(record), type=Record) == record
