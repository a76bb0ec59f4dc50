"""What is usual on a route."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.errors import InputError
from cert_otel.records import Trajectory
from cert_otel.scoring.calibration import (
    Calibration,
    PeakModel,
    SurpriseModel,
    decode_calibrations,
    encode_calibrations,
    find_calibration,
    fit_calibration,
)

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def fit(answers: list[Trajectory]) -> Calibration:
    """Fit under a fixed name."""
    return fit_calibration(
        answers, route="support", scorer="tiny", scorer_revision="abc", fitted_at=NOW
    )


def make_answers(count: int, *, growth: float = 1.0, spread: float = 0.0) -> list[Trajectory]:
    """Make answers of 20 to 2,000 tokens that peak like tokens ** growth independent ones.

    The surprise of each is binomial with a share of its own, 5 % on average.
    """
    random = np.random.default_rng(7)
    tokens = np.exp(random.uniform(np.log(20), np.log(2_000), size=count)).astype(int)
    peaks = -np.log(random.exponential(size=count) / tokens**growth)  # F = exp(-exp(-x))
    share = 0.05 * np.exp(spread * random.normal(size=count) - spread**2 / 2)
    rates = random.binomial(tokens, np.minimum(share, 1)) / tokens
    return [
        Trajectory(tokens=int(n), surprise_rate=float(rate), entropy_max=float(peak))
        for n, rate, peak in zip(tokens, rates, peaks, strict=True)
    ]


class TestFit:
    def test_says_what_it_is_of(self) -> None:
        """Route, scorer, revision, date and counts are inside."""
        answers = make_answers(150)
        calibration = fit(answers)

        assert calibration.route == "support"
        assert (calibration.scorer, calibration.scorer_revision) == ("tiny", "abc")
        assert calibration.fitted_at == NOW
        assert calibration.answers == 150
        assert calibration.tokens == sum(answer.tokens or 0 for answer in answers)

    @pytest.mark.parametrize("growth", [0.0, 0.5, 1.0, 1.5])
    def test_finds_how_peaks_grow(self, growth: float) -> None:
        """The exponent of the length is found, for dependent and independent tokens."""
        peak = fit(make_answers(2_000, growth=growth)).peak

        assert peak is not None
        assert peak.growth == pytest.approx(growth, abs=0.08)

    def test_takes_growth_for_2_at_most(self) -> None:
        """Beyond, length alone would decide."""
        peak = fit(make_answers(500, growth=3.0)).peak

        assert peak is not None
        assert peak.growth == 2.0

    def test_takes_independence_where_lengths_do_not_differ(self) -> None:
        """Answers of one length cannot tell how peaks grow."""
        peak = fit([Trajectory(tokens=50, entropy_max=n / 200) for n in range(200)]).peak

        assert peak is not None
        assert peak.growth == 1.0

    def test_finds_how_answers_differ(self) -> None:
        """No dispersion where all have one share of surprises, more the more they differ."""
        same, some, much = (fit(make_answers(2_000, spread=spread)) for spread in (0, 0.3, 0.9))

        assert same.surprise is not None
        assert some.surprise is not None
        assert much.surprise is not None
        assert same.surprise.mean == pytest.approx(0.05, abs=0.002)
        assert same.surprise.dispersion < 0.3 * some.surprise.dispersion
        assert some.surprise.dispersion < 0.5 * much.surprise.dispersion

    def test_makes_nothing_of_few(self) -> None:
        """Under 100 answers that have the figure, there is no model of it."""
        few = fit(make_answers(99))
        half = fit([*make_answers(99), Trajectory(tokens=5, surprise_rate=0.0)])

        assert (few.surprise, few.peak, few.answers) == (None, None, 99)
        assert half.surprise is not None
        assert half.peak is None

    def test_passes_over_what_is_missing(self) -> None:
        """Answers without tokens or with a figure that is no number do not count."""
        answers = make_answers(120)
        odd = [
            Trajectory(),
            Trajectory(tokens=0, surprise_rate=0.0, entropy_max=0.0),
            Trajectory(tokens=9, entropy_max=float("inf")),
        ]

        calibration = fit([*answers, *odd])

        assert calibration.peak == fit(answers).peak
        assert calibration.surprise == fit(answers).surprise


class TestSurprise:
    @given(st.integers(1, 300), st.floats(0.001, 0.999), st.floats(0, 5))
    def test_tail_is_a_distribution(self, tokens: int, mean: float, dispersion: float) -> None:
        """It falls from 1, and its sum over counts is the expected count."""
        model = SurpriseModel(mean=mean, dispersion=dispersion, answers=100)
        tails = [model.tail(count / tokens, tokens) for count in range(tokens + 1)]

        assert tails[0] == 1.0
        assert all(left >= right - 1e-12 for left, right in pairwise(tails))
        assert sum(tails[1:]) == pytest.approx(mean * tokens, rel=1e-6)

    def test_tail_is_binomial_without_dispersion(self) -> None:
        """Three of three tokens at 10 % each are one in a thousand."""
        model = SurpriseModel(mean=0.1, dispersion=0.0, answers=100)

        assert model.tail(1.0, 3) == pytest.approx(0.001)

    def test_survives_a_route_without_surprises(self) -> None:
        """Where none was seen one is rare, and not impossible."""
        calm = [Trajectory(tokens=100, surprise_rate=0.0) for _ in range(200)]
        model = fit(calm).surprise

        assert model is not None
        assert 0 < model.tail(0.01, 100) < 0.01


class TestPeak:
    def test_tail_grows_with_the_length(self) -> None:
        """The same peak is likelier in a longer answer."""
        model = fit(make_answers(500)).peak
        assert model is not None

        tails = [model.tail(6.0, tokens) for tokens in (20, 200, 2_000)]

        assert tails == sorted(tails)
        assert tails == pytest.approx(
            [-np.expm1(-tokens * np.exp(-6.0)) for tokens in (20, 200, 2_000)], rel=0.25
        )

    def test_tail_ends_above_what_was_seen(self) -> None:
        """A higher peak than all is beyond every percentile, a lower one below."""
        model = fit(make_answers(500)).peak
        assert model is not None

        assert model.tail(model.peaks[0] + 1, 100) == 0.0
        assert model.tail(model.peaks[-1] - 1, 100) > 0.9

    def test_does_not_resolve_answers_longer_than_it_knows(self) -> None:
        """For the 99th percentile it takes the tokens of 100 such answers."""
        model = fit(make_answers(400)).peak
        assert model is not None

        assert model.resolves(0.99, 20)
        assert not model.resolves(0.99, 20_000)
        assert model.resolves(0.5, 20_000)


class TestFind:
    def test_takes_the_latest_of_the_very_scorer(self) -> None:
        """Another route, scorer or revision is no substitute."""
        old = fit(make_answers(100))
        new = msgspec.structs.replace(old, fitted_at=NOW + timedelta(days=1))
        other = msgspec.structs.replace(new, scorer_revision=None)
        stored = [new, old, other]

        assert (
            find_calibration(stored, route="support", scorer="tiny", scorer_revision="abc") is new
        )
        for key in ({"route": "x"}, {"scorer": "x"}, {"scorer_revision": "x"}):
            wanted = {"route": "support", "scorer": "tiny", "scorer_revision": "abc"} | key
            assert find_calibration(stored, **wanted) is None

    def test_names_them_apart(self) -> None:
        """Equal calibrations have one id, others another."""
        one = fit(make_answers(100))

        assert one.id == fit(make_answers(100)).id
        assert one.id != msgspec.structs.replace(one, route="other").id
        assert len(one.id) == 12


class TestJSON:
    @pytest.mark.parametrize("count", [5, 150, 3_000])
    def test_comes_back(self, count: int) -> None:
        """What is decoded is what was encoded, and small."""
        stored = [fit(make_answers(count)), fit(make_answers(count + 1))]
        data = encode_calibrations(stored)

        assert decode_calibrations(data, path="c.json") == tuple(stored)
        assert len(data) < 20_000

    @pytest.mark.parametrize(
        "data",
        [
            b"{}",
            b"not JSON",
            b"\xff",
            b'{"v":2,"route":"a","scorer":"b","fitted_at":"2026-11-20T00:00:00Z"}',
            encode_calibrations([fit(make_answers(100))]).replace(b'"mean":0', b'"mean":7'),
            encode_calibrations([fit(make_answers(100))]).replace(b'"peaks":[', b'"peaks":[1.0,'),
        ],
    )
    def test_names_a_file_that_is_none(self, data: bytes) -> None:
        """Anything else is an error with the file's name."""
        with pytest.raises(InputError, match=r"c\.json: no calibration"):
            decode_calibrations(data, path="c.json")

    def test_stores_plain_numbers(self) -> None:
        """Nothing of numpy stays in a model."""
        peak = fit(make_answers(100)).peak

        assert isinstance(peak, PeakModel)
        assert {type(value) for value in (*peak.peaks, *peak.hazards, peak.growth)} == {float}
