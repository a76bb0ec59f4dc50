"""`@trace`: a function keeps its kind, its results and its exceptions, and leaves a record."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import cert_otel
from cert_otel import config, log_call, set_context, trace
from cert_otel.journal import read_journal
from cert_otel.records import Usage

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Callable, Generator, Iterator
    from pathlib import Path

    from tests.capture.conftest import Bench

    from cert_otel.testing import SpanCapture

INPUT = "cert.input.data"
OUTPUT = "cert.output.data"


def only(spans: SpanCapture) -> dict[str, Any]:
    """Return the attributes of the one span."""
    [span] = spans.spans()
    attributes: dict[str, Any] = span["attributes"]
    return attributes


@trace
def shout(text: str) -> str:
    """Shout."""
    return text.upper()


async def collect(items: AsyncIterator[Any]) -> list[Any]:
    """Return all that an asynchronous iterator gives."""
    return [item async for item in items]


class TestPlain:
    def test_a_span(self, spans: SpanCapture) -> None:
        """One span, named after the function, with what went in and came out."""
        assert shout("hi") == "HI"

        assert spans.spans() == [
            {
                "name": "shout",
                "id": 1,
                "parent": None,
                "kind": "INTERNAL",
                "status": "UNSET",
                "attributes": {
                    "cert.function.name": "shout",
                    "cert.input.data": "hi",
                    "cert.output.data": "HI",
                    "cert.record.kind": "function",
                },
                "events": [],
            }
        ]

    def test_it_looks_like_the_function(self) -> None:
        """Name, documentation, signature and the function itself are at hand."""
        assert (shout.__name__, shout.__doc__) == ("shout", "Shout.")
        assert str(inspect.signature(shout)) == "(text: 'str') -> 'str'"
        assert inspect.unwrap(shout) is not shout
        assert pickle.loads(pickle.dumps(shout)) is shout  # noqa: S301 - our own bytes

    def test_the_result_is_the_functions_own(self, spans: SpanCapture) -> None:
        """The very object, not a copy."""
        result = object()

        assert trace(lambda: result)() is result
        assert only(spans)[OUTPUT] == "<object>"

    def test_exceptions_are_the_functions_own(self, spans: SpanCapture) -> None:
        """The very object passes, without a new cause or context; the span is an error."""
        error = LookupError("theirs")

        @trace
        def fail() -> None:
            raise error

        with pytest.raises(LookupError) as caught:
            fail()

        assert caught.value is error
        assert (error.__cause__, error.__context__) == (None, None)
        [span] = spans.spans()
        assert (span["status"], span["attributes"]["error.type"]) == ("ERROR", "LookupError")
        assert "theirs" not in repr(span)

    def test_exceptions_have_their_full_name(self, spans: SpanCapture) -> None:
        """An application's own error is named with its module."""

        @trace
        def fail() -> None:
            raise json.JSONDecodeError("bad", "", 0)

        with pytest.raises(json.JSONDecodeError):
            fail()

        assert only(spans)["error.type"] == "json.decoder.JSONDecodeError"

    def test_a_wrong_call_is_the_callers_error(self, spans: SpanCapture) -> None:
        """The message is Python's own."""
        wrong: Any = shout

        with pytest.raises(TypeError, match="missing 1 required positional argument: 'text'"):
            wrong()

        assert only(spans)["error.type"] == "TypeError"

    def test_interrupts_pass(self, spans: SpanCapture) -> None:
        """What is no `Exception` ends the function all the same."""

        @trace
        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stop()

        assert only(spans)["error.type"] == "KeyboardInterrupt"


