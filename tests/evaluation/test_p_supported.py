"""Yes against No of a causal model, read at one position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.scoring.reference import Reference, build_network, build_tokenizer

from cert_otel import config
from cert_otel.errors import ConfigError
from cert_otel.evaluation.p_supported import PSupportedEvaluator
from cert_otel.evaluation.prompts import load_prompt, make_code
from cert_otel.evaluation.sample import Sample
from cert_otel.records import ContextItem
from cert_otel.scoring import defaults
from cert_otel.scoring.networks import LoadedModel, prepare

if TYPE_CHECKING:
    from pathlib import Path

ROME = "Rome is the capital of Italy. It has 2.8 million inhabitants."


def make_sample(answer: str, *context: str, question: str | None = None) -> Sample:
    items = tuple(ContextItem(text=text) for text in context)
    return Sample(answer=answer, context=items, question=question)


def make_model(*, template: bool = True, network: str = "qwen2") -> LoadedModel:
    tokenizer = build_tokenizer() if template else build_tokenizer(template=None)
    return prepare(build_network(network), tokenizer, name="tiny", revision="r1")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    """Return a small model with random weights, the same each time."""
    return make_model()


def fill(sample: Sample, context: str) -> str:
    prompt = load_prompt("supported-1")
    question = sample.question or "(none)"
    return prompt.fill(
        {
            "context": context,
            "question": question,
            "answer": sample.answer,
            "context_code": make_code(prompt, context),
            "code": make_code(prompt, context, question, sample.answer),
        }
    )


def define(text: str, *, template: bool = True) -> float:
    """Compute the figure by its definition, in float64, from one text alone."""
    tokenizer = build_tokenizer()
    if template:
        message = [{"role": "user", "content": text + "\n"}]
        text = str(
            tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        )
    else:
        text = text + "\n"
    ids = np.asarray(tokenizer(text, add_special_tokens=False)["input_ids"])
    logits = Reference(build_network("qwen2")).read(ids)[-1]
    # The tokenizer is one of bytes: Y and y against N and n; the space says nothing.
    vocabulary = tokenizer.get_vocab()
    yes = np.logaddexp(logits[vocabulary["Y"]], logits[vocabulary["y"]])
    no = np.logaddexp(logits[vocabulary["N"]], logits[vocabulary["n"]])
    return float(1 / (1 + np.exp(no - yes)))


SAMPLES = (
    make_sample("Rome is in Italy.", ROME, question="Where is Rome?"),
    make_sample("It has 3 inhabitants.", ROME, question="Where is Rome?"),
    make_sample("Yes.", "A short context."),
)


class TestScore:
    def test_is_yes_against_no(self, model: LoadedModel) -> None:
        """Packed together, each sample has what it has alone by the definition."""
        judgements = PSupportedEvaluator(model).judge(SAMPLES)

        for sample, judgement in zip(SAMPLES, judgements, strict=True):
            expected = define(fill(sample, sample.context[0].text))
            assert judgement.score == pytest.approx(expected, abs=1e-5)
            assert judgement.label == ("pass" if expected >= 0.5 else "fail")

    def test_without_a_chat_template(self) -> None:
        """The prompt is read as it is."""
        [judgement] = PSupportedEvaluator(make_model(template=False)).judge(SAMPLES[:1])

        expected = define(fill(SAMPLES[0], ROME), template=False)
        assert judgement.score == pytest.approx(expected, abs=1e-5)

    def test_one_text_at_a_time(self) -> None:
        """A model that cannot read packs gives a score to each as well."""
        evaluator = PSupportedEvaluator(make_model(network="bloom"))

        together = evaluator.judge(SAMPLES)

        alone = [evaluator.judge([one])[0] for one in SAMPLES]
        assert [one.score for one in together] == pytest.approx([one.score for one in alone])

    def test_names_model_and_prompt(self, model: LoadedModel) -> None:
        """Another wording or another state of the model is another revision."""
        [judgement] = PSupportedEvaluator(model).judge(SAMPLES[:1])

        prompt = load_prompt("supported-1")
        assert judgement.evaluator == "tiny"
        assert judgement.revision == f"supported-1 {prompt.hash} r1"

    def test_broken_weights(self) -> None:
        """What is no number is no score."""
        network = build_network("qwen2")
        with torch.no_grad():
            network.get_output_embeddings().weight.fill_(float("nan"))
        broken = prepare(network, build_tokenizer(), name="broken")

        [judgement] = PSupportedEvaluator(broken).judge(SAMPLES[:1])

        assert (judgement.score, judgement.reason) == (None, "not_finite")


class TestWindows:
    def test_the_best_window_counts(self, model: LoadedModel) -> None:
        """A context beyond the window is read in several, none longer than allowed."""
        long = " ".join(f"Fact number {number} is this." for number in range(50))
        sample = make_sample("Rome is in Italy.", long)
        message = [{"role": "user", "content": fill(sample, "")}]
        frame = len(
            build_tokenizer().apply_chat_template(
                message, add_generation_prompt=True, return_dict=False
            )
        )

        [judgement] = PSupportedEvaluator(model, max_tokens=frame + 400).judge([sample])

        room = 400 - 1 - 1 - 8  # the answer's token, the line break, the slack
        begins = [*range(0, len(long) - room, room - room // 4), len(long) - room]
        # Tokens are bytes here, so that windows can be cut by hand.
        windows = [define(fill(sample, long[begin : begin + room])) for begin in begins]
        assert judgement.score == pytest.approx(max(windows), abs=1e-5)
        assert len(windows) > 3

    def test_an_answer_beyond_the_window(self, model: LoadedModel) -> None:
        """Is skipped, not cut."""
        sample = make_sample("word " * 2000, ROME)

        [judgement] = PSupportedEvaluator(model, max_tokens=2048).judge([sample])

        assert (judgement.score, judgement.reason) == (None, "longer_than_window")


class TestModel:
    @pytest.mark.parametrize("given", [None, "cert-otel-reference"])
    def test_the_reference_model_is_refused(self, given: str | None) -> None:
        """By name, and by the settings."""
        if given is None:
            config.configure(scorer_model="cert-otel-reference")

        with pytest.raises(ConfigError, match="reference model is too small to judge"):
            PSupportedEvaluator(given, offline=True).judge([])

    def test_the_reference_model_is_no_way_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nor where no other is to be had."""
        monkeypatch.setattr(defaults, "ON_CPU", "cert-otel-tests/none")

        with pytest.raises(ConfigError, match="reference model is too small to judge"):
            PSupportedEvaluator(offline=True, device="cpu").judge([])

    def test_a_folder(self, tmp_path: Path) -> None:
        """A model is loaded from a folder, and its fingerprint is in the revision."""
        build_network("qwen2").save_pretrained(tmp_path)
        build_tokenizer().save_pretrained(tmp_path)

        [judgement] = PSupportedEvaluator(tmp_path, offline=True, device="cpu").judge(SAMPLES[:1])

        assert judgement.score is not None
        assert "sha256:" in (judgement.revision or "")

    def test_missing(self) -> None:
        """A model that is not there is an error of the first batch."""
        with pytest.raises(ConfigError, match="no such folder"):
            PSupportedEvaluator("/none/here").judge([])
