"""How much of an answer's terms the context holds, in all and sentence by sentence."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cert_otel.evaluation.grounding.checks import Check
    from cert_otel.evaluation.grounding.reading import Reading, Sentence


class Weights(Protocol):
    """Says how informative terms are."""

    def weight(self, term: str, /) -> float:
        """Return a positive weight, the more the rarer."""


class Nearest(msgspec.Struct, frozen=True, gc=False):
    """The sentence of the context that holds most of one sentence of the answer."""

    sentence: int | None
    share: float | None
    """Of the sentence's terms by weight; `None` for a sentence without any."""


class Comparison(msgspec.Struct, frozen=True):
    """An answer beside its context."""

    answer: Reading
    context: Reading
    weights: Weights
    nearest: list[Nearest]
    """One for each sentence of the answer."""


def compare(answer: Reading, context: Reading, weights: Weights) -> Comparison:
    """Find for each sentence of the answer where its terms stand closest together."""
    nearest = [_find_for(answer, sentence, context, weights) for sentence in answer.sentences]
    return Comparison(answer, context, weights, nearest)


def _find_for(answer: Reading, sentence: Sentence, context: Reading, weights: Weights) -> Nearest:
    tokens = answer.tokens[sentence.first : sentence.last]
    terms = {token.key: weights.weight(token.key) for token in tokens if token.is_content}
    total = sum(terms.values())
    if not total:
        return Nearest(None, None)
    held = hold(terms, context)
    if not held:
        return Nearest(None, 0.0)
    best = max(held, key=lambda place: (held[place], -place))
    return Nearest(best, held[best] / total)


def hold(terms: dict[str, float], context: Reading) -> dict[int, float]:
    """Return the weight of the terms that each sentence holds, of those that hold any."""
    held: dict[int, float] = {}
    holders = context.holders
    for key, weight in terms.items():
        for place in holders.get(key, ()):
            held[place] = held.get(place, 0.0) + weight
    return held


def find_owners(answer: Reading, checks: Sequence[Check]) -> list[Check | None]:
    """Return for each token which of the checks that came out well it belongs to."""
    starts = [token.start for token in answer.tokens]
    owners: list[Check | None] = [None] * len(starts)
    for check in checks:
        if check.share == 1:
            for position in range(bisect_left(starts, check.start), bisect_left(starts, check.end)):
                owners[position] = check
    return owners


def credit(compared: Comparison, owners: Sequence[Check | None]) -> Comparison:
    """Count as held what the nearest sentence holds in another spelling."""
    nearest = [
        _credit(compared, sentence, near, owners)
        for sentence, near in zip(compared.answer.sentences, compared.nearest, strict=True)
    ]
    return msgspec.structs.replace(compared, nearest=nearest)


def _credit(
    compared: Comparison, sentence: Sentence, near: Nearest, owners: Sequence[Check | None]
) -> Nearest:
    own = slice(sentence.first, sentence.last)
    if near.sentence is None or not any(owners[own]):
        return near
    terms: dict[str, float] = {}
    held: set[str] = set()
    for token, owner in zip(compared.answer.tokens[own], owners[own], strict=True):
        if token.is_content:
            terms[token.key] = compared.weights.weight(token.key)
            if _is_held(token.key, near.sentence, compared.context, owner):
                held.add(token.key)
    share = sum(terms[key] for key in terms if key in held) / sum(terms.values())
    return Nearest(near.sentence, share)


def _is_held(key: str, place: int, context: Reading, owner: Check | None) -> bool:
    if owner is not None and owner.source is not None:
        return context.sentence_of[owner.source[0]] == place
    return place in context.holders.get(key, ())


def mark_borne(compared: Comparison, owners: Sequence[Check | None]) -> list[bool]:
    """Return for each token of the answer whether the context bears it out.

    A term does when it stands there; so does every token of a number, date or name whose value
    stands there in another spelling.
    """
    holders = compared.context.holders
    return [
        owner is not None or token.key in holders
        for token, owner in zip(compared.answer.tokens, owners, strict=True)
    ]


def measure_terms(compared: Comparison, borne: Sequence[bool]) -> float | None:
    """Return the share by weight of the content terms that are borne out."""
    total = held = 0.0
    for token, is_borne in zip(compared.answer.tokens, borne, strict=True):
        if token.is_content:
            weight = compared.weights.weight(token.key)
            total += weight
            held += weight * is_borne
    return held / total if total else None


def measure_bigrams(
    compared: Comparison, borne: Sequence[bool], owners: Sequence[Check | None]
) -> float | None:
    """Return the share of neighbouring tokens that are neighbours in the context too.

    So are all tokens between two content terms that are neighbours there when nothing but content
    and negations count: "revenue was 5" has the neighbours of "revenue of 5". A token alone counts as its own
    neighbour, so that answers of one word have the figure too. What is spelled otherwise has the
    neighbours of what bears it out.
    """
    answer = compared.answer
    pairs = found = 0
    for sentence in answer.sentences:
        if sentence.last - sentence.first == 1:
            pairs += 1
            found += borne[sentence.first]
        together = {
            place
            for i, j in pairwise(answer.find_telling(sentence))
            if _are_neighbours(i, j, compared, borne, owners)
            for place in range(i, j)
        }
        for i, j in pairwise(range(sentence.first, sentence.last)):
            pairs += 1
            found += i in together or _are_neighbours(i, j, compared, borne, owners)
    return found / pairs if pairs else None


def _are_neighbours(
    i: int, j: int, compared: Comparison, borne: Sequence[bool], owners: Sequence[Check | None]
) -> bool:
    if owners[i] is not None and owners[i] is owners[j] and borne[i] and borne[j]:
        return True
    tokens, bigrams = compared.answer.tokens, compared.context.bigrams
    return (tokens[i].key, tokens[j].key) in bigrams or (
        _end(i, compared, owners),
        _begin(j, compared, owners),
    ) in bigrams


def _end(i: int, compared: Comparison, owners: Sequence[Check | None]) -> str:
    owner = owners[i]
    if owner is None or owner.source is None:
        return compared.answer.tokens[i].key
    return compared.context.tokens[owner.source[1] - 1].key


def _begin(i: int, compared: Comparison, owners: Sequence[Check | None]) -> str:
    owner = owners[i]
    if owner is None or owner.source is None:
        return compared.answer.tokens[i].key
    return compared.context.tokens[owner.source[0]].key
