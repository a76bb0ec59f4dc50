"""Scoring a backlog: one result a sample, in order, whatever happens to single ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.scoring.networks import LoadedModel, prepare
from cert_otel.scoring.prompts import Sample, encode
from cert_otel.scoring.scorer import TokenScorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scoring.reference import Reference

    from cert_otel.scoring.packing import Pack
    from cert_otel.scoring.scorer import Result

SYSTEM = {"role": "system", "content": "You answer questions about the weather. " * 3}
QUESTIONS = ("Is it raining?", "How warm is it in Rome today, in degrees?", "Wind?")
SAMPLES = [
    Sample(messages=(SYSTEM, {"role": "user", "content": question}), completion=answer)
    for question in QUESTIONS
    for answer in ("Yes.", "It is 21 degrees in Rome. Bring a hat! " * 4, "?")
]


@dataclass(frozen=True, slots=True)
class Starved(LoadedModel):
    """A model that runs out of memory beyond so many tokens."""

    tokens: int = 0
    problem: type[Exception] = torch.OutOfMemoryError
    reads: list[int] = field(default_factory=list)
    spare: LoadedModel | None = None

    def read(self, pack: Pack) -> torch.Tensor:
        """Read, or fail as torch does."""
        self.reads.append(len(pack.ids))
        if len(pack.ids) > self.tokens:
            raise self.problem("DefaultCPUAllocator: can't allocate memory")
        return LoadedModel.read(self, pack)


def starve(model: LoadedModel, tokens: int, **options: Any) -> Starved:
    """Make a model of little memory."""
    given = {part.name: getattr(model, part.name) for part in fields(LoadedModel)}
    return Starved(**given, tokens=tokens, **options)


def list_nll(results: list[Result]) -> list[list[float]]:
    """Return the nll of each token of each result."""
    assert all(result.tokens for result in results)
    return [result.tokens.nll.tolist() for result in results if result.tokens]


class TestScore:
    def test_reference(self, model: LoadedModel, refer: Callable[[str], Reference]) -> None:
        """Text in, figures out: those of the reference, for every answer."""
        results = TokenScorer(model).score(SAMPLES)

        for encoded, result in zip(encode(model.tokenizer, SAMPLES), results, strict=True):
            expected = refer("qwen2").score(encoded.ids, encoded.scored_from)
            assert result.tokens is not None
            assert result.score is not None
            np.testing.assert_allclose(result.tokens.nll, expected["nll"], atol=1e-5)
            assert result.score.perplexity == pytest.approx(math.exp(expected["nll"].mean()))
            assert (result.status, result.form, result.pieces) == ("scored", "chat", 1)
            assert len(result.offsets) == result.score.tokens

    @settings(max_examples=20, deadline=None)
    @given(st.permutations(range(len(SAMPLES))), st.integers(50, 3_000), st.booleans())
    def test_order(self, model: LoadedModel, order: list[int], budget: int, share: bool) -> None:
        """Results stand in the order of the samples, and order changes none of them."""
        expected = list_nll(TokenScorer(model, budget=1, share=False).score(SAMPLES))

        scorer = TokenScorer(model, budget=budget, share=share)
        found = list_nll(scorer.score([SAMPLES[index] for index in order]))

        for index, nll in zip(order, found, strict=True):
            np.testing.assert_allclose(nll, expected[index], atol=1e-5)

    def test_one_text_a_pass(
        self, load: Callable[[str], LoadedModel], refer: Callable[[str], Reference]
    ) -> None:
        """A model that cannot read packs is read text by text, with the same promises."""
        model = load("bloom")
        results = TokenScorer(model).score(SAMPLES)

        for encoded, nll in zip(encode(model.tokenizer, SAMPLES), list_nll(results), strict=True):
            expected = refer("bloom").score(encoded.ids, encoded.scored_from)
            np.testing.assert_allclose(nll, expected["nll"], atol=1e-5)

    def test_nothing(self, model: LoadedModel) -> None:
        """No samples, no results."""
        assert TokenScorer(model).score([]) == []

    def test_empty_completion(self, model: LoadedModel) -> None:
        """Nothing to score is a skip, beside others that are scored."""
        empty, other = TokenScorer(model).score([Sample(prompt="Hi", completion=""), SAMPLES[0]])

        assert (empty.status, empty.reason, empty.score) == ("skipped", "empty_completion", None)
        assert other.status == "scored"

    @pytest.mark.parametrize("completion", ["a", "<|end|>"])
    def test_one_token(self, model: LoadedModel, completion: str) -> None:
        """One token, the end token too, is scored from the last of the prompt."""
        (result,) = TokenScorer(model).score([Sample(prompt="Hi", completion=completion)])

        assert result.score is not None
        assert result.score.tokens == 1

    def test_broken_weights(self) -> None:
        """Figures that are no numbers are an error, not a score."""
        network = build_network("qwen2")
        with torch.no_grad():
            list(network.parameters())[1].fill_(torch.nan)
        model = prepare(network, build_tokenizer(), name="broken")

        (result,) = TokenScorer(model).score(SAMPLES[:1])

        assert (result.status, result.reason, result.score) == ("error", "not_finite", None)

    def test_a_sample_that_is_none(self, model: LoadedModel) -> None:
        """What the tokenizer does not take is one error; its neighbours are scored."""
        broken = Sample(prompt="Hi", completion=None)  # type: ignore[arg-type]  # the case

        first, second = TokenScorer(model).score([broken, SAMPLES[0]])

        assert first.status == "error"
        assert "AttributeError" in (first.reason or "")
        assert second.status == "scored"

    def test_onsets(self, model: LoadedModel) -> None:
        """The entropy at sentence starts, names and numbers is told apart."""
        (result,) = TokenScorer(model).score(
            [Sample(prompt="Hi", completion="it is Rome. we saw 3")]
        )

        assert result.score is not None
        assert result.tokens is not None
        onsets = [0, 6, 12, 19]
        assert result.score.onset_entropy == pytest.approx(result.tokens.entropy[onsets].max())


class TestContextGain:
    """What the context gave: the completion read with and without it."""

    PAGE = "Rome has 2.8 million people. "
    ASKED = "How many people has Rome?"

    def test_reference(self, model: LoadedModel, refer: Callable[[str], Reference]) -> None:
        """It is the difference of two readings by the reference, for prompts and for messages."""
        samples = [
            Sample(prompt=self.PAGE + self.ASKED, completion="Many.", context=self.PAGE),
            Sample(
                messages=(
                    {"role": "system", "parts": [{"type": "text", "content": self.PAGE}]},
                    {"role": "user", "content": self.ASKED},
                ),
                completion="2.8 million.",
                context=self.PAGE,
            ),
        ]
        bare = [
            Sample(prompt=self.ASKED, completion="Many."),
            Sample(
                messages=(
                    {"role": "system", "content": ""},
                    {"role": "user", "content": self.ASKED},
                ),
                completion="2.8 million.",
            ),
        ]
        results = TokenScorer(model).score(samples)

        for result, whole, rest in zip(
            results, encode(model.tokenizer, samples), encode(model.tokenizer, bare), strict=True
        ):
            with_it = refer("qwen2").score(whole.ids, whole.scored_from)["nll"].mean()
            without = refer("qwen2").score(rest.ids, rest.scored_from)["nll"].mean()
            assert result.score is not None
            assert result.score.context_gain == pytest.approx(without - with_it, abs=1e-5)

    def test_changes_nothing_else(self, model: LoadedModel) -> None:
        """The other figures are those of the answer read once; results stand in order."""
        plain = [*SAMPLES[:2], Sample(prompt=self.PAGE + self.ASKED, completion="Many.")]
        named = [*SAMPLES[:2], Sample(**_as_dict(plain[2]), context=self.PAGE)]

        once, twice = TokenScorer(model).score(plain), TokenScorer(model).score(named)

        assert [one.score and one.score.context_gain is None for one in twice] == [
            True,
            True,
            False,
        ]
        for one, other in zip(once, twice, strict=True):
            assert one.score is not None
            assert other.score is not None
            assert other.score.perplexity == pytest.approx(one.score.perplexity, rel=1e-5)

    @pytest.mark.parametrize("context", [None, "", "of another page"])
    def test_none_where_there_is_none(self, model: LoadedModel, context: str | None) -> None:
        """No context, or words that do not occur, cost no second reading."""
        starved = starve(model, 10**6)
        sample = Sample(prompt=self.ASKED, completion="Many.", context=context)

        (result,) = TokenScorer(starved, budget=1).score([sample])

        assert result.score is not None
        assert result.score.context_gain is None
        assert len(starved.reads) == 1

    def test_a_reading_that_was_not_done(self, model: LoadedModel) -> None:
        """The answer is scored, and there is no gain."""
        readings = count()
        scorer = TokenScorer(model, budget=1, share=False, clock=lambda: next(readings))
        sample = Sample(prompt=self.PAGE + self.ASKED, completion="Many.", context=self.PAGE)

        (result,) = scorer.score([sample], deadline=1)

        assert result.score is not None
        assert result.score.context_gain is None


def _as_dict(sample: Sample) -> dict[str, Any]:
    return {name: getattr(sample, name) for name in ("prompt", "completion")}


class TestLongTexts:
    def test_windows(self, model: LoadedModel, refer: Callable[[str], Reference]) -> None:
        """A text longer than the window takes several passes, which see half a window before."""
        sample = Sample(prompt="abc " * 40, completion="word " * 50)

        (result,) = TokenScorer(model, max_tokens=100).score([sample])
        (encoded,) = encode(model.tokenizer, [sample])

        assert result.tokens is not None
        assert len(result.tokens) == 250
        assert (result.pieces, result.cut_tokens) == (5, encoded.scored_from - 50)
        start = encoded.scored_from
        expected = refer("qwen2").score(encoded.ids[start - 50 : start + 50], 50)
        np.testing.assert_allclose(result.tokens.nll[:50], expected["nll"], atol=1e-5)

    def test_a_text_that_fits(self, model: LoadedModel) -> None:
        """A text as long as the window is not cut."""
        tokens = len(encode(model.tokenizer, SAMPLES[:1])[0].ids)

        (fits,) = TokenScorer(model, max_tokens=tokens).score(SAMPLES[:1])
        (cut,) = TokenScorer(model, max_tokens=tokens - 1).score(SAMPLES[:1])

        assert (fits.cut_tokens, cut.cut_tokens) == (0, 1)
        assert fits.status == cut.status == "scored"

    def test_the_window_of_the_model(self, model: LoadedModel) -> None:
        """No setting makes a model read more than it was made for."""
        assert TokenScorer(model, max_tokens=10**6).window == model.window == 8192


class TestMemory:
    @pytest.mark.parametrize("problem", [torch.OutOfMemoryError, MemoryError, RuntimeError])
    def test_halves(self, model: LoadedModel, problem: type[Exception]) -> None:
        """A pack that does not fit is read by halves, with the same figures."""
        longest = max(len(encoded.ids) for encoded in encode(model.tokenizer, SAMPLES))
        starved = starve(model, longest + 100, problem=problem)

        results = TokenScorer(starved, budget=5_000).score(SAMPLES)

        assert len(starved.reads) > 2
        for one, other in zip(
            list_nll(results), list_nll(TokenScorer(model).score(SAMPLES)), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-5)

    def test_a_text_too_large(self, model: LoadedModel) -> None:
        """What fits nowhere is an error of its own; the others are scored."""
        long = Sample(prompt="Hi", completion="word " * 200)

        first, second = TokenScorer(starve(model, 500)).score([long, SAMPLES[0]])

        assert (first.status, first.reason) == ("error", "out_of_memory")
        assert second.status == "scored"

    def test_the_cpu_takes_over(self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
        """One text that another device has no room for is read on the CPU."""
        starved = starve(model, 0)
        monkeypatch.setattr(Starved, "device", torch.device("mps"))
        monkeypatch.setattr(Starved, "on_cpu", lambda _: model)

        results = TokenScorer(starved).score(SAMPLES)

        assert {result.status for result in results} == {"scored"}

    def test_other_errors(self, model: LoadedModel) -> None:
        """An error that is not of memory is the caller's to see."""
        with pytest.raises(ZeroDivisionError):
            TokenScorer(starve(model, 0, problem=ZeroDivisionError)).score(SAMPLES)


class TestStop:
    def test_deadline(self, model: LoadedModel) -> None:
        """No pass begins after the deadline; what is done by then is kept."""
        readings = count()
        scorer = TokenScorer(model, budget=1, share=False, clock=lambda: next(readings))

        results = scorer.score(SAMPLES, deadline=4)

        reasons = [result.reason for result in results]
        assert reasons.count(None) == 4
        assert reasons.count("deadline") == len(SAMPLES) - 4
        assert {result.status for result in results} == {"scored", "skipped"}

    def test_cancelled(self, model: LoadedModel) -> None:
        """A cancelled backlog reads nothing more."""
        answers = iter([False, False, *[True] * 20])
        starved = starve(model, 10**6)

        results = TokenScorer(starved, budget=1, share=False).score(
            SAMPLES, is_cancelled=lambda: next(answers)
        )

        assert len(starved.reads) == 2
        assert [result.reason for result in results].count("cancelled") == len(SAMPLES) - 2
