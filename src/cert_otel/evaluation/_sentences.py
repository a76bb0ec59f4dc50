"""Answers and passages as sentences with their places, and contexts as one text."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from cert_otel.scoring.steps import split_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.sample import Sample
    from cert_otel.records import ContextItem

SHORT_WORDS: Final = 5
"""An answer with fewer says what it is about only together with its question."""
_MAX_SENTENCES: Final = 100_000
"""No limit in practice: sentences are never joined for their number."""
_BETWEEN: Final = "\n\n"


class Sentence(NamedTuple):
    """A stretch of a text, and how it is read."""

    start: int
    end: int
    """Without white space at both ends."""
    text: str


def split_sentences(text: str) -> list[Sentence]:
    """Split a text into sentences, list items and blocks of code; never into nothing."""
    steps = split_steps(text, max_steps=_MAX_SENTENCES)
    return [trim(text, Sentence(*step[:2], step.text)) for step in steps] or [
        Sentence(0, len(text), text)
    ]


def split_answer(sample: Sample) -> list[Sentence]:
    """Split an answer into sentences; a short one is read behind its question, as a whole."""
    if sample.question and len(sample.answer.split()) < SHORT_WORDS:
        text = f"{sample.question.strip()} {sample.answer.strip()}"
        return [trim(sample.answer, Sentence(0, len(sample.answer), text))]
    return split_sentences(sample.answer)


def trim(text: str, sentence: Sentence) -> Sentence:
    """Leave white space out of the range."""
    raw = text[sentence.start : sentence.end]
    start = sentence.start + len(raw) - len(raw.lstrip())
    return sentence._replace(start=start, end=max(start, sentence.start + len(raw.rstrip())))


def halve(sentence: Sentence) -> tuple[Sentence, ...]:
    """Cut at the white space nearest to the middle, or in the middle of what has none.

    Returns:
        Nothing for a single character.
    """
    text, middle = sentence.text, len(sentence.text) // 2
    if not middle:
        return ()
    spaces = [
        place
        for place in (text.rfind(" ", 1, middle), text.find(" ", middle, len(text) - 1))
        if place > 0
    ]
    cut = min(spaces, key=lambda place: abs(place - middle), default=middle)
    # Where tags were left out of the text, the border is off by as much.
    border = min(sentence.start + cut, sentence.end)
    return (
        Sentence(sentence.start, border, text[:cut]),
        Sentence(border, sentence.end, text[cut:]),
    )


class Premise(NamedTuple):
    """The passages of a context as one text."""

    text: str
    starts: tuple[int, ...]
    """Where each passage begins."""
    items: tuple[int, ...]
    """Index of each in the context: passages without text are left out."""

    def find_item(self, start: int, end: int) -> tuple[int, int, int] | None:
        """Return the passage that a range lies in, and its place there; `None` if in several."""
        index = bisect_right(self.starts, start) - 1
        following = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.text) + 1
        if end > following:
            return None
        return self.items[index], start - self.starts[index], end - self.starts[index]


def join_context(context: Sequence[ContextItem]) -> Premise:
    """Join passages, so that an answer may rest on several."""
    items = tuple(index for index, item in enumerate(context) if item.text.strip())
    starts, length = [], 0
    for index in items:
        starts.append(length)
        length += len(context[index].text) + len(_BETWEEN)
    text = _BETWEEN.join(context[index].text for index in items)
    return Premise(text, tuple(starts), items)


def cut_windows(
    offsets: Sequence[tuple[int, int]], *, room: int, overlap: int
) -> list[tuple[int, int]]:
    """Return the character ranges of windows over a text.

    Args:
        offsets: The characters of each token.
        room: Tokens of a window, at least 1.
        overlap: Tokens that neighbours share, fewer than `room`.
    """
    if len(offsets) <= room:
        return [(offsets[0][0], offsets[-1][1])] if offsets else [(0, 0)]
    begins = [*range(0, len(offsets) - room, room - overlap), len(offsets) - room]
    return [(offsets[begin][0], offsets[begin + room - 1][1]) for begin in begins]
