"""The life of a call: it begins, it ends once, and its span says what happened."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from dirty_equals import IsFloat, IsPartialDict, IsStr
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from cert_otel import config
from cert_otel.capture import Target, Telemetry, begin_call
from cert_otel.records import Usage

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tests.capture.conftest import Bench

    from cert_otel.capture import Call, ChunkReader
    from cert_otel.records import Kind

AZURE = Target("azure.ai.openai", "azure", "acme.openai.azure.com", None)
OPENAI = Target("openai", "openai", "api.openai.com", None)
LOCAL = Target("openai", None, "localhost", 8000)
OPENROUTER = Target("openrouter", "openrouter", "openrouter.ai", None, reports_cost=True)
USAGE = Usage(input_tokens=12, output_tokens=5)


def fill_usage(call: Call) -> None:
    """Report tokens."""
    call.usage = USAGE


def nothing(_: Call) -> None:
    """Leave the call as it is."""


def open_stream(bench: Bench, **options: Any) -> Call:
    """Begin a call whose reply is a stream."""
    call = bench.begin(stream=True, **options)
    call.open_stream()
    return call


class ProviderError(Exception):
    """As SDKs have it."""

    status_code = 429


class TestSpan:
    def test_all_of_it(self, bench: Bench) -> None:
        """What was asked, who answered, what it used, what it cost."""

        def ask(call: Call) -> None:
            call.attributes["gen_ai.request.temperature"] = 0.5
            call.prompt_parts = ["user", "Hi"]
            call.user = "u-17"

        def answer(call: Call) -> None:
            call.response_id = "r-1"
            call.response_model = "gpt-4o-2024-08-06"
            call.finish_reasons = ["stop"]
            call.usage = Usage(
                input_tokens=2000,
                output_tokens=500,
                cache_read_tokens=1000,
                reasoning_tokens=0,
                input_audio_tokens=0,
                output_audio_tokens=0,
            )
            call.logprobs = [0.0, None]

        bench.begin(ask).succeed(answer)

        assert bench.span == {
            "name": "chat gpt-4o",
            "id": 1,
            "parent": None,
            "kind": "CLIENT",
            "status": "UNSET",
            "attributes": {
                "cert.cost.amount": pytest.approx(0.00875),
                "cert.cost.cache_read": pytest.approx(0.00125),
                "cert.cost.currency": "USD",
                "cert.cost.input": pytest.approx(0.0025),
                "cert.cost.output": pytest.approx(0.005),
                "cert.cost.partial": False,
                "cert.cost.pricing_version": IsStr(),
                "cert.cost.source": "table",
                "cert.logprob.mean": 0.0,
                "cert.logprob.min": 0.0,
                "cert.logprob.source": "provider",
                "cert.logprob.sum": 0.0,
                "cert.logprob.token_count": 1,
                "cert.perplexity": 1.0,
                "cert.prompt.fingerprint": IsStr(regex="[0-9a-f]{32}"),
                "enduser.pseudo.id": IsStr(regex="[0-9a-f]{32}"),
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.request.temperature": 0.5,
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.response.id": "r-1",
                "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.usage.audio.input_tokens": 0,
                "gen_ai.usage.audio.output_tokens": 0,
                "gen_ai.usage.cache_read.input_tokens": 1000,
                "gen_ai.usage.input_tokens": 2000,
                "gen_ai.usage.output_tokens": 500,
                "gen_ai.usage.reasoning.output_tokens": 0,
                "server.address": "api.openai.com",
            },
            "events": [],
        }

    def test_as_little_as_that(self, bench: Bench) -> None:
        """What nobody said is absent: no zero, no empty text."""
        bench.begin(model=None, target=LOCAL, operation="embeddings").succeed()

        assert bench.span == IsPartialDict(
            name="embeddings",
            attributes={
                "gen_ai.operation.name": "embeddings",
                "gen_ai.provider.name": "openai",
                "server.address": "localhost",
                "server.port": 8000,
            },
        )

    def test_kinds(self, bench: Bench) -> None:
        """A kind is written where the operation does not say it; a reader may still change it."""

        def demote(call: Call) -> None:
            call.kind = "function"

        bench.begin(kind="tool", operation="moderations").succeed()
        bench.begin(kind="inference", operation="batches").succeed(demote)
        bench.begin().succeed()

        assert [span["attributes"].get("cert.record.kind") for span in bench.spans.spans()] == [
            "tool",
            "function",
            None,
        ]

    def test_its_parent_is_the_current_span(self, bench: Bench) -> None:
        """And while the SDK works, what happens inside is below the call."""
        with bench.spans.tracer.start_as_current_span("request"):
            call = bench.begin()
            token = call.attach()
            bench.spans.tracer.start_span("GET").end()
            call.detach(token)
            bench.spans.tracer.start_span("after").end()
            call.succeed()

        assert {span["name"]: span["parent"] for span in bench.spans.spans()} == {
            "request": None,
            "chat gpt-4o": 1,
            "GET": 2,
            "after": 1,
        }

    def test_cache_writes_follow_the_profile(self, bench: Bench) -> None:
        """`both` writes both generations of the name."""
        config.configure(semconv="both")

        def fill(call: Call) -> None:
            call.usage = Usage(input_tokens=9, cache_write_tokens=4)

        bench.begin().succeed(fill)

        assert bench.attributes["gen_ai.usage.cache_creation.input_tokens"] == 4
        assert bench.attributes["gen_ai.usage.cache_write.input_tokens"] == 4

    def test_what_no_exporter_can_send_is_left_out(self, bench: Bench) -> None:
        """One such value would cost the whole batch it travels in."""

        def fill(call: Call) -> None:
            call.response_id = "r\ud800"
            call.response_model = "m\ud800"
            call.attributes["gen_ai.request.seed"] = 2**70
            call.attributes["gen_ai.request.temperature"] = float("nan")
            call.attributes["gen_ai.request.stop_sequences"] = ["a\ud800"]

        bench.begin(model="gpt\ud800").succeed(fill)

        assert bench.span["name"] == "chat gpt?"
        assert bench.attributes == IsPartialDict(
            {
                "gen_ai.request.model": "gpt?",
                "gen_ai.response.id": "r?",
                "gen_ai.response.model": "m?",
                "gen_ai.request.stop_sequences": ["a?"],
            }
        )
        assert "gen_ai.request.seed" not in bench.attributes
        assert "gen_ai.request.temperature" not in bench.attributes


class TestOnce:
    @pytest.mark.parametrize(
        ("first", "status", "error_type"),
        [
            (lambda call: call.succeed(nothing), "UNSET", None),
            (lambda call: call.fail(LookupError()), "ERROR", "LookupError"),
            (lambda call: call.close(), "UNSET", None),
            (lambda call: call.abandon(), "UNSET", None),
        ],
    )
    def test_the_first_end_counts(
        self,
        bench: Bench,
        first: Callable[[Call], None],
        status: str,
        error_type: str | None,
    ) -> None:
        """Whatever comes after it changes nothing, and is not a second span."""
        call = bench.begin()
        first(call)
        call.succeed(fill_usage)
        call.fail(ValueError())
        call.close()
        call.abandon()
        call.read_reply(fill_usage)

        assert call.finished
        assert bench.span["status"] == status
        assert bench.attributes.get("error.type") == error_type
        assert "gen_ai.usage.input_tokens" not in bench.attributes
        assert bench.point("gen_ai.client.operation.duration")["count"] == 1

    def test_an_end_that_was_noted_earlier(self, bench: Bench) -> None:
        """A stream left to the garbage collector ended when it was let go of."""
        call = open_stream(bench)
        end_ns = time.time_ns()
        time.sleep(0.002)
        call.abandon(end_ns=end_ns)

        assert bench.spans.finished[0].end_time == end_ns


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "name"),
        [
            (LookupError("secret"), "LookupError"),
            (ProviderError("secret"), f"{ProviderError.__module__}.ProviderError"),
            (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
            (KeyboardInterrupt(), "KeyboardInterrupt"),
            (OSError(2, "secret"), "FileNotFoundError"),
        ],
    )
    def test_types(self, bench: Bench, error: BaseException, name: str) -> None:
        """The full name of the class; the text is content and stays away."""
        bench.begin().fail(error)

        assert (bench.span["status"], bench.attributes["error.type"]) == ("ERROR", name)
        assert "status_description" not in bench.span
        assert "secret" not in repr(bench.span)

    def test_http_status(self, bench: Bench) -> None:
        """The provider's status is a number of its own."""
        bench.begin().fail(ProviderError())

        assert bench.attributes["http.response.status_code"] == 429

    def test_text_with_content_on(self, bench: Bench) -> None:
        """Where content is captured the message is the status' description, redacted."""
        config.configure(capture_content=True, redact="secret")
        bench.begin().fail(LookupError("a secret"))

        assert bench.span["status_description"] == "a [REDACTED]"

    def test_one_that_cannot_be_shown(self, bench: Bench, swallowed: Counter[str]) -> None:
        """The application's exception may raise when it is asked for its text."""

        class Broken(Exception):  # noqa: N818 - as applications name them
            """Cannot be shown."""

            def __str__(self) -> str:
                raise RuntimeError

        config.configure(capture_content=True)
        bench.begin().fail(Broken())

        assert bench.span["status"] == "ERROR"
        assert bench.attributes["error.type"].endswith("Broken")
        assert swallowed == {"read_error": 1}
        swallowed.clear()

    def test_a_reply_that_reports_one(self, bench: Bench) -> None:
        """A failure inside a reply is one, although nothing was raised."""

        def fill(call: Call) -> None:
            call.error_type = "server_error"

        bench.begin().succeed(fill)

        assert (bench.span["status"], bench.attributes["error.type"]) == ("ERROR", "server_error")

    def test_what_a_failed_call_used(self, bench: Bench) -> None:
        """A reply that was read before something failed has been paid for."""
        call = bench.begin()
        call.read_reply(fill_usage)
        call.fail(LookupError())

        assert bench.attributes["cert.cost.amount"] == 0.00008


