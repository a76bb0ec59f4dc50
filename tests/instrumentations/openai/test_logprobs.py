"""Asking for logprobs on the application's behalf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import openai
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from cert_otel import config, semconv

if TYPE_CHECKING:
    from tests.instrumentations.openai.conftest import Desk

INCLUDE: Final = "message.output_text.logprobs"
CHAT: Final = {
    "id": "c",
    "model": "gpt-4o",
    "choices": [{"index": 0, "logprobs": {"content": [{"token": "a", "logprob": 0.0}]}}],
}
RESPONSE: Final = {"id": "resp_1", "model": "gpt-4o", "status": "completed", "output": []}


class TestRequested:
    """With `CERT_OTEL_REQUEST_LOGPROBS`."""

    @pytest.fixture(autouse=True)
    def _on(self) -> None:
        config.configure(request_logprobs=True)

    def test_of_chat(self, desk: Desk) -> None:
        """The parameter is added, and the perplexity is there."""
        desk.chat(CHAT)

        assert desk.bodies[0]["logprobs"] is True
        assert desk.attributes[semconv.PERPLEXITY] == 1.0

    def test_of_responses(self, desk: Desk) -> None:
        """The field is included beside those that the application asked for."""
        responses = desk.open(RESPONSE, RESPONSE).responses
        responses.create(model="gpt-4o", input="Hello")
        responses.create(model="gpt-4o", input="Hello", include=["reasoning.encrypted_content"])

        assert [body["include"] for body in desk.bodies] == [
            [INCLUDE],
            ["reasoning.encrypted_content", INCLUDE],
        ]

    @pytest.mark.parametrize("wanted", [True, False])
    def test_the_application_has_the_last_word(self, desk: Desk, *, wanted: bool) -> None:
        """Whoever asked, or asked not to, gets that."""
        desk.chat(CHAT, logprobs=wanted)

        assert desk.bodies[0]["logprobs"] is wanted

    def test_twice_is_once(self, desk: Desk) -> None:
        """A field that is included already is not included again."""
        desk.open(RESPONSE).responses.create(model="gpt-4o", input="Hello", include=[INCLUDE])

        assert desk.bodies[0]["include"] == [INCLUDE]

    @pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5-mini"])
    def test_reasoning_models_are_spared(self, desk: Desk, model: str) -> None:
        """They refuse the parameter, and the call would fail for us."""
        desk.chat(CHAT, model=model)

        assert "logprobs" not in desk.bodies[0]

    def test_other_endpoints_are_left_alone(self, desk: Desk) -> None:
        """Embeddings have none."""
        embeddings = desk.open({"model": "m", "data": []}).embeddings
        embeddings.create(model="m", input="a", encoding_format="float")

        assert desk.bodies == [{"model": "m", "input": "a", "encoding_format": "float"}]

    def test_the_applications_options_are_not_changed(self, desk: Desk) -> None:
        """Options that the application made itself stay as they are, however they are passed."""
        client = desk.open(CHAT, CHAT)
        kind: Any = openai._models.FinalRequestOptions
        body = {"model": "gpt-4o", "messages": []}
        options = kind.construct(method="post", url="/chat/completions", json_data=body)
        completion = openai.types.chat.ChatCompletion
        client.request(completion, options)
        client.request(cast_to=completion, options=options)

        assert [one.get("logprobs") for one in desk.bodies] == [True, True]
        assert options.json_data == body

    def test_a_suppressed_call_is_not_changed(self, desk: Desk) -> None:
        """Where nothing is recorded nothing is asked for."""
        with suppress_instrumentation():
            desk.chat(CHAT)

        assert "logprobs" not in desk.bodies[0]


class TestNotRequested:
    """The default."""

    def test_changes_nothing(self, desk: Desk) -> None:
        """The body is the application's, to the letter."""
        desk.chat({"id": "c", "model": "gpt-4o", "choices": []})

        assert desk.bodies == [
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
        ]
        assert semconv.PERPLEXITY not in desk.attributes


class TestSources:
    """Where a reply carries them."""

    def test_all_choices_count(self, desk: Desk) -> None:
        """The tokens of every choice, content and refusal, weigh the same."""
        choices = [
            {"index": 0, "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1.5}]}},
            {"index": 1, "logprobs": {"content": None, "refusal": [{"logprob": -1.0}]}},
            {"index": 2, "logprobs": None},
        ]
        desk.chat({"id": "c", "model": "gpt-4o", "choices": choices}, n=3, logprobs=True)

        assert desk.attributes[semconv.LOGPROB_MEAN] == -1.0
        assert desk.attributes[semconv.LOGPROB_TOKEN_COUNT] == 3
        assert desk.attributes[semconv.LOGPROB_MIN] == -1.5
        assert desk.attributes[semconv.LOGPROB_SUM] == -3.0
        assert desk.attributes[semconv.LOGPROB_SOURCE] == "provider"

    def test_responses_carry_them_in_content(self, desk: Desk) -> None:
        """Item by item, content by content."""
        text = {"type": "output_text", "text": "a", "annotations": []}
        contents = [{**text, "logprobs": [{"logprob": -0.5}]}, {**text, "logprobs": []}]
        output = [{"type": "message", "role": "assistant", "content": contents}]
        responses = desk.open({**RESPONSE, "output": output}).responses
        responses.create(model="gpt-4o", input="Hello")

        assert desk.attributes[semconv.LOGPROB_MEAN] == -0.5

    def test_completions_carry_plain_numbers(self, desk: Desk) -> None:
        """The first one may be missing."""
        choice = {"index": 0, "text": "a", "logprobs": {"token_logprobs": [None, -0.5]}}
        completions = desk.open({"id": "c", "model": "m", "choices": [choice]}).completions
        completions.create(model="m", prompt="a", logprobs=1)

        assert desk.attributes[semconv.LOGPROB_MEAN] == -0.5
        assert desk.attributes[semconv.LOGPROB_TOKEN_COUNT] == 1
