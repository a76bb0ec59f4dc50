"""Six dialects and the conventions' own past, to one record."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_samples import SAMPLES, make_line
from wire_strategies import to_json_pairs

from cert_otel.records import ContextItem, CostDetail, Record, Tokens, encode_line
from cert_otel.wire.otlp_json import read_line
from cert_otel.wire.reading import Reading, read_batch


def read_all(attributes: dict[str, Any], **span: Any) -> Reading:
    return read_batch(read_line(make_line(attributes, **span)))


def read(attributes: dict[str, Any], **span: Any) -> Record:
    (record,) = read_all(attributes, **span).records
    return record


class TestOneCall:
    """The same call, in the words of each."""

    @pytest.mark.parametrize("dialect", SAMPLES)
    def test_reads_the_same(self, dialect: str) -> None:
        """Model, ids, tokens, messages and texts are in the same fields whoever wrote them."""
        record = read(SAMPLES[dialect])

        assert record.kind == "inference"
        assert (record.operation, record.platform) == ("chat", "openai")
        assert (record.model, record.request_model) == ("gpt-4o-2024-08-06", "gpt-4o")
        assert record.response_id == "r-1"
        assert record.tokens == Tokens(prompt=12, completion=5)
        assert record.finish_reasons == ["stop"]
        assert (record.input_data, record.output_data) == ("What is 2+2?", "4")
        assert [message["role"] for message in record.input_messages or []] == ["system", "user"]
        assert all("parts" in message for message in record.input_messages or [])
        assert (record.status, record.latency_ms, record.score_status) == ("ok", 234.1, None)

    @pytest.mark.parametrize("dialect", SAMPLES)
    def test_is_named(self, dialect: str) -> None:
        """The dialect is known from the names of the attributes alone."""
        expected = dialect.removesuffix("-flattened")

        assert read_all(SAMPLES[dialect]).dialects == [expected]

    @pytest.mark.parametrize("dialect", SAMPLES)
    def test_content_is_in_no_metadata(self, dialect: str) -> None:
        """What was asked and answered stands in its fields, never among other attributes."""
        metadata = json.dumps(read(SAMPLES[dialect]).metadata)

        assert "2+2" not in metadata
        assert "Be brief" not in metadata

    @pytest.mark.parametrize("dialect", ["openlit", "logfire"])
    def test_a_cost_that_the_span_reports(self, dialect: str) -> None:
        """It is taken, and its source says that it is not ours."""
        record = read(SAMPLES[dialect])

        assert (record.cost, record.currency) == (0.00008, "USD")
        assert record.cost_detail == CostDetail(source="provider")

    @pytest.mark.parametrize(
        ("dialect", "name"),
        [
            ("openlit", "gen_ai.usage.cost"),
            ("logfire", "operation.cost"),
            ("openinference", "llm.cost.total"),
        ],
    )
    def test_a_cost_of_nothing_is_none(self, dialect: str, name: str) -> None:
        """They write 0 for a model whose price they do not know."""
        assert read({**SAMPLES[dialect], name: 0.0}).cost is None

    @given(
        st.sampled_from(sorted(SAMPLES)),
        st.dictionaries(
            st.sampled_from(sorted({name for one in SAMPLES.values() for name in one})),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(),
                lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner),
                max_leaves=4,
            ).map(lambda value: value)
            | st.sampled_from(["[", "{}", "[null, {}]", '[{"role": 1, "content": [[]]}]']),
            max_size=4,
        ),
    )
    @settings(deadline=None)
    def test_any_values(self, dialect: str, others: dict[str, Any]) -> None:
        """Whatever the attributes hold, a record survives its line."""
        for record in read_all({**SAMPLES[dialect], **others}).records:
            assert msgspec.json.decode(encode_line(record), type=Record) == record


class TestSeveralDialects:
    def test_the_conventions_win(self) -> None:
        """What has a GenAI name is left; another dialect on the same span completes it."""
        record = read({**SAMPLES["openinference"], "gen_ai.usage.input_tokens": 99})

        assert record.tokens == Tokens(prompt=99, completion=5)
        assert record.response_id == "r-1"

    def test_others_spans_pass_by(self) -> None:
        """A span that tells of no model is counted, and nothing else."""
        reading = read_all({"http.request.method": "GET"})

        assert (reading.records, reading.passed, reading.problems) == ([], 1, [])

    def test_a_call_without_a_start(self) -> None:
        """It has no timestamp, none is invented, and it is named."""
        reading = read_all(SAMPLES["genai"], startTimeUnixNano="0")

        assert reading.records == []
        assert reading.problems == ["a call: it has no time at which it started"]


class TestGenAI:
    def test_messages_as_span_events(self) -> None:
        """Each event is a message; the choice is the answer."""
        events: list[tuple[str, dict[str, Any]]] = [
            ("gen_ai.system.message", {"content": "Be brief."}),
            ("gen_ai.user.message", {"content": "What is 2+2?"}),
            (
                "gen_ai.choice",
                {"index": 0, "finish_reason": "stop", "message": '{"content": "4"}'},
            ),
        ]
        record = read(
            {"gen_ai.system": "openai", "gen_ai.operation.name": "chat"},
            events=[{"name": name, "attributes": to_json_pairs(body)} for name, body in events],
        )

        assert (record.input_data, record.output_data) == ("What is 2+2?", "4")
        assert record.finish_reasons == ["stop"]

    def test_content_events(self) -> None:
        """The first of all forms: prompt and completion as JSON texts of two events."""
        prompt = {"gen_ai.prompt": '[{"role": "user", "content": "What is 2+2?"}]'}
        completion = {"gen_ai.completion": '[{"role": "assistant", "content": "4"}]'}
        record = read(
            {"gen_ai.system": "openai", "gen_ai.operation.name": "chat"},
            events=[
                {"name": "gen_ai.content.prompt", "attributes": to_json_pairs(prompt)},
                {"name": "gen_ai.content.completion", "attributes": to_json_pairs(completion)},
            ],
        )

        assert (record.input_data, record.output_data) == ("What is 2+2?", "4")

    def test_an_exception_names_the_error(self) -> None:
        """A failed span without an error type has the class of its exception, not its message."""
        exception = {"exception.type": "TimeoutError", "exception.message": "secret"}
        record = read(
            {"gen_ai.operation.name": "chat"},
            status={"code": 2},
            events=[{"name": "exception", "attributes": to_json_pairs(exception)}],
        )

        assert (record.status, record.error_type) == ("error", "TimeoutError")
        assert "secret" not in encode_line(record).decode()

    @pytest.mark.parametrize(
        "name", ["gen_ai.response.finish_reason", "anthropic.message.stop_reason"]
    )
    def test_one_finish_reason(self, name: str) -> None:
        """A reason that is no list becomes one."""
        assert read({"gen_ai.operation.name": "chat", name: "stop"}).finish_reasons == ["stop"]

    def test_tool_calls_that_are_flattened(self) -> None:
        """Their arguments are structured."""
        record = read(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.tool_calls.0.id": "c-1",
                "gen_ai.completion.0.tool_calls.0.name": "add",
                "gen_ai.completion.0.tool_calls.0.arguments": '{"a": 1}',
                "llm.request.functions.0.name": "add",
                "llm.request.functions.0.parameters": '{"type": "object"}',
            }
        )

        assert record.output_messages == [
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "c-1", "name": "add", "arguments": {"a": 1}}],
            }
        ]
        assert record.tools == [
            {"type": "function", "name": "add", "parameters": {"type": "object"}}
        ]

    def test_the_order_is_that_of_the_numbers(self) -> None:
        """Message 10 comes after message 9, in whatever order the attributes are."""
        flat = {f"gen_ai.prompt.{number}.content": f"q{number}" for number in (10, 9, 0)}
        record = read({"gen_ai.operation.name": "chat", **flat})

        assert [m["parts"][0]["content"] for m in record.input_messages or []] == [
            "q0",
            "q9",
            "q10",
        ]


class TestOpenInference:
    @pytest.mark.parametrize(
        ("named", "kind"),
        [
            ("LLM", "inference"),
            ("EMBEDDING", "embedding"),
            ("RETRIEVER", "retrieval"),
            ("RERANKER", "retrieval"),
            ("TOOL", "tool"),
            ("AGENT", "agent"),
            ("CHAIN", "chain"),
            ("GUARDRAIL", "function"),
            ("NEW", "function"),
        ],
    )
    def test_kinds(self, named: str, kind: str) -> None:
        """Each kind of span is a kind of record."""
        assert read({"openinference.span.kind": named}).kind == kind

    def test_retrieval(self) -> None:
        """Documents are the context, in their order."""
        record = read(
            {
                "openinference.span.kind": "RETRIEVER",
                "input.value": "opening hours",
                "retrieval.documents.0.document.id": "a",
                "retrieval.documents.0.document.content": "At nine.",
                "retrieval.documents.0.document.score": 0.9,
                "retrieval.documents.1.document.content": "Never on Sundays.",
            }
        )

        assert record.input_data == "opening hours"
        assert record.context == [
            ContextItem(text="At nine.", id="a", source="retrieval"),
            ContextItem(text="Never on Sundays.", id=None, source="retrieval"),
        ]

    def test_a_tool(self) -> None:
        """What it was given and gave."""
        record = read(
            {
                "openinference.span.kind": "TOOL",
                "tool.name": "weather",
                "input.value": "Porto",
                "output.value": "Rain.",
            }
        )

        assert (record.kind, record.input_data, record.output_data) == ("tool", "Porto", "Rain.")

    def test_a_chain(self) -> None:
        """Input and output are texts as they are, and no tokens are counted."""
        record = read(
            {
                "openinference.span.kind": "CHAIN",
                "input.value": "question",
                "output.value": "answer",
                "llm.token_count.prompt": 7,
            }
        )

        assert (record.kind, record.tokens) == ("chain", None)
        assert (record.input_data, record.output_data) == ("question", "answer")

    def test_cached_and_reasoning_tokens(self) -> None:
        """Parts of the counts."""
        record = read(
            {
                **SAMPLES["openinference"],
                "llm.token_count.prompt_details.cache_read": 8,
                "llm.token_count.prompt_details.cache_write": 1,
                "llm.token_count.completion_details.reasoning": 3,
            }
        )

        assert record.tokens == Tokens(
            prompt=12, completion=5, cache_read=8, cache_write=1, reasoning=3
        )

    def test_a_cost_with_its_parts(self) -> None:
        """What litellm's instrumentor reports."""
        record = read(
            {
                **SAMPLES["openinference"],
                "llm.cost.prompt": 0.25,
                "llm.cost.completion": 0.5,
                "llm.cost.total": 0.75,
            }
        )

        assert record.cost == 0.75
        assert record.cost_detail == CostDetail(input=0.25, output=0.5, source="provider")