class TestStreams:
    def test_completed(self, bench: Bench) -> None:
        """Read to the end: outcome, pace and what its reader gathered."""
        call = open_stream(bench, at_close=fill_usage)
        for _ in range(3):
            call.read_chunk(nothing)
        call.succeed()

        assert bench.span["status"] == "UNSET"
        assert bench.attributes == IsPartialDict(
            {
                "cert.stream.outcome": "completed",
                "cert.stream.chunk_count": 3,
                "cert.stream.time_per_chunk": IsFloat(ge=0, lt=1),
                "gen_ai.response.time_to_first_chunk": IsFloat(gt=0, lt=1),
                "gen_ai.request.stream": True,
                "gen_ai.usage.input_tokens": 12,
                "cert.cost.partial": False,
            }
        )

    @pytest.mark.parametrize(
        ("end", "outcome", "status"),
        [
            (lambda call: call.close(), "closed", "UNSET"),
            (lambda call: call.abandon(), "abandoned", "UNSET"),
            (lambda call: call.fail(LookupError()), "error", "ERROR"),
            (lambda call: call.fail(asyncio.CancelledError()), "cancelled", "ERROR"),
            (lambda call: call.fail(GeneratorExit()), "cancelled", "ERROR"),
        ],
    )
    def test_early_ends(
        self, bench: Bench, end: Callable[[Call], None], outcome: str, status: str
    ) -> None:
        """What was gathered stands, and a cost is a lower bound; only errors set the status."""
        call = open_stream(bench, at_close=fill_usage)
        call.read_chunk(nothing)
        end(call)

        assert bench.span["status"] == status
        assert bench.attributes == IsPartialDict(
            {
                "cert.stream.outcome": outcome,
                "cert.stream.chunk_count": 1,
                "cert.cost.amount": 0.00008,
                "cert.cost.partial": True,
            }
        )

    def test_an_error_among_the_chunks(self, bench: Bench) -> None:
        """A stream whose last event reports a failure did not complete."""

        def report(call: Call) -> None:
            call.error_type = "overloaded_error"

        call = open_stream(bench)
        call.read_chunk(report)
        call.succeed()

        assert bench.span["status"] == "ERROR"
        assert bench.attributes["cert.stream.outcome"] == "error"

    def test_nothing_came(self, bench: Bench) -> None:
        """A stream without a chunk has no times, and no usage is invented."""
        open_stream(bench).close()

        assert bench.attributes["cert.stream.chunk_count"] == 0
        assert not {
            "gen_ai.response.time_to_first_chunk",
            "cert.stream.time_per_chunk",
            "gen_ai.usage.input_tokens",
            "cert.cost.amount",
        }.intersection(bench.attributes)


