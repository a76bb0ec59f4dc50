"""What of an answer can be looked up as it stands: numbers, dates, names, quotations, code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.evaluation.grounding.reading import Reading, normalize
from cert_otel.evaluation.sample import (
    EvidenceKind,  # noqa: TC001 - msgspec resolves the annotations
    Finding,  # noqa: TC001 - likewise
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cert_otel.evaluation.grounding.dates import Date
    from cert_otel.evaluation.grounding.quantities import Quantity

_QUOTED: Final = re.compile(r'"([^"\n]{3,300})"|“([^”\n]{3,300})”|«([^»\n]{3,300})»')
_MARKED: Final = re.compile(r"`([^`\n]{1,200})`")
_FRAGMENT_TOKENS: Final = 6
"""An answer of so few words without a full stop is a name, a date, a value: no sentence."""


class Check(msgspec.Struct, frozen=True, gc=False):
    """One thing that an answer says, and how far the context bears it out."""

    kind: EvidenceKind
    start: int
    end: int
    share: float
    """1 where it is borne out, 0 where it is not."""
    nearby: float
    """The same, asked of the evidence of its sentence alone."""
    finding: Finding = "missing"
    sentence: int | None = None
    """Of the context: what says otherwise."""
    source: tuple[int, int] | None = None
    """Tokens of the context that say it, of the nearest sentence where it does; numbers and dates."""


def check_all(answer: Reading, context: Reading, nearest: Sequence[int | None]) -> list[Check]:
    """Look up whatever can be looked up.

    Args:
        answer: One passage.
        context: What should bear it out.
        nearest: For each sentence of the answer, the sentence of the context that is nearest.
    """
    found = [*_check_dates(answer, context, nearest)]
    taken = [(check.start, check.end) for check in found]
    found += _check_quantities(answer, context, nearest, taken)
    found += _check_names(answer, context, nearest)
    found += _check_text(answer, context)
    return found


def _is_near(place: int, nearest: int | None) -> bool:
    return nearest is not None and abs(place - nearest) <= 1


def _check_dates(
    answer: Reading, context: Reading, nearest: Sequence[int | None]
) -> Iterator[Check]:
    counted = {quantity.start for _, quantity in answer.quantities if quantity.unit}
    for sentence, date in answer.dates:
        if date.is_bare_year and date.start in counted:
            continue  # "2000 euros"
        agreements = [
            (share, place, other)
            for place, other in context.dates
            if (share := date.agreement(other)) is not None
        ]
        if date.is_bare_year and not agreements and _is_counted(date, answer, context):
            continue  # "1925 people" of "1,925 people"
        share = max((share for share, _, _ in agreements), default=0.0)
        near = [share for share, place, _ in agreements if _is_near(place, nearest[sentence])]
        other = None if share else _find_other_date(date, context, nearest[sentence])
        sources = [(place, found) for found_share, place, found in agreements if found_share == 1]
        yield Check(
            "date", date.start, date.end, share, max(near, default=0.0),
            "missing" if other is None else "contradicted", other,
            _find_source(sources, nearest[sentence], context),
        )  # fmt: skip


def _is_counted(date: Date, answer: Reading, context: Reading) -> bool:
    """Whether four digits are a number of something of which the context has as many."""
    return any(
        quantity.start == date.start
        and quantity.noun is not None
        and any(quantity.noun == source.noun for _, source in context.find_close(quantity))
        for _, quantity in answer.quantities
    )


def _find_source(
    found: Sequence[tuple[int, Date | Quantity]], nearest: int | None, context: Reading
) -> tuple[int, int] | None:
    if not found:
        return None
    place, source = min(found, key=lambda one: one[0] != nearest)
    return context.find_tokens(place, source.start, source.end)


def _find_other_date(date: Date, context: Reading, nearest: int | None) -> int | None:
    for place, other in context.dates:
        same_form = (date.month is None) == (other.month is None)
        if place == nearest and same_form and date.agreement(other) is None:
            return place
    return None


def _check_quantities(
    answer: Reading,
    context: Reading,
    nearest: Sequence[int | None],
    taken: Sequence[tuple[int, int]],
) -> Iterator[Check]:
    for sentence, quantity in answer.quantities:
        if any(start <= quantity.start < end for start, end in taken):
            continue
        close = context.find_close(quantity)
        sources = [(place, source) for place, source in close if quantity.agrees(source)]
        near = any(_is_near(place, nearest[sentence]) for place, _ in sources)
        other = None if near else _find_denial(quantity, context, nearest[sentence])
        yield Check(
            "number", quantity.start, quantity.end, float(bool(sources)), float(near),
            "missing" if other is None else "contradicted", other,
            _find_source(sources, nearest[sentence], context),
        )  # fmt: skip


def _find_denial(quantity: Quantity, context: Reading, nearest: int | None) -> int | None:
    if nearest is not None:
        for source in context.quantities_of.get(nearest, ()):
            if quantity.denies(source):
                return nearest
    return None


def _check_names(
    answer: Reading, context: Reading, nearest: Sequence[int | None]
) -> Iterator[Check]:
    is_fragment = len(answer.tokens) <= _FRAGMENT_TOKENS
    index, holders = context.name_index, context.holders
    for sentence, name in answer.names:
        if name.is_initial and not is_fragment and name.keys[0] not in index:
            continue
        share = index.measure(name, holders)
        places = {place for key in name.keys for place in holders.get(key, ())}
        near = any(_is_near(place, nearest[sentence]) for place in places)
        finding: Finding = (
            "missing" if share == 1 or index.find_other(name) is None else "contradicted"
        )
        yield Check("name", name.start, name.end, share, share * near, finding)


def _check_text(answer: Reading, context: Reading) -> Iterator[Check]:
    (text,) = answer.texts
    for match in _QUOTED.finditer(text):
        quoted = normalize(match[match.lastindex or 0]).strip(".,;:!? ")
        if " " in quoted:
            borne = float(quoted in context.joined)
            yield Check("quote", match.start(), match.end(), borne, borne)
    marked = [match.span() for match in _MARKED.finditer(text)]
    for start, end in marked:
        borne = float(normalize(text[start + 1 : end - 1]) in context.joined)
        yield Check("code", start, end, borne, borne)
    for token in answer.tokens:
        if token.kind == "code" and not any(a <= token.start < b for a, b in marked):
            borne = float(token.surface.lower() in context.joined)
            yield Check("code", token.start, token.end, borne, borne)
