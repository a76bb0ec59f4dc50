"""Content: what may be attached, in what form, and that no secret passes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

from cert_otel import config, set_context
from cert_otel.capture import (
    Call,
    blob_part,
    clean_tree,
    file_part,
    log_call,
    reasoning_part,
    text_part,
    tool_call_part,
    tool_response_part,
    trace,
    uri_part,
)
from cert_otel.testing import FakeProvider, Reply, SpanCapture, ToolCall, route_to
from cert_otel_instrumentations.openai import OpenAIInstrumentor

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.capture.conftest import Bench

JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


class TestText:
    def test_off_by_default_changes_nothing(self) -> None:
        """Without a redactor a text is what it was."""
        assert text_part("Hi") == {"type": "text", "content": "Hi"}
        assert reasoning_part("Hm") == {"type": "reasoning", "content": "Hm"}

    def test_what_the_pattern_matches_is_replaced(self) -> None:
        """Every match, and nothing around it."""
        config.configure(redact=r"\d{4}")

        assert text_part("1234 and 56789")["content"] == "[REDACTED] and [REDACTED]9"

    def test_the_callback_has_the_second_word(self) -> None:
        """It sees the text after the pattern, and what it returns is taken."""
        config.configure(redact="Jane", redactor=lambda text: text.replace("[REDACTED]", "X"))

        assert text_part("Jane asks")["content"] == "X asks"

    def test_the_cap_comes_last(self) -> None:
        """A secret across the cut is redacted before it; what was cut is counted."""
        config.configure(redact="secret", content_max_chars=6)

        assert text_part("my secret is long")["content"] == "my [RE… [15 more characters]"

    def test_the_cap_itself_fits(self) -> None:
        """A text of exactly the length is whole."""
        config.configure(content_max_chars=5)

        assert text_part("12345")["content"] == "12345"

    def test_a_failing_callback_withholds(self, swallowed: Counter[str]) -> None:
        """No text at all is attached that nobody could redact; the error is counted."""

        def fail(text: str) -> str:
            raise ValueError(text)

        config.configure(redactor=fail)

        assert text_part("my secret")["content"] == "[withheld: the redactor failed]"
        assert swallowed == {"redactor": 1}
        swallowed.clear()

    def test_a_change_of_the_settings_holds_at_once(self) -> None:
        """The next text is cleaned by the redactor now in force."""
        config.configure(redact="a")
        first = text_part("ab")["content"]
        config.configure(redact="b")

        assert (first, text_part("ab")["content"]) == ("[REDACTED]b", "a[REDACTED]")

    @given(st.text())
    def test_every_text_can_be_sent(self, text: str) -> None:
        """No exporter is handed what UTF-8 cannot say."""
        cleaned = text_part(text)["content"]

        assert cleaned.encode().decode() == cleaned

    def test_a_lone_surrogate_is_a_question_mark(self) -> None:
        """What cannot be sent is replaced, and the rest kept."""
        assert text_part("ü\ud83d!")["content"] == "ü?!"


class TestTree:
    def test_every_text_inside(self) -> None:
        """Values, keys and list items are cleaned; structure and numbers stay."""
        config.configure(redact="x+")

        assert clean_tree({"xx": ["a xx", {"b": "xxx"}, 1, 2.5, None, True]}) == {
            "[REDACTED]": ["a [REDACTED]", {"b": "[REDACTED]"}, 1, 2.5, None, True]
        }

    def test_a_number_is_a_text_to_a_redactor(self) -> None:
        """A card's number is often a number in JSON as well."""
        config.configure(redact=r"\b\d{16}\b")

        assert clean_tree({"card": 4111111111111111, "amount": 12, "rate": 0.5}) == {
            "card": "[REDACTED]",
            "amount": 12,
            "rate": 0.5,
        }

    def test_a_number_that_nobody_can_send(self) -> None:
        """It is left out rather than spelt: Python refuses to spell the largest."""
        config.configure(redact="x")

        assert clean_tree([2**70, 10**5000, 2**63]) == [None, None, 2**63]

    def test_paths_are_texts(self) -> None:
        """A path is what it names."""
        config.configure(redact="secret")

        assert clean_tree([Path("/tmp/secret")]) == ["/tmp/[REDACTED]"]  # noqa: S108 - a text

    def test_deep_nesting_ends(self) -> None:
        """Beyond 32 levels the rest is named, not shown: no secret is hidden down there."""
        config.configure(redact="secret")
        deep: Any = "secret"
        for _ in range(100):
            deep = [deep]
        endless: list[Any] = []
        endless.append(endless)

        assert "secret" not in json.dumps(clean_tree(deep))
        assert json.dumps(clean_tree(endless)).count("[") == 32

    def test_pydantic_objects(self) -> None:
        """The SDK's own objects are read as what was set of them."""
        config.configure(redact="secret")

        class Inner(BaseModel):
            """Nested."""

            text: str
            unset: int = 0

        class Outer(BaseModel):
            """A reply that says more than it declares."""

            model_config = {"extra": "allow"}
            inner: Inner

        outer = Outer.model_validate({"inner": {"text": "a secret"}, "more": "secret"})

        assert clean_tree([outer]) == [{"inner": {"text": "a [REDACTED]"}, "more": "[REDACTED]"}]
        assert clean_tree(ChatCompletionMessage(role="assistant", content="Hi")) == {
            "role": "assistant",
            "content": "Hi",
        }

    def test_the_applications_code_is_not_run(self) -> None:
        """An object is named by its type: its `repr` may ask a database."""

        class Row:
            """Expensive to show."""

            def __repr__(self) -> str:
                raise AssertionError("was run")

        assert clean_tree({"row": Row()}) == {
            "row": "<TestTree.test_the_applications_code_is_not_run.<locals>.Row>"
        }

    @given(JSON)
    def test_without_a_redactor_it_is_the_same(self, tree: Any) -> None:
        """JSON of ordinary depth comes through as it is."""
        assert repr(clean_tree(tree)) == repr(tree)