class TestCost:
    def test_the_model_that_answered(self, bench: Bench) -> None:
        """Its price counts, not that of an alias that was asked for."""

        def fill(call: Call) -> None:
            call.response_model = "gpt-4o-mini-2024-07-18"
            call.usage = Usage(input_tokens=1_000_000)

        bench.begin(model="gpt-4o").succeed(fill)

        assert bench.attributes["cert.cost.amount"] == pytest.approx(0.15)

    def test_the_model_that_was_asked_for(self, bench: Bench) -> None:
        """Where the one that answered has no price."""

        def fill(call: Call) -> None:
            call.response_model = "an-alias-of-ours"
            call.usage = USAGE

        bench.begin(model="gpt-4o").succeed(fill)

        assert bench.attributes["cert.cost.amount"] == 0.00008

    def test_a_deployment_is_no_model(self, bench: Bench) -> None:
        """On Azure the name that was asked for may be that of another model."""
        bench.begin(model="gpt-4o", target=AZURE).succeed(fill_usage)

        assert "cert.cost.amount" not in bench.attributes
        assert bench.attributes["gen_ai.usage.input_tokens"] == 12

    @pytest.mark.parametrize(
        ("model", "target"), [("no-such-model", None), ("gpt-4o", LOCAL), (None, None)]
    )
    def test_unknown_is_absent(
        self, bench: Bench, model: str | None, target: Target | None
    ) -> None:
        """Without a price there is no cost: not zero."""
        bench.begin(model=model, target=target or OPENAI).succeed(fill_usage)

        assert not any(name.startswith("cert.cost") for name in bench.attributes)

    @pytest.mark.parametrize("reported", [0.0125, 0.0])
    def test_the_providers_own_figure_wins(self, bench: Bench, reported: float) -> None:
        """OpenRouter says what it charged."""

        def fill(call: Call) -> None:
            call.response_model = "openai/gpt-4o"
            call.usage = USAGE
            call.provider_cost = reported

        bench.begin(model="openai/gpt-4o", target=OPENROUTER).succeed(fill)

        assert bench.attributes["cert.cost.amount"] == reported
        assert bench.attributes["cert.cost.source"] == "provider"
        assert "cert.cost.input" not in bench.attributes

    def test_without_it_the_table_counts(self, bench: Bench) -> None:
        """OpenRouter's price list, where a reply has no figure."""
        bench.begin(model="openai/gpt-4o", target=OPENROUTER).succeed(fill_usage)

        assert bench.attributes["cert.cost.source"] == "table"

    def test_a_figure_from_elsewhere_does_not(self, bench: Bench) -> None:
        """A field of that name from a server that is not known for it means nothing."""

        def fill(call: Call) -> None:
            call.provider_cost = 99.0

        bench.begin(target=LOCAL).succeed(fill)

        assert "cert.cost.amount" not in bench.attributes

    def test_the_tier(self, bench: Bench) -> None:
        """What the provider says of its tier sets the price."""

        def fill(call: Call) -> None:
            call.usage = Usage(input_tokens=1_000_000)
            call.service_tier = "flex"

        bench.begin(model="o3").succeed(fill)
        bench.begin(model="o3").succeed(
            lambda call: setattr(call, "usage", Usage(input_tokens=1_000_000))
        )

        flex, standard = (span["attributes"]["cert.cost.amount"] for span in bench.spans.spans())
        assert flex == pytest.approx(standard / 2)

    def test_aliases(self, bench: Bench) -> None:
        """Other tools find the cost under the names they read; without a cost there is none."""
        config.configure(cost_aliases=("gen_ai.usage.cost", "llm.cost.total"))
        bench.begin().succeed(fill_usage)
        bench.begin().succeed()

        priced, unpriced = (span["attributes"] for span in bench.spans.spans())
        assert (priced["gen_ai.usage.cost"], priced["llm.cost.total"]) == (0.00008, 0.00008)
        assert "gen_ai.usage.cost" not in unpriced


