"""Endpoints that are not modelled, and stored replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import openai
import pytest

from cert_otel import semconv

if TYPE_CHECKING:
    from tests.instrumentations.openai.conftest import Desk

USAGE: Final = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
BILLED: Final = {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}
RESPONSE: Final = {
    "id": "resp_1",
    "object": "response",
    "model": "gpt-4o-2024-08-06",
    "status": "completed",
    "output": [],
    "usage": BILLED,
}


def tokens(desk: Desk) -> tuple[Any, Any]:
    """Return the tokens on the one span."""
    found = desk.attributes.get
    return found(semconv.USAGE_INPUT_TOKENS), found(semconv.USAGE_OUTPUT_TOKENS)


class TestUsage:
    """A reply with usage was a billed call of a model."""

    def test_makes_it_an_inference(self, desk: Desk) -> None:
        """Images are billed in tokens: their record counts."""
        image = {"created": 1, "data": [], "usage": BILLED}
        desk.open(image).images.generate(model="gpt-image-1", prompt="A cat")

        assert tokens(desk) == (12, 3)
        assert desk.attributes[semconv.RECORD_KIND] == "inference"

    def test_may_be_in_an_event(self, desk: Desk) -> None:
        """The last event of a stream that has usage is the one that counts."""
        events = [
            {"type": "image_generation.partial_image", "b64_json": "AA"},
            {"type": "image_generation.completed", "b64_json": "AA", "usage": BILLED},
        ]
        images = desk.open(events).images
        list(images.generate(model="gpt-image-1", prompt="A cat", stream=True))

        assert tokens(desk) == (12, 3)
        assert desk.attributes[semconv.STREAM_OUTCOME] == "completed"

    def test_of_embeddings_may_be_streamed(self, desk: Desk) -> None:
        """A server that streams them all the same is understood."""
        client = desk.open([{"model": "m", "usage": {"prompt_tokens": 12}}])
        list(
            client.post(
                "/embeddings",
                cast_to=object,
                body={"model": "m", "input": "a"},
                stream=True,
                stream_cls=openai.Stream[Any],
            )
        )

        assert tokens(desk) == (12, None)

    def test_of_time_is_no_tokens(self, desk: Desk) -> None:
        """Whisper reports seconds: there are no tokens, and none are made up."""
        reply = {"text": "Hello", "usage": {"type": "duration", "seconds": 3}}
        desk.open(reply).audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"))

        assert tokens(desk) == (None, None)
        assert desk.attributes[semconv.RECORD_KIND] == "function"

    @pytest.mark.parametrize(
        "call",
        [
            lambda client: client.chat.completions.update("chatcmpl-1", metadata={"a": "b"}),
            lambda client: client.chat.completions.retrieve("chatcmpl-1"),
            lambda client: client.batches.cancel("batch_1"),
            lambda client: client.batches.retrieve("batch_1"),
        ],
        ids=["update", "retrieve", "cancel", "batch"],
    )
    def test_of_what_was_counted_before_is_not_counted(self, desk: Desk, call: Any) -> None:
        """A stored completion or a batch tells the usage of other calls."""
        stored = {"id": "it", "model": "gpt-4o", "choices": [], "usage": {**USAGE, **BILLED}}
        call(desk.open(stored))

        assert tokens(desk) == (None, None)
        assert semconv.COST_AMOUNT not in desk.attributes


class TestFetchedResponse:
    """`responses.retrieve` and `cancel`."""

    @pytest.mark.parametrize("method", ["retrieve", "cancel"])
    def test_has_identity_and_no_usage(self, desk: Desk, method: str) -> None:
        """Which reply it was, and how far it is; its tokens were counted when it was made."""
        getattr(desk.open(RESPONSE).responses, method)("resp_1")

        assert desk.span["name"] == "fetch_response"
        assert desk.attributes[semconv.RESPONSE_ID] == "resp_1"
        assert desk.attributes[semconv.RESPONSE_MODEL] == "gpt-4o-2024-08-06"
        assert desk.attributes[semconv.RESPONSE_STATUS] == "completed"
        assert tokens(desk) == (None, None)
        assert semconv.COST_AMOUNT not in desk.attributes
        assert [one["name"] for one in desk.metrics.points()] == [semconv.METRIC_OPERATION_DURATION]

    def test_may_be_streamed(self, desk: Desk) -> None:
        """An event that carries the reply tells which it is."""
        events = [
            {"type": "response.created", "sequence_number": 0, "response": RESPONSE},
            {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Hi"},
        ]
        list(desk.open(events).responses.retrieve("resp_1", stream=True))

        assert desk.attributes[semconv.RESPONSE_ID] == "resp_1"
        assert tokens(desk) == (None, None)