class TestInput:
    def test_several_arguments_are_named(self, spans: SpanCapture) -> None:
        """However they were passed; defaults that were not given are not there."""

        @trace
        def ask(question: str, *more: int, limit: int = 3, **options: bool) -> None:
            """Do nothing."""

        ask("why", 1, 2, limit=4, fast=True)

        assert json.loads(only(spans)[INPUT]) == {
            "question": "why",
            "more": [1, 2],
            "limit": 4,
            "options": {"fast": True},
        }

    def test_methods(self, spans: SpanCapture) -> None:
        """Neither `self` nor `cls` is an argument that anybody passed."""

        class Bot:
            """An application's class."""

            @trace
            def ask(self, question: str) -> str:
                return question

            @classmethod
            @trace
            def make(cls, name: str) -> str:
                return name

            @staticmethod
            @trace
            def greet(name: str) -> str:
                return name

        Bot().ask("a")
        Bot.make("b")
        Bot.greet("c")

        assert [span["attributes"][INPUT] for span in spans.spans()] == ["a", "b", "c"]
        assert spans.spans()[0]["name"].endswith("<locals>.Bot.ask")

    def test_generators_are_not_drained(self, spans: SpanCapture) -> None:
        """What can be read once is for the function to read."""

        @trace
        def count(items: Iterator[int]) -> int:
            return len(list(items))

        assert count(iter([1, 2, 3])) == 3
        assert "list_iterator" in only(spans)[INPUT]

    def test_strange_objects_are_named(self, spans: SpanCapture) -> None:
        """An argument that JSON has no form for costs nothing else."""
        cycle: list[Any] = []
        cycle.append(cycle)

        @trace
        def give_back(thing: Any) -> Any:
            return thing

        for thing in (object(), {("k", 1): 2}, "\ud800", cycle):
            assert give_back(thing) is thing

        assert len(spans.spans()) == 4
        for span in spans.spans():
            assert span["attributes"][INPUT].encode()
            assert span["attributes"][OUTPUT].encode()


class TestOutput:
    @pytest.mark.parametrize(
        ("result", "output"),
        [
            ("text", "text"),
            (17, "17"),
            ({"a": [1, None]}, '{"a":[1,null]}'),
            ({"answer": "yes"}, "yes"),
            ({"answer": {"a": 1}, "context": None}, '{"a":1}'),
            ("", ""),
        ],
    )
    def test_forms(self, spans: SpanCapture, result: Any, output: str) -> None:
        """A text is shown as it is, an answer is taken out of its mapping, the rest is JSON."""
        assert trace(lambda: result)() is result

        assert only(spans)[OUTPUT] == output
        assert "cert.context" not in only(spans)

    def test_none_is_nothing(self, spans: SpanCapture) -> None:
        """A function that returns nothing has no output."""
        trace(lambda: None)()

        assert OUTPUT not in only(spans)

    @pytest.mark.parametrize(
        ("context", "texts"),
        [("One.", ["One."]), (["One.", {"text": "Two."}], ["One.", "Two."]), (["", "A"], ["A"])],
    )
    def test_context_and_answer(self, spans: SpanCapture, context: Any, texts: list[str]) -> None:
        """The ground truth of an answer is recorded beside it."""
        trace(lambda: {"context": context, "answer": "yes"})()

        assert only(spans)[OUTPUT] == "yes"
        assert [item["text"] for item in json.loads(only(spans)["cert.context"])] == texts

    def test_a_strange_context_costs_nothing_else(
        self, spans: SpanCapture, swallowed: Counter[str]
    ) -> None:
        """The application gets its result whatever we cannot read of it."""
        result = {"context": 17, "answer": "yes"}

        assert trace(lambda: result)() is result
        assert len(spans.spans()) == 1
        swallowed.clear()

    def test_an_explicit_opt_in(self, spans: SpanCapture) -> None:
        """Input, output and context are recorded with content off elsewhere, redacted and capped."""
        config.configure(redact="secret", content_max_chars=20)

        trace(lambda text: {"context": text, "answer": text})("a secret " + "x" * 30)

        expected = "a [REDACTED] xxxxxxx… [23 more characters]"
        assert (only(spans)[INPUT], only(spans)[OUTPUT]) == (expected, expected)
        assert json.loads(only(spans)["cert.context"])[0]["text"] == expected

    def test_a_failing_redactor_withholds(
        self, spans: SpanCapture, swallowed: Counter[str]
    ) -> None:
        """The function works on; nothing of what it said is recorded."""

        def fail(text: str) -> str:
            raise ValueError(text)

        config.configure(redactor=fail)

        assert shout("secret") == "SECRET"
        assert (only(spans)[INPUT], only(spans)[OUTPUT]) == (
            "[withheld: the redactor failed]",
            "[withheld: the redactor failed]",
        )
        assert swallowed == {"redactor": 2}
        swallowed.clear()


