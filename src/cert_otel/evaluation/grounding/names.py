"""Names: runs of capitalised words, and the variants under which a context knows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from cert_otel.evaluation.grounding.tokens import Token, split_words

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

_LINKS: Final = frozenset(
    split_words("of de du del della der den di da la le van von bin al the and")
)
_GAP: Final = re.compile(r"\s|-|\.\s?|['’]s\s|\s?&\s?")  # noqa: RUF001 - what is written
_TITLES: Final = frozenset(
    split_words(
        "mr mrs ms miss dr prof professor sir lord lady president king queen pope captain st"
    )
)
_NO_NAMES: Final = frozenset(
    split_words(
        "yes january february march april may june july august september october november december"
        " monday tuesday wednesday thursday friday saturday sunday however although according"
    )
)
_ACRONYM_MIN, _ACRONYM_MAX = 2, 8


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
    def acronym(self) -> str | None:
        """The first letters, of names of several words."""
        if len(self.surfaces) < _ACRONYM_MIN:
            return None
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


class NameIndex:
    """The names of a context, asked for variants."""

    def __init__(self, names: Iterable[Name]) -> None:
        self._groups: dict[str, list[Name]] = {}
        self._acronyms: set[str] = set()
        self._initials: set[str] = set()
        for name in names:
            for key in name.keys:
                self._groups.setdefault(key, []).append(name)
            self._initials.update(surface[0].lower() for surface in name.surfaces)
            if name.acronym:
                self._acronyms.add(name.acronym)

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
        if (
            name.acronym
            and _ACRONYM_MIN <= len(name.acronym) <= _ACRONYM_MAX
            and self._groups.get(name.acronym)
        ):
            return True
        single = name.surfaces[0]
        return len(name.surfaces) == 1 and _is_acronym(single) and single.lower() in self._acronyms

    def _knows(self, key: str, surface: str, known: Container[str]) -> bool:
        if len(surface) == 1:
            return surface.lower() in self._initials
        return key in known

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
