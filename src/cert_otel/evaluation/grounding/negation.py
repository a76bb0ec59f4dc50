"""Which words of a sentence are denied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cert_otel.evaluation.grounding.words import NEGATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.grounding.coverage import Nearest
    from cert_otel.evaluation.grounding.reading import Reading, Sentence
    from cert_otel.evaluation.grounding.tokens import Token

_REACH: Final = 3
"""Content words behind a "not" that it denies."""
_SHARED_MIN: Final = 0.5
"""Share of a sentence's terms that its nearest one must hold to be compared."""


def find_denied(tokens: Sequence[Token]) -> frozenset[str]:
    """Return the keys of the content words that a negation reaches.

    Two negations of one word cancel each other; "not only" denies nothing.
    """
    denied: set[str] = set()
    for i, token in enumerate(tokens):
        if token.key in NEGATIONS and not _is_idiom(tokens, i):
            behind = [t.key for t in tokens[i + 1 : i + 8] if t.is_content][:_REACH]
            denied ^= set(behind)
    return frozenset(denied)


def has_negation(tokens: Sequence[Token]) -> bool:
    """Whether a sentence denies anything."""
    return any(t.key in NEGATIONS and not _is_idiom(tokens, i) for i, t in enumerate(tokens))


def _is_idiom(tokens: Sequence[Token], i: int) -> bool:
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
    if not has_negation(said) and not has_negation(source):
        return False
    shared = {token.key for token in said} & {token.key for token in source}
    return bool((find_denied(said) ^ find_denied(source)) & shared)