class TestOpenLLMetry:
    @pytest.mark.parametrize(
        ("named", "kind"),
        [("workflow", "chain"), ("task", "function"), ("agent", "agent"), ("tool", "tool")],
    )
    def test_decorators(self, named: str, kind: str) -> None:
        """What its decorators record."""
        record = read(
            {
                "traceloop.span.kind": named,
                "traceloop.entity.name": "trip",
                "traceloop.entity.input": "Porto",
                "traceloop.entity.output": "Rain.",
            }
        )

        assert (record.kind, record.input_data, record.output_data) == (kind, "Porto", "Rain.")
        assert (record.agent if kind == "agent" else record.function) == "trip"

    @pytest.mark.parametrize(
        ("system", "platform"),
        [
            ("OpenAI", "openai"),
            ("az.ai.openai", "azure.ai.openai"),
            ("AWS", "aws.bedrock"),
            ("Vertex AI", "gcp.vertex_ai"),
            ("aws.bedrock", "aws.bedrock"),
            ("Somebody", "somebody"),
        ],
    )
    def test_providers(self, system: str, platform: str) -> None:
        """Its names of providers are brought to those of the conventions."""
        assert read({**SAMPLES["openllmetry"], "gen_ai.system": system}).platform == platform


class TestOpenLIT:
    def test_anthropics_cached_tokens_are_input(self) -> None:
        """It passes Anthropic's count on, which leaves them out."""
        record = read(
            {
                **SAMPLES["openlit"],
                "gen_ai.provider.name": "anthropic",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.cache_read.input_tokens": 800,
                "gen_ai.usage.cache_creation.input_tokens": 50,
            }
        )

        assert record.tokens == Tokens(prompt=950, completion=5, cache_read=800, cache_write=50)

    def test_time_to_first_token_only_of_streams(self) -> None:
        """It writes one for calls that were not streamed too."""
        given = {**SAMPLES["openlit"], "gen_ai.server.time_to_first_token": 0.25}

        assert read(given).time_to_first_token_ms is None
        assert read({**given, "gen_ai.request.stream": True}).time_to_first_token_ms == 250


