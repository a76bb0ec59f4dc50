"""How closely the terms of a question surround a stretch of the context."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cert_otel.evaluation.grounding.reading import Reading

Form = Literal["number", "name", "words"]
"""What a stretch looks like, and what it is compared with."""
Span = tuple[int, int]
"""First token, and behind the last."""

_HALVING: Final = 12.0
"""Tokens at which a term of the question counts half."""
_OTHER_SENTENCE: Final = 0.5
"""What a term counts for with each sentence between."""
_WINDOW: Final = 12
"""Tokens around the rarest term of an answer in which its other terms are looked for."""
_SENTENCES: Final = 6
"""Sentences, those that hold most of the question, in which rivals are looked for."""
_PHRASES: Final = 200
"""Places at which a text as long as the answer is compared with it."""
_OCCURRENCES: Final = 8
"""Places of an answer that are looked at."""


class Surroundings:
    """The terms of a question in one context."""

    def __init__(self, terms: Mapping[str, float], context: Reading) -> None:
        self._context = context
        self._total = sum(terms.values())
        self._terms = [
            (weight, context.positions[key])
            for key, weight in terms.items()
            if key in context.positions
        ]

    def measure(self, span: Span) -> float:
        """Return the share of the question's terms by weight, the nearer the more."""
        if not self._total:
            return 0.0
        return (
            sum(weight * self._pull(span, places) for weight, places in self._terms) / self._total
        )

    def _pull(self, span: Span, places: Sequence[int]) -> float:
        first, last = span
        sentences = self._context.sentence_of
        here = sentences[first]
        before, behind = bisect_left(places, first) - 1, bisect_left(places, last)
        pull = 0.0
        if before >= 0:
            between = here - sentences[places[before]]
            pull = _OTHER_SENTENCE**between / (1 + (first - places[before]) / _HALVING)
        if behind < len(places):
            between = sentences[places[behind]] - here
            distance = places[behind] - last + 1
            pull = max(pull, _OTHER_SENTENCE**between / (1 + distance / _HALVING))
        return pull


def locate(answer: Reading, terms: Mapping[str, float], context: Reading) -> list[Span]:
    """Return where the context says what the answer says.

    Args:
        answer: Looked for word by word first.
        terms: The terms that matter, by weight; where the wording differs, the places of the
            rarest one are taken, with whichever others stand near it.
        context: Where to look.
    """
    keys = [token.key for token in answer.tokens]
    found = [
        (place, place + len(keys))
        for place in context.positions.get(keys[0], ())[:_PHRASES]
        if [token.key for token in context.tokens[place : place + len(keys)]] == keys
    ]
    return found or list(_locate_loosely(terms, context))


def _locate_loosely(terms: Mapping[str, float], context: Reading) -> Iterator[Span]:
    held = [key for key in terms if key in context.positions]
    if not held:
        return
    rarest = max(held, key=lambda key: terms[key])
    for place in context.positions[rarest][:_OCCURRENCES]:
        near = [place]
        for key in held:
            beside = [p for p in context.positions[key] if abs(p - place) <= _WINDOW]
            near += sorted(beside, key=lambda p: abs(p - place))[:1]
        yield min(near), max(near) + 1


def find_form(answer: Reading) -> Form:
    """Return what an answer looks like."""
    if answer.quantities or answer.dates:
        return "number"
    return "name" if answer.names else "words"


def find_rivals(
    form: Form, asked: Mapping[str, float], recall: Mapping[int, float], context: Reading
) -> list[Span]:
    """Return what else of the same form stands where the question points.

    Args:
        form: Of the answer.
        asked: The terms of the question; what holds no other term is no answer.
        recall: How much of the question each sentence holds.
        context: Where to look.
    """
    places = set(sorted(recall, key=lambda place: (-recall[place], place))[:_SENTENCES])
    return [
        span
        for span in _find_all(form, asked, places, context)
        if any(
            token.is_content and token.key not in asked
            for token in context.tokens[span[0] : span[1]]
        )
    ]


def _find_all(
    form: Form, asked: Mapping[str, float], places: set[int], context: Reading
) -> Iterator[Span]:
    if form == "number":
        yield from ((q.first, q.last) for place, q in context.quantities if place in places)
    elif form == "name":
        yield from ((n.first, n.last) for place, n in context.names if place in places)
    else:
        for place in sorted(places):
            yield from _find_runs(asked, place, context)


def _find_runs(asked: Mapping[str, float], place: int, context: Reading) -> Iterator[Span]:
    sentence = context.sentences[place]
    begin = None
    for i in range(sentence.first, sentence.last):
        token = context.tokens[i]
        is_part = token.is_content and token.key not in asked
        if is_part and begin is None:
            begin = i
        elif not is_part and begin is not None:
            yield begin, i
            begin = None
    if begin is not None:
        yield begin, sentence.last
