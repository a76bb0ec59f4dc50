"""Where a sentence, a name or a number begins: the tokens at which an invention shows first.

A hallucinated span is visible at its first token and hardly after it (docs/scoring.md).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WORD: Final = re.compile(r"(?P<gap>\W*)(?P<word>\w(?:\w|(?<=\d)[.,](?=\d))*)")
_SENTENCE_END: Final = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\n]")
"""Full stops of Chinese and Japanese among them: no space follows those."""


def find_onsets(text: str, offsets: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the indices of the tokens that hold the first letter of an onset, ascending.

    Args:
        text: The completion.
        offsets: For each token, the half-open range of characters it covers, ascending.
    """
    starts = [start for start, _ in offsets]
    found = {bisect_right(starts, position) - 1 for position in _find_positions(text)}
    return tuple(sorted(token for token in found if token >= 0))


def _find_positions(text: str) -> Iterator[int]:
    for match in _WORD.finditer(text):
        first = match["word"][0]
        starts_sentence = match.start() == 0 or _SENTENCE_END.search(match["gap"])
        if starts_sentence or first.isupper() or first.isdigit():
            yield match.start("word")
