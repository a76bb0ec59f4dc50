"""What every evaluator keeps to, whatever it measures: the contract of `sample.py`."""

from __future__ import annotations

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from tests.evaluation.classifiers import build_reader, save
from tests.evaluation.judge_server import JudgeServer, reply, serve
from tests.scoring.reference import build_network, build_tokenizer

from cert_otel.evaluation.exact import ExactEvaluator
from cert_otel.evaluation.grounding import GroundingEvaluator
from cert_otel.evaluation.judge import JudgeEvaluator
from cert_otel.evaluation.nli import NLIEvaluator
from cert_otel.evaluation.p_supported import PSupportedEvaluator
from cert_otel.evaluation.sample import Sample, SampleEvaluator
from cert_otel.evaluation.semantic import SemanticEvaluator
from cert_otel.evaluation.trajectory import TrajectoryEvaluator
from cert_otel.records import ContextItem, Trajectory
from cert_otel.scoring.calibration import fit_calibration
from cert_otel.scoring.networks import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USUAL: Final = [
    Trajectory(tokens=40 + n, perplexity=2, surprise_rate=n % 4 / (40 + n), entropy_max=2 + n / 200)
    for n in range(200)
]
SECRET: Final = "zanzibar"
"""In texts of samples only, so that it shows where content leaks."""


def make_nli(folder: Path) -> NLIEvaluator:
    return NLIEvaluator(save(build_reader("sequence"), folder), offline=True)


def make_spans(folder: Path) -> NLIEvaluator:
    return NLIEvaluator(save(build_reader("token"), folder), offline=True)


def make_p_supported(_: Path) -> PSupportedEvaluator:
    return PSupportedEvaluator(prepare(build_network("qwen2"), build_tokenizer(), name="tiny"))


def make_trajectory(_: Path) -> TrajectoryEvaluator:
    calibration = fit_calibration(
        USUAL, route="support", scorer="m", fitted_at=datetime(2026, 11, 20, tzinfo=UTC)
    )
    return TrajectoryEvaluator([calibration])


FACTORIES: Final[dict[str, Callable[[Path], SampleEvaluator]]] = {
    "exact": lambda _: ExactEvaluator(),
    "grounding": lambda _: GroundingEvaluator(),
    "semantic": lambda _: SemanticEvaluator(device="cpu"),
    "nli": make_nli,
    "nli of spans": make_spans,
    "p_supported": make_p_supported,
    "trajectory": make_trajectory,
    "judge": lambda _: JudgeEvaluator(),
}
"""Every built-in evaluator, by its name and what else there is of it."""


@pytest.fixture(scope="module", params=FACTORIES)
def evaluator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SampleEvaluator]:
    """Return each evaluator in turn, with a small model or a server on loopback."""
    if request.param != "judge":
        yield FACTORIES[request.param](tmp_path_factory.mktemp("model"))
        return
    server = JudgeServer()
    server.answer = lambda text: reply(
        f'{{"unsupported": ["{SECRET}"], "score": {len(text) % 10 / 10}}}'
    )
    with serve(server) as running:
        judge = JudgeEvaluator(running.url, "m", requests_per_minute=60_000)
        yield judge
        judge.close()


def make_sample(answer: Any, *context: Any, number: int = 0) -> Sample:
    return Sample(
        answer=answer,
        context=tuple(ContextItem(text=text) for text in context),
        question="Where is it?",
        route="support",
        trajectory=USUAL[number],
    )


GOOD: Final = [
    make_sample(f"It is in {SECRET}.", f"It is in {SECRET} and large.", "Rome.", number=3),
    make_sample("Rome", "Rome is in Italy.", number=90),
    make_sample("It is wrong. The sky is green today.", "The sky is blue.", number=199),
    make_sample(f"{SECRET} was 3.5 km away", f"{SECRET} is 3.5 km from there." * 40, number=50),
]
BAD: Final = {
    "empty": make_sample("", "context"),
    "white space": make_sample(" \n\t\u3000", "context"),
    "no context": make_sample("answer"),
    "an empty context": make_sample("answer", "", " "),
    "half a character": make_sample(f"{SECRET} \ud800", "\udfff context"),
    "control characters": make_sample(f"\x00{SECRET}\x1b[0m\u202e", "\x00"),
    "emoji": make_sample("\U0001f469\u200d\U0001f469\u200d\U0001f467" * 20, "\U0001f600"),
    "no spaces": make_sample("x" * 800, "y" * 800),
    "long": make_sample(f"{SECRET} is it. " * 60, "It is. " * 60),
    "an answer of another type": make_sample(17, "context"),
    "a context of another type": make_sample(f"{SECRET} answer", None),
    "braces": make_sample("{context} {answer} {0} %s", "{answer}"),
    "no question": Sample(answer=f"{SECRET} it is", context=(ContextItem(text=SECRET),)),
}


