"""Which words of a sentence are denied."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cert_otel.evaluation.grounding.tokens import stem
from cert_otel.evaluation.grounding.words import NEGATIONS, OPPOSITES, split_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.grounding.coverage import Nearest
    from cert_otel.evaluation.grounding.reading import Reading, Sentence
    from cert_otel.evaluation.grounding.tokens import Token

_REACH: Final = 3
"""Content words behind a "not" that it denies."""
_LOOK: Final = 8
"""Tokens within which they stand."""
_CLAUSES: Final = frozenset(
    split_words("when because but which who that although while if since until before after")
)
_SHARED_MIN: Final = 0.5
"""Share of a sentence's terms that its nearest one must hold to be compared."""


def find_denied(tokens: Sequence[Token]) -> frozenset[str]:
    """Return the keys of the content words that a negation reaches.

    Two negations of one word cancel each other; "not only" denies nothing.
    """
    denied: set[str] = set()
    for reached in _find_negations(tokens):
        denied ^= set(reached)
    return frozenset(denied)


def _find_negations(tokens: Sequence[Token]) -> list[list[str]]:
    """Return what each negation reaches, the nearest word first."""
    found = (
        _find_reached(tokens, i)
        for i, token in enumerate(tokens)
        if token.key in NEGATIONS and not _is_idiom(tokens, i)
    )
    return [reached for reached in found if reached]


def _find_reached(tokens: Sequence[Token], i: int) -> list[str]:
    """Return the content words behind a negation, up to the next clause."""
    reached: list[str] = []
    for before, token in pairwise(tokens[i : i + _LOOK]):
        if token.key in _CLAUSES or token.start > before.end + 1 or len(reached) == _REACH:
            break
        if token.is_content:
            reached.append(token.key)
    return reached


def _is_idiom(tokens: Sequence[Token], i: int) -> bool:
    if i == 0 and len(tokens) > 1 and tokens[1].start > tokens[0].end + 1:
        return True  # "No, it is": the answer to a question
    following = tokens[i + 1].surface.lower() if i + 1 < len(tokens) else ""
    return following in ("only", "just", "merely", "longer") and tokens[i].key in ("not", "no")


def find_mismatches(answer: Reading, context: Reading, nearest: Sequence[Nearest]) -> list[int]:
    """Return the sentences of the answer that deny what their nearest sentence says, or reverse.

    Only words that both sentences hold are compared, and only sentences that share most of their
    terms: a "not" about something else is no contradiction.
    """
    return [
        i
        for i, (sentence, near) in enumerate(zip(answer.sentences, nearest, strict=True))
        if near.sentence is not None
        and (near.share or 0.0) >= _SHARED_MIN
        and _differ(
            _tokens_of(answer, sentence), _tokens_of(context, context.sentences[near.sentence])
        )
    ]


def _tokens_of(reading: Reading, sentence: Sentence) -> list[Token]:
    return reading.tokens[sentence.first : sentence.last]


def _differ(said: Sequence[Token], source: Sequence[Token]) -> bool:
    keys, others = {token.key for token in said}, {token.key for token in source}
    if _denies_more(said, source, keys & others) or _denies_more(source, said, keys & others):
        return True
    return _are_opposed(keys - others, others - keys, find_denied(said) ^ find_denied(source))


def _denies_more(tokens: Sequence[Token], others: Sequence[Token], shared: set[str]) -> bool:
    """Whether one sentence has a negation of a shared word to which the other has no counterpart.

    How far a "not" reaches depends on the order of the words; the word that it is nearest to does
    not, so a counterpart is one of which either reaches the nearest word of the other. So is the
    opposite of that word: "rejected" for "did not approve".
    """
    denied, counterparts = find_denied(tokens), _find_negations(others)
    said = {token.key for token in others}
    return any(
        not shared.isdisjoint(denied.intersection(reached))
        and not any(reached[0] in other or other[0] in reached for other in counterparts)
        and not (_OPPOSITES.get(reached[0], frozenset()) & said)
        for reached in _find_negations(tokens)
    )


def _are_opposed(keys: set[str], others: set[str], denied: frozenset[str]) -> bool:
    """Whether one says what the other's word denies, and neither turns it round with a "not"."""
    return any(
        not (_OPPOSITES[key] & keys) and (_OPPOSITES[key] & others) - denied
        for key in keys & _OPPOSITES.keys() - denied
    )


def _list_opposites() -> dict[str, frozenset[str]]:
    opposites: dict[str, frozenset[str]] = {}
    for pair in OPPOSITES:
        one, other = (frozenset(map(stem, words)) for words in pair)
        for key in one:
            opposites[key] = opposites.get(key, frozenset()) | other
        for key in other:
            opposites[key] = opposites.get(key, frozenset()) | one
    return opposites


_OPPOSITES: Final = _list_opposites()