class TestToolParts:
    def test_arguments_are_parsed(self) -> None:
        """JSON text becomes data, so that redaction sees no escapes."""
        config.configure(redact='a"b')

        assert tool_call_part(call_id="c1", name="find", arguments='{"q": "a\\"b"}') == {
            "type": "tool_call",
            "id": "c1",
            "name": "find",
            "arguments": {"q": "[REDACTED]"},
        }

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ('{"q": "Pa', '{"q": "Pa'),
            ("", ""),
            ("\ud800", "?"),
            (None, None),
            ({"q": 1}, {"q": 1}),
            ("[" * 100_000, "[" * 100_000),
        ],
    )
    def test_what_is_no_json_stays_text(self, arguments: Any, expected: Any) -> None:
        """Models invent arguments, and streams break off inside them."""
        part = tool_call_part(call_id=None, name=None, arguments=arguments)

        assert (part["name"], part["arguments"]) == (None, expected)

    def test_names_are_cleaned(self) -> None:
        """Models invent names, too."""
        config.configure(redact="secret")

        assert tool_call_part(call_id=None, name="secret", arguments="{}")["name"] == "[REDACTED]"

    def test_responses(self) -> None:
        """A result may be text or data."""
        config.configure(redact="secret")

        assert tool_response_part(call_id="c1", response=["secret", {"n": 1}]) == {
            "type": "tool_call_response",
            "id": "c1",
            "response": ["[REDACTED]", {"n": 1}],
        }


class TestBlobs:
    RAW = b"\x89PNG\r\n\x1a\n" * 9
    EXPECTED: Final = {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "sha256": hashlib.sha256(RAW).hexdigest(),
        "size_bytes": 72,
    }

    def test_bytes(self) -> None:
        """Hash and size, never the bytes."""
        assert blob_part(self.RAW, modality="image", mime_type="image/png") == self.EXPECTED

    def test_base64(self) -> None:
        """The hash is that of the file, so that it can be found again."""
        text = base64.b64encode(self.RAW).decode()

        assert blob_part(text, modality="image", mime_type="image/png") == self.EXPECTED

    @pytest.mark.parametrize("text", ["no base64!", "ü", "\ud800", "YQ"])
    def test_what_is_no_base64(self, text: str) -> None:
        """It is hashed as it is."""
        raw = text.encode("utf-8", "surrogatepass")

        assert blob_part(text, modality="image", mime_type=None) == {
            "type": "blob",
            "modality": "image",
            "mime_type": None,
            "sha256": hashlib.sha256(raw).hexdigest(),
            "size_bytes": len(raw),
        }

    @pytest.mark.parametrize("scheme", ["data", "DATA", "Data"])
    def test_data_uris(self, scheme: str) -> None:
        """A file inside a URI is a file; schemes have no case."""
        uri = f"{scheme}:image/png;base64,{base64.b64encode(self.RAW).decode()}"

        assert uri_part(uri, modality="image") == self.EXPECTED

    def test_a_data_uri_without_type(self) -> None:
        """What is not said is not known."""
        assert uri_part("data:,hello", modality="document")["mime_type"] is None

    def test_other_uris_are_references(self) -> None:
        """They are kept, redacted: signed addresses hold secrets."""
        config.configure(redact="sig=[^&]*")

        assert uri_part("https://cdn.example/a.png?sig=abc&x=1", modality="image") == {
            "type": "uri",
            "modality": "image",
            "uri": "https://cdn.example/a.png?[REDACTED]&x=1",
        }

    def test_files_of_the_provider(self) -> None:
        """They have an id and no content."""
        assert file_part("file-1", modality="document") == {
            "type": "file",
            "modality": "document",
            "file_id": "file-1",
        }

    def test_bytes_among_arguments(self, spans: SpanCapture) -> None:
        """What an application hands to `@trace` and `log_call` may hold files as well."""

        @trace
        def describe(image: bytes, question: str) -> str:
            return f"{len(image)} {question}"

        describe(self.RAW, "what?")
        log_call(platform="openai", model="gpt-4o", input_data={"image": self.RAW})

        shown = json.dumps([span["attributes"] for span in spans.spans()])
        assert base64.b64encode(self.RAW).decode()[:40] not in shown
        assert shown.count(hashlib.sha256(self.RAW).hexdigest()) == 2


