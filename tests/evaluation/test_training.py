"""Rows, weights and their card."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import pytest
from models.evaluation import fitting, measuring, train
from models.evaluation.datasets import (
    Asked,
    Row,
    choose_other_article,
    choose_same_article,
    choose_same_paragraph,
    pair,
    read_begin,
    read_halueval,
    read_plausible,
    read_summedits,
)

from cert_otel.evaluation.confidence import decode_weights, load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from cert_otel.evaluation.confidence import Weights

DATA = files("cert_otel.evaluation").joinpath("data")
CONTEXT = "The tower was built in 1889 by Gustave Eiffel. It was painted in 1968 by Jean Dupont."


def ask(
    number: int, gold: str, *, article: str = "Tower", paragraph: int = 0, context: str = CONTEXT
) -> Asked:
    """Make a question with one gold answer."""
    return Asked(str(number), article, paragraph, context, "Who?", (gold,), ())


ASKED = [
    ask(0, "1889"),
    ask(1, "1968"),
    ask(2, "Gustave Eiffel"),
    ask(3, "1703", paragraph=1, context="It was planned in 1703."),
    ask(4, "1555", article="Bridge", context="The bridge is of 1555."),
]


def wrong(rows: list[Row], number: int) -> set[str]:
    """List the wrong answers of a question."""
    return {row.answer for row in rows if row.id.split("-")[2] == str(number) and not row.label}


class TestPairs:
    def test_wrong_answers_come_from_where_they_should(self) -> None:
        """The paragraph's others, another paragraph's, or another article's; of the same type."""
        same_paragraph = pair(ASKED, choose_same_paragraph, name="t", rows=99)
        same_article = pair(ASKED, choose_same_article, name="t", rows=99)
        other_article = pair(ASKED, choose_other_article, name="t", rows=99)

        assert wrong(same_paragraph, 0) == {"1968"}
        assert wrong(same_article, 0) == {"1703"}
        assert wrong(other_article, 0) == {"1555"}
        assert wrong(same_paragraph, 2) == set()  # the only name there

    def test_both_labels_are_alike_and_drawn_alike(self) -> None:
        """Each question has its gold answer and a wrong one; the same call, the same rows."""
        rows = pair(ASKED, choose_same_article, name="t", rows=99)

        assert sum(row.label for row in rows) * 2 == len(rows)
        assert rows == pair(ASKED, choose_same_article, name="t", rows=99)
        assert {row.group for row in rows} == {"Tower"}

    def test_plausible_answers_are_those_to_unanswerable_questions(self) -> None:
        """A question has a gold answer or a plausible one."""
        unanswerable = ASKED[0]._replace(golds=(), plausible=("1968",))
        rows = list(read_plausible([ASKED[0], unanswerable]))

        assert [(row.answer, row.label) for row in rows] == [("1889", 1), ("1968", 0)]


class TestFiles:
    def test_halueval_has_each_right_answer_once(self, tmp_path: Path) -> None:
        """Two files, the same questions: two wrong answers and one right."""
        for turn, bad in (("one", "1999"), ("multi", "2001")):
            item = {
                "knowledge": "k",
                "question": "q",
                "right_answer": "r",
                "hallucinated_answer": bad,
            }
            (tmp_path / f"qa_{turn}-turn_data.json").write_text(json.dumps(item) + "\n")
        rows = list(read_halueval(tmp_path))

        assert sorted((row.answer, row.label) for row in rows) == [
            ("1999", 0),
            ("2001", 0),
            ("r", 1),
        ]
        assert len({row.group for row in rows}) == 1
        assert len({row.id for row in rows}) == 3

    def test_summedits_and_begin_are_grouped_by_document(self, tmp_path: Path) -> None:
        """A summary has no question; of a dialogue, the message is the question."""
        items = [{"id": str(i), "doc": "d", "summary": "s", "label": i} for i in (0, 1)]
        (tmp_path / "summedits_news.json").write_text(json.dumps(items))
        (tmp_path / "begin_dev.tsv").write_text(
            "knowledge\tmessage\tresponse\tbegin_label\n"
            'k\tm\t"r\tFully attributable\nk\tm\tr\tGeneric\n'
        )
        summaries, dialogue = list(read_summedits(tmp_path)), list(read_begin(tmp_path))

        assert [(row.question, row.label) for row in summaries] == [(None, 0), (None, 1)]
        assert [(row.question, row.answer, row.label) for row in dialogue] == [
            ("m", '"r', 1),
            ("m", "r", 0),
        ]
        assert len({row.group for row in (*summaries, *dialogue)}) == 2


