"""Embeddings, images, speech and transcriptions as the fake provider sends them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from openai.types import CreateEmbeddingResponse, ImagesResponse
from openai.types.audio import Transcription, TranscriptionVerbose

from cert_otel.testing import Reply
from cert_otel.testing._media import embed

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

_WAVE = ("a.wav", bytes(64_000))


class TestEmbed:
    @given(st.text(), st.integers(min_value=1, max_value=64))
    def test_has_length_one(self, text: str, dimensions: int) -> None:
        """Every text has a direction, the empty one too."""
        assert math.isclose(1.0, math.hypot(*embed(text, dimensions)))

    def test_shared_words_bring_texts_closer(self) -> None:
        """Likeness can be told in a test that searches."""
        ski, skis, tea = (embed(text, 256) for text in ("my ski", "the ski", "green tea"))

        assert math.dist(ski, skis) < math.dist(ski, tea)


class TestEmbeddings:
    def test_body_is_the_providers(self, ask: Callable[..., Any]) -> None:
        """Floats, one vector for each input, and usage without completion tokens."""
        asked = {"model": "text-embedding-3-small", "input": ["a", "b c"], "dimensions": 2}
        body = ask("/v1/embeddings", asked)

        assert CreateEmbeddingResponse.model_validate(body).model_extra == {}
        assert [item["index"] for item in body["data"]] == [0, 1]
        assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}

    @pytest.mark.parametrize(
        ("model", "size"), [("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072)]
    )
    def test_base64_and_floats_are_the_same(
        self, connect: Callable[..., OpenAI], model: str, size: int
    ) -> None:
        """The SDK asks for base64 and decodes it."""
        client = connect()
        packed = client.embeddings.create(model=model, input="a b").data[0].embedding
        plain = client.embeddings.create(model=model, input="a b", encoding_format="float")

        assert packed == pytest.approx(plain.data[0].embedding)
        assert len(packed) == size

    def test_token_ids_are_one_input(self, connect: Callable[..., OpenAI]) -> None:
        """Usage is scripted or counted."""
        client = connect("", Reply(usage={"prompt_tokens": 9, "total_tokens": 9}))
        counted = client.embeddings.create(model="m", input=[1, 2, 3])
        scripted = client.embeddings.create(model="m", input=[[1], [2]])

        assert (len(counted.data), counted.usage.total_tokens) == (1, 3)
        assert (len(scripted.data), scripted.usage.total_tokens) == (2, 9)

    def test_usage_can_be_withheld(self, ask: Callable[..., Any]) -> None:
        """Servers that send none are scripted."""
        assert "usage" not in ask("/v1/embeddings", {"input": "a"}, Reply(send_usage=False))


class TestImages:
    def test_gpt_image_bills_tokens(self, ask: Callable[..., Any]) -> None:
        """The answer holds the image, what it was made with, and usage."""
        asked = {"model": "gpt-image-1", "prompt": "a red ski", "n": 2, "quality": "low"}
        body = ask("/v1/images/generations", asked | {"size": "auto"})

        assert ImagesResponse.model_validate(body).model_extra == {}
        assert (body["quality"], body["size"], len(body["data"])) == ("low", "1024x1024", 2)
        assert body["usage"] == snapshot(
            {
                "input_tokens": 3,
                "input_tokens_details": {"text_tokens": 3, "image_tokens": 0},
                "output_tokens": 544,
                "output_tokens_details": {"text_tokens": 0, "image_tokens": 544},
                "total_tokens": 547,
            }
        )

    def test_usage_is_scripted(self, ask: Callable[..., Any]) -> None:
        """Exactly, or not at all."""
        asked = {"model": "gpt-image-1", "prompt": "a"}
        path, usage = "/v1/images/generations", {"total_tokens": 1}

        assert ask(path, asked, Reply(usage=usage))["usage"] == usage
        assert "usage" not in ask(path, asked, Reply(send_usage=False))

    def test_dall_e_bills_images(self, connect: Callable[..., OpenAI]) -> None:
        """A link and a revised prompt, and no usage."""
        answer = connect("A ski.").images.generate(model="dall-e-3", prompt="ski")

        assert answer.usage is None
        assert answer.data is not None
        assert answer.data[0].revised_prompt == "A ski."

    def test_streams_partial_images(self, connect: Callable[..., OpenAI]) -> None:
        """Usage comes with the last event."""
        client = connect()
        options: Any = {"model": "gpt-image-1", "prompt": "ski", "stream": True}

        events = list(client.images.generate(**options, partial_images=2))

        assert [event.type.removeprefix("image_generation.") for event in events] == [
            "partial_image",
            "partial_image",
            "completed",
        ]
        assert events[-1].usage.total_tokens == 4161
        assert len(list(client.images.generate(**options))) == 1


class TestSpeech:
    @pytest.mark.parametrize(("kind", "header"), [("mp3", "audio/mpeg"), ("wav", "audio/wav")])
    def test_is_bytes(self, connect: Callable[..., OpenAI], kind: Any, header: str) -> None:
        """A longer text is a longer sound."""
        speech = connect().audio.speech
        short = speech.create(model="tts-1", voice="alloy", input="Hi", response_format=kind)
        long = speech.create(model="tts-1", voice="alloy", input="Hi you", response_format=kind)

        assert short.response.headers["content-type"] == header
        assert 0 < len(short.content) < len(long.content)


class TestTranscription:
    def test_tokens_are_billed(self, connect: Callable[..., OpenAI]) -> None:
        """Ten tokens a second of sound, the prompt's, and the text's."""
        answer = connect("Good day.").audio.transcriptions.create(
            model="gpt-4o-transcribe", file=_WAVE, prompt="Skis", include=["logprobs"]
        )

        assert isinstance(answer, Transcription)
        assert [entry.token for entry in answer.logprobs or ()] == ["Good", " day", "."]
        assert answer.usage is not None
        assert answer.usage.model_dump() == snapshot(
            {
                "input_tokens": 21,
                "output_tokens": 3,
                "total_tokens": 24,
                "type": "tokens",
                "input_token_details": {"audio_tokens": 20, "text_tokens": 1},
            }
        )

    def test_whisper_bills_seconds(self, connect: Callable[..., OpenAI]) -> None:
        """The length of the file is the length of the sound."""
        answer = connect("Good day.").audio.transcriptions.create(
            model="whisper-1", file=_WAVE, response_format="verbose_json"
        )

        assert isinstance(answer, TranscriptionVerbose)
        assert answer.usage is not None
        assert (answer.duration, answer.usage.seconds) == (2.0, 2.0)

    @pytest.mark.parametrize("kind", ["text", "srt", "vtt"])
    def test_plain_formats_are_text(self, connect: Callable[..., OpenAI], kind: Any) -> None:
        """Neither JSON nor usage."""
        answer = connect("Good day.").audio.transcriptions.create(
            model="whisper-1", file=_WAVE, response_format=kind
        )

        assert answer == "Good day.\n"

    def test_streams_text(self, connect: Callable[..., OpenAI]) -> None:
        """The last event holds the text and its usage."""
        events = list(
            connect("Good day.").audio.transcriptions.create(
                model="gpt-4o-transcribe", file=_WAVE, stream=True
            )
        )
        last = events[-1]

        assert [event.type for event in events[:-1]] == ["transcript.text.delta"] * 3
        assert last.type == "transcript.text.done"
        assert (last.text, last.usage and last.usage.total_tokens) == ("Good day.", 23)

    def test_usage_is_scripted(self, connect: Callable[..., OpenAI]) -> None:
        """Exactly, or not at all."""
        usage = {"type": "duration", "seconds": 7}
        create = connect(
            Reply("a", usage=usage), Reply("a", send_usage=False)
        ).audio.transcriptions.create

        scripted, none = (create(model="whisper-1", file=_WAVE) for _ in range(2))

        assert isinstance(scripted, Transcription)
        assert isinstance(none, Transcription)
        assert (scripted.usage and scripted.usage.type, none.usage) == ("duration", None)
