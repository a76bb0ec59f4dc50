"""Gates, and that the length of an answer does not decide."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.records import Trajectory
from cert_otel.scoring.calibration import Calibration, fit_calibration
from cert_otel.scoring.gates import Vote, compute_cert_gates, vote

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LENGTHS = (20, 50, 150, 400, 1_000, 2_000)


def draw_nll(random: np.random.Generator, tokens: int, level: float = 1.0) -> Floats:
    """Draw tokens of one quality: perplexity e^0.42 = 1.52, and 4.5 % with p < 0.1."""
    return random.gamma(0.2, 2.1 * level, size=tokens)


def draw_answer(random: np.random.Generator, tokens: int, level: float = 1.0) -> Trajectory:
    """Draw an answer; its level is how uncertain the scorer is throughout."""
    nll = draw_nll(random, tokens, level)
    return Trajectory(
        tokens=tokens,
        perplexity=math.exp(float(nll.mean())),
        surprise_rate=float(np.mean(nll > math.log(10))),
        entropy_max=float(random.gamma(0.5, 0.6 * level, size=tokens).max()),
    )


def calibrate(*, differ: float = 0.0) -> Calibration:
    """Fit on 10,000 answers of 20 to 2,000 tokens, the levels of which differ so much."""
    random = np.random.default_rng(1)
    lengths = np.exp(random.uniform(math.log(20), math.log(2_000), size=10_000)).astype(int)
    levels = np.exp(differ * random.normal(size=10_000))
    answers = [
        draw_answer(random, int(tokens), float(level))
        for tokens, level in zip(lengths, levels, strict=True)
    ]
    return fit_calibration(answers, route="simulated", scorer="none", fitted_at=NOW)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """Fit once on answers of one level."""
    return calibrate()


def find_vote(gate: str, answer: Trajectory, calibration: Calibration | None = None) -> Vote:
    """Return the vote of one gate."""
    return next(one for one in vote(answer, calibration).votes if one.gate == gate)


class TestLength:
    @pytest.mark.parametrize("differ", [0.0, 0.3])
    def test_does_not_decide(self, differ: float) -> None:
        """Of like quality as many pass at 20 tokens as at 2,000: within 2 points of 98 %."""
        random, calibration = np.random.default_rng(2), calibrate(differ=differ)
        shares = {
            tokens: np.mean(
                [
                    not vote(
                        draw_answer(random, tokens, float(np.exp(differ * random.normal()))),
                        calibration,
                    ).flags
                    for _ in range(1_500)
                ]
            )
            for tokens in LENGTHS
        }

        assert shares == {tokens: pytest.approx(0.98, abs=0.02) for tokens in LENGTHS}

    def test_decides_with_cert(self) -> None:
        """CERT's gates pass nine in ten at 20 tokens and none at 400, of the same text."""
        random = np.random.default_rng(3)

        def find_share(tokens: int) -> float:
            passed = []
            for _ in range(1_500):
                nll = draw_nll(random, tokens)
                gates = compute_cert_gates(nll, np.zeros(tokens), np.zeros(tokens))
                passed.append(bool(gates.cert_passed))
            return float(np.mean(passed))

        shares = {tokens: find_share(tokens) for tokens in LENGTHS}

        assert shares[20] == pytest.approx(0.90, abs=0.04)
        assert shares[50] == pytest.approx(0.61, abs=0.05)
        assert shares[400] == shares[1_000] == shares[2_000] == 0.0

    def test_worse_answers_are_flagged(self, calibration: Calibration) -> None:
        """Twice the surprise is seen, the surer the longer the answer."""
        random = np.random.default_rng(4)
        shares = [
            np.mean(
                [bool(vote(draw_answer(random, n, 2.0), calibration).flags) for _ in range(300)]
            )
            for n in (20, 150, 1_000)
        ]

        assert shares == sorted(shares)
        assert shares[0] > 0.2
        assert shares[2] > 0.99


class TestPerplexity:
    @given(st.floats(1, 1e6))
    def test_has_a_fixed_limit(self, perplexity: float) -> None:
        """From 50 on it is flagged, with or without a calibration."""
        one = find_vote("perplexity", Trajectory(tokens=5, perplexity=perplexity))

        assert one.outcome == ("passed" if perplexity < 50 else "flagged")
        assert one.value == perplexity

    def test_limit_can_be_set(self) -> None:
        """The limit is the caller's."""
        assert vote(Trajectory(perplexity=20.0), perplexity_limit=10).flags == ("perplexity",)


