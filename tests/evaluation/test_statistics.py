"""Figures of scores against labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cert_otel.evaluation.shares import wilson
from cert_otel.evaluation.statistics import (
    bootstrap_auc,
    draw_weights,
    measure_auc,
    measure_ece,
    measure_point,
    measure_reliability,
    validate,
)

SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 0.99, 1.0]), st.integers(0, 1)),
    min_size=1,
    max_size=40,
)


def make_rows(n: int, *, seed: int = 0) -> tuple[list[float], list[int]]:
    """Make scores that are exactly right: a label is 1 with the probability of its score."""
    random = np.random.default_rng(seed)
    scores = random.random(n)
    return scores.tolist(), (random.random(n) < scores).astype(int).tolist()


class TestAuc:
    @given(SCORES)
    def test_is_the_share_of_pairs_that_are_in_order(self, rows: list[tuple[float, int]]) -> None:
        """Counted pair by pair, a tie as half."""
        high = [score for score, label in rows if label]
        low = [score for score, label in rows if not label]
        won = [(a > b) + (a == b) / 2 for a, b in itertools.product(high, low)]
        scores, labels = map(np.array, zip(*rows, strict=True))

        assert measure_auc(scores, labels) == (pytest.approx(sum(won) / len(won)) if won else None)

    def test_agrees_with_the_rank_test(self) -> None:
        """As scipy's Mann-Whitney statistic."""
        scores, labels = map(np.array, make_rows(500))
        rank_sum = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic

        assert measure_auc(scores, labels) == pytest.approx(
            rank_sum / ((labels == 1).sum() * (labels == 0).sum())
        )


