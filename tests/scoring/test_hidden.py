"""Step embeddings from the scoring model's own states, out of the pass that scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.reference import Reference, build_tokenizer

from cert_otel.scoring.networks import prepare
from cert_otel.scoring.phase_space import measure_trajectory
from cert_otel.scoring.prompts import Sample
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cert_otel.scoring.hidden import StepVectors
    from cert_otel.scoring.networks import LoadedModel

QUESTION: Final = "Why is the sky as blue as it is?"
STEPS: Final = (
    "Sunlight has all the colours. ",
    "Air scatters most the short waves. ",
    "So blue reaches us from all sides.",
)
SYSTEM: Final = "You are asked about the weather, and answer in few words, or in none at all. "


def ask(question: str = QUESTION, steps: tuple[str, ...] = STEPS, system: str = "") -> Sample:
    """Make a sample of a question and its answer."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    return Sample(completion="".join(steps), messages=tuple(messages))


def read_alone(refer: Reference, sample: Sample) -> dict[str, NDArray[np.float64]]:
    """Average the states of the model, in double precision, over each text's own bytes."""
    before = "".join(f"<|{one['role']}|>{one['content']}<|end|>" for one in sample.messages)
    tokenizer = build_tokenizer()
    ids = tokenizer(before + "<|assistant|>" + sample.completion)["input_ids"]
    network: Any = refer.network.base_model
    with torch.no_grad():
        states = network(torch.tensor([ids]), use_cache=False).last_hidden_state[0].numpy()
    # A token is a byte, but for the special ones: text ends where its tokens end.
    size = len(str(sample.messages[-1]["content"]).encode())
    end = len(ids) - len(sample.completion.encode()) - 2
    parts = {"question": states[end - size : end].mean(0)}
    start = end + 2
    for number, step in enumerate(STEPS):
        parts[f"step {number}"] = states[start : start + len(step)].mean(0)
        start += len(step)
    return {name: mean / np.linalg.norm(mean) for name, mean in parts.items()}


def get_vectors(scorer: TokenScorer, sample: Sample) -> StepVectors:
    """Score one sample."""
    (result,) = scorer.score([sample])
    assert result.vectors is not None
    return result.vectors


