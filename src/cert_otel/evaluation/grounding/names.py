"""Names: runs of capitalised words, and the variants under which a context knows them."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.evaluation.grounding.tokens import Token, stem
from cert_otel.evaluation.grounding.words import split_words

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

_LINKS: Final = frozenset(split_words("of de du del della der den di da la le van von bin al the"))
_GAP: Final = re.compile(r"\s|-|\.\s?|['’]s\s|\s?&\s?")  # noqa: RUF001 - what is written
_TITLES: Final = frozenset(
    split_words(
        "mr mrs ms miss dr prof professor sir lord lady president king queen pope captain st"
    )
)
_NO_NAMES: Final = frozenset(
    split_words(
        "yes january february march april may june july august september october november december"
        " jan feb mar apr jun jul aug sep sept oct nov dec"
        " monday tuesday wednesday thursday friday saturday sunday however although according"
    )
)
_ACRONYM_MIN, _ACRONYM_MAX = 2, 8
_KIN_MIN: Final = 4
_KIN_ENDINGS: Final = frozenset(
    ("", *split_words("a i n an ia ian ish es ese ean y e o ic and land"))
)
"""Behind the letters that a land and its people share: China and Chinese, Turkey and Turkish."""


class Name(msgspec.Struct, frozen=True, gc=False):
    """A run of capitalised words."""

    keys: tuple[str, ...]
    """Of its words, links and titles left out."""
    surfaces: tuple[str, ...]
    start: int
    end: int
    first: int
    """Index of its first token."""
    last: int
    """Behind its last token."""
    is_initial: bool
    """One word that begins a sentence, where every word has a capital."""

    @property
    def acronym(self) -> str:
        """The first letters of its words."""
        return "".join(surface[0] for surface in self.surfaces).lower()


def find_names(
    text: str, tokens: Sequence[Token], starts: Iterable[int], taken: Container[int]
) -> list[Name]:
    """Return the names of a text in order.

    Args:
        text: What the tokens were read from.
        tokens: All of its tokens.
        starts: Where its sentences begin.
        taken: Indices of tokens that belong to a number or a date.
    """
    if text.isupper():
        return []
    beginnings = set(starts)
    names: list[Name] = []
    i = 0
    while i < len(tokens):
        if i in taken or not _begins_name(tokens[i]):
            i += 1
            continue
        end = _find_end(text, tokens, i)
        name = _make_name(tokens[i:end], i, beginnings)
        if name is not None:
            names.append(name)
        i = end
    return names


def _begins_name(token: Token) -> bool:
    return token.is_capital and token.is_content and token.surface.lower() not in _NO_NAMES


def _find_end(text: str, tokens: Sequence[Token], i: int) -> int:
    end = j = i + 1
    while j < len(tokens) and _GAP.fullmatch(text, tokens[j - 1].end, tokens[j].start):
        if text[tokens[j - 1].end] == "." and len(tokens[j - 1].surface) > 3:  # noqa: PLR2004 - "Inc."
            break
        if _begins_name(tokens[j]):
            end = j + 1
        elif tokens[j].surface not in _LINKS or j - end > 1:
            break
        j += 1
    return end


def _make_name(run: Sequence[Token], first: int, beginnings: set[int]) -> Name | None:
    words = [token for token in run if token.is_capital and token.is_content]
    named = [token for token in words if token.surface.lower().rstrip(".") not in _TITLES]
    if not named:
        return None
    return Name(
        tuple(token.key for token in named),
        tuple(token.surface for token in named),
        run[0].start,
        run[-1].end,
        first,
        first + len(run),
        len(words) == 1 and run[0].start in beginnings and not _is_acronym(run[0].surface),
    )


def _is_acronym(surface: str) -> bool:
    return surface.isupper() and _ACRONYM_MIN <= len(surface) <= _ACRONYM_MAX


def _are_kin(key: str, word: str) -> bool:
    shared = _KIN_MIN
    while shared < min(len(key), len(word)) and key[shared] == word[shared]:
        shared += 1
    return key[shared:] in _KIN_ENDINGS and word[shared:] in _KIN_ENDINGS


class NameIndex:
    """The names of a context, asked for variants."""

    def __init__(self, names: Iterable[Name]) -> None:
        self._groups: dict[str, list[Name]] = {}
        self._acronyms: set[str] = set()
        self._initials: set[str] = set()
        last: Name | None = None
        for name in names:
            for key in name.keys:
                self._groups.setdefault(key, []).append(name)
            self._initials.update(surface[0].lower() for surface in name.surfaces)
            self._acronyms |= {name.acronym, name.acronym[:-1]}  # US, USA
            if last is not None and name.first == last.last + 1:
                self._acronyms.add(last.acronym + name.acronym)  # "Aeronautics and Space"
            last = name
        self._words = sorted(self._groups)

    def __contains__(self, key: str) -> bool:
        return key in self._groups

    def measure(self, name: Name, known: Container[str]) -> float:
        """Return the share of a name's words that the context bears out.

        Args:
            name: As the answer writes it.
            known: Every key of the context, whatever its case.
        """
        if self._is_short_form(name):
            return 1.0
        borne = [
            self._knows(key, surface, known)
            for key, surface in zip(name.keys, name.surfaces, strict=True)
        ]
        share = sum(borne) / len(borne)
        if share == 1 and len(name.keys) > 1 and not self._stand_together(name):
            return 0.5  # a first name of one and the surname of another
        return share

    def find_other(self, name: Name) -> Name | None:
        """Return a name of the context that shares the last word and has another first one."""
        if len(name.keys) < _ACRONYM_MIN:
            return None
        for other in self._groups.get(name.keys[-1], ()):
            if (
                other.keys[-1] == name.keys[-1]
                and len(other.keys) > 1
                and other.keys[0] != name.keys[0]
            ):
                return other
        return None

    def _is_short_form(self, name: Name) -> bool:
        if len(name.surfaces) == 1:
            return _is_acronym(name.surfaces[0]) and name.surfaces[0].lower() in self._acronyms
        return len(name.surfaces) <= _ACRONYM_MAX and stem(name.acronym) in self._groups

    def _knows(self, key: str, surface: str, known: Container[str]) -> bool:
        if len(surface) == 1:
            return surface.lower() in self._initials
        return key in known or self._has_kin(key)

    def _has_kin(self, key: str) -> bool:
        """Whether the context has the land of a people, or the people of a land."""
        begin = key[:_KIN_MIN]
        for i in range(bisect_left(self._words, begin), len(self._words)):
            word = self._words[i]
            if not word.startswith(begin):
                break
            if _are_kin(key, word):
                return True
        return False

    def _stand_together(self, name: Name) -> bool:
        words = [
            key for key, surface in zip(name.keys, name.surfaces, strict=True) if len(surface) > 1
        ]
        if any(key not in self._groups for key in words):
            return True  # written small in the context: no name there
        return (
            any(all(key in other.keys for key in words) for other in self._groups[words[0]])
            if words
            else True
        )
