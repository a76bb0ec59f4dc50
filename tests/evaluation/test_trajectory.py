"""The scorer's figures against what is usual on the route."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from cert_otel.errors import ConfigError
from cert_otel.evaluation.sample import Sample
from cert_otel.evaluation.trajectory import TrajectoryEvaluator
from cert_otel.records import Trajectory
from cert_otel.scoring.calibration import Calibration, fit_calibration

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def draw(count: int, seed: int) -> list[Trajectory]:
    random = np.random.default_rng(seed)
    return [
        Trajectory(
            tokens=60,
            perplexity=2.0,
            surprise_rate=float(random.binomial(60, 0.1)) / 60,
            entropy_max=float(random.normal(4, 0.5)),
        )
        for _ in range(count)
    ]


def calibrate(count: int = 400, *, route: str = "support", scorer: str = "m") -> Calibration:
    return fit_calibration(draw(count, 0), route=route, scorer=scorer, fitted_at=NOW)


def make_sample(trajectory: Trajectory | None, route: str | None = "support") -> Sample:
    return Sample(answer="An answer.", route=route, trajectory=trajectory)


USUAL = Trajectory(tokens=60, perplexity=2.0, surprise_rate=0.1, entropy_max=4.0)


class TestScore:
    def test_is_the_share_that_surprises_as_much(self) -> None:
        """About a tenth of usual answers scores under a tenth for each of two gates, or less."""
        evaluator = TrajectoryEvaluator([calibrate(4000)])

        judgements = evaluator.judge([make_sample(one) for one in draw(1000, 1)])

        scores = np.asarray([one.score for one in judgements], dtype=float)
        assert ((scores >= 0) & (scores <= 1)).all()
        assert 0.05 < (scores < 0.1).mean() < 0.25
        assert np.mean([one.label == "fail" for one in judgements]) < 0.04

    @pytest.mark.parametrize(
        "unusual",
        [
            Trajectory(tokens=60, perplexity=2.0, surprise_rate=0.5, entropy_max=4.0),
            Trajectory(tokens=60, perplexity=60.0, surprise_rate=0.1, entropy_max=4.0),
        ],
    )
    def test_of_the_unusual(self, unusual: Trajectory) -> None:
        """One gate is enough to fail, the fixed one too."""
        usual, other = TrajectoryEvaluator([calibrate()]).judge(
            [make_sample(USUAL), make_sample(unusual)]
        )

        assert (usual.label, other.label) == ("pass", "fail")
        assert other.score is not None
        assert other.score < 0.01

    def test_names_its_calibration(self) -> None:
        """The scorer judged, and the revision holds the calibration's id."""
        calibration = calibrate()

        [judgement] = TrajectoryEvaluator([calibration]).judge([make_sample(USUAL)])

        assert judgement.evaluator == "m"
        assert judgement.revision == f"gates-1 {calibration.id}"


class TestSkips:
    @pytest.mark.parametrize("route", ["billing", None])
    def test_another_route(self, route: str | None) -> None:
        """What is usual elsewhere says nothing."""
        [judgement] = TrajectoryEvaluator([calibrate()]).judge([make_sample(USUAL, route)])

        assert (judgement.score, judgement.label) == (None, None)
        assert judgement.reason == "uncalibrated"

    def test_no_calibration(self) -> None:
        """The fixed gate alone gives no score."""
        unusual = Trajectory(tokens=60, perplexity=900.0)

        [judgement] = TrajectoryEvaluator().judge([make_sample(unusual)])

        assert judgement.reason == "uncalibrated"

    def test_too_few_answers(self) -> None:
        """A calibration that could not be fitted does not vote."""
        [judgement] = TrajectoryEvaluator([calibrate(20)]).judge([make_sample(USUAL)])

        assert (judgement.score, judgement.reason) == (None, "uncalibrated")

    def test_no_figures(self) -> None:
        """A trajectory of energies alone has nothing that a gate looks at."""
        [judgement] = TrajectoryEvaluator([calibrate()]).judge(
            [make_sample(Trajectory(energy_mean=0.3, tokens=60))]
        )

        assert (judgement.score, judgement.reason) == (None, "no_figures")

    def test_not_scored(self) -> None:
        """An answer that no scorer has seen has no trajectory."""
        [judgement] = TrajectoryEvaluator([calibrate()]).judge([make_sample(None)])

        assert judgement.reason == "no_trajectory"


class TestScorer:
    def test_must_be_named_among_several(self) -> None:
        """Figures of two scorers are not compared."""
        calibrations = [calibrate(), calibrate(scorer="other")]

        with pytest.raises(ConfigError, match="are of m, other: name one"):
            TrajectoryEvaluator(calibrations)

        [judgement] = TrajectoryEvaluator(calibrations, scorer="other").judge([make_sample(USUAL)])
        assert judgement.revision == f"gates-1 {calibrations[1].id}"