class TestKinds:
    """What a function is, it stays: frameworks look before they call."""

    def test_each_kind(self) -> None:
        """All of `inspect` and `asyncio` says the same of the decorated function."""

        def plain() -> None: ...
        async def coroutine() -> None: ...
        def generator() -> Iterator[int]:
            yield 1

        async def async_generator() -> AsyncIterator[int]:
            yield 1

        questions: list[Callable[[Any], bool]] = [
            inspect.isfunction,
            inspect.iscoroutinefunction,
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
        ]
        for function in (plain, coroutine, generator, async_generator):
            wrapped: Any = trace(function)
            assert [ask(wrapped) for ask in questions] == [ask(function) for ask in questions]

    def test_with_and_without_parentheses(self, spans: SpanCapture) -> None:
        """Both forms decorate."""

        @trace()
        def one() -> int:
            return 1

        @trace
        def two() -> int:
            return 2

        assert (one(), two()) == (1, 2)
        assert len(spans.spans()) == 2

    def test_it_is_public(self) -> None:
        """Applications reach it on the package itself."""
        assert cert_otel.trace is trace


class TestCoroutine:
    def test_result_and_error(self, spans: SpanCapture) -> None:
        """As with a plain function."""

        @trace
        async def ask(question: str) -> str:
            await asyncio.sleep(0)
            if question == "fail":
                raise LookupError
            return question.upper()

        assert asyncio.run(ask("hi")) == "HI"
        with pytest.raises(LookupError):
            asyncio.run(ask("fail"))

        first, second = spans.spans()
        assert (first["attributes"][INPUT], first["attributes"][OUTPUT]) == ("hi", "HI")
        assert second["attributes"]["error.type"] == "LookupError"

    def test_cancelling(self, spans: SpanCapture) -> None:
        """The cancellation arrives, and is on the record."""

        @trace
        async def wait() -> None:
            await asyncio.sleep(60)

        async def main() -> None:
            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())

        assert only(spans)["error.type"] == "asyncio.exceptions.CancelledError"

    def test_a_coroutine_that_is_thrown_away(self, spans: SpanCapture, bench: Bench) -> None:
        """It is recorded, by the next call, as abandoned."""

        @trace
        async def wait() -> None:
            await asyncio.Event().wait()

        async def step() -> None:
            coroutine = wait()
            coroutine.send(None)
            coroutine.close()

        asyncio.run(step())
        bench.begin().succeed()

        assert only(spans)["cert.stream.outcome"] == "abandoned"

    def test_tasks_side_by_side(self, spans: SpanCapture) -> None:
        """Each has the parent that it was called from."""

        @trace
        async def inner(name: str) -> str:
            await asyncio.sleep(0)
            return name

        @trace
        async def outer(name: str) -> None:
            await asyncio.gather(inner(name + "1"), inner(name + "2"))

        async def main() -> None:
            await asyncio.gather(outer("a"), outer("b"))

        asyncio.run(main())

        by_id = {span["id"]: span["attributes"][INPUT] for span in spans.spans()}
        parents = {by_id[span["id"]]: by_id.get(span["parent"]) for span in spans.spans()}
        assert parents == {"a": None, "b": None, "a1": "a", "a2": "a", "b1": "b", "b2": "b"}


