"""Entailment models and span detectors: loading, reading in windows, and what comes of it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.evaluation.classifiers import build_random, build_reader, build_tokenizer, save
from transformers import BertConfig, BertModel

from cert_otel import config
from cert_otel.errors import ConfigError
from cert_otel.evaluation.nli import NLIEvaluator
from cert_otel.evaluation.sample import Sample
from cert_otel.records import ContextItem
from cert_otel.scoring.loading import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.evaluation.classifiers import Kind

FILLER = " ".join(f"w{number % 40}" for number in range(150))


def make_sample(answer: str, *context: str, question: str | None = None) -> Sample:
    items = tuple(ContextItem(text=text) for text in context)
    return Sample(answer=answer, context=items, question=question)


@pytest.fixture(scope="module")
def entailment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the sequence classifier that only `proof` convinces."""
    return save(build_reader("sequence"), tmp_path_factory.mktemp("entailment"))


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the token classifier that marks `wrong` where there is no `proof`."""
    return save(build_reader("token"), tmp_path_factory.mktemp("spans"))


class TestSequenceClassifiers:
    def test_entailed_or_not(self, entailment: Path) -> None:
        """The probability of the label of entailment is the score."""
        evaluator = NLIEvaluator(entailment)

        good, bad = evaluator.judge(
            [
                make_sample("the sky is blue .", "proof of it"),
                make_sample("the sky is blue .", "w1 w2 w3"),
            ]
        )

        assert (good.label, bad.label) == ("pass", "fail")
        assert good.score == pytest.approx(1, abs=0.01)
        assert bad.score == pytest.approx(0, abs=0.01)
        assert (good.evaluator, good.revision) == (
            str(entailment),
            f"nli-1 {fingerprint(entailment)}",
        )

    def test_the_least_supported_sentence_counts(self, entailment: Path) -> None:
        """One sentence without support fails the answer, and is its evidence."""
        answer = "proof w1 w2 w3. the sky is blue."

        [judgement] = NLIEvaluator(entailment).judge([make_sample(answer, "w4 w5")])

        assert judgement.label == "fail"
        assert [answer[one.start : one.end] for one in judgement.evidence] == ["the sky is blue."]
        assert judgement.evidence[0].finding == "missing"

    @pytest.mark.parametrize("position", [0, 74, 149])
    def test_long_contexts(self, entailment: Path, position: int) -> None:
        """What bears an answer out is found wherever it stands in a context of several windows."""
        words = FILLER.split()
        words[position] = "proof"

        [judgement] = NLIEvaluator(entailment).judge(
            [make_sample("the sky is blue .", " ".join(words))]
        )

        assert judgement.label == "pass"

    def test_long_hypotheses(self, entailment: Path) -> None:
        """A sentence that is longer than the window is judged in parts."""
        [judgement] = NLIEvaluator(entailment).judge([make_sample(FILLER, "proof")])

        assert judgement.label == "pass"

    def test_evidence_points_to_a_passage(self, entailment: Path) -> None:
        """Where the windows lie in one passage each, evidence says which was looked at."""
        [judgement] = NLIEvaluator(entailment).judge(
            [make_sample("the sky is blue .", FILLER, FILLER)]
        )

        [evidence] = judgement.evidence
        assert evidence.context_item in (0, 1)
        assert evidence.context_start is not None
        assert evidence.context_end is not None
        assert evidence.context_end - evidence.context_start < len(FILLER)

    def test_contradiction(self, tmp_path: Path) -> None:
        """Where the model has a label of contradiction, and gives it most, evidence says so."""
        names = {0: "contradiction", 1: "entailment", 2: "neutral"}
        folder = save(build_reader("sequence", labels=names), tmp_path)
        network = build_reader("sequence", labels=names)
        with torch.no_grad():
            network.get_parameter("classifier.bias").copy_(torch.tensor([5.0, -10.0, 0.0]))
        network.save_pretrained(folder)

        [judgement] = NLIEvaluator(folder).judge([make_sample("the sky is blue .", "w1")])

        assert [one.finding for one in judgement.evidence] == ["contradicted"]

    def test_a_template(self, entailment: Path) -> None:
        """With `{answer}` the template is the whole text, and braces in it are left alone."""
        template = "is the sky {context} ? {answer} it is"
        sample = make_sample("w1 {context}", "{answer} w2")

        [judgement] = NLIEvaluator(entailment, template=template).judge([sample])

        tokenizer = build_tokenizer()
        ids = tokenizer("is the sky {answer} w2 ? w1 {context} it is", return_tensors="pt")
        call: Any = build_reader("sequence")
        expected = call(**ids).logits.softmax(-1)[0, 1].item()
        assert judgement.score == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize(
        ("template", "problem"), [("{answer}", "has no {context}"), ("premise", "has no")]
    )
    def test_a_template_without_context(
        self, entailment: Path, template: str, problem: str
    ) -> None:
        """It would judge without looking."""
        with pytest.raises(ConfigError, match=problem):
            NLIEvaluator(entailment, template=template).judge([])


class TestTokenClassifiers:
    def test_spans(self, spans: Path) -> None:
        """Neighbouring tokens that are not supported are one span, with its characters."""
        answer = "it is wrong  wrong of the sky, wrong."

        [judgement] = NLIEvaluator(spans).judge([make_sample(answer, "w1 w2 .")])

        marked = [answer[one.start : one.end] for one in judgement.evidence]
        assert marked == ["wrong  wrong", "wrong"]
        assert {one.kind for one in judgement.evidence} == {"span"}
        assert judgement.label == "fail"

    def test_supported(self, spans: Path) -> None:
        """Without a marked token an answer passes, without evidence."""
        [judgement] = NLIEvaluator(spans).judge([make_sample("the sky is blue", "w1 w2 .")])

        assert (judgement.label, judgement.evidence) == ("pass", ())

    @pytest.mark.parametrize("position", [0, 149])
    def test_supported_by_any_window(self, spans: Path, position: int) -> None:
        """A token that one window of a long context supports is supported."""
        words = FILLER.split()
        words[position] = "proof"

        [judgement] = NLIEvaluator(spans).judge([make_sample("it is wrong", " ".join(words))])

        assert judgement.label == "pass"

    def test_long_answers(self, spans: Path) -> None:
        """An answer longer than the window is read in parts, and offsets are those of the whole."""
        answer = f"{FILLER} wrong {FILLER}"

        [judgement] = NLIEvaluator(spans).judge([make_sample(answer, "the sky")])

        [evidence] = judgement.evidence
        assert answer[evidence.start : evidence.end] == "wrong"
        assert evidence.start == len(FILLER) + 1

    def test_the_question_is_read(self, spans: Path) -> None:
        """It stands before the context."""
        [judgement] = NLIEvaluator(spans).judge(
            [make_sample("it is wrong", "w1", question="proof ?")]
        )

        assert judgement.label == "pass"

    def test_a_question_beyond_the_window(self, spans: Path) -> None:
        """Leaves no room for the context: skipped, and nothing is cut."""
        [judgement] = NLIEvaluator(spans).judge([make_sample("it is wrong", "w1", question=FILLER)])

        assert (judgement.score, judgement.reason) == (None, "question_too_long")

    def test_no_template_with_the_answer(self, spans: Path) -> None:
        """The answer's tokens must be told from the rest."""
        with pytest.raises(ConfigError, match=r"leave \{answer\} out"):
            NLIEvaluator(spans, template="{context} {answer}").judge([])


