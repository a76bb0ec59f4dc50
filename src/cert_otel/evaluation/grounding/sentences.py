"""Where the sentences of a passage lie."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from cert_otel.scoring._sentences import find_starts

_BREAK: Final = re.compile(r"\n\s*+")
"""A line break, which ends a sentence unless a small letter goes on behind it."""
_GLUED: Final = re.compile(r"(?<=[a-z0-9)\]\"])[.!?](?=[A-Z][a-z]+[\s,])")
"""Sentences that lost the space between them, as passages joined by a program do."""


def find_sentences(text: str) -> list[tuple[int, int]]:
    """Return the begin and end of each sentence, in order, white space around cut off."""
    cased = any(letter.isupper() for letter in text[:400])
    cuts = [0]
    breaks = (match.end() for match in _BREAK.finditer(text))
    lines = (0, *(end for end in breaks if not text[end : end + 1].islower()), len(text))
    for begin, end in pairwise(lines):
        starts = [*find_starts(text, begin, end, cased=cased)]
        starts += (match.end() for match in _GLUED.finditer(text, begin, end))
        cuts += [begin, *sorted(starts)]
    cuts.append(len(text))
    spans = (_strip(text, begin, end) for begin, end in pairwise(cuts))
    return [(begin, end) for begin, end in spans if begin < end]


def _strip(text: str, begin: int, end: int) -> tuple[int, int]:
    piece = text[begin:end]
    left = len(piece) - len(piece.lstrip())
    return begin + left, begin + max(left, len(piece.rstrip()))