class TestGenerator:
    def test_texts_are_one_answer(self, spans: SpanCapture) -> None:
        """The pieces of a stream are joined, and the span lasts until the last one."""

        @trace
        def stream(text: str) -> Iterator[str]:
            yield from text

        generator = stream("abc")
        assert next(generator) == "a"
        assert spans.spans() == []
        assert list(generator) == ["b", "c"]

        assert (only(spans)[INPUT], only(spans)[OUTPUT]) == ("abc", "abc")

    def test_other_pieces_are_a_list(self, spans: SpanCapture) -> None:
        """What is no text is recorded as JSON; a last piece with the answer is the answer."""

        @trace
        def numbers() -> Iterator[int]:
            yield from (1, 2)

        @trace
        def steps() -> Iterator[Any]:
            yield "thinking"
            yield {"answer": "yes", "context": "Because."}

        list(numbers())
        list(steps())

        first, second = (span["attributes"] for span in spans.spans())
        assert first[OUTPUT] == "[1,2]"
        assert second[OUTPUT] == "yes"
        assert json.loads(second["cert.context"])[0]["text"] == "Because."

    def test_send_throw_and_return(self, spans: SpanCapture) -> None:
        """All that a caller can do to a generator reaches it, and its value comes back."""
        got: list[Any] = []

        @trace
        def talk() -> Generator[str, Any, int]:
            got.append((yield "first"))
            try:
                yield "second"
            except LookupError as error:
                got.append(error)
            yield "third"
            return 17

        generator = talk()
        error = LookupError()
        assert next(generator) == "first"
        assert generator.send("sent") == "second"
        assert generator.throw(error) == "third"
        with pytest.raises(StopIteration) as stopped:
            next(generator)

        assert stopped.value.value == 17
        assert got == ["sent", error]
        assert only(spans)[OUTPUT] == "firstsecondthird"

    def test_an_error_inside(self, spans: SpanCapture) -> None:
        """It passes as it is and ends the span; what was thrown in and not caught likewise."""
        error = LookupError()

        @trace
        def fail() -> Iterator[int]:
            yield 1
            raise error

        @trace
        def wait() -> Generator[int, None, None]:
            yield 1

        with pytest.raises(LookupError) as caught:
            list(fail())
        assert caught.value is error
        assert error.__context__ is None
        generator = wait()
        next(generator)
        with pytest.raises(LookupError) as caught:
            generator.throw(error)
        assert caught.value is error

        assert [span["attributes"]["error.type"] for span in spans.spans()] == ["LookupError"] * 2

    def test_a_stop_inside_is_an_error(self, spans: SpanCapture) -> None:
        """`StopIteration` does not leak out of a generator: Python's own rule."""

        @trace
        def fail() -> Iterator[int]:
            yield 1
            next(iter([]))

        with pytest.raises(RuntimeError, match="generator raised StopIteration"):
            list(fail())

        assert only(spans)["error.type"] == "RuntimeError"

    def test_closing(self, spans: SpanCapture, bench: Bench) -> None:
        """The generator's own clean-up runs; what it said so far is recorded by the next call."""
        cleaned: list[str] = []

        @trace
        def stream() -> Generator[str, None, None]:
            try:
                yield "a"
                yield "b"
            finally:
                cleaned.append("yes")

        generator = stream()
        next(generator)
        generator.close()
        assert cleaned == ["yes"]
        bench.begin().succeed()

        assert (only(spans)[OUTPUT], only(spans)["cert.stream.outcome"]) == ("a", "abandoned")
        assert spans.spans()[0]["status"] == "UNSET"

    def test_letting_go(self, spans: SpanCapture, bench: Bench) -> None:
        """Breaking out of the loop is closing by the garbage collector."""

        @trace
        def stream() -> Iterator[str]:
            yield from "ab"

        for _ in stream():
            break
        bench.begin().succeed()

        assert only(spans)["cert.stream.outcome"] == "abandoned"

    def test_the_span_is_current_only_inside(self, spans: SpanCapture) -> None:
        """Between two pieces the caller is in its own context."""

        @trace
        def stream() -> Iterator[str]:
            log_call(platform="openai", model="in")
            yield "a"
            log_call(platform="openai", model="in")

        generator = stream()
        next(generator)
        log_call(platform="openai", model="out")
        list(generator)

        parents = {
            (span["name"].rsplit(".", maxsplit=1)[-1], span["parent"]) for span in spans.spans()
        }
        assert parents == {("stream", None), ("chat in", 1), ("chat out", None)}

    def test_never_started(self, spans: SpanCapture) -> None:
        """A generator that nobody reads did nothing, and is no record."""

        @trace
        def stream() -> Iterator[str]:
            yield "a"

        stream()

        assert spans.spans() == []