class TestArchitectures:
    """Scores are those of the model itself, whatever its family."""

    SAMPLES = (
        make_sample("the sky is blue of w1 w2", "w3 w4 the sky w5"),
        make_sample("it was w9 w8 w7 right", "w1 w2 w3 . w4 is right ."),
        make_sample("w7 w7 w7 w7 w7 wrong", "it is w39"),
    )

    @pytest.mark.parametrize("architecture", ["bert", "modernbert", "deberta-v2"])
    @pytest.mark.parametrize("kind", ["sequence", "token"])
    def test_padded_as_alone(self, architecture: str, kind: Kind, tmp_path: Path) -> None:
        """Batches of different lengths give what each pair gives alone, by transformers."""
        network = build_random(architecture, kind)
        evaluator = NLIEvaluator(save(network, tmp_path), offline=True)

        judgements = evaluator.judge(self.SAMPLES)

        for sample, judgement in zip(self.SAMPLES, judgements, strict=True):
            call: Any = network
            encoding = build_tokenizer()(sample.context[0].text, sample.answer, return_tensors="pt")
            with torch.inference_mode():
                p = call(**encoding).logits.softmax(-1)[0]
            answer = [place == 1 for place in encoding.sequence_ids(0)]
            expected = p[2] if kind == "sequence" else 1 - p[torch.tensor(answer), 1].max()
            assert judgement.score == pytest.approx(float(expected), abs=1e-5)

    @pytest.mark.parametrize(("architecture", "at_once"), [("bert", False), ("deberta-v2", True)])
    def test_a_wider_window(self, architecture: str, at_once: bool, tmp_path: Path) -> None:
        """`max_tokens` goes beyond the window of a model whose positions are relative."""
        network = build_random(architecture, "sequence")
        sample = make_sample("the sky is blue of w1 w2", FILLER)

        [judgement] = NLIEvaluator(save(network, tmp_path), max_tokens=500).judge([sample])

        call: Any = build_random("deberta-v2", "sequence")
        with torch.inference_mode():
            encoding = build_tokenizer()(FILLER, sample.answer, return_tensors="pt")
            whole = call(**encoding).logits.softmax(-1)[0, 2].item()
        assert (judgement.score == pytest.approx(whole, abs=1e-5)) == at_once

    def test_threads(self, entailment: Path) -> None:
        """Threads that share an evaluator get what one thread gets."""
        evaluator = NLIEvaluator(entailment)
        samples = [make_sample("the sky is blue .", f"{'proof ' * (n % 2)}w{n}") for n in range(12)]
        expected = [one.label for one in evaluator.judge(samples)]

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda one: evaluator.judge([one])[0].label, samples))

        assert found == expected


