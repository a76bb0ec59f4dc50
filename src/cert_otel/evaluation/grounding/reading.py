"""A text as grounding sees it: tokens, sentences, quantities, dates and names, read once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import msgspec

from cert_otel.evaluation.grounding.dates import Date, find_dates
from cert_otel.evaluation.grounding.names import Name, NameIndex, find_names
from cert_otel.evaluation.grounding.quantities import Quantity, find_quantities
from cert_otel.evaluation.grounding.sentences import find_sentences
from cert_otel.evaluation.grounding.tokens import Token, tokenize
from cert_otel.evaluation.grounding.words import NEGATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence


_Placed = TypeVar("_Placed", Name, Quantity)


class Sentence(msgspec.Struct, frozen=True, gc=False):
    """Where a sentence lies."""

    item: int
    """Index of its passage."""
    start: int
    end: int
    first: int
    """Index of its first token among all passages."""
    last: int
    """Behind its last token."""


class Reading:
    """What was found in one or several passages; never changed after it was made.

    Offsets count within a passage, token indices through all of them.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self.tokens: list[Token] = []
        self.sentences: list[Sentence] = []
        self.quantities: list[tuple[int, Quantity]] = []
        """Each with the index of its sentence, as are dates and names."""
        self.dates: list[tuple[int, Date]] = []
        self.names: list[tuple[int, Name]] = []
        for item, text in enumerate(self.texts):
            self._read(item, text)

    def _read(self, item: int, text: str) -> None:
        tokens = tokenize(text)
        offset, begun = len(self.tokens), len(self.sentences)
        spans = find_sentences(text)
        starts = [token.start for token in tokens]
        firsts = [0]
        for start, end in spans:
            last = _bisect_from(starts, end, firsts[-1])
            self.sentences.append(Sentence(item, start, end, offset + firsts[-1], offset + last))
            firsts.append(last)
        self.tokens += tokens
        begins = [start for start, _ in spans]

        def place(start: int) -> int:
            return begun + max(0, bisect_right(begins, start) - 1)

        quantities = find_quantities(text, tokens)
        taken = {
            i
            for quantity in quantities
            for i in range(_bisect_from(starts, quantity.start, 0), quantity.last)
        }
        names = find_names(text, tokens, begins, taken)
        self.quantities += ((place(found.start), _shift(found, offset)) for found in quantities)
        self.dates += ((place(found.start), found) for found in find_dates(text))
        self.names += ((place(found.start), _shift(found, offset)) for found in names)

    @cached_property
    def sentence_of(self) -> list[int]:
        """The index of each token's sentence."""
        places: list[int] = []
        for index, sentence in enumerate(self.sentences):
            places += [index] * (sentence.last - sentence.first)
        return places

    def find_tokens(self, place: int, start: int, end: int) -> tuple[int, int]:
        """Return the first token, and the one behind the last, of a stretch of a sentence."""
        sentence = self.sentences[place]
        first, last = (
            bisect_left(self.tokens, at, sentence.first, sentence.last, key=_get_start)
            for at in (start, end)
        )
        return first, last

    @cached_property
    def bigrams(self) -> frozenset[tuple[str, str]]:
        """Neighbours within a sentence, and its telling terms with what is between left out."""
        keys = [token.key for token in self.tokens]
        return frozenset(
            (keys[i], keys[j])
            for sentence in self.sentences
            for places in (range(sentence.first, sentence.last), self.find_telling(sentence))
            for i, j in pairwise(places)
        )

    def find_telling(self, sentence: Sentence) -> list[int]:
        """Return where the content terms and negations of a sentence stand."""
        return [
            position
            for position in range(sentence.first, sentence.last)
            if self.tokens[position].is_content or self.tokens[position].key in NEGATIONS
        ]

    @cached_property
    def positions(self) -> dict[str, list[int]]:
        """Where each term stands."""
        index: dict[str, list[int]] = {}
        for position, token in enumerate(self.tokens):
            index.setdefault(token.key, []).append(position)
        return index

    @cached_property
    def holders(self) -> dict[str, list[int]]:
        """Which sentences hold each term, once each."""
        places = self.sentence_of
        return {
            key: list(dict.fromkeys(places[position] for position in positions))
            for key, positions in self.positions.items()
        }

    @cached_property
    def quantities_of(self) -> dict[int, list[Quantity]]:
        """The quantities of each sentence that has any."""
        index: dict[int, list[Quantity]] = {}
        for place, quantity in self.quantities:
            index.setdefault(place, []).append(quantity)
        return index

    @cached_property
    def _ranked(self) -> tuple[list[float], list[tuple[int, Quantity]]]:
        ranked = sorted(self.quantities, key=lambda found: found[1].value)
        return [quantity.value for _, quantity in ranked], ranked

    def find_close(self, quantity: Quantity) -> list[tuple[int, Quantity]]:
        """Return the quantities that may agree with one, each with its sentence."""
        values, ranked = self._ranked
        low, high = quantity.value - quantity.slack, quantity.value + quantity.slack
        return ranked[bisect_left(values, low) : bisect_right(values, high)]

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every term once, sorted."""
        return sorted(self.positions)

    @cached_property
    def name_index(self) -> NameIndex:
        """The names, by their words."""
        return NameIndex(name for _, name in self.names)

    @cached_property
    def joined(self) -> str:
        """All passages in small letters, white space made even: what quotations are looked up in."""
        return "\n".join(normalize(text) for text in self.texts)


def normalize(text: str) -> str:
    """Return a text in small letters, with straight apostrophes and single spaces."""
    return " ".join(text.lower().replace("’", "'").split())  # noqa: RUF001 - what is written


def _get_start(token: Token) -> int:
    return token.start


def _shift(found: _Placed, offset: int) -> _Placed:
    """Count tokens through all passages."""
    if not offset:
        return found
    return msgspec.structs.replace(found, first=found.first + offset, last=found.last + offset)


def _bisect_from(starts: list[int], position: int, low: int) -> int:
    return bisect_right(starts, position - 1, low)