class TestReadersThatFail:
    """What goes wrong in a reader is counted and costs what it broke."""

    @staticmethod
    def explode(call: Call) -> None:
        """Fill in something, and fail."""
        call.response_id = "r-1"
        raise RuntimeError

    def test_request(self, bench: Bench, swallowed: Counter[str]) -> None:
        """The call goes on without what was not read."""
        bench.begin(self.explode).succeed(fill_usage)

        assert bench.attributes["gen_ai.usage.input_tokens"] == 12
        assert swallowed == {"read_request": 1}
        swallowed.clear()

    def test_reply(self, bench: Bench, swallowed: Counter[str]) -> None:
        """What was read before the failure stands."""
        bench.begin().succeed(self.explode)

        assert bench.attributes["gen_ai.response.id"] == "r-1"
        assert swallowed == {"read_reply": 1}
        swallowed.clear()

    def test_chunk_and_close(self, bench: Bench, swallowed: Counter[str]) -> None:
        """A chunk that cannot be read is counted as a chunk, and the stream goes on."""
        call = open_stream(bench, at_close=self.explode)
        call.read_chunk(self.explode)
        call.read_chunk(fill_usage)
        call.succeed()

        assert bench.attributes["cert.stream.chunk_count"] == 2
        assert bench.attributes["gen_ai.usage.input_tokens"] == 12
        assert swallowed == {"read_chunk": 1, "close_reader": 1}
        swallowed.clear()

    def test_fields_of_wrong_types(self, bench: Bench, swallowed: Counter[str]) -> None:
        """The span ends, whatever a reader put into the call."""

        def fill(call: Any) -> None:
            call.usage = "much"
            call.logprobs = 17
            call.user = 17

        bench.begin().succeed(fill)

        assert bench.span["name"] == "chat gpt-4o"
        assert swallowed
        swallowed.clear()