class TestVectors:
    """Unit vectors of the question and of each step."""

    @pytest.mark.parametrize("name", ["qwen2", "gpt2", "gemma2", "bloom"])
    @pytest.mark.parametrize("system", ["", SYSTEM])
    def test_are_means_of_the_last_states(
        self,
        name: str,
        system: str,
        load: Callable[[str], LoadedModel],
        refer: Callable[[str], Reference],
    ) -> None:
        """They equal those of the same text read alone, in double precision."""
        sample = ask(system=system)

        vectors = get_vectors(TokenScorer(load(name), embed_steps=True), sample)

        expected = list(read_alone(refer(name), sample).values())
        np.testing.assert_allclose([vectors.question, *vectors.steps], expected, atol=1e-5)

    @settings(max_examples=15, deadline=None)
    @given(st.permutations(range(5)), st.integers(60, 2_000), st.booleans())
    def test_neighbours_change_nothing(
        self, model: LoadedModel, order: list[int], budget: int, share: bool
    ) -> None:
        """Packed in any order, with beginnings shared or not, they are those of one text alone."""
        samples = [ask(f"{QUESTION} {n}", STEPS[: n % 3 + 1], SYSTEM) for n in range(5)]
        alone = TokenScorer(model, budget=1, share=False, embed_steps=True)
        expected = [get_vectors(alone, sample) for sample in samples]

        packed = TokenScorer(model, budget=budget, share=share, embed_steps=True)
        results = packed.score([samples[index] for index in order])

        for index, result in zip(order, results, strict=True):
            assert result.vectors is not None
            np.testing.assert_allclose(result.vectors.steps, expected[index].steps, atol=1e-5)
            np.testing.assert_allclose(result.vectors.question, expected[index].question, atol=1e-5)

    def test_take_no_second_pass(self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
        """The model reads as often as without them, and the figures are the same."""
        passes = []
        forward = type(model.network.base_model).forward

        def count(self: Any, *arguments: Any, **named: Any) -> Any:
            passes.append(1)
            return forward(self, *arguments, **named)

        monkeypatch.setattr(type(model.network.base_model), "forward", count)
        (plain,) = TokenScorer(model).score([ask()])
        (embedded,) = TokenScorer(model, embed_steps=True).score([ask()])

        assert len(passes) == 2
        assert plain.vectors is None
        assert plain.score == embedded.score

    def test_of_a_text_longer_than_the_window(self, model: LoadedModel) -> None:
        """Each token counts once, as it was when it was scored."""
        sample = Sample(prompt=QUESTION, completion=" ".join(STEPS * 3))
        one = TokenScorer(model, embed_steps=True)
        cut = TokenScorer(model, embed_steps=True, max_tokens=200)

        (whole,), (pieces,) = one.score([sample]), cut.score([sample])

        assert (whole.pieces, pieces.pieces) == (1, 3)
        assert whole.vectors is not None
        assert pieces.vectors is not None
        # The first windows are the same; later ones have lost what stands far before.
        assert len(pieces.vectors.steps) == len(whole.vectors.steps) == 9
        np.testing.assert_allclose(pieces.vectors.steps[:2], whole.vectors.steps[:2], atol=1e-5)
        assert np.abs(pieces.vectors.steps[-1] - whole.vectors.steps[-1]).max() > 1e-3

    def test_the_last_user_message_is_the_question(self, model: LoadedModel) -> None:
        """Where it stands in the prompt, and not where its words were said before."""
        first = {"role": "user", "content": QUESTION}
        said = {"role": "assistant", "content": "Who knows?"}
        scorer = TokenScorer(model, embed_steps=True)

        again = get_vectors(scorer, Sample(completion=STEPS[0], messages=(first, said, first)))
        once = get_vectors(scorer, Sample(completion=STEPS[0], messages=(first,)))

        assert np.abs(again.question - once.question).max() > 1e-3

    @pytest.mark.parametrize("template", ["auto", "none"])
    def test_without_a_question(self, model: LoadedModel, template: Any) -> None:
        """An answer that nothing stands before has no path."""
        samples = [
            Sample(completion=STEPS[0], template=template),
            Sample(prompt="", completion=STEPS[0], template=template),
            Sample(prompt=QUESTION, completion="", template=template),
        ]

        results = TokenScorer(model, embed_steps=True).score(samples)

        assert [result.vectors for result in results] == [None, None, None]

    def test_joined_as_they_are(self, model: LoadedModel) -> None:
        """Without the chat template the prompt is the question."""
        sample = Sample(prompt=QUESTION, completion="".join(STEPS), template="none")

        vectors = get_vectors(TokenScorer(model, embed_steps=True), sample)

        assert vectors.steps.shape == (3, 64)

    def test_a_question_that_does_not_fit(self, model: LoadedModel) -> None:
        """A question of which the window shows a part is none."""
        sample = Sample(prompt=QUESTION * 9, completion="".join(STEPS))

        (result,) = TokenScorer(model, embed_steps=True, max_tokens=200).score([sample])

        assert result.status == "scored"
        assert result.vectors is None

    def test_of_broken_weights(self, load: Callable[[str], LoadedModel]) -> None:
        """States that are no numbers are an error of the whole result."""
        import copy  # noqa: PLC0415 - beside its only use

        network = copy.deepcopy(load("llama").network)
        with torch.no_grad():
            list(network.parameters())[1].fill_(torch.nan)
        model = prepare(network, build_tokenizer(), name="broken")

        (result,) = TokenScorer(model, embed_steps=True).score([ask()])

        assert (result.status, result.reason, result.vectors) == ("error", "not_finite", None)


class TestMeasure:
    """The path through phase space."""

    def test_is_that_of_the_vectors(self, model: LoadedModel) -> None:
        """As of any embedder."""
        vectors = get_vectors(TokenScorer(model, embed_steps=True), ask())

        assert vectors.measure() == measure_trajectory(vectors.question, vectors.steps)
        assert vectors.measure().steps == 3