def rewrite(folder: Path, **changed: Any) -> Path:
    """Change fields of a model's config."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    return folder


class TestLoading:
    def test_no_model(self) -> None:
        """Without a name the first batch says which setting names one."""
        with pytest.raises(ConfigError, match="CERT_OTEL_NLI_MODEL: names no model"):
            NLIEvaluator().judge([])

    def test_settings(self, tmp_path: Path) -> None:
        """Model and label come from the settings where none is given."""
        folder = save(build_reader("sequence", labels={0: "LABEL_0", 1: "LABEL_1"}), tmp_path)
        config.configure(nli_model=str(folder), nli_label="label_1")

        [judgement] = NLIEvaluator().judge([make_sample("the sky is blue .", "proof")])

        assert judgement.label == "pass"

    def test_labels_that_say_nothing(self, tmp_path: Path) -> None:
        """A model whose labels do not say which is entailment is refused, with its labels."""
        folder = save(build_reader("sequence", labels={0: "LABEL_0", 1: "LABEL_1"}), tmp_path)

        with pytest.raises(
            ConfigError, match=r"has no label of entailment; its labels are LABEL_0, LABEL_1"
        ):
            NLIEvaluator(folder).judge([])

    def test_a_label_that_is_not_there(self, entailment: Path) -> None:
        """A label that was named wrongly is named."""
        with pytest.raises(ConfigError, match=r"'yes' is not one label of .*not_entailment, ent"):
            NLIEvaluator(entailment, label="yes").judge([])

    def test_the_order_of_labels_is_read(self, tmp_path: Path) -> None:
        """Entailment may be any of them."""
        folder = save(build_reader("sequence", labels={0: "entailment", 1: "other"}), tmp_path)

        [judgement] = NLIEvaluator(folder).judge([make_sample("the sky is blue .", "proof")])

        assert judgement.label == "fail"

    def test_no_head(self, tmp_path: Path) -> None:
        """A base model, of which the head would be random, is refused."""
        shape = BertConfig(num_hidden_layers=1, num_attention_heads=2, hidden_size=16)
        folder = save(BertModel(shape), tmp_path)

        with pytest.raises(ConfigError, match="has no classification head"):
            NLIEvaluator(folder).judge([])

    def test_a_head_without_weights(self, tmp_path: Path) -> None:
        """A head that is announced and not there is refused."""
        base: Any = build_reader("sequence").base_model
        folder = save(base, tmp_path)
        rewrite(
            folder,
            architectures=["BertForSequenceClassification"],
            id2label={"0": "other", "1": "entailment"},
        )

        with pytest.raises(ConfigError, match="2 weights are missing, classifier"):
            NLIEvaluator(folder).judge([])

    def test_no_such_model(self) -> None:
        """As with scoring models, an error says what to do."""
        with pytest.raises(ConfigError, match="no such folder"):
            NLIEvaluator("/none/here").judge([])
        with pytest.raises(ConfigError, match="offline was asked for"):
            NLIEvaluator("cert-otel-tests/none", offline=True).judge([])


OWN = """
from transformers import PretrainedConfig, PreTrainedModel, BertConfig, BertForSequenceClassification