class TestAsyncGenerator:
    def test_texts_are_one_answer(self, spans: SpanCapture) -> None:
        """As with a plain generator."""

        @trace
        async def stream(text: str) -> AsyncIterator[str]:
            for letter in text:
                await asyncio.sleep(0)
                yield letter

        assert asyncio.run(collect(stream("abc"))) == ["a", "b", "c"]
        assert (only(spans)[INPUT], only(spans)[OUTPUT]) == ("abc", "abc")

    def test_asend_and_athrow(self, spans: SpanCapture) -> None:
        """All that a caller can do to it reaches it."""
        got: list[Any] = []
        error = LookupError()

        @trace
        async def talk() -> Any:
            got.append((yield "first"))
            try:
                yield "second"
            except LookupError as caught:
                got.append(caught)
            yield "third"

        async def main() -> list[str]:
            generator = talk()
            said = [await anext(generator), await generator.asend("sent")]
            said.append(await generator.athrow(error))
            with pytest.raises(StopAsyncIteration):
                await anext(generator)
            return said

        assert asyncio.run(main()) == ["first", "second", "third"]
        assert got == ["sent", error]
        assert only(spans)[OUTPUT] == "firstsecondthird"

    def test_aclose(self, spans: SpanCapture, bench: Bench) -> None:
        """Its own clean-up runs, awaits included; it is recorded by the next call."""
        cleaned: list[str] = []

        @trace
        async def stream() -> Any:
            try:
                yield "a"
            finally:
                await asyncio.sleep(0)
                cleaned.append("yes")

        async def main() -> None:
            generator = stream()
            await anext(generator)
            await generator.aclose()

        asyncio.run(main())
        assert cleaned == ["yes"]
        bench.begin().succeed()

        assert (only(spans)[OUTPUT], only(spans)["cert.stream.outcome"]) == ("a", "abandoned")

    def test_an_error_inside(self, spans: SpanCapture) -> None:
        """It passes as it is and ends the span."""
        error = LookupError()

        @trace
        async def fail() -> AsyncIterator[int]:
            yield 1
            raise error

        with pytest.raises(LookupError) as caught:
            asyncio.run(collect(fail()))

        assert caught.value is error
        assert only(spans)["error.type"] == "LookupError"


class TestNesting:
    def test_a_model_call_inside(self, spans: SpanCapture, bench: Bench) -> None:
        """Its parent is the function; tokens and cost are its own alone."""
        seen: list[int | None] = []

        @trace
        def answer() -> str:
            call = bench.begin()
            seen.append(call.span.parent.span_id)  # type: ignore[attr-defined]  # the SDK's span
            call.succeed()
            return "yes"

        answer()

        assert seen == [spans.spans()[0]["id"]]
        assert not any(name.startswith(("gen_ai.usage", "cert.cost")) for name in only(spans))

    def test_functions_inside_functions(self, spans: SpanCapture) -> None:
        """The tree of records is the tree of calls."""

        @trace
        def outer() -> str:
            return shout("a") + shout("b")

        assert outer() == "AB"
        assert [(span["name"].split(".")[-1], span["parent"]) for span in spans.spans()] == [
            ("outer", None),
            ("shout", 1),
            ("shout", 1),
        ]

    def test_surroundings(self, spans: SpanCapture) -> None:
        """What `set_context` says holds for the function, and metadata of its own adds to it."""
        with set_context("Given.", tenant="acme", metadata={"a": 1, "b": 1}):
            trace(metadata={"b": 2})(lambda: "x")()

        attributes = only(spans)
        assert attributes["cert.tenant"] == "acme"
        assert json.loads(attributes["cert.metadata"]) == {"a": 1, "b": 2}
        assert json.loads(attributes["cert.context"])[0]["text"] == "Given."