def make_rows(n: int, family: str) -> list[Row]:
    """Make answers, of which every second says another year than the context."""
    return [
        Row(
            id=f"{family}-{i}",
            family="begin" if family == "begin" else "summedits",
            group=f"{family}-{i // 2}",
            question="When was it built?" if family == "begin" else None,
            context=f"The tower number {i // 2} was built in {1700 + i // 2} of stone.",
            answer=f"The tower was built in {(1700 if i % 2 else 1300) + i // 2}.",
            label=i % 2,
        )
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def sets() -> fitting.Sets:
    """Two small families."""
    return {
        family: fitting.measure_rows(make_rows(60, family)) for family in ("begin", "summedits")
    }


class TestFitting:
    def test_what_is_fitted_tells_right_from_wrong(self, sets: fitting.Sets) -> None:
        """On a family that it never saw, and the same twice."""
        found = measuring.leave_families_out(
            sets, lambda some: fitting.fit(some, commit="c", rounds=5)
        )
        again = fitting.fit({"summedits": sets["summedits"]}, commit="c", rounds=5)
        scores = measuring.take_values(measuring.predict(sets["begin"], found["begin"]))

        assert found["begin"] == again
        assert measuring.validate_set(sets["begin"], scores).auc == 1.0

    def test_no_weight_is_negative(self, sets: fitting.Sets) -> None:
        """Even where the labels are upside down."""
        turned = {
            name: fitting.Measured(one.rows, one.figures, one.types, one.findings, 1 - one.labels)
            for name, one in sets.items()
        }
        found = fitting.fit(turned, commit="c", ridge=0.001, rounds=5)

        assert min((*found.shares.values(), *found.objections.values())) >= 0

    def test_the_gradient_is_that_of_the_loss(self, sets: fitting.Sets) -> None:
        """By differences, in every direction."""
        matrix = fitting.make_matrix(sets)
        size = len(fitting.SHARES) + len(fitting.OBJECTIONS) + 1 + len(sets)
        at = np.random.default_rng(0).uniform(0.1, 0.6, size)
        loss, gradient = fitting.loss_of(at, matrix, ridge=0.1)
        step = 1e-6
        slopes = [
            (fitting.loss_of(at + step * one, matrix, ridge=0.1)[0] - loss) / step
            for one in np.eye(size)
        ]

        assert slopes == pytest.approx(gradient.tolist(), abs=1e-4)

    def test_monotone_fit_pools_what_falls(self) -> None:
        """Neighbours in the wrong order get their weighted mean."""
        found = fitting.fit_monotone(np.array([0.2, 0.8, 0.4, 0.9]), np.array([1.0, 1.0, 3.0, 1.0]))

        assert found.tolist() == pytest.approx([0.2, 0.5, 0.5, 0.9])

    def test_documents_stay_together(self, sets: fitting.Sets) -> None:
        """In cross-validation each row gets one confidence, from weights without its document."""
        seen: list[set[str]] = []

        def fit_on(some: fitting.Sets) -> Weights:
            seen.append({row.group for one in some.values() for row in one.rows})
            return load_weights()

        found = measuring.cross_validate(sets, fit_on)

        assert all(score is not None for scores in found.values() for score in scores)
        for fold, groups in enumerate(seen):
            assert all(measuring.fold_of(group) != fold for group in groups)


class TestShippedFiles:
    def test_card_and_metrics_are_of_these_weights(self) -> None:
        """The card is what the script makes of the two files, figure by figure."""
        weights = decode_weights(DATA.joinpath("weights.json").read_bytes())
        metrics = json.loads(DATA.joinpath("metrics.json").read_text(encoding="utf-8"))

        assert metrics["weights"] == weights.revision
        assert DATA.joinpath("MODEL_CARD.md").read_text(encoding="utf-8") == train.make_card(
            weights, metrics
        )

    def test_weights_are_of_figures_that_exist(self) -> None:
        """Each name is a figure of grounding; each type of answer has its curve."""
        weights = load_weights()
        figures = fitting.measure_rows(make_rows(2, "begin")).figures[0]

        assert {*weights.shares, *weights.objections} <= set(figures)
        assert tuple(weights.shares) == fitting.SHARES
        assert tuple(weights.objections) == fitting.OBJECTIONS
        assert set(weights.curves) == {"short", "long", "unasked"}

    def test_families_left_out_reach_their_targets(self) -> None:
        """What the documentation promises is in the file."""
        sets = json.loads(DATA.joinpath("metrics.json").read_text(encoding="utf-8"))["sets"]
        targets = {
            "halueval_short": 0.80,
            "squad_other_article": 0.98,
            "squad_same_paragraph": 0.78,
            "squad_plausible": 0.53,
            "summedits": 0.50,
            "begin": 0.92,
        }

        assert {
            name for name, least in targets.items() if sets[name]["left_out"]["auc"] < least
        } == set()