class TestContract:
    """Every evaluator."""

    def test_is_one(self, evaluator: SampleEvaluator) -> None:
        """It has the protocol's members, and judgements bear its name."""
        assert isinstance(evaluator, SampleEvaluator)
        assert {one.name for one in evaluator.judge(GOOD)} == {evaluator.name}

    def test_nothing_gives_nothing(self, evaluator: SampleEvaluator) -> None:
        """An empty batch has no judgements."""
        assert evaluator.judge([]) == []

    def test_measures_something(self, evaluator: SampleEvaluator) -> None:
        """Of good samples at least one has a score: the rest of this file is not in vain."""
        assert any(one.score is not None for one in evaluator.judge(GOOD))

    def test_order(self, evaluator: SampleEvaluator) -> None:
        """Each sample has its own judgement, at its own place, in any company."""
        good = GOOD
        if isinstance(evaluator, GroundingEvaluator):  # what it has seen of a route is its company
            good = [msgspec.structs.replace(sample, route=None) for sample in GOOD]
        samples = [*good, *BAD.values(), *reversed(good)]

        together = evaluator.judge(samples)

        assert len(together) == len(samples)
        alone = [evaluator.judge([sample])[0] for sample in good]
        for found, expected in ((together[:4], alone), (together[-4:], alone[::-1])):
            assert [one.reason for one in found] == [one.reason for one in expected]
            assert [one.label for one in found] == [one.label for one in expected]
            assert [one.score for one in found] == [
                None if one.score is None else pytest.approx(one.score, abs=1e-4)
                for one in expected
            ]

    @pytest.mark.parametrize("name", BAD)
    def test_a_bad_sample(self, evaluator: SampleEvaluator, name: str) -> None:
        """It never raises, and takes no neighbour along."""
        [good] = evaluator.judge(GOOD[:1])

        before, bad, after = evaluator.judge([GOOD[0], BAD[name], GOOD[0]])

        assert before.score == pytest.approx(good.score, abs=1e-4)
        assert after.score == pytest.approx(good.score, abs=1e-4)
        assert (bad.score is None) == (bad.reason is not None)
        assert SECRET not in (bad.reason or "")

    def test_what_a_judgement_holds(self, evaluator: SampleEvaluator) -> None:
        """Scores in [0, 1] with a label, or a reason; a maker with its revision; a time."""
        for judgement in evaluator.judge([*GOOD, *BAD.values()]):
            assert (judgement.score is None) == (judgement.label is None)
            assert (judgement.score is None) == (judgement.reason is not None)
            assert judgement.score is None or 0 <= judgement.score <= 1
            assert judgement.evaluator
            assert judgement.revision
            assert judgement.latency_ms is not None
            assert math.isfinite(judgement.latency_ms)
            assert judgement.latency_ms >= 0

    def test_evidence_lies_in_the_texts(self, evaluator: SampleEvaluator) -> None:
        """Offsets are those of the answer, and of the passage that is named."""
        samples = [*GOOD, *(one for one in BAD.values() if isinstance(one.answer, str))]

        for sample, judgement in zip(samples, evaluator.judge(samples), strict=True):
            for one in judgement.evidence:
                assert 0 <= one.start < one.end <= len(sample.answer)
                if one.context_item is None:
                    assert one.context_start is one.context_end is None
                    continue
                text = sample.context[one.context_item].text
                assert one.context_start is not None
                assert one.context_end is not None
                assert 0 <= one.context_start <= one.context_end <= len(text)

    def test_threads(self, evaluator: SampleEvaluator) -> None:
        """Threads that share one get what one thread gets."""
        expected = [one.score for one in evaluator.judge(GOOD)]

        with ThreadPoolExecutor(4) as pool:
            batches = list(pool.map(evaluator.judge, [GOOD] * 6))

        for batch in batches:
            assert [one.score for one in batch] == [
                None if score is None else pytest.approx(score, abs=1e-4) for score in expected
            ]

    def test_content_is_not_logged(
        self, evaluator: SampleEvaluator, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not even at the level of DEBUG, by our own code."""
        with caplog.at_level(logging.DEBUG, logger="cert_otel"):
            evaluator.judge([*GOOD, *BAD.values()])

        ours = [one.getMessage() for one in caplog.records if one.name.startswith("cert_otel")]
        assert SECRET not in "\n".join(ours)