class OwnConfig(PretrainedConfig):
    model_type = "own"
    prompt = "it is {text1} ? {text2}"

class OwnForSequenceClassification(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        inner = BertConfig(**config.inner)
        self.inner = BertForSequenceClassification(inner)
        self.post_init()

    def forward(self, **arguments):
        return self.inner(**arguments)
"""


class TestRemoteCode:
    """HHEM's kind: a model with code of its own, a prompt in its config, another's tokenizer."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Return a folder with code, which transformers copies to run it."""
        from transformers import dynamic_module_utils  # noqa: PLC0415 - beside its only use

        monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
        monkeypatch.syspath_prepend(str(tmp_path / "modules"))
        network = build_reader("sequence", labels={0: "hallucinated", 1: "consistent"})
        tokenizer = tmp_path / "foundation"
        build_tokenizer().save_pretrained(tokenizer)
        folder = tmp_path / "own-model"
        folder.mkdir()
        (folder / "own.py").write_text(OWN)
        (folder / "config.json").write_text(
            json.dumps(
                {
                    "model_type": "own",
                    "architectures": ["OwnForSequenceClassification"],
                    "auto_map": {
                        "AutoConfig": "own.OwnConfig",
                        "AutoModelForSequenceClassification": "own.OwnForSequenceClassification",
                    },
                    "foundation": str(tokenizer),
                    "id2label": {"0": "hallucinated", "1": "consistent"},
                    "inner": network.config.to_dict(),
                }
            )
        )
        weights = {f"inner.{name}": tensor for name, tensor in network.state_dict().items()}
        torch.save(weights, folder / "pytorch_model.bin")
        return folder

    def test_is_not_run(self, folder: Path) -> None:
        """Unless the model is allowed by its name."""
        for allowed in ((), ("another/model",)):
            with pytest.raises(ConfigError, match="comes with code of its own, which was not run"):
                NLIEvaluator(folder, allow_remote_code=allowed).judge([])

    def test_is_run_where_allowed(self, folder: Path) -> None:
        """Prompt and tokenizer come from the model's configuration."""
        evaluator = NLIEvaluator(folder, allow_remote_code=(str(folder),))

        good, bad = evaluator.judge(
            [
                make_sample("the sky is blue .", "proof"),
                make_sample("the sky is blue .", "w1"),
            ]
        )

        assert (good.label, bad.label) == ("pass", "fail")
