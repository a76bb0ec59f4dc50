"""From figures to one confidence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.errors import ConfigError
from cert_otel.evaluation.combiners import (
    VETOED,
    CalibratedCombiner,
    make_combiner,
    pool,
)
from cert_otel.evaluation.confidence import (
    ANSWER_TYPES,
    calibrate,
    decode_weights,
    find_answer_type,
    load_weights,
    weigh,
)
from cert_otel.evaluation.presets import PRESETS, get_preset
from cert_otel.evaluation.sample import Evidence, Judgement, Sample

if TYPE_CHECKING:
    from cert_otel.evaluation.confidence import AnswerType

WEIGHTS = load_weights()
NAMES = (*WEIGHTS.shares, *WEIGHTS.objections)
SHARE = st.floats(0, 1)
FIGURES = st.fixed_dictionaries(
    {name: (SHARE if name == "terms" else st.none() | SHARE) for name in NAMES}
)
TYPES = st.sampled_from(ANSWER_TYPES)


def judge(name: str, score: float | None, *evidence: Evidence) -> Judgement:
    """Make a judgement."""
    return Judgement(name=name, score=score, evidence=evidence, evaluator="test")


class TestScore:
    @given(FIGURES, st.sampled_from(NAMES), SHARE, TYPES)
    def test_a_figure_that_rises_never_lowers_it(
        self, figures: dict[str, float | None], name: str, other: float, kind: AnswerType
    ) -> None:
        """Whatever the other figures are, in score and in confidence."""
        now = figures[name]
        low, high = sorted((other if now is None else now, other))
        lower, higher = (weigh({**figures, name: value}) for value in (low, high))

        assert lower is not None
        assert higher is not None
        assert 0 <= lower <= higher + 1e-12 <= 1 + 1e-9
        assert calibrate(lower, kind).value <= calibrate(higher, kind).value + 1e-9

    @given(st.fixed_dictionaries(dict.fromkeys(WEIGHTS.shares, SHARE)))
    def test_a_missing_share_leaves_the_mean_to_the_others(self, shares: dict[str, float]) -> None:
        """As if it had the mean of the others, and never as if it were 0."""
        name = "question_gap"
        rest = {key: value for key, value in shares.items() if key != name}
        score = weigh({**rest, name: None})

        assert score == pytest.approx(weigh({**rest, name: score}))

    @given(FIGURES)
    def test_an_objection_without_cause_takes_nothing(
        self, figures: dict[str, float | None]
    ) -> None:
        """An answer without numbers scores as one whose numbers are all right."""
        assert weigh({**figures, "numbers": None}) == weigh({**figures, "numbers": 1.0})

    def test_each_objection_takes_its_part(self) -> None:
        """Of a score of 1, what its weight says."""
        whole: dict[str, float | None] = dict.fromkeys(WEIGHTS.shares, 1.0)
        for name, weight in WEIGHTS.objections.items():
            assert weigh({**whole, name: 0.0}) == pytest.approx(1 - weight)

    def test_nothing_to_check_is_unknown(self) -> None:
        """Without a term that could be borne out there is no score, whatever else there is."""
        assert weigh({}) is None
        assert weigh(dict.fromkeys(NAMES, 1.0) | {"terms": None}) is None


class TestCalibration:
    @given(TYPES, SHARE)
    def test_lies_within_its_interval(self, kind: AnswerType, score: float) -> None:
        """The confidence is a probability, and inside of what it may be."""
        found = calibrate(score, kind)

        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.value <= found.high <= 1

    @given(TYPES, SHARE, SHARE)
    def test_a_higher_score_is_a_higher_confidence(
        self, kind: AnswerType, one: float, other: float
    ) -> None:
        """Scores that differ by a hundredth never share a confidence: no order is lost."""
        low, high = sorted((one, other))
        if high - low >= 0.01:
            assert calibrate(low, kind).value < calibrate(high, kind).value

    @pytest.mark.parametrize(
        ("question", "words", "kind"),
        [("Who?", 8, "short"), ("Who?", 9, "long"), (None, 3, "unasked"), (" ", 3, "unasked")],
    )
    def test_types_are_told_by_question_and_length(
        self, question: str | None, words: int, kind: str
    ) -> None:
        """Up to eight words to a question are short."""
        assert find_answer_type(Sample(answer="word " * words, question=question)) == kind


class TestPool:
    @given(SHARE, st.none() | SHARE)
    def test_a_missing_score_changes_no_mean(self, own: float, other: float | None) -> None:
        """Neither does an evaluator that asks something else."""
        assert pool(own, {"nli": other, "judge": None, "toxicity": 0.0}) == pool(
            own, {"nli": other}
        )
        assert pool(own, {"nli": None}) == own

    @given(SHARE, SHARE, SHARE)
    def test_a_score_that_rises_never_lowers_it(self, own: float, one: float, two: float) -> None:
        """A second opinion pulls to its side."""
        low, high = (pool(own, {"nli": score}) for score in sorted((one, two)))

        assert low is not None
        assert high is not None
        assert low <= high + 1e-12

    def test_two_opinions_meet_in_the_middle(self) -> None:
        """In log-odds: 0.9 and 0.1 are even odds; nobody decides by being sure."""
        assert pool(0.9, {"nli": 0.1}) == pytest.approx(0.5)
        assert pool(0.5, {"judge": 0.0}) == pytest.approx(1 / (1 + math.sqrt(99)))


class TestCombiner:
    def test_nothing_judged_is_unknown(self) -> None:
        """Without any score there is no confidence."""
        combiner = CalibratedCombiner()

        assert combiner.assess(Sample(answer="x"), [judge("grounding", None)]) is None
        assert combiner.combine(Sample(answer="x"), []) is None

    def test_grounding_alone_is_its_calibration(self) -> None:
        """With the interval, and the type of the answer."""
        sample = Sample(answer="1889", question="When was it built?")
        found = CalibratedCombiner().assess(sample, [judge("grounding", 0.9)])

        assert found == calibrate(0.9, "short")

    def test_another_evaluator_alone_is_not_calibrated(self) -> None:
        """Its score is taken as it is, and no interval is claimed."""
        found = CalibratedCombiner().assess(Sample(answer="x"), [judge("nli", 0.8)])

        assert found is not None
        assert found.value == pytest.approx(0.8)
        assert found.low is found.high is None

    def test_a_contradicted_number_fails_a_financial_answer(self) -> None:
        """Whatever the rest is worth; under the general preset it is one figure of many."""
        judgement = judge(
            "grounding", 1.0, Evidence(start=0, end=2, kind="number", finding="contradicted")
        )
        sample = Sample(answer="$450B")
        financial = make_combiner(preset=get_preset("financial")).assess(sample, [judgement])
        general = make_combiner(preset=get_preset("general")).assess(sample, [judgement])

        assert financial is not None
        assert general is not None
        assert financial.vetoed
        assert financial.value <= VETOED < get_preset("financial").threshold
        assert general.value == calibrate(1.0, "unasked").value

    def test_an_unknown_name_is_an_error(self) -> None:
        """That lists what there is."""
        with pytest.raises(ConfigError, match="calibrated and cert"):
            make_combiner("mean")


class TestPresets:
    def test_thresholds_are_those_of_the_design(self) -> None:
        """General 0.70, financial 0.80, healthcare 0.85, legal 0.80."""
        assert {name: preset.threshold for name, preset in PRESETS.items()} == {
            "general": 0.70,
            "financial": 0.80,
            "healthcare": 0.85,
            "legal": 0.80,
        }

    def test_a_misspelt_name_gets_a_hint(self) -> None:
        """The error names the one that comes nearest."""
        with pytest.raises(ConfigError, match="did you mean legal"):
            get_preset("legall")


class TestWeights:
    def test_revision_changes_with_the_content(self) -> None:
        """Another weight, another revision; the same content, the same."""
        other = msgspec.structs.replace(WEIGHTS, shares={**WEIGHTS.shares, "terms": 0.5})

        assert decode_weights(msgspec.json.encode(WEIGHTS)).revision == WEIGHTS.revision
        assert other.revision != WEIGHTS.revision

    def test_what_the_rest_relies_on_is_checked(self) -> None:
        """Negative weights, objections that take everything and curves that fall are refused."""
        curve = msgspec.structs.replace(WEIGHTS.curves["short"], confidences=(0.9,) * 2)
        for broken, problem in (
            ({"shares": {"terms": -0.1}}, "negative"),
            ({"objections": {"numbers": 1.0}}, "takes everything"),
            ({"curves": {"short": curve}}, "falls or has gaps"),
        ):
            encoded = msgspec.json.encode(msgspec.structs.replace(WEIGHTS, **broken))
            with pytest.raises(ValueError, match=problem):
                decode_weights(encoded)
