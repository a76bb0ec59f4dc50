"""What a context bears out of an answer, figure by figure."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cert_otel.evaluation.grounding import GroundingFeatures, measure
from cert_otel.evaluation.sample import Sample
from cert_otel.records import ContextItem

CONTEXT = (
    "Apple Inc. reported revenue of $89.5 billion for the quarter that ended on March 12, 2014. "
    "John Smith, its chief, did not resign. The company bought twenty-five phones and 30% of the "
    'stock. He called it "a very good year" and set max_tokens to 512.'
)
scraps = st.lists(
    st.sampled_from(
        [
            "$",
            "5",
            "%",
            "not ",
            "NASA ",
            '"',
            "“",
            "`",
            "日本",
            "İ",
            "\ud800",
            "March ",
            "a_b",
            ". ",
        ]
    )
    | st.text(max_size=5),
    max_size=20,
).map("".join)


def look(answer: str, *passages: str, question: str | None = None) -> GroundingFeatures:
    """Measure an answer against passages, by default the one of this module."""
    context = tuple(ContextItem(text=text) for text in passages or (CONTEXT,))
    return measure(Sample(answer=answer, context=context, question=question))


class TestMeasure:
    @settings(max_examples=200)
    @given(scraps, scraps, st.none() | scraps)
    def test_figures_are_shares(self, answer: str, context: str, question: str | None) -> None:
        """Whatever the texts, a figure is missing or in [0, 1]."""
        features = look(answer, context, question=question)

        assert all(v is None or 0 <= v <= 1 for v in msgspec.structs.astuple(features))

    def test_a_copy_is_borne_out(self) -> None:
        """A sentence of the context has every figure that it has at 1."""
        features = look("John Smith, its chief, did not resign.")

        assert {v for v in msgspec.structs.astuple(features) if v is not None} == {1}

    def test_what_is_not_there_has_no_figure(self) -> None:
        """An answer without numbers, dates, names and quotations has no such figures."""
        features = look("revenue")

        assert features.terms == 1
        assert (features.numbers, features.dates, features.names) == (None, None, None)
        assert (features.quotes, features.code, features.facts) == (None, None, None)
        assert (features.question_gap, features.question_place) == (None, None)

    @pytest.mark.parametrize(
        ("figure", "borne", "wrong"),
        [
            ("numbers", "revenue of 89.5 billion dollars", "revenue of $450B"),
            ("numbers", "25 phones", "26 phones"),
            ("dates", "the quarter to 2014-03-12", "the quarter to 12 April 2014"),
            ("names", "said John Smith", "said Peter Jones"),
            ("quotes", 'he said "a very good year"', 'he said "a very bad year"'),
            ("code", "it set max_tokens", "it set min_tokens"),
            ("terms", "the chief", "the astronaut"),
            ("negation", "John Smith did not resign", "John Smith did resign"),
            ("consistent", "bought 25 phones", "bought 26 phones"),
        ],
    )
    def test_right_and_wrong(self, figure: str, borne: str, wrong: str) -> None:
        """Each figure is 1 for what the context says, and less for what it does not."""
        assert getattr(look(borne), figure) == 1
        assert getattr(look(wrong), figure) < 1

    @pytest.mark.parametrize(
        "answer",
        [
            "Apple Inc. reported revenue of 89.5 billion dollars for the quarter",
            "reported revenue of $89.5B for the quarter",
            "the quarter that ended on 12 March 2014.",
            "the quarter that ended on 2014-03-12.",
            "The company bought 25 phones and 30 percent of the stock",
        ],
    )
    def test_spelling_is_no_difference(self, answer: str) -> None:
        """A number or date in another spelling has the sentence and the neighbours of its source."""
        features = look(answer)

        assert (features.terms, features.bigrams) == (1, 1)
        assert features.sentences == pytest.approx(1)

    def test_words_between_are_no_difference(self) -> None:
        """Content words that are neighbours in the context stay so, whatever stands between."""
        page = "The company reported revenue of $89.5 billion for the quarter."

        assert look("Revenue was 89.5B dollars.", page).bigrams == 1
        assert look("Revenue was not 89.5B dollars.", page).bigrams == pytest.approx(2 / 5)
        assert look("Quarter by quarter: revenue, reported.", page).bigrams == 0

    def test_spelling_of_another_sentence(self) -> None:
        """What another sentence says is not held by the nearest one, however it is spelled."""
        page = (
            "Sales reached 40 million euros in Norway, in the north. Costs were $5 billion there."
        )
        held, strange = (
            look(text, page).sentences
            for text in ("Sales reached €40M in Norway.", "Sales reached $5B in Norway.")
        )

        assert held == pytest.approx(1)
        assert strange is not None
        assert strange < 1

    def test_a_year_that_counts(self) -> None:
        """Four digits before what the context has as many of are a number, and no year."""
        features = look("It employs 1925 people", "The group employs 1,925 people.")
        year = look("It was founded in 1925", "The group employs 1,925 people.")

        assert (features.numbers, features.dates) == (1, None)
        assert year.dates == 0

    def test_no_answer_no_context(self) -> None:
        """Without one of them there is no figure at all."""
        assert look("", CONTEXT) == look("revenue", "") == GroundingFeatures()

    def test_passages_count_together(self) -> None:
        """Numbers, names and terms may stand in different passages."""
        features = look("Maria Beck sold 40 cars", "He sold 40 cars.", "They met Maria Beck.")

        assert (features.numbers, features.names, features.terms) == (1, 1, 1)
        assert features.sentences is not None
        assert features.sentences < 1


class TestQuestion:
    PAGE = (
        "The bridge was designed by Paula Weiss in 1931. The tower beside it was built by Hugo "
        "Lind in 1958. A storm damaged the station in 1974."
    )

    @pytest.mark.parametrize(
        ("question", "right", "wrong"),
        [
            ("Who designed the bridge?", "Paula Weiss", "Hugo Lind"),
            ("Who built the tower?", "Hugo Lind", "Paula Weiss"),
            ("When did a storm damage the station?", "1974", "1931"),
            ("When was the tower built?", "1958", "1974"),
        ],
    )
    def test_the_place_decides(self, question: str, right: str, wrong: str) -> None:
        """Of two answers of the page, the one from where the question points is ahead."""
        good, bad = (look(text, self.PAGE, question=question) for text in (right, wrong))

        assert good.terms == bad.terms == 1
        assert good.question_place is not None
        assert bad.question_place is not None
        assert good.question_gap is not None
        assert bad.question_gap is not None
        assert good.question_place > bad.question_place
        assert good.question_gap > bad.question_gap

    def test_nearness_decides_within_a_sentence(self) -> None:
        """Of two names of one sentence, the one beside the question's words is ahead."""
        page = "The opera was written by Clara Moss and the ballet was staged by Nora Duarte."
        good, bad = (
            look(text, page, question="Who staged the ballet?")
            for text in ("Nora Duarte", "Clara Moss")
        )

        assert good.question_gap == bad.question_gap
        assert good.question_place is not None
        assert bad.question_place is not None
        assert good.question_place > bad.question_place

    @pytest.mark.parametrize(
        ("question", "answer", "form"),
        [
            ("How many towers were built?", "12", 1),
            ("How many towers were built?", "Hugo Lind", 0),
            ("When was it built?", "in 1931", 1),
            ("When was it built?", "by a storm", 0),
            ("Who built it?", "Hugo Lind", 1),
            ("Who built it?", "in 1931", 0),
            ("Why was it built?", "by a storm", None),
        ],
    )
    def test_the_form_that_is_asked_for(
        self, question: str, answer: str, form: float | None
    ) -> None:
        """How many asks for a number, when for a date, who for a name, why for none of them."""
        assert look(answer, self.PAGE, question=question).question_form == form

    def test_other_forms_of_the_words(self) -> None:
        """A question that says "invaded" points at an invasion."""
        page = "The invasion of Malta began in 1565. The harbour was finished in 1580."
        good, bad = (look(text, page, question="When was it invaded?") for text in ("1565", "1580"))

        assert good.question_place is not None
        assert bad.question_place is not None
        assert good.question_place > bad.question_place

    def test_a_choice_may_repeat_the_question(self) -> None:
        """Where the question offers answers, saying one of them is no echo."""
        page = "The ship left Oslo in May. A storm from the west met the ship near Bergen."
        offered = look("Oslo", page, question="Did a storm meet it at Oslo or Bergen?")
        echoed = look("Oslo", page, question="Did a storm meet it at Oslo and Bergen?")

        assert offered.question_place is not None
        assert echoed.question_place is not None
        assert offered.question_place > echoed.question_place

    def test_statements_ask_nothing(self) -> None:
        """A message that is no question has no part in the figures."""
        features = look("Paula Weiss", self.PAGE, question="I like bridges.")

        assert features.question_gap is None

    def test_several_passages(self) -> None:
        """Places are told apart when each sentence is a passage of its own."""
        passages = [f"{part}." for part in self.PAGE.rstrip(".").split(". ")]
        question = "When did a storm damage the station?"
        good, bad = (look(text, *passages, question=question) for text in ("1974", "1931"))

        assert good.question_place is not None
        assert bad.question_place is not None
        assert good.question_place > bad.question_place
