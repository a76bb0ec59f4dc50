"""Change answers that a context bears out: do the score of `grounding` and `confidence` follow?

Stories are drawn from templates; each gives answers that repeat its context. One number, name,
date or negation changed must lower both; the same facts in other order, case or spelling must not
fall below the threshold: 0.5 for the score, which no calibration has seen, and that of the preset
`general` for the confidence that ships. With `--dataset`, contexts of a file as `cert validate` reads it
are changed as well: sentences that stand in them, and the same with one value replaced.

Example:
    python benchmarks/metamorphic.py --stories 40 --format json
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from cert_otel.evaluation.combiners import CalibratedCombiner
from cert_otel.evaluation.grounding import GroundingEvaluator
from cert_otel.evaluation.grounding.reading import Reading
from cert_otel.evaluation.presets import PRESETS
from cert_otel.evaluation.sample import Sample
from cert_otel.records import ContextItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cert_otel.evaluation.grounding.reading import Sentence
    from cert_otel.evaluation.sample import Judgement

Change = Literal["number", "date", "name", "negation"]
Wording = Literal["order", "case", "spelling", "contraction"]

COMPANIES: Final = ("Halden Motors", "Brightwater Foods", "Orsten Group", "Pellandra Systems")
PEOPLE: Final = ("Maria Lindqvist", "Samuel Okafor", "Elena Petrova", "Tomas Herrera", "Joan Beck")
CITIES: Final = ("Rotterdam", "Lisbon", "Nairobi", "Osaka", "Winnipeg", "Gdansk", "Valencia")
REGIONS: Final = ("Brazil", "Norway", "Vietnam", "Morocco", "Canada", "Portugal")
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
COUNTS: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve")
DIGITS: Final = dict(zip(COUNTS, (2, 3, 4, 5, 6, 7, 8, 9, 10, 12), strict=True))


class Case(NamedTuple):
    """One answer, and what became of it."""

    context: str
    answer: str
    changed: str
    kind: Change | Wording

    @property
    def is_change(self) -> bool:
        """Whether the changed answer says something else, not the same in other words."""
        return self.kind in ("number", "date", "name", "negation")


class Figures(msgspec.Struct, frozen=True):
    """How often one figure did what it should."""

    changes: int
    changes_followed: int
    """It fell."""
    changes_passed: int
    """It was at the threshold or above all the same."""
    wordings: int
    wordings_followed: int
    """It stayed at the threshold or above."""
    missed: Mapping[str, int]
    """By kind."""


class Outcome(NamedTuple):
    """One figure of an answer before and after."""

    case: Case
    before: float | None
    after: float | None

    def passes(self, threshold: float) -> bool:
        """Whether the changed answer is at the threshold or above."""
        return self.after is not None and self.after >= threshold

    def follows(self, threshold: float) -> bool:
        """Whether the figure did what it should."""
        if not self.case.is_change:
            return self.passes(threshold)
        return self.before is not None and self.after is not None and self.after < self.before


class Measure(NamedTuple):
    """What is looked at, and what passes."""

    assess: Callable[[Sample, Judgement], float | None]
    threshold: float


class Story(NamedTuple):
    """What the sentences of one context say."""

    company: str
    chief: str
    city: str
    other: str
    region: str
    revenue: str
    staff: str
    countries: str
    percent: str
    distance: str
    day: int
    month: str
    year: int
    opened: int


FRAMES: Final = (
    # Of each answer: plain, in another order, denied; of the last two, the plain one denies.
    (
        "{company} reported revenue of {revenue} for the quarter that ended on {date}.",
        "For the quarter that ended on {date}, {company} reported revenue of {revenue}.",
        "{company} did not report revenue of {revenue} for the quarter that ended on {date}.",
    ),
    (
        "The group employs {staff} people in {countries} countries.",
        "In {countries} countries, the group employs {staff} people.",
        "The group does not employ {staff} people in {countries} countries.",
    ),
    (
        "The new plant near {city} opened in {opened}, {distance} from the harbour.",
        "In {opened}, the new plant near {city} opened, {distance} from the harbour.",
        "The new plant near {city} never opened in {opened}, {distance} from the harbour.",
    ),
    (
        "Sales in {region} grew by {percent}.",
        "In {region}, sales grew by {percent}.",
        "Sales in {region} did not grow by {percent}.",
    ),
    (
        "{chief}, who leads {company}, did not sell any shares.",
        "Any shares {chief}, who leads {company}, did not sell.",
        "{chief}, who leads {company}, sold shares.",
    ),
    (
        "The board did not approve the merger with {other}.",
        "The merger with {other} the board did not approve.",
        "The board approved the merger with {other}.",
    ),
)
SLOTS: Final[Mapping[str, Change]] = {
    "company": "name",
    "chief": "name",
    "city": "name",
    "other": "name",
    "region": "name",
    "revenue": "number",
    "staff": "number",
    "countries": "number",
    "percent": "number",
    "distance": "number",
    "date": "date",
    "opened": "date",
}


def draw_story(source: random.Random) -> Story:
    """Draw the values of one context."""
    company, other = source.sample(COMPANIES, 2)
    return Story(
        company=company,
        chief=source.choice(PEOPLE),
        city=source.choice(CITIES),
        other=other,
        region=source.choice(REGIONS),
        revenue=f"{source.randint(11, 995) / 10}",
        staff=f"{source.randint(1001, 98999):,}",
        countries=source.choice(COUNTS),
        percent=str(source.randint(11, 89)),
        distance=str(source.randint(13, 480)),
        day=source.randint(1, 28),
        month=source.choice(MONTHS),
        year=source.randint(1990, 2025),
        opened=source.randint(1950, 1989),
    )


def spell(story: Story) -> dict[str, str]:
    """Return the values as the context writes them."""
    return {
        "company": story.company,
        "chief": story.chief,
        "city": story.city,
        "other": story.other,
        "region": story.region,
        "revenue": f"${story.revenue} billion",
        "staff": story.staff,
        "countries": story.countries,
        "percent": f"{story.percent}%",
        "distance": f"{story.distance} kilometres",
        "date": f"{story.month} {story.day}, {story.year}",
        "opened": str(story.opened),
    }


def respell(story: Story, source: random.Random) -> dict[str, str]:
    """Return the same values in other spellings."""
    month = MONTHS.index(story.month) + 1
    revenue = (f"${story.revenue}B", f"{story.revenue} billion dollars", f"${story.revenue}bn")
    days = (
        f"{story.day} {story.month} {story.year}",
        f"{story.year}-{month:02}-{story.day:02}",
        f"the {story.day}th of {story.month} {story.year}",
    )
    return spell(story) | {
        "revenue": source.choice(revenue),
        "staff": story.staff.replace(",", ""),
        "countries": str(DIGITS[story.countries]),
        "percent": source.choice((f"{story.percent} percent", f"{story.percent} per cent")),
        "distance": source.choice((f"{story.distance} km", f"{story.distance} kilometers")),
        "date": source.choice(days),
    }


def write_context(story: Story) -> str:
    """Write the paragraph that bears the answers out."""
    return " ".join(plain.format(**spell(story)) for plain, _, _ in FRAMES)


def draw_cases(stories: int, seed: int = 0) -> Iterator[Case]:
    """Draw stories, and yield every change and every wording of their answers."""
    source = random.Random(seed)  # noqa: S311 - a sample
    for _ in range(stories):
        story, strange = draw_story(source), draw_story(source)
        context = write_context(story)
        for frame in FRAMES:
            yield from vary(context, frame, story, strange, source)


def vary(
    context: str, frame: tuple[str, str, str], story: Story, strange: Story, source: random.Random
) -> Iterator[Case]:
    """Yield what one answer can become."""
    plain, reordered, denied = frame
    values, others, again = spell(story), spell(strange), respell(story, source)
    answer = plain.format(**values)
    for slot, kind in SLOTS.items():
        if f"{{{slot}}}" in plain and others[slot] not in context:
            yield Case(context, answer, plain.format(**values | {slot: others[slot]}), kind)
    yield Case(context, answer, denied.format(**values), "negation")
    yield Case(context, answer, reordered.format(**values), "order")
    yield Case(context, answer, answer.upper(), "case")
    yield Case(context, answer, answer.lower(), "case")
    if again != values and plain.format(**again) != answer:
        yield Case(context, answer, plain.format(**again), "spelling")
    if "did not" in answer:
        yield Case(context, answer, answer.replace("did not", "didn't"), "contraction")


def read_cases(path: Path, limit: int, seed: int = 0) -> Iterator[Case]:
    """Yield changed sentences of the contexts of a data set."""
    rows = (json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip())
    contexts = sorted({row["context"] for row in rows})
    source = random.Random(seed)  # noqa: S311 - a sample
    source.shuffle(contexts)
    for context in contexts[:limit]:
        yield from change_sentences(context, source)


def change_sentences(context: str, source: random.Random) -> Iterator[Case]:
    """Yield each sentence of a context with one number, name or auxiliary verb changed.

    Numbers and names are exchanged for others of the same context: each word of the changed
    answer stands there, somewhere else.
    """
    reading = Reading((context,))
    for place, sentence in enumerate(reading.sentences):
        text = context[sentence.start : sentence.end]
        numbers = [(where, found.start, found.end) for where, found in reading.quantities]
        names = [(where, n.start, n.end) for where, n in reading.names if not n.is_initial]
        kinds: tuple[tuple[Change, list[tuple[int, int, int]]], ...] = (
            ("number", numbers),
            ("name", names),
        )
        for kind, stretches in kinds:
            changed = exchange(context, sentence, place, stretches, source)
            if changed is not None:
                yield Case(context, text, changed, kind)
        verb = re.search(r"\b(?:is|was|are|were|can|could|will|would)\b(?! not)", text)
        if verb:
            yield Case(context, text, f"{text[: verb.end()]} not{text[verb.end() :]}", "negation")


def exchange(
    context: str,
    sentence: Sentence,
    place: int,
    stretches: Sequence[tuple[int, int, int]],
    source: random.Random,
) -> str | None:
    """Put another stretch of the context for one of a sentence; `None` if there is no other."""
    text = context[sentence.start : sentence.end]
    own = [(start, end) for where, start, end in stretches if where == place]
    others = [context[start:end] for where, start, end in stretches if where != place]
    others = [other for other in others if other.lower() not in text.lower()]
    if not own or not others:
        return None
    start, end = source.choice(own)
    if context[start:end].lower() in (other := source.choice(others)).lower():
        return None  # "Warsaw" for "Warsaw Uprising" may still be true
    return context[sentence.start : start] + other + context[end : sentence.end]


def judge(cases: Iterable[Case], name: str = "confidence") -> tuple[Figures, list[Case]]:
    """Measure each answer before and after; return the figures, and the cases that were missed.

    Args:
        cases: Answers and what became of them.
        name: One of `MEASURES`.
    """
    evaluator, measure = GroundingEvaluator(), MEASURES[name]
    outcomes = [measure_case(case, evaluator, measure.assess) for case in cases]
    missed = [one.case for one in outcomes if not one.follows(measure.threshold)]
    totals = Counter(one.case.is_change for one in outcomes)
    wrong = Counter(case.is_change for case in missed)
    return Figures(
        changes=totals[True],
        changes_followed=totals[True] - wrong[True],
        changes_passed=sum(o.case.is_change and o.passes(measure.threshold) for o in outcomes),
        wordings=totals[False],
        wordings_followed=totals[False] - wrong[False],
        missed=dict(sorted(Counter(case.kind for case in missed).items())),
    ), missed


def measure_case(
    case: Case,
    evaluator: GroundingEvaluator,
    assess: Callable[[Sample, Judgement], float | None],
) -> Outcome:
    """Measure the answer as it was and as it became."""
    context = (ContextItem(text=case.context),)
    samples = [Sample(answer=text, context=context) for text in (case.answer, case.changed)]
    before, after = map(assess, samples, evaluator.judge(samples))
    return Outcome(case, before, after)


def take_score(_: Sample, judgement: Judgement) -> float | None:
    """Return what `grounding` says."""
    return judgement.score


def form_confidence(sample: Sample, judgement: Judgement) -> float | None:
    """Return what `cert evaluate` compares with the threshold."""
    return COMBINER.combine(sample, [judgement])


COMBINER: Final = CalibratedCombiner()
MEASURES: Final[Mapping[str, Measure]] = {
    "score": Measure(take_score, 0.5),
    "confidence": Measure(form_confidence, PRESETS["general"].threshold),
}


def format_figures(name: str, figures: Figures) -> str:
    """Format the figures of one measure."""
    return (
        f"{name} (passes from {MEASURES[name].threshold:.2f})\n"
        f"  changed:  fell in {figures.changes_followed:,} of {figures.changes:,}; "
        f"{figures.changes_passed:,} still pass\n"
        f"  reworded: still pass {figures.wordings_followed:,} of {figures.wordings:,}\n"
        f"  missed:   {dict(figures.missed) or 'none'}"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stories", type=int, default=40)
    parser.add_argument("--dataset", type=Path, help="contexts to change as well")
    parser.add_argument("--contexts", type=int, default=200, help="of the data set")
    parser.add_argument("--show", type=int, default=0, help="cases missed to print")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args()
    cases = list(draw_cases(options.stories))
    if options.dataset:
        cases += read_cases(options.dataset, options.contexts)
    found = {name: judge(cases, name) for name in MEASURES}
    if options.format == "json":
        print(json.dumps({name: msgspec.to_builtins(one) for name, (one, _) in found.items()}))
        return
    for name, (figures, missed) in found.items():
        print(format_figures(name, figures))
        for case in missed[: options.show]:
            print(f"    {case.kind}: {case.answer}\n      -> {case.changed}")


if __name__ == "__main__":
    main()