class TestNobodyListens:
    def test_no_tracer_provider(self) -> None:
        """Without one, nothing is read: a call costs next to nothing."""
        telemetry = Telemetry(
            "bench",
            "1",
            tracer_provider=trace.NoOpTracerProvider(),
            meter_provider=NoOpMeterProvider(),
        )
        read: list[Any] = []
        call = begin_call(
            telemetry, _Recording(read), LOCAL, model="gpt-4o", request=object(), stream=False
        )
        assert call is not None
        call.succeed()

        assert read == []
        assert not call.is_recording
        assert call.finished

    def test_a_span_that_is_not_sampled(self, bench: Bench) -> None:
        """Its request is not read; its tokens and cost are counted all the same."""
        telemetry = Telemetry(
            "bench",
            "1",
            tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False),
            meter_provider=bench.metrics.meter_provider,
        )
        read: list[Any] = []
        call = begin_call(
            telemetry, _Recording(read), LOCAL, model="gpt-4o", request=object(), stream=False
        )
        assert call is not None
        call.succeed(object())

        assert read == ["reply"]
        assert bench.point("gen_ai.client.token.usage")["sum"] == 12

    def test_a_provider_that_comes_later(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Applications may set theirs after they were instrumented."""
        telemetry = Telemetry("bench", "1")
        before = begin_call(telemetry, _Recording([]), LOCAL, model="a", request=None)
        assert before is not None
        before.succeed()
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", bench.spans.tracer_provider)
        after = begin_call(telemetry, _Recording([]), LOCAL, model="b", request=None)
        assert after is not None
        after.succeed()

        assert bench.span["name"] == "chat b"

    def test_telemetry_that_fails(self, swallowed: Counter[str]) -> None:
        """A tracer that raises costs the span: the SDK is called as if we were not here."""

        class Broken(TracerProvider):
            """Cannot make a tracer."""

            def get_tracer(self, *_: Any, **__: Any) -> Any:
                raise RuntimeError

        telemetry = Telemetry("bench", "1", tracer_provider=Broken(shutdown_on_exit=False))

        assert begin_call(telemetry, _Recording([]), LOCAL, model="a", request=None) is None
        assert swallowed == {"begin": 1}
        swallowed.clear()


class _Recording:
    """An endpoint that notes what it was asked to read."""

    operation = "chat"
    kind: Kind | None = None

    def __init__(self, read: list[Any]) -> None:
        self._read = read

    def read_request(self, _call: Call, _request: Any, /) -> None:
        """Take a note."""
        self._read.append("request")

    def read_reply(self, call: Call, _reply: Any, /) -> None:
        """Take a note, and report tokens."""
        self._read.append("reply")
        call.usage = Usage(input_tokens=12)

    def open_stream(self, _call: Call, /) -> ChunkReader:
        """Never called here."""
        raise NotImplementedError