class TestLogfire:
    def test_a_stream_is_one_call(self) -> None:
        """Of its two spans the one that knows the reply counts, with the time it speaks of."""
        request = {
            name: SAMPLES["logfire"][name]
            for name in ("gen_ai.system", "gen_ai.operation.name", "gen_ai.request.model")
        }
        opened = read({**request, "logfire.span_type": "span", "logfire.msg": "m"})
        closed = read({**SAMPLES["logfire"], "logfire.span_type": "log", "duration": 0.5})

        assert opened.kind == "function"
        assert (closed.kind, closed.latency_ms) == ("inference", 500)

    def test_an_agents_run(self) -> None:
        """Its usage is the sum of its calls', so it is no call."""
        record = read(
            {
                "agent_name": "traveller",
                "model_name": "gpt-4o",
                "final_result": "Take an umbrella.",
                "all_messages_events": '[{"event.name": "gen_ai.user.message", "content": "Hi"}]',
                "gen_ai.usage.input_tokens": 100,
            }
        )

        assert (record.kind, record.agent, record.tokens) == ("agent", "traveller", None)
        assert (record.input_data, record.output_data) == ("Hi", "Take an umbrella.")

    def test_a_tool(self) -> None:
        """pydantic-ai's tools."""
        record = read(
            {
                "logfire.msg": "running tool",
                "gen_ai.tool.name": "add",
                "tool_arguments": '{"a": 1}',
                "tool_response": "2",
            }
        )

        assert (record.kind, record.input_data, record.output_data) == ("tool", '{"a": 1}', "2")


