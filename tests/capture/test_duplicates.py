"""One call, one span: suppression, official instrumentors, and those of others."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESS_KEY
from opentelemetry.instrumentation.utils import suppress_instrumentation

from cert_otel import config
from cert_otel.records import Usage

if TYPE_CHECKING:
    from opentelemetry.trace import Span
    from tests.capture.conftest import Bench

    from cert_otel.capture import Call

INFERENCE_KEY = "opentelemetry.genai.client.inference.context"
USAGE = Usage(input_tokens=12, output_tokens=5)


def fill_reply(call: Call) -> None:
    """Answer with usage and logprobs."""
    call.response_id = "r-1"
    call.response_model = "gpt-4o-2024-08-06"
    call.usage = USAGE
    call.logprobs = [-0.5, -1.5]


class InferenceData:
    """As opentelemetry-util-genai has it: attributes that its span will carry."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}


@pytest.fixture
def util_genai(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have opentelemetry-util-genai loaded."""
    module = ModuleType("opentelemetry.util.genai.invocation")
    module.InferenceData = InferenceData  # type: ignore[attr-defined]  # made here
    monkeypatch.setitem(sys.modules, module.__name__, module)


class within:  # noqa: N801 - reads as a word
    """Put a value into the current context for one block."""

    def __init__(self, key: str, value: object) -> None:
        self._context = otel_context.set_value(key, value)

    def __enter__(self) -> None:
        self._token = otel_context.attach(self._context)

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)


class TestSuppression:
    @pytest.mark.parametrize(
        "key",
        [SUPPRESS_KEY, "suppress_instrumentation", "suppress_language_model_instrumentation"],
        ids=["current", "plain", "models"],  # the first one is drawn anew in each process
    )
    def test_each_key(self, bench: Bench, key: str) -> None:
        """The application, or another instrumentor, asked that nothing is recorded."""
        with within(key, True):
            assert bench.try_begin() is None

        assert bench.spans.spans() == []
        assert bench.metrics.points() == []

    def test_the_official_way(self, bench: Bench) -> None:
        """`suppress_instrumentation()` of the OpenTelemetry packages."""
        with suppress_instrumentation():
            assert bench.try_begin() is None
        assert bench.try_begin() is not None

    def test_a_key_that_is_off(self, bench: Bench) -> None:
        """False is not suppressed."""
        with within(SUPPRESS_KEY, False):
            assert bench.try_begin() is not None


class TestOfficialAround:
    """An instrumentor on opentelemetry-util-genai stands for the call: its span gets ours."""

    def test_it_is_enriched(self, bench: Bench) -> None:
        """Cost, perplexity and fingerprint go to its data; tokens and time are not recorded twice."""
        config.configure(cost_aliases=("operation.cost",))
        data = InferenceData()

        def ask(call: Call) -> None:
            call.prompt_parts = ["user", "Hi"]
            call.attributes["gen_ai.request.temperature"] = 0.5

        with (
            bench.spans.tracer.start_as_current_span("official"),
            within(INFERENCE_KEY, data),
        ):
            bench.begin(ask).succeed(fill_reply)

        assert (bench.span["name"], bench.attributes) == ("official", {})
        fingerprint = data.attributes.pop("cert.prompt.fingerprint")
        version = data.attributes.pop("cert.cost.pricing_version")
        perplexity = data.attributes.pop("cert.perplexity")
        assert (len(fingerprint), bool(version)) == (32, True)
        assert perplexity == pytest.approx(2.718281828)
        assert data.attributes == {
            "cert.cost.amount": 0.00008,
            "cert.cost.currency": "USD",
            "cert.cost.input": 0.00003,
            "cert.cost.output": 0.00005,
            "cert.cost.partial": False,
            "cert.cost.source": "table",
            "cert.logprob.mean": -1.0,
            "cert.logprob.min": -1.5,
            "cert.logprob.source": "provider",
            "cert.logprob.sum": -2.0,
            "cert.logprob.token_count": 2,
            "operation.cost": 0.00008,
        }
        assert {point["name"] for point in bench.metrics.points()} == {
            "cert.gen_ai.client.cost",
            "cert.gen_ai.client.perplexity",
        }

    def test_its_span_is_not_ended(self, bench: Bench) -> None:
        """The span around belongs to whoever began it."""
        with (
            bench.spans.tracer.start_as_current_span("official") as span,
            within(INFERENCE_KEY, InferenceData()),
        ):
            bench.begin().fail(LookupError())
            assert span.is_recording()

        assert (bench.span["name"], bench.span["status"]) == ("official", "UNSET")


class TestOfficialInside:
    @pytest.mark.usefixtures("util_genai")
    def test_it_is_told(self, bench: Bench) -> None:
        """While our call is active, official inner instrumentors find an instance of their class."""
        call = bench.begin()
        token = call.attach()
        published = otel_context.get_value(INFERENCE_KEY)
        call.detach(token)
        call.succeed()

        assert isinstance(published, InferenceData)
        assert otel_context.get_value(INFERENCE_KEY) is None
        assert bench.span["name"] == "chat gpt-4o"

    @pytest.mark.usefixtures("util_genai")
    def test_each_call_has_its_own(self, bench: Bench) -> None:
        """Two calls at once do not share what is published."""
        first, second = (
            otel_context.get_value(INFERENCE_KEY, bench.begin().context) for _ in range(2)
        )

        assert first is not second

    def test_nothing_is_imported_for_it(self, bench: Bench) -> None:
        """Where the package is not loaded, nothing is published."""
        call = bench.begin()

        assert otel_context.get_value(INFERENCE_KEY, call.context) is None
        assert "opentelemetry.util.genai.invocation" not in sys.modules

    @pytest.mark.parametrize("content", [{}, {"InferenceData": None}])
    def test_an_other_version(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]
    ) -> None:
        """A version without that class is as good as none."""
        module = ModuleType("opentelemetry.util.genai.invocation")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)

        bench.begin().succeed()

        assert bench.span["name"] == "chat gpt-4o"


def begin_foreign(bench: Bench, scope: str) -> Span:
    """Begin a span of another instrumentor."""
    return bench.spans.tracer_provider.get_tracer(scope).start_span(
        "theirs", attributes={"gen_ai.request.model": "gpt-4o", "their.own": "yes"}
    )


class TestForeign:
    """A span of an instrumentor that knows nothing of us."""

    @pytest.mark.parametrize(
        "scope",
        [
            "opentelemetry.instrumentation.openai",
            "opentelemetry.instrumentation.openai.v1",
            "opentelemetry.instrumentation.openai_v2",
            "opentelemetry.instrumentation.anthropic",
            "openinference.instrumentation.openai",
            "openlit.otel.tracing",
            "logfire.openai",
            "com.anthropic.sdk.python",
        ],
    )
    def test_it_is_enriched_and_not_doubled(self, bench: Bench, scope: str) -> None:
        """One span for one call: theirs, with what it lacks; its end is its owner's."""
        foreign = begin_foreign(bench, scope)
        with trace.use_span(foreign, end_on_exit=False):
            bench.begin().succeed(fill_reply)
        assert bench.spans.spans() == []
        foreign.end()

        attributes = bench.attributes
        assert bench.span["name"] == "theirs"
        assert attributes["their.own"] == "yes"
        assert attributes["gen_ai.provider.name"] == "openai"
        assert attributes["gen_ai.usage.input_tokens"] == 12
        assert attributes["cert.cost.amount"] == 0.00008
        assert attributes["cert.logprob.token_count"] == 2

    def test_its_status_is_its_owners(self, bench: Bench) -> None:
        """We add the error's type, and leave the status to whoever began the span."""
        foreign = begin_foreign(bench, "openinference.instrumentation.openai")
        with trace.use_span(foreign, end_on_exit=True):
            bench.begin().fail(LookupError())

        assert bench.span["status"] == "UNSET"
        assert bench.attributes["error.type"] == "LookupError"

    def test_tokens_and_time_are_its_owners(self, bench: Bench) -> None:
        """Metrics that its instrumentor records are not recorded twice."""
        foreign = begin_foreign(bench, "opentelemetry.instrumentation.openai")
        with trace.use_span(foreign, end_on_exit=True):
            bench.begin().succeed(fill_reply)

        assert {point["name"] for point in bench.metrics.points()} == {
            "cert.gen_ai.client.cost",
            "cert.gen_ai.client.perplexity",
        }

    def test_one_that_ended_early(self, bench: Bench) -> None:
        """What came after its end gets a span of its own, below it and from our own start."""
        foreign = begin_foreign(bench, "opentelemetry.instrumentation.openai")
        with trace.use_span(foreign, end_on_exit=True):
            call = bench.begin(stream=True)
            call.open_stream()
        call.read_chunk(fill_reply)
        call.succeed()

        theirs, ours = bench.spans.spans()
        assert "gen_ai.usage.input_tokens" not in theirs["attributes"]
        assert (ours["name"], ours["parent"], ours["kind"]) == (
            "chat gpt-4o",
            theirs["id"],
            "CLIENT",
        )
        assert ours["attributes"]["gen_ai.usage.input_tokens"] == 12
        assert ours["attributes"]["cert.stream.outcome"] == "completed"
        assert bench.spans.finished[-1].start_time == call.start_ns

    def test_one_that_is_not_recorded(self, bench: Bench) -> None:
        """A span that was sampled away stands for nothing."""
        unsampled = trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)
        with trace.use_span(unsampled):
            bench.begin().succeed()

        assert bench.span["name"] == "chat gpt-4o"

    @pytest.mark.parametrize(
        "scope",
        [
            "opentelemetry.instrumentation.langchain",
            "openinference.instrumentation.langchain",
            "opentelemetry.instrumentation.fastapi",
            "opentelemetry.instrumentation.openai_agents",
            "opentelemetry.instrumentation.openaix",
            "my.application",
        ],
    )
    def test_frameworks_are_not_enriched(self, bench: Bench, scope: str) -> None:
        """The span of a chain or a request is around the call, and is not the call."""
        foreign = begin_foreign(bench, scope)
        with trace.use_span(foreign, end_on_exit=True):
            bench.begin().succeed(fill_reply)

        theirs, ours = bench.spans.spans()
        assert set(theirs["attributes"]) == {"gen_ai.request.model", "their.own"}
        assert (ours["name"], ours["parent"]) == ("chat gpt-4o", theirs["id"])