class TestOptions:
    def test_metadata(self, spans: SpanCapture) -> None:
        """It goes with every call of the function."""

        @trace(metadata={"team": "support"})
        def ask() -> None:
            """Do nothing."""

        ask()
        ask()

        assert [span["attributes"]["cert.metadata"] for span in spans.spans()] == [
            '{"team":"support"}'
        ] * 2

    def test_cost_tracking_off(self, spans: SpanCapture, bench: Bench) -> None:
        """The model calls inside have tokens and no cost, are not called unpriced, and only those."""

        def fill(call: Any) -> None:
            call.usage = Usage(input_tokens=12, output_tokens=5)

        @trace(cost_tracking=False)
        def ask() -> None:
            bench.begin().succeed(fill)
            log_call(platform="openai", model="gpt-4o", tokens={"prompt": 12})

        ask()
        bench.begin().succeed(fill)

        inside, outside = (span["attributes"] for span in bench.spans.spans())
        assert inside["gen_ai.usage.input_tokens"] == 12
        assert not any(name.startswith("cert.cost") for name in inside)
        assert outside["cert.cost.amount"] == 0.00008
        names = {point["name"] for point in bench.metrics.points()}
        assert "cert.gen_ai.client.unpriced" not in names
        reported = spans.spans()[1]["attributes"]
        assert reported["gen_ai.usage.input_tokens"] == 12
        assert "cert.cost.amount" not in reported

    def test_cost_tracking_off_in_a_generator(self, spans: SpanCapture, bench: Bench) -> None:
        """It holds inside the generator, not for its reader."""

        def fill(call: Any) -> None:
            call.usage = Usage(input_tokens=12, output_tokens=5)

        @trace(cost_tracking=False)
        def stream() -> Iterator[int]:
            bench.begin(model="gpt-4o").succeed(fill)
            yield 1

        for _ in stream():
            bench.begin(model="gpt-4o-mini").succeed(fill)

        assert len(spans.spans()) == 1
        assert {
            span["name"]: "cert.cost.amount" in span["attributes"] for span in bench.spans.spans()
        } == {"chat gpt-4o": False, "chat gpt-4o-mini": True}

    def test_log_path(self, spans: SpanCapture, tmp_path: Path) -> None:
        """The records of this process are appended to a further file, once however often asked."""
        path = tmp_path / "faq.jsonl"

        @trace(log_path=str(path))
        def ask(question: str) -> str:
            return question

        ask("one")
        ask("two")
        spans.tracer_provider.force_flush()

        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(line["kind"], line["input_data"]) for line in lines] == [
            ("function", "one"),
            ("function", "two"),
        ]
        assert len(read_journal([path]).records) == 2
        assert len(spans.spans()) == 2

    def test_an_unwritable_log_path(self, spans: SpanCapture, tmp_path: Path) -> None:
        """The function works on, and is recorded elsewhere."""
        (tmp_path / "file").write_text("no folder")

        ask = trace(log_path=str(tmp_path / "file" / "a.jsonl"))(shout)

        assert ask("hi") == "HI"
        assert "shout" in {span["name"] for span in spans.spans()}

    def test_disabled(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """With everything off the function is all there is, and nothing is written."""
        monkeypatch.chdir(tmp_path)
        config.configure(disabled=True)

        assert shout("hi") == "HI"
        assert list(tmp_path.iterdir()) == []