class TestCalibratedGates:
    def test_abstain_without_a_calibration(self) -> None:
        """They do not vote, and say why; nothing is flagged."""
        votes = vote(Trajectory(tokens=9, perplexity=2.0, surprise_rate=1.0, entropy_max=9.0))

        assert votes.flags == ()
        assert votes.calibration is None
        assert votes.abstained == ("surprise_rate: uncalibrated", "entropy_peak: uncalibrated")

    def test_abstain_on_too_few_answers(self) -> None:
        """A calibration of few answers has no percentile to compare with."""
        few = fit_calibration([Trajectory(tokens=5)], route="a", scorer="b", fitted_at=NOW)
        votes = vote(Trajectory(tokens=9, surprise_rate=1.0, entropy_max=9.0), few)

        assert votes.calibration == few.id
        assert votes.abstained[1:] == (
            "surprise_rate: uncalibrated: 1 answers, 100 are needed",
            "entropy_peak: uncalibrated: 1 answers, 100 are needed",
        )

    def test_abstain_beyond_the_lengths_they_know(self, calibration: Calibration) -> None:
        """A peak is not judged in an answer longer than a hundredth of all that was seen."""
        long = find_vote("entropy_peak", Trajectory(tokens=200_000, entropy_max=4.0), calibration)

        assert long.outcome == "abstained"
        assert long.reason == "10000 answers are too few to calibrate 200000 tokens"

    @pytest.mark.parametrize("value", [None, math.nan, math.inf])
    def test_abstain_on_what_is_missing(
        self, value: float | None, calibration: Calibration
    ) -> None:
        """A figure that is not there is neither good nor bad."""
        answer = Trajectory(tokens=9, perplexity=value, surprise_rate=value, entropy_max=value)
        votes = vote(answer, calibration)

        assert votes.flags == ()
        assert votes.abstained == (
            "perplexity: no perplexity",
            "surprise_rate: no surprise rate",
            "entropy_peak: no largest entropy",
        )
        assert [one.value for one in votes.votes] == [None] * 3

    def test_name_percentile_and_calibration(self, calibration: Calibration) -> None:
        """What is flagged lies beyond the 99th percentile of usual answers of its length."""
        answer = Trajectory(tokens=100, perplexity=2.0, surprise_rate=0.3, entropy_max=0.5)
        votes = vote(answer, calibration)
        surprise, peak = votes.votes[1:]

        assert votes.flags == ("surprise_rate",)
        assert votes.abstained == ()
        assert votes.calibration == calibration.id
        assert (surprise.percentile or 0) > 0.99
        assert (peak.percentile or 1) < 0.1

    def test_flag_peaks(self, calibration: Calibration) -> None:
        """The same peak is flagged in a short answer and passes in a long one."""
        peak = 4.4
        short = find_vote("entropy_peak", Trajectory(tokens=20, entropy_max=peak), calibration)
        long = find_vote("entropy_peak", Trajectory(tokens=2_000, entropy_max=peak), calibration)

        assert short.outcome == "flagged"
        assert long.outcome == "passed"


class TestCert:
    def test_computes_its_figures(self) -> None:
        """Mean of 1/p, largest partial entropy, and the surprise of the improbable."""
        probabilities = np.asarray([0.5, 0.05, 1.0])
        renormalised = np.asarray([0.5, math.log(2), 0.0])
        gates = compute_cert_gates(-np.log(probabilities), renormalised, np.asarray([0, 0.5, 0]))

        assert gates.avg_perplexity == pytest.approx((2 + 20 + 1) / 3)
        assert gates.max_entropy == pytest.approx(2 * -0.25 * math.log(0.25))
        assert gates.final_surprise == pytest.approx(-math.log(0.05))
        assert gates.cert_passed is True

    def test_cannot_fail_by_entropy(self) -> None:
        """The highest partial entropy of ten candidates is ln 10, below its limit of 2.5."""
        gates = compute_cert_gates(np.zeros(1), np.asarray([math.log(10)]), np.zeros(1))

        assert gates.max_entropy == pytest.approx(2.302585)
        assert gates.cert_passed is True

    def test_fails_by_one_token(self) -> None:
        """One token of p = 0.0001 among 150 takes its mean of 1/p over 50."""
        nll = np.zeros(150)
        nll[7] = -math.log(1e-4)
        gates = compute_cert_gates(nll, np.zeros(150), np.zeros(150))

        assert gates.avg_perplexity == pytest.approx(10_149 / 150)
        assert gates.cert_passed is False

    def test_survives_extremes(self) -> None:
        """A probability of 0 is left out of the mean, as CERT does; without others it fails."""
        gates = compute_cert_gates(np.asarray([2_000.0]), np.zeros(1), np.ones(1))

        assert gates.avg_perplexity is None
        assert gates.final_surprise == pytest.approx(-math.log(1e-10))
        assert gates.max_entropy == pytest.approx(0.0)
        assert gates.cert_passed is False

    def test_of_nothing_is_nothing(self) -> None:
        """An answer without tokens has neither figures nor verdict."""
        gates = compute_cert_gates(np.zeros(0), np.zeros(0), np.zeros(0))

        assert gates.cert_passed is None
        assert gates.avg_perplexity is None
