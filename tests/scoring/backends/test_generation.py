"""Writing answers, and stopping to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.scoring import attention
from cert_otel.scoring.backends.generation import BATCH, Stop, generate
from cert_otel.scoring.networks import LoadedModel, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scoring.reference import Reference


def tick() -> Callable[[], float]:
    """Return a clock on which a second passes at each look."""
    seconds = iter(range(10_000))
    return lambda: float(next(seconds))


@pytest.fixture(scope="module")
def endless() -> LoadedModel:
    """Return a model that never ends an answer of its own accord."""
    network = build_network("qwen2")
    network.generation_config.eos_token_id = None
    return prepare(network, build_tokenizer(), name="endless")


class TestGenerate:
    def test_takes_the_likeliest(
        self, endless: LoadedModel, refer: Callable[[str], Reference]
    ) -> None:
        """At temperature 0 it writes, token by token, the model's first choice."""
        tokenizer = endless.tokenizer
        prompt = "<|user|>Hi<|end|><|assistant|>"
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        begin = len(ids)
        for _ in range(8):
            ids.append(int(refer("qwen2").read(np.asarray(ids))[-1].argmax()))

        (written,) = generate(
            endless, ["Hi"], max_new_tokens=8, temperature=0, stop=Stop(deadline=None)
        )

        assert written.text == tokenizer.decode(ids[begin:], skip_special_tokens=True)
        assert (written.tokens, written.reason) == (8, None)

    def test_writes_together_what_it_writes_alone(self, endless: LoadedModel) -> None:
        """Prompts of any length, in more than one batch, do not change each other."""
        prompts = ["Hi " * n for n in range(1, BATCH + 3)]

        def write(some: list[str]) -> list[str | None]:
            stop = Stop(deadline=None)
            return [
                one.text
                for one in generate(endless, some, max_new_tokens=6, temperature=0, stop=stop)
            ]

        assert write(prompts) == [text for prompt in prompts for text in write([prompt])]

    def test_leaves_the_model_as_it_was(self, endless: LoadedModel) -> None:
        """After writing it scores by our attention again."""
        generate(endless, ["Hi"], max_new_tokens=2, temperature=0, stop=Stop(deadline=None))

        assert endless.network.config._attn_implementation == attention.NAME

    def test_ends_where_the_model_ends(self, endless: LoadedModel) -> None:
        """An end token ends the answer and is no part of it."""
        network = build_network("qwen2")
        (written,) = generate(
            endless, ["Hi"], max_new_tokens=8, temperature=0, stop=Stop(deadline=None)
        )
        tokens = endless.tokenizer(written.text or "", add_special_tokens=False)["input_ids"]
        network.generation_config.eos_token_id = [tokens[2]]
        ending = prepare(network, build_tokenizer(), name="ending")

        (ended,) = generate(
            ending, ["Hi"], max_new_tokens=8, temperature=0, stop=Stop(deadline=None)
        )

        assert ended.tokens == tokens.index(tokens[2])

    def test_refuses_what_does_not_fit(self, endless: LoadedModel) -> None:
        """A prompt that leaves no room for the answer is not written to; its neighbour is."""
        long, short = generate(
            endless,
            ["x" * 8_190, "x"],
            max_new_tokens=4,
            temperature=0,
            stop=Stop(deadline=None),
        )

        assert (long.reason, long.limit) == ("prompt_too_long", endless.window - 4)
        assert short.reason is None


class TestStop:
    def test_ends_generation_at_the_deadline(self, endless: LoadedModel) -> None:
        """Looked at after each token, it ends generation at the first that is late."""
        stop = Stop(5.0, clock=tick())

        (written,) = generate(endless, ["Hi"], max_new_tokens=4_000, temperature=0, stop=stop)

        assert (written.text, written.reason, written.tokens) == (None, "deadline", 5)

    def test_ends_generation_when_cancelled(self, endless: LoadedModel) -> None:
        """The same where somebody has cancelled."""
        looks = iter([False, False, False, True])
        stop = Stop(None, is_cancelled=lambda: next(looks))

        (written,) = generate(endless, ["Hi"], max_new_tokens=4_000, temperature=0, stop=stop)

        assert (written.reason, written.tokens) == ("cancelled", 3)

    def test_leaves_the_rest_unwritten(self, endless: LoadedModel) -> None:
        """Batches after the deadline are not begun."""
        stop = Stop(3.0, clock=tick())

        written = generate(
            endless, ["Hi"] * (BATCH + 1), max_new_tokens=4_000, temperature=0, stop=stop
        )

        assert [one.tokens for one in written] == [3] * BATCH + [0]
        assert {one.reason for one in written} == {"deadline"}

    def test_memory(self, endless: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
        """Out of memory, the batch is halved; a single prompt that does not fit is its own result."""
        whole: Any = endless.network.generate

        def run_out(ids: torch.Tensor, **settings: object) -> object:
            if len(ids) > 1 or ids.shape[1] > 40:
                raise torch.OutOfMemoryError
            return whole(ids, **settings)

        monkeypatch.setattr(endless.network, "generate", run_out)

        written = generate(
            endless,
            ["a", "b", "c" * 60],
            max_new_tokens=3,
            temperature=0,
            stop=Stop(deadline=None),
        )

        assert [one.reason for one in written] == [None, None, "out_of_memory"]
