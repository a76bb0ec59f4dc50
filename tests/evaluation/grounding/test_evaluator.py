"""Scores, labels and evidence of `grounding`."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import cast

import pytest

from cert_otel.evaluation.grounding import GroundingEvaluator
from cert_otel.evaluation.grounding.cache import ReadingCache
from cert_otel.evaluation.sample import Judgement, Sample, SampleEvaluator
from cert_otel.records import ContextItem

FIRST = "The group sold 120 ships in 1999. It did not sell planes."
SECOND = "Maria Beck leads the group from Oslo."


def sample(answer: str, *passages: str, route: str | None = None) -> Sample:
    """Make a sample, by default with the two passages of this module."""
    context = tuple(ContextItem(text=text) for text in passages or (FIRST, SECOND))
    return Sample(answer=answer, context=context, route=route)


def judge(answer: str, *passages: str) -> Judgement:
    """Judge one answer."""
    (judgement,) = GroundingEvaluator().judge([sample(answer, *passages)])
    return judgement


class TestScores:
    def test_is_an_evaluator(self) -> None:
        """It is what hosts expect."""
        assert isinstance(GroundingEvaluator(), SampleEvaluator)
        assert GroundingEvaluator().name == "grounding"

    def test_right_and_wrong(self) -> None:
        """What the context says passes, what it does not say fails."""
        right = judge("The group sold 120 ships in 1999.")
        wrong = judge("The airline bought 7 planes from Peter Jones in 2004.")

        assert right.score == pytest.approx(1)
        assert (right.label, wrong.label) == ("pass", "fail")
        assert right.latency_ms is not None
        assert right.revision is not None

    def test_the_threshold_is_a_setting(self) -> None:
        """The same score passes or fails as the host decides; what counts is the confidence."""
        answers = [sample("The group sold 130 ships in 1999.")]
        (low,) = GroundingEvaluator(threshold=0.1).judge(answers)
        (high,) = GroundingEvaluator(threshold=0.99).judge(answers)

        assert low.score == high.score
        assert (low.label, high.label) == ("pass", "fail")

    @pytest.mark.parametrize(
        ("answer", "passages", "reason"),
        [
            (" \n", (FIRST,), "empty_answer"),
            ("Oslo", (" ",), "no_context"),
            ("It is.", (FIRST,), "nothing_to_check"),
            ("?!", (FIRST,), "nothing_to_check"),
        ],
    )
    def test_no_score_without_grounds(
        self, answer: str, passages: tuple[str, ...], reason: str
    ) -> None:
        """What cannot be judged has a reason, and neither score nor label."""
        judgement = judge(answer, *passages)

        assert (judgement.score, judgement.label, judgement.reason) == (None, None, reason)

    def test_one_bad_sample(self) -> None:
        """A sample that cannot be read takes no other along."""
        bad = Sample(answer="Oslo", context=(ContextItem(text=cast("str", None)),))
        broken, fine = GroundingEvaluator().judge([bad, sample("Oslo")])

        assert (broken.score, broken.reason) == (None, "error: AttributeError")
        assert fine.score == 1


class TestEvidence:
    @pytest.mark.parametrize(
        ("answer", "stretch", "kind", "finding"),
        [
            ("The group sold 130 ships in 1999.", "130", "number", "contradicted"),
            ("The group sold 120 ships in 1998.", "1998", "date", "contradicted"),
            ("Peter Beck leads the group.", "Peter Beck", "name", "contradicted"),
            ("Maria Beck leads the group from Lima.", "Lima", "name", "missing"),
            ("It sold planes.", "It sold planes.", "negation", "contradicted"),
            ("The group sold wooden ships.", "wooden", "term", "missing"),
            ('She said "sell the ships".', '"sell the ships"', "quote", "missing"),
            ("She called sell_ships().", "sell_ships()", "code", "missing"),
        ],
    )
    def test_points_at_the_stretch(
        self, answer: str, stretch: str, kind: str, finding: str
    ) -> None:
        """The stretch that is not borne out is marked, with what is wrong about it."""
        found = [
            (answer[item.start : item.end], item.kind, item.finding)
            for item in judge(answer).evidence
        ]

        assert (stretch, kind, finding) in found

    def test_points_at_the_context(self) -> None:
        """Each finding names the passage and the sentence that were looked at."""
        (finding,) = judge("Maria Beck leads the group from Lima.").evidence

        assert finding.context_item == 1
        assert finding.context_start == 0
        assert finding.context_end == len(SECOND)

    def test_nothing_to_point_at(self) -> None:
        """A borne-out answer has no findings."""
        assert judge("Maria Beck leads the group from Oslo.").evidence == ()


class TestRoutes:
    def test_off_without_a_route(self) -> None:
        """Without a route the same sample has the same judgement, whatever came before."""
        evaluator = GroundingEvaluator()
        (first,) = evaluator.judge([sample("The group sold wooden ships.")])
        evaluator.judge([sample("wood", "wooden " * 50, route="r")])
        (second,) = evaluator.judge([sample("The group sold wooden ships.")])

        assert (first.score, first.revision) == (second.score, second.revision)

    def test_adapts_by_route(self) -> None:
        """Terms of every context of a route lose weight there, and the revision says so."""
        evaluator = GroundingEvaluator()
        pages = [f"The wooden ships of company {i} were sold." for i in range(300)]
        (before,) = evaluator.judge([sample("wooden zeppelins", route="yard")])
        evaluator.judge([sample("wooden ships", page, route="yard") for page in pages])
        (after,) = evaluator.judge([sample("wooden ships sank", route="yard")])
        (elsewhere,) = evaluator.judge([sample("wooden zeppelins", route="other")])

        assert before.revision == elsewhere.revision != after.revision

    def test_the_same_state_gives_the_same_result(self) -> None:
        """Two evaluators that saw the same samples agree in score and revision."""
        samples = [sample(f"{i} wooden ships", f"{i} ships of wood", route="r") for i in range(20)]
        one, two = (
            [(j.score, j.revision) for j in GroundingEvaluator().judge(samples)] for _ in "ab"
        )

        assert one == two

    def test_a_context_known_from_elsewhere_is_learnt(self) -> None:
        """A context that another route brought first counts for this one as well."""
        evaluator = GroundingEvaluator()
        evaluator.judge([sample("ships"), sample("ships", route="a"), sample("ships", route="b")])
        again = evaluator.judge([sample("ships", route="a"), sample("ships", route="b")])

        assert again[0].revision == again[1].revision
        assert again[0].revision != evaluator.judge([sample("ships", route="c")])[0].revision


class TestReadingCache:
    def test_reads_once(self) -> None:
        """The same passages are the same reading."""
        cache = ReadingCache()

        assert cache.read((FIRST, SECOND)) is cache.read((FIRST, SECOND))
        assert cache.read((FIRST,)) is not cache.read((FIRST, SECOND))

    def test_is_bounded(self) -> None:
        """The text that was not asked for longest goes first; one that is too long never stays."""
        cache = ReadingCache(max_characters=10)
        first = cache.read(("aaaa",))
        cache.read(("bbbb",))
        assert cache.read(("aaaa",)) is first
        second = cache.read(("cccc",))

        assert cache.read(("aaaa",)) is first
        assert cache.read(("cccc",)) is second
        long = cache.read(("d" * 11,))
        assert cache.read(("d" * 11,)) is not long
        assert cache.read(("aaaa",)) is first

    def test_threads(self) -> None:
        """Threads that judge at once get what one thread gets."""
        evaluator = GroundingEvaluator()
        samples = [sample(f"{i} ships", f"{i % 7} ships sank.") for i in range(50)]
        expected = [one.score for one in evaluator.judge(samples)]
        results: list[list[float | None]] = []
        threads = [
            threading.Thread(
                target=lambda: results.append([one.score for one in evaluator.judge(samples)])
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert results == [expected] * 4


class TestImport:
    def test_is_light(self) -> None:
        """Importing it loads no neural network, no arrays, no telemetry."""
        code = (
            "import sys, cert_otel.evaluation.grounding;"
            "print([m for m in ('torch', 'numpy', 'scipy', 'opentelemetry') if m in sys.modules])"
        )
        output = subprocess.check_output([sys.executable, "-c", code], text=True)

        assert output.strip() == "[]"


class TestHostileTexts:
    @pytest.mark.parametrize(
        "text",
        [
            "a." * 9000,
            "1," * 9000,
            "\n " * 9000 + "x",
            "漢" * 9000,
            "two " * 6000,
            "a_" * 9000,
            '"' * 9000,
        ],
    )
    def test_end(self, text: str) -> None:
        """Texts made to be slow end in a judgement like any: none takes a minute."""
        context = (ContextItem(text=text),)
        samples = [Sample(answer=text, question=text, context=context)]
        (judgement,) = GroundingEvaluator().judge(samples)

        assert judgement.reason in (None, "nothing_to_check")