class TestInterval:
    def test_covers_what_is_true(self) -> None:
        """Of 100 samples of one population, about 95 have its AUC (5/6) in their interval."""
        covered = 0
        for seed in range(100):
            scores, labels = make_rows(200, seed=seed)
            low, high = bootstrap_auc(
                np.array(scores), np.array(labels), list(map(str, range(200))), seed=0, rounds=200
            )
            assert low is not None
            assert high is not None
            covered += low <= 5 / 6 <= high

        assert covered >= 88

    def test_is_wider_when_rows_repeat_within_groups(self) -> None:
        """Ten copies of each row, as one group, tell no more than one."""
        scores, labels = make_rows(60)
        groups = [str(i) for i in range(60)]
        once = validate(scores, labels, groups, threshold=0.5)
        copied = validate(scores * 10, labels * 10, groups * 10, threshold=0.5)

        assert once.resampled == copied.resampled == "groups"
        assert copied.auc_low == pytest.approx(once.auc_low, abs=0.01)
        assert copied.auc_high == pytest.approx(once.auc_high, abs=0.01)

    def test_groups_are_drawn_whole(self) -> None:
        """The rows of one group are drawn equally often, and as many groups as there are."""
        groups = [str(i // 3) for i in range(36)]
        weights = np.concatenate(list(draw_weights(groups, seed=1, rounds=20)))

        assert (weights[:, ::3] == weights[:, 2::3]).all()
        assert (weights[:, ::3].sum(axis=1) == 12).all()

    def test_few_groups_are_taken_as_they_are(self) -> None:
        """With two groups, rows are drawn, within each group as many as it has."""
        groups = ["a"] * 5 + ["b"] * 7
        weights = np.concatenate(list(draw_weights(groups, seed=1, rounds=20)))

        assert (weights[:, :5].sum(axis=1) == 5).all()
        assert (weights[:, 5:].sum(axis=1) == 7).all()
        assert validate([0.5] * 12, [0, 1] * 6, groups, threshold=0.5).resampled == "rows"

    def test_two_rows_prove_nothing(self) -> None:
        """A separation without exception has an interval that is as wide as few rows make it."""
        found = validate([0.9, 0.1], [1, 0], threshold=0.5)

        assert found.auc == found.auc_high == 1
        assert found.auc_low == pytest.approx(0.2065, abs=1e-4)

    def test_does_not_depend_on_what_fits_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Many rows are drawn in parts; the parts together have every round."""
        monkeypatch.setattr("cert_otel.evaluation.statistics._CELLS", 100)
        parts = list(draw_weights([str(i) for i in range(30)], seed=0, rounds=20))

        assert len(parts) > 1
        assert sum(len(part) for part in parts) == 20


class TestShare:
    @given(st.integers(0, 200), st.integers(1, 200))
    def test_is_wilsons(self, successes: int, n: int) -> None:
        """As scipy's interval of a binomial share, and it holds the share."""
        successes = min(successes, n)
        ours = wilson(successes, n)
        theirs = stats.binomtest(successes, n).proportion_ci(method="wilson")

        assert ours.low == pytest.approx(theirs.low, abs=1e-12)
        assert ours.high == pytest.approx(theirs.high, abs=1e-12)
        assert ours.low is not None
        assert ours.high is not None
        assert ours.low <= successes / n <= ours.high

    def test_nothing_of_nothing_is_unknown(self) -> None:
        """Without rows there is no share, neither 0 nor 1."""
        assert wilson(0, 0).value is None


class TestPoint:
    def test_the_threshold_itself_passes(self) -> None:
        """Two of three right ones pass, one of two wrong ones fails."""
        accuracy, sensitivity, specificity = measure_point(
            np.array([0.7, 0.9, 0.2, 0.8, 0.1]), np.array([1, 1, 1, 0, 0]), threshold=0.7
        )

        assert (accuracy.value, sensitivity.value, specificity.value) == (3 / 5, 2 / 3, 1 / 2)


class TestCalibration:
    def test_error_is_the_weighted_distance_of_bins(self) -> None:
        """One bin of three rows, .1 too high; one of one row, .8 too low."""
        scores, labels = np.array([0.44, 0.43, 0.43, 0.2]), np.array([1, 0, 0, 1])

        assert measure_ece(scores, labels) == pytest.approx((3 * 0.1 + 0.8) / 4)

    def test_a_perfect_score_lies_within_the_band(self) -> None:
        """Of 40 samples of exactly right scores, some 38 have an error within its band."""
        within = 0
        for seed in range(40):
            found = validate(*make_rows(300, seed=seed), threshold=0.5, seed=seed)
            assert found.ece is not None
            assert found.ece_null_low is not None
            assert found.ece_null_high is not None
            within += found.ece_null_low <= found.ece <= found.ece_null_high

        assert within >= 34

    def test_a_score_that_promises_too_much_lies_above_it(self) -> None:
        """Half of the distance to 1 added to each score is found out."""
        scores, labels = make_rows(300)
        found = validate([(1 + score) / 2 for score in scores], labels, threshold=0.5)

        assert found.ece is not None
        assert found.ece_null_high is not None
        assert found.ece > found.ece_null_high

    @given(SCORES)
    def test_every_row_is_in_one_bin(self, rows: list[tuple[float, int]]) -> None:
        """The bins together have all rows, and each mean lies in its bin."""
        scores, labels = map(np.array, zip(*rows, strict=True))
        bins = measure_reliability(scores, labels)

        assert sum(one.n for one in bins) == len(rows)
        assert all(one.low - 1e-9 <= one.score_mean <= one.high + 1e-9 for one in bins)


class TestValidation:
    def test_a_row_without_score_changes_no_figure(self) -> None:
        """It is counted as skipped, in the whole and in its group."""
        scores, labels = make_rows(50)
        with_gap = validate([*scores, None], [*labels, 1], ["g"] * 51, threshold=0.5)
        without = validate(scores, labels, ["g"] * 50, threshold=0.5)

        assert (with_gap.n, with_gap.skipped, with_gap.groups[0].skipped) == (50, 1, 1)
        assert (with_gap.auc, with_gap.ece, with_gap.accuracy) == (
            without.auc,
            without.ece,
            without.accuracy,
        )

    def test_each_group_has_its_row(self) -> None:
        """In the order of their first row; a group of one label has no AUC."""
        first, second = validate(
            [0.9, 0.1, 0.8], [1, 0, 1], ["hard", "hard", "easy"], threshold=0.7
        ).groups

        assert (first.group, first.n, first.positives, first.auc) == ("hard", 2, 1, 1.0)
        assert (second.group, second.auc, second.sensitivity) == ("easy", None, 1.0)
        assert second.specificity is None

    @pytest.mark.parametrize("scores", [[], [None], [None, None]])
    def test_no_score_gives_no_figure(self, scores: list[float | None]) -> None:
        """Every figure is unknown: none is 0."""
        found = validate(scores, [1] * len(scores), threshold=0.5)

        assert (found.n, found.skipped) == (0, len(scores))
        assert found.auc is found.auc_low is found.accuracy is found.ece is None
        assert found.reliability == ()

    def test_the_same_seed_gives_the_same_interval(self) -> None:
        """And another seed another one."""
        scores, labels = make_rows(100)
        one, two, other = (validate(scores, labels, threshold=0.5, seed=s) for s in (1, 1, 2))

        assert one == two
        assert one.auc_low != other.auc_low

    @pytest.mark.parametrize(
        ("scores", "labels", "problem"),
        [
            ([1.2], [1], "row 0: the score 1.2"),
            ([float("nan")], [1], "row 0: the score nan"),
            ([0.5, 0.5], [1, 2], "row 1: the label 2"),
            ([0.5], [1, 0], "1 scores, 2 labels"),
        ],
    )
    def test_names_what_it_cannot_use(
        self, scores: list[float], labels: list[int], problem: str
    ) -> None:
        """A score out of range and a label that is none are errors, with their row."""
        with pytest.raises(ValueError, match=problem):
            validate(scores, labels, threshold=0.5)