class TestVercel:
    @pytest.mark.parametrize(
        ("operation", "kind"),
        [
            ("ai.generateText", "agent"),
            ("ai.streamText.doStream", "inference"),
            ("ai.embed", "chain"),
            ("ai.embed.doEmbed", "embedding"),
            ("ai.toolCall", "tool"),
        ],
    )
    def test_kinds(self, operation: str, kind: str) -> None:
        """The outer span sums up its calls and is none."""
        record = read({"ai.operationId": operation, "ai.usage.inputTokens": 7})

        assert record.kind == kind
        assert (record.tokens is None) == (kind not in ("inference", "embedding"))

    def test_whole_call(self) -> None:
        """Tools, tool calls, reasoning and the first chunk."""
        record = read(
            {
                **SAMPLES["vercel-ai"],
                "ai.response.msToFirstChunk": 120.5,
                "ai.response.reasoning": "Hm.",
                "ai.response.toolCalls": (
                    '[{"toolCallId": "c-1", "toolName": "add", "input": "{\\"a\\": 1}"}]'
                ),
                "ai.telemetry.metadata.ticket": "T-7",
            }
        )

        assert record.time_to_first_token_ms == 120.5
        assert [part["type"] for part in (record.output_messages or [])[0]["parts"]] == [
            "reasoning",
            "text",
            "tool_call",
        ]
        assert record.tools == [{"type": "function", "name": "add", "inputSchema": {}}]
        assert record.metadata["ticket"] == "T-7"