SECRETS: Final = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n\t/é'), min_size=1, max_size=12
).map(lambda text: f"SECRET<{text}>")
"""With what JSON escapes among its characters."""


def plant(value: Any, secret: str) -> Any:
    """Put a secret into every text of JSON-like data, and among its keys."""
    if isinstance(value, dict):
        return {secret: secret, **{key: plant(item, secret) for key, item in value.items()}}
    if isinstance(value, list):
        return [secret, *(plant(item, secret) for item in value)]
    return f"{value} {secret}"


def leaks(secret: str, spans: list[dict[str, Any]]) -> list[str]:
    """Return what of some spans shows a secret, as it is or as JSON spells it."""
    spelt = {"SECRET", secret, json.dumps(secret)[1:-1]}
    shown = [str(item) for span in spans for item in _walk(span)]
    return [text for text in shown if any(one in text for one in spelt)]


def _walk(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _walk(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _walk(item)
    else:
        yield value


class QuotedError(Exception):
    """An error whose text quotes the prompt."""


class TestPlantedSecrets:
    """A text that the pattern matches is in no attribute of any span."""

    @given(secret=SECRETS, tree=JSON)
    @settings(max_examples=60, deadline=None)
    def test_in_a_call(self, secret: str, tree: Any) -> None:
        """Messages, tools and their arguments and results, instructions, context, error text."""
        config.configure(capture_content=True, redact=re.escape(secret))
        planted = plant(tree, secret)

        def fill(call: Call) -> None:
            call.system_instructions = [text_part(secret)]
            call.tools = clean_tree([planted])
            call.prompt_parts = ["user", secret]
            call.user = secret
            call.input_messages = [
                {"role": "user", "parts": [text_part(f"a {secret} b"), reasoning_part(secret)]},
                {
                    "role": "tool",
                    "parts": [
                        tool_response_part(call_id="c", response=planted),
                        uri_part(f"https://{secret}", modality="image"),
                        uri_part(f"data:text/plain,{secret}", modality="document"),
                    ],
                },
            ]
            call.output_messages = [
                {
                    "role": "assistant",
                    "parts": [
                        tool_call_part(call_id="c", name=secret, arguments=json.dumps(planted)),
                        tool_call_part(call_id="c", name=secret, arguments=planted),
                    ],
                }
            ]

        with _bench() as bench:
            with set_context([secret, {"text": secret, "id": "1"}], user=secret):
                bench.begin(fill).fail(QuotedError(f"you said {secret}"))
            [span] = bench.spans.spans()

        assert leaks(secret, [span]) == []
        assert json.loads(span["attributes"]["gen_ai.tool.definitions"]) is not None
        assert span["status_description"] == "you said [REDACTED]"

    @given(secret=SECRETS, tree=JSON)
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_in_functions_and_reports(self, spans: SpanCapture, secret: str, tree: Any) -> None:
        """`@trace` and `log_call` record input, output and context: redacted like any."""
        config.configure(redact=re.escape(secret))
        spans.clear()
        planted = plant(tree, secret)

        @trace
        def answer(question: Any, *, extra: str) -> Any:
            return {"context": [question, extra], "answer": planted}

        @trace
        def stream(question: str) -> Iterator[str]:
            yield from ("a", question)

        answer(planted, extra=secret)
        list(stream(secret))
        log_call(
            platform="openai",
            model="gpt-4o",
            input_data=planted,
            output_data=[secret],
            context=[secret],
        )

        assert len(spans.spans()) == 3
        assert leaks(secret, spans.spans()) == []

    @given(secret=SECRETS)
    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_in_a_call_of_the_sdk(self, chat: Chat, secret: str) -> None:
        """The same through the openai package, from request and reply to span."""
        config.configure(capture_content=True, redact=re.escape(secret))
        chat.spans.clear()
        chat.ask(secret)

        assert leaks(secret, chat.spans.spans()) == []
        shown = chat.spans.spans()[0]["attributes"]
        for name in ("input.messages", "output.messages", "tool.definitions"):
            assert "[REDACTED]" in shown[f"gen_ai.{name}"]


class TestContentOff:
    """Without the switch, nothing that was said is in any attribute."""

    @given(secret=SECRETS)
    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_no_text_of_request_or_reply(self, chat: Chat, secret: str) -> None:
        """A call, and one that fails with an error that quotes it, show none of it."""
        chat.spans.clear()
        chat.ask(secret)
        with pytest.raises(openai.BadRequestError, match=re.escape("SECRET")):
            chat.ask(f"fail {secret}")

        assert leaks(secret, chat.spans.spans()) == []
        assert [span["status"] for span in chat.spans.spans()] == ["UNSET", "ERROR"]

    def test_the_fingerprint_stands(self, bench: Bench) -> None:
        """Repeated prompts are found all the same."""

        def fill(call: Call) -> None:
            call.prompt_parts = ["user", "Hi"]

        bench.begin(fill).succeed()
        bench.begin(fill).succeed()

        first, second = (
            span["attributes"]["cert.prompt.fingerprint"] for span in bench.spans.spans()
        )
        assert first == second

    def test_readers_are_told(self, bench: Bench) -> None:
        """A reader asks `captures_content` and builds nothing in vain."""
        off = bench.begin().captures_content
        config.configure(capture_content=True)
        on_span = bench.begin().captures_content
        config.configure(capture_content=False, capture_content_events=True)
        on_event = bench.begin().captures_content

        assert (off, on_span, on_event) == (False, True, True)


_MAKE: dict[str, Callable[..., AbstractContextManager[Bench]]] = {}


def _bench() -> AbstractContextManager[Bench]:
    return _MAKE["bench"]()


@pytest.fixture(autouse=True)
def _keep_the_maker(make_bench: Callable[..., AbstractContextManager[Bench]]) -> None:
    """Hand the bench to examples, which each need a new one."""
    _MAKE["bench"] = make_bench


class Chat:
    """The openai package, instrumented, and a provider that repeats what it hears."""

    def __init__(self, client: openai.OpenAI, spans: SpanCapture) -> None:
        self.spans = spans
        self._client = client

    def ask(self, secret: str) -> None:
        """Make a call with a secret wherever text can be."""
        messages: Any = [
            {"role": "system", "content": secret},
            {
                "role": "assistant",
                "content": secret,
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "find", "arguments": json.dumps({"q": secret})},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": secret},
            {"role": "user", "content": [{"type": "text", "text": secret}], "name": secret},
        ]
        tools: Any = [
            {
                "type": "function",
                "function": {
                    "name": "find",
                    "description": secret,
                    "parameters": {"type": "object", "properties": {"q": {"const": secret}}},
                },
            }
        ]
        self._client.chat.completions.create(
            model="gpt-4o", messages=messages, tools=tools, user=secret
        )


def _repeat(request: Any) -> Reply:
    said = request.json["messages"][0]["content"]
    if said.startswith("fail"):
        return Reply(f"you said {said}", status=400)
    return Reply(said, tool_calls=[ToolCall("find", {"q": said})])


@pytest.fixture
def chat() -> Iterator[Chat]:
    """Instrument the SDK for one test."""
    capture = SpanCapture()
    with capture, FakeProvider(_repeat) as provider:
        instrumentor = OpenAIInstrumentor()
        instrumentor.instrument(skip_dep_check=True, tracer_provider=capture.tracer_provider)
        with openai.DefaultHttpxClient(
            event_hooks=route_to(provider), trust_env=False
        ) as http_client:
            try:
                yield Chat(
                    openai.OpenAI(api_key="test", max_retries=0, http_client=http_client), capture
                )
            finally:
                instrumentor.uninstrument()
